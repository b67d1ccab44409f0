"""How do bytes get to a provider and back?

The edge towards providers, and the sole owner of `aiohttp.ClientSession`: one session, one pool. It dials, sets the
timers, and turns every way in which a connection can fail into an UpstreamError, once.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from functools import partial
from math import inf
from time import monotonic
from typing import cast
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from proxy.config import Timers
from proxy.edge.aside import LARGE
from proxy.edge.exchange import Exchange
from proxy.edge.failures import mapped, too_slow, turned_back
from proxy.edge.kernel import watch
from proxy.edge.lateness import Allowed
from proxy.edge.names import KNOWN_FOR, Names
from proxy.edge.origins import Held, Origin, Proxy
from proxy.edge.outbox import Outbox
from proxy.edge.trust import Connector
from proxy.edge.wire import Wire
from proxy.errors import Down, unsent
from proxy.headers import Trail

STANDARD = Timers()
IDLE_LIFE = 15.0  # seconds that a connection waits for another request: few providers close theirs earlier
PROXY_REFUSES = 407  # no provider says this (RFC 9110, 15.5.8); through a tunnel it comes before there is a connection
TOLD = 10.0  # seconds that a webhook has to answer
LIST_LIMIT = 8 * 1024 * 1024  # bytes of a list


class Upstream:
    """The pool. Made and closed inside a running loop. `tls`: whom to trust, in place of the system's choice."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.trail = Trail()
        # Held by the adapters that use them, so that they go with the last configuration that does.
        self._origins: WeakValueDictionary[tuple[str, Timers, str, ssl.SSLContext | None], Origin]
        self._origins = WeakValueDictionary()
        self._resting: set[Origin] = set()  # those that have connections which wait
        self._sweep: asyncio.TimerHandle | None = None
        self._names = Names(aiohttp.ThreadedResolver())
        self._connector = Connector(
            tls,
            limit=0,
            resolver=self._names,
            ttl_dns_cache=KNOWN_FOR,
            keepalive_timeout=IDLE_LIFE,
            socket_factory=_socket,
        )
        # The connector has no argument for the class of its connections; test_upstream.py watches this seam.
        self.outbox = Outbox(asyncio.get_running_loop())
        self._connector._factory = cast("partial[ResponseHandler]", partial(_wire, self.outbox))
        self._session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    def __repr__(self) -> str:
        return f"<Upstream {self.in_use} in use, {self.pooled} pooled>"

    @property
    def in_use(self) -> int:
        return len(self._connector._acquired) - self._waiting

    @property
    def pooled(self) -> int:
        return sum(len(conns) for conns in self._connector._conns.values()) + self._waiting

    @property
    def _waiting(self) -> int:
        return sum(len(origin.idle) for origin in self._resting)

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for origin in self._resting:
            while origin.idle:
                origin.idle.pop().connection.close()
        await self._session.close()
        await self._names.close()

    def origin(
        self, base_url: str, timers: Timers = STANDARD, proxy: str = "", tls: ssl.SSLContext | None = None
    ) -> Origin:
        """The one destination with this URL, these timers and that proxy. `tls`: whom to trust there."""
        key = (base_url, timers, proxy, tls)
        origin = self._origins.get(key)
        if origin is None:
            made = Proxy.at(proxy) if proxy else None
            origin = self._origins[key] = Origin(URL(base_url), timers, made, tls)
        return origin

    async def send(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        *,
        stream: bool,
        total: float | None = None,
        allowed: float | None = None,
    ) -> Exchange:
        """POST, and return at the head of the answer. `head`: request line and headers, without the content length.

        `total`: seconds until the answer must have ended, in place of the origin's own, which a stream does not have.
        Unlike that one it also holds for connecting: it is the client's, who does not care what they are spent on.
        `allowed`: how many the client allowed in all, to be named where they are over.

        A request that went out on a pooled connection and found it closed, with no byte back, is sent once more: it
        crossed the provider's idle close. Raises UpstreamError.
        """
        data, rest = b"%bcontent-length: %d\r\n\r\n" % (head, len(body)), body
        if len(body) <= LARGE:  # beyond that a second write costs less than the copy
            data, rest = data + body, b""
        timers, fresh, until = origin.timers, False, inf if total is None else monotonic() + total
        if stream:
            times = Allowed(timers.headers, timers.first_event, timers.idle, timers.quiet, total or 0, allowed or 0)
        else:  # most providers send the head of a whole answer only when all of it is ready
            times = Allowed(total=total or timers.total, client=allowed or 0)
        while True:
            held = None if fresh else origin.waiting(IDLE_LIFE)
            if held is None:
                with nullcontext() if fresh else unsent():  # the first time it may have been sent
                    held = await self._connect(origin, fresh, _left(until), allowed or 0)
                if total is not None:
                    times = times._replace(total=_left(until))
            exchange = Exchange(held.wire, partial(self._release, origin, held))
            try:
                exchange.send(data, rest, times)
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
                if origin.plain_proxy and exchange.status == PROXY_REFUSES:
                    exchange.abort()
                    raise turned_back(exchange.status)
                return exchange

    async def get(
        self, origin: Origin, path: str, headers: Mapping[str, str], seconds: float | None
    ) -> tuple[int, bytes]:
        """GET, for model lists and health: status and body. Raises UpstreamError.

        `path`: with its query, below the base URL; escaped, as it goes on the wire. `seconds`: None where the caller
        limits the time.
        """
        url = URL(f"{str(origin.url).rstrip('/')}{path}")
        shown = origin.plain_proxy.credentials if origin.plain_proxy else []
        try:
            async with self._session.get(
                url,
                headers={**headers, **dict(shown)},
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
                proxy=origin.proxy.url if origin.proxy else None,
                proxy_headers=origin.proxy.credentials if origin.proxy else None,
                ssl=origin.tls,
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > LIST_LIMIT:
                        raise Down("The provider's list is too long.", code="upstream_too_long")
                if origin.plain_proxy and response.status == PROXY_REFUSES:
                    raise turned_back(response.status)
                return response.status, bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise mapped(error, seconds, proxy=origin.proxy and origin.proxy.url) from None

    async def tell(self, url: str, body: bytes) -> int:
        """POST JSON to a webhook of the operator's: the status. Raises UpstreamError."""
        try:
            async with self._session.post(
                url,
                data=body,
                headers={"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=TOLD),
                allow_redirects=False,
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise mapped(error, TOLD, "webhook") from None

    async def _connect(self, origin: Origin, fresh: bool, most: float, allowed: float) -> Held:
        """A connection from aiohttp's connector; `fresh`: a new one, and those that wait are stale and are closed.

        `most`: seconds that it may take, where the origin's own timer is longer: what is left of those `allowed`.
        """
        seconds, timeout, cause = origin.timers.connect, origin.timeout, 0.0
        if most < seconds:
            seconds, timeout, cause = most, aiohttp.ClientTimeout(connect=most), allowed
        while fresh and origin.idle:
            origin.idle.pop().connection.close()
        while True:
            made: list[None] = []
            _being_made.set(made)
            try:
                connection = await self._connector.connect(origin.request, [], timeout)
            except TimeoutError:
                self._forget(origin)
                raise too_slow(origin.url, seconds, len(made), origin.proxy and origin.proxy.url, cause) from None
            except (aiohttp.ClientError, OSError) as error:
                self._forget(origin)
                raise mapped(error, seconds, proxy=origin.proxy and origin.proxy.url, is_connecting=True) from None
            wire = connection.protocol
            assert isinstance(wire, Wire)
            if wire.fresh or not (fresh or wire.should_close):
                return Held(connection, wire)
            connection.close()

    def _forget(self, origin: Origin) -> None:
        """Forget its address: nobody answered there, and the name may have another by now."""
        url = origin.proxy.url if origin.proxy else origin.url
        self._connector.clear_dns_cache(url.raw_host, url.port)

    def _release(self, origin: Origin, held: Held, reusable: bool) -> None:
        if not reusable or held.wire.is_old or self._connector.closed:
            held.connection.close()
            return
        origin.idle.append(Held(held.connection, held.wire, monotonic()))
        self._resting.add(origin)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_LIFE, self._close_old)

    def _close_old(self) -> None:
        """Close connections that have waited for too long, or that their provider has closed."""
        self._sweep = None
        oldest = monotonic() - IDLE_LIFE
        for origin in self._resting:
            waiting, origin.idle = origin.idle, []
            for held in waiting:
                if held.since > oldest and held.wire.is_connected():
                    origin.idle.append(held)
                else:
                    held.connection.close()
        self._resting = {origin for origin in self._resting if origin.idle}
        if self._resting:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_LIFE / 2, self._close_old)


def _left(until: float) -> float:
    """Seconds, in whole hundredths and never 0."""
    return max(round(until - monotonic(), 2), 0.01)


# The connector makes a protocol after the TCP handshake and before the TLS one: `_connect` tells the two apart by it.
# They are only counted: a context, and what it holds, lives as long as any timer or task that was begun in it.
_being_made: ContextVar[list[None]] = ContextVar("_being_made")


def _wire(outbox: Outbox) -> Wire:
    wire = Wire(asyncio.get_running_loop(), outbox)
    if (made := _being_made.get(None)) is not None:
        made.append(None)
    return wire


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    watch(made)  # a whole answer has no other timer that is as short
    return made


def _plain(exchange: Exchange) -> None:
    """We ask for no content coding, so that nobody can send us a bomb. Raises Down where one came all the same."""
    coding = exchange.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        exchange.abort()
        raise Down("The provider's answer is in a content encoding that was not requested.", code="upstream_protocol")
