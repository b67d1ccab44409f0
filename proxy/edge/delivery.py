"""How does an answer get to the client, and who hears how it ended?

A whole answer is one write. A live one goes out as it comes: the provider's own bytes in HTTP chunks, our own frames
through aiohttp-sse's response, which keeps a silent stream awake. A live stream that breaks ends with the wire's own
error event and without the last HTTP chunk, so that nobody takes it for whole.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Protocol

from proxy.edge.door import Door
from proxy.edge.heads import BODILESS
from proxy.edge.inbound import Inbound
from proxy.edge.loading import loaded
from proxy.edge.onlookers import conclude, show
from proxy.errors import GatewayError, UpstreamError, unwound
from proxy.headers import spell
from proxy.late import KEPT_AWAKE
from proxy.ports import Headers, Pour, Reply

START = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
BIG = 16 * 1024  # bytes; a chunk as long as this is written separately rather than copied

log = logging.getLogger("pillion")


async def deliver(door: Door, inbound: Inbound, reply: Reply, ours: bytes) -> None:
    """Write the whole answer, and tell its endings how it went. `ours`: the header lines that we add."""
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
        conclude(reply, error, inbound.id)
        raise
    conclude(reply, reply.stopped, inbound.id)


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
    """The head, except for the lines that say where the body ends."""
    head = _start(reply.status, reply.headers) + ours
    if not door.stays:
        inbound.keep_alive = False  # even if the rest of its body still comes
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
    reply.sent = len(body)
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
    """How a live body is written on the connection."""

    def put(self, chunk: bytes) -> None: ...

    def end(self) -> Awaitable[None] | None:
        """Say that it is whole."""
        ...

    def stop(self) -> None:
        """Write nothing more by itself, except a head that is still to go: the last words need one."""
        ...


async def _live(door: Door, inbound: Inbound, reply: Reply, body: AsyncGenerator[bytes], ours: bytes) -> None:
    """Raises nothing of the provider's: what breaks the body becomes the stream's last event."""
    lines: Lines | None = None
    inbound.live = True
    if not inbound.http11:
        inbound.keep_alive = False  # without chunks the body ends with the connection
    try:
        async with aclosing(body):
            lines = await _lines(door, inbound, reply, ours)
            pour: Pour | None = getattr(body, "pour", None)
            if pour is not None:
                await _poured(door, inbound, reply, pour, lines)
            else:
                await _piecewise(door, inbound, reply, body, lines)
        if reply.stopped is not None:
            raise reply.stopped
        await _end(lines)
    except GatewayError as error:
        if lines is None:
            raise
        reply.stopped = reply.stopped or unwound(error)
        await _break(door, reply, lines, told=isinstance(error, UpstreamError) and error.told)
    except asyncio.CancelledError:
        if reply.stopped is None or not door.connected:
            raise
        lines = lines or _plain(door, inbound, reply, ours)
        await _break(door, reply, lines, told=False)  # the client is still there: it was we who ended it, and say so
    finally:
        if lines is not None:
            lines.stop()
        if reply.abort is not None:
            reply.abort()


async def _poured(door: Door, inbound: Inbound, reply: Reply, pour: Pour, lines: Lines) -> None:
    """Write each piece in the same call that received it."""

    def write(chunk: bytes) -> bool:
        reply.sent += len(chunk)
        if reply.taps:
            show(reply, chunk, inbound.id)
        lines.put(chunk)
        return not door.writing_paused and reply.stopped is None

    while not await pour(write) and reply.stopped is None:
        await door.drained()


async def _piecewise(door: Door, inbound: Inbound, reply: Reply, body: AsyncGenerator[bytes], lines: Lines) -> None:
    async for chunk in body:
        reply.sent += len(chunk)
        if reply.taps:
            show(reply, chunk, inbound.id)
        lines.put(chunk)
        door.flush()  # the next piece may be there at once, and whether the client keeps up must be known before
        if door.writing_paused:
            await door.drained()
        if reply.stopped is not None:
            break


async def _lines(door: Door, inbound: Inbound, reply: Reply, ours: bytes) -> Lines:
    if reply.ping is not None:
        inbound.keep_alive = door.stays  # which its head will say
        kept_awake = await loaded(KEPT_AWAKE)
        lines: Lines = await kept_awake(door, inbound, reply.ping, spell(reply.headers) + ours)
        return lines
    return _plain(door, inbound, reply, ours)


def _plain(door: Door, inbound: Inbound, reply: Reply, ours: bytes) -> Lines:
    head = _head(door, inbound, reply, ours)
    return _Chunks(door, head) if inbound.http11 else _Bare(door, head)


async def _end(lines: Lines) -> None:
    lines.stop()
    if (written := lines.end()) is not None:
        await written


async def _break(door: Door, reply: Reply, lines: Lines, told: bool) -> None:
    """The error is written once: the provider has done so already (`told`), or our last words do."""
    if told:
        await _end(lines)
        return
    lines.stop()
    words = reply.last_words(reply.stopped) if reply.last_words is not None and reply.stopped is not None else b""
    reply.sent += len(words)
    lines.put(words)
    door.break_off()


async def _head_alone(door: Door, inbound: Inbound, reply: Reply, body: AsyncGenerator[bytes], ours: bytes) -> None:
    """The head of a live answer whose body must not be sent (RFC 9110, 9.3.2 and 15.4.5)."""
    try:
        async with aclosing(body):
            door.write(_head(door, inbound, reply, ours) + b"\r\n")
    finally:
        if reply.abort is not None:
            reply.abort()


class _Bare:
    """A live body for a client that knows no chunks: it ends with the connection.

    The head goes out with the first piece, or by itself where the first piece is not there at once.
    """

    __slots__ = ("_begin", "_door", "_head")

    def __init__(self, door: Door, head: bytes) -> None:
        self._door = door
        self._head = head + b"\r\n"
        self._begin = asyncio.get_running_loop().call_soon(self.stop)

    def put(self, chunk: bytes) -> None:
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

    def put(self, chunk: bytes) -> None:
        if len(chunk) > BIG:
            self._door.write(b"%b%x\r\n" % (self._head, len(chunk)))
            self._door.write(chunk)
            self._door.write(b"\r\n")
            self._door.flush()  # the chunk has gone out, and its end is not to wait
        elif chunk:
            self._door.write(b"%b%x\r\n%b\r\n" % (self._head, len(chunk), chunk))
        else:  # an empty chunk would be the last
            return
        self._head = b""

    def end(self) -> None:
        self._door.write(b"0\r\n\r\n")
