"""Is this request meant for us, or was a browser led here?

A web page may send requests to loopback, and its owner may make a name of theirs point there (DNS rebinding). So Host
must be one of our names or a bare address, which nobody can rebind, and Origin, where a browser sends one, must be on
this machine. `allowed_hosts` adds names, such as those that compose and Kubernetes give. What a browser calls
cross-site (Sec-Fetch-Site) is refused in any case: pillion's answers have nothing by which such a page could read them.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from proxy.errors import BadRequest, GatewayError, excerpt

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
REMEMBERED = 100  # Host headers that were let in
# No public name server answers for these, so nobody can point one at us: RFC 6762 (.local), ICANN's board in July 2024
# (.internal); .svc is no top-level domain.
PRIVATE = (".svc", ".local", ".internal")

_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?P<port>:[0-9]{1,5})?")


class Hosts:
    """The names by which we may be asked. `private`: also names that cannot exist in public."""

    def __init__(self, allowed: Iterable[str] = (), private: bool = False) -> None:
        names = [name.strip().lower() for name in allowed]
        self._names = LOCAL | {"".join(_split(name)) for name in names if not name.startswith("*.")}
        self._ends = tuple(name[1:] for name in names if name.startswith("*.")) + (PRIVATE if private else ())
        self._private = private
        self._met: set[str] = set()

    def __repr__(self) -> str:
        return f"<Hosts {', '.join(sorted(self._names))}>"

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises GatewayError: 400, 403 or 421. HTTP/1.0 needs no Host: a cluster's probes may do without."""
        host = headers.get("host")
        if host not in self._met and not (host is None and self._private):
            self._check_host(host or "")
        if "origin" in headers:
            self._check_origin(headers["origin"])
        if "sec-fetch-site" in headers:
            _check_site(headers["sec-fetch-site"])

    def _check_host(self, host: str) -> None:
        name, port = _split(host)
        if not name:
            raise BadRequest("The Host header does not name a host.", code="invalid_host")
        if not (self._is_ours(name, port) or _may_be_called(name)):
            raise GatewayError(
                f"The Host {excerpt(host, 80)!r} is not allowed; PILLION_ALLOWED_HOSTS can add it.",
                status=421,
                kind="invalid_request",
                code="host_not_allowed",
            )
        if len(self._met) < REMEMBERED:
            self._met.add(host)

    def _check_origin(self, origin: str) -> None:
        name, port = _split(origin.partition("://")[2])
        if not (self._is_ours(name, port) or _is_loopback(name)):
            raise _foreign()

    def _is_ours(self, name: str, port: str) -> bool:
        if any(each in self._names or each.endswith(self._ends) for each in (name, name + port)):
            return True
        return self._private and re.fullmatch(r"[a-z][a-z0-9_-]*", name) is not None


def _split(authority: str) -> tuple[str, str]:
    """The name or address, and `:port` where there is one; two empty texts where it is neither."""
    found = _AUTHORITY.fullmatch(authority.strip().lower())
    return ((found["v6"] or found["name"]), found["port"] or "") if found else ("", "")


def _may_be_called(name: str) -> bool:
    """Any address except 0.0.0.0 and [::], by which browsers have been led past their own rules."""
    found = _address(name)
    return found is not None and not found.is_unspecified


def _is_loopback(name: str) -> bool:
    found = _address(name)
    return found is not None and found.is_loopback


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(name)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _check_site(said: str) -> None:
    """Several lines of this name arrive joined, and any of them counts."""
    if any(token.strip().lower() == "cross-site" for token in said.split(",")):
        raise _foreign()


def _foreign() -> GatewayError:
    return GatewayError(
        "Web pages from other origins may not use pillion.",
        status=403,
        kind="invalid_request",
        code="origin_not_allowed",
    )
