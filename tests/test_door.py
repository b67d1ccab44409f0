"""Does a client's connection read what comes as it comes, in order and in time, and leave nothing behind?"""

import asyncio
from contextlib import suppress
from typing import Literal

import pytest

from proxy.edge import door
from proxy.edge.inbound import BODY_AHEAD
from proxy.edge.patience import Patience
from proxy.edge.requests import HEAD_LIMIT
from proxy.ports import Call, Reply
from tests.client import client
from tests.doorstep import (
    BODY,
    CHUNKED,
    CUT,
    GARBAGE,
    GET,
    HASTY,
    HOST,
    KEY,
    SMUGGLED,
    WHOLE,
    Ear,
    Gate,
    apart,
    check_refusal,
    echoing,
    ended,
    logged,
    naming,
    pipe,
    replying,
    serving,
)
from tests.test_server import Watched, saying
from tests.waiting import soon

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
