"""Where is a provider, and what stands between it and us?

A destination, made once: its URL, its timers, whom to trust there, and the egress proxy on the way.
"""

import asyncio
import ssl
from base64 import b64encode
from time import monotonic
from typing import NamedTuple

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from proxy.config import Timers
from proxy.edge.wire import Wire
from proxy.headers import spell
from proxy.ports import Headers


class Held(NamedTuple):
    """A connection that is in use, or waits to be used again."""

    connection: Connection
    wire: Wire
    since: float = 0.0  # when it began to wait: seconds, time.monotonic


class Proxy(NamedTuple):
    """An egress proxy. Providers with TLS are reached through a tunnel that it makes (CONNECT)."""

    url: URL
    credentials: Headers

    @classmethod
    def at(cls, url: str) -> "Proxy":
        whole = URL(url)
        if not (whole.user or whole.password):
            return cls(whole, [])
        shown = b64encode(f"{whole.user or ''}:{whole.password or ''}".encode()).decode()
        return cls(whole.with_user(None), [("proxy-authorization", f"Basic {shown}")])

    def __repr__(self) -> str:
        return f"<Proxy {self.url}>"


class Origin:
    """A destination, prepared once: scheme, host and port come from the operator's config and nowhere else.

    `idle`: its waiting connections, the last used at the end. They are kept here because the connector's own pool
    computes a key, a timeout and a trace for every request.
    """

    __slots__ = ("__weakref__", "idle", "proxy", "request", "timeout", "timers", "tls", "url")

    def __init__(self, url: URL, timers: Timers, proxy: Proxy | None, tls: ssl.SSLContext | None) -> None:
        self.url = url
        self.timers = timers
        self.proxy = proxy
        self.tls: ssl.SSLContext | bool = tls or True  # True: the pool's own choice
        self.request = aiohttp.ClientRequest(
            "POST",
            url,
            loop=asyncio.get_running_loop(),
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.credentials if proxy else None,
            ssl=self.tls,
        )
        self.timeout = aiohttp.ClientTimeout(connect=timers.connect)
        self.idle: list[Held] = []

    def __repr__(self) -> str:
        return f"<Origin {self.url.origin()}>"

    def waiting(self, life: float) -> Held | None:
        """A connection that has waited for less than `life` seconds and may still be used."""
        while self.idle:
            held = self.idle.pop()
            if held.wire.is_connected() and monotonic() - held.since < life:
                return held
            held.connection.close()
        return None

    @property
    def plain_proxy(self) -> Proxy | None:
        """A proxy that reads each request, as there is no TLS to the provider: its credentials go in each of them."""
        return self.proxy if self.url.scheme == "http" else None

    def start(self, path: str, headers: Headers) -> bytes:
        """The start of a POST below the base URL, ready to be sent many times: an adapter makes it once."""
        path = self.url.raw_path.rstrip("/") + path
        if self.plain_proxy is not None:  # wants the whole URL (RFC 9112, 3.2.2)
            return request_head(str(self.url.origin()) + path, [*headers, *self.plain_proxy.credentials])
        return request_head(path, headers)


def request_head(target: str, headers: Headers) -> bytes:
    """Request line and headers."""
    return b"POST %b HTTP/1.1\r\n%b" % (target.encode("ascii", "surrogateescape"), spell(headers))
