"""How do bytes get to a provider and back?

The edge towards providers, and the sole owner of `aiohttp.ClientSession`: one session, one pool. It dials, times,
keeps header hygiene's last check, and turns every way in which a connection can fail into an UpstreamError, once.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from proxy.config import Timers
from proxy.errors import Down, Timeout, UpstreamError
from proxy.headers import spell
from proxy.wire import Exchange, Wire

STANDARD = Timers()


class Origin(NamedTuple):
    """A destination, prepared once: scheme, host and port come from the operator's config and nowhere else."""

    url: URL
    request: aiohttp.ClientRequest  # what the connector keys its pool by
    timers: Timers
    timeout: aiohttp.ClientTimeout  # the first of them, as the connector wants it

    def __repr__(self) -> str:
        return f"<Origin {self.url.origin()}>"


class Upstream:
    """The pool. Made and closed inside a running loop. `tls`: whom to trust, where it is not the system's choice."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=15, ssl=tls or True)
        # The connector has no argument for the class of its connections; test_upstream.py watches this seam.
        self._connector._factory = cast("partial[ResponseHandler]", partial(Wire, loop=asyncio.get_running_loop()))
        self._session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    def __repr__(self) -> str:
        return f"<Upstream {self.in_use} in use, {self.pooled} pooled>"

    @property
    def in_use(self) -> int:
        return len(self._connector._acquired)

    @property
    def pooled(self) -> int:
        return sum(len(conns) for conns in self._connector._conns.values())

    async def close(self) -> None:
        await self._session.close()

    def origin(self, base_url: str, timers: Timers = STANDARD) -> Origin:
        url = URL(base_url)
        request = aiohttp.ClientRequest("POST", url, loop=asyncio.get_running_loop())
        return Origin(url, request, timers, aiohttp.ClientTimeout(connect=timers.connect))

    async def send(self, origin: Origin, head: bytes, body: bytes, *, stream: bool) -> "WireAnswer":
        """POST, and return at the head of the answer. `head` is the request line and headers but for the length.

        A request that went out on a pooled connection and found it closed, with no byte back, is sent once more: the
        provider's idle close crossed it on the way. Raises UpstreamError.
        """
        data = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        timers, fresh = origin.timers, False
        while True:
            connection, wire = await self._connect(origin, fresh)
            exchange = Exchange(wire, partial(_release, connection))
            try:
                if stream:
                    exchange.send(data, first_byte=timers.first_byte, idle=timers.idle, total=0)
                else:
                    exchange.send(data, first_byte=0, idle=0, total=timers.total)
                await exchange.head()
                _plain(exchange)
            except Down:
                if exchange.started or not exchange.pooled:
                    raise
                fresh = True
            except BaseException:
                exchange.abort()
                raise
            else:
                return WireAnswer(exchange)

    async def get(self, origin: Origin, path: str, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
        """GET for the side roads (model lists, health): status and body, at most 8 MiB. Raises UpstreamError."""
        url = origin.url.joinpath(path.lstrip("/"))
        try:
            async with self._session.get(
                url, headers=headers, timeout=aiohttp.ClientTimeout(total=seconds), allow_redirects=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > 8 * 1024 * 1024:
                        raise Down("The provider's list does not end.", code="upstream_too_long")
                return response.status, bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _mapped(error, seconds) from None

    async def _connect(self, origin: Origin, fresh: bool) -> tuple[Connection, Wire]:
        """A connection, pooled or new; `fresh`: a new one, and those met in the pool are closed as they are stale."""
        while True:
            try:
                connection = await self._connector.connect(origin.request, [], origin.timeout)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _mapped(error, origin.timers.connect) from None
            wire = connection.protocol
            assert isinstance(wire, Wire)
            if wire.fresh or not (fresh or wire.should_close):
                return connection, wire
            connection.close()


class WireAnswer:
    """A provider's answer, as ports.Answer has it."""

    def __init__(self, exchange: Exchange) -> None:
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers
        self.chunk = exchange.chunk
        self.ended = exchange.ended
        self.abort = exchange.abort

    async def read(self, limit: int) -> bytes:
        chunks, size = [], 0
        while chunk := await self.chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                self.abort()
                raise Down(f"The provider's answer is longer than {limit} bytes.", code="upstream_too_long")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def request_head(path: str, headers: list[tuple[str, str]]) -> bytes:
    """The start of a POST, ready to be sent many times: an adapter makes it once."""
    return b"POST %b HTTP/1.1\r\n%b" % (path.encode("ascii"), spell(headers))


def _plain(exchange: Exchange) -> None:
    """We asked for no content coding, so that nobody can send a bomb. Raises Down where one came all the same."""
    coding = exchange.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        exchange.abort()
        raise Down("The provider's answer is in a content coding that was not asked for.", code="upstream_protocol")


def _release(connection: Connection, reusable: bool) -> None:
    if reusable:
        connection.release()
    else:
        connection.close()


def _mapped(error: Exception, seconds: float) -> UpstreamError:
    """Every way in which no connection comes about, in the words of our own tree."""
    match error:
        case TimeoutError():
            return Timeout(f"No connection to the provider within {seconds:g} s.", code="connect_timeout")
        case aiohttp.ClientConnectorDNSError():
            return Down("The provider's host name is not known.", kind="network_error", code="dns_error")
        case aiohttp.ClientSSLError():
            return Down("No secure connection to the provider.", kind="network_error", code="tls_error")
        case aiohttp.ClientConnectorError():
            return Down("The provider cannot be reached.", kind="network_error", code="connect_error")
        case _:
            return Down("The connection to the provider failed.", kind="network_error", code="network_error")
