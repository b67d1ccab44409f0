"""Is all that is billed beside the tokens counted, in both lanes alike: the tier, the searches, and the nonsense?"""

import json
import sqlite3
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy import registry
from proxy.adapters.echo import Echo
from proxy.canon import BUCKETS, Usage
from proxy.config import Price
from proxy.dialects.anthropic.usage import usage_of
from proxy.envelope import Envelope
from proxy.errors import Down
from proxy.framing.eventstream import encode_frame, encode_headers
from proxy.grammar.counts import are_counts, count_of
from proxy.ports import Heard, Target
from proxy.prices import Prices
from proxy.spending.extent import tier
from proxy.spending.used import used
from proxy.store import ABSURD, ESTIMATED, UNPRICED
from tests import laws, recordings
from tests.client import ANTHROPIC, OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.laws import examples
from tests.taking import call

Json = dict[str, Any]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
JSON = [("Content-Type", "application/json")]


def heard(wire: str, body: bytes, stream: bool = False) -> Usage | None:
    """As a decoder hears it, which must be as the meter does."""
    dialect = registry.dialect(wire)
    events, error = laws.listen(dialect.decoder(stream), [body])
    assert error is None
    usage = next((event for event in reversed(events) if isinstance(event, Usage)), None)
    assert laws.watch(dialect.meter(stream), [body]).usage == usage
    return usage


def counted(wire: str, body: bytes, stream: bool = False) -> Usage:
    usage = heard(wire, body, stream)
    assert usage is not None
    return usage


# --- a provider's answers, with more in them than their tokens -------------------------------------------------------


def dumped(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def sse(*events: Json) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def frames(*messages: tuple[str, Json]) -> bytes:
    return b"".join(
        encode_frame(
            encode_headers([(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]),
            json.dumps(payload).encode(),
        )
        for kind, payload in messages
    )


CHAT_USED = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
RESPONSES_USED = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
ANTHROPIC_USED = {"input_tokens": 5, "output_tokens": 2}
GEMINI_USED = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
BEDROCK_USED = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}
COHERE_USED = {"tokens": {"input_tokens": 5, "output_tokens": 2}}
OLLAMA_USED = {"prompt_eval_count": 5, "eval_count": 2}


def chat(usage: Json, **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    return dumped(id="c", model="gpt-5", choices=[choice], usage=usage, **fields)


def chat_stream(usage: Json, **fields: Any) -> bytes:
    """Where only the last chunk says what the fields do, as Groq has it."""
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
    head = {"id": "c", "model": "gpt-5"}
    return sse(head | {"choices": [choice]}, head | {"choices": [], "usage": usage} | fields) + b"data: [DONE]\n\n"


def response(usage: Json, *items: Json, **fields: Any) -> Json:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
    return {"id": "r", "model": "gpt-5", "status": "completed", "output": [*items, said], "usage": usage, **fields}


def responses(usage: Json, *items: Json, **fields: Any) -> bytes:
    return json.dumps(response(usage, *items, **fields)).encode()


def responses_stream(usage: Json, *items: Json, **fields: Any) -> bytes:
    begun = {"id": "r", "model": "gpt-5", "service_tier": "auto", "output": []}
    ended = response(usage, *items, **fields)
    return sse(
        {"type": "response.created", "response": begun},
        *({"type": "response.output_item.done", "output_index": n, "item": item} for n, item in enumerate(items)),
        {"type": "response.completed", "response": ended},
    )


def anthropic(usage: Json) -> bytes:
    return dumped(id="m", model="claude", content=[{"type": "text", "text": "a"}], stop_reason="end_turn", usage=usage)


def gemini(usage: Json, *queries: str, model: str = "gemini-3-pro") -> bytes:
    more = {"groundingMetadata": {"webSearchQueries": list(queries)}} if queries else {}
    candidate = {"content": {"parts": [{"text": "a"}], "role": "model"}, "finishReason": "STOP", **more}
    return dumped(candidates=[candidate], usageMetadata=usage, modelVersion=model)


def converse(usage: Json, **fields: Any) -> bytes:
    return dumped(output={"message": {"content": [{"text": "a"}]}}, stopReason="end_turn", usage=usage, **fields)


def converse_stream(usage: Json, **fields: Any) -> bytes:
    return frames(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": usage, **fields}),
    )


def cohere(usage: Json) -> bytes:
    return dumped(id="c", message={"content": [{"type": "text", "text": "a"}]}, finish_reason="COMPLETE", usage=usage)


def ollama(usage: Json) -> bytes:
    return dumped(model="m", message={"role": "assistant", "content": "a"}, done=True, done_reason="stop", **usage)


# --- the tier that served --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "body", "stream", "tier"),
    [
        ("openai_chat", chat(CHAT_USED), False, ""),
        ("openai_chat", chat(CHAT_USED, service_tier="priority"), False, "priority"),
        ("openai_chat", chat(CHAT_USED, service_tier=None), False, ""),
        ("openai_chat", chat(CHAT_USED, service_tier=["flex"]), False, ""),
        ("openai_chat", chat({**CHAT_USED, "service_tier": "standard"}), False, "standard"),  # Mistral
        ("openai_chat", chat_stream(CHAT_USED, service_tier="on_demand"), True, "on_demand"),
        ("openai_responses", responses(RESPONSES_USED, service_tier="flex"), False, "flex"),
        ("openai_responses", responses_stream(RESPONSES_USED, service_tier="flex"), True, "flex"),
        ("anthropic", anthropic({**ANTHROPIC_USED, "service_tier": "standard", "speed": "fast"}), False, "fast"),
        ("anthropic", anthropic({**ANTHROPIC_USED, "service_tier": "batch", "speed": "standard"}), False, "batch"),
        ("anthropic", anthropic({**ANTHROPIC_USED, "service_tier": None, "speed": 3}), False, ""),
        ("gemini", gemini({**GEMINI_USED, "serviceTier": "PRIORITY"}), False, "PRIORITY"),
        ("gemini", gemini({**GEMINI_USED, "trafficType": "ON_DEMAND"}), False, "ON_DEMAND"),
        ("bedrock", converse(BEDROCK_USED, serviceTier={"type": "flex"}), False, "flex"),
        ("bedrock", converse(BEDROCK_USED, serviceTier="flex"), False, ""),
        ("bedrock", converse_stream(BEDROCK_USED, serviceTier={"type": "priority"}), True, "priority"),
        ("bedrock", converse(BEDROCK_USED, performanceConfig={"latency": "optimized"}), False, "optimized"),
        ("bedrock", converse_stream(BEDROCK_USED, performanceConfig={"latency": "optimized"}), True, "optimized"),
        ("bedrock", converse(BEDROCK_USED, performanceConfig={"latency": "standard"}), False, "standard"),
        ("bedrock", converse(BEDROCK_USED, performanceConfig=7, serviceTier={"type": "flex"}), False, "flex"),
    ],
)
def test_an_answer_tells_its_tier(wire: str, body: bytes, stream: bool, tier: str) -> None:
    assert counted(wire, body, stream).tier == tier


@pytest.mark.parametrize(
    ("wire", "body", "asked"),
    [
        ("openai_chat", {"service_tier": "flex"}, "flex"),
        ("openai_chat", {"service_tier": 7}, ""),
        ("openai_chat", {}, ""),
        ("openai_responses", {"service_tier": "priority"}, "priority"),
        ("anthropic", {"service_tier": "standard_only"}, "standard_only"),
        ("anthropic", {"service_tier": "auto", "speed": "fast"}, "fast"),
        ("anthropic", {"service_tier": "auto", "speed": "standard"}, "auto"),
        ("gemini", {"serviceTier": "SERVICE_TIER_FLEX"}, "SERVICE_TIER_FLEX"),
        ("gemini", {"service_tier": "flex"}, "flex"),
        ("bedrock", {"serviceTier": {"type": "reserved"}}, "reserved"),
        ("bedrock", {"serviceTier": "reserved"}, ""),
        ("ollama", {"service_tier": "flex"}, ""),
        ("cohere", {"service_tier": "flex"}, ""),
    ],
)
def test_a_request_asks_for_its_tier(wire: str, body: Json, asked: str) -> None:
    bounds = registry.dialect(wire).bounds
    assert tier(Envelope(json.dumps(body).encode()), bounds) == tier(body, bounds) == asked


@pytest.mark.parametrize(
    ("wire", "path", "body", "headers", "head", "guessed"),
    [
        ("bedrock", "converse", {}, {}, {}, False),
        ("bedrock", "converse", {"performanceConfig": {"latency": "optimized"}}, {}, {}, True),
        ("bedrock", "converse", {"performanceConfig": {"latency": "standard"}}, {}, {}, False),
        ("bedrock_invoke", "invoke", {}, {"X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized"}, {}, True),
        (
            *("bedrock_invoke", "invoke", {}, {"X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized"}),
            *({"X-Amzn-Bedrock-PerformanceConfig-Latency": "standard"}, False),
        ),
        (
            *("bedrock_invoke", "invoke", {}, {"X-Amzn-Bedrock-Service-Tier": "priority"}),
            *({"X-Amzn-Bedrock-Service-Tier": "default"}, False),
        ),
    ],
)
async def test_a_speed_of_bedrocks_has_a_price_that_nobody_knows(
    wire: str, path: str, body: Json, headers: Json, head: Json, guessed: bool, tmp_path: Path
) -> None:
    """What the answer says of it counts: where there is no room, AWS serves and bills the standard one."""
    model = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
    used = {"input_tokens": 5, "output_tokens": 2}
    answer = {"model": model, "type": "message", "role": "assistant", "content": [], "usage": used}
    whole = converse(BEDROCK_USED) if path == "converse" else json.dumps(answer).encode()
    asked = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], **body}
    if path == "invoke":
        asked |= {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9}
    else:
        asked["messages"] = [{"role": "user", "content": [{"text": "x"}]}]
    lines = [("Content-Type", "application/json"), *head.items()]
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "us-east-1"}
    async with Evil(Scenario(body=whole, headers=lines)) as evil:
        text = f"providers: {{bedrock: {{base_url: '{evil.url}', models: ['{model}']}}}}\n"
        async with pillion(**config_file(text, tmp_path), **environ) as gateway:
            where = f"/model/{quote(f'bedrock/{model}', safe='')}/{path}"
            got = await ask(gateway, "POST", where, json.dumps(asked).encode(), list(headers.items()))
            assert got.status == 200, got.body
            assert (got.header("x-pillion-cost-estimated") == "true") == guessed


# --- searches by the provider's own tool -----------------------------------------------------------------------------


def search(action: object = "search") -> Json:
    return {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": action}}


SOUGHT = [search(), search("open_page"), search("find_in_page"), {"type": "web_search_call"}, search()]
GROUNDED = ("", "x", "y", "x")
SEARCHED = {"web_search_requests": 3}


@pytest.mark.parametrize(
    ("wire", "body", "stream", "searches"),
    [
        ("openai_responses", responses(RESPONSES_USED, *SOUGHT), False, 3),
        ("openai_responses", responses_stream(RESPONSES_USED, *SOUGHT), True, 3),
        ("openai_responses", responses(RESPONSES_USED, {"type": "x", "text": '"web_search_call"'}), False, 0),
        ("gemini", gemini(GEMINI_USED, *GROUNDED), False, 2),
        ("gemini", gemini(GEMINI_USED, *GROUNDED, model="gemini-2.5-pro"), False, 1),
        ("gemini", gemini(GEMINI_USED, ""), False, 0),
        ("gemini", sse(json.loads(gemini(GEMINI_USED, "x")), json.loads(gemini(GEMINI_USED, "y", "x"))), True, 2),
        ("openai_chat", chat(CHAT_USED), False, 0),
        ("openai_chat", chat(CHAT_USED) + b" ", False, 0),
        ("openai_chat", chat({**CHAT_USED, "server_tool_use_details": SEARCHED}), False, 3),
        (
            "openai_chat",
            chat({**CHAT_USED, "server_tool_use_details": SEARCHED, "server_tool_use": SEARCHED}),
            False,
            3,
        ),
        ("anthropic", anthropic({**ANTHROPIC_USED, "server_tool_use": SEARCHED}), False, 3),
    ],
)
def test_searches_are_counted(wire: str, body: bytes, stream: bool, searches: int) -> None:
    assert counted(wire, body, stream).searches == searches


@pytest.mark.parametrize(
    "model", ["gpt-4o-search-preview-2025-03-11", "gpt-5-search-api", "openai/gpt-4o-search-preview"]
)
def test_a_model_that_always_searches_does_so_once(model: str) -> None:
    whole, stream = chat(CHAT_USED), chat_stream(CHAT_USED)
    assert counted("openai_chat", whole.replace(b"gpt-5", model.encode())).searches == 1
    assert counted("openai_chat", stream.replace(b"gpt-5", model.encode()), stream=True).searches == 1
    assert counted("openai_chat", whole.replace(b"gpt-5", b"sonar-pro-search")).searches == 0


def test_searches_told_behind_the_last_count_are_counted() -> None:
    first = json.loads(gemini(GEMINI_USED))
    last = json.loads(gemini({}, "x"))
    assert counted("gemini", sse(first, last), stream=True).searches == 1


CLAUDE = Prices({"anthropic": "anthropic"}, {}, [], "dearest").of("anthropic", "claude-opus-5", NOW)


@pytest.mark.parametrize("more", [{}, {"speed": "fast"}, {"service_tier": "batch"}, {"service_tier": "standard"}])
@pytest.mark.parametrize("place", [None, "global", "not_available", "us"])
def test_inference_that_is_kept_in_a_place_is_dearer_by_a_tenth(place: str | None, more: Json) -> None:
    used = {"input_tokens": 10**6, "output_tokens": 10**6, "cache_read_input_tokens": 10**6, **more}
    anywhere, there = (counted("anthropic", anthropic(used | {"inference_geo": word})) for word in ("global", place))
    assert CLAUDE.at(there.tier).is_known
    ratio = Fraction(CLAUDE.cost(there), CLAUDE.cost(anywhere))
    assert ratio == (Fraction(11, 10) if place == "us" else 1)


def test_a_place_that_no_list_knows_is_a_guess() -> None:
    usage = counted("anthropic", anthropic({"input_tokens": 9, "output_tokens": 1, "inference_geo": "moon"}))
    assert (usage.tier, CLAUDE.at(usage.tier).is_known) == ("standard@moon", False)
    assert CLAUDE.at(usage.tier).cost(usage) > CLAUDE.cost(replace(usage, tier=""))


def test_a_search_is_no_dearer_there() -> None:
    searched, plain = Usage(searches=1, tier="standard@us"), Usage(searches=1)
    assert CLAUDE.cost(searched) == CLAUDE.cost(plain) > 0


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"inference_geo": "us"}, "standard@us"),
        ({"inference_geo": "us", "speed": "fast"}, "fast@us"),
        ({"inference_geo": "global"}, ""),
        ({"inference_geo": 7}, ""),
    ],
)
def test_who_asks_for_a_place_is_bound_by_its_price(fields: Json, word: str) -> None:
    asked = Envelope(json.dumps({"model": "m", **fields}).encode())
    assert tier(asked, registry.dialect("anthropic").bounds) == word
    assert tier({"inference_geo": "us"}, registry.dialect("openai_chat").bounds) == "standard@us"  # as `body` may say
    assert CLAUDE.at("standard@us").bound(1000, 1000) > CLAUDE.bound(1000, 1000)


@pytest.mark.parametrize(
    ("listing", "model", "dollars"),
    [("openai", "gpt-5", 0.01), ("google", "gemini-3.1-pro-preview", 0.014), ("groq", "x", 0)],
)
def test_a_search_costs_what_the_list_says(listing: str, model: str, dollars: float) -> None:
    price = Prices({listing: listing}, {}, [], "dearest").of(listing, model, NOW)
    plain, searched = Usage(input=5, output=2), Usage(input=5, output=2, searches=3)
    assert price.cost(searched) - price.cost(plain) == round(3 * dollars * 10**9)


def test_deep_research_costs_what_perplexity_says() -> None:
    """By its own example: https://docs.perplexity.ai/getting-started/pricing"""
    used = {
        "prompt_tokens": 33,
        "completion_tokens": 7163,
        "total_tokens": 7196,
        "citation_tokens": 20016,
        "num_search_queries": 18,
        "reasoning_tokens": 73997,
    }
    usage = counted("openai_chat", chat(used))
    assert (usage.input, usage.output, usage.reasoning) == (33, 7163, 73997)
    price = Prices({"perplexity": "perplexity"}, {}, [], "dearest").of("perplexity", "sonar-deep-research", NOW)
    parts = 33 * 2 + 7163 * 8 + 20016 * 2 + 73997 * 3 + 18 * 5000
    assert price.cost(usage) == parts * 1000
    assert round(price.cost(usage) / 10**9, 2) == 0.41
    short = counted("openai_chat", chat(used | {"reasoning_tokens": 100}))
    assert (short.output, short.reasoning) == (7163, 100)


def test_thoughts_within_a_completion_stay_there() -> None:
    usage = counted("openai_chat", chat({**CHAT_USED, "reasoning_tokens": 1}))
    assert (usage.output, usage.reasoning) == (1, 1)


# --- every recording -------------------------------------------------------------------------------------------------

DIALECTS = {
    "chat_completions": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
    "converse": "bedrock",
    "converse-stream": "bedrock",
    "v2_chat": "cohere",
}


class Told(NamedTuple):
    searches: int
    tiers: set[str]


@recordings.needs_recordings
def test_what_was_recorded_is_told_alike_by_meters_and_decoders() -> None:
    told = dict.fromkeys(DIALECTS.values(), Told(0, set()))
    for row in recordings.load("*"):
        if row["status"] != 200 or row["endpoint"] not in DIALECTS:
            continue
        recordings.replayed(row)
        wire, stream = DIALECTS[row["endpoint"]], row["framing"] != "json"
        dialect, body = registry.dialect(wire), recordings.body(row)
        events, error = laws.listen(dialect.decoder(stream), [body])
        usage = next((event for event in reversed(events) if isinstance(event, Usage)), None)
        if error is None:
            assert laws.watch(dialect.meter(stream), [body]).usage == usage, row["id"]
        if usage is not None:
            assert not usage.is_odd, row["id"]
            told[wire] = Told(told[wire].searches + usage.searches, told[wire].tiers | {usage.tier})
    assert {wire: (said.searches, said.tiers - {""}) for wire, said in told.items()} == {
        "openai_chat": (7, {"default", "priority", "on_demand", "standard"}),
        "openai_responses": (28, {"auto", "default", "flex", "priority"}),
        "anthropic": (18, {"standard"}),
        "gemini": (13, {"standard", "ON_DEMAND", "PROVISIONED_THROUGHPUT"}),
        "bedrock": (0, set()),
        "cohere": (0, set()),
    }


# --- counts that are none --------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """A wire's answer, and each place in what it tells of tokens where a count stands."""

    wire: str
    body: Any
    used: Json
    paths: list[tuple[str, ...]]


COUNTS = [
    Counts(
        "openai_chat",
        chat,
        CHAT_USED,
        [
            ("prompt_tokens",),
            ("completion_tokens",),
            ("total_tokens",),
            ("num_search_queries",),
            ("citation_tokens",),
            ("reasoning_tokens",),
            ("prompt_cache_hit_tokens",),
            ("prompt_tokens_details", "cached_tokens"),
            ("completion_tokens_details", "reasoning_tokens"),
            ("server_tool_use", "web_search_requests"),
        ],
    ),
    Counts(
        "openai_responses",
        responses,
        RESPONSES_USED,
        [
            ("input_tokens",),
            ("output_tokens",),
            ("input_tokens_details", "cached_tokens"),
            ("output_tokens_details", "reasoning_tokens"),
        ],
    ),
    Counts(
        "anthropic",
        anthropic,
        ANTHROPIC_USED,
        [
            ("input_tokens",),
            ("output_tokens",),
            ("cache_read_input_tokens",),
            ("cache_creation", "ephemeral_1h_input_tokens"),
            ("output_tokens_details", "thinking_tokens"),
            ("server_tool_use", "web_search_requests"),
        ],
    ),
    Counts(
        "gemini",
        gemini,
        GEMINI_USED,
        [
            ("promptTokenCount",),
            ("candidatesTokenCount",),
            ("thoughtsTokenCount",),
            ("totalTokenCount",),
            ("toolUsePromptTokenCount",),
            ("promptTokensDetails", "*", "tokenCount"),
        ],
    ),
    Counts(
        "bedrock",
        converse,
        BEDROCK_USED,
        [("inputTokens",), ("outputTokens",), ("cacheReadInputTokens",), ("cacheDetails", "*", "inputTokens")],
    ),
    Counts(
        "cohere",
        cohere,
        COHERE_USED | {"billed_units": {"input_tokens": 5, "output_tokens": 2}},
        [("tokens", "input_tokens"), ("tokens", "image_tokens"), ("cached_tokens",), ("billed_units", "input_tokens")],
    ),
    Counts("ollama", ollama, OLLAMA_USED, [("prompt_eval_count",), ("eval_count",)]),
]
# What was read and what was written: null beside the other, each is unknown, and no nought as all else may be.
MAIN = {
    "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "inputTokens", "outputTokens",
    "promptTokenCount", "candidatesTokenCount", "prompt_eval_count", "eval_count",
}  # fmt: skip


def is_main(path: tuple[str, ...]) -> bool:
    return path[-1] in MAIN and "*" not in path


PLACES = [(each, path) for each in COUNTS for path in each.paths]
NONSENSE: list[Any] = [-1, -1.0, 1.5, 1e30, 10**8 + 1, 10**40, "12", True, [], {}]


def spoilt(used: Json, path: tuple[str, ...], value: Any) -> Json:
    key, *rest = path
    if not rest:
        return used | {key: value}
    if rest[0] == "*":
        return used | {key: [spoilt({"modality": "TEXT", "ttl": "5m"}, tuple(rest[1:]), value)]}
    return used | {key: spoilt(used.get(key, {}), tuple(rest), value)}


@pytest.mark.parametrize(("each", "path"), PLACES, ids=lambda value: getattr(value, "wire", None) or ".".join(value))
def test_a_count_that_is_none_is_told_and_counts_as_nothing(each: Counts, path: tuple[str, ...]) -> None:
    assert counted(each.wire, each.body(spoilt(each.used, path, None))).is_odd == is_main(path)
    assert not counted(each.wire, each.body(spoilt(each.used, path, 1))).is_odd
    for value in NONSENSE:
        usage = counted(each.wire, each.body(spoilt(each.used, path, value)))
        assert usage.is_odd, value
        assert all(0 <= getattr(usage, bucket) <= 10**8 for bucket in BUCKETS), value


GONE = object()


def without(used: Json, path: tuple[str, ...]) -> Json:
    key, *rest = path
    return (
        {name: value for name, value in used.items() if name != key}
        if not rest
        else used | {key: without(used[key], tuple(rest))}
    )


@pytest.mark.parametrize("value", [None, -1, 10**13, "12", 0, GONE], ids=["null", "-1", "10^13", "text", "0", "gone"])
@pytest.mark.parametrize(
    ("each", "path"),
    [(each, path) for each, path in PLACES if is_main(path)],
    ids=lambda value: getattr(value, "wire", None) or ".".join(value),
)
def test_what_was_not_counted_is_not_booked_as_nothing(each: Counts, path: tuple[str, ...], value: Any) -> None:
    """An estimate is, and the row says so. Nobody reads nothing; and in this answer something is said."""
    heard = Heard()
    heard.tap(OPENAI.whole)
    asked = call(envelope=Envelope(OPENAI.request(model="m", user="x" * 40)), heard=heard)
    spoiled = without(each.used, path) if value is GONE else spoilt(each.used, path, value)
    asked.usage = counted(each.wire, each.body(spoiled))
    usage, flags = used(asked, None)
    assert (usage.total_input > 0, usage.total_output > 0) == (True, True)
    assert bool(flags & ABSURD) == (value is not GONE and value != 0)
    assert flags & ESTIMATED or usage.total_output == 2  # where the total tells what was written
    assert READ.cost(usage) > 0
    assert WRITTEN.cost(usage) > 0


@pytest.mark.parametrize(
    ("wire", "body", "expected"),
    [
        ("openai_chat", chat({**CHAT_USED, "total_tokens": 100}), Usage(input=5, output=2, reasoning=93)),
        (
            "openai_responses",
            responses({**RESPONSES_USED, "total_tokens": 100}),
            Usage(input=5, output=2, reasoning=93),
        ),
        ("openai_responses", responses({**RESPONSES_USED, "total_tokens": 3}), Usage(input=5, output=2)),
        ("gemini", gemini({**GEMINI_USED, "totalTokenCount": 100}), Usage(input=5, output=2, reasoning=93)),
        ("bedrock", converse({**BEDROCK_USED, "totalTokens": 100}), Usage(input=5, output=2, reasoning=93)),
        (
            "bedrock",
            converse({**BEDROCK_USED, "cacheReadInputTokens": 90, "totalTokens": 97}),
            Usage(input=5, cache_read=90, output=2),
        ),
    ],
)
def test_tokens_that_only_the_total_counts_are_counted(wire: str, body: bytes, expected: Usage) -> None:
    assert counted(wire, body) == expected


NONE = {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("tokens", "paid", "nanos"),
    [
        ({"input_tokens": 1000, "output_tokens": 20}, {"input_tokens": 70, "output_tokens": 20}, 70 * 1 + 20 * 3),
        ({"input_tokens": 1000, "output_tokens": 20}, NONE, 1000 * 1 + 20 * 3),
        ({"input_tokens": 1000, "output_tokens": 20}, {"input_tokens": 70, "output_tokens": 0}, 1000 * 1 + 20 * 3),
        ({"input_tokens": 1000, "output_tokens": 0}, {"input_tokens": 70, "output_tokens": 0}, 70 * 1),
        (NONE, {"input_tokens": 70, "output_tokens": 20}, 70 * 1 + 20 * 3),
    ],
)
def test_cohere_bills_nothing_only_where_nothing_was_used(tokens: Json, paid: Json, nanos: int) -> None:
    prices = Prices({"cohere": ""}, {"cohere/m": Price(input=1, output=3)}, [], "dearest")
    usage = counted("cohere", cohere({"tokens": tokens, "billed_units": paid}))
    assert prices.of("cohere", "m", NOW).cost(usage) == nanos * 1000


def test_an_answer_of_no_words_may_have_no_tokens() -> None:
    asked = call(envelope=Envelope(OPENAI.request(model="m")))
    asked.usage = counted("openai_chat", chat({"prompt_tokens": 5, "completion_tokens": 0}))
    assert used(asked, None) == (asked.usage, 0)


def test_what_is_odd_is_filled_up_beside_what_is_not() -> None:
    asked = call(envelope=Envelope(OPENAI.request(model="m", user="x" * 400)), target=Target(Echo("echo"), "m"))
    odd = anthropic({"input_tokens": -5, "cache_read_input_tokens": 1, "output_tokens": 2})
    asked.usage = counted("anthropic", odd)
    usage, _ = used(asked, None)
    assert (usage.cache_read, usage.total_input, usage.output) == (1, len(asked.envelope.body) // 4, 1000)


@pytest.mark.parametrize("value", [None, -5, "12", GONE], ids=["null", "-5", "text", "gone"])
@pytest.mark.parametrize("error", [None, Down("cut")], ids=["whole", "cut"])
def test_what_was_written_is_believed_beside_what_was_read_and_not_counted(value: Any, error: Down | None) -> None:
    """Most of it may be thoughts, which nobody hears: an estimate by what was heard would book next to nothing."""
    heard = Heard()
    heard.tap(OPENAI.whole)
    asked = call(envelope=Envelope(OPENAI.request(model="m", user="x" * 400)), heard=heard)
    told = {"completion_tokens": 5000, "completion_tokens_details": {"reasoning_tokens": 4000}}
    asked.usage = counted("openai_chat", chat(told if value is GONE else told | {"prompt_tokens": value}))
    usage, flags = used(asked, error)
    assert (usage.total_input, usage.output, usage.reasoning) == (len(asked.envelope.body) // 4, 1000, 4000)
    assert flags & ESTIMATED


READ, WRITTEN = (
    Prices({"p": ""}, {"p/m": Price(input=read, output=1 - read)}, [], "dearest").of("p", "m", NOW) for read in (1, 0)
)
LISTS = Prices({name: name for name in ("openai", "anthropic", "google", "cohere", "perplexity")}, {}, [], "dearest")
PRICED = [
    LISTS.of(name, model, NOW)
    for name, model in (
        ("openai", "gpt-5"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("cohere", "command-a-03-2025"),
        ("perplexity", "sonar-deep-research"),
        ("openai", "no-such-model"),
    )
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(COUNTS), st.data())
@settings(max_examples=examples(150), deadline=None)
def test_no_answer_costs_less_than_nothing(each: Counts, data: st.DataObject) -> None:
    used = each.used
    for path in data.draw(st.lists(st.sampled_from(each.paths), max_size=4, unique_by=lambda path: path[0])):
        used = spoilt(used, path, data.draw(VALUES))
    for key in data.draw(st.lists(st.sampled_from([path[0] for path in each.paths]), max_size=1)):
        used = used | {key: data.draw(VALUES)}
    usage = heard(each.wire, each.body(used))
    if usage is not None:
        assert all(price.cost(usage) >= 0 for price in PRICED)


def test_what_is_not_told_is_no_nonsense() -> None:
    assert are_counts({}, ["x"])
    assert are_counts({"x": None, "y": 3.0, "z": 10**8}, "xyz")
    assert not are_counts({"x": float("nan")}, "x")


def test_a_part_of_a_token_is_nonsense_and_never_free() -> None:
    assert not are_counts({"x": 1.5}, "x")
    assert (count_of(1.5), count_of(0.25), count_of(3.0)) == (2, 1, 3)


# --- what is booked --------------------------------------------------------------------------------------------------

PRICES = "prices: {openai/m: {input: 1, output: 3}, openai/gpt-real: {input: 2, output: 6}}\n"


async def booked(folder: Path, answer: bytes, model: str, text: str = PRICES, **fields: Any) -> tuple[int, str, int]:
    """Nano-dollars, where the price is from, and the flags of the one row."""
    async with (
        Evil(Scenario(body=answer, headers=JSON)) as evil,
        pillion(**config_file(text, folder), **OPENAI.environ(evil.url)) as gateway,
    ):
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(model=model, **fields))
        assert got.status == 200
    with sqlite3.connect(folder / "state" / "ledger.db") as ledger:
        rows = ledger.execute("SELECT nanos, source, flags FROM attempts").fetchall()
    ledger.close()
    ((nanos, source, flags),) = rows
    return nanos, source, flags


def answered(model: str, usage: Json, **fields: Any) -> bytes:
    return json.dumps(json.loads(chat(usage, **fields)) | {"model": model}).encode()


async def test_nonsense_is_booked_and_flagged(tmp_path: Path) -> None:
    nanos, _, flags = await booked(tmp_path, answered("m", {**CHAT_USED, "prompt_tokens": -5}), "openai/m")
    assert (nanos >= 0, flags & ABSURD) == (True, ABSURD)


async def test_sense_is_not_flagged(tmp_path: Path) -> None:
    assert await booked(tmp_path, answered("m", CHAT_USED), "openai/m") == (11_000, "config", 0)


async def test_the_model_that_answered_has_the_price_that_its_deployment_has_not(tmp_path: Path) -> None:
    nanos, source, flags = await booked(tmp_path, answered("gpt-real", CHAT_USED), "openai/my-deployment")
    assert (nanos, source, flags & UNPRICED) == (22_000, "config", 0)


async def test_a_model_that_nobody_knows_is_dear_whoever_answers(tmp_path: Path) -> None:
    nanos, source, flags = await booked(tmp_path, answered("no-such-model", CHAT_USED), "openai/my-deployment")
    assert (source, flags & UNPRICED) == ("dearest of openai", UNPRICED)
    assert nanos > 22_000


async def test_no_upstream_makes_itself_free(tmp_path: Path) -> None:
    text = "prices: {openai/gift: {input: 0, output: 0}}\n"
    nanos, source, _ = await booked(tmp_path, answered("gift", CHAT_USED), "openai/my-deployment", text)
    assert (source, nanos > 0) == ("dearest of openai", True)


@pytest.mark.parametrize(
    ("text", "asked", "served", "times"),
    [
        ("", "", "", 1),
        ("", "", "priority", 2),
        ("", "priority", "default", 1),
        ("", "priority", "", 2),
        ("providers: {openai: {body: {service_tier: priority}}}\n", "", "", 2),
        ("providers: {openai: {body: {service_tier: priority}}}\n", "auto", "", 1),
    ],
)
async def test_the_tier_that_served_is_paid_else_the_one_that_was_asked_for(
    tmp_path: Path, text: str, asked: str, served: str, times: int
) -> None:
    fields = {"service_tier": asked} if asked else {}
    answer = answered("gpt-5", CHAT_USED, **({"service_tier": served} if served else {}))
    nanos, _, flags = await booked(tmp_path, answer, "openai/gpt-5", text, **fields)
    assert (nanos, flags) == (times * (5 * 1250 + 2 * 10_000), 0)


async def test_a_tier_that_nobody_priced_is_a_guess(tmp_path: Path) -> None:
    answer = answered("gpt-5", CHAT_USED, service_tier="turbo")
    _, source, flags = await booked(tmp_path, answer, "openai/gpt-5", "")
    assert (source, flags) == ("dearest of openai", UNPRICED)


@recordings.needs_recordings
def test_xais_answers_cost_what_xai_says_with_their_searches() -> None:
    prices, seen = Prices({"xai": "x-ai"}, {}, [], "dearest"), 0
    for row in recordings.load("xai.responses"):
        if row["status"] != 200 or b"cost_in_usd_ticks" not in (body := recordings.body(row)):
            continue
        usage = counted("openai_responses", body, row["streamed"])
        own = prices.of("xai", row["model"], NOW)
        assert own.is_known
        assert prices.cost("xai", own, usage, NOW)[0] == usage.extra["cost_in_usd_ticks"] // 10, row["id"]
        recordings.replayed(row)
        seen += usage.searches
    assert seen


def test_a_search_on_x_is_a_search() -> None:
    told = {**RESPONSES_USED, "server_side_tool_usage_details": {"web_search_calls": 1, "x_search_calls": 2}}
    assert counted("openai_responses", responses(told, search())).searches == 3


@recordings.needs_recordings
def test_reasoning_beyond_the_completion_is_paid_as_the_host_says() -> None:
    """Vercel tells what its answers cost; Gemini's reasoning is more than the completion that should hold it."""
    prices, seen = Prices({"google": "google"}, {}, [], "dearest"), 0
    for row in recordings.load("vercel-gateway.chat_completions"):
        if row["status"] != 200 or "gemini" not in row["model"]:
            continue
        usage = counted("openai_chat", recordings.body(row), row["streamed"])
        own = prices.of("google", row["model"].removeprefix("google/"), NOW)
        cost, _ = prices.cost("google", own, usage, NOW)
        told = float(usage.extra["cost"])
        assert cost == round(told * 10**9), row["id"]
        recordings.replayed(row)
        seen += bool(usage.beside)
    assert seen == 5


PAINTED = {
    "input_tokens": 100,
    "input_tokens_details": {"text_tokens": 60, "image_tokens": 40},
    "output_tokens": 1000,
    "total_tokens": 1100,
}
NOTHING = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "tool", "nanos"),
    [
        (PAINTED, {}, 60 * 5_000 + 40 * 10_000 + 1000 * 40_000),  # by gpt-image-1
        (PAINTED, {"model": "gpt-image-1-mini"}, 60 * 2_000 + 40 * 2_500 + 1000 * 8_000),
        (
            PAINTED | {"cached_tokens": 50, "cached_tokens_details": {"cached_image_tokens": 30}},
            *({"model": "gpt-image-1"}, 40 * 5_000 + 10 * 10_000 + 20 * 1_250 + 30 * 2_500 + 1000 * 40_000),
        ),
        (
            PAINTED | {"output_tokens_details": {"text_tokens": 100, "image_tokens": 900}},
            *({"model": "gpt-image-1.5"}, 60 * 5_000 + 40 * 8_000 + 100 * 10_000 + 900 * 32_000),
        ),
        (NOTHING, {}, 0),
        (7, {}, 0),
    ],
)
def test_pictures_that_a_tool_of_openais_painted_are_paid(more: Any, tool: Json, nanos: int, stream: bool) -> None:
    """Their tokens are not among those of the answer."""
    made = responses_stream if stream else responses
    tools = [{"type": "web_search"}, {"type": "image_generation", **tool}]
    body = made(RESPONSES_USED, tool_usage={"image_gen": more, "web_search": {"num_requests": 0}}, tools=tools)
    usage = counted("openai_responses", body, stream)
    assert replace(usage, beside=()) == counted("openai_responses", made(RESPONSES_USED), stream)
    prices = Prices({"openai": "openai"}, {}, [], "dearest")
    own = prices.of("openai", "gpt-5", NOW)
    cost, is_known = prices.cost("openai", own, usage, NOW)
    assert (cost - own.cost(counted("openai_responses", responses(RESPONSES_USED))), is_known) == (nanos, True)


# --- what the provider ran besides -----------------------------------------------------------------------------------


def iterations(*rows: Json, **top: Any) -> bytes:
    """An answer of Anthropic's that tells of these samplings."""
    usage = {"input_tokens": 100, "output_tokens": 10, "iterations": rows, **top}
    return dumped(type="message", model="claude-sonnet-4-5", content=[], stop_reason="end_turn", usage=usage)


COMPACTION = {"type": "compaction", "input_tokens": 1000, "cache_read_input_tokens": 50_000, "output_tokens": 300}
MESSAGE = {"type": "message", "input_tokens": 100, "output_tokens": 10}
ADVICE = {"type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 2000, "output_tokens": 500}


FALLEN = {**MESSAGE, "type": "fallback_message", "model": "claude-haiku-4-5-20251001"}
HAIKU, SONNET = 100 * 1_000 + 10 * 5_000, 100 * 3_000 + 10 * 15_000  # nano-dollars


@pytest.mark.parametrize(
    ("named", "rows", "asked", "nanos"),
    [
        ("claude-haiku-4-5-20251001", [FALLEN], [{"model": "claude-haiku-4-5"}], HAIKU),
        ("claude-haiku-4-5-20251001", [], "default", HAIKU),
        ("claude-sonnet-4-5", [MESSAGE, FALLEN], [{"model": "claude-haiku-4-5"}], HAIKU),  # as a stream has it
        ("claude-sonnet-4-5-20250929", [MESSAGE], [{"model": "claude-haiku-4-5"}], SONNET),
        ("claude-haiku-4-5-20251001", [], None, SONNET),  # nobody has asked for it
    ],
)
async def test_what_anthropic_falls_back_on_costs_what_it_costs_itself(
    named: str, rows: list[Any], asked: object, nanos: int, tmp_path: Path
) -> None:
    """https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback: at the fallback model's rates."""
    answer = json.dumps({**json.loads(iterations(*rows)), "model": named, "role": "assistant", "id": "m"}).encode()
    async with (
        Evil(Scenario(body=answer, headers=[("Content-Type", "application/json")])) as evil,
        pillion(**config_file("", tmp_path), **ANTHROPIC.environ(evil.url)) as gateway,
    ):
        request = ANTHROPIC.request(model="anthropic/claude-sonnet-4-5", fallbacks=asked)
        got = await ask(gateway, "POST", ANTHROPIC.path, request, ANTHROPIC.headers)
        assert (got.status, got.header("x-pillion-cost-usd")) == (200, f"0.{nanos:09}".rstrip("0"))
        assert got.header("x-pillion-cost-estimated") is None


NO_KINDS: list[Any] = [[], {}, None, 7]


@pytest.mark.parametrize(
    ("rows", "beside"),
    [
        ([MESSAGE], []),
        ([{**MESSAGE, "type": "fallback_message", "model": "claude-opus-4-5"}], []),
        ([COMPACTION, MESSAGE], [("", Usage(input=1000, cache_read=50_000, output=300))]),
        ([MESSAGE, ADVICE, MESSAGE], [("claude-opus-4-5", Usage(input=2000, output=500))]),
        ([{**MESSAGE, "type": "a new one"}], [("", Usage(input=100, output=10))]),
        ([{**COMPACTION, "iterations": [COMPACTION]}], [("", Usage(input=1000, cache_read=50_000, output=300))]),
        ([{**MESSAGE, "type": kind} for kind in NO_KINDS], [("", Usage(input=100, output=10))] * 4),
        (["x", None, 3, {}], []),
    ],
)
def test_what_the_counts_at_the_top_leave_out_is_counted_beside_them(rows: list[Any], beside: list[Any]) -> None:
    usage = counted("anthropic", iterations(*rows))
    assert [(ran.model, ran.usage) for ran in usage.beside] == beside
    assert (usage.input, usage.output, usage.is_odd) == (100, 10, False)


@pytest.mark.parametrize("count", [-1, "7", None, 10**15])
def test_a_count_beside_that_cannot_be_is_flagged(count: object) -> None:
    assert counted("anthropic", iterations({**COMPACTION, "output_tokens": count}, MESSAGE)).is_odd


@recordings.needs_recordings
def test_every_recording_that_tells_of_iterations_costs_what_all_of_them_do() -> None:
    """Each by the price of its model: to sum all of them up is what Anthropic says that the bill is."""
    prices, seen = Prices({"anthropic": "anthropic"}, {}, [], "dearest"), set()
    for row in recordings.load("anthropic.messages", "fixture.anthropic.messages"):
        if not (b'"iterations"' in (body := recordings.body(row)) and row["status"] == 200):
            continue
        usage = counted("anthropic", body, row["streamed"])
        own, expected = prices.of("anthropic", row["model"], NOW), Fraction(0)
        for told in usage.extra["iterations"]:
            took = usage_of(told)
            assert took is not None
            expected += prices.of("anthropic", told.get("model") or row["model"], NOW).exact(took)
        assert prices.cost("anthropic", own, usage, NOW) == (round(expected), True)
        seen.add(tuple(told["type"] for told in usage.extra["iterations"]))
        recordings.replayed(row)
    assert {("compaction", "message"), ("message", "advisor_message", "message")} <= seen


@pytest.mark.parametrize(
    ("unknown", "least"),
    [("dearest", 2000 * 5_000), ("free", 0), ("refuse", 2000 * 1_000 + 500 * 5_000)],  # that of who asked is a guess
)
def test_an_advisor_whose_price_nobody_knows_is_flagged(unknown: str, least: int) -> None:
    own = Price(input=1, output=5)
    prices = Prices({"anthropic": "anthropic"}, {"anthropic/m": own}, [], unknown)
    usage = counted("anthropic", iterations({**ADVICE, "model": "nobody-knows"}))
    found, is_known = prices.cost("anthropic", prices.of("anthropic", "m", NOW), usage, NOW)
    assert not is_known
    assert found >= 150_000 + least
    assert unknown == "dearest" or found == 150_000 + least


async def test_the_row_has_the_cost_and_the_tokens_of_all_and_so_have_limits(tmp_path: Path) -> None:
    """10,000 micro-dollars a million: 100 + 1,000 fresh, 50,000 read again, 10 + 300 written, and the advisor's."""
    prices = "{input: 1, output: 5, cache_read: 0.1, request: 0.5}"
    text = (
        f"prices: {{anthropic/m: {prices}, anthropic/claude-opus-4-5: {{input: 10, output: 50, request: 9}}}}\n"
        "limits: {client: {tokens_per_minute: 5400}}\n"
    )
    body = iterations(COMPACTION, MESSAGE, ADVICE)
    async with Evil(Scenario(body=body, headers=JSON)) as evil:
        environ = {**config_file(text, tmp_path), **ANTHROPIC.environ(evil.url)}
        async with pillion(**environ) as gateway:
            question = ANTHROPIC.request(model="anthropic/m")
            got = await ask(gateway, "POST", ANTHROPIC.path, question, ANTHROPIC.headers)
            cost = Fraction("0.5") + Fraction(1_100 * 10 + 50_000 + 310 * 50 + 2000 * 100 + 500 * 500, 10**7)
            assert Fraction(dict(got.headers)["x-pillion-cost-usd"]) == cost
            usage = json.loads((await ask(gateway, "GET", "/v1/usage?group_by=model")).body)["data"]
            assert [Fraction(row["cost_usd"]) for row in usage] == [cost]
            assert (usage[0]["tokens"]["input"], usage[0]["tokens"]["cache_read"], usage[0]["tokens"]["output"]) == (
                3_100, 50_000, 810
            )  # fmt: skip
            again = await ask(gateway, "POST", ANTHROPIC.path, question, ANTHROPIC.headers)
            assert again.status == 429


async def test_an_answer_that_is_a_compaction_alone_costs_what_that_does(tmp_path: Path) -> None:
    """As with `pause_after_compaction`: the one that answers has read nothing yet, and said nothing."""
    body = iterations(COMPACTION, input_tokens=0, output_tokens=0)
    async with Evil(Scenario(body=body, headers=JSON)) as evil:
        prices = "prices: {anthropic/m: {input: 1, output: 5, cache_read: 0.1}}\n"
        environ = {**config_file(prices, tmp_path), **ANTHROPIC.environ(evil.url)}
        async with pillion(**environ) as gateway:
            question = ANTHROPIC.request(model="anthropic/m")
            got = await ask(gateway, "POST", ANTHROPIC.path, question, ANTHROPIC.headers)
            assert Fraction(dict(got.headers)["x-pillion-cost-usd"]) == Fraction(1000 + 5000 + 300 * 5, 10**6)
            (row,) = json.loads((await ask(gateway, "GET", "/v1/usage?group_by=model")).body)["data"]
            assert (row["tokens"]["cache_read"], row["estimated"]) == (50_000, 0)
