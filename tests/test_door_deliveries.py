"""Does an answer reach a client that reads slowly, or leaves, or whose server is about to?"""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.edge import door, keptawake, kernel, pulse
from proxy.edge.door import Door
from proxy.edge.flow import Flow
from proxy.edge.loading import loaded
from proxy.edge.outbox import Outbox
from proxy.edge.patience import Patience
from proxy.errors import Down, GatewayError, OverLimit
from proxy.late import KEPT_AWAKE
from proxy.ports import Call, Reply
from tests.client import client
from tests.clock import Clock
from tests.doorstep import (
    BODY,
    CHUNKED,
    ENDLESS,
    GARBAGE,
    GET,
    HASTY,
    HOST,
    SMUGGLED,
    WHOLE,
    Ear,
    Gate,
    Listening,
    apart,
    ended,
    logged,
    naming,
    pipe,
    replying,
    serving,
)
from tests.test_server import MEGABYTE, Watched, saying
from tests.waiting import soon

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
        patience = Patience(write_stall=60.0)
        unsent = property(lambda self: next(left))

        def abort(self) -> None:
            self.transport = None

    loop = asyncio.get_running_loop()
    stalled = Stalled(loop, Outbox(loop))
    stalled.transport, stalled._paused = cast(Any, object()), True
    monkeypatch.setattr(asyncio, "wait", wait)
    monkeypatch.setattr(stalled, "_loop", SimpleNamespace(time=clock, create_future=loop.create_future))
    with pytest.raises(ConnectionAbortedError):
        await stalled.drained()
    assert clock.now == pytest.approx(66.0)  # two looks at a client that reads, and twenty at one that does not


async def test_a_body_whose_pieces_are_all_there_waits_for_a_client_that_reads_slowly() -> None:
    """However small they are: whether it keeps up is known only once they have gone out."""
    waited = []

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(50):
            yield bytes(100)
            waited.append(repr(at.doors[0]._outbox))

    async with serving(replying(Watched(pieces()).reply)) as at, client(at) as one:
        await one.send(WHOLE.replace(HOST, HOST + b"Connection: close\r\n"))
        assert len(await ended(one)) > 5000
    assert waited == ["<Outbox of 0 bytes>"] * 50


async def test_an_interim_answer_is_not_overtaken_by_the_head() -> None:
    """A client that sends no more is asked whether it is there, in the turn of the loop in which its answer comes."""
    await loaded(KEPT_AWAKE)
    gate = Gate(replying(Watched(saying(b"a\n", b"b\n"), ping=b"PING\n").reply))
    async with serving(gate) as at, client(at) as one:
        await one.send(WHOLE)
        one.writer.write_eof()
        await soon(lambda: at.doors[0]._pulse is not None if at.doors else False)
        gate.open.set()
        time.sleep(2 * pulse.GRACE)  # noqa: ASYNC251  one turn, in which both are due
        raw = await ended(one)
    assert 0 <= raw.find(b"100 Continue") < raw.find(b"200 OK")


async def test_of_a_connection_that_has_just_been_closed_nothing_is_on_its_way() -> None:
    async with serving() as at, client(at) as one:
        transport = cast(asyncio.Transport, one.writer.transport)
        transport.abort()
        await soon(lambda: transport.get_extra_info("socket").fileno() < 0)
        assert (kernel.unread(transport), kernel.unsent(transport)) == (0, 0)
        await at.left()


@pytest.mark.parametrize("way", [Flow.drained, Flow._drain_helper], ids=["ours", "aiohttp's"])
async def test_who_leaves_while_we_wait_for_him_to_read_is_waited_for_no_longer(
    way: Callable[[Flow], Awaitable[None]],
) -> None:
    class Slow(Flow):
        patience = Patience(write_stall=60.0)
        unsent = 100

    loop = asyncio.get_running_loop()
    slow = Slow(loop, Outbox(loop))
    slow.transport, slow._paused = cast(Any, object()), True
    waiting = asyncio.ensure_future(way(slow))
    await asyncio.sleep(0)
    assert not waiting.done()
    slow.connection_lost(None)
    with pytest.raises(ConnectionResetError, match="the client has left"):
        await waiting


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
    assert "failed because of a bug in pillion" in caplog.text


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
