"""How does one HTTP exchange go over a pooled connection?

llhttp reads the provider's answer, through httptools. aiohttp's own client would cost many times as much for a stream:
docs/decisions/0003-wire.md has the figures.

    idle --begin--> waiting --head--> body --end--> idle (back to the pool)
                       |                |
                       +---- fault -----+--> aborted, never pooled again
"""

import asyncio
from collections.abc import Callable, Mapping

import httptools

from proxy.edge import heads
from proxy.edge.failures import why
from proxy.edge.lateness import EVENT, Allowed, Timed, soonest
from proxy.edge.wire import Wire
from proxy.errors import Down, UpstreamError
from proxy.ports import Sink

HEAD_LIMIT = 128 * 1024  # bytes that may come without a byte of body among them: heads, interim answers, trailers
HIGH_WATER = 32 * 1024  # bytes held for a slow reader before the provider is told to wait
PIECE = 128 * 1024  # bytes of what is held that a reader gets at once: what it makes of them may wait for its client
BURST = 64 * 1024  # bytes of one read after which others have their turn: uvloop may read 32 times before that
_FRAMING = (b"content-length", b"transfer-encoding")


class Exchange(Timed):
    """One request and its answer: a ports.Answer.

    `release(reusable)` is called once, when we are done with the connection. It has less than thirty fields: with more,
    Python no longer lets instances share the keys of their dicts, and each takes a KiB more.
    """

    asked: object = None  # for the adapter: with which key, and when

    _sink: Sink | None = None  # takes what comes, while `pour` waits
    _held = 0  # bytes in _chunks
    _counted = 0  # bytes since the last one of the body
    _paused = _interim = False
    _is_whole = False  # all of it is wanted at once, and no slow client makes us wait
    _surplus: int | None = None  # where bytes came behind the answer: how many chunks belong to it
    _bounded = False  # the head says where the body ends
    _error: UpstreamError | None = None

    def __init__(self, wire: Wire, release: Callable[[bool], None]) -> None:
        self._wire = wire
        self._release = release
        self._clock = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        self._lines: list[tuple[bytes, bytes]] = []  # of the head
        self.on_body = self._chunks.append  # llhttp calls it for each HTTP chunk, often dozens of times in a read
        self._parser = httptools.HttpResponseParser(self)  # looks up our callbacks now, and never again
        self.headers: Mapping[str, str] = {}
        self.pooled = not wire.fresh
        wire.fresh = False
        wire.exchange = self

    def __repr__(self) -> str:
        state = "done" if self._done else f"{self.status}, {self._held} bytes held" if self.status else "waiting"
        return f"<Exchange {state}>"

    # --- the caller's side ---

    @property
    def started(self) -> bool:
        """Has a byte come?"""
        return self.status > 0 or self._counted > 0

    def send(self, data: bytes, rest: bytes, allowed: Allowed) -> None:
        """Write the request, which may come in two pieces, and set the timers."""
        if self._wire.transport is None:  # the provider closed while we were given the connection
            self.lost(None)
            return
        self._wire.write(data)
        if rest:
            self._wire.write_long(rest)
        self._began = self._clock.time()
        self._allowed = allowed
        if allowed.headers or allowed.first_event or allowed.total:
            self._wire.wake_at(self._began + soonest(allowed.headers, allowed.first_event, allowed.total))

    async def head(self) -> None:
        """Wait for the answer's head. Raises UpstreamError."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._news()

    async def chunk(self) -> bytes:
        """What has come of the body, at least a byte; b"" at its end. Raises UpstreamError, after what came before."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._done:
                return b""
            await self._news()
        data = self._taken()
        self._go_on()
        return data

    async def pour(self, sink: Sink) -> bool:
        """Hand pieces to the sink as they come, without waking a task for each. True: it is the end; False: the sink
        has enough for now. Raises UpstreamError, after what came before, and what the sink raises.
        """
        while self._chunks or not self._done:
            if self._chunks:
                if not sink(self._taken()):
                    return False
                continue
            self._go_on()
            self._sink = sink
            try:
                if not await self._news():
                    return False
            finally:
                self._sink = None
        if self._error is not None:
            raise self._error
        return True

    async def read(self, limit: int) -> bytes:
        """All of the body. Raises UpstreamError: cut, timed out, or longer than `limit` bytes."""
        self._is_whole = True
        body = await self.chunk()
        if not self.ended():
            chunks, size = [body], len(body)
            while size <= limit and (chunk := await self.chunk()):
                chunks.append(chunk)
                size += len(chunk)
            body = b"".join(chunks)
        if len(body) > limit:
            self.abort()
            raise Down(f"The provider's answer is longer than {limit} bytes.", code="upstream_too_long")
        return body

    def ended(self) -> bool:
        """Has the whole body come, and been read?"""
        return self._done and self._error is None and not self._chunks

    def abort(self) -> None:
        """Let go of the connection, whatever it still carries."""
        if not self._done:
            self._fail(Down("pillion closed the connection to the provider.", code="upstream_aborted"))

    # --- the connection's side ---

    def received(self, data: bytes) -> None:
        if self._done:  # we have not let go of the connection yet, and these bytes are not part of the answer
            self._surplus = len(self._chunks)
            return
        self._last = self._clock.time()
        before = len(self._chunks)
        fault: UpstreamError | None = None  # raised after what came before it
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            fault = Down("The provider switched protocols without being asked to.", code="upstream_protocol")
        except httptools.HttpParserError as error:  # llhttp's own words quote nothing of what came
            fault = Down("The provider's answer is not valid HTTP.", code="upstream_protocol", detail=str(error))
        if self._surplus is not None:  # what came behind the end of this answer
            del self._chunks[self._surplus :]
        if len(self._chunks) == before:
            self._count(len(data))
        elif self._sink is not None and len(data) <= BURST:
            self._push(self._sink)
        else:  # much at once is poured when others have had their turn
            self._keep(before)
            self._sink = None
        if fault is not None:
            self._fail(fault)
        if self._sink is None or self._done:
            self._wake()

    def _count(self, size: int) -> None:
        """A read that brought nothing of the body."""
        self._counted += size
        if self._counted > HEAD_LIMIT:
            self._fail(Down("The head or the trailer of the provider's answer is too long.", code="upstream_protocol"))

    def _keep(self, before: int) -> None:
        """Hold the chunks behind the first so many until somebody reads them."""
        self._counted = 0
        self._held += sum(map(len, self._chunks[before:]))
        if self._held > HIGH_WATER:
            self._pause()

    def _pause(self) -> None:
        if not self._paused and not self._done:
            self._paused = True
            self._wire.hold()
            if not self._is_whole:
                self._wire.narrow()

    def _go_on(self) -> None:
        if self._paused and not self._held:
            self._paused = False
            self._wire.read_on()

    def lost(self, exc: BaseException | None) -> None:
        """The provider has closed. Only an answer whose head gave no length may end like this."""
        if self.status and not self._bounded and exc is None:
            self._end(reusable=False)
        elif not self.status:
            message = "The provider closed the connection without an answer."
            self._fail(Down(message, code="upstream_closed", detail=why(exc)))
        else:
            self._fail(Down("The provider's answer was cut short.", code="upstream_cut", detail=why(exc)))
        if self._waiter is not None:
            self._wake()

    # --- llhttp's side ---

    def on_message_begin(self) -> None:
        if self._done and self._surplus is None:
            self._surplus = len(self._chunks)  # bytes after the end: whatever they are, not the next answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._interim = True
            if any(name.lower() in _FRAMING and value != b"0" for name, value in self._lines):
                raise ValueError("an interim answer with a body")  # llhttp would hand it on as the answer's
            self._lines = []
            return
        if self._done:
            return
        headers, _ = heads.headers_of(self._lines)
        self._lines = []  # further lines are a trailer's, which nobody reads
        self.status, self.headers = status, headers
        self._bounded = status in heads.BODILESS or "content-length" in headers or "transfer-encoding" in headers

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self._done:
            self._end(reusable=self._parser.should_keep_alive())

    # --- waiting ---

    async def _news(self) -> bool:
        """Wait until something has come, or the end. With a sink: wait for the end, or until it has enough (False), and
        raise what it raises.
        """
        self._last = self._clock.time()
        self._waiter = self._clock.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _taken(self) -> bytes:
        """What is held, or its beginning."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if rest := data[PIECE:]:
            self._chunks.append(rest)
            self._held = len(rest)
            data = data[:PIECE]
        if self._watched and self._said is not EVENT:
            self._listen(data)
        return data

    def _push(self, sink: Sink) -> None:
        """Give the sink what has just come; nothing was held. What it raises goes to whoever waits in `pour`, and not
        to the connection.
        """
        self._counted = 0
        data = b"".join(self._chunks)
        self._chunks.clear()
        if self._said is not EVENT:
            self._listen(data)
        try:
            may_go_on = sink(data)
        except BaseException as error:
            self._sink = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
        else:
            if not may_go_on:
                self._sink = None
                self._wake(False)

    def _wake(self, may_go_on: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(may_go_on)

    # --- endings ---

    def _end(self, *, reusable: bool) -> None:
        """The whole answer has come, though it may not be read yet."""
        self._done = True
        # Later: llhttp is still reading this chunk, and bytes behind the answer would make the connection unusable.
        self._clock.call_soon(self._let_go, reusable)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None and not self._done:
            self._error = error
            self._done = True
            self._let_go(False)
        self._wake()

    def _let_go(self, reusable: bool) -> None:
        wire, release = self._wire, self._release
        wire.exchange = None
        del self._parser, self._release  # they refer to us: the cycle would be left to the garbage collector
        if self._paused:
            self._paused = False
            wire.read_on()
        release(reusable and self._surplus is None and wire.is_connected() and not wire.is_sending)
