"""Is a text whose stream breaks gone on with, whole and once, and nobody told more than is so?"""

import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Stop, Text, Thinking, ToolCall, Turn, Usage
from proxy.config.models import known
from proxy.edge.onlookers import conclude
from proxy.errors import Down, UnknownModel
from proxy.failover.plan import Plan
from proxy.failover.sofar import SoFar, asks_for_text, parted
from proxy.failover.splice import Rest, Splice, summed
from proxy.failover.standing import LAST, UNWELL
from proxy.failover.trial import LOST, Trial
from proxy.framing import MAX_FRAME
from proxy.grammar.claude.models import takes_of
from proxy.lanes.prefill import go_on
from proxy.middleware.resume import NO_PREFILL, Resume, _may_be_resumed, _may_be_two, _met, _note_break
from proxy.ports import Attempt, Dialect, Reply, Target, Wishes
from proxy.reports.explain import read
from tests import laws
from tests.client import ANTHROPIC, OPENAI, Speech, ask, chat, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.test_failover import Provider, Upstreams, World, route, three
from tests.waiting import soon

OLD = "claude-sonnet-4-5"  # it takes a prefill
PIECES = ["Grüße", ", ", "world", "!\n", "\n", "  Two", " blanks", " \U0001f642", "\n\nThe", " end."]
WHOLE = "".join(PIECES)
GAP = 0.02  # seconds between what was heard and what breaks it
SSE = [("Content-Type", "text/event-stream")]
FIRST, SECOND = Usage(input=20, output=9), Usage(input=30, output=5)
TEXT = Open(index=0, part=Text())
THOUGHT = Open(index=0, part=Thinking())
CALL = Open(index=1, part=ToolCall(id="t1", name="weather"))


def deltas(*texts: str, index: int = 0) -> list[Event]:
    return [Delta(index=index, text=text) for text in texts]


def said(*events: Event, usage: Usage = FIRST) -> list[Event]:
    start = Start(wire="", id="m1", model="real", created=1)
    return [start, Usage(input=usage.input), *events, usage, Finish(stops=(Stop(raw=""),))]


ONE_TEXT = said(TEXT, *deltas(*PIECES), Close(index=0))


def spelled(name: str, events: Sequence[Event], stream: bool = True) -> list[bytes]:
    """A provider's answer on this wire, event by event."""
    request = Request(wire=name, model="m", turns=[], stream=stream, include_usage=True)
    renderer = registry.dialect(name).renderer(request)
    return [out for event in events if (out := renderer.feed(event))]


def rest_of(body: bytes, whole: str = WHOLE) -> list[Event]:
    """What a model says that goes on with exactly what it is asked to."""
    last = json.loads(body)["messages"][-1]
    before = "".join(block["text"] for block in last["content"]) if last["role"] == "assistant" else ""
    assert before == before.rstrip()
    assert whole.startswith(before), before
    more = whole[len(before) :]
    pieces = [more[at : at + 5] for at in range(0, len(more), 5)]
    return said(TEXT, *deltas(*pieces), Close(index=0), usage=SECOND)


def going_on(request: Received) -> Scenario:
    return Scenario(body=b"".join(spelled("anthropic", rest_of(request.body))), headers=SSE, framing="chunked")


# --- a whole pillion -------------------------------------------------------------------------------------------------


class Breaks:
    """The first target: of one wire, and its stream breaks where the test says so."""

    def __init__(self, speech: Speech, events: Sequence[Event] = ONE_TEXT) -> None:
        self.body = b"".join(spelled(speech.name, events))
        self.pieces = re.findall(rb".*?\n\n", self.body, re.DOTALL)
        self.scenario = Scenario()

    def at(self, cut: int, how: Any = "fin") -> None:
        self.scenario = Scenario(body=self.body, headers=SSE, framing="chunked", cut_at=cut, how=how)

    def ends_in(self, cut: int, error: bytes) -> None:
        """With this event, which comes once the beginning has been heard."""
        body = self.body[:cut] + error
        self.scenario = Scenario(body=body, headers=SSE, framing="chunked", split=[cut], gap=GAP)

    def ends(self) -> list[int]:
        """The bytes at which its events end, the last one apart."""
        return [sum(map(len, self.pieces[:count])) for count in range(len(self.pieces))]

    def __call__(self, request: Received) -> Scenario:
        return self.scenario


def routed(
    first: Evil, second: Evil, speech: Speech, folder: Path, resume: bool = True, model: str = OLD, **more: str
) -> AbstractAsyncContextManager[Gateway]:
    """The first target is of that wire, the second one this model of Anthropic's."""
    name = {"anthropic": f"anthropic/{OLD}", "openai_chat": "openai/m"}[speech.name]
    environ = {
        **config_file(f"routes: {{r: {{targets: [{name}, anthropic-east/{model}]}}}}\n", folder),
        **speech.environ(first.url),
        "ANTHROPIC_EAST_API_KEY": "sk-east-secret",
        "PILLION_ANTHROPIC_EAST_BASE_URL": second.url,
        "PILLION_FAILOVER_RESUME": str(resume).lower(),
    }
    return pillion(**{**environ, **more})


@asynccontextmanager
async def world(
    speech: Speech, folder: Path, events: Sequence[Event] = ONE_TEXT, resume: bool = True, **more: str
) -> AsyncIterator[tuple[Gateway, Breaks, Evil]]:
    breaks = Breaks(speech, events)
    async with (
        Evil(answering=breaks) as first,
        Evil(answering=going_on) as second,
        routed(first, second, speech, folder, resume, **more) as gateway,
    ):
        yield gateway, breaks, second


class Told:
    """What an official SDK made of a stream."""

    def __init__(self) -> None:
        self.text = ""
        self.starts = 0
        self.stops: list[str] = []
        self.usage = (0, 0)
        self.error: Exception | None = None


class ByAnthropic:
    """Its official SDK."""

    def __init__(self, url: str) -> None:
        self.sdk = AsyncAnthropic(base_url=url, api_key="unused", max_retries=0)

    async def ask(self) -> Told:
        told = Told()
        try:
            asked: Any = {"model": "r", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
            async for event in await self.sdk.messages.create(stream=True, **asked):
                told.starts += event.type == "message_start"
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    told.text += event.delta.text
                elif event.type == "message_delta":
                    told.stops.append(event.delta.stop_reason or "")
                    told.usage = event.usage.input_tokens or 0, event.usage.output_tokens
        except anthropic.APIError as error:
            told.error = error
        return told


class ByOpenAI:
    """Likewise. An answer has one id, one model and one role."""

    def __init__(self, url: str) -> None:
        self.sdk = AsyncOpenAI(base_url=url + "/v1", api_key="unused", max_retries=0)

    async def ask(self) -> Told:
        told, names, roles = Told(), set(), 0
        try:
            asked: Any = {"model": "r", "messages": [{"role": "user", "content": "Hi"}]}
            asked |= {"stream_options": {"include_usage": True}}
            async for chunk in await self.sdk.chat.completions.create(stream=True, **asked):
                names.add((chunk.id, chunk.model, chunk.created))
                for choice in chunk.choices:
                    roles += choice.delta.role is not None
                    told.text += choice.delta.content or ""
                    told.stops += [choice.finish_reason] if choice.finish_reason else []
                if chunk.usage:
                    told.usage = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        except openai.APIError as error:
            told.error = error
        told.starts = max(len(names), roles)
        return told


Client = ByAnthropic | ByOpenAI


@asynccontextmanager
async def client_of(name: str, gateway: Gateway) -> AsyncIterator[Client]:
    one = SDKS[name](gateway.url)
    try:
        yield one
    finally:
        await one.sdk.close()


SDKS: dict[str, type[Client]] = {"anthropic": ByAnthropic, "openai_chat": ByOpenAI}
STOPS = {"anthropic": "end_turn", "openai_chat": "stop"}


def cuts(breaks: Breaks, figure: str) -> list[int]:
    """The end of each event, and bytes between."""
    between = sorted(set(range(len(breaks.body))) - set(breaks.ends()))
    return sorted({*breaks.ends(), *random.Random(7).sample(between, laws.share(figure, len(between), 15))})


@pytest.mark.parametrize("provider", [ANTHROPIC, OPENAI], ids=lambda one: f"first_{one.name}")
@pytest.mark.parametrize("client", SDKS)
@pytest.mark.timeout(300)
async def test_wherever_a_stream_is_cut_its_text_is_whole(tmp_path: Path, client: str, provider: Speech) -> None:
    """But for its very end: what has told why it ended is not gone on with, and its client hears that something is
    missing. Where it speaks the provider's own wire, it has read the reason by then.
    """
    async with world(provider, tmp_path) as (gateway, breaks, second), client_of(client, gateway) as sdk:
        late = 0
        for number, cut in enumerate(cuts(breaks, f"cuts of a stream, {client} by {provider.name}")):
            breaks.at(cut, ("fin", "rst")[number % 2])
            told = await sdk.ask()
            assert told.text == WHOLE, (cut, breaks.body[:cut][-80:])
            late += told.error is not None
            is_told = told.error is None or provider.name == client
            assert (told.starts, told.stops) == (1, [STOPS[client]] if is_told else [])
            assert told.error is None or cut >= len(breaks.body) - 450, cut
        assert second.requests
        assert late < number / 3
        assert gateway.app.upstream.in_use == 0
        await soon(lambda: gateway.app.accounting.ledger.pending == 0)


@pytest.mark.parametrize("provider", [ANTHROPIC, OPENAI], ids=lambda one: f"first_{one.name}")
@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI], ids=lambda one: one.name)
async def test_what_has_told_why_it_ended_is_not_gone_on_with(tmp_path: Path, client: Speech, provider: Speech) -> None:
    """Another model wrote on behind a stop sequence, or beyond max_tokens, though only the last word was cut off."""
    async with world(provider, tmp_path) as (gateway, breaks, second):
        reason = next(n for n, piece in enumerate(breaks.pieces) if re.search(rb'"(stop|finish)_reason":"', piece))
        for cut in breaks.ends()[reason + 1 :]:
            breaks.at(cut)
            got = await chat(gateway, client, client.request(stream=True, model="r", max_tokens=100))
            assert (got.status, got.whole, len(second.requests)) == (200, False, 0)
            client.error(client.last_event(got.body))


async def usage(gateway: Gateway) -> dict[str, tuple[int, int, int]]:
    await soon(lambda: gateway.app.accounting.ledger.pending == 0)
    got = await ask(gateway, "GET", "/v1/usage?group_by=provider")
    return {row["provider"]: (row["requests"], row["errors"], row["estimated"]) for row in json.loads(got.body)["data"]}


async def counted(gateway: Gateway, name: str) -> dict[tuple[str, ...], float]:
    """Samples of this family, by provider and what else tells them apart."""
    text = (await ask(gateway, "GET", "/metrics")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith(f"pillion_{name}_total{{")]
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in lines]
    keys = [tuple(row[key] for key in ("provider", "code", "kind")[: len(row)] if key in row) for row in labels]
    return {key[:2]: float(line.rpartition(" ")[2]) for key, line in zip(keys, lines, strict=True)}


async def explained(gateway: Gateway, request_id: str | None) -> list[tuple[Any, ...]]:
    told = json.loads((await ask(gateway, "GET", f"/v1/explain/{request_id}")).body)
    return [
        (one["target"].partition("/")[0], one.get("skipped") or (one["error"] and one["error"]["code"]))
        for one in told["attempts"]
    ]


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI], ids=lambda one: one.name)
async def test_both_attempts_are_booked_and_told(tmp_path: Path, client: Speech) -> None:
    async with world(ANTHROPIC, tmp_path) as (gateway, breaks, second):
        breaks.at(breaks.ends()[4])
        got = await chat(gateway, client, client.request(stream=True, model="r", max_tokens=100))
        assert (got.status, got.whole, client.ends_whole(got.body)) == (200, True, True)
        assert await usage(gateway) == {"anthropic": (1, 1, 1), "anthropic-east": (1, 0, 0)}
        named = await explained(gateway, got.header("x-pillion-request-id"))
        assert named == [("anthropic", CUT), ("anthropic-east", None)]
        assert await counted(gateway, "upstream_errors") == {("anthropic", "upstream_cut"): 1}
        assert await counted(gateway, "upstream_attempts") == {("anthropic",): 1, ("anthropic-east",): 1}
        tokens = {("anthropic", "input"): 20, ("anthropic-east", "input"): 30, ("anthropic-east", "output"): 5}
        assert await counted(gateway, "tokens") == tokens
        assert await counted(gateway, "errors") == {}
        standings = {one.target.adapter.name: one for one in gateway.app.lasting.standings}
        assert [one.latency.in_flight for one in standings.values()] == [0, 0]
        assert second.requests[0].whole


async def test_the_client_is_told_what_both_have_used(tmp_path: Path) -> None:
    async with world(ANTHROPIC, tmp_path) as (gateway, breaks, second), client_of("anthropic", gateway) as sdk:
        breaks.at(breaks.ends()[-1] - 1)
        told = await sdk.ask()
        assert told.text == WHOLE
        assert told.usage[0] >= SECOND.input
        assert told.usage[1] > SECOND.output  # what was heard of the first one is counted beside it
        body = json.loads(second.requests[0].body)
        assert body["max_tokens"] < 100


CUT = "upstream_cut"
OTHER = said(
    THOUGHT, *deltas("Hm"), Close(index=0), Open(index=1, part=Text()), *deltas(WHOLE, index=1), Close(index=1)
)
CALLED = said(TEXT, *deltas("Wait"), Close(index=0), CALL, Delta(index=1, text='{"a": 1}'), Close(index=1))


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI], ids=lambda one: one.name)
@pytest.mark.parametrize(("events", "from_"), [(OTHER, 3), (CALLED, 5)], ids=["thought", "call"])
async def test_after_a_thought_or_a_call_the_wire_says_that_it_broke(
    tmp_path: Path, client: Speech, events: list[Event], from_: int
) -> None:
    async with world(ANTHROPIC, tmp_path, events) as (gateway, breaks, second):
        for cut in breaks.ends()[from_:]:
            breaks.at(cut)
            got = await chat(gateway, client, client.request(stream=True, model="r", max_tokens=100))
            assert (got.status, got.whole) == (200, False)
            client.error(client.last_event(got.body))
        assert not second.requests
        assert (await usage(gateway)).keys() == {"anthropic"}


UNTOLD = said(THOUGHT, Close(index=0), Open(index=1, part=Text()), *deltas(WHOLE, index=1), Close(index=1))
LATE = {  # whose wire tells of a call when it is whole, and of no thought without a word
    "gemini": ("/v1beta/models/r:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "Hi"}]}]}),
    "ollama": ("/api/chat", {"model": "r", "messages": [{"role": "user", "content": "Hi"}]}),
}


@pytest.mark.parametrize("wire", LATE)
@pytest.mark.parametrize(("events", "from_"), [(UNTOLD, 5), (CALLED, 5)], ids=["thought", "call"])
async def test_nor_is_it_gone_on_where_the_client_has_not_been_told_of_them(
    tmp_path: Path, wire: str, events: list[Event], from_: int
) -> None:
    path, body = LATE[wire]
    async with world(ANTHROPIC, tmp_path, events) as (gateway, breaks, second):
        for cut in breaks.ends()[from_:-2]:
            breaks.at(cut)
            got = await ask(gateway, "POST", path, json.dumps(body).encode())
            assert (got.status, got.whole) == (200, False)
        assert not second.requests


async def test_of_a_hedge_that_has_won_it_is_known_as_well() -> None:
    world = three(Upstreams())
    one = world.call("a/m")
    target = Target(Provider("b"), "m")  # type: ignore[arg-type]
    trial = Trial(one, target)

    async def body() -> AsyncGenerator[bytes]:
        yield b"Wait"
        trial.call.is_mixed = True  # of a call that the client is not told of before the stream breaks
        raise Down("cut")

    reply = trial.won(Reply(200, [], body()))
    assert isinstance(reply.body, AsyncGenerator)
    assert await anext(reply.body) == b"Wait"
    assert not one.is_mixed
    with pytest.raises(Down):
        await anext(reply.body)
    assert one.is_mixed
    assert not Trial(one, target).call.is_mixed


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"tools": [{"name": "t", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]},
    ],
    ids=["thinks", "shaped", "forced", "searches", "stateful"],
)
async def test_what_is_more_than_a_text_is_not_gone_on_with(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with world(ANTHROPIC, tmp_path) as (gateway, breaks, second):
        breaks.at(breaks.ends()[4])
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="r", **{"max_tokens": 9, **fields}))
        assert (got.status, got.whole) == (200, False)
        assert ANTHROPIC.error(ANTHROPIC.last_event(got.body))["type"] == "api_error"
        assert not second.requests


OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy now"}}\n\n'
WRONG = OVERLOADED.replace(b"overloaded_error", b"invalid_request_error")


@pytest.mark.parametrize("client", SDKS)
async def test_an_error_in_the_stream_is_kept_from_the_client(tmp_path: Path, client: str) -> None:
    async with world(ANTHROPIC, tmp_path) as (gateway, breaks, second), client_of(client, gateway) as sdk:
        for cut in breaks.ends()[3:-2]:
            breaks.ends_in(cut, OVERLOADED)
            told = await sdk.ask()
            assert (told.text, told.error) == (WHOLE, None)
        assert len(second.requests) > 3


@pytest.mark.parametrize("resume", [False, True])
async def test_an_error_that_nobody_can_make_up_for_comes_as_it_came(tmp_path: Path, resume: bool) -> None:
    async with world(ANTHROPIC, tmp_path, resume=resume) as (gateway, breaks, second):
        cut = breaks.ends()[5]
        breaks.ends_in(cut, WRONG)
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="r"))
        assert (got.status, got.whole, got.body) == (200, True, breaks.body[:cut] + WRONG)
        assert not second.requests


async def test_a_stall_is_made_up_for(tmp_path: Path) -> None:
    async with world(OPENAI, tmp_path, PILLION_OPENAI_TIMERS_IDLE="0.05") as (gateway, breaks, _):
        breaks.at(breaks.ends()[5], "stall")
        async with client_of("openai_chat", gateway) as sdk:
            told = await sdk.ask()
        assert (told.text, told.error) == (WHOLE, None)


@pytest.mark.parametrize("speech", [ANTHROPIC, OPENAI], ids=lambda one: one.name)
async def test_a_stream_that_does_not_break_comes_byte_for_byte(tmp_path: Path, speech: Speech) -> None:
    async with world(speech, tmp_path) as (gateway, breaks, second):
        breaks.scenario = Scenario(body=breaks.body, headers=SSE, framing="chunked", split=3)
        more = {} if speech is ANTHROPIC else {"stream_options": {"include_usage": True}}
        got = await chat(gateway, speech, speech.request(stream=True, model="r", **more))
        assert (got.whole, got.body) == (True, breaks.body)
        assert not second.requests


async def test_the_rest_may_come_all_at_once(tmp_path: Path) -> None:
    """As the short rest of an answer that is translated; and so may the whole answer."""
    breaks = Breaks(OPENAI)

    def at_once(request: Received) -> Scenario:
        return Scenario(body=b"".join(spelled("anthropic", rest_of(request.body))), headers=SSE)

    async with (
        Evil(answering=breaks) as first,
        Evil(answering=at_once) as second,
        routed(first, second, OPENAI, tmp_path) as gateway,
    ):
        for model, asked in (("r", 1), (f"anthropic-east/{OLD}", 2)):
            breaks.at(breaks.ends()[4])
            got = await chat(gateway, OPENAI, OPENAI.request(stream=True, model=model))
            events, error = laws.listen(registry.dialect("openai_chat").decoder(True), [got.body])
            said = "".join(event.text for event in events if isinstance(event, Delta))
            assert (error, said.strip(), len(second.requests)) == (None, WHOLE, asked)
            assert (got.header("content-length") is None) == (model == "r")


async def test_what_only_the_host_understands_is_not_gone_on_with(tmp_path: Path) -> None:
    """A body passes through that we could not say to another."""
    async with world(OPENAI, tmp_path) as (gateway, breaks, second):
        breaks.at(breaks.ends()[4])
        body = {"model": "r", "stream": True, "messages": [{"role": "critic", "content": "Hi"}]}
        got = await chat(gateway, OPENAI, json.dumps(body).encode())
        assert (got.status, got.whole) == (200, False)
        assert OPENAI.error(OPENAI.last_event(got.body))["code"] == "upstream_cut"
        assert not second.requests


@pytest.mark.parametrize(
    ("how", "blamed_for"),
    [("refused", "upstream_error"), ("cut", "upstream_cut"), ("error", "rate_limit_exceeded")],
)
async def test_where_the_second_one_fails_too_the_first_error_is_told(
    tmp_path: Path, how: str, blamed_for: str
) -> None:
    breaks = Breaks(ANTHROPIC)
    breaks.ends_in(breaks.ends()[5], OVERLOADED)

    def second_fails(request: Received) -> Scenario:
        body = b"".join(spelled("anthropic", rest_of(request.body))[:3])
        if how == "refused":
            return Scenario(status=500, body=b'{"type":"error","error":{"type":"api_error","message":"second"}}')
        if how == "cut":
            return Scenario(body=body, headers=SSE, framing="chunked", cut_at=len(body))
        error = OVERLOADED.replace(b"Busy now", b"second")
        return Scenario(body=body + error, headers=SSE, framing="chunked", split=[len(body)], gap=GAP)

    async with (
        Evil(answering=breaks) as first,
        Evil(answering=second_fails) as second,
        routed(first, second, ANTHROPIC, tmp_path) as gateway,
    ):
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="r"))
        error = ANTHROPIC.error(ANTHROPIC.last_event(got.body))
        assert (error["type"], error["message"]) == ("overloaded_error", "Busy now")
        assert {name: row[:2] for name, row in (await usage(gateway)).items()} == {
            "anthropic": (1, 1),
            "anthropic-east": (1, 1),
        }
        assert read(gateway.app.lasting.explain._ring[-1]).attempts == 2
        codes = [code for _, code in await explained(gateway, got.header("x-pillion-request-id"))]
        assert len(codes) == 2
        assert None not in codes
        assert await counted(gateway, "upstream_errors") == {
            ("anthropic", "rate_limit_exceeded"): 1,
            ("anthropic-east", blamed_for): 1,
        }
        assert await counted(gateway, "requests") == {("anthropic",): 1}
        assert (await counted(gateway, "tokens"))[("anthropic", "input")] == 20
        assert gateway.app.upstream.in_use == 0


async def test_where_the_name_means_nobody_any_more_the_first_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(ANTHROPIC, tmp_path) as (gateway, breaks, second):
        breaks.ends_in(breaks.ends()[5], OVERLOADED)
        planner = gateway.app.now.planner
        plans = [await planner.plan("r")]

        async def plan(name: str, key: object = None) -> Plan:
            if not plans:
                raise UnknownModel("It was there a moment ago.")
            return plans.pop()

        monkeypatch.setattr(planner, "plan", plan)
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="r"))
        error = ANTHROPIC.error(ANTHROPIC.last_event(got.body))
        assert (error["type"], error["message"]) == ("overloaded_error", "Busy now")
        blamed = {name: count for (name, _), count in (await counted(gateway, "upstream_errors")).items()}
        assert blamed == {"anthropic": 1}
        assert not second.requests


async def test_who_takes_no_prefill_is_passed_over(tmp_path: Path) -> None:
    async with world(OPENAI, tmp_path, model="claude-opus-4-7") as (gateway, breaks, second):
        breaks.at(breaks.ends()[4])
        got = await chat(gateway, OPENAI, OPENAI.request(stream=True, model="r"))
        assert (got.status, got.whole) == (200, False)
        assert not second.requests
        named = await explained(gateway, got.header("x-pillion-request-id"))
        assert named == [("openai", CUT), ("anthropic-east", NO_PREFILL)]


async def test_unless_nothing_was_said_yet(tmp_path: Path) -> None:
    """A text has been opened, and its first word has not come: then anybody may say it."""
    async with world(ANTHROPIC, tmp_path, model="claude-opus-4-7") as (gateway, breaks, second):
        breaks.at(breaks.ends()[2])
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="r"))
        assert (got.whole, ANTHROPIC.ends_whole(got.body)) == (True, True)
        assert len(json.loads(second.requests[0].body)["messages"]) == 1


@pytest.mark.parametrize("provider", [ANTHROPIC, OPENAI], ids=lambda one: one.name)
async def test_unasked_nobody_goes_on(tmp_path: Path, provider: Speech) -> None:
    async with world(provider, tmp_path, resume=False) as (gateway, breaks, second):
        breaks.at(breaks.ends()[4])
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(stream=True, model="r"))
        assert (got.status, got.whole) == (200, False)
        assert ANTHROPIC.error(ANTHROPIC.last_event(got.body))["type"] == "api_error"
        assert not second.requests


SILENT = Scenario(cut_at=0, cut_of="wire", how="stall")


@pytest.mark.parametrize("how", ["leaves", "cancels"])
@pytest.mark.parametrize("where", ["before its head", "in its stream"])
async def test_a_client_that_ends_it_ends_the_second_one_too(tmp_path: Path, how: str, where: str) -> None:
    def stalls(request: Received) -> Scenario:
        body = b"".join(spelled("anthropic", rest_of(request.body))[:4])
        stream = Scenario(body=body, headers=SSE, framing="chunked", cut_at=len(body), how="stall")
        return SILENT if where == "before its head" else stream

    breaks = Breaks(ANTHROPIC)
    breaks.at(breaks.ends()[4])
    async with (
        Evil(answering=breaks) as first,
        Evil(answering=stalls) as second,
        routed(first, second, ANTHROPIC, tmp_path) as gateway,
        client(gateway) as one,
    ):
        body = ANTHROPIC.request(stream=True, model="r")
        await one.send(spell("POST", ANTHROPIC.path, body, ANTHROPIC.headers))
        await second.received()
        if where == "in its stream":
            await second.pushed_all()
            await one.until(b"world")
        if how == "leaves":
            one.leave("fin")
        else:
            (live,) = json.loads((await ask(gateway, "GET", "/v1/requests/active")).body)["data"]
            assert live["phase"] == "streaming"
            await ask(gateway, "POST", f"/v1/requests/active/{live['id']}/cancel")
            assert b"cancelled" in await one.rest()
        await second.closed()
        await soon(lambda: gateway.app.upstream.in_use == 0)
        await soon(lambda: not gateway.app.lasting.active._live)
        assert {name: row[:2] for name, row in (await usage(gateway)).items()} == {
            "anthropic": (1, 1),
            "anthropic-east": (1, 1),
        }
        assert [one.latency.in_flight for one in gateway.app.lasting.standings] == [0, 0]


async def test_who_lets_go_of_the_answer_lets_go_of_the_target() -> None:
    async def body() -> AsyncGenerator[bytes]:
        yield b""

    let_go: list[str] = []
    failover: Any = World([Provider("a")], Upstreams(a=[Reply(200, [], body(), abort=lambda: let_go.append("a"))]))
    asked = failover.call(stream=True)
    reply = await Resume(failover.failover, lambda *_: None)(asked, failover.upstreams)
    assert reply.abort is not None
    reply.abort()
    assert let_go == ["a"]
    conclude(reply, None, "1")
    reply.abort()
    assert let_go == ["a"]


BODY = b'{"model": "m"}'


@pytest.mark.parametrize(
    ("fields", "may_be"),
    [
        ({"stream": True}, (True, True)),
        ({}, (False, True)),
        ({"stream": True, "as_array": True}, (False, True)),
        ({"stream": True, "operation": "count_tokens"}, (False, True)),
        ({"stream": True, "wishes": Wishes(cost_limit=1)}, (False, True)),
        ({"stream": True, "stop_at": 1}, (True, False)),
        ({"stream": True, "dialect": registry.dialect("openai_responses")}, (True, False)),
        ({"stream": True, "dialect": registry.dialect("openai_responses"), "is_translated": True}, (True, True)),
    ],
)
def test_which_calls_may_be_answered_by_two(fields: dict[str, Any], may_be: tuple[bool, bool]) -> None:
    one = World.call(None, body=BODY)  # type: ignore[arg-type]
    for name, value in fields.items():
        setattr(one, name, value)
    assert (_may_be_resumed(one), _may_be_two(one)) == may_be


def test_who_was_only_outrun_may_go_on_and_who_failed_may_not() -> None:
    world = three(Upstreams())
    one = world.call("a/m")
    a, b, c = (Target(provider, "m") for provider in world.failover.planner.catalog.adapters.values())
    one.history = [Attempt(a, 1, code="x"), Attempt(b, 2, code=LOST), Attempt(c, skipped="resting")]
    assert _met(one) == {a, c}
    one.history = [Attempt(a, 1, code="x"), Attempt(b, skipped=f"no tools{LAST}"), Attempt(c, skipped=UNWELL)]
    assert _met(one) == {a}


def test_a_break_is_the_answers_that_broke_and_nobody_elses() -> None:
    world = three(Upstreams())
    one = world.call("a/m")
    a, b, c = (Target(provider, "m") for provider in world.failover.planner.catalog.adapters.values())
    one.history, one.attempts, one.target = [Attempt(a, 1, code="x"), Attempt(b, skipped="resting")], 2, c
    _note_break(one, Down("cut", code="upstream_cut"), 200)
    assert [(each.target, each.number, each.code) for each in one.history[2:]] == [(c, 2, "upstream_cut")]
    _note_break(one, Down("cut", code="upstream_cut"), 200)  # nobody answers any more
    assert len(one.history) == 3


@pytest.mark.parametrize(("deadline", "timeout", "asked"), [(0.0, None, []), (60.0, 4.0, []), (60.0, 9.0, ["b/m"])])
async def test_nobody_goes_on_after_the_operators_deadline_or_the_clients(
    deadline: float, timeout: float | None, asked: list[str]
) -> None:
    world = World([Provider("a"), Provider("b")], upstreams := Upstreams(), routes=route("a/m", "b/m"))
    world.failover.deadline = deadline
    call = world.call("smart", stream=True, timeout=timeout)
    call.started -= 5.0
    call.history = [Attempt(Target(world.adapters["a"], "m"), 1, code="upstream_cut")]
    found = await Resume(world.failover, lambda *_: None).another(call, upstreams, "")
    assert (upstreams.asked, found is None) == (asked, not asked)


async def test_whoever_goes_on_has_what_is_left_of_the_clients_time() -> None:
    one = World.call(None, body=BODY)  # type: ignore[arg-type]
    one.started = monotonic() - 5.0
    one.timeout = 9.0
    assert one.has_time()
    assert one.left() == pytest.approx(4.0, abs=0.5)
    one.timeout = 4.0
    assert not one.has_time()


# --- what is read of an answer ---------------------------------------------------------------------------------------

WIRES = ["anthropic", "openai_chat", "gemini", "bedrock", "ollama", "cohere", "openai_responses"]


def sofar(dialect: Dialect, pieces: Sequence[bytes]) -> SoFar:
    made = SoFar(dialect)
    for piece in pieces:
        made.tap(piece)
    return made


@pytest.mark.parametrize("wire", WIRES)
def test_on_each_wire_what_was_heard_and_what_is_added_are_the_whole(wire: str) -> None:
    """Event by event, from the first with which a head goes out; told to the end, there is nothing to go on with."""
    dialect, pieces = registry.dialect(wire), spelled(wire, ONE_TEXT)
    request = Request(wire=wire, model="m", turns=[], stream=True, include_usage=True)
    gone_on = 0
    for count in range(len(spelled(wire, ONE_TEXT[:3])), len(pieces) + 1):
        made = sofar(dialect, pieces[:count])
        if not made.may_be_resumed():
            continue
        gone_on += 1
        renderer = dialect.renderer(request)
        for event in made.events():
            renderer.feed(event)
        solid, blanks = parted(made.text)
        more = said(TEXT, Delta(index=0, text=WHOLE[len(solid) :]), Close(index=0), usage=SECOND)
        out = [renderer.feed(event) for event in made.spliced(blanks, FIRST).feed(more)]
        decoder = dialect.decoder(True)
        events = [*decoder.feed(b"".join([*pieces[:count], *out])), *decoder.close()]
        assert "".join(event.text for event in events if isinstance(event, Delta)) == WHOLE
        assert sum(isinstance(event, Open) for event in events) <= (1 if made.is_open else 2)
        total = [event.total_output for event in events if isinstance(event, Usage)][-1]
        assert total == FIRST.output + SECOND.output
    assert gone_on >= len(PIECES)
    assert not sofar(dialect, pieces).may_be_resumed()


@pytest.mark.parametrize(
    "events",
    [
        [THOUGHT],
        [TEXT, Close(index=0), Open(index=1, part=Text())],
        [TEXT, Close(index=0), CALL],
        [TEXT, Open(index=1, part=Text(), choice=1)],
        [TEXT, Delta(index=0, text="x", logprobs=[{"token": "x", "logprob": 0, "bytes": None, "top_logprobs": []}])],
    ],
)
def test_nothing_but_one_text_is_gone_on_with(events: list[Event]) -> None:
    made = SoFar(registry.dialect("openai_chat"))
    made._note([Start(), *events])
    assert not made.may_be_resumed()


def test_what_cannot_be_read_is_not_gone_on_with() -> None:
    """Nobody can tell what the client makes of it."""
    pieces = spelled("anthropic", ONE_TEXT)[:-2]
    assert sofar(registry.dialect("anthropic"), pieces).may_be_resumed()
    made = sofar(registry.dialect("anthropic"), [*pieces, b"event: content_block_delta\ndata: {\n\n"])
    assert (made.may_be_resumed(), made.text) == (False, "")


@pytest.mark.parametrize("wire", ["anthropic", "openai_chat"])
def test_nor_is_an_event_that_is_too_long_to_be_read(wire: str) -> None:
    """It has passed through all the same, so that this must not break the stream."""
    made = SoFar(registry.dialect(wire))
    for _ in range(MAX_FRAME // (1024 * 1024) + 2):
        made.tap(b"data: " + b"x" * (1024 * 1024))
    assert not made.may_be_resumed()


def test_a_long_text_is_read_bit_by_bit_and_one_without_end_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.failover.sofar.BATCH", 64)
    made = sofar(registry.dialect("anthropic"), spelled("anthropic", ONE_TEXT)[:-2])
    assert made._size <= 64
    assert made.may_be_resumed()
    assert made.text == WHOLE
    monkeypatch.setattr("proxy.failover.sofar.LONGEST", 8)
    made = sofar(registry.dialect("anthropic"), spelled("anthropic", ONE_TEXT)[:-2])
    assert (made.may_be_resumed(), made.text, repr(made)) == (
        False,
        "",
        "<SoFar 12 characters, 0 bytes not yet read>",
    )


# --- how two become one ----------------------------------------------------------------------------------------------


def spliced(splice: Splice, *events: Event) -> list[Event]:
    return list(splice.feed(events))


@pytest.mark.parametrize(
    ("blanks", "texts", "out"),
    [
        ("", ["  a"], "  a"),
        (" ", [" a"], "a"),
        (" ", ["a"], "a"),
        (" ", ["\n a"], "\n a"),
        ("\n\n", ["\n", "\na"], "a"),
        ("\n\n", ["\n", "a\n\n"], "a\n\n"),
        ("\n", ["\n", "\n", "\na"], "\n\na"),
    ],
)
def test_blanks_that_were_read_are_not_said_twice(blanks: str, texts: list[str], out: str) -> None:
    events = spliced(Splice(0, True, blanks, FIRST), TEXT, *deltas(*texts), Close(index=0))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == out
    assert events[-1] == Close(index=0)


def test_other_blocks_have_indexes_of_their_own() -> None:
    call: list[Event] = [CALL, Delta(index=1, text="{}"), Close(index=1)]
    events = spliced(Splice(3, True, "", FIRST), Start(), TEXT, Close(index=0), *call, Finish())
    assert [getattr(event, "index", None) for event in events] == [3, 4, 4, 4, None]
    events = spliced(Splice(3, True, "", FIRST), Start(), *call, Finish())  # the text was whole
    assert [type(event).__name__ for event in events] == ["Close", "Open", "Delta", "Close", "Finish"]
    assert [getattr(event, "index", None) for event in events] == [3, 4, 4, 4, None]
    assert spliced(Splice(3, True, "", FIRST), Start(), Finish()) == [Close(index=3), Finish()]  # it was, and all
    events = spliced(Splice(3, False, "", FIRST), Start(), TEXT, Close(index=0), Finish())
    assert [getattr(event, "index", None) for event in events] == [4, 4, None]


def test_a_second_answer_that_cannot_be_read_is_told_up_to_there() -> None:
    dialect = registry.dialect("anthropic")
    pieces = spelled("anthropic", ONE_TEXT)
    first = sofar(dialect, pieces[:-2])
    assert first.may_be_resumed()
    renderer = dialect.renderer(Request(wire="anthropic", model="m", turns=[], stream=True))
    for event in first.events():
        renderer.feed(event)
    rest = Rest(dialect.decoder(True), first.spliced("", FIRST), renderer)
    out = rest.feed(b"".join([*pieces[:-2], b"event: content_block_delta\ndata: {\n\n"]))
    assert out.count(b"text_delta") == len(PIECES)
    assert rest.fault is not None
    assert rest.fault.code == "upstream_protocol"


def test_every_bucket_is_summed() -> None:
    one = Usage(input=1, cache_read=2, output=3, searches=4, tier="a")
    assert summed(one, one) == Usage(input=2, cache_read=4, output=6, searches=8, tier="a")


# --- how it is asked for ---------------------------------------------------------------------------------------------


def test_a_turn_that_the_client_began_is_gone_on_with() -> None:
    turns = [Turn(role="user", parts=[Text(text="Hi")]), Turn(role="assistant", parts=[Text(text="{")])]
    request = Request(wire="", model="m", turns=turns, max_tokens=10)
    go_on(request, "x" * 400)
    assert [len(turn.parts) for turn in request.turns] == [1, 2]
    assert request.max_tokens == 1


def test_what_is_asked_for_may_be_more_than_a_text() -> None:
    assert asks_for_text(Request(wire="", model="m", turns=[]))
    assert not asks_for_text(Request(wire="", model="m", turns=[], n=2))
    assert not asks_for_text(Request(wire="", model="m", turns=[], logprobs=True))


@pytest.mark.parametrize(
    "model",
    "claude-3-5-sonnet-20241022 claude-3-haiku-20240307 claude-3.7-sonnet claude-sonnet-4-20250514 claude-opus-4-0"
    " claude-opus-4-1-20250805 claude-sonnet-4-5 claude-haiku-4-5-20251001 claude-opus-4.5 claude-sonnet-4@20250514"
    " us.anthropic.claude-sonnet-4-5-20250929-v1:0 claude-opus-4-6 claude-sonnet-4.6 claude-opus-4-7 claude-opus-5"
    " claude-sonnet-5 claude-fable-5 claude-haiku-5 claude-mythos-5 claude-opus-4-8 claude-sonnet-6".split(),
)
def test_the_table_of_models_and_the_wire_agree_who_takes_a_prefill(model: str) -> None:
    said = known(model).at("prefill")
    assert (said is not None) == takes_of(model).prefill


@pytest.mark.parametrize("client", [*WIRES, "unified_chat"])
@pytest.mark.parametrize("wire", ["anthropic", "anthropic_vertex", "bedrock", "bedrock_invoke"])
def test_each_wire_that_is_asked_ends_in_the_text(client: str, wire: str) -> None:
    """Whichever the client speaks; on its own wire too, where a request is said as it came."""
    turn = Turn(role="user", parts=[Text(text="Hi")])
    request = Request(wire=client, model=OLD, turns=[turn], stream=True, max_tokens=100)
    go_on(request, "Grüße, world")
    last = json.loads(registry.dialect(wire).encode(request).body)["messages"][-1]
    assert last["role"] == "assistant"
    assert [block["text"] for block in last["content"]] == ["Grüße, world"]
