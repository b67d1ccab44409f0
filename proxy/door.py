"""How does one HTTP exchange go over a client's connection?

The mirror of wire.py. llhttp, through httptools, reads the requests; what is written goes straight to the transport.
aiohttp's own server would do it as well, at twice the cost for a short answer, without a timer for a head that does
not end, and with an answer to malformed requests that shows their bytes: docs/decisions/0008-door.md.

    idle --first byte--> head --end of head--> answering (a task) --> idle, or closed
                          |                        |
                          +---- too slow, too long, malformed: an answer, then closed

The task starts with the head, so that whoever is not let in has no megabytes read. A client that leaves cancels it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

import httptools
from aiohttp.base_protocol import BaseProtocol

HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers
HEADERS_LIMIT = 256  # header lines
BODY_AHEAD = 256 * 1024  # bytes of a body that are taken in before somebody asks for it
QUEUE_LIMIT = 16  # pipelined requests that wait for their turn before the client must
LINGER = 10.0  # seconds in which the rest of a request that was answered early is read and thrown away


class Patience(NamedTuple):
    """Seconds that a client may take."""

    header: float = 10.0  # for its head, from the first byte
    body: float = 30.0  # between two pieces of its body
    keep_alive: float = 75.0  # with no request
    reading: float = 60.0  # with its answer unread


class Malformed(NamedTuple):
    """Why a connection's bytes are no request. `headers`: what was read before."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str]


class House(Protocol):
    """What stands behind every door."""

    patience: Patience

    def came(self, door: "Door") -> None: ...
    def went(self, door: "Door") -> None: ...

    def serve(self, inbound: "Inbound", door: "Door") -> Awaitable[None]: ...

    def refuse(self, malformed: Malformed) -> bytes:
        """The whole answer to what is no request, after which the connection is closed."""
        ...


class BodyTooLong(Exception):
    """A request's body is longer than whoever reads it allows."""


class BodyBroken(Exception):
    """A request's body is not valid HTTP, or its client has left."""


class Inbound:
    """One request as it came, its body perhaps still on its way. Names of headers are in lower case."""

    __slots__ = (
        "_chunks",
        "_door",
        "_fault",
        "_size",
        "_waiter",
        "complete",
        "headers",
        "http11",
        "keep_alive",
        "method",
        "path",
        "raw_query",
        "wanted",
    )

    def __init__(self, door: "Door", method: str, target: bytes, headers: dict[str, str], http11: bool) -> None:
        self._door = door
        self._chunks: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._fault = False
        self.complete = False
        self.wanted = False
        self.method = method
        self.headers = headers
        self.http11 = http11
        self.keep_alive = True
        if target[:1] != b"/":
            target = self._absolute(target)
        path, _, query = target.partition(b"?")
        text = path.decode("ascii", "surrogateescape")
        self.path = unquote(text, errors="surrogateescape") if "%" in text else text
        self.raw_query = query.decode("ascii", "surrogateescape")

    def __repr__(self) -> str:
        return f"<Inbound {self.method} {self.path}, {self._size} bytes{'' if self.complete else ' so far'}>"

    async def body(self, limit: int, stall: float) -> bytes:
        """All of it. Raises BodyTooLong, BodyBroken, TimeoutError where it does not go on for `stall` seconds."""
        self.wanted = True
        if not self.complete:
            if self.headers.get("expect", "").lower() == "100-continue":
                self._door.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._door.read_on()
        while not self.complete and self._size <= limit:
            if self._fault:
                raise BodyBroken
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(stall):
                await self._waiter
        if self._size > limit:
            raise BodyTooLong
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def add(self, chunk: bytes) -> bool:
        """More of the body has come. Has enough, until somebody asks for it?"""
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._wake()
        return not self.wanted and self._size > BODY_AHEAD

    def end(self) -> None:
        self.complete = True
        self._wake()

    def fail(self) -> None:
        self._fault = True
        self._wake()

    def forget(self) -> None:
        """Nobody will ask for the body any more."""
        self._chunks.clear()
        self.wanted = True

    def _absolute(self, target: bytes) -> bytes:
        """`http://host/path`, as clients say it to a proxy (RFC 9112, 3.2.2): its host is the one that counts."""
        parts = urlsplit(target.decode("ascii", "surrogateescape"))
        if parts.netloc:
            self.headers["host"] = parts.netloc.rpartition("@")[2]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return path.encode("ascii", "surrogateescape")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Door(BaseProtocol):
    """A client's connection. aiohttp's base class, so that aiohttp's own responses can be written through it."""

    __slots__ = (
        "_closing",
        "_counted",
        "_deadline",
        "_headers",
        "_heading",
        "_house",
        "_inbound",
        "_lines",
        "_queue",
        "_reading",
        "_requests",
        "_slow",
        "_target",
        "_task",
        "_timer",
    )

    ssl_context = peername = sockname = None  # what aiohttp's request wants to know of its connection

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._house = house
        self._requests = httptools.HttpRequestParser(self)
        self._headers: dict[str, str] = {}
        self._target = b""
        self._lines = 0  # of the head that is being read
        self._counted = 0  # bytes of it
        self._heading = False  # a head has begun and not ended
        self._slow = False  # it did not come in one piece
        self._reading: Inbound | None = None  # whose body is being read
        self._inbound: Inbound | None = None  # who is being answered
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Inbound] = deque()
        self._closing = False  # no more requests
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    def __repr__(self) -> str:
        state = "head" if self._heading else "idle" if self._inbound is None else repr(self._inbound)
        return f"<Door {state}>"

    # --- the connection's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._house.came(self)
        self._await(self._house.patience.keep_alive)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._house.went(self)
        self._closing = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._reading is not None:
            self._reading.fail()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._closing and self._reading is None:
            return
        try:
            self._requests.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours, and no fault of the client's
        except httptools.HttpParserUpgrade:
            self._closing = True  # the request is served as it is; what follows is not HTTP
        except httptools.HttpParserError:
            self._reject(400, "invalid_http", "The request is not valid HTTP.")
            return
        if self._heading:
            if not self._slow:
                self._slow = True
                self._await(self._house.patience.header)
            self._counted += len(data)
            if self._counted > HEAD_LIMIT:
                self._reject(431, "head_too_long", f"The request's head is longer than {HEAD_LIMIT} bytes.")

    # --- llhttp's side ---

    def on_message_begin(self) -> None:
        self._heading = True
        self._headers = {}
        self._target = b""
        self._lines = self._counted = 0
        self._slow = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._heading:  # a trailer
            return
        self._lines += 1
        self._counted += len(name) + len(value)
        key = name.decode("latin-1").lower()
        text = value.decode("utf-8", "surrogateescape")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        self._heading = False
        if self._closing:
            return
        if self._lines > HEADERS_LIMIT or self._counted > HEAD_LIMIT:
            self._reject(431, "head_too_long", f"The request's head is longer than {HEAD_LIMIT} bytes.")
            return
        try:
            inbound = self._inbound_of(self._requests)
        except ValueError:
            self._reject(400, "invalid_target", "The request's target is no URL.")
            return
        self._reading = inbound
        if self._inbound is None:
            self._begin(inbound)
        else:
            self._queue.append(inbound)
            if len(self._queue) >= QUEUE_LIMIT:
                self._hold()

    def _inbound_of(self, parser: httptools.HttpRequestParser) -> Inbound:
        http11 = parser.get_http_version() == "1.1"
        inbound = Inbound(self, parser.get_method().decode("ascii"), self._target, self._headers, http11)
        inbound.keep_alive = parser.should_keep_alive()
        return inbound

    def on_body(self, chunk: bytes) -> None:
        if self._reading is not None and self._reading.add(chunk):
            self._hold()

    def on_message_complete(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.end()

    # --- the server's side ---

    @property
    def stays(self) -> bool:
        """Will the connection be there for another request?"""
        return not self._closing and self._inbound is not None and self._inbound.keep_alive

    def write(self, data: bytes) -> None:
        """Raises ConnectionResetError where the client has left."""
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        self.transport.write(data)

    async def drained(self) -> None:
        """Wait for a client that reads slowly. Raises ConnectionAbortedError where it has stopped to."""
        while self._paused:
            assert self.transport is not None
            left = self.transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._house.patience.reading):
                    await super()._drain_helper()
            except TimeoutError:
                if self._stalls(left):
                    self.abort()
                    raise ConnectionAbortedError("the client does not read its answer") from None
        if self.transport is None:
            raise ConnectionResetError("the client has left")

    def _stalls(self, left: int) -> bool:
        return self.transport is not None and self.transport.get_write_buffer_size() >= left

    async def _drain_helper(self) -> None:
        """Here aiohttp's responses wait, and shall not wait longer than ours."""
        await self.drained()

    def read_on(self) -> None:
        """Let the client's bytes come again."""
        if self._reading_paused:
            self._reading_paused = False
            self._resume_transport_reading()

    def abort(self) -> None:
        """Close now, whatever is still to be written."""
        self._closing = True
        if self.transport is not None:
            self.transport.abort()

    def break_off(self) -> None:
        """End an answer that is not whole: what is written still goes out, and nothing that would say "the end"."""
        self._closing = True
        if self.transport is not None:
            self.transport.close()

    def retire(self) -> None:
        """Close as soon as nothing is under way."""
        if self._inbound is None:
            self.part()
        self._closing = True

    def part(self) -> None:
        """Close, politely: what is written still goes out, and a client that is still sending is heard out."""
        if self.transport is None:
            return
        self._closing = True
        if self._reading is None:
            self.transport.close()
            return
        self._reading.forget()
        self.read_on()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._await(LINGER)

    # --- one after the other ---

    def _begin(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._task = self._loop.create_task(self._answer(inbound))

    async def _answer(self, inbound: Inbound) -> None:
        try:
            await self._house.serve(inbound, self)
            if self._paused:
                await self.drained()
        except ConnectionError:
            self._closing = True
        finally:
            self._task = None
            self._over(inbound)

    def _over(self, inbound: Inbound) -> None:
        """The answer is given: the next, please."""
        stays = self.stays
        self._inbound = None
        if self.transport is None:
            return
        if not stays:
            self.part()
        elif self._queue:
            self._begin(self._queue.popleft())
            self.read_on()
        elif self._reading is not None:  # answered before its body had come
            self._reading.forget()
            self.read_on()
            self._await(LINGER)
        elif self._heading:
            self._await(self._house.patience.header)
        else:
            self._deadline = self._loop.time() + self._house.patience.keep_alive

    def _reject(self, status: int, code: str, message: str) -> None:
        """What came is no request: an answer in our own words, and no more from this client."""
        if self._closing or self.transport is None:
            return
        self._closing = True
        self._heading = False
        if self._reading is not None:  # broken off in its body: whoever reads that answers
            self._reading.fail()
            self._reading = None
            return
        if self._inbound is None:
            self.transport.write(self._house.refuse(Malformed(status, code, message, self._headers)))
            self.transport.close()

    def _hold(self) -> None:
        self._reading_paused = True
        self._pause_transport_reading()

    # --- time ---

    def _await(self, seconds: float) -> None:
        """Look again at that time at the latest. A deadline that moves on leaves the timer where it is."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.transport is None:
            return
        busy = self._inbound is not None
        if busy or self._loop.time() < self._deadline:
            later = self._loop.time() + self._house.patience.keep_alive if busy else self._deadline
            self._timer = self._loop.call_at(later, self._look)
        elif self._heading:
            self._reject(408, "head_timeout", "The request's head did not end in time.")
        elif self._closing or self._reading is not None:
            self.transport.abort()
        else:
            self.part()
