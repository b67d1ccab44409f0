"""Does a client's connection carry what HTTP/1.1 says it may, refuse what it may not, and leave nothing behind?

Over real sockets. `ear` tells when the server has read so many bytes, so that a test can split what it sends where it
wants, and need not hope that time will do it.
"""

import asyncio
import gc
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from proxy import registry
from proxy.edge import door, keptawake
from proxy.edge.address import Address
from proxy.edge.door import Door
from proxy.edge.flow import Flow
from proxy.edge.inbound import BODY_AHEAD
from proxy.edge.patience import Patience
from proxy.edge.requests import HEAD_LIMIT, HEADERS_LIMIT, Malformed
from proxy.errors import Down, GatewayError, OverLimit
from proxy.ports import Call, Handler, Reply
from proxy.routing import ANY, Route
from proxy.server import STANDARD, Server
from tests.client import Client, Got, client
from tests.clock import Clock
from tests.test_server import MEGABYTE, Watched, saying
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


# --- pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [WHOLE, CHUNKED], ids=["length", "chunks"])
async def test_a_request_may_be_split_anywhere(request_: bytes, ear: Ear) -> None:
    async with serving() as at, client(at) as one:
        for cut in range(1, len(request_)):
            await ear.after(one, request_[:cut], request_[cut:])
            got = await one.answer()
            assert (got.status, got.body) == (200, b"<" + BODY + b">")
            assert dict(at.calls[-1].headers).keys() <= {"host", "content-length", "transfer-encoding"}
        assert at.bodies == [BODY] * (len(request_) - 1)


@pytest.mark.parametrize("request_", [WHOLE, CHUNKED], ids=["length", "chunks"])
async def test_a_request_may_come_byte_by_byte(request_: bytes, ear: Ear) -> None:
    async with serving() as at, client(at) as one:
        await ear.after(one, *(request_[at : at + 1] for at in range(len(request_))))
        assert (await one.answer()).body == b"<" + BODY + b">"
    assert at.bodies == [BODY]


async def test_a_body_in_many_pieces_is_one_body(ear: Ear) -> None:
    body = bytes(range(256)) * 4096
    chunks = b"".join(b"2\r\n" + body[at : at + 2] + b"\r\n" for at in range(0, len(body), 2))
    async with serving() as at, client(at) as one:
        await one.send(CHUNKED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert (await one.answer()).body == b"<" + body + b">"


# --- pipelines -------------------------------------------------------------------------------------------------------


def numbered(number: int, more: bytes = b"") -> bytes:
    return b"GET /x?%d HTTP/1.1\r\n" % number + HOST + more + b"\r\n"


@pytest.mark.parametrize("count", [2, 20, 1000])
async def test_pipelined_requests_are_answered_in_their_order(count: int) -> None:
    async with serving(naming) as at, client(at) as one:
        await one.send(b"".join(map(numbered, range(count))))
        assert [(await one.answer()).body for _ in range(count)] == [b"%d" % number for number in range(count)]
        assert len(at.calls) == count


async def test_a_pipeline_is_read_no_further_than_it_is_answered() -> None:
    count, size = 3000, 1024
    longest = 0

    async def looking(call: Call) -> Reply:
        nonlocal longest
        (one,) = at.doors
        longest = max(longest, len(one._queue))
        return await naming(call)

    gate = Gate(looking)
    padding = b"X-Pad: " + b"x" * size + b"\r\n"
    async with serving(gate) as at, client(at) as one:
        sending = asyncio.create_task(one.send(b"".join(numbered(number, padding) for number in range(count))))
        await soon(lambda: bool(at.doors) and at.doors[0]._reading_paused)
        gate.open.set()
        assert [(await one.answer()).body for _ in range(count)] == [b"%d" % number for number in range(count)]
        await sending
    assert longest <= 256 * 1024 / size + door.QUEUE_LIMIT  # what one read holds


async def test_requests_behind_one_with_a_body_are_not_taken_for_it(ear: Ear) -> None:
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE[:-3], WHOLE[-3:] + CHUNKED + WHOLE + CHUNKED[:-5], CHUNKED[-5:])
        assert [(await one.answer()).body for _ in range(4)] == [b"<" + BODY + b">"] * 4
        assert at.bodies == [BODY] * 4


async def test_a_head_behind_a_long_body_is_not_as_long_as_that(ear: Ear) -> None:
    body = b"x" * 3 * HEAD_LIMIT
    first = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with serving() as at, client(at) as one:
        await ear.after(one, first + WHOLE[:20], WHOLE[20:])
        assert [len((await one.answer()).body) for _ in range(2)] == [len(body) + 2, len(BODY) + 2]
        assert len(at.calls) == 2


async def test_the_next_is_read_behind_a_long_body_that_came_before_it_was_asked_for() -> None:
    """All of it in one turn of the loop: it has us hold, and whoever asks for it finds it complete."""
    body = b"x" * (BODY_AHEAD + 10)
    async with serving() as at, client(at) as one:
        await soon(lambda: bool(at.doors))
        head = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
        next(iter(at.doors)).data_received(head + body)
        assert len((await one.answer()).body) == len(body) + 2
        await one.send(WHOLE)
        assert (await one.answer()).body == b"<" + BODY + b">"


async def test_an_answered_pipeline_goes_on(ear: Ear) -> None:
    """A head that is half here when the answer before it is given."""
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        await ear.after(one, WHOLE + WHOLE[:30])
        gate.open.set()
        assert (await one.answer()).status == 200
        await one.send(WHOLE[30:])
        assert (await one.answer()).status == 200
        assert len(at.calls) == 2


GARBAGE = b"\x16\x03\x01" + KEY.encode() + b"\r\n\r\n" + SMUGGLED


@pytest.mark.parametrize("count", [1, 3])
async def test_garbage_behind_requests_is_refused_when_they_are_answered(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(naming) as at, client(at) as one:
        await one.send(b"".join(map(numbered, range(count))) + GARBAGE)
        *served, refused = apart(await ended(one))
    assert [got.body for got in served] == [b"%d" % number for number in range(count)]
    check_refusal(refused, logged(caplog))
    assert len(at.calls) == count
    assert KEY not in caplog.text
    assert KEY.encode() not in refused.body


async def test_a_request_that_says_it_is_the_last_is(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(naming) as at, client(at) as one:
        await one.send(numbered(0, b"Connection: close\r\n") + SMUGGLED)
        (got,) = apart(await ended(one))
    assert (got.body, got.header("connection")) == (b"0", "close")
    assert len(at.calls) == 1


async def test_a_broken_body_behind_a_request_is_refused_in_its_turn(ear: Ear) -> None:
    gate = Gate()
    broken = CHUNKED.replace(b"\r\n08\r\n", b"\r\nzz\r\n")
    async with serving(gate) as at, client(at) as one:
        await ear.after(one, WHOLE + broken + SMUGGLED)
        gate.open.set()
        got = apart(await ended(one))
    assert [one.status for one in got] == [200, 400]
    assert got[1].header("connection") == "close"
    assert at.bodies == [BODY]


# --- clients that say no more, and clients that leave ----------------------------------------------------------------


def pipe(one: Client, data: bytes) -> None:
    """As `printf ... | nc` does: the end of what is sent comes with it."""
    with socket.socket(fileno=os.dup(one.writer.get_extra_info("socket").fileno())) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


PIPED = {"get": GET, "length": WHOLE, "chunks": CHUNKED, "three": GET + WHOLE + GET, "many": GET * 200}
PIPED["of HTTP/1.0"] = WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")


@pytest.mark.parametrize("request_", PIPED.values(), ids=PIPED)
async def test_what_is_piped_into_netcat_is_answered(request_: bytes) -> None:
    async with serving() as at, client(at) as one:
        pipe(one, request_)
        raw = await ended(one)
        got = apart(raw)
        await at.left()
    assert [one.status for one in got] == [200] * request_.count(b"HTTP/1.")
    assert b"100 Continue" not in raw  # nobody had to wait


@pytest.mark.parametrize("ping", [None, b"PING\n"], ids=["live", "frames"])
async def test_netcat_waits_for_a_slow_answer_and_is_asked_whether_it_is_there(ping: bytes | None) -> None:
    gate = Gate(replying(Watched(saying(b"a\n", b"b\n", b"c\n"), ping=ping).reply))
    async with serving(gate) as at, client(at) as one:
        await one.send(WHOLE)
        one.writer.write_eof()
        assert await one.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        pulse = at.doors[0]._pulse
        assert pulse is not None
        for _ in range(5):  # asks again, of the kernel and not of the client
            before = pulse._next
            await soon(lambda before=before: pulse._next is not before)  # type: ignore[misc]
        gate.open.set()
        got = await one.answer()
        assert (got.status, got.body, got.whole) == (200, b"a\nb\nc\n", True)
        assert (got.header("connection") or got.header("Connection")) == "close"
        assert await ended(one) == b""
        await at.left()
    assert at.cancelled == 0


async def test_a_pipeline_that_is_piped_into_netcat_is_answered_to_its_end() -> None:
    gate = Gate(naming)
    async with serving(gate) as at, client(at) as one:
        await one.send(b"".join(map(numbered, range(door.QUEUE_LIMIT))))
        one.writer.write_eof()
        await one.until(b"100 Continue\r\n\r\n")
        gate.open.set()
        assert [got.body for got in apart(await ended(one))] == [b"%d" % number for number in range(door.QUEUE_LIMIT)]
        await at.left()


async def test_netcat_on_http_1_0_that_waits_long_has_left_for_all_that_we_know(ear: Ear) -> None:
    """nginx closes its connection of HTTP/1.0 when its own client has left, and somebody pays for the answer."""
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        await ear.after(one, WHOLE.replace(b"1.1", b"1.0"))
        one.writer.write_eof()
        await at.left()
    assert at.cancelled == 1


@pytest.mark.parametrize("cut", [20, -3], ids=["head", "body"])
async def test_half_a_request_is_not_waited_for_when_its_client_says_no_more(cut: int, ear: Ear) -> None:
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE[:cut])
        one.writer.write_eof()
        assert await ended(one) == b""
        await at.left()
    assert at.cancelled == len(at.calls) == (cut == -3)


LEAVING = {
    "silent": b"",
    "head": WHOLE[:20],
    "body": WHOLE[:-3],
    "chunk": CHUNKED[:-30],
    "working": WHOLE,
    "pipelined": WHOLE * door.QUEUE_LIMIT,
    "pipelined head": WHOLE + WHOLE[:20],
    "pipelined body": WHOLE + WHOLE[:-3],
}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("sent", LEAVING.values(), ids=LEAVING)
async def test_a_client_that_leaves_cancels_what_it_asked_for(
    sent: bytes, how: Literal["fin", "rst"], ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    async def asking(call: Call) -> Reply:
        if at.bodies or not call.headers.get("content-length"):
            await call.receive()
        return await gate(call)

    async with serving(asking) as at, client(at) as one:
        if sent:
            await ear.after(one, sent)
            await soon(lambda: sent == LEAVING["head"] or bool(at.calls))
        else:
            await soon(lambda: bool(at.doors))
        one.leave(how)
        await at.left()
        await soon(lambda: at.cancelled == len(at.calls))
    assert len(at.calls) == (0 if sent in (b"", WHOLE[:20]) else 1)
    assert logged(caplog) == []


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("ping", [None, b"PING\n"], ids=["live", "frames"])
async def test_a_client_that_leaves_in_a_silent_stream_ends_it(
    ping: bytes | None, how: Literal["fin", "rst"], caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(saying(b"a\n", for_ever=True), ping=ping)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        await one.until(b"a\n\r\n")
        one.leave(how)
        await at.left()
        assert isinstance(await watched.end(), asyncio.CancelledError | ConnectionError)
        assert watched.aborted == 1
    assert logged(caplog) == []


async def test_a_client_that_leaves_before_its_handler_begins_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as at:
        hows: list[Literal["fin", "rst"]] = ["fin", "rst"]
        for how in hows:
            async with client(at) as one:
                one.writer.write(WHOLE)
                one.leave(how)
        await at.left()
        async with client(at) as one:
            await one.send(WHOLE)
            assert (await one.answer()).status == 200
    assert logged(caplog) == []


# --- time ------------------------------------------------------------------------------------------------------------

HASTY = Patience(header=0.05, body=0.05, keep_alive=0.05, reading=0.05)


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["the first", "the second"])
async def test_a_head_that_stops_is_told_so(before: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(patience=Patience(header=0.05)) as at, client(at) as one:
        await one.send(before)
        if before:
            assert (await one.answer()).status == 200
        await one.send(CUT)
        (got,) = apart(await ended(one))
        check_refusal(got, logged(caplog), 408)
    assert KEY not in caplog.text
    assert at.bodies == [BODY] * bool(before)


async def test_a_head_that_drips_is_no_better_than_one_that_stops() -> None:
    async with serving(patience=Patience(header=0.05)) as at, client(at) as one:

        async def dripping() -> None:
            with suppress(ConnectionError):
                while True:
                    await one.send(b"x")
                    await asyncio.sleep(0.01)

        await one.send(CUT)
        drips = asyncio.create_task(dripping())
        (got,) = apart(await ended(one))
        drips.cancel()
        with suppress(asyncio.CancelledError):
            await drips
    assert got.status == 408
    assert at.calls == []


async def test_a_head_behind_a_slow_answer_has_its_time_when_that_is_given(ear: Ear) -> None:
    gate = Gate()
    async with serving(gate, Patience(header=0.05)) as at, client(at) as one:
        await ear.after(one, WHOLE + CUT)
        (here,) = at.doors
        before = here._alarm._when
        await soon(lambda: here._alarm._when != before)  # its time would be over
        gate.open.set()
        assert (await one.answer()).status == 200
        assert (await one.answer()).status == 408


@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", WHOLE], ids=["silent", "line ends", "after an answer"])
async def test_an_idle_connection_is_closed(before: bytes) -> None:
    async with serving(patience=HASTY) as at, client(at) as one:
        await one.send(before)
        if before == WHOLE:
            assert (await one.answer()).status == 200
        assert await one.some() == b""
        await at.left()  # though the client does not close: there is nothing that it may still be sending


async def test_a_connection_is_idle_from_its_last_answer_on() -> None:
    async with serving() as at, client(at) as one:
        await soon(lambda: bool(at.doors))
        (here,) = at.doors
        before = here._deadline
        await asyncio.sleep(0.01)
        await one.send(WHOLE)
        assert (await one.answer()).status == 200
        assert here._deadline > before


async def test_a_connection_whose_answer_takes_long_is_not_idle() -> None:
    async def slow(call: Call) -> Reply:
        await asyncio.sleep(0.3)
        return await echoing(call)

    async with serving(slow, HASTY) as at, client(at) as one:
        await one.send(WHOLE)
        assert (await one.answer()).status == 200
        assert await ended(one) == b""


@pytest.mark.parametrize("request_", [WHOLE[:-3], CHUNKED[:-40], CHUNKED[:-3]], ids=["length", "chunk", "trailer"])
async def test_a_body_that_stalls_is_told_so_and_the_connection_closed(request_: bytes) -> None:
    async with serving(patience=HASTY) as at, client(at) as one:
        await one.send(request_)
        got = await one.answer()
        assert (got.status, got.header("connection")) == (408, "close")
        assert await ended(one) == b""
        assert at.bodies == []


# --- answers that come before the body has ---------------------------------------------------------------------------


async def test_the_short_rest_of_a_body_that_nobody_wants_costs_no_connection(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINGER", 0.05)
    async with serving(replying(Reply(401, [], b"no"))) as at, client(at) as one:
        await one.send(WHOLE[:-3])
        got = await one.answer()
        assert (got.status, got.header("connection")) == (401, None)
        await ear.after(one, WHOLE[-3:])
        (here,) = at.doors
        waiting = here._deadline - asyncio.get_running_loop().time()
        assert waiting > 1  # seconds: from now on it is idle, and no more lingering
        await one.send(WHOLE)
        assert (await one.answer()).status == 401


async def test_a_rest_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.02)
    async with serving(replying(Reply(401, [], b"no"))) as at, client(at) as one:
        await one.send(WHOLE[:-3])
        assert (await one.answer()).status == 401
        assert await ended(one) == b""
        await at.left()


ENDLESS = {
    "length": WHOLE.replace(b"Length: 14", b"Length: 1000000000000"),
    "chunks": CHUNKED.partition(b"6;")[0] + b"ffffffffff\r\n",
}


@pytest.mark.parametrize("head", ENDLESS.values(), ids=ENDLESS)
async def test_the_answer_to_a_body_that_is_too_long_can_be_read(head: bytes, ear: Ear) -> None:
    async with serving(replying(Reply(413, [], b"no" * 10_000))) as at, client(at) as one:
        await one.send(head)

        async def sending() -> None:
            with suppress(ConnectionError):
                while True:
                    await one.send(MEGABYTE)

        sends = asyncio.create_task(sending())
        await soon(lambda: ear.heard > 8 * len(MEGABYTE))  # long after the answer
        (got,) = apart(await ended(one))  # and the connection's end, and no reset
        assert (got.status, len(got.body), got.header("connection")) == (413, 20_000, "close")
        sends.cancel()
        with suppress(asyncio.CancelledError):
            await sends


async def test_who_goes_on_sending_for_ever_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.05)
    async with serving(replying(Reply(413, [], b"no"))) as at, client(at) as one:
        await one.send(ENDLESS["length"])
        with suppress(ConnectionError):
            while True:
                await one.send(MEGABYTE)
        await at.left()


async def test_what_nobody_asked_for_is_not_all_read(ear: Ear) -> None:
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        sending = asyncio.create_task(one.send(ENDLESS["length"] + MEGABYTE * 16))
        await soon(lambda: bool(at.doors) and at.doors[0]._reading_paused)
        heard = ear.heard
        assert heard <= BODY_AHEAD + 256 * 1024 + 100  # and one read
        one.reset()
        sending.cancel()
        gate.open.set()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending


async def test_what_somebody_asks_for_late_is_read_to_its_end() -> None:
    body = b"x" * 8 * BODY_AHEAD
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        sending = asyncio.create_task(one.send(WHOLE.partition(b"14")[0] + b"%d\r\n\r\n" % len(body) + body))
        await soon(lambda: bool(at.doors) and at.doors[0]._reading_paused)
        gate.open.set()
        assert len((await one.answer()).body) == len(body) + 2
        await sending
        assert at.bodies == [body]


async def test_what_is_too_long_is_not_kept(ear: Ear) -> None:
    gate = Gate()

    async def dallying(call: Call) -> Reply:
        try:
            return await echoing(call)
        except GatewayError:
            await gate(call)
            raise

    async with serving(dallying) as at, client(at) as one:
        at.server.body_limit = 1000
        await ear.after(one, ENDLESS["chunks"] + b"x" * 2000, MEGABYTE)
        await soon(lambda: gate.reached == 1)
        await ear.after(one, MEGABYTE)
        inbound = at.doors[0]._inbound
        assert inbound is not None
        assert inbound._body == b""
        gate.then = naming
        one.reset()
        await at.left()


async def test_a_broken_rest_of_a_body_ends_the_connection(ear: Ear) -> None:
    async with serving(replying(Reply(200, [], b"early"))) as at, client(at) as one:
        await one.send(WHOLE[:-3])
        assert (await one.answer()).body == b"early"
        await one.send(WHOLE[-3:] + GARBAGE)
        (got,) = apart(await ended(one))
        assert got.status == 400
        assert len(at.calls) == 1


# --- Expect ----------------------------------------------------------------------------------------------------------

EXPECTING = WHOLE.replace(HOST, HOST + b"Expect: 100-Continue \r\n")


async def test_a_client_that_asks_first_is_told_to_go_on_and_the_connection_stays() -> None:
    async with serving() as at, client(at) as one:
        for _ in range(2):
            await one.send(EXPECTING.removesuffix(BODY))
            assert (await one.head()) == (100, [])
            await one.send(BODY)
            got = await one.answer()
            assert (got.status, got.header("connection")) == (200, None)
        assert at.bodies == [BODY, BODY]


async def test_a_client_that_does_not_wait_is_not_told() -> None:
    async with serving() as at, client(at) as one:
        await one.send(EXPECTING + EXPECTING)
        got = [await one.answer() for _ in range(2)]
        assert [(one.status, one.header("connection")) for one in got] == [(200, None)] * 2
        assert len(at.bodies) == 2


async def test_a_client_that_is_refused_when_it_asks_need_not_send_its_body() -> None:
    async with serving(replying(Reply(401, [], b"no"))) as at, client(at) as one:
        await one.send(EXPECTING.removesuffix(BODY))
        got = await one.answer()
        assert (got.status, got.header("connection")) == (401, "close")  # what comes next: a body, or a request?
        await one.send(SMUGGLED)
        assert await ended(one) == b""
        assert len(at.calls) == 1


async def test_http_1_0_knows_no_interim_answers(ear: Ear) -> None:
    request = EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0")
    async with serving() as at, client(at) as one:
        await ear.after(one, request.removesuffix(BODY), BODY)
        assert (await one.head())[0] == 200
        assert at.bodies == [BODY]


# --- versions, methods, targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stays", [False, True])
async def test_http_1_0_stays_where_it_asks_to(stays: bool) -> None:
    request = WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(HOST, b"Connection: keep-alive\r\n" if stays else b"")
    async with serving() as at, client(at) as one:
        await one.send(request)
        got = await one.answer()
        assert (got.body, got.header("connection")) == (b"<" + BODY + b">", "keep-alive" if stays else "close")
        if stays:
            await one.send(request)
            assert (await one.answer()).status == 200
        else:
            assert await ended(one) == b""
        assert len(at.calls) == 1 + stays


@pytest.mark.parametrize("ping", [None, b"PING\n"], ids=["live", "frames"])
async def test_a_stream_over_http_1_0_ends_with_its_connection(ping: bytes | None) -> None:
    request = GET.replace(b"HTTP/1.1", b"HTTP/1.0").replace(HOST, b"Connection: keep-alive\r\n")
    async with serving(replying(Watched(saying(b"a\n", b"b\n"), ping=ping).reply)) as at, client(at) as one:
        await one.send(request)
        _, headers = await one.head()
        assert {name.lower(): value for name, value in headers}["connection"] == "close"
        assert await ended(one) == b"a\nb\n"
        await at.left()


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_an_answer_that_may_have_no_body_has_none(method: bytes, status: int, live: bool) -> None:
    watched = Watched(saying(b"no") if live else b"no")
    watched.reply.status = status
    async with serving(replying(watched.reply, Reply(200, [], b"next"))) as at, client(at) as one:
        await one.send(GET.replace(b"GET", method, 1) + GET)
        got = await one.answer(bodiless=True)
        assert got.status == status
        assert got.header("content-length") == (None if live or status != 200 else "2")
        assert got.header("transfer-encoding") is None
        assert (await one.answer()).body == b"next"
        assert await watched.end() is None
        assert watched.aborted == live
        assert len(at.calls) == 2


async def test_blanks_around_a_value_are_no_part_of_it() -> None:
    """RFC 9112, 5: llhttp leaves those behind it."""
    lines = b"Host: \t h\t \r\nX-A:  a b \t\r\nX-A: c\t\r\nX-Last: d \r\n"
    async with serving() as at, client(at) as one:
        await one.send(b"GET /x HTTP/1.1\r\n" + lines + b"\r\n")
        assert (await one.answer()).status == 200
        assert at.calls[0].headers == {"host": "h", "x-a": "a b, c", "x-last": "d"}


async def test_the_host_of_an_absolute_target_is_the_one_that_counts() -> None:
    async with serving(naming) as at, client(at) as one:
        await one.send(b"GET http://user@there:80/x?q=%25 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await one.answer()).body == b"q=%25"
        assert at.calls[0].headers["host"] == "there:80"


@pytest.mark.parametrize("target", [b"*", b"http://h", b"/%ff%00", b"/x/", b"///x", b"/x#f", b"/%78%2f.."])
async def test_a_target_that_leads_nowhere_is_a_404(target: bytes) -> None:
    async with serving() as at, client(at) as one:
        for _ in range(2):
            await one.send(b"OPTIONS " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            got = await one.answer()
            assert (got.status, json.loads(got.body)["error"]["code"]) == (404, "unknown_url")
        assert at.calls == []


async def test_a_long_url_is_taken() -> None:
    query = b"q=" + b"x" * 60 * 1024
    async with serving(naming) as at, client(at) as one:
        await one.send(b"GET /x?" + query + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await one.answer()).body == query
        assert len(at.calls) == 1


WISHES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"upgrade: websocket\r\nconnection: upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
]


@pytest.mark.parametrize("wish", WISHES, ids=["h2c", "websocket"])
@pytest.mark.parametrize("request_", [WHOLE, CHUNKED], ids=["length", "chunks"])
async def test_a_request_that_would_change_protocols_is_served_in_this_one(
    wish: bytes, request_: bytes, ear: Ear
) -> None:
    wishing = request_.replace(HOST, HOST + wish)
    async with serving() as at, client(at) as one:
        await one.send(wishing + WHOLE)
        assert [(await one.answer()).body for _ in range(2)] == [b"<" + BODY + b">"] * 2
        for cut in range(1, len(wishing), 3):
            await ear.after(one, wishing[:cut], wishing[cut:])
            got = await one.answer()
            assert (got.status, got.body, got.header("connection")) == (200, b"<" + BODY + b">", None)
        assert set(at.bodies) == {BODY}
        assert f"upgrade: {at.calls[0].headers['upgrade']}\r\n" in wish.decode().lower()


@pytest.mark.parametrize("option", [b"close", b"keep-alive"])
async def test_a_wish_for_another_protocol_does_not_hide_what_else_the_connection_is_told(option: bytes) -> None:
    wish = b"Upgrade: h2c\r\nConnection: " + option + b"\r\nConnection: upgrade\r\n"
    async with serving() as at, client(at) as one:
        await one.send(WHOLE.replace(HOST, HOST + wish) + GET)
        got = [await one.answer() for _ in range(1 if option == b"close" else 2)]
        assert (got[-1].header("connection") == "close") == (option == b"close")
        assert len(at.calls) == len(got)


async def test_wishes_do_not_come_in_pipelines() -> None:
    wishing = GET.replace(HOST, HOST + WISHES[0])
    async with serving() as at, client(at) as one:
        await one.send(wishing * 1000)
        got = apart(await ended(one))
    assert [one.status for one in got] == [200, 400]
    assert len(at.calls) == 1


# --- heads -----------------------------------------------------------------------------------------------------------


async def test_a_header_that_comes_twice_is_one_header() -> None:
    async with serving() as at, client(at) as one:
        await one.send(GET[:-2] + b"X-A: 1\r\nx-b:\t3  \r\nx-a: \xff\r\nX-C:\r\n\r\n")
        assert (await one.answer()).status == 200
        headers = at.calls[0].headers
        assert (headers["x-a"], headers["x-b"].strip(), headers["x-c"]) == ("1, \udcff", "3", "")


@pytest.mark.parametrize("lines", [HEADERS_LIMIT - 1, HEADERS_LIMIT, 50_000])
@pytest.mark.parametrize("name", [b"a%d", b"a"], ids=["names", "one name"])
async def test_a_head_has_so_many_lines(
    name: bytes, lines: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    more = b"".join((name % number if b"%" in name else name) + b":\r\n" for number in range(lines))
    async with serving() as at, client(at) as one:
        refuse, refused = at.server.refuse, []

        def noting(malformed: Malformed) -> bytes:
            refused.append(malformed)
            return refuse(malformed)

        monkeypatch.setattr(at.server, "refuse", noting)
        await one.send(GET[:-2] + more + b"\r\n")
        got = await one.answer()
        if lines < HEADERS_LIMIT:  # with Host
            assert got.status == 200
        else:
            check_refusal(got, logged(caplog), 431)
            assert at.calls == []
            (malformed,) = refused
            assert (
                sum(map(len, [*malformed.headers, *malformed.headers.values()])) < 8 * lines
            )  # and no joined megabytes
            assert len(malformed.headers) <= HEADERS_LIMIT


LONG = HEAD_LIMIT - 4096


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_head_up_to_the_limit_is_taken_however_it_comes(pieces: int, ear: Ear) -> None:
    head = GET[:-2] + b"X-Long: " + b"x" * LONG + b"\r\n\r\n"
    size = len(head) // pieces + 1
    async with serving() as at, client(at) as one:
        for _ in range(2):
            await ear.after(one, *(head[at : at + size] for at in range(0, len(head), size)))
            assert (await one.answer()).status == 200
        assert len(at.calls[0].headers["x-long"]) == LONG


@pytest.mark.parametrize("head", [b"GET /x?%b HTTP/1.1\r\n\r\n", CUT + b"%b\r\n\r\n"], ids=["target", "value"])
async def test_a_head_over_the_limit_is_refused_though_it_came_whole(
    head: bytes, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE[:-3], WHOLE[-3:] + head % (b"x" * HEAD_LIMIT) + SMUGGLED)
        assert (await one.answer()).status == 200
        (got,) = apart(await ended(one))
    check_refusal(got, logged(caplog), 431)
    assert len(at.calls) == 1


@pytest.mark.parametrize("start", [b"GET /", CUT, GET[:-2] + b"X: y\r\n" * 100], ids=["target", "value", "lines"])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_head_over_the_limit_is_refused(
    start: bytes, pieces: int, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving() as at, client(at) as one:
        await one.send(start)
        for _ in range(pieces):  # without end
            await one.send(b"x" * (HEAD_LIMIT // pieces + 1))
        await one.send(b"x")
        got = await one.answer()
        check_refusal(got, logged(caplog), 431)
        assert await ended(one) == b""
    assert KEY not in caplog.text
    assert at.calls == []


async def test_a_head_over_the_limit_is_refused_though_it_began_behind_another_request(
    ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    head = CUT + b"x" * HEAD_LIMIT + b"\r\n\r\n"
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE + head[: HEAD_LIMIT // 2], head[HEAD_LIMIT // 2 :])
        done, refused = apart(await ended(one))
    assert done.status == 200
    check_refusal(refused, logged(caplog), 431)
    assert len(at.calls) == 1


async def test_a_refusal_can_be_read_while_the_client_is_still_sending() -> None:
    async with serving() as at, client(at) as one:
        sending = asyncio.create_task(one.send(CUT + b"x" * 32 * len(MEGABYTE)))
        (got,) = apart(await ended(one))
        assert got.status == 431
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
        assert at.calls == []


# --- what is no HTTP -------------------------------------------------------------------------------------------------

SECRET = b"X-Key: " + KEY.encode() + b"\r\n"
CHUNKS = b"POST /x HTTP/1.1\r\n" + HOST + SECRET + b"Transfer-Encoding: %b\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
SIZED = b"POST /x HTTP/1.1\r\n" + HOST + SECRET + b"Content-Length: %b\r\n\r\n{}"

NO_HTTP = {
    "key for a method": KEY.encode() + b" / HTTP/1.1\r\n\r\n",
    "key in a name": GET[:-2] + KEY.encode() + b" x: y\r\n\r\n",
    "key before a NUL": GET[:-2] + SECRET[:-2] + b"\0\r\n\r\n",
    "method in lower case": b"get /x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "method unknown": b"FOO /x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/0.9": b"GET /x\r\n" + SECRET + b"\r\n",
    "HTTP/0.9 by name": b"GET /x HTTP/0.9\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/2.0": b"GET /x HTTP/2.0\r\n" + HOST + SECRET + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECRET,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET,
    "no Host": b"GET /x HTTP/1.1\r\n" + SECRET + b"\r\n",
    "Host twice": b"GET /x HTTP/1.1\r\n" + HOST + HOST + SECRET + b"\r\n",
    "Host twice, of HTTP/1.0": b"GET /x HTTP/1.0\r\n" + HOST + b"host: i\r\n" + SECRET + b"\r\n",
    "CONNECT": b"CONNECT h:443 HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "CONNECT with a key": b"CONNECT " + KEY.encode() + b"@h:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to a path": b"CONNECT /x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "CONNECT with a wish": b"CONNECT h:443 HTTP/1.1\r\n" + HOST + SECRET + b"Upgrade: h2c\r\n\r\n",
    "target without a slash": b"GET x HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "target no URL": b"GET http://[" + KEY.encode() + b"/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "target with a space": b"GET /x y HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "target not ASCII": b"GET /x\xff HTTP/1.1\r\n" + HOST + SECRET + b"\r\n",
    "bare LF": GET.replace(b"\r\n", b"\n") + SECRET,
    "bare LF in the head": GET[:-2] + SECRET[:-2] + b"\n\r\n",
    "bare CR": GET[:-2] + SECRET[:-2] + b"\rX: y\r\n\r\n",
    "CR at the end of the head": GET[:-2] + SECRET + b"\rX",
    "obs-fold": GET[:-2] + SECRET + b" folded\r\n\r\n",
    "obs-fold at the start": GET.replace(HOST, b" " + HOST + SECRET),
    "space before the colon": GET[:-2] + SECRET.replace(b":", b" :") + b"\r\n",
    "no colon": GET[:-2] + SECRET.replace(b":", b"") + b"\r\n",
    "no name": GET[:-2] + SECRET.replace(b"X-Key", b"") + b"\r\n",
    "control in a value": GET[:-2] + SECRET.replace(b"sk", b"\x01") + SECRET + b"\r\n",
    "both lengths": CHUNKS.replace(SECRET, SECRET + b"Content-Length: 2\r\n") % b"chunked",
    "both lengths, the other way": CHUNKS.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n", 1) % b"chunked",
    "two lengths": SIZED % b"2\r\nContent-Length: 2",
    "a list of lengths": SIZED % b"2, 2",
    "length below zero": SIZED % b"-2",
    "length with a sign": SIZED % b"+2",
    "length in hexadecimal": SIZED % b"0x2",
    "length in other digits": SIZED % "٢".encode(),
    "length empty": SIZED % b"",
    "length without end": SIZED % (b"9" * 30),
    "chunked, identity": CHUNKS % b"chunked, identity",
    "chunked twice": CHUNKS % b"chunked, chunked",
    "chunked on two lines": CHUNKS % b"chunked\r\nTransfer-Encoding: chunked",
    "identity": CHUNKS % b"identity",
    "identity, then chunked": CHUNKS % b"identity\r\nTransfer-Encoding: chunked",
    "gzip": CHUNKS % b"gzip",
    "gzip, chunked": CHUNKS % b"gzip, chunked",
    "xchunked": CHUNKS % b"xchunked",
    "chunked of HTTP/1.0": CHUNKS.replace(b"HTTP/1.1", b"HTTP/1.0") % b"chunked",
    "coding behind a space": CHUNKS.replace(b"Encoding:", b"Encoding :") % b"chunked",
    "coding behind a control": CHUNKS % b"\x0bchunked",
}


@pytest.mark.parametrize("behind", [b"", SMUGGLED], ids=["alone", "smuggling"])
@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_refused_in_our_words(
    data: bytes, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as at, client(at) as one:
        await one.send(data + behind)
        raw = await ended(one)
        (got,) = apart(raw)
        await at.left()
    check_refusal(got, logged(caplog))
    assert at.calls == []
    assert KEY.encode() not in raw
    assert KEY not in caplog.text


@pytest.mark.parametrize("name", ["key in a name", "both lengths", "chunked twice", "HTTP/2 preface", "CONNECT"])
async def test_what_is_no_http_is_refused_byte_by_byte_as_well(name: str, ear: Ear) -> None:
    data = NO_HTTP[name] + SMUGGLED
    async with serving() as at, client(at) as one:
        await ear.after(one, *(data[at : at + 1] for at in range(len(data))))
        (got,) = apart(await ended(one))
        assert got.status == 400
        assert at.calls == []


BROKEN = {
    "size": b"zz\r\n",
    "size below zero": b"-1\r\n",
    "size with a prefix": b"0x2\r\n{}\r\n",
    "size without end": b"f" * 17 + b"\r\n",
    "space behind the size": b"2 \r\n{}\r\n",
    "LF behind the size": b"2\n{}\r\n",
    "LF in an extension": b"2;a\nb\r\n{}\r\n",
    "chunk too long": b"2\r\n{}x\r\n",
    "chunk too short": b"3\r\n{}\r\n",
    "LF behind a chunk": b"2\r\n{}\n0\r\n\r\n",
    "length in a trailer": b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n",
    "coding in a trailer": b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "NUL in a trailer": b"2\r\n{}\r\n0\r\nX: \0\r\n\r\n",
    "extension of a megabyte": b"2;" + b"x" * 1024 * 1024 + b"\r\n{}\r\n0\r\n\r\n",
    "trailer without end": b"2\r\n{}\r\n0\r\nX: " + b"x" * 1024 * 1024,
    "trailers without end": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 200_000,
}


@pytest.mark.parametrize("chunks", BROKEN.values(), ids=BROKEN)
async def test_a_body_that_breaks_is_refused_by_whoever_reads_it(
    chunks: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as at, client(at) as one:
        head = CHUNKED.partition(b"6;")[0].replace(HOST, HOST + SECRET)
        sending = asyncio.create_task(one.send(head + chunks + SMUGGLED))
        raw = await ended(one)
        (got,) = apart(raw)
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
    assert (got.status, got.header("connection")) == (400, "close")
    assert logged(caplog) == []  # its line is a middleware's, and here is none
    assert KEY not in caplog.text
    assert KEY.encode() not in raw
    assert [call.headers["host"] for call in at.calls] == ["h"]
    assert at.bodies == []


async def test_extensions_and_trailers_within_reason_are_read_over() -> None:
    chunks = b"6;" + b"x" * 1024 + b"\r\n" + BODY[:6] + b'\r\n8;a="b;c"\r\n' + BODY[6:] + b"\r\n0\r\n" + b"X: y\r\n" * 9
    async with serving() as at, client(at) as one:
        await one.send(CHUNKED.partition(b"6;")[0] + chunks + b"\r\n" + GET)
        assert [(await one.answer()).body for _ in range(2)] == [b"<" + BODY + b">", b"<>"]
        assert "x" not in at.calls[0].headers


# --- clients that read slowly, or not --------------------------------------------------------------------------------

KINDS = ["whole", "live", "frames"]


def of_kind(kind: str, size: int) -> Watched:
    if kind == "whole":
        return Watched(MEGABYTE * size)
    return Watched(saying(*[MEGABYTE] * size), ping=b"PING\n" if kind == "frames" else None)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_does_not_read_is_cut(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    watched = of_kind(kind, 32)
    async with serving(replying(watched.reply), HASTY) as at, client(at, receive_buffer=4096) as one:
        await one.send(WHOLE)
        assert isinstance(await watched.end(), ConnectionAbortedError)
        await at.left()
        assert watched.aborted == (kind != "whole")
    assert logged(caplog) == []


async def test_who_stops_to_read_is_cut_so_long_after_and_not_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its kernel takes at the beginning counts as read, and what it takes then does not begin another time."""
    clock, left = Clock(0.0), iter([300, 200, 100, *[100] * 99])

    async def wait(waiters: list[asyncio.Future[None]], timeout: float) -> None:
        clock.sleep(timeout)

    class Stalled(Flow):
        patience = Patience(reading=60.0)
        unsent = property(lambda self: next(left))

        def abort(self) -> None:
            self.transport = None

    loop = asyncio.get_running_loop()
    stalled = Stalled(loop)
    stalled.transport, stalled._paused = cast(Any, object()), True
    monkeypatch.setattr(asyncio, "wait", wait)
    monkeypatch.setattr(stalled, "_loop", SimpleNamespace(time=clock, create_future=loop.create_future))
    with pytest.raises(ConnectionAbortedError):
        await stalled.drained()
    assert clock.now == pytest.approx(66.0)  # two looks at a client that reads, and twenty at one that does not


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_reads_slowly_is_waited_for(kind: str) -> None:
    """Longer than the patience with one that does not read, several times over."""
    watched = of_kind(kind, 8)
    read = 0
    async with serving(replying(watched.reply), HASTY) as at, client(at, receive_buffer=65536) as one:
        await one.send(WHOLE.replace(HOST, HOST + b"Connection: close\r\n"))
        while data := await one.some():
            read += len(data)
            await asyncio.sleep(len(data) / 2**24)  # 16 MiB/s
        assert read > 8 * len(MEGABYTE)
        assert await watched.end() is None
        assert at.cancelled == 0


async def test_a_client_that_does_not_read_its_last_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.02)
    watched = of_kind("whole", 8)
    monkeypatch.setattr(Door, "writing_paused", False)
    monkeypatch.setattr(Door, "pause_writing", lambda self: None)  # as if it were just below the mark
    async with serving(replying(watched.reply), HASTY) as at, client(at, receive_buffer=4096) as one:
        await one.send(WHOLE.replace(HOST, HOST + b"Connection: close\r\n"))
        await watched.end()
        await at.left()


async def test_a_client_that_reads_its_last_answer_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 0.02)
    monkeypatch.setattr(Door, "writing_paused", False)
    monkeypatch.setattr(Door, "pause_writing", lambda self: None)
    monkeypatch.setattr(Door, "resume_writing", lambda self: None)
    read = 0
    async with serving(replying(of_kind("whole", 8).reply), HASTY) as at, client(at, receive_buffer=65536) as one:
        await one.send(WHOLE.replace(HOST, HOST + b"Connection: close\r\n"))
        while data := await one.some():
            read += len(data)
            await asyncio.sleep(len(data) / 2**24)
        assert read > 8 * len(MEGABYTE)
        await at.left()


# --- a server that is about to leave ---------------------------------------------------------------------------------


def retire(at: Listening) -> None:
    for one in at.doors:
        one.retire()


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["silent", "after an answer"])
async def test_an_idle_connection_retires_at_once(before: bytes) -> None:
    async with serving() as at, client(at) as one:
        await one.send(before)
        if before:
            await one.answer()
        await soon(lambda: bool(at.doors))
        retire(at)
        retire(at)
        assert await ended(one) == b""
        await at.left()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_busy_connection_retires_after_its_answer(kind: str, ear: Ear) -> None:
    body = b"a\n" if kind == "whole" else saying(b"a\n")
    gate = Gate(replying(Watched(body, ping=b"PING\n" if kind == "frames" else None).reply))
    async with serving(gate) as at, client(at) as one:
        await ear.after(one, WHOLE)
        retire(at)
        await ear.after(one, SMUGGLED)  # too late
        gate.open.set()
        got = await one.answer()
        assert (got.body, got.whole) == (b"a\n", True)
        assert (got.header("connection") or got.header("Connection")) == "close"
        assert await ended(one) == b""
        assert len(at.calls) == 1
        one.writer.close()
        await at.left()


async def test_a_pipeline_retires_after_the_answer_that_is_under_way(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 100.0)
    gate = Gate(naming)
    async with serving(gate) as at, client(at) as one:
        sending = asyncio.create_task(one.send(GET * 30_000))
        await soon(lambda: bool(at.doors) and at.doors[0]._reading_paused)
        retire(at)
        gate.open.set()
        (got,) = apart(await ended(one))  # and no reset, though there is much unread
        assert (got.status, got.header("connection")) == (200, "close")
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
        await at.left()
        assert len(at.calls) == 1


async def test_a_connection_retires_whose_client_says_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER", 100.0)
    gate = Gate()
    async with serving(gate) as at, client(at) as one:
        pipe(one, WHOLE * 3)
        await one.until(b"100 Continue\r\n\r\n")
        retire(at)
        gate.open.set()
        assert (await one.answer()).status == 200
        assert await one.some() == b""
        await at.left()


async def test_a_connection_that_is_being_closed_is_not_given_more_time(ear: Ear) -> None:
    async with serving() as at, client(at) as one:
        await one.send(GARBAGE)
        assert (await one.answer()).status == 400
        (here,) = at.doors
        before = here._deadline
        await asyncio.sleep(0.01)
        retire(at)
        assert here._deadline == before


async def test_an_answer_that_is_cancelled_from_within_is_cut() -> None:
    watched = Watched(saying(b"a", for_ever=True))
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        await one.until(b"a\r\n")
        task = at.doors[0]._task
        assert task is not None
        task.cancel()
        assert b"0\r\n" not in await one.rest()
        await at.left()
        assert isinstance(await watched.end(), asyncio.CancelledError)


@pytest.mark.parametrize("cut", [20, -3], ids=["head", "body"])
async def test_a_request_that_has_begun_is_served_before_its_connection_retires(cut: int, ear: Ear) -> None:
    async with serving() as at, client(at) as one:
        await ear.after(one, WHOLE[:cut])
        retire(at)
        await one.send(WHOLE[cut:])
        got = await one.answer()
        assert (got.body, got.header("connection")) == (b"<" + BODY + b">", "close")
        assert await ended(one) == b""


async def test_a_live_answer_that_has_begun_is_given_to_its_end(ear: Ear) -> None:
    more = asyncio.Event()

    async def body() -> Any:
        yield b"a"
        await more.wait()
        yield b"b"

    async with serving(replying(Watched(body()).reply)) as at, client(at) as one:
        await one.send(WHOLE)
        await one.until(b"1\r\na\r\n")
        retire(at)
        more.set()
        assert await ended(one) == b"1\r\nb\r\n0\r\n\r\n"


# --- deliveries ------------------------------------------------------------------------------------------------------

LIVE = pytest.mark.parametrize("ping", [None, b"PING\n"], ids=["live", "frames"])


@LIVE
async def test_an_empty_piece_is_nothing(ping: bytes | None) -> None:
    watched = Watched(saying(b"", b"a\n", b"", b"b\n"), ping=ping)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        got = await one.answer()
        assert (got.status, got.body, got.whole) == (200, b"a\nb\n", True)


@LIVE
@pytest.mark.parametrize("said", [[], [b"a\n"]], ids=["before a byte", "after one"])
@pytest.mark.parametrize("told", [False, True])
async def test_what_breaks_a_stream_is_told_once(ping: bytes | None, said: list[bytes], told: bool) -> None:
    fault = Down("gone", code="upstream_cut")
    fault.told = told
    watched = Watched(saying(*said, fault), ping=ping)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        got = await one.answer()
        assert (got.status, got.body, got.whole) == (200, b"".join(said) + b"<upstream_cut>" * (not told), told)
        assert await watched.end() is fault
        assert watched.aborted == 1
        if not told:
            assert await ended(one) == b""


@LIVE
async def test_last_words_reach_a_client_that_is_still_sending(ping: bytes | None, ear: Ear) -> None:
    watched = Watched(saying(b"a\n", Down("gone", code="upstream_cut")), ping=ping)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await ear.after(one, ENDLESS["length"])
        await one.send(MEGABYTE)
        assert (await ended(one)).endswith(b"<upstream_cut>\r\n")


@LIVE
async def test_without_last_words_there_is_still_a_head(ping: bytes | None) -> None:
    watched = Watched(saying(Down("gone")), ping=ping)
    watched.reply.last_words = None
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        got = await one.answer()
        assert (got.status, got.body, got.whole) == (200, b"", False)


@LIVE
async def test_a_stop_between_two_pieces_ends_the_stream_there(ping: bytes | None) -> None:
    enough = OverLimit("enough")
    watched = Watched(saying(b"a\n", b"b\n", b"c\n"), ping=ping)
    watched.reply.taps.append(lambda chunk: watched.reply.stop(enough) if chunk == b"b\n" else None)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        got = await one.answer()
        assert (got.body, got.whole) == (b"a\nb\n<rate_limit_exceeded>", False)
        assert await watched.end() is enough


@LIVE
async def test_a_connection_that_was_said_to_close_does(ping: bytes | None, ear: Ear) -> None:
    """Though the rest of the body, which may have been long, has come meanwhile."""
    more = asyncio.Event()

    async def body() -> Any:
        yield b"a\n"
        await more.wait()

    async with serving(replying(Watched(body(), ping=ping).reply)) as at, client(at) as one:
        await ear.after(one, CHUNKED[:-20])
        await one.until(b"a\n\r\n")
        await ear.after(one, CHUNKED[-20:])
        more.set()
        assert await one.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert await ended(one) == b""


@LIVE
async def test_who_says_no_more_in_a_stream_has_left(ping: bytes | None) -> None:
    """A stream may be silent for long, and has no word that asks whether its client is still there."""
    watched = Watched(saying(b"a\n", for_ever=True), ping=ping)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        await one.until(b"a\n\r\n")
        one.writer.write_eof()
        assert await ended(one) == b""
        assert isinstance(await watched.end(), asyncio.CancelledError)


@LIVE
async def test_a_stop_after_the_last_piece_is_told_as_well(ping: bytes | None) -> None:
    enough = OverLimit("enough")

    async def body() -> Any:
        yield b"a\n"
        watched.reply.stop(enough)

    watched = Watched(body(), ping=ping)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        got = await one.answer()
        assert (got.body, got.whole) == (b"a\n<rate_limit_exceeded>", False)
        assert await watched.end() is enough


@LIVE
async def test_a_head_that_cannot_be_spelled_leaves_no_provider_waiting(
    ping: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(saying(b"a"), ping=ping)
    watched.reply.headers.append(("x-bad", "a\r\nx-worse: b"))
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        assert b"x-worse" not in await one.rest()
        assert isinstance(await watched.end(), GatewayError | ValueError)
        assert watched.aborted == 1
    assert "failed inside pillion" in caplog.text


@LIVE
async def test_a_providers_request_id_is_one_line(ping: bytes | None) -> None:
    upstream_id = "a\u2028x-forged: 1\x85x-forged: 2"

    async def handler(call: Call) -> Reply:
        call.upstream_id = upstream_id
        return Watched(saying(b"a\n"), ping=ping).reply

    async with serving(handler) as at, client(at) as one:
        await one.send(WHOLE)
        got = await one.answer()
        assert (got.header("x-request-id"), got.header("x-forged")) == (upstream_id, None)


async def test_no_ping_follows_the_end_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the end itself takes a while, since the client reads slowly."""
    monkeypatch.setattr(keptawake, "PING_INTERVAL", 0.01)
    end = keptawake.KeptAwake.write_eof

    async def slowly(self: keptawake.KeptAwake, data: bytes = b"") -> None:
        await end(self, data)
        self._eof_sent = False
        await asyncio.sleep(0.1)

    monkeypatch.setattr(keptawake.KeptAwake, "write_eof", slowly)
    reply = Watched(saying(b"a\n"), ping=b"PING\n").reply
    async with serving(replying(reply, Reply(200, [], b"next"))) as at, client(at) as one:
        await one.send(WHOLE + WHOLE)
        assert (await one.answer()).body == b"a\n"
        assert (await one.answer()).body == b"next"
        assert len(at.calls) == 2


async def test_a_client_that_is_not_reading_is_not_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptawake, "PING_INTERVAL", 0.01)
    pings = 0
    put = keptawake.KeptAwake.put

    def counting(self: keptawake.KeptAwake, data: bytes) -> None:
        nonlocal pings
        pings += data == b"PING\n"
        put(self, data)

    monkeypatch.setattr(keptawake.KeptAwake, "put", counting)
    watched = of_kind("frames", 32)
    async with serving(replying(watched.reply)) as at, client(at, receive_buffer=4096) as one:
        await one.send(WHOLE)
        await soon(lambda: bool(at.doors) and at.doors[0].writing_paused)
        await asyncio.sleep(0.1)
        assert pings == 0
        one.reset()
        await watched.end()


async def test_a_ping_to_a_client_that_has_left_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptawake, "PING_INTERVAL", 0.01)
    watched = Watched(saying(b"a\n", for_ever=True), ping=b"PING\n")
    lost = Door.connection_lost
    late = asyncio.Event()

    def later(self: Door, exc: BaseException | None) -> None:
        """As where the loop is busy, or much is still to be written."""
        asyncio.get_running_loop().call_later(0.1, lost, self, exc)
        late.set()

    monkeypatch.setattr(Door, "connection_lost", later)
    async with serving(replying(watched.reply)) as at, client(at) as one:
        await one.send(WHOLE)
        await one.until(b"PING\n")
        one.leave("fin")
        await late.wait()
        await watched.end()
        await at.left()
        watched.ended.clear()  # its traceback holds everything
        gc.collect()  # what a task raised is told when that is gone
