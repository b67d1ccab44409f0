"""Is this a URL, and of the right kind, and does it lead back to where we listen?"""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from proxy.edge.address import Address, is_loopback, parsed

_PORTS = {"http": 80, "https": 443}
_HOSTS = Path("/etc/hosts")  # hosts(5)


def is_base(url: str) -> bool:
    """Can it be a base URL? A user, a query or a fragment would be dropped in silence. No message quotes the URL,
    because a key may stand in it.
    """
    try:
        parts = urlsplit(url)
        extra = parts.query or parts.fragment or {"@", "\\"} & {*parts.netloc} or parts.port == 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False
    whole = url.isascii() and url.isprintable() and " " not in url
    return whole and parts.scheme in _PORTS and bool(parts.hostname) and not extra


def scheme_of(url: str) -> str:
    """The URL's scheme; "" where it is no URL with a host."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when it is read
    except ValueError:
        return ""
    return parts.scheme if parts.hostname else ""


def without_query(url: str) -> str:
    """As it may be shown: a key may stand in a URL's query. A file's name stays as it is."""
    head, _, query = url.partition("?")
    return f"{head}?***" if query and scheme_of(url) else url


def is_store(url: str) -> bool:
    """Is it a URL of Redis? Without a host, or with a path that is no number, redis-py silently uses a default."""
    return scheme_of(url) in ("redis", "rediss") and re.fullmatch(r"/?\d*", urlsplit(url).path) is not None


def is_proxy(url: str) -> bool:
    """Can it be an egress proxy? Its URL may have a user and a password, and nothing else besides the address."""
    user_free = re.sub(r"(?<=://)[^/?#\[\]\\]*@", "", url, count=1)
    return is_base(user_free) and url.isprintable() and urlsplit(user_free).path in ("", "/")


def leads_away(url: str) -> bool:
    """Would a call to this URL leave the machine?"""
    return is_base(url) and not is_loopback(urlsplit(url).hostname or "")


def is_here(url: str) -> bool:
    """Does this http(s) URL stay on the machine?"""
    return is_loopback(urlsplit(url).hostname or "")


def leads_to(url: str, listen: Address) -> bool:
    """Would a call to this URL arrive at this listener of ours? Asks no name server, so as not to wait for one."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if listen.path or listen.port == 0 or port != listen.port:
        return False
    names, ours = _meant((parts.hostname or "").rstrip(".")), _meant(listen.host.lower())
    return any(_arrives(host, at) for host in names for at in ours)


def _meant(host: str) -> set[str]:
    """The host, and the addresses that this machine's own table of names has for it."""
    if parsed(host) is not None:
        return {host}
    try:
        lines = _HOSTS.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    except OSError:
        return {host}
    rows = (line.partition("#")[0].split() for line in lines)
    return {host} | {row[0] for row in rows if host in row[1:] and parsed(row[0]) is not None}


def _arrives(host: str, at: str) -> bool:
    """Does a call to this host arrive where we listen, if the port is the same?"""
    if at == host:
        return True
    if _is_any(at):
        return _is_any(host) or is_loopback(host) or _is_own_name(host) or _is_own_ip(host)
    if is_loopback(at):
        return bool(_loopbacks(at) & _loopbacks(host))
    return parsed(host) == parsed(at) if parsed(host) else _is_own_name(host)


def clash(one: Address, other: Address) -> bool:
    """Can we listen at only one of the two? Asks no name server."""
    if one.path or other.path or not one.port or one.port != other.port:
        return one == other and bool(one.path)
    return any(_overlap(mine, yours) for mine in _bound(one.host) for yours in _bound(other.host))


def _bound(host: str) -> set[str]:
    """The addresses that a listener at this host takes, or the name, where only a name server knows the address."""
    if is_loopback(host) and parsed(host) is None:
        return {"127.0.0.1", "::1"}
    return {str(parsed(host) or host.lower())}


def _overlap(one: str, other: str) -> bool:
    """0.0.0.0 takes every IPv4 address, and [::] every IPv6 one. A name may be either."""
    if one == other:
        return True
    first, second = parsed(one), parsed(other)
    same = first is None or second is None or first.version == second.version
    return same and (_is_any(one) or _is_any(other))


def _is_any(host: str) -> bool:
    found = parsed(host)
    return found is not None and found.is_unspecified


def _loopbacks(host: str) -> set[str]:
    """The addresses on this machine that the host may stand for. Dialling 0.0.0.0 leads to 127.0.0.1."""
    if _is_any(host) or (is_loopback(host) and parsed(host) is None):
        return {"127.0.0.1", "::1"}
    return {str(parsed(host))}


def _is_own_name(host: str) -> bool:
    own = socket.gethostname().lower()
    return host in {own, own.partition(".")[0]}


def _is_own_ip(host: str) -> bool:
    """Is it an address of this machine? Only those can be bound. Nothing is sent."""
    found = parsed(host)
    if found is None:
        return False
    family = socket.AF_INET6 if found.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(found), 0))
    except OSError:
        return False
    return True
