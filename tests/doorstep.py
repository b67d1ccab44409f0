"""A server whose every path leads to one handler, and clients that say to it what they like, byte by byte.

Over real sockets. `ear` tells when the server has read so many bytes, so that a test can split what it sends where it
wants, and need not hope that time will do it.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy import registry
from proxy.edge.address import Address
from proxy.edge.door import Door
from proxy.edge.patience import Patience
from proxy.ports import Call, Handler, Reply
from proxy.routing import ANY, Route
from proxy.server import STANDARD, Server
from tests.client import Client, Got
from tests.waiting import soon

KEY = "sk-canary-0123456789"
HOST = b"Host: h\r\n"
GET = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"
BODY = b'{"said": "ab"}'
WHOLE = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 14\r\n\r\n" + BODY
CHUNKED = (
    b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    b"6;some=extension\r\n"
    + BODY[:6]
    + b"\r\n08\r\n"
    + BODY[6:]
    + b"\r\n0\r\nX-Trailer: t\r\nContent-Type: text/t\r\n\r\n"
)
CUT = GET[:-2] + b"X-Key: " + KEY.encode()
SMUGGLED = b"POST /smuggled HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
GARBAGE = b"\x16\x03\x01" + KEY.encode() + b"\r\n\r\n" + SMUGGLED
ENDLESS = {
    "length": WHOLE.replace(b"Length: 14", b"Length: 1000000000000"),
    "chunks": CHUNKED.partition(b"6;")[0] + b"ffffffffff\r\n",
}
HASTY = Patience(header=0.05, body_stall=0.05, keep_alive=0.05, write_stall=0.05)


@dataclass
class Listening:
    """A server whose every path leads to one handler, and what reached that."""

    server: Server
    host: str
    port: int
    calls: list[Call] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    cancelled: int = 0

    @property
    def doors(self) -> list[Door]:
        return list(self.server._doors)

    async def left(self) -> None:
        """Until no connection is left."""
        await soon(lambda: not self.doors)


async def echoing(call: Call) -> Reply:
    return Reply(200, [], b"<" + await call.receive() + b">")


async def naming(call: Call) -> Reply:
    return Reply(200, [], call.raw_query.encode())


def replying(*replies: Reply) -> Handler:
    """Without a look at the body."""
    left = list(replies)

    async def handler(call: Call) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return handler


@asynccontextmanager
async def serving(handler: Handler = echoing, patience: Patience = STANDARD) -> AsyncIterator[Listening]:
    async def noting(call: Call) -> Reply:
        at.calls.append(call)
        receive = call.receive

        async def received() -> bytes:
            at.bodies.append(await receive())
            return at.bodies[-1]

        call.receive = received
        try:
            return await handler(call)
        except asyncio.CancelledError:
            at.cancelled += 1
            raise

    paths = ["/x", "/smuggled"]
    routes = [Route(ANY, path, "chat", noting, dialect="openai_chat") for path in paths]
    at = Listening(Server(routes, registry.dialect, patience), "", 0)
    await at.server.open(Address("127.0.0.1", 0))
    at.server.start()
    at.host, at.port, _ = at.server.address
    try:
        yield at
    finally:
        await at.server.close()


class Ear:
    """Counts the bytes that doors have read."""

    def __init__(self) -> None:
        self.heard = 0

    async def after(self, one: Client, *pieces: bytes) -> None:
        """Send them so that each is read by itself."""
        for piece in pieces:
            wanted = self.heard + len(piece)
            await one.send(piece)
            await soon(lambda wanted=wanted: self.heard >= wanted)  # type: ignore[misc]


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    one = Ear()
    received = Door.data_received

    def hearing(self: Door, data: bytes) -> None:
        received(self, data)
        one.heard += len(data)

    monkeypatch.setattr(Door, "data_received", hearing)
    return one


class Gate:
    """A handler that waits until it may go on."""

    def __init__(self, then: Handler = echoing) -> None:
        self.then = then
        self.open = asyncio.Event()
        self.reached = 0

    async def __call__(self, call: Call) -> Reply:
        self.reached += 1
        await self.open.wait()
        return await self.then(call)


async def ended(one: Client) -> bytes:
    """All that still comes; the connection must end in good order, and not by a reset. Then the client closes too."""
    out = bytearray()
    while data := await one.some():
        out += data
    one.writer.close()
    return bytes(out)


def apart(raw: bytes) -> list[Got]:
    """Whole answers, one after the other. Interim ones are left out."""
    out = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        if first.split()[1] == "100":
            continue
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        size = int(dict(headers)["content-length"])
        out.append(Got(int(first.split()[1]), headers, raw[:size], len(raw) >= size))
        raw = raw[size:]
    return out


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The fields of what was logged."""
    return [vars(record) for record in caplog.records if record.name == "pillion"]


def check_refusal(got: Got, lines: Sequence[dict[str, Any]], status: int = 400) -> None:
    """An answer to what is no request: in our words, with an id, that one log line has as well."""
    assert got.status == status
    assert got.whole
    assert got.header("connection") == "close"
    assert got.header("content-type") == "application/json"
    request_id = got.header("x-pillion-request-id") or ""
    assert request_id.startswith("req_")
    assert json.loads(got.body)["error"]["code"] in ("invalid_http", "invalid_target", "head_too_long", "head_timeout")
    (line,) = lines
    assert (line["event"], line["id"], line["status"]) == ("refused", request_id, status)
    assert request_id not in line["message"]


def pipe(one: Client, data: bytes) -> None:
    """As `printf ... | nc` does: the end of what is sent comes with it."""
    with socket.socket(fileno=os.dup(one.writer.get_extra_info("socket").fileno())) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
