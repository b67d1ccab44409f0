"""How does one HTTP exchange go over a client's connection?

The mirror of wire.py. llhttp, through httptools, reads the requests; what is written goes straight to the transport.
aiohttp's own server would do it as well, at twice the cost for a short answer, without a timer for a head that does
not end, and with an answer to malformed requests that shows their bytes: docs/decisions/0008-door.md.

    idle --first byte--> head --end of head--> answering (a task) --> idle, or closed
                          |                        |
                          +---- too slow, too long, malformed: an answer, then closed

The task starts with the head, so that whoever is not let in has no megabytes read. A client that leaves cancels it.

What came before malformed bytes is answered first, in its turn. From a close that we begin until the client's own,
what comes is thrown away: a connection that is closed with bytes unread is reset, and a reset may overtake our answer.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import NamedTuple, Protocol

import httptools
from aiohttp.base_protocol import BaseProtocol

from proxy.edge.alarm import Alarm
from proxy.edge.inbound import CONTINUE, Inbound

HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers; and of what is no body between two pieces of one
HEADERS_LIMIT = 256  # header lines
QUEUE_LIMIT = 16  # pipelined requests that wait for their turn before the client must; one read may bring more
LINGER = 10.0  # seconds in which what comes behind an early answer, or our last, is read and thrown away
FAREWELL = 0.05  # seconds that a connection without a request is kept open when we are about to end
GRACE = 0.01  # seconds that a client may have said its last before we ask whether it is still there


class Patience(NamedTuple):
    """Seconds that a client may take."""

    header: float = 10.0  # for its head, from the first byte
    body: float = 30.0  # between two pieces of its body
    whole_body: float = 300.0  # for all of them
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

    def serve(self, inbound: Inbound, door: "Door") -> Awaitable[None]: ...

    def refuse(self, malformed: Malformed) -> bytes:
        """The whole answer to what is no request, after which the connection is closed."""
        ...


class Door(BaseProtocol):
    """A client's connection. aiohttp's base class, so that aiohttp's own responses can be written through it."""

    __slots__ = (
        "_alarm",
        "_closing",
        "_counted",
        "_deadline",
        "_deaf",
        "_ended",
        "_headers",
        "_heading",
        "_hosts",
        "_house",
        "_inbound",
        "_left",
        "_length",
        "_lines",
        "_malformed",
        "_parting",
        "_pulse",
        "_queue",
        "_reading",
        "_requests",
        "_slow",
        "_target",
        "_task",
        "_wish",
    )

    ssl_context = peername = sockname = None  # what aiohttp's request wants to know of its connection

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._house = house
        self._requests = httptools.HttpRequestParser(self)
        self._headers: dict[str, str] = {}
        self._wish = ""  # the protocol that the request would rather be in, whose head is read again
        self._target = b""
        self._lines = self._length = self._hosts = 0  # lines of the head that is being read, bytes in them, other hosts
        self._counted = 0  # bytes of reads since the last piece of a body, or end of a request
        self._heading = False  # a head has begun and not ended
        self._slow = False  # it did not come in one piece
        self._reading: Inbound | None = None  # whose body is being read
        self._inbound: Inbound | None = None  # who is being answered
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Inbound] = deque()
        self._malformed: Malformed | None = None  # what came behind the last in the queue
        self._deaf = False  # what comes is not read any more
        self._closing = False  # no more requests
        self._parting = False  # nothing more from us; it is the client's turn to close
        self._left = 0  # bytes that the client had not read when we last looked
        self._ended = False  # the client sends no more, and may still be there
        self._pulse: asyncio.TimerHandle | None = None  # when to see whether it is
        self._alarm = Alarm(loop, self._look)
        self._deadline = 0.0

    def __repr__(self) -> str:
        state = "head" if self._heading else "idle" if self._inbound is None else repr(self._inbound)
        return f"<Door {state}>"

    # --- the connection's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await(self._house.patience.keep_alive)
        self._house.came(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)  # and no exception: `drained` sees that there is no transport
        super().connection_lost(exc)
        self._house.went(self)
        self._closing = self._deaf = True
        self._queue.clear()
        self._alarm.stop()
        if self._pulse is not None:
            self._pulse.cancel()
        if self._reading is not None:
            self._reading.fail()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._counted += len(data)
        try:
            self._requests.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours, and no fault of the client's
        except httptools.HttpParserUpgrade as upgrade:
            if not self._deaf:
                self._read_as_it_is(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._reject(400, "invalid_http", "The request is not valid HTTP.")
        if self._heading:
            self._go_on()
        elif self._reading is not None and self._counted > HEAD_LIMIT:  # extensions of chunks, or trailers
            self._reject(400, "invalid_http", "The request is not valid HTTP.")

    def eof_received(self) -> bool:
        """The client sends no more. Is the connection to be kept all the same?

        One that has closed and one that has shut down its sending side alone (`printf ... | nc`) look the same. While
        the answer has not begun we find out which it is, and serve the latter.
        """
        inbound = self._inbound
        if inbound is None or inbound.live or self._reading is not None:
            return False
        self._ended = True
        (self._queue[-1] if self._queue else inbound).keep_alive = False
        self._pulse = self._loop.call_later(GRACE, self._ask, inbound)
        return True

    # --- llhttp's side ---

    def on_message_begin(self) -> None:
        self._heading = True
        self._headers = {}
        self._target = b""
        self._lines = self._length = self._hosts = 0
        self._slow = False

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._length += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._heading:  # a trailer
            return
        self._lines += 1
        self._length += len(name) + len(value) + 4  # `: ` and the line's end
        if self._lines > HEADERS_LIMIT:
            return
        key = name.decode("latin-1").lower()
        text = value.decode("utf-8", "surrogateescape")
        headers = self._headers
        if key in headers:
            text = f"{headers[key]}, {text}"
            self._hosts += key == "host"
        headers[key] = text

    def on_headers_complete(self) -> None:
        self._heading = False
        if self._deaf:
            return
        headers = self._headers
        if self._lines > HEADERS_LIMIT or self._length > HEAD_LIMIT:
            self._reject_long()
            return
        version = self._requests.get_http_version()
        doubtful = version != "1.1" or "host" not in headers or self._hosts or "transfer-encoding" in headers
        if doubtful and not self._sound(version):
            self._reject(400, "invalid_http", "The request is not valid HTTP.")
            return
        if "upgrade" in headers and self._wishes():
            return
        try:
            inbound = self._inbound_of(version == "1.1")
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

    def _sound(self, version: str) -> bool:
        """What llhttp lets pass and RFC 9112 does not: 2.3 (versions), 3.2 (Host), 6.1 (codings of the body)."""
        headers = self._headers
        if version not in ("1.0", "1.1") or self._hosts:
            return False
        if version == "1.0":
            return "transfer-encoding" not in headers
        return "host" in headers and headers.get("transfer-encoding", "chunked").strip().lower() == "chunked"

    def _wishes(self) -> bool:
        """Will llhttp stop at the end of this head, for `_read_as_it_is`? Nobody pipelines such a wish."""
        if not self._requests.should_upgrade() or self._requests.get_method() == b"CONNECT":
            return False
        if self._inbound is not None:
            self._reject(400, "invalid_http", "The request is not valid HTTP.")
        return True

    def _inbound_of(self, http11: bool) -> Inbound:
        """Raises ValueError: the target is no URL."""
        parser, headers = self._requests, self._headers
        method = parser.get_method()
        if method == b"CONNECT":  # names a host, and no path
            raise ValueError
        if self._wish:  # for whoever answers; it goes to no provider
            headers["upgrade"], self._wish = self._wish, ""
        inbound = Inbound(self, method.decode("ascii"), self._target, headers, http11)
        inbound.keep_alive = parser.should_keep_alive()
        if "expect" in headers:
            inbound.expects = http11 and headers["expect"].strip().lower() == "100-continue"
        return inbound

    def _read_as_it_is(self, rest: bytes) -> None:
        """A request that would rather be in another protocol (`Upgrade: h2c`, as Java's HttpClient has it), served in
        this one (RFC 9110, 7.8). llhttp stops at the end of its head, so a new one reads the head again, less the wish.
        """
        start = b"%b %b HTTP/%b\r\n" % (
            self._requests.get_method(),
            self._target,
            self._requests.get_http_version().encode(),
        )
        kept = [line for line in self._headers.items() if line[0] not in ("upgrade", "connection", "http2-settings")]
        options = [option.strip().lower() for option in self._headers["connection"].split(",")]
        kept += [("connection", option) for option in ("close", "keep-alive") if option in options]
        lines = "".join(f"{name}: {value}\r\n" for name, value in kept).encode("utf-8", "surrogateescape")
        self._wish = self._headers["upgrade"]
        self._requests = httptools.HttpRequestParser(self)
        self.data_received(b"%b%b\r\n%b" % (start, lines, rest))

    def on_body(self, chunk: bytes) -> None:
        self._counted = 0
        if self._reading is not None and self._reading.add(chunk):
            self._hold()

    def on_message_complete(self) -> None:
        self._counted = 0
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.end()
            if self._inbound is None:  # answered long ago: from now on the connection is idle
                self._deadline = self._loop.time() + self._house.patience.keep_alive

    # --- the server's side ---

    @property
    def stays(self) -> bool:
        """Will the connection be there for another request?"""
        inbound = self._inbound
        if inbound is None or not inbound.keep_alive or self._closing:
            return False
        return inbound.complete or inbound.ends_soon()

    def write(self, data: bytes) -> None:
        """Raises ConnectionResetError where the client has left."""
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        self.transport.write(data)

    async def drained(self) -> None:
        """Wait for a client that reads slowly. Raises ConnectionAbortedError where it has stopped to."""
        while self._paused and self.transport is not None:
            left = self._unread()
            if self._drain_waiter is None:
                self._drain_waiter = self._loop.create_future()
            # Unlike a timeout, wait() does not cancel the future, for which a response's ping may be waiting as well.
            done, _ = await asyncio.wait([self._drain_waiter], timeout=self._house.patience.reading)
            if not done and self._unread() >= left:
                self.abort()
                raise ConnectionAbortedError("the client does not read its answer")
        if self.transport is None:
            raise ConnectionResetError("the client has left")

    def _unread(self) -> int:
        """Bytes that are on their way to the client, here and in the kernel: megabytes, for one that reads slowly."""
        if self.transport is None:
            return 0
        return self.transport.get_write_buffer_size() + self._in_kernel(termios.TIOCOUTQ)

    def _in_kernel(self, way: int) -> int:
        """Bytes that the kernel has of this connection, on one of its ways."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._socket(), way, bytes(4)))[0])
        except (OSError, ValueError):  # it has just been closed
            return 0

    def _socket(self) -> socket.socket:
        assert self.transport is not None
        sock: socket.socket = self.transport.get_extra_info("socket")
        return sock

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
        self._closing = self._deaf = True
        if self.transport is not None:
            self.transport.abort()

    def break_off(self) -> None:
        """End an answer that is not whole: what is written still goes out, and nothing that would say "the end"."""
        self._closing = True

    def retire(self) -> None:
        """Close as soon as nothing is under way. What a client says before it can have heard of that is answered."""
        self._closing = True
        if self._inbound is None and not self._heading and not self._parting:
            self._await(FAREWELL)

    @property
    def busy(self) -> bool:
        """Is an answer under way: asked for, or not yet out of our hands?"""
        if self._inbound is not None:
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    @property
    def idle_since(self) -> float:
        """When it was last of use to its client, by the loop's clock; of one that is not busy."""
        patience = self._house.patience
        hearing_out = self._parting or self._reading is not None
        return self._deadline - (LINGER if hearing_out else patience.header if self._heading else patience.keep_alive)

    @property
    def speaks(self) -> bool:
        """Has the client said what we have not read yet?"""
        return self._in_kernel(termios.FIONREAD) > 0

    def interrupt(self, reason: object = "interrupted") -> None:
        """Cancel what the answer waits for. The client is still there, and whoever answers may tell it why."""
        if self._task is not None:
            self._task.cancel(reason)

    def part(self) -> None:
        """Close, politely: what is written still goes out, and a client that is still sending is heard out."""
        if self.transport is None or self._parting:
            return
        sending = self._deaf or self._heading or self._reading is not None or self._reading_paused or self._queue
        self._closing = self._deaf = self._parting = True
        self._queue.clear()
        self._reading = None
        self._left = self._unread()
        self._await(LINGER)
        if sending and not self._ended and not self.transport.is_closing():
            self.read_on()
            self.transport.write_eof()
        else:
            self.transport.close()

    # --- one after the other ---

    def _begin(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._task = self._loop.create_task(self._answer(inbound))

    async def _answer(self, inbound: Inbound) -> None:
        try:
            await self._house.serve(inbound, self)
        except BaseException:  # whatever was said so far, it is no answer
            self.abort()
            raise
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
            if len(self._queue) < QUEUE_LIMIT:
                self.read_on()
        elif self._malformed is not None:
            self._refuse(self._malformed)
        elif self._reading is not None:  # answered before its body had come
            self._reading.forget()
            self.read_on()
            self._await(LINGER)
        elif self._heading:
            self._await(self._house.patience.header)
        else:
            self._deadline = self._loop.time() + self._house.patience.keep_alive

    def _go_on(self) -> None:
        """A head did not end with what came."""
        if not self._slow:
            self._slow = True
            self._await(self._house.patience.header)
        if self._counted > HEAD_LIMIT:
            self._reject_long()

    def _reject_long(self) -> None:
        limits = f"{HEAD_LIMIT} bytes or {HEADERS_LIMIT} lines"
        self._reject(431, "head_too_long", f"The request's head is longer than {limits}.")

    def _reject(self, status: int, code: str, message: str) -> None:
        """What came is no request. Nothing behind it is read, and what came before it is answered first."""
        if self._deaf:
            return
        self._deaf = True
        self._heading = False
        reading, self._reading = self._reading, None
        if reading is None:
            self._malformed = Malformed(status, code, message, self._headers)
            if self._inbound is None:
                self._refuse(self._malformed)
        else:  # whoever reads the body answers; what never completes does not stay
            reading.fail()

    def _refuse(self, malformed: Malformed) -> None:
        self.write(self._house.refuse(malformed))
        self.part()

    def _hold(self) -> None:
        self._reading_paused = True
        self._pause_transport_reading()

    def _ask(self, inbound: Inbound) -> None:
        """Is a client that sends no more still there? One that has closed resets the connection at the next word."""
        if self._inbound is inbound and not inbound.live and not self._paused:
            if inbound.http11:
                self.write(CONTINUE)  # any client must be able to hear that, at any time (RFC 9110, 15.2)
            else:
                self.abort()  # HTTP/1.0 has no such word, and behind it stands a proxy whose own client has left
                return
        self._feel(GRACE)

    def _feel(self, after: float) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._socket().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()
        else:
            self._pulse = self._loop.call_later(after, self._feel, min(2 * after, 1.0))

    # --- time ---

    def _await(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        self._alarm.set(self._deadline)

    def _look(self) -> None:
        if self.transport is None:
            return
        now = self._loop.time()
        if now < self._deadline:
            self._alarm.set(self._deadline)
        elif self._inbound is not None:
            self._alarm.set(now + self._house.patience.keep_alive)
        elif self._parting:
            self._see_off()
        elif self._heading:
            self._reject(408, "head_timeout", "The request's head did not end in time.")
        else:
            self.part()

    def _see_off(self) -> None:
        """The client has had its time to close. One that is still reading our last words has more."""
        left = self._unread()
        if 0 < left < self._left:
            self._left = left
            self._await(self._house.patience.reading)
        else:
            self.abort()
