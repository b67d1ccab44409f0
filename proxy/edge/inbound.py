"""What came with one request, and how is its body waited for?

An Inbound is made when the head is whole. The door adds the pieces of the body as they come, and whoever answers the
request asks for all of it, or never does.
"""

import asyncio
from typing import Protocol
from urllib.parse import unquote, urlsplit

from proxy.edge.aside import aside

BODY_AHEAD = 256 * 1024  # bytes of a body that are read before somebody asks for it
PIECE = 1024 * 1024  # bytes that are joined while a body comes; the pieces are joined when it is whole
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Sender(Protocol):
    """What a body needs of the client's connection while it is waited for."""

    def write(self, data: bytes) -> None: ...

    def read_on(self) -> None:
        """Let the client's bytes come again."""
        ...


class BodyTooLong(Exception):
    """A request's body is longer than whoever reads it allows."""


class BodyTooSlow(Exception):
    """A request's body did not go on, or did not end, in time; the message says which."""


class BodyBroken(Exception):
    """A request's body is not valid HTTP, or its client has left."""


class Inbound:
    """One request as it came, its body perhaps still on its way. Names of headers are in lower case."""

    complete = False
    wanted = False
    expects = False  # the client waits for `100 Continue` before it sends the body
    live = False  # the answer goes out as it comes
    keep_alive = True
    id = ""  # for the log; given by the server

    _body: bytes | bytearray = b""  # behind the pieces
    _pieces: list[bytes] | None = None
    _size = 0  # bytes that came, kept or not
    _waiter: asyncio.Future[None] | None = None
    _fault = _forgotten = False

    def __init__(self, door: Sender, method: str, target: bytes, headers: dict[str, str], http11: bool) -> None:
        self._door = door
        self.method = method
        self.headers = headers
        self.http11 = http11
        if target[:1] != b"/":
            target = self._absolute(target)
        path, _, query = target.partition(b"?")
        text = path.decode("ascii", "surrogateescape")
        self.path = unquote(text, errors="surrogateescape") if "%" in text else text
        self.raw_query = query.decode("ascii", "surrogateescape")

    def __repr__(self) -> str:
        return f"<Inbound {self.method} {self.path}, {self._size} bytes{'' if self.complete else ' so far'}>"

    async def body(self, limit: int, stall: float, total: float) -> bytes:
        """All of it, within `total` seconds, and never silent for `stall` seconds.

        Raises BodyTooLong, BodyTooSlow, BodyBroken.
        """
        loop = asyncio.get_running_loop()
        last = loop.time() + total
        self.wanted = True
        if not self.complete and not self._fault:
            if self.expects:
                self._door.write(CONTINUE)
            self._door.read_on()
        while not self.complete and self._size <= limit:
            if self._fault:
                raise BodyBroken
            self._waiter = loop.create_future()
            until = min(loop.time() + stall, last)
            try:
                async with asyncio.timeout_at(until):
                    await self._waiter
            except TimeoutError:
                self.keep_alive = False  # nobody is to wait for the rest
                why = f"end within {total:g} s" if until == last else f"continue within {stall:g} s"
                raise BodyTooSlow(f"did not {why}") from None
        if self._size > limit:
            self.forget()
            raise BodyTooLong
        body, self._body = self._body, b""
        if self._pieces is None:
            return bytes(body)
        pieces, self._pieces = [*self._pieces, bytes(body)], None
        return await aside(self._size, b"".join, pieces)

    def add(self, chunk: bytes) -> bool:
        """More of the body has come. True where that is enough until somebody asks for it."""
        self._size += len(chunk)
        if self._forgotten:
            return False
        if not self._body:
            self._body = chunk  # most bodies come in one piece, and are not copied
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)  # a list of two-byte pieces would weigh twenty times as much
            self._body += chunk
            if len(self._body) >= PIECE:
                self._pieces = [*(self._pieces or ()), bytes(self._body)]
                self._body = b""
        self._wake()
        return not self.wanted and self._size > BODY_AHEAD

    def end(self) -> None:
        self.complete = True
        self.expects = False
        self._wake()

    def ends_soon(self) -> bool:
        """Is the rest of the body known to be short? Then reading it is cheaper than a new connection.

        A client that waits for `100 Continue` may never send it.
        """
        length = int(self.headers.get("content-length", -1))
        return length >= 0 and length - self._size <= BODY_AHEAD and not self.expects

    def fail(self) -> None:
        self._fault = True
        self._wake()

    def forget(self) -> None:
        """Nobody will ask for the body any more."""
        self._body, self._pieces = b"", None
        self._forgotten = True

    def _absolute(self, target: bytes) -> bytes:
        """`http://host/path`, as clients write it to a proxy (RFC 9112, 3.2.2): its host wins over the header.

        Raises ValueError where it is no URL.
        """
        parts = urlsplit(target.decode("ascii", "surrogateescape"))
        if parts.netloc:
            self.headers["host"] = parts.netloc.rpartition("@")[2]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return path.encode("ascii", "surrogateescape")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
