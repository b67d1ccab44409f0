"""How is a file fetched from a URL that a stranger wrote?

With suspicion: whoever chooses where we connect could have us ask what only we can reach, such as the cloud's metadata
or the service next door. So the check is made where a connection begins, on the very address that it goes to: there is
no second lookup that could answer otherwise (DNS rebinding), and no spelling of an address that gets around it. Files
are fetched by https on its usual port, with nothing of ours: no cookie, no key, no redirect followed, and no egress
proxy, which would look the name up itself.
"""

import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError, ClientSSLError
from yarl import URL

from proxy import __version__
from proxy.edge.trust import Connector

Address = IPv4Address | IPv6Address

CONNECTIONS = 32  # of all requests at once
_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"pillion/{__version__}"}

# Beside what `is_global` knows of IANA's registries (https://www.iana.org/assignments/iana-ipv6-special-registry/):
_UNICAST = ip_network("2000::/3")  # all that is routed; everything else of IPv6 is local, or leads into IPv4
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_NEVER = (
    ip_network("2002::/16"),  # 6to4 (RFC 7526): an IPv4 address as well
    ip_network("3fff::/20"),  # for documentation (RFC 9637)
    ip_network("192.88.99.0/24"),  # relays of 6to4
    ip_network("192.0.0.0/24"),  # of protocols, and of clouds: Oracle's metadata is at 192.0.0.192
    ip_network("168.63.129.16/32"),  # Azure's own, to its machines: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
)  # fmt: skip


class NotFetched(Exception):
    """Why not, in words that a stranger may read: they say nothing about our network."""


class Found(NamedTuple):
    data: bytes
    said: str  # the host's `Content-Type`


def is_public(address: Address) -> bool:
    """Is it an address of the public internet?"""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(address.packed[-4:]))
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)


class Fetcher:
    """Made and closed inside a running loop. The arguments are for tests, which fetch from loopback."""

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        port: int = 443,
        is_allowed: Callable[[Address], bool] = is_public,
    ) -> None:
        """`tls`: whom to trust, in place of the system's choice."""
        self._port = port
        self._is_allowed = is_allowed
        connector = Connector(
            tls, limit=CONNECTIONS, use_dns_cache=False, force_close=True, socket_factory=self._socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),  # the caller has one timer for all files of a request
        )

    async def close(self) -> None:
        await self._session.close()

    async def get(self, url: str, limit: int) -> Found:
        """The file at this URL, of at most `limit` bytes. Raises NotFetched."""
        try:
            async with self._session.get(self._checked(url), headers=_HEADERS, allow_redirects=False) as response:
                _check_head(response, limit)
                return Found(await _body(response, limit), response.headers.get("content-type", ""))
        except ClientSSLError:
            raise NotFetched("its host has no trusted certificate") from None
        except ClientConnectorError:  # unknown names included: a stranger must not learn which names we can resolve
            raise NotFetched("its host cannot be reached at a public address") from None
        except ValueError:  # one library or another found that no host can be called this
            raise NotFetched("its URL is not valid") from None
        except (aiohttp.ClientError, OSError):
            raise NotFetched("its host's answer cannot be read") from None

    def _checked(self, text: str) -> URL:
        """Raises NotFetched, and ValueError where it is no URL."""
        url = URL(text)
        if url.scheme != "https":
            raise NotFetched("its URL must begin with https://")
        if not url.host:
            raise ValueError(text)
        if url.raw_user is not None or url.raw_password is not None:
            raise NotFetched("its URL holds credentials")
        if url.port != self._port:
            raise NotFetched(f"its URL names port {url.port}, but only {self._port} is allowed")
        return url

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Each connection begins here. Raises OSError, which leaves the other addresses of the name to be tried."""
        family, kind, protocol, _, where = info
        try:
            allowed = self._is_allowed(ip_address(where[0]))
        except ValueError:  # such as 2130706433, which the kernel would read as 127.0.0.1
            allowed = False
        if not allowed:
            raise PermissionError("not a public address")
        return socket.socket(family, kind, protocol)


def _check_head(response: aiohttp.ClientResponse, limit: int) -> None:
    if 300 <= response.status < 400:
        raise NotFetched("its host answered with a redirect, which is not followed")
    if response.status != 200:
        raise NotFetched(f"its host answered with status {response.status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise NotFetched("its host answered in a content encoding that was not requested")
    if (response.content_length or 0) > limit:
        raise _too_long(limit)


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise _too_long(limit)
    if not body:
        raise NotFetched("it is empty")
    return bytes(body)


def _too_long(limit: int) -> NotFetched:
    return NotFetched(f"it is longer than {limit // 1024**2} MiB")
