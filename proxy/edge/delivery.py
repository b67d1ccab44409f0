"""How does an answer get to the client, to its end, and who is told how it went?

A whole answer is one write. A live one goes out as it comes: the provider's own bytes in HTTP chunks, our own frames
through aiohttp-sse's response, which keeps a silent stream awake. What breaks a live stream is said in the wire's own
error event, and no last HTTP chunk follows, so that nobody takes it for whole.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Protocol, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage, StreamWriter
from aiohttp_sse import EventSourceResponse
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.edge.door import Door
from proxy.edge.inbound import Inbound
from proxy.edge.onlookers import conclude, show
from proxy.errors import GatewayError, UpstreamError
from proxy.headers import spell
from proxy.ports import Headers, Reply

PING_INTERVAL = 15.0  # seconds of silence before a live stream is kept awake
BODILESS = frozenset({204, 304})
START = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
BIG = 16 * 1024  # bytes of a chunk that are not worth copying

log = logging.getLogger("pillion")


async def deliver(door: Door, inbound: Inbound, reply: Reply, ours: bytes) -> None:
    """Write the answer to its end, and tell the endings how it went. `ours`: the header lines that we add."""
    broke: BaseException | None = None
    try:
        if isinstance(reply.body, bytes):
            _whole(door, inbound, reply, reply.body, ours)
            if door.writing_paused:
                await door.drained()
        elif reply.status in BODILESS or inbound.method == "HEAD":
            await _head_alone(door, inbound, reply, reply.body, ours)
        else:
            await _live(door, inbound, reply, reply.body, ours)
    except BaseException as error:
        broke = error
        raise
    finally:
        conclude(reply, broke or reply.stopped, inbound.id)


def answer(status: int, headers: Headers, ours: bytes, body: bytes) -> bytes:
    """A whole answer, after which the connection is closed."""
    return b"%b%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (
        _start(status, headers),
        ours,
        len(body),
        body,
    )


def _start(status: int, headers: Headers) -> bytes:
    start = (START.get(status) or b"HTTP/1.1 %d \r\n" % status) + spell(headers)
    return start if b"\r\ndate: " in start else b"%bdate: %b\r\n" % (start, _clock.date())


def _head(door: Door, inbound: Inbound, reply: Reply, ours: bytes) -> bytes:
    """All of the head but what tells where the body ends."""
    head = _start(reply.status, reply.headers) + ours
    if not door.stays:
        inbound.keep_alive = False  # and what comes meanwhile of its body does not change that
        return head + b"connection: close\r\n"
    return head if inbound.http11 else head + b"connection: keep-alive\r\n"


class _Clock:
    """The time for `date` (RFC 9110, 6.6.1), spelled once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._date = b""

    def date(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode()
        return self._date


_clock = _Clock()


# --- whole -----------------------------------------------------------------------------------------------------------


def _whole(door: Door, inbound: Inbound, reply: Reply, body: bytes, ours: bytes) -> None:
    if reply.taps:
        show(reply, body, inbound.id)
    head = _head(door, inbound, reply, ours)
    if reply.status in BODILESS:
        door.write(head + b"\r\n")
    elif inbound.method == "HEAD":
        door.write(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)))
    else:
        door.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))


# --- live ------------------------------------------------------------------------------------------------------------


class Lines(Protocol):
    """How a live body is spelled on the connection."""

    def write(self, chunk: bytes) -> Awaitable[None] | None: ...

    def end(self) -> Awaitable[None] | None:
        """Say that it is whole."""
        ...

    def stop(self) -> None:
        """Let nothing more be said unasked, but the head, without which no last words can be read."""
        ...


async def _live(door: Door, inbound: Inbound, reply: Reply, body: AsyncGenerator[bytes], ours: bytes) -> None:
    """Raises nothing of the provider's: what breaks the body is spelled as the stream's last event."""
    lines: Lines | None = None
    inbound.live = True
    if not inbound.http11:
        inbound.keep_alive = False  # its end is the connection's
    try:
        async with aclosing(body):
            lines = await _lines(door, inbound, reply, ours)
            async for chunk in body:
                if reply.taps:
                    show(reply, chunk, inbound.id)
                if (written := lines.write(chunk)) is not None:
                    await written
                if door.writing_paused:
                    await door.drained()
                if reply.stopped is not None:
                    break
        if reply.stopped is not None:
            raise reply.stopped
        await _end(lines)
    except GatewayError as error:
        if lines is None:
            raise
        reply.stopped = reply.stopped or error
        await _break(door, reply, lines, told=isinstance(error, UpstreamError) and error.told)
    except asyncio.CancelledError:
        if lines is None or reply.stopped is None or not door.connected:
            raise
        await _break(door, reply, lines, told=False)  # it was not the client that left: we do, and say so
    finally:
        if lines is not None:
            lines.stop()
        if reply.abort is not None:
            reply.abort()


async def _lines(door: Door, inbound: Inbound, reply: Reply, ours: bytes) -> Lines:
    """Frames of our own go out through aiohttp-sse's response."""
    if reply.ping is not None:
        inbound.keep_alive = door.stays  # as its head will say
        kept_awake = KeptAwake(door, reply.ping, CIMultiDict(_pairs(reply.headers, ours)))
        await kept_awake.prepare(_request(door, inbound))
        return kept_awake
    head = _head(door, inbound, reply, ours)
    return _Chunks(door, head) if inbound.http11 else _Bare(door, head)


async def _end(lines: Lines) -> None:
    lines.stop()
    if (written := lines.end()) is not None:
        await written


async def _break(door: Door, reply: Reply, lines: Lines, told: bool) -> None:
    """What stopped the reply is said once: by the provider, whose bytes are then whole, or in our last words."""
    if told:
        await _end(lines)
        return
    lines.stop()
    words = reply.last_words(reply.stopped) if reply.last_words is not None and reply.stopped is not None else b""
    if (written := lines.write(words)) is not None:
        await written
    door.break_off()


async def _head_alone(door: Door, inbound: Inbound, reply: Reply, body: AsyncGenerator[bytes], ours: bytes) -> None:
    """A live body that the client must not see (RFC 9110, 9.3.2 and 15.4.5)."""
    try:
        async with aclosing(body):
            door.write(_head(door, inbound, reply, ours) + b"\r\n")
    finally:
        if reply.abort is not None:
            reply.abort()


class _Bare:
    """A live body for a client that knows no chunks: it ends with the connection.

    The head goes out with the first piece, or by itself where that keeps it waiting.
    """

    __slots__ = ("_begin", "_door", "_head")

    def __init__(self, door: Door, head: bytes) -> None:
        self._door = door
        self._head = head + b"\r\n"
        self._begin = asyncio.get_running_loop().call_soon(self.stop)

    def write(self, chunk: bytes) -> None:
        self._door.write(self._head + chunk)
        self._head = b""

    def end(self) -> None:
        pass

    def stop(self) -> None:
        self._begin.cancel()
        if self._head and self._door.connected:
            self._door.write(self._head)
            self._head = b""


class _Chunks(_Bare):
    """A live body in HTTP chunks."""

    __slots__ = ()

    def __init__(self, door: Door, head: bytes) -> None:
        super().__init__(door, head + b"transfer-encoding: chunked\r\n")

    def write(self, chunk: bytes) -> None:
        if len(chunk) > BIG:
            self._door.write(b"%b%x\r\n" % (self._head, len(chunk)))
            self._door.write(chunk)
            self._door.write(b"\r\n")
        elif chunk:
            self._door.write(b"%b%x\r\n%b\r\n" % (self._head, len(chunk), chunk))
        else:  # would be the last chunk
            return
        self._head = b""

    def end(self) -> None:
        self._door.write(b"0\r\n\r\n")


class KeptAwake(EventSourceResponse):
    """A stream of our own frames. In a silent gap it says the wire's own ping, so that no middlebox cuts it."""

    def __init__(self, door: Door, ping: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(
            headers=headers, sep="\n", allow_all_methods=True, send_timeout=None, ping_interval=PING_INTERVAL
        )
        self._door = door
        self._frame = ping
        self._spoke = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.headers["Connection"] = "keep-alive" if request.keep_alive else "close"
        return await super().prepare(request)

    async def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self._spoke = True
        await super().write(data)

    def end(self) -> Awaitable[None]:
        return self.write_eof()

    def stop(self) -> None:
        """No ping may follow the end."""
        self.stop_streaming()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._ping_interval)
            if not self._spoke and not self._door.writing_paused:
                await super().write(self._frame)
            self._spoke = False


def _request(door: Door, inbound: Inbound) -> web.BaseRequest:
    """The request as aiohttp's responses want to see it."""
    message = RawRequestMessage(
        inbound.method,
        inbound.path,
        HttpVersion11 if inbound.http11 else HttpVersion10,
        CIMultiDictProxy(CIMultiDict(inbound.headers)),
        (),
        not door.stays,
        None,
        False,
        False,
        URL.build(path="/"),
    )
    protocol = cast(web.RequestHandler, door)
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    empty = StreamReader(door, 1, loop=loop)
    return web.BaseRequest(message, empty, protocol, StreamWriter(door, loop), task, loop)


def _pairs(headers: Headers, ours: bytes) -> Headers:
    """The lines of a head as aiohttp takes them: as text, so that bytes which are no UTF-8 do not stay as they were."""
    text = (spell(headers) + ours).decode("utf-8", "replace")
    lines = text.removesuffix("\r\n").split("\r\n")  # splitlines() knows more ends
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
