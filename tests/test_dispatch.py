"""Do the bytes of the pass-through lane stay what they were, and does the other lane say the same in its own words?"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from proxy import registry
from proxy.dispatch import chain
from proxy.lanes.begun import Begun
from proxy.ports import Call, Handler, Reply
from tests import recordings
from tests.client import (
    ANTHROPIC,
    LANES,
    OPENAI,
    SPEECHES,
    USAGE_CHUNK,
    Got,
    Speech,
    ask,
    chat,
    client,
    lane_name,
    spell,
)
from tests.evil import Evil, Scenario, Split
from tests.gateway import Gateway, pillion
from tests.test_wire import ANSWERS, BODY, Talk

JSON = [("Content-Type", "application/json")]
SSE = [("Content-Type", "text/event-stream; charset=utf-8")]
SPLITS: list[Split] = [None, "bytes", 3]


def whole(speech: Speech, **changes: Any) -> Scenario:
    return Scenario(body=speech.whole, headers=JSON, **changes)


def live(body: bytes, split: Split = None, **changes: Any) -> Scenario:
    return Scenario(body=body, headers=SSE, framing="chunked", split=split, **changes)


async def through(evil: Evil, client_speech: Speech, provider: Speech, body: bytes, **environ: str) -> Got:
    async with pillion(**provider.environ(evil.url), **environ) as gateway:
        return await chat(gateway, client_speech, body)


def events(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


# --- the chain -------------------------------------------------------------------------------------------------------


async def test_the_first_middleware_of_the_list_is_the_outermost() -> None:
    met: list[str] = []

    def noting(name: str) -> Callable[[Call, Handler], Awaitable[Reply]]:
        async def middleware(call: Call, handler: Handler) -> Reply:
            met.append(f"{name} in")
            reply = await handler(call)
            met.append(f"{name} out")
            return reply

        return middleware

    async def innermost(call: Call) -> Reply:
        return Reply(200, [], b"")

    async def never() -> bytes:
        raise AssertionError("nobody asked for the body")

    call = Call(
        id="r",
        operation="chat",
        dialect=registry.dialect("openai_chat"),
        headers={},
        query={},
        receive=never,
        started=0.0,
    )
    await chain([noting("a"), noting("b")], innermost)(call)
    assert met == ["a in", "b in", "b out", "a out"]


# --- the request, passed through -------------------------------------------------------------------------------------

ODD = (
    '{ "x_unknown" : [1.50, 1e3,\t{"é":null}] ,\r\n "messages":[{"role":"user","content":"\\u00fc\\/ü"}],"model"%s:%s}'
)


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_needs_no_edit_is_the_clients_own_bytes(speech: Speech, stream: bool) -> None:
    model = '"claude-1"' if speech is ANTHROPIC else '"gpt-1"'
    more = ', "stream" :true,"stream_options":{"include_usage":  true}' if stream else ""
    body = (ODD % (" ", model + more)).encode()
    answer = live(speech.stream) if stream else whole(speech)
    async with Evil(answer) as evil:
        got = await through(evil, speech, speech, body)
        assert got.status == 200
        assert evil.requests[0].body == body


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_provider_before_the_model_is_all_that_is_taken_out(speech: Speech) -> None:
    async with Evil(whole(speech)) as evil:
        await through(evil, speech, speech, (ODD % ("  ", f'\n"{speech.provider}/a/b"')).encode())
        assert evil.requests[0].body == (ODD % ("  ", '\n"a/b"')).encode()


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_an_alias_is_all_that_is_replaced(speech: Speech, tmp_path: Any) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"aliases: {{'f\u00e4st': {speech.provider}/real}}", encoding="utf-8")
    async with Evil(whole(speech)) as evil:
        body = (ODD % ("", '"f\\u00e4st"')).encode()
        await through(evil, speech, speech, body, PILLION_CONFIG=str(config))
        assert evil.requests[0].body == (ODD % ("", '"real"')).encode()


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ('"stream":true}', '"stream":true,"stream_options":{"include_usage":true}}'),
        ('"stream":true,"stream_options":null}', '"stream":true,"stream_options":{"include_usage":true}}'),
        (
            '"stream":true, "stream_options" : {"include_usage":false,"a":1} }',
            '"stream":true, "stream_options" : {"include_usage":true,"a":1} }',
        ),
    ],
)
async def test_usage_is_asked_for_on_a_stream_and_its_chunk_withheld(said: str, sent: str) -> None:
    start = '{"model":"gpt","messages":[],'
    stream = OPENAI.stream.replace(b"data: [DONE]", USAGE_CHUNK + b"data: [DONE]")
    for split in SPLITS:
        async with Evil(live(stream, split)) as evil:
            got = await through(evil, OPENAI, OPENAI, (start + said).encode())
            assert evil.requests[0].body == (start + sent).encode()
        assert (got.body, got.whole) == (OPENAI.stream, True)


async def test_usage_that_the_client_asked_for_is_not_withheld() -> None:
    stream = OPENAI.stream.replace(b"data: [DONE]", USAGE_CHUNK + b"data: [DONE]")
    body = OPENAI.request(stream=True, model="gpt", stream_options={"include_usage": True})
    async with Evil(live(stream)) as evil:
        got = await through(evil, OPENAI, OPENAI, body)
        assert (got.body, evil.requests[0].body) == (stream, body)


async def test_a_host_that_refuses_to_be_asked_for_usage_is_not_asked() -> None:
    environ = {"MISTRAL_API_KEY": "k"}
    body = OPENAI.request(stream=True, model="mistral-x")
    async with Evil(live(OPENAI.stream)) as evil:
        async with pillion(**environ, PILLION_MISTRAL_BASE_URL=evil.url) as gateway:
            await chat(gateway, OPENAI, body)
        assert evil.requests[0].body == body


async def test_nor_is_it_for_a_client_of_another_wire() -> None:
    body = ANTHROPIC.request(stream=True, model="mistral-x")
    async with Evil(live(OPENAI.stream)) as evil:
        async with pillion(MISTRAL_API_KEY="k", PILLION_MISTRAL_BASE_URL=evil.url) as gateway:
            await chat(gateway, ANTHROPIC, body)
        sent = json.loads(evil.requests[0].body)
        assert (sent["stream"], "stream_options" in sent) == (True, False)


# --- the answer, passed through --------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_stream_comes_back_byte_for_byte_wherever_it_is_split(speech: Speech, split: Split) -> None:
    for stream in (speech.stream, b": a comment\n\n" + speech.stream, speech.stream.replace(b"\n", b"\r\n")):
        async with Evil(live(stream, split)) as evil:
            got = await through(evil, speech, speech, speech.request(stream=True, model=f"{speech.provider}/m"))
        assert (got.status, got.body, got.whole) == (200, stream, True)
        assert got.header("content-type") == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_whole_answer_comes_back_byte_for_byte(speech: Speech, split: Split) -> None:
    odd = b"\n " + speech.whole.replace(b":", b" :  ") + b"\n"
    async with Evil(Scenario(body=odd, headers=JSON, split=split)) as evil:
        got = await through(evil, speech, speech, speech.request(model=f"{speech.provider}/m"))
    assert (got.status, got.body, got.whole) == (200, odd, True)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 529])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_an_error_comes_back_byte_for_byte(speech: Speech, stream: bool, status: int) -> None:
    error = (
        b'{ "type":"error", "error" : {"type":"odd_error","message":"Gr\xc3\xbc\xc3\x9fe","param":null,"code":"odd"}}'
    )
    scenario = Scenario(status=status, body=error, headers=[*JSON, ("Retry-After", "7")])
    async with Evil(scenario) as evil:
        got = await through(evil, speech, speech, speech.request(stream, f"{speech.provider}/m"))
    assert (got.status, got.body, got.header("retry-after")) == (status, error, "7")


async def test_a_moment_to_come_again_is_by_the_clock_of_who_says_it() -> None:
    """So it is half a minute ahead, for which nobody waits; by ours it is long over."""
    said = [("Date", "Thu, 01 Jan 2015 12:00:00 GMT"), ("Retry-After", "Thu, 01 Jan 2015 12:00:30 GMT")]
    async with Evil(Scenario(status=429, body=b"{}", headers=[*JSON, *said])) as evil:
        got = await through(evil, OPENAI, OPENAI, OPENAI.request(False, "openai/m"), PILLION_RETRY_MAX_RETRIES="1")
    assert (got.status, len(evil.requests)) == (429, 1)


@pytest.mark.parametrize(
    "row", recordings.load("openai.chat_completions", "anthropic.messages")[::23], ids=recordings.ids
)
@recordings.needs_recordings
async def test_what_a_provider_really_answered_comes_back_as_it_was(row: recordings.Row) -> None:
    speech = ANTHROPIC if row["provider"] == "anthropic" else OPENAI
    options = {"stream_options": {"include_usage": True}} if speech is OPENAI and row["streamed"] else {}
    body = speech.request(bool(row["streamed"]), f"{speech.provider}/m", **options)
    async with Evil(Scenario.from_recording(row)) as evil:
        got = await through(evil, speech, speech, body)
    assert (got.status, got.body, got.whole) == (row["status"], recordings.body(row), True)
    recordings.replayed(row)


# --- headers and keys ------------------------------------------------------------------------------------------------

CLIENTS_KEY = "client-key-canary"
EVERY_KEY = [
    ("Authorization", f"Bearer {CLIENTS_KEY}"),
    ("x-api-key", CLIENTS_KEY),
    ("api-key", CLIENTS_KEY),
    ("x-goog-api-key", CLIENTS_KEY),
    ("Cookie", f"k={CLIENTS_KEY}"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_keys_are_bound_to_their_origin(speech: Speech, provider: Speech, stream: bool) -> None:
    key = f"sk-{provider.provider}-secret"
    mirror = [("Authorization", f"Bearer {key}"), ("X-Api-Key", key), ("Set-Cookie", key), ("X-Fine", "yes")]
    answer = live(provider.stream) if stream else whole(provider)
    answer = Scenario(body=answer.body, framing=answer.framing, headers=[*answer.headers, *mirror])
    async with Evil(answer) as evil, pillion(**provider.environ(evil.url)) as gateway:
        body = speech.request(stream, f"{provider.provider}/m")
        path = f"{speech.path}?key={CLIENTS_KEY}"
        async with client(gateway) as one:
            await one.send(spell("POST", path, body, [*speech.headers, *EVERY_KEY]))
            got = await one.answer()
    assert got.status == 200
    assert got.header("x-fine") == "yes"
    request = evil.requests[0]
    assert CLIENTS_KEY.encode() not in request.head + request.body
    assert request.head.count(key.encode()) == 1
    shown = request.header("x-api-key") if provider is ANTHROPIC else request.header("authorization")
    assert shown in (key, f"Bearer {key}")
    assert key not in got.raw_headers
    assert key.encode() not in got.body


async def test_the_clients_own_headers_travel_and_the_connections_do_not() -> None:
    sent = [
        ("User-Agent", "app/1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("anthropic-beta", "one, two"),
        ("X-Odd", "caf\udce9"),
        ("Connection", "X-Hop"),
        ("Connection", "X-Hop-2"),
        ("X-Hop", "1"),
        ("X-Hop-2", "1"),
        ("TE", "trailers"),
        ("X-Pillion-Strict", "1"),
    ]
    async with Evil(whole(ANTHROPIC)) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        assert (await chat(gateway, ANTHROPIC, ANTHROPIC.request(model="claude"), sent)).status == 200
        request = evil.requests[0]
    travelled = {name: request.header(name) for name, _ in sent}
    assert travelled == {
        "User-Agent": "app/1",
        "traceparent": sent[1][1],
        "anthropic-beta": "one, two",
        "X-Odd": "caf\xe9",
        "Connection": None,
        "X-Hop": None,
        "X-Hop-2": None,
        "TE": None,
        "X-Pillion-Strict": None,
    }
    assert request.header("anthropic-version") == "2023-06-01"
    assert request.header("accept-encoding") == "identity"
    assert request.header("host") == f"127.0.0.1:{evil.port}"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("?beta=true", "?beta=true"), ("?key=k&beta=a%20b&x", "?beta=a%20b&x"), ("?key=k", ""), ("", "")],
)
async def test_the_clients_query_travels_and_its_key_does_not(asked: str, sent: str) -> None:
    async with (
        Evil(whole(ANTHROPIC)) as evil,
        pillion(**ANTHROPIC.environ(evil.url)) as gateway,
        client(gateway) as one,
    ):
        body = ANTHROPIC.request(model="claude")
        await one.send(spell("POST", f"/v1/messages{asked}", body, ANTHROPIC.headers))
        assert (await one.answer()).status == 200
        assert evil.requests[0].target == f"/v1/messages{sent}"


# --- the translate lane ----------------------------------------------------------------------------------------------

TRANSLATED = [(client, provider) for client, provider in LANES if client is not provider]


@pytest.mark.parametrize(("speech", "provider"), TRANSLATED, ids=lane_name)
async def test_a_whole_answer_is_said_in_the_clients_words(speech: Speech, provider: Speech) -> None:
    async with Evil(whole(provider)) as evil:
        got = await through(evil, speech, provider, speech.request(model=f"{provider.provider}/m"))
        assert evil.requests[0].target == provider.path
        assert json.loads(evil.requests[0].body)["model"] == "m"
    said = json.loads(got.body)
    assert (got.status, got.header("content-type")) == (200, "application/json")
    text = said["content"][0]["text"] if speech is ANTHROPIC else said["choices"][0]["message"]["content"]
    usage = said["usage"]
    assert text == "Grüße"
    assert list(usage.values())[:2] == [5, 2] or (usage["input_tokens"], usage["output_tokens"]) == (5, 2)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize(("speech", "provider"), TRANSLATED, ids=lane_name)
async def test_a_stream_is_said_in_the_clients_words(speech: Speech, provider: Speech, split: Split) -> None:
    async with Evil(live(provider.stream, split)) as evil:
        got = await through(evil, speech, provider, speech.request(stream=True, model=f"{provider.provider}/m"))
    assert (got.status, got.header("content-type"), got.whole) == (200, "text/event-stream", True)
    assert speech.ends_whole(got.body)
    deltas = [
        event["delta"].get("text", "") if speech is ANTHROPIC else event["choices"][0]["delta"].get("content") or ""
        for event in events(got.body)
        if event.get("choices") or event.get("type") == "content_block_delta"
    ]
    assert "".join(deltas) == "Grüße"


async def test_how_long_an_answer_took_begins_when_it_is_asked_for() -> None:
    """Ollama's clients are told; a provider that is slow to begin has taken that long as well."""
    body = json.dumps({"model": "openai/m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}).encode()
    async with Evil(whole(OPENAI, delay_head=0.2)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/api/chat", body, JSON)
    assert json.loads(got.body)["total_duration"] > 150_000_000


async def test_knobs_that_the_target_lacks_are_named() -> None:
    body = OPENAI.request(model="anthropic/m", seed=1, logit_bias={"1": 1})
    async with Evil(whole(ANTHROPIC)) as evil:
        got = await through(evil, OPENAI, ANTHROPIC, body)
        assert not {"seed", "logit_bias"} & json.loads(evil.requests[0].body).keys()
    assert got.status == 200
    assert set((got.header("x-pillion-dropped") or "").split(", ")) >= {"seed", "logit_bias"}


# --- letting go ------------------------------------------------------------------------------------------------------

PHASES = {
    "before the head": Scenario(body=b"", cut_at=0, cut_of="wire", how="stall"),
    "before the first event": live(b": nothing yet", cut_at=5, how="stall"),
    "in a whole answer": Scenario(body=b'{"a":"bcdef"}', headers=JSON, cut_at=5, how="stall"),
    "in an error": Scenario(status=500, body=b'{"error":"bcdef"}', headers=JSON, cut_at=5, how="stall"),
}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_a_client_that_leaves_takes_the_provider_with_it(
    speech: Speech, provider: Speech, phase: str, how: Any
) -> None:
    async with Evil(PHASES[phase]) as evil, pillion(**provider.environ(evil.url)) as gateway:
        async with client(gateway) as one:
            stream = phase != "in a whole answer"
            await one.send(spell("POST", speech.path, speech.request(stream, f"{provider.provider}/m"), speech.headers))
            await evil.received()
            await evil.pushed_all()
            await settled(gateway)
            one.leave(how)
            await evil.closed()
        assert gateway.app.upstream.in_use == 0


async def settled(gateway: Gateway) -> None:
    """Let what was pushed arrive: a turn or two of the loop."""
    for _ in range(5):
        await asyncio.sleep(0.002)
    assert gateway.app.upstream.in_use == 1


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_a_client_that_leaves_a_live_stream_takes_the_provider_with_it(
    speech: Speech, provider: Speech, how: Any
) -> None:
    cut = len(provider.stream) * 2 // 3
    body = speech.request(stream=True, model=f"{provider.provider}/m")
    stall = live(provider.stream, cut_at=cut, how="stall")
    async with Evil(stall) as evil, pillion(**provider.environ(evil.url)) as gateway, client(gateway) as one:
        await one.send(spell("POST", speech.path, body, speech.headers))
        await one.head()
        await one.until("ü".encode())
        one.leave(how)
        await evil.closed()
        assert gateway.app.upstream.in_use == 0


async def test_a_client_that_has_enough_gets_the_beginning_once_and_then_the_rest() -> None:
    talk = Talk()
    talk.receive(ANSWERS["length"][:-3])
    begun, out = Begun(talk.exchange, await talk.exchange.chunk()), list[bytes]()
    talk.receive(ANSWERS["length"][-3:])

    def sink(piece: bytes) -> bool:
        out.append(piece)
        return len(out) > 1

    assert begun.pour is not None
    assert (await begun.pour(sink), out) == (False, [BODY[:-3]])
    assert (await begun.pour(sink), b"".join(out)) == (True, BODY)


async def test_an_answer_whose_beginning_was_read_has_not_ended_before_that_is_taken() -> None:
    for take in (Begun.chunk, partial(Begun.read, limit=99)):
        talk = Talk()
        talk.receive(ANSWERS["length"])
        begun = Begun(talk.exchange, await talk.exchange.chunk())
        assert (begun.ended(), await take(begun), begun.ended()) == (False, BODY, True)


@pytest.mark.parametrize("wire", [OPENAI, ANTHROPIC], ids=lambda wire: wire.name)
async def test_a_header_that_only_looks_like_ours_is_on_the_receipt(wire: Speech) -> None:
    """Of a limit of its cost that is misspelt nobody was told, and nothing was limited."""
    said = [("x-pillion-cost-limits", "0.01"), ("X-Pillion-Provider", "openai"), ("x-pillion-timeout", "30")]
    async with pillion() as gateway:
        got = await chat(gateway, wire, wire.request(model="echo"), headers=said)
        named = set((got.header("x-pillion-dropped") or "").split(", "))
        assert (got.status, named) == (200, {"x-pillion-cost-limits", "x-pillion-provider"})
        assert (await chat(gateway, wire, wire.request(model="echo"))).header("x-pillion-dropped") is None
    async with pillion(PILLION_STRICT="true") as gateway:
        got = await chat(gateway, wire, wire.request(model="echo"), headers=said[:1])
        assert (got.status, "x-pillion-cost-limits" in wire.error(got.body)["message"]) == (400, True)
