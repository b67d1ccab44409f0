"""Does the pool keep its promises to providers that misbehave, and to those that do not?

Real connections, to an upstream that is evil on demand; test_wire.py has what one exchange owes, byte for byte.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest
import trustme

from proxy.config import Timers
from proxy.edge.aside import LARGE
from proxy.edge.exchange import Exchange
from proxy.edge.kernel import WATCHED
from proxy.edge.lateness import Allowed
from proxy.edge.origins import request_head
from proxy.edge.wire import Wire
from proxy.errors import Down, Timeout, UpstreamError, is_unsent
from proxy.upstream import IDLE_LIFE, Upstream
from tests.evil import Evil, Received, Scenario, Split, trust
from tests.nowhere import free_port

LIMIT = 1024 * 1024
PATIENCE = 30  # seconds until an answer that should have begun is a failure
BODY = b'{"text":"Gr\xc3\xbc\xc3\x9fe"}'
QUICK = Timers(connect=0.3, headers=0.3, first_event=0.3, idle=0.3, total=0.3)
ENOUGH = Timers(connect=5, headers=5, first_event=5, idle=5, total=5)

How = Literal["fin", "rst", "stall"]
Framing = Literal["length", "chunked", "eof"]
FRAMINGS: list[Framing] = ["length", "chunked", "eof"]
ANSWER = Scenario(body=BODY)
CLOSED_AT_ONCE = Scenario(body=BODY, cut_at=0, cut_of="wire")  # a provider's idle close, crossed by our request


@asynccontextmanager
async def pool() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    try:
        yield upstream
    finally:
        await upstream.close()


async def post(
    upstream: Upstream,
    url: str,
    timers: Timers = ENOUGH,
    path: str = "/x",
    stream: bool = False,
    body: bytes = b"{}",
) -> Exchange:
    head = request_head(path, [("host", "h")])
    return await upstream.send(upstream.origin(url, timers), head, body, stream=stream)


async def read(upstream: Upstream, url: str, timers: Timers = ENOUGH) -> bytes:
    return await (await post(upstream, url, timers)).read(LIMIT)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of whom the machine trusts."""
    monkeypatch.setattr("proxy.edge.trust._kept", [trust()])


# --- whole answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [LARGE, LARGE + 1])
async def test_a_long_body_goes_out_uncopied(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    written: list[bytes] = []
    send = Exchange.send

    def watched(exchange: Exchange, data: bytes, rest: bytes, allowed: Allowed) -> None:
        written.extend((data, rest))
        send(exchange, data, rest, allowed)

    monkeypatch.setattr(Exchange, "send", watched)
    body = b"x" * size
    async with Evil(Scenario(body=BODY)) as evil, pool() as upstream:
        answer = await upstream.send(upstream.origin(evil.url, ENOUGH), request_head("/x", []), body, stream=False)
        assert await answer.read(LIMIT) == BODY
        assert bytes(evil.requests[0].body) == body
    assert any(piece is body for piece in written) == (size > LARGE)


@pytest.mark.parametrize("split", [None, "bytes", 7, [3, 0, 5]], ids=str)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_answer_comes_whole(framing: Framing, split: Split) -> None:
    async with Evil(Scenario(status=201, body=BODY, framing=framing, split=split)) as evil, pool() as upstream:
        answer = await post(upstream, evil.url)
        assert (answer.status, await answer.read(LIMIT)) == (201, BODY)
        assert (upstream.in_use, upstream.pooled) == (0, 0 if framing == "eof" else 1)


async def test_the_request_goes_out_as_it_was_given() -> None:
    async with Evil(ANSWER) as evil, pool() as upstream:
        await read(upstream, evil.url)
        request = await evil.received()
        assert request.head == b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n"
        assert request.body == b"{}"


@pytest.mark.usefixtures("trusted")
async def test_an_answer_comes_whole_over_tls() -> None:
    async with Evil(ANSWER, ANSWER, tls=True) as evil, pool() as upstream:
        assert [await read(upstream, evil.url) for _ in range(2)] == [BODY, BODY]
        assert evil.connections == 1


async def test_an_answer_longer_than_the_limit_is_refused_and_its_connection_closed() -> None:
    async with Evil(Scenario(body=b"x" * 100)) as evil, pool() as upstream:
        with pytest.raises(Down, match="longer than 99 bytes"):
            await (await post(upstream, evil.url)).read(99)


# --- cut answers -----------------------------------------------------------------------------------------------------


def cuts(framing: Framing) -> range:
    return range(len(Scenario(body=BODY, framing=framing, split=[5]).wire()))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["fin", "rst", "stall"])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.usefixtures("trusted")
async def test_a_cut_at_any_byte_of_the_wire_has_its_code(framing: Framing, how: How, tls: bool) -> None:
    plan = Scenario(body=BODY, framing=framing, split=[5], cut_of="wire", how=how)
    head = plan.wire().index(b"\r\n\r\n") + 4

    def cut(request: Received) -> Scenario:
        return replace(plan, cut_at=int(request.target[1:]))

    async with Evil(answering=cut, tls=tls) as evil, pool() as upstream:
        ends = await asyncio.gather(*(end(upstream, evil.url, at) for at in cuts(framing)[:: 5 if tls else 1]))
    for at, said, code in ends:
        assert BODY.startswith(said)
        if how == "stall" and at >= head and not said:
            assert code == "first_event_timeout"
        else:
            assert code in expected(framing, how, at < head, tls), f"{code} after {at}"


async def end(upstream: Upstream, url: str, at: int) -> tuple[int, bytes, str]:
    """What was read of an answer that was cut, and the code of its error: "" where it seemed whole."""
    said = b""
    timers = replace_timers(idle=0.4)
    try:
        answer = await post(upstream, url, timers, path=f"/{at}", stream=True)
        while chunk := await answer.chunk():
            said += chunk
            answer.begun()
    except UpstreamError as error:
        return at, said, error.code
    return at, said, ""


def replace_timers(idle: float) -> Timers:
    """Patient with TLS handshakes, of which a test makes many at once; not with a stall."""
    return Timers(connect=20, headers=1, first_event=1, idle=idle, total=20)


def expected(framing: Framing, how: How, in_head: bool, tls: bool) -> set[str]:
    """`in_head`: before the body, as far as the cut can be told from one there."""
    if how == "stall":
        return {"headers_timeout"} if in_head else {"idle_timeout"}
    if how == "rst":  # the kernel may throw away what it had not handed on
        return {"upstream_closed"} if in_head else {"upstream_closed", "upstream_cut"}
    if in_head:
        return {"upstream_closed"}
    # Where the head gives no length, only TLS could tell an end from a cut; llhttp and we do not ask it.
    return {""} if framing == "eof" else {"upstream_cut"}


# aiohttp leaves the socket of a TLS handshake that met a reset to its finaliser, which closes it, and says so.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("welcome", ["fin", "rst", "stall"])
@pytest.mark.usefixtures("trusted")
async def test_a_connection_that_is_hung_up_on_arrival_is_an_upstream_error(welcome: How, tls: bool) -> None:
    async with Evil(welcome=welcome, tls=tls) as evil, pool() as upstream:
        with pytest.raises(UpstreamError) as caught:
            await post(upstream, evil.url, QUICK, stream=True)
    if welcome == "stall":
        assert isinstance(caught.value, Timeout)
        assert caught.value.code == ("tls_timeout" if tls else "headers_timeout")
    else:
        assert isinstance(caught.value, Down)


# --- reuse -----------------------------------------------------------------------------------------------------------


async def test_calls_share_a_connection_and_it_is_a_wire() -> None:
    async with Evil(*[ANSWER] * 5) as evil, pool() as upstream:
        for _ in range(5):
            assert await read(upstream, evil.url) == BODY
        assert evil.connections == 1
        (held,) = [held for origin in upstream._resting for held in origin.idle]
        assert type(held.wire) is Wire
        assert repr(upstream) == "<Upstream 0 in use, 1 pooled>"


async def test_what_may_have_gone_out_already_is_not_called_unsent() -> None:
    """It went out on a connection that was closed as it came, and then no other could be made."""

    def answering(request: Received) -> Scenario:
        if len(evil.requests) == 1:
            return ANSWER
        evil._server.close()  # what is open stays open
        return CLOSED_AT_ONCE

    async with Evil(answering=answering) as evil, pool() as upstream:
        await read(upstream, evil.url)
        for expected in (False, True):
            with pytest.raises(UpstreamError) as caught:
                await read(upstream, evil.url)
            assert (caught.value.code, is_unsent(caught.value)) == ("connect_error", expected)


async def test_the_kernel_watches_for_a_provider_that_vanishes() -> None:
    """B4: without a word, so that nothing ever comes."""
    async with Evil(ANSWER) as evil, pool() as upstream:
        answer = await post(upstream, evil.url)
        (wire,) = upstream._connector._acquired
        assert wire.transport is not None
        there = wire.transport.get_extra_info("socket")
        assert there.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = {name: there.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in WATCHED}
        assert options == WATCHED
        assert WATCHED["TCP_KEEPIDLE"] + WATCHED["TCP_KEEPINTVL"] * WATCHED["TCP_KEEPCNT"] <= 60
        await answer.read(LIMIT)


@pytest.mark.parametrize(
    "fault",
    [
        Scenario(body=BODY, cut_at=3),
        Scenario(body=BODY, cut_at=3, how="stall"),
        Scenario(raw=b"garbage\r\n\r\n"),
        Scenario(raw=ANSWER.wire() + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        Scenario(body=BODY, headers=[("Connection", "close")]),
        Scenario(body=BODY, headers=[("Content-Encoding", "gzip")]),
        Scenario(raw=b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    ],
    ids=["cut", "stall", "garbage", "bytes behind", "close", "gzip", "101"],
)
async def test_a_connection_is_never_used_again_after_a_fault(fault: Scenario) -> None:
    async with Evil(fault, ANSWER) as evil, pool() as upstream:
        with contextlib.suppress(UpstreamError):
            assert await read(upstream, evil.url, QUICK) == BODY
        assert await read(upstream, evil.url) == BODY
        assert evil.connections == 2
        assert upstream.in_use == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.usefixtures("trusted")
async def test_a_connection_on_which_a_request_is_still_going_out_is_not_used_again(tls: bool) -> None:
    """Who answers before all of it has come may never read the rest, and the next request would wait behind that."""
    async with Evil(Scenario(status=413, body=BODY), ANSWER, early=True, tls=tls) as evil, pool() as upstream:
        answer = await post(upstream, evil.url, body=b"x" * 16_000_000)
        assert (answer.status, await answer.read(LIMIT)) == (413, BODY)
        assert await read(upstream, evil.url) == BODY
        assert evil.connections == 2
        assert not evil.requests[0].whole


async def test_bytes_that_come_late_close_the_idle_connection() -> None:
    late = ANSWER.wire() + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    plan = Scenario(raw=late, split=[len(ANSWER.wire())], gap=0.02)
    async with Evil(plan, ANSWER) as evil, pool() as upstream:
        assert await read(upstream, evil.url) == BODY
        assert upstream.pooled == 1
        assert (await evil.closed(0)).how in ("fin", "rst")
        assert await read(upstream, evil.url) == BODY


async def test_a_connection_that_has_waited_for_too_long_is_closed_and_no_other() -> None:
    slow = Scenario(body=BODY, delay_head=0.02)
    async with Evil(slow, slow) as evil, pool() as upstream:
        await asyncio.gather(*(read(upstream, evil.url) for _ in range(2)))
        (origin,) = upstream._resting
        old, young = origin.idle
        origin.idle[0] = old._replace(since=old.since - IDLE_LIFE)
        upstream._close_old()
        assert origin.idle == [young]
        await evil.closed()
        assert (len(evil.closings), upstream.pooled) == (1, 1)


# --- the stale connection --------------------------------------------------------------------------------------------


async def test_a_stale_connection_costs_one_retry_on_a_fresh_one() -> None:
    async with Evil(ANSWER, CLOSED_AT_ONCE, ANSWER) as evil, pool() as upstream:
        assert [await read(upstream, evil.url) for _ in range(2)] == [BODY, BODY]
        assert [request.connection for request in evil.requests] == [0, 0, 1]


async def test_a_stale_connection_is_not_tried_again_on_another_pooled_one() -> None:
    slow = Scenario(body=BODY, delay_head=0.02)
    async with Evil(slow, slow, CLOSED_AT_ONCE, ANSWER) as evil, pool() as upstream:
        await asyncio.gather(*(read(upstream, evil.url) for _ in range(2)))
        assert upstream.pooled == 2
        assert await read(upstream, evil.url) == BODY
        assert [request.connection for request in evil.requests][2:] in ([0, 2], [1, 2])


async def test_a_fresh_connection_that_is_closed_is_not_retried() -> None:
    async with Evil(ANSWER, CLOSED_AT_ONCE, CLOSED_AT_ONCE, ANSWER) as evil, pool() as upstream:
        await read(upstream, evil.url)
        with pytest.raises(Down, match="without an answer"):
            await read(upstream, evil.url)
        assert len(evil.requests) == 3
        evil.queue.clear()


async def test_a_stale_connection_is_not_retried_once_a_byte_has_come() -> None:
    async with Evil(ANSWER, replace(CLOSED_AT_ONCE, cut_at=1)) as evil, pool() as upstream:
        await read(upstream, evil.url)
        with pytest.raises(Down):
            await read(upstream, evil.url)
        assert len(evil.requests) == 2


async def test_a_connection_that_a_model_list_used_first_is_pooled_like_any_other() -> None:
    async with Evil(ANSWER, CLOSED_AT_ONCE, ANSWER) as evil, pool() as upstream:
        assert await upstream.get(upstream.origin(evil.url), "/models", {}, 5) == (200, BODY)
        assert await read(upstream, evil.url) == BODY
        assert [request.connection for request in evil.requests] == [0, 0, 1]


# --- letting go ------------------------------------------------------------------------------------------------------


async def test_a_reader_that_does_not_read_stalls_the_provider() -> None:
    size = 64 * 1024 * 1024
    async with Evil(Scenario(body=b"x" * size)) as evil, pool() as upstream:
        answer = await post(upstream, evil.url, stream=True)
        pushed = -1
        while pushed != evil.answers[0].pushed:
            pushed = evil.answers[0].pushed
            await asyncio.sleep(0.05)
        assert pushed < 12 * 1024 * 1024  # what two kernel buffers take, and not what we were sent
        (held,) = (wire.exchange for wire in upstream._connector._acquired if isinstance(wire, Wire))
        assert isinstance(held, Exchange)
        assert held._held < 512 * 1024
        answer.abort()


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.usefixtures("trusted")
async def test_a_provider_that_closes_while_nobody_reads_is_read_to_its_end(tls: bool, framing: Framing) -> None:
    """uvloop drops what its TLS has taken in by then, and not handed on."""
    body = bytes(range(256)) * 400
    late = Scenario(body=body, framing=framing, split=[70_000, len(body) - 70_000], gap=0.05, then="close")
    async with Evil(late, tls=tls) as evil, pool() as upstream:
        answer = await post(upstream, evil.url, stream=True)
        await evil.closed()
        assert await answer.read(len(body)) == body


@pytest.mark.usefixtures("trusted")
async def test_an_abort_closes_a_tls_connection_without_a_farewell() -> None:
    async with Evil(Scenario(body=BODY, cut_at=3, how="stall"), tls=True) as evil, pool() as upstream:
        answer = await post(upstream, evil.url, stream=True)
        assert await answer.chunk() == BODY[:3]
        answer.abort()
        await evil.closed()
        farewells = [connection._tls.left for connection in evil._connections if connection._tls]
        assert farewells == [False]  # a close_notify would have us wait, and read on, for up to 30 s
        assert upstream.in_use == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("cut_at", [0, 30], ids=["no byte", "half a head"])
@pytest.mark.usefixtures("trusted")
async def test_a_caller_that_is_cancelled_before_the_head_closes_the_connection(cut_at: int, tls: bool) -> None:
    stall = Scenario(body=BODY, cut_at=cut_at, cut_of="wire", how="stall")
    async with Evil(stall, tls=tls) as evil, pool() as upstream:
        task = asyncio.create_task(post(upstream, evil.url, stream=True))
        await evil.received()
        await evil.pushed_all()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await evil.closed()
        assert (upstream.in_use, upstream.pooled) == (0, 0)


# --- what is not taken -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP, identity", "deflate"])
async def test_an_encoded_answer_is_refused(coding: str) -> None:
    bomb = Scenario(body=BODY, headers=[("Content-Encoding", coding)], cut_at=3, how="stall")
    async with Evil(bomb) as evil, pool() as upstream:
        with pytest.raises(Down, match="content encoding") as caught:
            await post(upstream, evil.url)
        assert (caught.value.code, upstream.in_use) == ("upstream_protocol", 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with Evil() as elsewhere, pool() as upstream:
        moved = Scenario(status=status, headers=[("Location", elsewhere.url)], body=b"moved")
        async with Evil(moved, moved) as evil:
            assert (await upstream.get(upstream.origin(evil.url), "/models", {}, 5))[0] == status
            answer = await post(upstream, evil.url)
            assert (answer.status, await answer.read(LIMIT)) == (status, b"moved")
        assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [200, 302, 503])
async def test_a_webhook_is_told_and_its_status_known(status: int) -> None:
    async with Evil() as elsewhere, pool() as upstream:
        async with Evil(Scenario(status=status, headers=[("Location", elsewhere.url)])) as evil:
            assert await upstream.tell(f"{evil.url}/hook?key=k", b"{}") == status
            asked = evil.requests[0]
            assert (asked.method, asked.target, asked.body) == ("POST", "/hook?key=k", b"{}")
            assert asked.header("content-type") == "application/json"
        assert elsewhere.connections == 0


async def test_a_webhook_that_fails_is_not_taken_for_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.TOLD", 0.05)
    stalls = Scenario(cut_at=0, cut_of="wire", how="stall")
    async with Evil(CLOSED_AT_ONCE, stalls) as evil, pool() as upstream:
        said = []
        for url in (f"http://127.0.0.1:{free_port()}/", evil.url, evil.url, "https://[::1"):
            with pytest.raises(UpstreamError) as caught:
                await upstream.tell(url, b"{}")
            said.append((caught.value.message, caught.value.code))
    assert said == [
        ("The webhook cannot be reached.", "connect_error"),
        ("The webhook closed the connection without an answer.", "network_error"),
        ("The webhook did not answer within 0.05 s.", "total_timeout"),
        ("The connection to the webhook failed.", "network_error"),
    ]


async def test_a_cookie_is_not_kept() -> None:
    cookie = Scenario(body=BODY, headers=[("Set-Cookie", "id=1; Path=/")])
    async with Evil(cookie, cookie, ANSWER, ANSWER) as evil, pool() as upstream:
        origin = upstream.origin(evil.url)
        await upstream.get(origin, "/models", {}, 5)
        await read(upstream, evil.url)
        await upstream.get(origin, "/models", {}, 5)
        await read(upstream, evil.url)
        assert [request.header("cookie") for request in evil.requests] == [None] * 4


# --- no connection ---------------------------------------------------------------------------------------------------


@pytest.fixture
def nobody() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_a_refused_connection_is_down(nobody: str) -> None:
    async with pool() as upstream:
        for asking in (post(upstream, nobody), upstream.get(upstream.origin(nobody), "/models", {}, 5)):
            with pytest.raises(Down, match="cannot be reached") as caught:
                await asking
            assert (caught.value.kind, caught.value.code) == ("network_error", "connect_error")
        assert upstream.in_use == 0


async def test_what_connecting_took_is_taken_from_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Upstream._connect

    async def late(*args: Any) -> Any:
        await asyncio.sleep(0.2)
        return await connect(*args)

    monkeypatch.setattr(Upstream, "_connect", late)
    async with Evil(Scenario(cut_at=0, cut_of="wire", how="stall")) as evil, pool() as upstream:
        with pytest.raises(Timeout, match=r"did not end within 0\.(0[0-9]?|1) s") as caught:
            await upstream.send(upstream.origin(evil.url), request_head("/x", []), b"", stream=True, total=0.3)
        assert caught.value.code == "total_timeout"


async def test_a_name_that_nobody_has_is_down() -> None:
    async with pool() as upstream:
        with pytest.raises(Down, match="host name cannot be resolved") as caught:
            await post(upstream, "http://nobody.invalid")
        assert caught.value.code == "dns_error"


async def test_a_certificate_of_somebody_else_is_down_and_the_key_is_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(theirs)
    monkeypatch.setattr("proxy.edge.trust._kept", [trust()])
    async with Evil(tls=theirs) as evil, pool() as upstream:
        for asking in (post(upstream, evil.url), upstream.get(upstream.origin(evil.url), "/models", {}, 5)):
            with pytest.raises(Down, match="TLS connection") as caught:
                await asking
            assert caught.value.code == "tls_error"
        assert evil.requests == []


async def test_an_authority_that_the_machine_does_not_know_is_down() -> None:
    async with Evil(tls=True) as evil, pool() as upstream:
        with pytest.raises(Down) as caught:
            await post(upstream, evil.url)
        assert caught.value.code == "tls_error"


# --- the side road ---------------------------------------------------------------------------------------------------


async def test_a_list_that_does_not_end_is_cut_off() -> None:
    async with Evil(Scenario(body=b"x" * (9 * 1024 * 1024))) as evil, pool() as upstream:
        with pytest.raises(Down, match="is too long"):
            await upstream.get(upstream.origin(evil.url), "/models", {}, 5)


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        (Scenario(cut_at=0, cut_of="wire", how="stall"), Timeout),
        (Scenario(body=BODY, cut_at=3), Down),
        (Scenario(raw=b"garbage\r\n\r\n"), Down),
    ],
    ids=["stall", "cut", "garbage"],
)
async def test_a_list_that_does_not_come_is_an_upstream_error(plan: Scenario, kind: type[UpstreamError]) -> None:
    async with Evil(answering=lambda _: plan) as evil, pool() as upstream:
        with pytest.raises(kind):
            await upstream.get(upstream.origin(evil.url), "/models", {}, 0.2)


async def test_a_list_is_asked_below_the_base_path() -> None:
    async with Evil(ANSWER) as evil, pool() as upstream:
        await upstream.get(upstream.origin(evil.url + "/openai/v1"), "/models", {"x-a": "b"}, 5)
        assert evil.requests[0].target == "/openai/v1/models"
        assert evil.requests[0].header("x-a") == "b"


async def test_what_is_escaped_in_a_url_is_asked_for_as_it_stands() -> None:
    """An identity provider's keys may be at any URL, and a page's token is any text."""
    path = "/a%20b%2Fc?p=x%26y&q=%2B+%C3%BC"
    async with Evil(ANSWER) as evil, pool() as upstream:
        await upstream.get(upstream.origin(evil.url + "/d%20e/"), path, {}, 5)
        assert evil.requests[0].target == f"/d%20e{path}"


async def test_an_origin_tells_no_more_than_where_it_is() -> None:
    async with pool() as upstream:
        assert repr(upstream.origin("https://api.example/v1")) == "<Origin https://api.example>"


async def test_on_a_side_road_silence_is_not_told_as_a_connection_that_failed() -> None:
    async with Evil(Scenario(cut_at=0, cut_of="wire", how="stall")) as evil, pool() as ways:
        with pytest.raises(Timeout) as caught:
            await ways.get(ways.origin(evil.url), "/models", {}, 0.05)
    assert (caught.value.code, caught.value.message) == ("total_timeout", "The provider did not answer within 0.05 s.")
