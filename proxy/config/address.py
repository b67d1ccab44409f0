"""Where do we listen, and is that where a provider is said to be?"""

import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

_LOOPBACK_NAMES = {"localhost", "ip6-localhost", "ip6-loopback"}
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """HOST:PORT, or a Unix socket at `path`."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Can this machine alone reach it?"""
        return bool(self.path) or _is_loopback(self.host)


def address(text: str) -> Address | None:
    """None where it is no address."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        return Address("", 0, path) if path.startswith("/") and path.isprintable() and len(path) < 108 else None
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        return None
    bare = host.removeprefix("[").removesuffix("]")
    well = re.fullmatch(r"[A-Za-z0-9._-]+", bare) if bare == host else _parsed(bare) is not None
    return Address(bare, int(port)) if well else None


def is_base(url: str) -> bool:
    """A user, a query or a fragment would be dropped in silence; a key may stand in them, so no message quotes it."""
    try:
        parts = urlsplit(url)
        extra = parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False
    whole = url.isascii() and url.isprintable() and " " not in url
    return whole and parts.scheme in _PORTS and bool(parts.hostname) and not extra


def is_proxy(url: str) -> bool:
    """The URL of an egress proxy may carry a user and a password, and nothing but them and its address."""
    user_free = re.sub(r"(?<=://)[^/?#]*@", "", url, count=1)
    return is_base(user_free) and url.isprintable() and urlsplit(user_free).path in ("", "/")


def leads_to(url: str, listen: Address) -> bool:
    """Would a call to this URL arrive at this listener of ours? Asks no name server: it must not wait on one."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    host = (parts.hostname or "").rstrip(".")
    if listen.path or listen.port == 0 or port != listen.port:
        return False
    if listen.host.lower() == host:
        return True
    if _is_any(listen.host):
        return _is_any(host) or _is_loopback(host) or _is_own_name(host) or _is_own_ip(host)
    if _is_loopback(listen.host):
        return bool(_loopbacks(listen.host) & _loopbacks(host))
    return _parsed(host) == _parsed(listen.host) if _parsed(host) else _is_own_name(host)


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, in the odd spellings as well that the system's resolver takes: 127.1, 0x7f000001, 2130706433."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_any(host: str) -> bool:
    found = _parsed(host)
    return found is not None and found.is_unspecified


def _is_loopback(host: str) -> bool:
    found = _parsed(host)
    return found.is_loopback if found else host.lower() in _LOOPBACK_NAMES or host.lower().endswith(".localhost")


def _loopbacks(host: str) -> set[str]:
    """The addresses on this machine that the host may stand for. Whoever dials 0.0.0.0 gets 127.0.0.1."""
    if _is_any(host) or (_is_loopback(host) and _parsed(host) is None):
        return {"127.0.0.1", "::1"}
    return {str(_parsed(host))}


def _is_own_name(host: str) -> bool:
    own = socket.gethostname().lower()
    return host in {own, own.partition(".")[0]}


def _is_own_ip(host: str) -> bool:
    """Only an address of this machine can be bound. Nothing is sent."""
    found = _parsed(host)
    if found is None:
        return False
    family = socket.AF_INET6 if found.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(found), 0))
    except OSError:
        return False
    return True
