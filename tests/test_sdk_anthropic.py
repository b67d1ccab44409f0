"""Does Anthropic's own SDK, sync and async, find in pillion the API that it was written for?

There is no provider of that wire here: every answer of `echo`, and of the OpenAI host that the last tests play, is
translated. Every test that takes `sdk` runs with both clients; the sync one in a thread, since the gateway runs on
this loop.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool
from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from pydantic import BaseModel

from proxy.adapters.echo.script import REFUSAL, TEXT, THOUGHT
from tests.client import OPENAI
from tests.evil import Evil, Scenario
from tests.gateway import pillion

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "Rain?", "input_schema": CITY}
TIME = {"name": "time", "input_schema": CITY}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


class Sync:
    """The sync client, awaited: each call has a thread of its own."""

    def __init__(self, url: str, retries: int) -> None:
        self.client = Anthropic(base_url=url, api_key="unused", max_retries=retries)

    async def create(self, **asked: Any) -> Message:
        whole: Message = await asyncio.to_thread(lambda: self.client.messages.create(**asked))
        return whole

    async def events(self, **asked: Any) -> list[RawMessageStreamEvent]:
        return await asyncio.to_thread(lambda: list(self.client.messages.create(stream=True, **asked)))

    async def first_event(self, **asked: Any) -> RawMessageStreamEvent:
        """The first of a stream, from which the client then walks away."""

        def first() -> RawMessageStreamEvent:
            with self.client.messages.create(stream=True, **asked) as stream:
                event: RawMessageStreamEvent = next(iter(stream))
                return event

        return await asyncio.to_thread(first)

    async def gathered(self, **asked: Any) -> Message:
        """The answer that the SDK puts together from a stream."""

        def gather() -> Message:
            with self.client.messages.stream(**asked) as stream:
                return stream.get_final_message()

        return await asyncio.to_thread(gather)

    async def parse(self, **asked: Any) -> Any:
        return await asyncio.to_thread(lambda: self.client.messages.parse(**asked))

    async def run(self, **asked: Any) -> Any:
        """The last answer of a chat in which the SDK calls the tools."""

        @beta_tool
        def weather(city: str) -> str:
            return f"Rain in {city}."

        return await asyncio.to_thread(self.client.beta.messages.tool_runner(tools=[weather], **asked).until_done)

    async def models(self) -> list[str]:
        return await asyncio.to_thread(lambda: [model.id for model in self.client.models.list()])

    async def model(self, name: str) -> ModelInfo:
        return await asyncio.to_thread(self.client.models.retrieve, name)

    async def close(self) -> None:
        self.client.close()


class Async:
    def __init__(self, url: str, retries: int) -> None:
        self.client = AsyncAnthropic(base_url=url, api_key="unused", max_retries=retries)

    async def create(self, **asked: Any) -> Message:
        whole: Message = await self.client.messages.create(**asked)
        return whole

    async def events(self, **asked: Any) -> list[RawMessageStreamEvent]:
        stream = await self.client.messages.create(stream=True, **asked)
        return [event async for event in stream]

    async def first_event(self, **asked: Any) -> RawMessageStreamEvent:
        async with await self.client.messages.create(stream=True, **asked) as stream:
            event: RawMessageStreamEvent = await anext(aiter(stream))
            return event

    async def gathered(self, **asked: Any) -> Message:
        async with self.client.messages.stream(**asked) as stream:
            return await stream.get_final_message()

    async def parse(self, **asked: Any) -> Any:
        return await self.client.messages.parse(**asked)

    async def run(self, **asked: Any) -> Any:
        @beta_async_tool
        async def weather(city: str) -> str:
            return f"Rain in {city}."

        return await self.client.beta.messages.tool_runner(tools=[weather], **asked).until_done()

    async def models(self) -> list[str]:
        return [model.id async for model in self.client.models.list()]

    async def model(self, name: str) -> ModelInfo:
        return await self.client.models.retrieve(name)

    async def close(self) -> None:
        await self.client.close()


Client = Sync | Async


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> type[Client]:
    made: type[Client] = request.param
    return made


@pytest.fixture
async def sdk(kind: type[Client]) -> AsyncIterator[Client]:
    """A client of a pillion that has no key, and therefore only echo."""
    async with client_of(kind, 0) as client:
        yield client


@asynccontextmanager
async def client_of(kind: type[Client], retries: int, **environ: str) -> AsyncIterator[Client]:
    async with pillion(**environ) as gateway:
        client = kind(gateway.url, retries)
        try:
            yield client
        finally:
            await client.close()


def asking(model: str, text: str = "Hello, pillion", **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **fields}


def text(answer: Message) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")


def calls(answer: Message) -> list[tuple[str, Any]]:
    return [(block.name, block.input) for block in answer.content if block.type == "tool_use"]


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_a_whole_answer(sdk: Client) -> None:
    answer = await sdk.create(**asking("echo"))
    assert (text(answer), answer.stop_reason, answer.role) == ("Hello, pillion", "end_turn", "assistant")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


async def test_a_stream(sdk: Client) -> None:
    events = await sdk.events(**asking("echo/text"))
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(delta.text for delta in deltas if delta.type == "text_delta") == TEXT
    assert len(deltas) > 10
    kinds = [event.type for event in events if event.type != "content_block_delta"]
    assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]


async def test_a_stream_gathered_is_the_whole_answer(sdk: Client) -> None:
    gathered, whole = await sdk.gathered(**asking("echo/text")), await sdk.create(**asking("echo/text"))
    assert text(gathered) == text(whole) == TEXT
    assert gathered.stop_reason == whole.stop_reason == "end_turn"
    assert gathered.usage.output_tokens == whole.usage.output_tokens > 10
    assert gathered.usage.input_tokens == whole.usage.input_tokens > 0


async def test_tools(sdk: Client) -> None:
    asked = asking("echo/tool", tools=[WEATHER])
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert calls(answer) == [("weather", {"city": "echo"})]
        assert answer.stop_reason == "tool_use"


async def test_parallel_tools(sdk: Client) -> None:
    asked = asking("echo/tool-3", tools=[WEATHER, TIME])
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert [name for name, _ in calls(answer)] == ["weather", "time", "weather"]
        assert all(set(given) == {"city"} for _, given in calls(answer))
        assert len({block.id for block in answer.content if block.type == "tool_use"}) == 3
    single = await sdk.create(**asked, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert len(calls(single)) == 1


async def test_a_chosen_tool(sdk: Client) -> None:
    answer = await sdk.create(
        **asking("echo/tool", tools=[WEATHER, TIME]), tool_choice={"type": "tool", "name": "time"}
    )
    assert [name for name, _ in calls(answer)] == ["time"]


async def test_a_tool_loop_ends(sdk: Client) -> None:
    asked = asking("echo/tool", "Does it rain in Rome?", tools=[WEATHER])
    first = await sdk.create(**asked)
    (call,) = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "It pours."}
    asked["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await sdk.create(**asked)
    assert (text(second), second.stop_reason) == ("It pours.", "end_turn")


class Town(BaseModel):
    name: str
    people: int


async def test_structured_output(sdk: Client) -> None:
    answer = await sdk.parse(**asking("echo/json"), output_format=Town)
    assert isinstance(answer.parsed_output, Town)


@pytest.mark.parametrize("system", ["Be brief.", [{"type": "text", "text": "Be brief."}]], ids=["text", "blocks"])
async def test_a_system_prompt_is_read_and_not_repeated(sdk: Client, system: Any) -> None:
    plain, prompted = await sdk.create(**asking("echo")), await sdk.create(**asking("echo"), system=system)
    assert text(prompted) == "Hello, pillion"
    assert prompted.usage.input_tokens > plain.usage.input_tokens


async def test_an_image(sdk: Client) -> None:
    asked = asking("echo")
    asked["messages"][0]["content"] = [{"type": "text", "text": "Look"}, PIXEL]
    assert text(await sdk.create(**asked)).strip() == "Look"


async def test_stop(sdk: Client) -> None:
    answer = await sdk.create(**asking("echo", "one two three"), stop_sequences=["two"])
    assert (text(answer), answer.stop_reason) == ("one ", "end_turn")  # OpenAI's wire does not say which it was


async def test_a_limit_of_tokens(sdk: Client) -> None:
    asked = asking("echo/tokens-10") | {"max_tokens": 3}
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


async def test_a_refusal(sdk: Client) -> None:
    for answer in (await sdk.create(**asking("echo/refuse")), await sdk.gathered(**asking("echo/refuse"))):
        assert (text(answer), answer.stop_reason) == (REFUSAL, "refusal")


async def test_thinking(sdk: Client) -> None:
    asked = asking("echo/think") | {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        thought, said = answer.content
        assert thought.type == "thinking"
        assert thought.thinking == THOUGHT
        assert said.type == "text"
        assert said.text == "Hello, pillion"


# --- models ----------------------------------------------------------------------------------------------------------


async def test_models(sdk: Client) -> None:
    assert "echo/text" in await sdk.models()
    model = await sdk.model("echo/text")
    assert (model.id, model.type) == ("echo/text", "model")


async def test_a_model_that_is_not_there(kind: type[Client]) -> None:
    listed = Scenario(body=b'{"data":[{"id":"m"}]}')
    async with Evil(answering=lambda _: listed) as evil, client_of(kind, 0, **OPENAI.environ(evil.url)) as client:
        with pytest.raises(anthropic.NotFoundError, match="nonesuch") as caught:
            await client.model("nonesuch")
        assert caught.value.type == "not_found_error"
        with pytest.raises(anthropic.NotFoundError, match="nonesuch"):
            await client.create(**asking("nonesuch"))


# --- errors ----------------------------------------------------------------------------------------------------------

ERRORS = {
    400: (anthropic.BadRequestError, "invalid_request_error"),
    401: (anthropic.AuthenticationError, "authentication_error"),
    402: (anthropic.PaymentRequiredError, "billing_error"),
    403: (anthropic.PermissionDeniedError, "permission_error"),
    404: (anthropic.NotFoundError, "not_found_error"),
    409: (anthropic.ConflictError, "invalid_request_error"),
    413: (anthropic.RequestTooLargeError, "request_too_large"),
    422: (anthropic.UnprocessableEntityError, "invalid_request_error"),
    429: (anthropic.RateLimitError, "rate_limit_error"),
    500: (anthropic.InternalServerError, "api_error"),
    502: (anthropic.InternalServerError, "api_error"),
    503: (anthropic.ServiceUnavailableError, "api_error"),
    504: (anthropic.GatewayTimeoutError, "timeout_error"),
    529: (anthropic.OverloadedError, "overloaded_error"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", ERRORS)
async def test_an_error_is_the_exception_of_its_status(sdk: Client, status: int, stream: bool) -> None:
    expected, word = ERRORS[status]
    with pytest.raises(anthropic.APIStatusError) as caught:
        await (sdk.gathered if stream else sdk.create)(**asking(f"echo/error-{status}"))
    error = caught.value
    assert (type(error), error.status_code, error.type) == (expected, status, word)
    assert (error.api_message or "").endswith(f"Echo answers with status {status}, as requested.")
    assert error.request_id
    assert error.request_id == error.response.headers["request-id"]


async def test_a_full_provider_says_when_to_come_back(sdk: Client) -> None:
    with pytest.raises(anthropic.RateLimitError) as caught:
        await sdk.create(**asking("echo/error-429-retry-30"))
    assert caught.value.response.headers["retry-after"] == "30"


async def test_the_sdk_comes_back_after_retry_after(kind: type[Client]) -> None:
    full = Scenario(
        status=429,
        headers=[("content-type", "application/json"), ("retry-after", "0"), ("retry-after-ms", "1")],
        body=b'{"error":{"message":"Full.","type":"requests","param":null,"code":"rate_limit_exceeded"}}',
    )
    good = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(full, good) as evil, client_of(kind, 1, **OPENAI.environ(evil.url)) as client:
        assert text(await client.create(**asking("gpt-real"))) == "Grüße"
        assert len(evil.requests) == 2


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"messages": "Hi"}, "messages"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, r"messages\[0\]\.content\[0\]\.text"),
    ],
)
async def test_a_bad_request_names_its_field(sdk: Client, asked: dict[str, Any], path: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=path):
        await sdk.create(**asking("echo"), extra_body=asked)


# --- streams that break ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["cut-5", "malformed-3"])
@pytest.mark.parametrize("ask", ["events", "gathered"])
async def test_a_stream_that_breaks_never_ends_well(sdk: Client, ask: str, broken: str) -> None:
    with pytest.raises(anthropic.APIError) as caught:
        await getattr(sdk, ask)(**asking(f"echo/text+{broken}"))
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == "api_error"


@pytest.mark.parametrize("broken", ["cut-5", "malformed-1"])
async def test_a_whole_answer_that_breaks_is_an_error(sdk: Client, broken: str) -> None:
    with pytest.raises(anthropic.InternalServerError):
        await sdk.create(**asking(f"echo/text+{broken}"))


async def test_a_client_may_walk_away_from_a_stream_that_stalls(sdk: Client) -> None:
    first = await sdk.first_event(**asking("echo/text+stall-4"))
    assert first.type == "message_start"


# --- the shapes of an OpenAI host ------------------------------------------------------------------------------------
# With all that OpenAI puts in an answer of today: obfuscation, service tier, nulls, details of usage.

TOP: dict[str, Any] = {
    "id": "chatcmpl-CgT0vPpZ8mRduq0pXkFZ1r3bVqUGB",
    "created": 1764169601,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_b547601dbd",
}
USAGE = {
    "prompt_tokens": 24,
    "completion_tokens": 50,
    "total_tokens": 74,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
}
CALLS = [("call_1", "weather", {"city": "Rom, Viterbo"}), ("call_2", "time", {"city": "Łódź"})]


def whole(message: dict[str, Any], finish: str) -> Scenario:
    choice = {"index": 0, "message": {"role": "assistant", "refusal": None, "annotations": []} | message}
    choices = [choice | {"logprobs": None, "finish_reason": finish}]
    body = json.dumps({**TOP, "object": "chat.completion", "choices": choices, "usage": USAGE})
    return Scenario(headers=[("content-type", "application/json")], body=body.encode())


def stream(deltas: list[dict[str, Any]], finish: str, split: int) -> Scenario:
    said = [({"role": "assistant", "content": "", "refusal": None}, None), *((delta, None) for delta in deltas)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], "usage": None}
        for delta, reason in [*said, ({}, finish)]
    ]
    chunks.append({"choices": [], "usage": USAGE})
    events = [json.dumps({**TOP, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    headers = [("content-type", "text/event-stream; charset=utf-8")]
    return Scenario(headers=headers, body=body.encode(), framing="chunked", split=split)


def called_whole() -> list[dict[str, Any]]:
    return [
        {"id": name, "type": "function", "function": {"name": tool, "arguments": json.dumps(given)}}
        for name, tool, given in CALLS
    ]


def called_in_pieces() -> list[dict[str, Any]]:
    """Each call opens with its name; its arguments follow, a few characters at a time."""
    deltas: list[dict[str, Any]] = []
    for index, (name, tool, given) in enumerate(CALLS):
        opening = {"index": index, "id": name, "type": "function", "function": {"name": tool, "arguments": ""}}
        deltas.append({"tool_calls": [opening]})
        spelt = json.dumps(given)
        pieces = [spelt[at : at + 5] for at in range(0, len(spelt), 5)]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    return deltas


@pytest.mark.parametrize("split", [1, 2, 3])
async def test_an_openai_host_speaks_to_the_anthropic_sdk(kind: type[Client], split: int) -> None:
    words = [" proxy"] * 50
    streamed = stream([{"content": word} for word in words], "stop", split)
    answers = [whole({"content": "".join(words)}, "stop"), streamed]
    async with Evil(*answers) as evil, client_of(kind, 0, **OPENAI.environ(evil.url)) as client:
        for ask in (client.create, client.gathered):
            answer = await ask(**asking("gpt-4o-mini", system="Be brief."))
            assert (text(answer), answer.stop_reason) == ("".join(words), "end_turn")
            assert (answer.id, answer.model) == (TOP["id"], TOP["model"])
            assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (16, 8)
            assert answer.usage.output_tokens == 50
        sent = json.loads(evil.requests[-1].body)
        assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
        assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("split", [1, 2, 3])
async def test_an_openai_host_calls_the_tools_of_the_anthropic_sdk(kind: type[Client], split: int) -> None:
    streamed = stream([{"content": "Let me see."}, *called_in_pieces()], "tool_calls", split)
    answers = [whole({"content": "Let me see.", "tool_calls": called_whole()}, "tool_calls"), streamed]
    async with Evil(*answers) as evil, client_of(kind, 0, **OPENAI.environ(evil.url)) as client:
        for ask in (client.create, client.gathered):
            answer = await ask(**asking("gpt-4o-mini", tools=[WEATHER, TIME]))
            assert (text(answer), answer.stop_reason) == ("Let me see.", "tool_use")
            found = [(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"]
            assert found == CALLS


async def test_the_tool_runner_keeps_the_whole_chat_where_there_are_no_threads(kind: type[Client]) -> None:
    """It begins a thread, of which each later request has only what is new. At our error it goes on without one."""
    name, tool, given = CALLS[0]
    called = {"id": name, "type": "function", "function": {"name": tool, "arguments": json.dumps(given)}}
    answers = [whole({"content": None, "tool_calls": [called]}, "tool_calls"), whole({"content": "Rain."}, "stop")]
    async with Evil(*answers) as evil, client_of(kind, 0, **OPENAI.environ(evil.url)) as client:
        answer = await client.run(**asking("gpt-4o-mini", "Rain?"))
        assert answer.content[0].text == "Rain."
        turns = [json.loads(request.body)["messages"] for request in evil.requests]
        assert [[turn["role"] for turn in each] for each in turns] == [["user"], ["user", "assistant", "tool"]]
