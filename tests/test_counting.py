"""Does a count of tokens come from whoever can count, and does an estimate say that it is one?"""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.responses import input_token_count_params

from proxy import registry
from proxy.canon import Audio, Document, Image, Inline, Remote, Request, Text, Tool, ToolCall, Turn, Video
from proxy.grammar.claude.quoting import in_pieces
from proxy.lanes.estimate import PAGE, estimate
from proxy.ports import Call, Counting, Reply
from proxy.routes import chats
from proxy.spending.tokens import IMAGE
from tests import recordings
from tests.client import Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.recordings import Row, needs_recordings

ASKED = {"messages": [{"role": "user", "content": "How long is this?"}]}
JSON = [("content-type", "application/json")]
KEY = "sk-count"


def counted(tokens: object, status: int = 200) -> Scenario:
    return Scenario(status=status, headers=JSON, body=json.dumps(tokens).encode())


async def count(gateway: Gateway, model: str, **fields: Any) -> Got:
    body = json.dumps({"model": model, **ASKED, **fields}).encode()
    return await ask(gateway, "POST", "/v1/messages/count_tokens", body, [("anthropic-version", "2023-06-01")])


def anthropic(evil: Evil) -> dict[str, str]:
    return {"ANTHROPIC_API_KEY": KEY, "PILLION_ANTHROPIC_BASE_URL": evil.url}


async def test_the_vendor_counts_its_own_wire_and_is_asked_as_the_client_asked() -> None:
    async with Evil(counted({"input_tokens": 11, "new": True})) as evil, pillion(**anthropic(evil)) as gateway:
        got = await count(gateway, "anthropic/claude-x", future={"b": 1})
        asked = await evil.received(1)
    assert (asked.method, asked.target) == ("POST", "/v1/messages/count_tokens")
    assert json.loads(asked.body) == {"model": "claude-x", **ASKED, "future": {"b": 1}}
    assert (got.status, json.loads(got.body)) == (200, {"input_tokens": 11, "new": True})
    assert got.header("x-pillion-estimated") is None


async def test_a_vendors_error_is_the_clients() -> None:
    refusal = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}}
    async with Evil(counted(refusal, 404)) as evil, pillion(**anthropic(evil)) as gateway:
        got = await count(gateway, "claude-x")
    assert (got.status, json.loads(got.body)) == (404, refusal)


@pytest.mark.parametrize("answer", [{}, {"input_tokens": "many"}, [], "x"])
async def test_an_answer_that_counts_nothing_is_the_vendors_fault(answer: object) -> None:
    async with Evil(counted(answer)) as evil, pillion(**anthropic(evil)) as gateway:
        got = await count(gateway, "claude-x")
    assert (got.status, json.loads(got.body)["error"]["type"]) == (502, "api_error")


async def test_gemini_clients_are_counted_for_by_anthropic() -> None:
    contents = [{"role": "user", "parts": [{"text": "How long is this?"}]}]
    async with Evil(counted({"input_tokens": 11})) as evil, pillion(**anthropic(evil)) as gateway:
        path = "/v1beta/models/anthropic/claude-x:countTokens"
        got = await ask(gateway, "POST", path, json.dumps({"contents": contents}).encode())
        asked = await evil.received(1)
    said = json.loads(asked.body)
    assert said["model"] == "claude-x"
    assert said["messages"] == [{"role": "user", "content": [{"type": "text", "text": "How long is this?"}]}]
    assert "max_tokens" not in said
    assert json.loads(got.body) == {"totalTokens": 11}


# --- OpenAI, by its Responses API ------------------------------------------------------------------------------------

COUNTED = {"object": "response.input_tokens", "input_tokens": 12}


def openai_at(evil: Evil, **more: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": KEY, "PILLION_OPENAI_BASE_URL": f"{evil.url}/v1", **more}


def vouched(evil: Evil) -> dict[str, str]:
    return openai_at(evil, PILLION_OPENAI_COUNTS_TOKENS="true")


async def test_anthropics_clients_are_counted_for_by_openai() -> None:
    async with Evil(counted(COUNTED)) as evil, pillion(**vouched(evil)) as gateway:
        got = await count(gateway, "openai/gpt-x", system="Be brief.", max_tokens=5, temperature=0.5)
        asked = await evil.received(1)
    assert (asked.method, asked.target) == ("POST", "/v1/responses/input_tokens")
    said = json.loads(asked.body)
    assert said.keys() <= input_token_count_params.InputTokenCountParams.__annotations__.keys()
    assert (said["model"], said["instructions"]) == ("gpt-x", "Be brief.")
    assert (json.loads(got.body), got.header("x-pillion-estimated")) == ({"input_tokens": 12}, None)


async def test_openais_own_client_is_counted_for_as_it_asked() -> None:
    fields = {"input": "How long?", "truncation": "auto", "future": 1}
    async with (
        Evil(counted({**COUNTED, "new": True})) as evil,
        pillion(**vouched(evil)) as gateway,
        AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        told = await client.responses.input_tokens.count(model="openai/gpt-x", input="How long?", truncation="auto",
                                                         extra_body={"future": 1})  # fmt: skip
        asked = await evil.received(1)
    assert json.loads(asked.body) == {"model": "gpt-x", **fields}
    assert (told.input_tokens, told.object) == (12, "response.input_tokens")


@needs_recordings
@pytest.mark.parametrize("row", recordings.load("openai.responses_input_tokens"), ids=recordings.ids)
async def test_a_recorded_count_passes_through_and_is_told_to_anthropics_clients(row: Row) -> None:
    said, asked = recordings.body(row), row["request_json"]
    answer = Scenario(headers=JSON, body=said)
    async with Evil(answer, answer) as evil, pillion(**vouched(evil)) as gateway:
        passed = await ask(gateway, "POST", "/v1/responses/input_tokens", json.dumps(asked).encode())
        told = await count(gateway, asked["model"])
    assert (passed.body, json.loads(evil.requests[0].body)) == (said, asked)
    assert json.loads(told.body) == {"input_tokens": json.loads(said)["input_tokens"]}
    recordings.replayed(row)


async def test_openais_client_is_counted_for_by_another_vendor_and_by_an_estimate() -> None:
    asked = {"instructions": "Be brief.", "input": "How long?", "text": {"verbosity": "low"}}
    async with Evil(counted({"input_tokens": 11})) as evil, pillion(**anthropic(evil)) as gateway:
        path = "/v1/responses/input_tokens"
        exact, rough = [
            await ask(gateway, "POST", path, json.dumps({"model": model, **asked}).encode())
            for model in ("anthropic/claude-x", "echo/echo")
        ]
    assert json.loads(exact.body) == {"object": "response.input_tokens", "input_tokens": 11}
    assert rough.header("x-pillion-estimated") == "input_tokens"
    assert 1 < json.loads(rough.body)["input_tokens"] < 20


@pytest.mark.parametrize("answer", [{}, {"input_tokens": -1}, {"error": "no"}, [], "x", None])
async def test_an_answer_of_openais_that_counts_nothing_is_its_fault(answer: object) -> None:
    async with Evil(counted(answer)) as evil, pillion(**vouched(evil)) as gateway:
        got = await count(gateway, "openai/gpt-x")
    assert (got.status, json.loads(got.body)["error"]["type"]) == (502, "api_error")


@pytest.mark.parametrize(
    ("environ", "counts"),
    [
        ({}, True),
        ({"PILLION_OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, False),
        ({"PILLION_OPENAI_BASE_URL": "http://127.0.0.1:8000/v1", "PILLION_OPENAI_COUNTS_TOKENS": "true"}, True),
        ({"PILLION_OPENAI_COUNTS_TOKENS": "false"}, False),
        ({"PILLION_OPENAI_DIALECTS": "openai_chat"}, False),
    ],
)
async def test_only_a_host_that_is_known_to_count_is_asked(environ: dict[str, str], counts: bool) -> None:
    async with pillion(OPENAI_API_KEY=KEY, DEEPSEEK_API_KEY=KEY, **environ) as gateway:
        adapters = gateway.app.catalog.adapters
        assert adapters["openai"].counts("openai_responses") is counts
        assert not adapters["openai"].counts("openai_chat")
        assert not adapters["deepseek"].counts("openai_responses")


async def test_a_tool_that_the_provider_would_refuse_is_not_estimated() -> None:
    """It is Anthropic's to run, so that no other provider can answer, whatever the count."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    async with pillion() as gateway:
        refused = await count(gateway, "echo/echo", tools=[search])
        offered = await count(gateway, "echo/echo", tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert (refused.status, offered.status) == (400, 200)
    assert "tools[0]: a tool of type web_search_20250305" in json.loads(refused.body)["error"]["message"]


# --- an estimate -----------------------------------------------------------------------------------------------------


async def test_where_nobody_can_count_an_estimate_says_so() -> None:
    def nothing(request: Received) -> Scenario:
        raise AssertionError(f"the provider was asked for {request.target}")

    async with Evil(answering=nothing) as evil, pillion(**openai_at(evil)) as gateway:
        short = await count(gateway, "openai/gpt-x")
        long = await count(gateway, "openai/gpt-x", system="word " * 400)
    assert short.header("x-pillion-estimated") == long.header("x-pillion-estimated") == "input_tokens"
    few, many = (json.loads(got.body)["input_tokens"] for got in (short, long))
    assert 4 < few < 20
    assert 400 < many - few < 600


async def test_a_model_that_bedrock_cannot_count_for_is_estimated_but_for_bedrocks_own_client() -> None:
    """https://github.com/strands-agents/harness-sdk/pull/2250"""
    told = [*JSON, ("x-amzn-errortype", "ValidationException")]
    said = b'{"message":"The provided model doesn\'t support counting tokens."}'
    refusal = Scenario(status=400, headers=told, body=said)
    environ = {"AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_REGION": "us-east-1"}
    own = {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "How long is this?"}]}]}}}
    async with Evil(refusal, refusal) as evil, pillion(**environ, PILLION_BEDROCK_BASE_URL=evil.url) as gateway:
        got = await count(gateway, "bedrock/amazon.nova-pro-v1:0")
        path = "/model/bedrock%2Famazon.nova-pro-v1:0/count-tokens"
        refused = await ask(gateway, "POST", path, json.dumps(own).encode(), JSON)
    assert (got.status, got.header("x-pillion-estimated")) == (200, "input_tokens")
    assert 4 < json.loads(got.body)["input_tokens"] < 20
    assert (refused.status, refused.header("x-amzn-errortype")) == (400, "ValidationException")


async def test_a_body_that_is_none_is_refused_by_its_path() -> None:
    async with pillion() as gateway:
        got = await count(gateway, "echo/echo", messages=[{"role": "user", "content": 5}])
    assert (got.status, json.loads(got.body)["error"]["type"]) == (400, "invalid_request_error")
    assert "messages[0].content" in json.loads(got.body)["error"]["message"]


@pytest.mark.parametrize(
    ("part", "at_least", "at_most"),
    [
        (Text(text="a" * 4000), 1000, 1010),
        (Text(text="語" * 1000), 1000, 1010),
        (Image(source=Inline("A" * 4_000_000, "image/png")), IMAGE, IMAGE + 10),
        (Document(source=Inline("A" * 1000, "application/pdf")), PAGE, PAGE + 10),
        (Document(source=Inline("A" * 800_000, "application/pdf")), 12 * PAGE, 12 * PAGE + 10),
        (Audio(source=Inline("A" * 400_000, "audio/mp3")), 600, 610),
        (Audio(id="a"), 1, 10),
        (Video(source=Inline("A" * 4_000_000, "video/mp4")), 3000, 3010),
        (Video(source=Remote("https://x.test/v.mp4")), 1, 10),
        (in_pieces(["word " * 100, "word " * 100]), 200, 400),
        (in_pieces(["word " * 100_000]), 100_000, 200_000),
        (ToolCall(id="c", name="f", arguments='{"a": "' + "b" * 400 + '"}'), 100, 120),
    ],
)
def test_an_estimate_is_of_the_right_order(part: Any, at_least: int, at_most: int) -> None:
    said = Request(wire="w", model="m", turns=[Turn(role="user", parts=[part])])
    assert at_least <= estimate(said) <= at_most


def test_every_route_that_counts_is_of_a_dialect_that_can() -> None:
    async def chat(call: Call) -> Reply:
        raise NotImplementedError

    names = [route.dialect for route in chats(chat) if route.operation == "count_tokens"]
    assert len(names) > 4
    assert all(isinstance(registry.dialect(name), Counting) for name in names if name)


def test_tools_are_counted() -> None:
    tool = Tool(name="f", description="d" * 400, parameters={"type": "object", "title": "t" * 400})
    bare = Request(wire="w", model="m", turns=[])
    assert estimate(bare) == 1
    assert 200 <= estimate(Request(wire="w", model="m", turns=[], tools=[tool])) <= 230


@pytest.mark.parametrize("key", ["previous_response_id", "conversation", "prompt"])
async def test_what_lies_elsewhere_is_not_estimated_at_nothing(key: str) -> None:
    asked = {"model": "ollama/qwen3", "input": "Hi", key: {"id": "x"} if key == "prompt" else "x"}
    async with pillion() as gateway:
        got = await ask(gateway, "POST", "/v1/responses/input_tokens", json.dumps(asked).encode())
    error = json.loads(got.body)["error"]
    assert (got.status, error["param"]) == (400, key)
    assert error["message"] == f"{key}: ollama's API has no equivalent of this field."
