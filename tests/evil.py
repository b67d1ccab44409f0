"""What does a provider do to us on its worst day?

An HTTP/1.1 server that can do evil below HTTP: cut an answer at any byte by FIN or RST, stall for ever, write byte by
byte, lie about lengths, forget TLS's close_notify. It runs on the loop of the test, on a port of its own:

    async with Evil(Scenario(body=b"...", cut_at=3, how="rst")) as evil:
        ...  # the code under test asks evil.url
        request = await evil.received(1)
        closed = await evil.closed(request.connection)

A Scenario says how one answer goes. What came and what became of it stands in `requests`, `answers` and `closings`,
in the order of its happening. Nothing is waited for by sleeping: `received`, `pushed_all` and `closed` return at the
event. What no test ought to cause (a request without a scenario, bytes that are no request) fails at the end.

TLS is done here by hand over the plain transport, since asyncio's own would not leave out the close_notify.
"""

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, cast

import trustme

from tests import recordings

How = Literal["fin", "rst", "stall"]
Split = Literal["bytes"] | int | Sequence[int] | None

PATIENCE = 5.0  # seconds; how long a test waits for an event before it fails

_SLICE = 64 * 1024  # bytes; so that what was pushed is known in some detail when the peer does not read
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time (socket(7))

_MEDIA_TYPES = {
    "json": "application/json",
    "json-array": "application/json",
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "aws-eventstream": "application/vnd.amazon.eventstream",
    "text": "text/plain",
}


# --- what is to happen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How one answer goes. Delays and gaps are in seconds."""

    status: int = 200
    reason: str = "Whatever"
    headers: Sequence[tuple[str, str]] = ()  # a Content-Length among them is believed, right or wrong
    body: bytes = b""
    framing: Literal["length", "chunked", "eof"] = "length"
    split: Split = None  # sizes of the pieces, "bytes" or a seed: each its own write, and its own HTTP chunk
    raw: bytes | None = None  # these bytes and no others; they are split and cut, too
    cut_at: int | None = None  # after so many bytes ...
    cut_of: Literal["body", "wire"] = "body"  # ... of the body, or of all that goes over the wire (always, with `raw`)
    how: How = "fin"  # what happens at the cut; over TLS, neither has a close_notify
    delay_head: float = 0
    delay_body: float = 0
    gap: float = 0  # between pieces
    then: Literal["keep_alive", "close", "rst", "stall"] = "keep_alive"  # after an answer that was not cut

    @classmethod
    def from_recording(cls, row: recordings.Row, **changes: Any) -> Self:
        """The recorded answer. A stream comes in HTTP chunks, as from the provider; `changes` are fields."""
        headers = list(row["response_headers"].items())
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("content-type", _MEDIA_TYPES[row["framing"]]))
        live = row["framing"] in {"sse", "ndjson", "aws-eventstream", "json-array"}
        scenario = cls(
            status=row["status"],
            headers=headers,
            body=recordings.body(row),
            framing="chunked" if live else "length",
        )
        return replace(scenario, **changes)

    def wire(self) -> bytes:
        """The answer's bytes, uncut."""
        return b"".join(self._uncut())

    def pieces(self) -> list[bytes]:
        """What is written, piece by piece, up to the cut."""
        uncut = self._uncut()
        if self.cut_at is None:
            return uncut
        left, out = self._cut(self.cut_at), []
        for piece in uncut:
            out.append(piece[:left])
            left -= len(out[-1])
        if left:
            raise ValueError(f"there is no byte {self.cut_at} to cut at in {len(b''.join(uncut))} bytes")
        return [piece for piece in out if piece]

    def _uncut(self) -> list[bytes]:
        if self.raw is not None:
            return pieces(self.raw, self.split)
        last = [b"0\r\n\r\n"] if self.framing == "chunked" else []
        return [self._head(), *(self._framed(piece) for piece in pieces(self.body, self.split)), *last]

    def _head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{name}: {value}" for name, value in self.headers)]
        named = {name.lower() for name, _ in self.headers}
        if self.framing == "length" and "content-length" not in named:
            lines.append(f"Content-Length: {len(self.body)}")
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        if self.framing == "eof" or self.then == "close":
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _framed(self, piece: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.framing == "chunked" else piece

    def _cut(self, cut_at: int) -> int:
        """The place of the cut on the wire."""
        if self.raw is not None or self.cut_of == "wire":
            return cut_at
        at, left = len(self._head()), cut_at
        for piece in pieces(self.body, self.split):
            if left <= len(piece):
                size_line = len(self._framed(piece)) - len(piece) - 2 if self.framing == "chunked" else 0
                return at + (size_line + left if left else 0)
            at, left = at + len(self._framed(piece)), left - len(piece)
        return at + left


def pieces(data: bytes, split: Split) -> list[bytes]:
    """The data cut up as planned; none is empty, and where the sizes do not reach, the rest is one piece."""
    if split is None:
        cuts: Sequence[int] = []
    elif split == "bytes":
        cuts = range(1, len(data))
    elif isinstance(split, int):
        dice = random.Random(split)
        cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 12)))
    else:
        assert not isinstance(split, str)
        cuts = [min(sum(split[: count + 1]), len(data)) for count in range(len(split))]
    parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [part for part in parts if part]


Answering = Callable[["Received"], Scenario]


# --- what has happened -----------------------------------------------------------------------------------------------


@dataclass
class Received:
    """A request, logged when its head is in; `body` grows until it is `whole`."""

    connection: int
    method: str
    target: str  # exactly as on the wire
    headers: list[tuple[str, str]]  # in wire order and spelling
    head: bytes
    body: bytes = b""
    whole: bool = False

    def header(self, name: str) -> str | None:
        """The value of the first header of that name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def persistent(self) -> bool:
        return (self.header("connection") or "").lower() != "close"


@dataclass
class Answer:
    """How far an answer has got: `pushed` bytes were taken by the kernel, of head, framing and body (before TLS)."""

    connection: int
    scenario: Scenario
    pushed: int = 0
    state: Literal["going", "whole", "cut", "stalled", "abandoned"] = "going"
    at: list[float] = field(default_factory=list)  # when each piece went out, by the loop's clock


@dataclass(frozen=True)
class Closed:
    """How a connection ended: by the peer's FIN (or close_notify), RST or TLS alert, or as a scenario had it."""

    connection: int
    how: Literal["fin", "rst", "alert", "ours"]
    pushed: int  # bytes of all answers on the connection, as in Answer
    at: float  # the loop's clock


# --- the server ------------------------------------------------------------------------------------------------------


class Evil:
    """The server. Scenarios are used up one by one, or a function makes one for each request.

    `early` answers at the head of a request, without waiting for its body. `welcome` is what a new connection meets:
    "fin", "rst" and "stall" come before any byte, TLS handshake included. `tls` may be a context with another
    certificate than the good one for 127.0.0.1 and localhost, which `authority` vouches for. `host`, `port`: where it
    listens, any port of the loopback unless it is said.
    """

    def __init__(
        self,
        *scenarios: Scenario,
        answering: Answering | None = None,
        tls: bool | ssl.SSLContext = False,
        early: bool = False,
        welcome: Literal["serve", "fin", "rst", "stall"] = "serve",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.queue = deque(scenarios)
        self.early = early
        self.welcome = welcome
        self.requests: list[Received] = []
        self.answers: list[Answer] = []
        self.closings: list[Closed] = []
        self.faults: list[str] = []
        self.tls = _good_certificate() if tls is True else tls or None
        self.host = host
        self.port = port
        self._answering = answering
        self._connections: list[_Connection] = []
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        counts = f"{len(self._connections)} connections, {len(self.requests)} requests, {len(self.closings)} closed"
        return f"<Evil {self.url} {counts}, {len(self.queue)} scenarios left>"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._folder = tempfile.TemporaryDirectory()
        if self.tls is not None:
            authority().cert_pem.write_to_path(str(self.ca_pem))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.end("abort")
        await asyncio.gather(*(connection.over for connection in self._connections))
        await self._server.wait_closed()
        self._folder.cleanup()
        if self.faults and kind is None:
            raise AssertionError(f"{self!r}: " + "; ".join(self.faults))

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many were ever accepted; they are numbered from 0."""
        return len(self._connections)

    @property
    def ca_pem(self) -> Path:
        """Where `authority` stands, for clients that want a path."""
        return Path(self._folder.name) / "ca.pem"

    def add(self, *scenarios: Scenario) -> None:
        self.queue.extend(scenarios)

    def hang_up(self, connection: int, how: Literal["close", "fin", "rst"] = "close") -> None:
        """End a connection now, whatever it is about; idle ones, most likely."""
        self._connections[connection].end(how)

    async def connected(self, count: int = 1) -> None:
        await self._until(lambda: len(self._connections) >= count, f"connection {count}")

    async def received(self, count: int = 1) -> Received:
        """The `count`th whole request, as soon as there is one."""
        await self._until(lambda: len(self._whole()) >= count, f"request {count}")
        return self._whole()[count - 1]

    async def pushed_all(self) -> None:
        """Until each request has its answer, as much of it as its scenario has."""
        await self._until(self._all_answered, "the end of all answers")

    async def pushed(self, count: int, answer: int = 0) -> None:
        """Until so many bytes of an answer were taken by the kernel."""
        await self._until(
            lambda: len(self.answers) > answer and self.answers[answer].pushed >= count,
            f"{count} bytes of answer {answer}",
        )

    async def closed(self, connection: int = 0) -> Closed:
        await self._until(lambda: any(c.connection == connection for c in self.closings), f"the end of {connection}")
        return next(closing for closing in self.closings if closing.connection == connection)

    def scenario(self, request: Received) -> Scenario:
        if self._answering is not None:
            return self._answering(request)
        if self.queue:
            return self.queue.popleft()
        self.faults.append(f"no scenario is left for {request.method} {request.target}")
        return Scenario(status=500, body=b"no scenario is left", then="close")

    def join(self, connection: "_Connection") -> int:
        self._connections.append(connection)
        self.tell()
        return len(self._connections) - 1

    def tell(self) -> None:
        """Something was logged: whoever waits looks again."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _whole(self) -> list[Received]:
        return [request for request in self.requests if request.whole]

    def _all_answered(self) -> bool:
        answered = len(self.answers) == len(self.requests) > 0
        return answered and all(answer.state != "going" for answer in self.answers)

    async def _until(self, true: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE} s in vain for {what}: {self!r}") from None


class _Connection(asyncio.Protocol):
    """One accepted connection: reads requests, one after the other, and does what their scenarios say."""

    transport: asyncio.Transport

    def __init__(self, evil: Evil) -> None:
        loop = asyncio.get_running_loop()
        self._evil = evil
        self._tls = _Tls(evil.tls) if evil.tls else None
        self._inbox = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._closed: Closed | None = None
        self._answers: list[Answer] = []
        self._task: asyncio.Task[None] | None = None
        self.over: asyncio.Future[None] = loop.create_future()

    # what asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.transport.set_write_buffer_limits(0)  # resume_writing is to mean that everything was taken
        self._writable.set()
        self.number = self._evil.join(self)
        if self._evil.welcome == "serve":
            self._task = asyncio.get_running_loop().create_task(self._serve(), name=f"evil connection {self.number}")
        else:
            self.end(self._evil.welcome)

    def data_received(self, data: bytes) -> None:
        if self._task is None:  # stalled at the door
            return
        if self._tls is not None:
            try:
                data = self._tls.feed(data)
            except ssl.SSLError:
                self._note("alert")
                self.transport.abort()
                return
            self.transport.write(self._tls.outgoing())
            if self._tls.left:
                self._note("fin")
                self.end("close")
        self._inbox += data
        self._arrived.set()

    def eof_received(self) -> None:
        self._note("fin")
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("rst" if exc is not None else "ours")
        if self._task is None:
            self.over.set_result(None)
            return
        self._task.add_done_callback(lambda _: self.over.set_result(None))
        self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # how it ends

    def end(self, how: Literal["close", "fin", "rst", "stall", "abort"]) -> None:
        """Close: as a good server does. Fin: the same, but without TLS's farewell. Abort: whatever is still unsent."""
        if how == "stall" or (how != "abort" and self.transport.is_closing()):
            return
        if how == "close" and self._tls is not None:
            self.transport.write(self._tls.farewell())
        if how == "rst":
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        if how in {"rst", "abort"}:
            self.transport.abort()
        else:
            self.transport.close()

    def _note(self, how: Literal["fin", "rst", "alert", "ours"]) -> None:
        if self._closed is not None:
            return
        for answer in self._answers:
            answer.state = "abandoned" if answer.state == "going" else answer.state
        pushed = sum(answer.pushed for answer in self._answers)
        self._closed = Closed(self.number, how, pushed, asyncio.get_running_loop().time())
        self._evil.closings.append(self._closed)
        self._evil.tell()

    # what it does meanwhile

    async def _serve(self) -> None:
        try:
            while True:
                request = await self._request_head()
                if self._evil.early:
                    scenario = self._evil.scenario(request)
                    await self._answer(scenario, request)
                    await self._request_body(request)
                else:
                    await self._request_body(request)
                    await self._answer(self._evil.scenario(request), request)
        except Exception as error:
            self._evil.faults.append(f"connection {self.number}: {error!r}")
            self.end("rst")

    async def _request_head(self) -> Received:
        head = await self._line(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ")
        pairs = [line.partition(":") for line in lines if line]
        headers = [(name, value.strip(" \t")) for name, _, value in pairs]
        request = Received(self.number, method, target, headers, head)
        self._evil.requests.append(request)
        self._evil.tell()
        return request

    async def _request_body(self, request: Received) -> None:
        if (request.header("transfer-encoding") or "").lower() == "chunked":
            while size := int((await self._line(b"\r\n")).partition(b";")[0], 16):
                await self._take(request, size)
                await self._line(b"\r\n")
            while await self._line(b"\r\n") != b"\r\n":
                continue
        else:
            await self._take(request, int(request.header("content-length") or 0))
        request.whole = True
        self._evil.tell()

    async def _line(self, end: bytes) -> bytes:
        while (at := self._inbox.find(end)) < 0:
            await self._more()
        return self._out_of_inbox(at + len(end))

    async def _take(self, request: Received, size: int) -> None:
        while size:
            if not self._inbox:
                await self._more()
            some = self._out_of_inbox(size)
            request.body += some
            size -= len(some)

    def _out_of_inbox(self, size: int) -> bytes:
        out = bytes(self._inbox[:size])
        del self._inbox[:size]
        return out

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _answer(self, scenario: Scenario, request: Received) -> None:
        answer = Answer(self.number, scenario)
        self._answers.append(answer)
        self._evil.answers.append(answer)
        await asyncio.sleep(scenario.delay_head)
        for count, piece in enumerate(scenario.pieces()):
            if count:
                await asyncio.sleep(scenario.delay_body if count == 1 and scenario.raw is None else scenario.gap)
            answer.at.append(asyncio.get_running_loop().time())
            await self._push(piece, answer)
        await self._finish(answer, request)

    async def _finish(self, answer: Answer, request: Received) -> None:
        scenario = answer.scenario
        if scenario.cut_at is not None:
            answer.state = "stalled" if scenario.how == "stall" else "cut"
            what: Literal["keep_alive", "close", "fin", "rst", "stall"] = scenario.how
        else:
            answer.state = "whole"
            ends = scenario.then == "keep_alive" and (scenario.framing == "eof" or not request.persistent)
            what = "close" if ends else scenario.then
        self._evil.tell()
        if what != "keep_alive":
            self.end(what)
            await asyncio.get_running_loop().create_future()  # until the connection is lost

    async def _push(self, data: bytes, answer: Answer) -> None:
        for at in range(0, len(data), _SLICE):
            if self._closed is not None:  # over TLS a peer may say goodbye while we speak, and then nothing is sealed
                await asyncio.get_running_loop().create_future()  # until the connection is lost
            some = data[at : at + _SLICE]
            self.transport.write(some if self._tls is None else self._tls.seal(some))
            await asyncio.sleep(0)  # uvloop writes at the end of its turn
            while self.transport.get_write_buffer_size():
                await self._writable.wait()
                await asyncio.sleep(0)
            answer.pushed += len(some)
            self._evil.tell()


class _Tls:
    """The server's side of TLS, sans-I/O."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self._shaken = False
        self.left = False  # the client's close_notify has come: it waits for ours

    def feed(self, data: bytes) -> bytes:
        """The plain bytes in it. Raises SSLError: no TLS, or the client will have none of our certificate."""
        self._in.write(data)
        plain = bytearray()
        try:
            if not self._shaken:
                self._object.do_handshake()
                self._shaken = True
            while some := self._object.read(_SLICE):
                plain += some
            self.left = True
        except ssl.SSLWantReadError:
            pass
        return bytes(plain)

    def outgoing(self) -> bytes:
        return self._out.read()

    def seal(self, plain: bytes) -> bytes:
        self._object.write(plain)
        return self._out.read()

    def farewell(self) -> bytes:
        """Our close_notify."""
        with contextlib.suppress(ssl.SSLError):  # the client's own has not come yet
            self._object.unwrap()
        return self._out.read()


@cache
def authority() -> trustme.CA:
    """Who vouches for our certificates."""
    return trustme.CA()


def trust() -> ssl.SSLContext:
    """A client's context that trusts `authority` and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


@cache
def _good_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
