"""Is one HTTP exchange read as it was said, whatever its pieces, and never taken for whole where it is not?

Bytes are handed to a Wire over a transport of our own: no socket, no peer, and each cut where the test wants it.
test_upstream.py does the same over real connections.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from proxy.edge import kernel
from proxy.edge.exchange import BURST, HEAD_LIMIT, HIGH_WATER, PIECE, Exchange
from proxy.edge.lateness import Allowed, Timed
from proxy.edge.outbox import Outbox
from proxy.edge.wire import Wire
from proxy.errors import Down, Timeout, UpstreamError
from proxy.headers import spell
from tests.laws import splits

BODY = '{"text":"Grüße"}'.encode()
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "chunked": b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nT: u\r\n\r\n" % (BODY[:4], len(BODY) - 4, BODY[4:]),
    "eof": b"HTTP/1.1 200 OK\r\nX-A: b\r\nConnection: close\r\n\r\n%b" % BODY,
}
PATIENCE = 60  # seconds until a read that should have ended is a failure: nothing here is waited for
LOSSES: list[BaseException | None] = [None, ConnectionResetError()]


class Pipe(asyncio.Transport):
    """A transport that notes what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.reading = True
        self.aborted = False
        self.sock: socket.socket | None = None

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.sock if name == "socket" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def wired() -> Wire:
    loop = asyncio.get_running_loop()
    return Wire(loop, Outbox(loop))


class Talk:
    """One exchange on one wire; `released` is what became of the connection."""

    def __init__(self, wire: Wire | None = None, pipe: Pipe | None = None) -> None:
        self.pipe = pipe or Pipe()
        self.wire = wire or wired()
        if wire is None:
            self.wire.connection_made(self.pipe)
        self.released: list[bool] = []
        self.exchange = Exchange(self.wire, self.released.append)

    def send(self, **seconds: float) -> None:
        self.exchange.send(b"POST ...", b"", Allowed(**{"headers": 60, "first_event": 60, "idle": 60} | seconds))

    def receive(self, *chunks: bytes) -> None:
        for chunk in filter(None, chunks):  # no transport hands on an empty one
            self.wire.data_received(chunk)

    async def read(self) -> bytes:
        out = b""
        async with asyncio.timeout(PATIENCE):
            await self.exchange.head()
            while chunk := await self.exchange.chunk():
                out += chunk
        return out

    async def fault(self) -> tuple[bytes, UpstreamError]:
        """The bytes before the error, and the error."""
        out = b""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.exchange.head()
                while chunk := await self.exchange.chunk():
                    out += chunk
        except UpstreamError as error:
            return out, error
        raise AssertionError(f"ended as if whole after {out!r}")


async def turn() -> None:
    """Let the loop do what it was told to do soon."""
    await asyncio.sleep(0)


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ANSWERS)
async def test_an_answer_is_the_same_in_every_split(framing: str) -> None:
    for chunks in splits(ANSWERS[framing]):
        talk = Talk()
        talk.receive(*chunks)
        if framing == "eof":
            talk.wire.connection_lost(None)
        assert await talk.read() == BODY
        assert (talk.exchange.status, talk.exchange.headers["x-a"]) == (200, "b")
        await turn()
        assert talk.released == [framing != "eof"]


@pytest.mark.parametrize("loss", LOSSES, ids=["fin", "rst"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_cut_at_any_byte_is_never_a_whole_answer(framing: str, loss: BaseException | None) -> None:
    answer = ANSWERS[framing]
    head = answer.index(b"\r\n\r\n") + 4
    for at in range(len(answer)):
        talk = Talk()
        if at:
            talk.receive(answer[:at])
        talk.wire.connection_lost(loss)
        said, error = await talk.fault()
        assert BODY.startswith(said)
        assert isinstance(error, Down)
        assert error.code == ("upstream_closed" if at < head else "upstream_cut"), at
        assert talk.released == [False]


async def test_an_answer_that_ends_with_its_connection_is_cut_by_a_reset() -> None:
    talk = Talk()
    talk.receive(ANSWERS["eof"])
    talk.wire.connection_lost(ConnectionResetError())
    said, error = await talk.fault()
    assert (said, error.code) == (BODY, "upstream_cut")


async def test_interim_answers_are_passed_over_with_their_headers() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 0\r\n\r\n"
    for chunks in splits(interim + ANSWERS["length"], count=5):
        talk = Talk()
        talk.receive(*chunks)
        assert await talk.read() == BODY
        assert "link" not in talk.exchange.headers


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_an_answer_may_have_no_body(status: int) -> None:
    length = b"Content-Length: 0\r\n" if status == 200 else b""
    talk = Talk()
    talk.receive(b"HTTP/1.1 %d Whatever\r\n%b\r\n" % (status, length))
    assert await talk.read() == b""
    await turn()
    assert talk.released == [True]


async def test_a_header_that_comes_twice_is_one_and_bytes_that_are_no_text_can_be_written_again() -> None:
    talk = Talk()
    talk.receive(b"HTTP/1.1 200 OK\r\nX-A: one\r\nx-a: caf\xe9\r\nContent-Length: 0\r\n\r\n")
    await talk.read()
    assert talk.exchange.headers["x-a"] == "one, caf\udce9"
    assert spell([("x-a", talk.exchange.headers["x-a"])]) == b"x-a: one, caf\xe9\r\n"


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
async def test_a_connection_is_kept_only_where_the_provider_keeps_it(head: bytes, reusable: bool) -> None:
    talk = Talk()
    talk.receive(head + b"Content-Length: 2\r\n\r\nhi")
    assert await talk.read() == b"hi"
    await turn()
    assert talk.released == [reusable]


# --- what is no answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"220 smtp.example ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 104 Upload\r\nContent-Length: 5\r\n\r\nhello" + ANSWERS["length"],
        b"HTTP/1.1 199 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + ANSWERS["length"],
        b"<html>hello</html>",
    ],
)
async def test_what_is_no_http_answer_is_refused_and_its_connection_closed(data: bytes) -> None:
    for chunks in ([data], [data[i : i + 1] for i in range(len(data))]):
        talk = Talk()
        talk.receive(*chunks)
        _, error = await talk.fault()
        assert error.code == "upstream_protocol"
        assert talk.released == [False]


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: ", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", b"X: y\r\n" * 500),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;", b"x" * 4096),
    ],
    ids=["one header", "many headers", "interim answers", "one trailer", "many trailers", "chunk extension"],
)
async def test_what_comes_without_a_body_is_cut_off_at_the_limit(start: bytes, more: bytes) -> None:
    talk = Talk()
    talk.receive(start)
    talk.receive(*[more] * (HEAD_LIMIT // len(more) - 1))
    assert not talk.released
    talk.receive(more, more)
    _, error = await talk.fault()
    assert error.code == "upstream_protocol"
    assert talk.released == [False]


async def test_a_small_head_may_come_in_one_piece_with_a_large_body() -> None:
    body = b"x" * (2 * HEAD_LIMIT)
    talk = Talk()
    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (2 * len(body), body), body)
    assert await talk.read() == body * 2


# --- bytes behind the answer -----------------------------------------------------------------------------------------

ANOTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
BEHIND = [ANOTHER, ANOTHER * 2, b"garbage", b"\0", b"}"]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bytes_behind_the_answer_make_the_connection_unusable(framing: str, behind: bytes) -> None:
    for pieces in ([ANSWERS[framing] + behind], [ANSWERS[framing], behind]):
        talk = Talk()
        talk.receive(*pieces)
        assert await talk.read() == BODY
        await turn()
        assert talk.released == [False]


@pytest.mark.parametrize("behind", BEHIND)
async def test_bytes_that_come_on_an_idle_connection_close_it(behind: bytes) -> None:
    talk = Talk()
    talk.receive(ANSWERS["length"])
    assert await talk.read() == BODY
    await turn()
    assert talk.released == [True]
    talk.receive(behind)
    assert talk.pipe.aborted
    assert not talk.wire.is_connected()


# --- poured ----------------------------------------------------------------------------------------------------------


async def all_of(talk: Talk, sink: Callable[[bytes], bool]) -> int:
    """Pour until the end; how often that was."""
    times = 1
    async with asyncio.timeout(PATIENCE):
        await talk.exchange.head()
        while not await talk.exchange.pour(sink):
            times += 1
    return times


async def pouring(talk: Talk, sink: Callable[[bytes], bool]) -> asyncio.Task[int]:
    """Somebody who waits for its end."""
    task = asyncio.create_task(all_of(talk, sink))
    await turn()
    return task


def into(out: list[bytes], enough: int = 1_000_000) -> Callable[[bytes], bool]:
    """A sink that has enough for now with each piece from the `enough`-th on."""

    def sink(piece: bytes) -> bool:
        out.append(piece)
        return len(out) < enough

    return sink


@pytest.mark.parametrize("enough", [1, 2, 1_000_000])
@pytest.mark.parametrize("framing", ANSWERS)
async def test_an_answer_that_is_poured_is_the_same_in_every_split(framing: str, enough: int) -> None:
    for chunks in splits(ANSWERS[framing]):
        talk, out = Talk(), list[bytes]()
        task = await pouring(talk, into(out, enough))
        for chunk in chunks:
            talk.receive(chunk)
            if len(out) % 2:  # sometimes whoever waits has their turn in between
                await turn()
        if framing == "eof":
            talk.wire.connection_lost(None)
        await task
        assert b"".join(out) == BODY
        await turn()
        assert talk.released == [framing != "eof"]


async def test_what_is_poured_is_handed_on_before_anybody_else_has_a_turn() -> None:
    talk, out = Talk(), list[bytes]()
    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na")
    task = await pouring(talk, into(out))
    talk.receive(b"b", b"c")
    assert out == [b"a", b"b", b"c"]
    talk.receive(b"d")
    assert (await task, out) == (1, [b"a", b"b", b"c", b"d"])


@pytest.mark.parametrize("size", [BURST, BURST + 1])
async def test_a_provider_that_says_much_at_once_leaves_others_their_turn(size: int) -> None:
    """uvloop would read up to eight megabytes before anybody else."""
    talk, heard = Talk(), list[bytes]()

    def sink(data: bytes) -> bool:
        heard.append(data)
        return True

    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (3 * size))
    async with asyncio.timeout(PATIENCE):
        pouring = asyncio.create_task(talk.exchange.pour(sink))
        await turn()
        for _ in range(2):
            talk.receive(b"x" * size)
            assert talk.pipe.reading == (size == BURST)
            await turn()
            assert talk.pipe.reading
        talk.receive(b"x" * size)
        assert await pouring
    assert list(map(len, heard)) == [size] * 3
    await turn()
    assert talk.released == [True]
    assert talk.pipe.reading


async def test_a_sink_that_has_enough_of_much_at_once_is_poured_the_rest_later() -> None:
    talk, out = Talk(), list[bytes]()
    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (3 * PIECE + 1))
    async with asyncio.timeout(PATIENCE):
        pouring = asyncio.create_task(talk.exchange.pour(into(out, 2)))
        await turn()
        talk.receive(b"x" * 3 * PIECE)
        assert await pouring is False
        assert (list(map(len, out)), talk.pipe.reading) == ([PIECE] * 2, False)
        pouring = asyncio.create_task(talk.exchange.pour(into(out)))
        await turn()
        assert talk.pipe.reading
        talk.receive(b"y")
        assert await pouring
    assert list(map(len, out)) == [PIECE] * 3 + [1]


async def test_a_sink_that_has_enough_stops_the_provider_until_it_is_poured_on() -> None:
    talk, out = Talk(), list[bytes]()
    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    task = asyncio.create_task(talk.exchange.pour(into(out, 2)))
    await turn()
    talk.receive(b"a", b"b", *[b"x" * 1024] * (HIGH_WATER // 1024), b"x" * PIECE)
    assert out == [b"a", b"b"]
    assert not talk.pipe.reading
    assert await task is False
    for size in (PIECE, HIGH_WATER):
        assert await talk.exchange.pour(into(out, 1)) is False
        assert (len(out[-1]), talk.pipe.reading) == (size, False)
    pouring = asyncio.create_task(talk.exchange.pour(into(out)))
    await turn()
    assert talk.pipe.reading
    pouring.cancel()


@pytest.mark.parametrize("lost", LOSSES, ids=repr)
async def test_a_poured_answer_that_breaks_off_ends_in_an_error_after_what_came(lost: BaseException | None) -> None:
    talk, out = Talk(), list[bytes]()
    task = await pouring(talk, into(out))
    talk.receive(ANSWERS["length"][:-3])
    talk.wire.connection_lost(lost if isinstance(lost, Exception) else None)
    with pytest.raises(Down, match="cut short"):
        await task
    assert b"".join(out) == BODY[:-3]


async def test_what_a_sink_raises_is_for_whoever_pours_and_it_gets_nothing_more() -> None:
    talk, out = Talk(), list[bytes]()

    def sink(piece: bytes) -> bool:
        out.append(piece)
        raise ConnectionResetError("the client has left")

    talk.receive(ANSWERS["length"][: -len(BODY)])
    task = await pouring(talk, sink)
    talk.receive(BODY[:3], BODY[3:-3])
    with pytest.raises(ConnectionResetError):
        await task
    assert out == [BODY[:3]]
    talk.exchange.abort()
    assert talk.released == [False]


@pytest.mark.parametrize("at", range(1, len(ANOTHER)))
async def test_nothing_that_comes_behind_the_answer_is_poured(at: int) -> None:
    talk, out = Talk(), list[bytes]()
    talk.receive(ANSWERS["length"][: -len(BODY)])
    task = await pouring(talk, into(out))
    talk.receive(BODY + ANOTHER[:at], ANOTHER[at:])
    await task
    assert b"".join(out) == BODY
    await turn()
    assert talk.released == [False]


async def test_what_a_sink_raises_tells_more_than_what_broke_the_answer_in_the_same_read() -> None:
    talk = Talk()

    def sink(piece: bytes) -> bool:
        raise ConnectionResetError("the client has left")

    talk.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    task = await pouring(talk, sink)
    talk.receive(b"2\r\nhi\r\nzz\r\n")
    with pytest.raises(ConnectionResetError):
        await task
    assert talk.released == [False]


async def test_a_sink_may_let_go_of_the_answer() -> None:
    talk, out = Talk(), list[bytes]()

    def sink(piece: bytes) -> bool:
        out.append(piece)
        talk.exchange.abort()
        return True

    talk.receive(ANSWERS["length"][: -len(BODY)])
    task = await pouring(talk, sink)
    talk.receive(BODY[:3], BODY[3:])
    with pytest.raises(Down, match="pillion closed the connection"):
        await task
    assert out == [BODY[:3]]
    assert talk.released == [False]


async def test_who_stops_pouring_has_heard_all_that_came() -> None:
    talk, out = Talk(), list[bytes]()
    talk.receive(ANSWERS["length"][: -len(BODY)])
    task = await pouring(talk, into(out))
    talk.receive(BODY[:-3])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    talk.receive(BODY[-3:])
    assert b"".join(out) == BODY[:-3]
    assert await talk.exchange.chunk() == BODY[-3:]


async def test_a_poured_answer_that_falls_silent_is_given_up() -> None:
    talk, out = Talk(), list[bytes]()
    talk.send(idle=0.02)
    talk.receive(ANSWERS["length"][:-3])
    talk.exchange.begun()
    with pytest.raises(Timeout, match="silent"):
        await all_of(talk, into(out))
    assert b"".join(out) == BODY[:-3]


# --- flow ------------------------------------------------------------------------------------------------------------


async def test_a_reader_that_does_not_read_stops_the_provider_and_one_that_reads_lets_it_go_on() -> None:
    talk = Talk()
    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    await talk.exchange.head()
    for _ in range(HIGH_WATER // 1024):
        talk.receive(b"x" * 1024)
        assert talk.pipe.reading
    talk.receive(b"y" * PIECE)
    assert not talk.pipe.reading
    assert len(await talk.exchange.chunk()) == PIECE  # what is made of it may have to wait for its client
    assert not talk.pipe.reading
    assert await talk.exchange.chunk() == b"y" * HIGH_WATER
    assert talk.pipe.reading


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
async def test_only_what_a_slow_client_may_wait_for_gets_a_buffer_that_cannot_grow(whole: bool) -> None:
    """A window of that size is too small for a long answer from far away."""
    there, here = socket.socketpair()
    with there, here:
        talk, out = Talk(), list[bytes]()
        talk.pipe.sock = here
        kept = here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        kernel.bound(talk.pipe)
        fixed = here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kept // 2)
        talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * BURST))
        reading = asyncio.create_task(talk.exchange.read(2 * BURST) if whole else talk.exchange.pour(into(out)))
        await turn()
        talk.receive(b"x" * (BURST + 1), b"x" * (BURST - 1))
        all_of_it = await reading
        assert (all_of_it if whole else b"".join(out)) == b"x" * 2 * BURST
        assert here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == (kept if whole else fixed)
        assert kept < fixed


async def test_a_connection_that_was_held_goes_back_to_the_pool_reading() -> None:
    size = HIGH_WATER + 1
    talk = Talk()
    talk.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + 1), b"x" * size)
    assert not talk.pipe.reading
    talk.receive(b"x")
    await turn()
    assert talk.released == [True]
    assert talk.pipe.reading
    assert len(await talk.read()) == size + 1


async def test_an_aborted_exchange_lets_go_at_once_and_only_once() -> None:
    talk = Talk()
    talk.receive(ANSWERS["length"][:-3])
    talk.exchange.abort()
    talk.exchange.abort()
    _, error = await talk.fault()
    assert error.code == "upstream_aborted"
    assert talk.released == [False]


async def test_abort_after_the_end_is_harmless() -> None:
    talk = Talk()
    talk.receive(ANSWERS["length"])
    await talk.read()
    talk.exchange.abort()
    await turn()
    assert talk.released == [True]


async def test_a_close_is_an_abort() -> None:
    talk = Talk()
    talk.wire.close()
    assert talk.pipe.aborted


async def test_a_connection_that_went_while_it_was_handed_over_is_a_closed_one() -> None:
    talk = Talk()
    talk.wire.transport = None
    talk.send()
    _, error = await talk.fault()
    assert (error.code, talk.exchange.started) == ("upstream_closed", False)


# --- timers ----------------------------------------------------------------------------------------------------------

Waits = tuple[
    str,
    dict[str, float],
    Sequence[bytes],
]
STALLS: list[Waits] = [
    ("headers_timeout", {"headers": 0.02}, []),
    ("headers_timeout", {"headers": 0.02}, [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 O"]),
    ("first_event_timeout", {"first_event": 0.02}, []),
    ("first_event_timeout", {"headers": 0.02, "first_event": 0.04, "idle": 0.02}, [ANSWERS["length"][:-1]]),
    ("idle_timeout", {"idle": 0.02}, [ANSWERS["length"][:-1]]),
    ("total_timeout", {"total": 0.02}, [ANSWERS["chunked"][:-1]]),
    ("total_timeout", {"total": 0.02}, []),
]


@pytest.mark.parametrize(("code", "timers", "said"), STALLS)
async def test_a_stall_ends_by_its_own_timer(code: str, timers: dict[str, float], said: Sequence[bytes]) -> None:
    talk = Talk()
    talk.send(**timers)
    talk.receive(*said)
    if code == "idle_timeout":
        talk.exchange.begun()
    _, error = await talk.fault()
    assert isinstance(error, Timeout)
    assert (error.code, error.status, error.kind) == (code, 504, "timeout")
    assert talk.released == [False]


async def test_a_reader_that_takes_its_time_is_no_silence_of_the_provider() -> None:
    talk = Talk()
    talk.send(idle=0.01)
    talk.receive(ANSWERS["length"][:-1])
    await talk.exchange.head()
    talk.exchange.begun()
    await asyncio.sleep(0.05)  # several idle periods in which nobody waits for the provider
    talk.receive(ANSWERS["length"][-1:])
    assert await talk.read() == BODY


class Stepped:
    """The loop's clock, as far as an exchange looks at it: so far ahead, and no further. At whole seconds, of which no
    sum is rounded.
    """

    def __init__(self, talk: Talk) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = float(math.ceil(self._loop.time()))
        self.create_future = self._loop.create_future
        self.call_soon = self._loop.call_soon
        talk.exchange._clock = cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        return self.now


def spelled(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'
PINGS = {
    "comments": [b": ping\n\n"],
    "of a router": [b": OPENROUTER PROCESSING\n\n"],
    "crlf": [b":\r\n\r\n"],
    "anthropic": [b'event: ping\ndata: {"type": "ping"}\n\n'],
    "responses": [b'event: keepalive\ndata: {"type":"keepalive","sequence_number":7}\n\n'],
    "many at once": [b": a\n\n" * 100],
    "in two": [b": wait", b"\n\n"],
    "an event that never ends, byte by byte": [b"x"] * 5,
}


async def minutes(talk: Talk, clock: Stepped, pieces: Sequence[bytes], many: int) -> str:
    """The code of the error that ended the stream within so many minutes, of which each brings these pieces."""
    reading = asyncio.create_task(talk.fault())
    await turn()
    for _ in range(many):
        clock.now += 60 - 1
        talk.exchange.look()
        clock.now += 1
        talk.receive(*map(spelled, pieces))
        await turn()
        await turn()
    if reading.done():
        return reading.result()[1].code
    reading.cancel()
    return ""


def watched(idle: float = 100) -> tuple[Talk, Stepped]:
    """A stream that has said something, and may say no more than that it is there for half an hour."""
    talk = Talk()
    clock = Stepped(talk)
    talk.send(idle=idle, quiet=1800)
    talk.receive(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", spelled(DELTA))
    talk.exchange.begun()
    return talk, clock


@pytest.mark.parametrize(
    ("allowed", "after", "after_the_head"),
    [
        ({"headers": 3, "first_event": 5}, 3, 5),
        ({"headers": 5, "first_event": 3}, 3, 3),
        ({"first_event": 5}, 5, 5),
        ({"headers": 3}, 3, None),
        ({"first_event": 5, "total": 4}, 4, 4),
        ({}, None, None),
    ],
    ids=str,
)
async def test_it_is_looked_at_again_when_a_timer_may_have_run_out_and_no_sooner(
    allowed: dict[str, float], after: float | None, after_the_head: float | None
) -> None:
    talk = Talk()
    clock = Stepped(talk)
    talk.send(**{"headers": 0.0, "first_event": 0.0} | allowed)
    began = talk.exchange._began
    clock.now += 1
    assert talk.exchange.look() == (0.0 if after is None else began + after)
    talk.receive(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    assert talk.exchange.look() == (0.0 if after_the_head is None else began + after_the_head)


@pytest.mark.parametrize("kind", PINGS)
async def test_a_stream_that_only_says_that_it_is_there_ends(kind: str) -> None:
    talk, clock = watched()
    assert await minutes(talk, clock, PINGS[kind], 29) == ""
    assert await minutes(talk, clock, PINGS[kind], 4) == "quiet_timeout"
    assert talk.released == [False]


@pytest.mark.parametrize("kind", PINGS)
async def test_a_stream_that_speaks_between_its_pings_goes_on(kind: str) -> None:
    talk, clock = watched()
    for _ in range(10):
        assert await minutes(talk, clock, PINGS[kind], 25) == ""
        assert await minutes(talk, clock, [DELTA], 1) == ""
    assert await minutes(talk, clock, [*PINGS[kind], DELTA], 100) == ""


@pytest.mark.parametrize("idle", [0, 60, 600])
@pytest.mark.parametrize("last", [1, 179, 181, 1799])
async def test_a_quiet_is_timed_from_the_last_word_to_within_a_tenth(idle: float, last: int) -> None:
    """By its own alarm and no other look, whatever else is timed. `last`: seconds after the first word."""
    talk, clock = watched(idle)
    reading = asyncio.create_task(talk.fault())
    await turn()
    began, due = clock.now, talk.wire._alarm._when
    while due:
        clock.now += 1
        if clock.now == began + last or (clock.now - began) % 50 == 0:
            talk.receive(spelled(DELTA if clock.now == began + last else b": ping\n\n"))
            await turn()
            await turn()
        due = due if clock.now < due else talk.exchange.look()
    assert (await reading)[1].code == "quiet_timeout"
    assert 1800 <= clock.now - (began + last) <= 1800 * 1.1 + 1


async def test_a_stream_that_comes_byte_by_byte_speaks_with_each_event() -> None:
    talk, clock = watched()
    assert await minutes(talk, clock, [DELTA[at : at + 1] for at in range(len(DELTA))], 100) == ""


async def test_a_client_that_reads_nothing_for_an_hour_is_no_quiet_of_the_provider() -> None:
    talk, clock = watched()
    for _ in range(60):
        clock.now += 60
        talk.exchange.look()
    assert await minutes(talk, clock, PINGS["comments"], 29) == ""


async def test_an_answer_that_is_done_leaves_no_timer() -> None:
    talk = Talk()
    talk.send(headers=0.01, first_event=0.01, idle=0.01, total=0.01)
    talk.receive(ANSWERS["length"])
    await asyncio.sleep(0.03)  # every timer would have run out
    assert await talk.read() == BODY


# --- what it says of itself ------------------------------------------------------------------------------------------


async def test_an_exchange_has_few_enough_fields_to_share_their_names_with_all_others() -> None:
    """With thirty, each takes a KiB more."""
    of_the_class = {
        name
        for kind in (Exchange, Timed)
        for name, value in vars(kind).items()
        if not (callable(value) or isinstance(value, property) or name.startswith("__"))
    }
    assert len(of_the_class | vars(Talk().exchange).keys()) < 30


async def test_a_wire_tells_its_state() -> None:
    assert repr(wired()) == "<Wire idle, fresh>"
    talk = Talk()
    states: list[Callable[[], None]] = [
        lambda: None,
        lambda: talk.receive(ANSWERS["length"][:-2]),
        lambda: talk.receive(ANSWERS["length"][-2:]),
    ]
    said = []
    for state in states:
        state()
        said.append(repr(talk.wire))
    assert said == [
        "<Wire <Exchange waiting>, used>",
        f"<Wire <Exchange 200, {len(BODY) - 2} bytes held>, used>",
        "<Wire <Exchange done>, used>",
    ]
    await talk.read()
