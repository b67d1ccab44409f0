"""Is this request meant for us, or was a browser led here?

A web page may send requests to loopback, and a name of its owner's may be made to point there (DNS rebinding). So Host
must be a name of ours or a bare address, which nobody can rebind, and Origin, where a browser says one, must be of this
machine. `allowed_hosts` adds names, such as those that compose and Kubernetes give.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from proxy.errors import BadRequest, GatewayError

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
REMEMBERED = 100  # Host headers that were let in


class Hosts:
    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._names = LOCAL | {name.strip().lower() for name in allowed}
        self._met: set[str] = set()

    def __repr__(self) -> str:
        return f"<Hosts {', '.join(sorted(self._names))}>"

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises GatewayError, 400 or 403. A client of HTTP/1.0 need not say a Host, and no browser speaks that."""
        host = headers.get("host")
        if host is not None and host not in self._met:
            self._check_host(host)
        if "origin" in headers:
            self._check_origin(headers["origin"])

    def _check_host(self, host: str) -> None:
        name = _name_in(host)
        if not name:
            raise BadRequest("The Host header names no host.", code="invalid_host")
        if name not in self._names and not _is_address(name):
            raise _refusal(
                f"The Host {name[:80]!r} is none of pillion's names; PILLION_ALLOWED_HOSTS adds one.",
                "host_not_allowed",
            )
        if len(self._met) < REMEMBERED:
            self._met.add(host)

    def _check_origin(self, origin: str) -> None:
        name = _name_in(origin.partition("://")[2])
        if name not in self._names and not (_is_address(name) and ip_address(name).is_loopback):
            raise _refusal("A page of another origin may not use pillion.", "origin_not_allowed")


def _name_in(host: str) -> str:
    """The name or address in `name:port`; "" where there is none."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _refusal(message: str, code: str) -> GatewayError:
    return GatewayError(message, status=403, kind="invalid_request", code=code)
