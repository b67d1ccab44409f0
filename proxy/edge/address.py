"""How is an address written at which somebody listens?"""

import ipaddress
import re
import socket
from typing import NamedTuple

LISTEN = "127.0.0.1:7455"  # where apps find pillion by default
LONGEST = 107  # bytes of a Unix socket's path: unix(7)

_LOOPBACK_NAMES = {"localhost", "ip6-localhost", "ip6-loopback"}


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
        """Can only this machine reach it?"""
        return bool(self.path) or is_loopback(self.host)

    @property
    def reached(self) -> "Address":
        """Where to reach it from this machine: no Host header may have 0.0.0.0 or [::] (edge.hosts)."""
        found = parsed(self.host)
        everywhere = found is not None and found.is_unspecified
        return self._replace(host="::1" if ":" in self.host else "127.0.0.1") if everywhere else self


def address(text: str) -> Address | None:
    """The address that is written here; None where it is none."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        is_one = path.startswith("/") and path.isprintable() and len(path.encode()) <= LONGEST
        return Address("", 0, path) if is_one else None
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        return None
    bare = host.removeprefix("[").removesuffix("]")
    well = re.fullmatch(r"[A-Za-z0-9._-]+", bare) if bare == host else parsed(bare) is not None
    return Address(bare, int(port)) if well else None


def parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, also in the odd spellings that the system's resolver takes: 127.1, 0x7f000001, 2130706433."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(host: str) -> bool:
    found = parsed(host)
    return found.is_loopback if found else host.lower() in _LOOPBACK_NAMES or host.lower().endswith(".localhost")
