"""Does the edge towards clients find the right handler, tell the whole truth in its heads, and end what it began?"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from proxy import registry
from proxy.edge import keptawake
from proxy.edge.address import Address
from proxy.edge.patience import Patience
from proxy.errors import BadRequest, Down, GatewayError, OverLimit
from proxy.ports import Call, Handler, Reply
from proxy.routing import Route
from proxy.server import STANDARD, Server
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import pillion

JSON = [("Content-Type", "application/json")]
POST = spell("POST", "/x", b"{}")
MEGABYTE = b"x" * (1024 * 1024)
Ended = list[BaseException | None]


@asynccontextmanager
async def serving(handler: Handler, method: str = "POST", patience: Patience = STANDARD) -> AsyncIterator[Address]:
    """A server with one route and nothing behind it."""
    one = Server([Route(method, "/x", "chat", handler, dialect="openai_chat")], registry.dialect, patience)
    await one.open(Address("127.0.0.1", 0))
    one.start()
    try:
        yield Address(*one.address[:2])
    finally:
        await one.close()


def answering(reply: Callable[[], Reply]) -> Handler:
    async def handler(call: Call) -> Reply:
        return reply()

    return handler


def last_words(error: GatewayError) -> bytes:
    return f"<{error.code}>".encode()


async def saying(*said: bytes | BaseException, for_ever: bool = False) -> AsyncGenerator[bytes]:
    for one in said:
        if isinstance(one, BaseException):
            raise one
        yield one
    if for_ever:
        await asyncio.get_running_loop().create_future()


class Watched:
    """A reply whose end is watched."""

    def __init__(self, body: bytes | AsyncGenerator[bytes], **fields: Any) -> None:
        self.ended: Ended = []
        self.aborted = 0
        self.over = asyncio.Event()
        self.reply = Reply(200, [], body, last_words=last_words, abort=self._abort, **fields)
        self.reply.endings += [self.ended.append, lambda _: self.over.set()]

    def _abort(self) -> None:
        self.aborted += 1

    async def end(self) -> BaseException | None:
        async with asyncio.timeout(5):
            await self.over.wait()
        (how,) = self.ended
        return how


# --- endings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
async def test_an_answer_that_went_well_ends_once_with_nothing_wrong(live: bool) -> None:
    watched = Watched(saying(b"a", b"b") if live else b"ab")
    async with serving(answering(lambda: watched.reply)) as at:
        got = await ask(at, "POST", "/x", b"{}")
        assert (got.status, got.body, got.whole) == (200, b"ab", True)
        assert await watched.end() is None


async def test_a_stream_that_breaks_says_so_and_does_not_end_as_if_whole() -> None:
    fault = Down("gone", code="upstream_cut")
    watched = Watched(saying(b"a", fault))
    async with serving(answering(lambda: watched.reply)) as at:
        got = await ask(at, "POST", "/x", b"{}")
        assert (got.status, got.body, got.whole) == (200, b"a<upstream_cut>", False)
        assert await watched.end() is fault
        assert watched.aborted


async def test_a_stream_whose_provider_told_the_error_itself_adds_nothing() -> None:
    fault = Down("gone")
    fault.told = True
    watched = Watched(saying(b"a", b"error!", fault))
    async with serving(answering(lambda: watched.reply)) as at:
        got = await ask(at, "POST", "/x", b"{}")
        assert (got.body, got.whole) == (b"aerror!", True)
        assert await watched.end() is fault


@pytest.mark.filterwarnings("default")
async def test_a_stream_that_breaks_for_a_reason_of_ours_is_cut() -> None:
    watched = Watched(saying(b"a", ValueError("a bug")))
    async with serving(answering(lambda: watched.reply)) as at:
        got = await ask(at, "POST", "/x", b"{}")
        assert not got.whole
        assert b"a bug" not in got.body
        assert isinstance(await watched.end(), ValueError)
        assert watched.aborted


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("said", [[], [b"a"]], ids=["before a byte", "after one"])
async def test_a_client_that_leaves_ends_its_stream(said: Sequence[bytes], how: Any) -> None:
    watched = Watched(saying(*said, for_ever=True))
    async with serving(answering(lambda: watched.reply)) as at, client(at) as one:
        await one.send(POST)
        await one.head()
        one.leave(how)
        assert isinstance(await watched.end(), asyncio.CancelledError | ConnectionError)
        assert watched.aborted


async def test_an_ending_that_raises_does_not_hurt_the_next(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(b"ab")

    def raising(_: BaseException | None) -> None:
        raise ValueError

    watched.reply.endings.insert(0, raising)
    async with serving(answering(lambda: watched.reply)) as at:
        assert (await ask(at, "POST", "/x", b"{}")).body == b"ab"
        assert await watched.end() is None
    assert "an ending failed" in caplog.text


# --- taps and stop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
async def test_a_tap_sees_every_chunk_and_one_that_raises_is_not_asked_again(
    live: bool, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bytes] = []
    raised: list[bytes] = []

    def raising(chunk: bytes) -> None:
        raised.append(chunk)
        raise ValueError

    watched = Watched(saying(b"a", b"b") if live else b"ab")
    watched.reply.taps += [raising, seen.append]
    async with serving(answering(lambda: watched.reply)) as at:
        assert (await ask(at, "POST", "/x", b"{}")).body == b"ab"
    assert b"".join(seen) == b"ab"
    assert len(raised) == 1
    assert "a tap failed" in caplog.text


async def test_a_tap_may_stop_a_stream_and_the_client_is_told_why() -> None:
    watched = Watched(saying(b"a", b"b", b"c"))
    stop = OverLimit("enough")

    def tap(chunk: bytes) -> None:
        if chunk == b"b":
            watched.reply.stop(stop)

    watched.reply.taps.append(tap)
    async with serving(answering(lambda: watched.reply)) as at:
        got = await ask(at, "POST", "/x", b"{}")
        assert (got.body, got.whole) == (b"ab<rate_limit_exceeded>", False)
        assert await watched.end() is stop
        assert watched.aborted


async def test_a_silent_stream_can_be_stopped_from_outside() -> None:
    scenario = Scenario(
        body=OPENAI.stream, cut_at=400, how="stall", framing="chunked", headers=[("Content-Type", "text/event-stream")]
    )
    replies: list[Reply] = []
    async with Evil(scenario) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        chain = gateway.app.server.routing.table.exact[OPENAI.path]["POST"]

        async def noting(call: Call) -> Reply:
            replies.append(await chain.handler(call))
            return replies[-1]

        gateway.app.server.routing.table.exact[OPENAI.path]["POST"] = replace(chain, handler=noting)
        async with client(gateway) as one:
            await one.send(spell("POST", OPENAI.path, OPENAI.request(stream=True, model="gpt")))
            await one.head()
            await one.some()
            replies[0].stop(OverLimit("enough"))
            assert b"enough" in await one.rest()
        await evil.closed()


# --- a client that does not read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
async def test_a_client_that_does_not_read_is_cut(live: bool) -> None:
    watched = Watched(saying(*[MEGABYTE] * 32) if live else MEGABYTE * 32)
    impatient = Patience(write_stall=0.05)
    async with (
        serving(answering(lambda: watched.reply), patience=impatient) as at,
        client(at, receive_buffer=4096) as one,
    ):
        await one.send(POST)
        assert isinstance(await watched.end(), ConnectionAbortedError)
        assert watched.aborted == live
        assert len(await one.rest()) < 32 * len(MEGABYTE)


async def test_a_client_that_reads_slowly_gets_everything() -> None:
    watched = Watched(saying(*[MEGABYTE] * 8))
    async with serving(answering(lambda: watched.reply)) as at, client(at, receive_buffer=65536) as one:
        await one.send(POST)
        got = await one.answer()
        assert (len(got.body), got.whole) == (8 * len(MEGABYTE), True)


# --- pings -----------------------------------------------------------------------------------------------------------


async def test_a_silent_stream_of_our_own_is_kept_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptawake, "PING_INTERVAL", 0.01)
    watched = Watched(saying(b"data: 1\n\n", for_ever=True), ping=b"PING\n")
    async with serving(answering(lambda: watched.reply)) as at, client(at) as one:
        await one.send(POST)
        status, headers = await one.head()
        assert (status, dict(headers)["Content-Type"]) == (200, "text/event-stream")
        assert await one.until(b"PING\n") == b"9\r\ndata: 1\n\n\r\n5\r\nPING\n"
        await one.until(b"PING\n")


async def test_a_stream_that_is_passed_through_is_never_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptawake, "PING_INTERVAL", 0.01)
    gap = Scenario(
        body=ANTHROPIC.stream,
        split=[400],
        gap=0.08,
        framing="chunked",
        headers=[("Content-Type", "text/event-stream")],
    )
    async with Evil(gap) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="claude"))
    assert got.body == ANTHROPIC.stream


# --- routes ----------------------------------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/startup", 200),
    ("GET", "/readiness", 200),
    ("GET", "/liveness", 200),
    ("GET", "/providers", 200),
    ("GET", "/metrics", 200),
    ("POST", "/chat/completions", 200),
    ("POST", "/chat", 200),
    ("POST", "/tokenize", 501),
    ("POST", "/messages", 200),
    ("POST", "/embeddings", 501),
    ("POST", "/responses/r1/cancel", 501),
    ("POST", "/messages/batches", 501),
    ("POST", "/nothing", 404),
    ("POST", "/chat/completions/", 200),
    ("GET", "/chat/completions/chatcmpl-1/messages", 501),
    ("POST", "/chat/completionsx", 404),
    ("GET", "/nothing/", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ROUTES)
async def test_every_route_stands_with_and_without_v1(method: str, path: str, status: int) -> None:
    body = ANTHROPIC.request(model="echo/text")  # a request on both wires
    async with pillion() as gateway:
        for prefix in ("", "/v1"):
            got = await ask(gateway, method, prefix + path, body if method == "POST" else b"")
            assert (got.status, got.whole) == (status, True)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/messages", "POST"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("POST", "/v1/providers", "GET, HEAD"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/chat/completions", "POST"),
        ("PATCH", "/liveness", "GET, HEAD"),
        ("POST", "/v1/models/echo/text", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_hears_which_are_right(method: str, path: str, allow: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, method, path)
        assert (got.status, got.header("allow")) == (405, allow)
        assert "access-control" not in got.raw_headers.lower()


@pytest.mark.parametrize(
    "path",
    ["/liveness", "/readiness", "/v1/models", "/v1/models/echo/text", "/v1/providers/echo/health", "/v1/nowhere"],
)
async def test_a_head_request_is_a_get_without_a_body(path: str) -> None:
    async with pillion() as gateway, client(gateway) as one:
        await one.send(spell("HEAD", path))
        head = await one.answer(bodiless=True)
        await one.send(spell("GET", path))
        got = await one.answer()
        assert (head.status, head.header("content-length")) == (got.status, str(len(got.body)))
        assert head.header("content-type") == got.header("content-type")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/files", "/v1/files/f1", "/v1/responses/r1", "/v1beta/files", "/api/embed"])
async def test_a_route_that_is_not_built_yet_says_so_to_every_method(method: str, path: str) -> None:
    async with pillion() as gateway:
        assert (await ask(gateway, method, path, b"{}" if method == "POST" else b"")).status == 501


async def test_a_body_that_does_not_go_on_is_not_waited_for() -> None:
    async def handler(call: Call) -> Reply:
        return Reply(200, [], await call.receive())

    async with serving(handler, patience=Patience(body_stall=0.05)) as at, client(at) as one:
        await one.send(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{")
        got = await one.answer()
    assert (got.status, OPENAI.error(got.body)["code"]) == (408, "body_timeout")
    assert OPENAI.error(got.body)["message"] == "The request body did not continue within 0.05 s."


async def test_a_body_that_drips_has_an_end() -> None:
    async def handler(call: Call) -> Reply:
        return Reply(200, [], await call.receive())

    async with serving(handler, patience=Patience(body=0.2, body_stall=30)) as at, client(at) as one:
        await one.send(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n{")
        answering = asyncio.create_task(one.answer())
        while not answering.done():
            await one.send(b" ")
            await asyncio.sleep(0.01)
        got = await answering
    assert (got.status, OPENAI.error(got.body)["code"]) == (408, "body_timeout")
    assert OPENAI.error(got.body)["message"] == "The request body did not end within 0.2 s."


async def test_a_body_that_is_announced_too_long_is_refused_before_it_comes() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await one.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        assert (await one.answer()).status == 413


async def test_a_wrong_method_is_told_on_the_routes_own_wire() -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", "/v1/messages")
        assert ANTHROPIC.error(got.body)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/embeddings", "/embeddings"),
        ("/openai/v1/images/generations", "/openai/v1/images/generations"),
        ("/v1/files/file-1/content", "/files/file-1/content"),
        ("/v1beta/models/m:embedContent", "/models/m:embedContent"),
    ],
)
async def test_what_is_not_served_yet_says_so_and_what_it_was(path: str, named: str) -> None:
    """Else the log has a 501, and nobody knows which of the app's calls that was."""
    async with pillion() as gateway:
        got = await ask(gateway, "POST", path, b"{}")
        assert got.status == 501
        assert f"pillion does not serve {named} yet." in json.loads(got.body)["error"]["message"]
        assert got.header("x-should-retry") == "false"


# --- heads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_head_tells_who_answered_and_what_it_cost(speech: Speech) -> None:
    answer = Scenario(body=speech.whole, headers=[*JSON, ("X-Request-Id", "theirs"), ("X-Pillion-Model", "forged")])
    async with Evil(answer) as evil, pillion(**speech.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{speech.provider}/m"))
    assert got.header("x-pillion-provider") == speech.provider
    assert got.header("x-pillion-model") == "m"
    assert got.header("x-pillion-attempts") == "1"
    assert float(got.header("x-pillion-overhead-ms") or "none") >= 0
    assert got.header("x-pillion-dropped") is None
    assert got.header("server") == "pillion"
    assert (got.header("x-request-id"), got.header("request-id")) == ("theirs", "theirs")
    assert (got.header("x-pillion-request-id") or "").startswith("req_")


async def test_the_time_that_we_wait_for_the_provider_is_not_our_own() -> None:
    waited = 1000.0

    async def slow(call: Call) -> Reply:
        call.started -= waited
        call.waited = waited
        return Reply(200, [], b"")

    async with serving(slow) as at:
        got = await ask(at, "POST", "/x", b"{}")
    assert 0 <= float(got.header("x-pillion-overhead-ms") or "none") < waited * 1000


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_whose_provider_names_none_has_our_request_id(stream: bool) -> None:
    media = "text/event-stream" if stream else "application/json"
    answer = Scenario(body=OPENAI.stream if stream else OPENAI.whole, headers=[("Content-Type", media)])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, model="gpt"))
    ours = got.header("x-pillion-request-id")
    assert (got.header("x-request-id"), got.header("request-id")) == (ours, ours)


@pytest.mark.parametrize("name", ["x-request-id", "request-id"])
async def test_either_name_of_the_providers_request_id_will_do(name: str) -> None:
    answer = Scenario(body=OPENAI.whole, headers=[*JSON, (name, "theirs")])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="gpt"))
    assert (got.header("x-request-id"), got.header("request-id")) == ("theirs", "theirs")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("GET", "/nothing", b"", 404),
        ("GET", "/v1/messages", b"", 405),
        ("POST", "/v1/embeddings", b"{}", 501),
        ("GET", "/liveness", b"", 200),
    ],
)
async def test_every_answer_has_an_id_of_its_own(method: str, path: str, body: bytes, status: int) -> None:
    async with pillion() as gateway:
        got = [await ask(gateway, method, path, body) for _ in range(2)]
    assert [one.status for one in got] == [status] * 2
    ids = [one.header("x-pillion-request-id") for one in got]
    assert len({*ids, None}) == 3
    assert [one.header("x-request-id") for one in got] == ids
    assert [one.header("request-id") for one in got] == ids


async def test_an_error_of_the_provider_has_its_request_id() -> None:
    refusal = Scenario(status=429, body=b'{"error":{"message":"slow"}}', headers=[*JSON, ("x-request-id", "theirs")])
    async with Evil(refusal) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="gpt"))
    assert (got.status, got.header("x-request-id")) == (429, "theirs")


HOSTILE = ["m\r\nX-Forged: 1", "m\nX-Forged: 1", "m\0", "\x7f", "\N{PILE OF POO}", "a%0d b", "x" * 2000]


@pytest.mark.parametrize("model", HOSTILE, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_models_name_cannot_break_the_head(model: str, stream: bool) -> None:
    body = OPENAI.stream if stream else OPENAI.whole
    media = "text/event-stream" if stream else "application/json"
    answer = Scenario(body=body, headers=[("Content-Type", media)])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, f"openai/{model}"))
        assert (got.status, got.body, got.header("x-forged")) == (200, body, None)
        assert (got.header("x-pillion-model") or "").isascii()
        assert (await ask(gateway, "GET", "/metrics")).status == 200


async def test_a_dropped_fields_name_cannot_break_the_head() -> None:
    fields: dict[str, Any] = {"x\r\nX-Forged: 1": 1, **{f"field-{number}": 1 for number in range(800)}}
    answer = Scenario(body=ANTHROPIC.whole, headers=JSON)
    async with Evil(answer) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="claude", **fields))
    assert (got.status, got.header("x-forged")) == (200, None)
    dropped = got.header("x-pillion-dropped") or ""
    assert len(dropped) < 4096
    assert dropped.split(", ")[50:] == ["and 751 more"]


@pytest.mark.parametrize("value", ["caf\udce9", "gr\u00fc\u00df", "\udcff\udcfe"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_header_that_is_no_text_cannot_break_the_answer(value: str, stream: bool) -> None:
    body = OPENAI.stream if stream else OPENAI.whole
    media = b"text/event-stream" if stream else b"application/json"
    raw = value.encode("utf-8", "surrogateescape")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nX-Note: %b\r\nContent-Length: %d\r\n\r\n" % (media, raw, len(body))
    async with Evil(Scenario(raw=head + body)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, "gpt"))
    assert (got.status, got.body) == (200, body)
    assert got.header("x-note")


# --- HTTP ------------------------------------------------------------------------------------------------------------

ECHO = OPENAI.request(model="echo/text")


async def test_a_connection_carries_request_after_request() -> None:
    async with pillion() as gateway, client(gateway) as one:
        for body, status in [(ECHO, 200), (b"{", 400), (ECHO, 200)]:
            await one.send(spell("POST", OPENAI.path, body))
            assert (await one.answer()).status == status


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    streamed = OPENAI.request(stream=True, model="echo/text")
    async with pillion() as gateway, client(gateway) as one:
        requests = [spell("POST", OPENAI.path, body) for body in (streamed, ECHO)]
        await one.send(b"".join([*requests, spell("GET", "/liveness"), spell("GET", "/nothing")]))
        got = [await one.answer() for _ in range(4)]
    assert [one.status for one in got] == [200, 200, 200, 404]
    assert got[0].body.endswith(b"[DONE]\n\n")
    assert json.loads(got[1].body)["object"] == "chat.completion"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_client_of_http_1_0_is_answered_without_chunks(speech: Speech, stream: bool) -> None:
    async with pillion() as gateway, client(gateway) as one:
        request = speech.request(stream, "echo/text")
        await one.send(spell("POST", speech.path, request, speech.headers, version="1.0"))
        status, headers = await one.head()
        body = await one.rest()
    assert status == 200
    assert "transfer-encoding" not in {name.lower() for name, _ in headers}
    assert speech.ends_whole(body) if stream else json.loads(body)


@pytest.mark.parametrize("split", [1, 7])
async def test_a_request_may_come_in_pieces_and_in_chunks(split: int) -> None:
    pieces = [ECHO[at : at + split] for at in range(0, len(ECHO), split)]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    async with pillion() as gateway:
        got = await ask(gateway, "POST", OPENAI.path, chunked, [("Transfer-Encoding", "chunked")])
        assert got.status == 200


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on() -> None:
    headers = [("Expect", "100-continue")]
    request = spell("POST", OPENAI.path, ECHO, headers)
    async with pillion() as gateway, client(gateway) as one:
        await one.send(request.removesuffix(ECHO))
        assert (await one.head())[0] == 100
        await one.send(ECHO)
        assert (await one.answer()).status == 200


# --- what goes wrong in here -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_bug_of_ours_is_a_500_without_its_traceback(speech: Speech, caplog: pytest.LogCaptureFixture) -> None:
    async def buggy(call: Call) -> Reply:
        raise ValueError("canary")

    at_fault = Server([Route("POST", speech.path, "chat", buggy, dialect=speech.name)], registry.dialect)
    await at_fault.open(Address("127.0.0.1", 0))
    at_fault.start()
    try:
        got = await chat(Address(*at_fault.address[:2]), speech, b"{}")
    finally:
        await at_fault.close()
    assert got.status == 500
    assert "its log has the details" in speech.error(got.body)["message"]
    assert b"canary" not in got.body
    assert [vars(record)["id"] for record in caplog.records] == [got.header("x-pillion-request-id")]
    assert "canary" in caplog.text


async def test_a_refusal_may_bring_headers() -> None:
    async def refusing(call: Call) -> Reply:
        raise BadRequest("no", headers=[("retry-after", "3")])

    async with serving(refusing) as at:
        got = await ask(at, "POST", "/x", b"{}")
    assert (got.status, got.header("retry-after")) == (400, "3")


async def test_an_address_that_is_taken_is_an_os_error() -> None:
    async with pillion() as gateway:
        second = Server([], registry.dialect)
        with pytest.raises(OSError, match="address already in use"):
            await second.open(Address(gateway.host, gateway.port))
        await second.close()
