"""Does the evil upstream do the evil that it is told to, and tell the truth about it?"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import evil as bench
from tests import recordings
from tests.evil import Evil, Scenario, Split, pieces, trust

GET = b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n"
BODY = b'{"text": "r\xc3\xa9sum\xc3\xa9"}'
PLANS: list[Split] = [None, "bytes", 7, [3, 0, 5], [1000]]
FRAMINGS: list[Literal["length", "chunked", "eof"]] = ["length", "chunked", "eof"]


class Peer:
    """A client that sees bytes, and how they end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def some(self) -> bytes:
        return await self._reader.read(1000)

    async def take(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    async def rest(self) -> tuple[bytes, str]:
        """What still comes, and whether FIN or RST ends it."""
        out = b""
        try:
            while some := await self._reader.read(65536):
                out += some
        except ConnectionResetError:
            return out, "rst"
        return out, "fin"

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def leave(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def peer(evil: Evil, first: bytes = GET) -> AsyncIterator[Peer]:
    context = trust() if evil.tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", evil.port, ssl=context)
    one = Peer(reader, writer)
    try:
        await one.send(first)
        yield one
    finally:
        await one.leave()


async def answer_of(scenario: Scenario, tls: bool = False) -> tuple[bytes, str]:
    async with Evil(scenario, tls=tls) as evil, peer(evil) as one:
        return await one.rest()


# --- what goes over the wire -----------------------------------------------------------------------------------------


@given(st.binary(max_size=60), st.one_of(st.none(), st.just("bytes"), st.integers(), st.lists(st.integers(0, 20))))
def test_pieces_are_the_data_and_none_is_empty(data: bytes, split: Split) -> None:
    parts = pieces(data, split)
    assert b"".join(parts) == data
    assert all(parts)


def test_a_plan_gives_the_sizes() -> None:
    assert pieces(b"abcdefgh", [3, 0, 2]) == [b"abc", b"de", b"fgh"]
    assert pieces(b"abc", "bytes") == [b"a", b"b", b"c"]
    assert pieces(b"abc" * 99, 1) == pieces(b"abc" * 99, 1) != pieces(b"abc" * 99, 2)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("split", PLANS, ids=repr)
async def test_an_answer_that_is_not_evil_is_good_http(
    tls: bool, framing: Literal["length", "chunked", "eof"], split: Split
) -> None:
    scenario = Scenario(status=418, headers=[("X-Odd", "odd")], body=BODY, framing=framing, split=split)
    connector = aiohttp.TCPConnector(ssl=trust())
    async with Evil(scenario, scenario, tls=tls) as evil, aiohttp.ClientSession(connector=connector) as session:
        for _ in range(2):
            async with session.post(f"{evil.url}/a?b=c", data=b"hello") as response:
                assert (response.status, response.headers["X-Odd"]) == (418, "odd")
                assert await response.read() == BODY
        assert evil.connections == (2 if framing == "eof" else 1)
        assert [(request.target, request.body) for request in evil.requests] == [("/a?b=c", b"hello")] * 2


async def test_pieces_are_written_apart() -> None:
    scenario = Scenario(body=b"abc", framing="chunked", split="bytes", then="close")
    assert scenario.pieces()[1:] == [b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n", b"0\r\n\r\n"]
    assert await answer_of(scenario) == (scenario.wire(), "fin")


async def test_a_gap_leaves_the_pieces_apart_at_the_peer() -> None:
    async with Evil(Scenario(raw=b"abc", split="bytes", gap=0.01)) as evil, peer(evil) as one:
        for byte in (b"a", b"b", b"c"):
            assert await one.some() == byte


async def test_raw_bytes_go_out_as_they_are() -> None:
    assert await answer_of(Scenario(raw=b"HTTP/0.9 what?\n\x00", split=3, then="close")) == (
        b"HTTP/0.9 what?\n\x00",
        "fin",
    )


async def test_a_length_that_lies_is_kept() -> None:
    wire = Scenario(headers=[("content-length", "99")], body=b"ab").wire()
    assert wire == b"HTTP/1.1 200 Whatever\r\ncontent-length: 99\r\n\r\nab"


async def test_the_head_may_be_late() -> None:
    async with Evil(Scenario(delay_head=60)) as evil, peer(evil):
        await evil.received(1)
        await asyncio.sleep(0)
        assert (evil.answers[0].pushed, evil.answers[0].state) == (0, "going")


async def test_the_body_may_be_late() -> None:
    scenario = Scenario(body=b"abc", delay_body=60)
    async with Evil(scenario) as evil, peer(evil) as one:
        head = scenario.wire().removesuffix(b"abc")
        assert await one.take(len(head)) == head
        with pytest.raises(TimeoutError):  # none of the body comes, though the answer is going on
            await asyncio.wait_for(one.some(), 0.05)
        assert (evil.answers[0].pushed, evil.answers[0].state) == (len(head), "going")


# --- cuts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("tls", [False, True])
async def test_fin_at_every_byte_of_the_wire(tls: bool, framing: Literal["length", "chunked", "eof"]) -> None:
    whole = Scenario(body=BODY, framing=framing, split=[5, 4]).wire()
    cuts = range(len(whole) + 1)
    scenarios = [Scenario(body=BODY, framing=framing, split=[5, 4], cut_at=cut, cut_of="wire") for cut in cuts]
    async with Evil(*scenarios, tls=tls) as evil:
        for cut in cuts:
            async with peer(evil) as one:
                assert await one.rest() == (whole[:cut], "fin")
            closed = await evil.closed(cut)
            assert (closed.how, closed.pushed, evil.answers[cut].state) == ("ours", cut, "cut")


async def test_rst_at_every_byte_of_the_wire() -> None:
    whole = Scenario(body=BODY).wire()
    for cut in range(len(whole) + 1):
        assert await answer_of(Scenario(body=BODY, cut_at=cut, cut_of="wire", how="rst")) == (whole[:cut], "rst")


@pytest.mark.parametrize("split", PLANS, ids=repr)
def test_a_cut_of_the_body_counts_its_bytes_and_no_framing(split: Split) -> None:
    for cut in range(len(BODY) + 1):
        for framing in FRAMINGS:
            scenario = Scenario(body=BODY, framing=framing, split=split, cut_at=cut)
            head, _, rest = b"".join(scenario.pieces()).partition(b"\r\n\r\n")
            got = b"".join(unchunked(rest)) if framing == "chunked" else rest
            assert head.startswith(b"HTTP/1.1 200 ")
            assert got == BODY[:cut]


def unchunked(wire: bytes) -> list[bytes]:
    out = []
    while wire:
        size, _, wire = wire.partition(b"\r\n")
        out.append(wire[: int(size, 16)])
        wire = wire[int(size, 16) + 2 :]
    return out


def test_a_cut_beyond_the_end_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no byte 4"):
        Scenario(raw=b"abc", cut_at=4).pieces()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("leaves_by", ["fin", "rst"])
async def test_a_stall_holds_until_the_peer_goes_and_tells_how_it_went(tls: bool, leaves_by: str) -> None:
    async with Evil(Scenario(body=BODY, cut_at=4, how="stall"), tls=tls) as evil, peer(evil) as one:
        await evil.pushed_all()
        answer = evil.answers[0]
        got = await one.take(answer.pushed)
        assert (got.partition(b"\r\n\r\n")[2], answer.state, evil.closings) == (BODY[:4], "stalled", [])
        if leaves_by == "rst":
            one.reset()
        else:
            await one.leave()
        closed = await evil.closed()
        assert (closed.how, closed.pushed, answer.state) == (leaves_by, len(got), "stalled")


async def test_an_answer_that_the_peer_leaves_is_abandoned() -> None:
    body = b"x" * 50_000_000
    async with Evil(Scenario(body=body)) as evil, peer(evil) as one:
        await evil.pushed(100)
        one.reset()
        closed = await evil.closed()
        assert (closed.how, evil.answers[0].state) == ("rst", "abandoned")
        assert 100 <= closed.pushed == evil.answers[0].pushed < len(body)


ALERT = 21  # the type of a TLS record (RFC 5246, 6.2.1)


def read_over_tls(port: int, context: ssl.SSLContext) -> str:
    """How TLS sees the end, told by the type of the last record: some Pythons hide that a close_notify is missing.

    TLS 1.2, since 1.3 gives all its records one type; in a thread, since asyncio would not tell.
    """
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, theirs, heard = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
    secure = context.wrap_bio(theirs, ours, server_hostname="127.0.0.1")
    asked = False
    with socket.create_connection(("127.0.0.1", port)) as plain:
        while True:
            try:
                if not asked:
                    secure.do_handshake()
                    secure.write(GET)
                    asked = True
            except ssl.SSLWantReadError:
                pass
            finally:
                plain.sendall(ours.read())
            data = plain.recv(65536)
            if not data:
                break
            heard += data
            theirs.write(data)
    types = []
    while heard:
        types.append(heard[0])
        heard = heard[5 + int.from_bytes(heard[3:5], "big") :]
    return "close_notify" if types[-1] == ALERT else "no close_notify"


@pytest.mark.parametrize(
    ("scenario", "end"),
    [
        (Scenario(body=BODY, cut_at=len(BODY)), "no close_notify"),
        (Scenario(body=BODY, framing="eof"), "close_notify"),
    ],
    ids=["fin", "close"],
)
async def test_a_cut_by_fin_has_no_close_notify_and_a_close_has(scenario: Scenario, end: str) -> None:
    async with Evil(scenario, tls=True) as evil:
        assert await asyncio.to_thread(read_over_tls, evil.port, trust()) == end


async def test_a_client_that_mistrusts_the_certificate_is_logged() -> None:
    async with Evil(tls=True) as evil:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(read_over_tls, evil.port, ssl.create_default_context())
        assert (await evil.closed()).how == "alert"
        assert evil.requests == []


async def test_the_ca_is_there_as_a_file() -> None:
    async with Evil(Scenario(body=b"ok"), tls=True) as evil, aiohttp.ClientSession() as session:
        context = ssl.create_default_context(cafile=evil.ca_pem)
        async with session.get(evil.url, ssl=context) as response:
            assert await response.read() == b"ok"
    assert not evil.ca_pem.exists()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("welcome", ["fin", "rst"])
async def test_a_connection_may_be_unwelcome(tls: bool, welcome: Literal["fin", "rst"]) -> None:
    async with Evil(tls=tls, welcome=welcome) as evil:
        with contextlib.suppress(ConnectionError):
            async with peer(evil) as one:
                assert (await one.rest())[0] == b""
        assert (await evil.closed()).how == "ours"
        assert evil.requests == []


async def test_a_connection_may_be_left_at_the_door() -> None:
    async with Evil(tls=True, welcome="stall") as evil:
        shaking = asyncio.create_task(asyncio.open_connection("127.0.0.1", evil.port, ssl=trust()))
        await evil.connected()
        assert not shaking.done()
        shaking.cancel()
        await asyncio.wait([shaking])
        assert (await evil.closed()).how in {"fin", "rst"}


# --- the log ---------------------------------------------------------------------------------------------------------


async def test_a_request_is_logged_as_it_was_on_the_wire() -> None:
    wire = b"PUT http://a/%2f?q=\xc3 HTTP/1.1\r\nx-ODD:  a \r\nX-Odd: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Evil(Scenario(), tls=True) as evil, peer(evil, wire) as one:
        await one.send(b"3\r\nabc\r\n2;size=two\r\nde\r\n0\r\n")
        await one.send(b"Trailer: yes\r\n\r\n")
        request = await evil.received(1)
        assert (request.method, request.target, request.body) == ("PUT", "http://a/%2f?q=Ã", b"abcde")
        assert request.headers == [("x-ODD", "a"), ("X-Odd", "b"), ("Transfer-Encoding", "chunked")]
        assert (request.header("X-ODD"), request.header("none"), request.head) == ("a", None, wire)


async def test_an_upload_that_breaks_off_is_logged_as_far_as_it_came() -> None:
    async with Evil(Scenario()) as evil, peer(evil, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc") as one:
        await one.leave()
        assert (await evil.closed()).how == "fin"
        assert [(request.body, request.whole) for request in evil.requests] == [(b"abc", False)]
        assert evil.answers == []


async def test_an_early_answer_does_not_wait_for_the_body() -> None:
    early = Scenario(status=413, body=b"too long")
    async with (
        Evil(early, early, early=True) as evil,
        peer(evil, b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n") as one,
    ):
        assert await one.take(len(early.wire())) == early.wire()
        assert not evil.requests[0].whole
        await one.send(b"abc" + GET)
        assert await one.take(len(early.wire())) == early.wire()
        assert [request.body for request in evil.requests] == [b"abc", b""]


async def test_requests_share_a_connection_until_one_asks_to_close() -> None:
    closing = b"GET /2 HTTP/1.1\r\nconnection: Close\r\n\r\n"
    scenario = Scenario(body=b"ok")
    async with Evil(scenario, scenario) as evil, peer(evil, GET + closing) as one:
        assert await one.rest() == (scenario.wire() * 2, "fin")
        assert [(request.connection, request.target) for request in evil.requests] == [(0, "/x"), (0, "/2")]
        assert (await evil.closed()).pushed == len(scenario.wire()) * 2


async def test_a_function_may_choose_the_answer() -> None:
    def echo(request: bench.Received) -> Scenario:
        return Scenario(raw=request.target.encode(), then="rst")

    async with Evil(answering=echo) as evil:
        for _ in range(2):
            async with peer(evil) as one:
                assert await one.rest() == (b"/x", "rst")


async def test_an_idle_connection_may_be_hung_up_on() -> None:
    async with Evil(Scenario()) as evil, peer(evil) as one:
        await evil.pushed_all()
        evil.hang_up(0, "rst")
        assert (await one.rest())[1] == "rst"
        assert (await evil.closed()).how == "ours"


async def test_a_request_without_a_scenario_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="no scenario is left for GET /x"):
        async with Evil() as evil, peer(evil) as one:
            assert (await one.rest())[0].startswith(b"HTTP/1.1 500 ")


async def test_what_is_no_request_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="ValueError"):
        async with Evil() as evil, peer(evil, b"hello\r\n\r\n") as one:
            assert await one.rest() == (b"", "rst")


async def test_a_wait_in_vain_says_what_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PATIENCE", 0.01)
    async with Evil() as evil:
        with pytest.raises(AssertionError, match=r"in vain for request 1: <Evil http://127\.0\.0\.1:\d+ 0 connections"):
            await evil.received(1)


def leave_politely_over_tls(port: int, is_answering: threading.Event) -> int:
    """Ask, read nothing until the answer is stuck, say goodbye, and hear the rest; how many bytes that was."""
    ours, theirs, heard = ssl.MemoryBIO(), ssl.MemoryBIO(), 0
    secure = trust().wrap_bio(theirs, ours, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", port)) as plain:
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(ours.read())
                theirs.write(plain.recv(65536))
        secure.write(GET)
        plain.sendall(ours.read())
        is_answering.wait(bench.PATIENCE)
        with contextlib.suppress(ssl.SSLWantReadError):
            secure.unwrap()
        plain.sendall(ours.read())
        with contextlib.suppress(ConnectionResetError):
            while some := plain.recv(1 << 20):
                heard += len(some)
    return heard


async def test_over_tls_a_peer_may_leave_in_the_middle_of_an_answer() -> None:
    body, is_stuck = bytes(32 * 1024 * 1024), threading.Event()
    async with Evil(Scenario(body=body), tls=True) as evil:
        leaving = asyncio.create_task(asyncio.to_thread(leave_politely_over_tls, evil.port, is_stuck))
        await evil.pushed(1)
        is_stuck.set()
        assert (await evil.closed()).how == "fin"
        assert await leaving < len(body)
        assert evil.answers[0].state == "abandoned"
        assert evil.faults == []


@pytest.mark.parametrize("tls", [False, True])
async def test_everything_closes_at_the_end_whatever_it_is_about(tls: bool) -> None:
    """The check for stillness, which follows every test, is what could fail here, too."""
    plans = {
        "/stall": Scenario(body=BODY, cut_at=1, how="stall"),
        "/late": Scenario(delay_head=60),
        "/unread": Scenario(body=b"x" * 50_000_000),
    }
    async with contextlib.AsyncExitStack() as peers:
        async with Evil(answering=lambda request: plans[request.target], tls=tls) as evil:
            for target in plans:
                await peers.enter_async_context(peer(evil, f"GET {target} HTTP/1.1\r\n\r\n".encode()))
            await peers.enter_async_context(peer(evil, b"GE"))
            await evil.received(3)
        assert [closing.how for closing in evil.closings] == ["ours"] * 4


# --- recordings ------------------------------------------------------------------------------------------------------


@recordings.needs_recordings
async def test_every_recording_makes_an_answer() -> None:
    rows = recordings.load("*")
    assert len(rows) == recordings.total()
    for row in rows:
        scenario = Scenario.from_recording(row, framing="length")
        assert scenario.wire().endswith(b"\r\n\r\n" + recordings.body(row))
        assert [name.lower() for name, _ in scenario.headers].count("content-type") == 1


@recordings.needs_recordings
@pytest.mark.parametrize("pattern", ["openai.chat_completions", "bedrock.converse-stream", "gemini.stream*"])
async def test_a_recording_is_replayed_whole(pattern: str) -> None:
    row = next(row for row in recordings.load(pattern) if row["framing"] != "json")
    scenario = Scenario.from_recording(row, split=1)
    async with Evil(scenario) as evil, aiohttp.ClientSession() as session, session.get(evil.url) as response:
        assert (response.status, await response.read()) == (row["status"], recordings.body(row))
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert scenario.framing == "chunked"
