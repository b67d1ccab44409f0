"""Does pillion hear what a client says to it alone, keep it from every provider, and tell what an answer took?"""

import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy import registry
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.summary import SummaryCoda, summarised
from proxy.dialects.openai_chat.wishes import FIELDS, MODES, RIVALS, wishes_in
from proxy.dispatch import Dispatch
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.middleware.summary import what_it_took
from proxy.ports import Bill, Call, Reply, Wishes
from proxy.spending.money import MOST, NANOS
from proxy.wishes import cost_limit, with_headers
from tests import recordings
from tests.client import ANTHROPIC, OPENAI, SPEECHES, USAGE_CHUNK, Got, Speech, ask, chat, lane_name
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.replay import CHAT, streamed

Json = dict[str, Any]

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
UNIFIED, PLAIN = "/v1/chat", "/v1/chat/completions"
SLOW = "slow"  # a model whose streams come in two pieces, and not at once
TURNS: Any = [{"role": "user", "content": "Hi"}]
OURS = {"provider": "openai", "thinking_mode": "low", "context_window": 1000, "cost_limit": 1000.5}
KEYS = {"cost_usd", "cost_estimated", "duration_ms", "provider", "model", "attempts", "dropped"}
OLLAMA = {"model": "m", "created_at": "2025-01-01T00:00:00Z", "message": {"role": "assistant", "content": "Hi"},
          "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 2}  # fmt: skip


def speaking(request: Received) -> Scenario:
    """Whoever is asked answers on its own wire, whole or as a stream."""
    if request.method == "GET":
        return Scenario(headers=JSON, body=b'{"data": [], "models": []}')
    if request.target == "/api/chat":
        return Scenario(headers=JSON, body=json.dumps(OLLAMA).encode())
    speech = OPENAI if "chat/completions" in request.target else ANTHROPIC
    asked = json.loads(request.body)
    if asked.get("stream"):
        body = speech.stream.replace(b"data: [DONE]", USAGE_CHUNK + b"data: [DONE]")
        gap = 0.05 if asked["model"] == SLOW else 0.0
        return Scenario(headers=SSE, body=body, framing="chunked", split=[len(body) // 2], gap=gap)
    return Scenario(headers=JSON, body=speech.whole)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[Evil], dict[str, str]]:
    def environ(evil: Evil) -> dict[str, str]:
        """Three providers. Each has a model `small`, of which it is known how long its context is."""
        rows = {"openai": f"{evil.url}/v1", "groq": f"{evil.url}/v1", "anthropic": evil.url, "ollama": evil.url}
        card = "models: [{name: small, context: 1000}]"
        body = "body: {options: {num_ctx: 8192, num_gpu: 1}}"
        told = [
            f"{name}: {{base_url: '{url}', api_key: sk-x, {card}{', ' + body if name == 'ollama' else ''}}}"
            for name, url in rows.items()
        ]
        return config_file(f"providers: {{{', '.join(told)}}}", tmp_path)

    return environ


Configured = Callable[[Evil], dict[str, str]]


def sdk(gateway: Gateway) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)


def summary_of(answer: ChatCompletion | ChatCompletionChunk) -> Json:
    summary: Json = (answer.model_extra or {})["pillion"]
    return summary


async def say(gateway: Gateway, path: str, header: tuple[str, str] | None = None, /, **fields: Any) -> Got:
    body = json.dumps({"model": "m", "messages": TURNS, **fields}).encode()
    return await ask(gateway, "POST", path, body, [header] if header else [])


def refusal(got: Got) -> tuple[int, str | None, str]:
    error = json.loads(got.body)["error"]
    return got.status, error["param"], error["code"]


def sent(evil: Evil) -> Json:
    body: Json = json.loads([request for request in evil.requests if request.method == "POST"][-1].body)
    return body


def asked_of_us(**fields: Any) -> tuple[Wishes, Json]:
    wishes, rest = wishes_in(Envelope(json.dumps({"model": "m", **fields}).encode()))
    body: Json = json.loads(rest.body)
    return wishes, body


# --- the official SDK ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "path"), [("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages")])
async def test_the_sdk_swaps_the_provider_and_no_provider_sees_what_was_said_to_us(
    provider: str, path: str, configured: Configured
) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway, sdk(gateway) as client:
        answer = await client.chat.completions.create(
            model="small", messages=TURNS, max_tokens=4000, extra_body={**OURS, "provider": provider}
        )
        assert answer.choices[0].message.content == "Grüße"
        assert "pillion" not in (answer.model_extra or {})
        assert [request.target for request in evil.requests] == [path]
        assert sent(evil)["model"] == "small"
        assert not sent(evil).keys() & OURS.keys()
        assert not any("pillion-" in name.lower() for name, _ in evil.requests[0].headers)


async def test_the_sdk_reads_the_summary_of_a_whole_answer(configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway, sdk(gateway) as client:
        asked = {"model": "small", "messages": TURNS, "provider": "claude", "seed": 7}
        answer = await client.post("/chat", cast_to=ChatCompletion, body=asked)
    assert answer.choices[0].message.content == "Grüße"
    summary = summary_of(answer)
    assert summary.keys() == KEYS
    assert (type(summary.pop("duration_ms")), type(summary.pop("cost_usd"))) == (float, str)
    assert summary == {
        "provider": "anthropic",
        "model": "small",
        "attempts": 1,
        "dropped": ["seed"],
        "cost_estimated": True,
    }


async def test_a_whole_answers_cost_is_that_of_its_head(configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="openai/gpt-4o")
    assert json.loads(got.body)["pillion"]["cost_usd"] == got.header("x-pillion-cost-usd") == "0.0000325"


@pytest.mark.parametrize("model", ["small", SLOW])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_the_sdk_reads_the_summary_of_a_stream_behind_all_else(
    provider: str, model: str, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced(monkeypatch)
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway, sdk(gateway) as client:
        asked = {"model": model, "messages": TURNS, "provider": provider, "stream": True}
        stream = await client.post(
            "/chat",
            cast_to=ChatCompletionChunk,
            body=asked,
            stream=True,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )
        chunks = [chunk async for chunk in stream]
    *others, last = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in others if chunk.choices) == "Grüße"
    assert not any("pillion" in (chunk.model_extra or {}) for chunk in others)
    assert (last.choices, last.id, last.model, last.created) == ([], others[0].id, others[0].model, others[0].created)
    assert summary_of(last).keys() == KEYS
    assert summary_of(last)["provider"] == provider
    assert summary_of(last)["cost_usd"] == "0.000000007"  # all tokens were counted before it was told


@pytest.mark.parametrize("counts", [None, (-5, -10), (10**15, 3), (9, 5)])
async def test_a_streams_cost_is_that_of_the_ledger(counts: tuple[int, int] | None, configured: Configured) -> None:
    """Also where nobody has counted its tokens, or counted wrong, and what was heard to the last is what it goes by."""
    done = b"data: [DONE]"
    said = OPENAI.stream.replace(done, event(delta={"content": "a word or two " * 50}) + done)
    if counts is not None:
        said = said.replace(
            done, event(usage=dict(zip(("prompt_tokens", "completion_tokens"), counts, strict=True))) + done
        )
    scenario = Scenario(headers=SSE, body=said, framing="chunked", split=[400], gap=0.05)
    async with Evil(answering=lambda _: scenario) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="openai/gpt-4o", stream=True)
        usage = await ask(gateway, "GET", "/v1/usage")
    cost = json.loads(usage.body)["total"]["cost_usd"]
    assert json.loads(OPENAI.last_event(got.body.removesuffix(done + b"\n\n")))["pillion"]["cost_usd"] == cost


def event(delta: Json | None = None, usage: Json | None = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return b"data: " + json.dumps({"id": "c1", "choices": choices, "usage": usage}).encode() + b"\n\n"


def priced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token costs a nano-dollar."""
    ask_target = Dispatch.answer

    async def asking(self: Dispatch, call: Call) -> Reply:
        call.bill = lambda call: None if call.usage is None else Bill(call.usage.input + call.usage.output, False)
        return await ask_target(self, call)

    monkeypatch.setattr(Dispatch, "answer", asking)


# --- the summary -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("path", "word", "is_told"),
    [
        (UNIFIED, None, True),
        ("/chat", None, True),
        (UNIFIED, "false", False),
        (PLAIN, None, False),
        (PLAIN, "True", True),
        ("/openai/deployments/echo%2Ftext/chat/completions", "true", True),
    ],
)
async def test_it_is_told_to_those_alone_who_ask(path: str, word: str | None, is_told: bool, stream: bool) -> None:
    header = ("x-pillion-summary", word) if word else None
    async with pillion() as gateway:
        got = await say(gateway, path, header, model="echo/text", stream=stream)
    assert got.status == 200
    assert (b'"pillion":{"cost_usd":' in got.body) is is_told


@pytest.mark.parametrize("word", ["yes", "", "1", "true, true"])
async def test_another_word_for_it_is_refused(word: str) -> None:
    async with pillion() as gateway:
        got = await say(gateway, PLAIN, ("x-pillion-summary", word), model="echo/text")
    assert refusal(got) == (400, "x-pillion-summary", "invalid_request")


async def test_a_wire_without_a_place_for_it_says_so() -> None:
    async with pillion() as gateway:
        body = ANTHROPIC.request(model="echo/text")
        got = await chat(gateway, ANTHROPIC, body, [("x-pillion-summary", "true")])
        assert (got.status, "x-pillion-summary" in ANTHROPIC.error(got.body)["message"]) == (400, True)
        assert (await chat(gateway, ANTHROPIC, body, [("x-pillion-summary", "false")])).status == 200


async def test_a_stream_that_has_come_whole_has_it_before_its_end_as_well(configured: Configured) -> None:
    """As nearly every short one that is translated."""
    scenario = Scenario(headers=SSE, body=ANTHROPIC.stream)
    async with Evil(scenario) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="anthropic/small", stream=True)
        assert got.header("content-length") is not None
    *_, told, end = [event for event in got.body.split(b"\n\n") if event]
    assert json.loads(told.removeprefix(b"data: "))["pillion"].keys() == KEYS
    assert end == b"data: [DONE]"


async def test_an_error_is_an_error_and_has_none(configured: Configured) -> None:
    failing = Scenario(status=500, headers=JSON, body=b'{"error": {"message": "no"}}')
    async with Evil(answering=lambda _: failing) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="openai/small")
    assert (got.status, got.header("x-pillion-provider"), b"pillion" in got.body) == (500, "openai", False)


async def test_a_stream_that_breaks_has_none(configured: Configured) -> None:
    def broken(request: Received) -> Scenario:
        return Scenario(headers=SSE, body=OPENAI.stream, framing="chunked", cut_at=len(OPENAI.stream) - 20, how="rst")

    async with Evil(answering=broken) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="openai/small", stream=True)
    assert (got.whole, b"[DONE]" in got.body, b'"pillion"' in got.body) == (False, False, False)
    assert b'"error"' in got.body


def cost(attempts: int, bill: Callable[[Call], Bill | None] | None = None) -> object:
    async def receive() -> bytes:
        raise AssertionError("nobody reads it")

    call = Call(
        id="r",
        operation="chat",
        dialect=registry.dialect("unified_chat"),
        headers={},
        query={},
        receive=receive,
        started=monotonic(),
        attempts=attempts,
        bill=bill,
    )
    return what_it_took(call)["cost_usd"]


def test_what_nobody_knows_is_null_and_an_answer_that_nobody_was_asked_for_costs_nothing() -> None:
    assert cost(attempts=0) == "0"  # the cache knew it
    assert cost(attempts=1) is None
    assert cost(attempts=1, bill=lambda _: None) is None
    assert cost(attempts=2, bill=lambda _: Bill(1_500_000, False)) == "0.0015"


SUMMARY = {"cost_usd": "0.1"}
SAID = b'"pillion":{"cost_usd":"0.1"}'


def told_by(coda: SummaryCoda, chunks: Iterable[bytes]) -> bytes:
    return b"".join(piece for chunk in chunks for piece in coda.feed(chunk)) + coda.close()


@pytest.mark.parametrize("body", [b"{}", b' {"a": {}}\r\n', b'{"a":"}"} ', b'{"a":[{}]}', b"{ \n}"])
def test_a_whole_answer_has_one_key_more_and_else_its_own_bytes(body: bytes) -> None:
    out = summarised(body, SUMMARY)
    assert json.loads(out) == {**json.loads(body), "pillion": SUMMARY}
    assert [out.replace(b"," + SAID, b""), out.replace(SAID, b"")].count(body) == 1


SPEAKING = b'data: {"id":"c1","choices":[{"delta":{"content":"data: [DONE]"}}]}'


@pytest.mark.parametrize(
    ("before", "end"),
    [
        *((SPEAKING + end * 2, b"data: [DONE]" + end * 2) for end in (b"\n", b"\r\n", b"\r")),
        (SPEAKING + b"\n\n: ping\n\n", b"data:[DONE]\n\n"),
        (SPEAKING + b"\n\n", b": bye\nevent: done\ndata: [DONE]"),  # in a longer event, and cut off
        (SPEAKING + b"\n\n", b"data: [DONE]\n\ndata: x\n\n"),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_in_a_stream_it_stands_before_the_end(before: bytes, end: bytes, apart: bool) -> None:
    coda = SummaryCoda(lambda: SUMMARY)
    out = told_by(coda, [before, end] if apart else [before + end])
    assert out.startswith(before)
    assert out.endswith(end)
    assert out[len(before) : -len(end)].endswith(SAID + b"}\n\n")
    assert b'"id":"c1"' in out[len(before) : -len(end)]


async def test_a_live_stream_without_its_end_has_it_as_its_last_event(configured: Configured) -> None:
    said = OPENAI.stream.removesuffix(b"data: [DONE]\n\n")
    scenario = Scenario(headers=SSE, body=said, framing="chunked", split=[400], gap=0.05)
    async with Evil(answering=lambda _: scenario) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="openai/small", stream=True)
    assert got.body.startswith(said)
    assert OPENAI.last_event(got.body).startswith(b'{"id":"c1"')
    assert json.loads(OPENAI.last_event(got.body))["pillion"].keys() == KEYS


@pytest.mark.parametrize("blank", [b"", b"\n\n"])
def test_where_the_host_leaves_the_end_out_it_is_the_last(blank: bytes) -> None:
    coda, said = SummaryCoda(lambda: SUMMARY), b'data: {"choices":[]}'
    out = told_by(coda, [said + blank])
    assert out.startswith(said + b"\n\ndata: {")
    assert out.endswith(SAID + b"}\n\n")


@recordings.needs_recordings
def test_of_every_recorded_answer_nothing_else_is_changed() -> None:
    for row in CHAT:
        body = recordings.body(row)
        if streamed(row):
            coda, gate = SummaryCoda(lambda: SUMMARY), OpenAIChat().gate()
            events = [gate.feed(body[at : at + 1000]) for at in range(0, len(body), 1000)]
            out = told_by(coda, [*events, gate.close()])
            before, found, after = out.partition(SAID + b"}\n\n")
            start = before.rindex(b"data: ")
            assert found, row["id"]
            assert (before[:start] + after).rstrip() == body.rstrip(), row["id"]
            assert b"[DONE]" in after or b"\ndata: [DONE]" not in body, row["id"]
        elif row["status"] == 200:
            assert summarised(body, SUMMARY).replace(b"," + SAID, b"") == body, row["id"]
        recordings.replayed(row)


# --- what the fields say ---------------------------------------------------------------------------------------------


async def test_every_other_byte_passes_as_it_is(configured: Configured) -> None:
    kept = b'{ "x" : [1.50, 1e3,\t{"provider":"deep"}] , "model":"small",\n"messages":[{"x":"\\u00fc"}],"max_tokens":5'
    said = kept.replace(b' "model"', b' "provider" : "openai" , "cost_limit":"1000.5", "model"')
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await ask(gateway, "POST", PLAIN, said + b', "context_window": 5 , "thinking_mode":"high"}')
        assert got.status == 200, got.body
        assert evil.requests[-1].body == kept + b',"reasoning_effort":"high"}'


@pytest.mark.parametrize(
    "theirs", [{"order": ["groq"], "allow_fallbacks": False}, {}, ["groq"], 7, True], ids=lambda value: str(value)
)
@pytest.mark.parametrize("path", [UNIFIED, PLAIN])
async def test_a_provider_that_is_no_text_is_the_hosts_own(path: str, theirs: object, configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        assert (await say(gateway, path, model="openai/small", provider=theirs)).status == 200
        assert (sent(evil)["provider"], evil.requests[-1].target) == (theirs, "/v1/chat/completions")
        got = await say(gateway, path, model="anthropic/small", provider=theirs)
        assert (got.status, got.header("x-pillion-dropped")) == (200, "provider")


def test_null_says_what_absence_says_and_is_kept_from_providers() -> None:
    assert asked_of_us(**dict.fromkeys(FIELDS)) == (Wishes(), {"model": "m"})


@pytest.mark.parametrize(("mode", "effort"), MODES.items())
def test_a_mode_becomes_the_wires_own_word(mode: str, effort: str | None) -> None:
    wishes, body = asked_of_us(thinking_mode=mode)
    assert body == {"model": "m"} | ({"reasoning_effort": effort} if effort else {})
    assert wishes.spelled == ({"reasoning_effort": "thinking_mode"} if effort else {})
    assert asked_of_us(thinking_mode=mode, reasoning_effort=None)[1].get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("mode", "thinking"),
    [("off", {"type": "disabled"}), ("low", {"type": "enabled", "budget_tokens": 2048}), ("auto", None)],
)
async def test_a_mode_is_understood_on_another_wire(mode: str, thinking: object, configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, provider="anthropic", model="claude-sonnet-4-5", thinking_mode=mode)
        assert (got.status, sent(evil).get("thinking")) == (200, thinking)


async def test_the_receipt_names_what_the_client_said(configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, PLAIN, model="anthropic/claude-3-5-haiku", thinking_mode="low")
        assert (got.status, got.header("x-pillion-dropped")) == (200, "thinking_mode")
        got = await say(gateway, PLAIN, model="anthropic/claude-3-5-haiku", reasoning_effort="low")
        assert (got.status, got.header("x-pillion-dropped")) == (200, "reasoning_effort")


# --- the window ------------------------------------------------------------------------------------------------------


async def test_ollama_is_told_before_the_operators_own_word(configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, model="ollama/qwen3", context_window=4096, temperature=0.5)
        assert (got.status, json.loads(got.body)["pillion"]["dropped"]) == (200, [])
        assert sent(evil)["options"] == {"temperature": 0.5, "num_ctx": 4096, "num_gpu": 1}
        assert (await say(gateway, UNIFIED, model="ollama/qwen3")).status == 200
        assert sent(evil)["options"] == {"num_ctx": 8192, "num_gpu": 1}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
async def test_a_model_that_is_known_to_have_less_is_not_asked(provider: str, configured: Configured) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, PLAIN, provider=provider, model="small", context_window=1001)
        assert refusal(got) == (400, "context_window", "context_length_exceeded")
        message = json.loads(got.body)["error"]["message"]
        assert ("1001" in message, "1000" in message, f"{provider}/small" in message) == (True, True, True)
        assert evil.requests == []
        got = await say(gateway, PLAIN, provider=provider, model="small", context_window=1000)
        assert (got.status, got.header("x-pillion-dropped")) == (200, None)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_where_nobody_knows_the_receipt_says_so_and_strict_refuses(provider: str, configured: Configured) -> None:
    async with Evil(answering=speaking) as evil:
        async with pillion(**configured(evil)) as gateway:
            got = await say(gateway, PLAIN, provider=provider, model="unheard-of", context_window=1000)
            assert (got.status, got.header("x-pillion-dropped")) == (200, "context_window")
            asked = len(evil.requests)
        async with pillion(**configured(evil), PILLION_STRICT="1") as gateway:
            got = await say(gateway, PLAIN, provider=provider, model="unheard-of", context_window=1000)
            assert (refusal(got)[:2], len(evil.requests)) == ((400, "context_window"), asked)


# --- the provider ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "answers"),
    [
        ("anthropic", "small", ("anthropic", "small")),
        ("claude", "anthropic/small", ("anthropic", "small")),
        ("openai", "openai/small", ("openai", "small")),
        ("openai", "ft/small", ("openai", "ft/small")),
        ("groq", "openai/gpt-oss-120b", ("groq", "openai/gpt-oss-120b")),  # Groq calls it so
        ("echo", "text", ("echo", "text")),
    ],
)
async def test_who_is_named_answers(
    provider: str, model: str, answers: tuple[str, str], configured: Configured
) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, UNIFIED, provider=provider, model=model)
    told = json.loads(got.body)["pillion"]
    assert (told["provider"], told["model"]) == answers


async def test_a_deployment_in_the_path_is_a_model_like_any() -> None:
    async with pillion() as gateway:
        got = await say(gateway, "/openai/deployments/text/chat/completions", provider="echo")
    assert (got.status, got.header("x-pillion-model")) == (200, "text")


@pytest.mark.parametrize(
    ("provider", "model", "status", "named"),
    [
        ("openai", "anthropic/small", 400, "openai/anthropic/small"),
        ("anthropic", "gemini/gemini-2.5-pro", 400, "give one of them, or ask for anthropic/gemini/gemini-2.5-pro"),
        ("nobody", "small", 404, "Providers: openai, groq, anthropic, ollama, echo"),
        ("mistral", "small", 404, "set MISTRAL_API_KEY"),
    ],
)
async def test_who_is_not_there_and_who_contradicts_is_told(
    provider: str, model: str, status: int, named: str, configured: Configured
) -> None:
    async with Evil(answering=speaking) as evil, pillion(**configured(evil)) as gateway:
        got = await say(gateway, PLAIN, provider=provider, model=model)
        assert (refusal(got)[:2], evil.requests) == ((status, "provider"), [])
        assert named in json.loads(got.body)["error"]["message"]


async def test_the_operators_word_for_all_traffic_holds() -> None:
    async with pillion(PILLION_UPSTREAM="echo/text") as gateway:
        got = await say(gateway, PLAIN, provider="nobody", model="small")
    assert (got.status, got.header("x-pillion-model")) == (200, "text")


# --- bad input -------------------------------------------------------------------------------------------------------

BAD: dict[str, list[object]] = {
    "provider": [""],
    "thinking_mode": ["", "LOW", "none", "medium ", 1, True, ["low"], {"mode": "low"}],
    "context_window": [0, -1, 1.5, 8192.0, True, "8192", [1], {}, 10**9 + 1, 10**40],
    "cost_limit": [-1, -0.01, True, [1], {}, 10**9 + 1, 1e300, "1" * 41, "", "free", "-1", "NaN", "Infinity", "1e999",
                   "$1", "1,5", " 1", "1_0", "\u0663"],
}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
async def test_bad_values_are_refused_by_name(field: str, value: object) -> None:
    async with pillion() as gateway:
        got = await say(gateway, PLAIN, model="echo/text", **{field: value})
    assert refusal(got) == (400, field, "invalid_request")
    assert json.loads(got.body)["error"]["message"].startswith(field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "01", "+1", ".5"])
async def test_what_is_no_json_number_is_refused(number: str) -> None:
    body = b'{"model": "echo/text", "messages": [], "cost_limit": %b}' % number.encode()
    async with pillion() as gateway:
        got = await ask(gateway, "POST", UNIFIED, body)
    assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rival", RIVALS)
def test_how_much_to_think_is_said_once(rival: str, mode: str) -> None:
    with pytest.raises(BadRequest, match=f"thinking_mode and {rival}") as caught:
        asked_of_us(thinking_mode=mode, **{rival: "low"})
    assert caught.value.param == "thinking_mode"


async def test_a_key_that_stands_twice_is_refused() -> None:
    body = b'{"model": "echo/text", "messages": [], "cost_limit": 1, "Cost_limit": 2}'
    async with pillion() as gateway:
        assert refusal(await ask(gateway, "POST", UNIFIED, body))[2] == "duplicate_key"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(list(MODES)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def check_place(error: BadRequest, places: Collection[str | None]) -> None:
    assert error.param in places
    assert error.param is None or error.message.startswith(error.param)


@given(st.dictionaries(st.sampled_from([*FIELDS, *RIVALS, "seed", "user"]), ANYTHING, min_size=1))
def test_whatever_stands_there_is_read_or_refused_by_its_name(fields: Json) -> None:
    body = json.dumps({"model": "m", **fields}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        envelope = Envelope(body)
        wishes, rest = wishes_in(envelope)
    except BadRequest as error:
        check_place(error, {None, *FIELDS})  # where a number is beyond all bounds, or a key stands twice: none
        return
    theirs = "provider" in fields and not isinstance(fields["provider"], str | None)
    assert [key for key in FIELDS if key in rest] == (["provider"] if theirs else [])
    here, there = set(envelope.keys()), set(rest.keys())
    assert all(rest.raw(key) == envelope.raw(key) for key in there - {"reasoning_effort"})
    assert here - there == {*fields} & {*FIELDS} - ({"provider"} if theirs else set())
    assert wishes.cost_limit is None or 0 <= wishes.cost_limit <= MOST * NANOS


# --- what it may cost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "nanos"),
    [
        ("0.05", 50_000_000),
        ('"0.05"', 50_000_000),
        ("0", 0),
        ("1E-9", 1),
        ("0.0000000019", 1),  # rounded down
        ("0.30000000000000004", 300_000_000),
        ("123456789.123456789", 123_456_789_123_456_789),  # which no double holds
    ],
)
def test_dollars_are_read_as_they_are_written(value: str, nanos: int) -> None:
    wishes, _ = wishes_in(Envelope(b'{"model":"m","cost_limit":%b}' % value.encode()))
    assert wishes.cost_limit == nanos


@given(st.text() | st.from_regex(r"[0-9.eE+-]{1,12}", fullmatch=True))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        assert 0 <= cost_limit(text, "here") <= MOST * NANOS
    except BadRequest as error:
        check_place(error, {"here"})


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_every_wire_may_say_it_in_a_header(speech: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int | None] = []
    ask_target = Dispatch.answer

    async def asking(self: Dispatch, call: Call) -> Reply:
        met.append(call.wishes.cost_limit)
        return await ask_target(self, call)

    monkeypatch.setattr(Dispatch, "answer", asking)
    async with pillion() as gateway:
        body = speech.request(model="echo/text", max_tokens=10)
        for text in ("1000", "0.5", "0.5 \t", "-1", "a lot"):
            asked = [("x-pillion-cost-limit", text), ("x-pillion-timeout", "9 ")]
            got = await chat(gateway, speech, body, asked)
            assert got.status == (200 if text[0] in "10" else 400)
            assert got.status == 200 or "x-pillion-cost-limit" in speech.error(got.body)["message"]
    assert met == [1000 * NANOS, NANOS // 2, NANOS // 2]


def test_of_two_limits_the_lower_one_counts() -> None:
    said = Wishes(cost_limit=5 * NANOS)
    for text, nanos in (("1", NANOS), ("7.5", 5 * NANOS)):
        assert with_headers(said, {"x-pillion-cost-limit": text}).cost_limit == nanos


# --- Cohere's first API, which had the same path ---------------------------------------------------------------------


async def test_a_body_of_coheres_first_api_is_told_in_words_that_its_sdk_reads() -> None:
    async with pillion() as gateway:
        for path in ("/chat", UNIFIED):
            got = await ask(gateway, "POST", path, b'{"message": "Hi", "chat_history": []}')
            assert (got.status, "/v2/chat" in json.loads(got.body)["message"]) == (501, True)
        assert refusal(await ask(gateway, "POST", UNIFIED, b"{}"))[:2] == (400, "model")
