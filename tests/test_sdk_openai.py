"""Does OpenAI's own SDK, sync and async, find in pillion the API that it was written for?

Real clients on a real listener, mostly in front of `echo`, so that all of this is what a user sees before there is any
key. Every test that takes `sdk` runs with both clients; the sync one in a thread, since the gateway runs on this loop.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_message import ChatCompletionMessage
from pydantic import BaseModel

from proxy.adapters.echo.script import REFUSAL, TEXT, THOUGHT
from tests.client import OPENAI
from tests.evil import Evil, Scenario
from tests.gateway import pillion

README = Path(__file__).resolve().parent.parent / "README.md"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Rain?", "parameters": CITY}}
TIME = {"type": "function", "function": {"name": "time", "parameters": CITY}}


class Sync:
    """The sync client, awaited: each call has a thread of its own."""

    def __init__(self, url: str, retries: int) -> None:
        self.client = OpenAI(base_url=url, api_key="unused", max_retries=retries)

    async def create(self, **asked: Any) -> ChatCompletion:
        whole: ChatCompletion = await asyncio.to_thread(lambda: self.client.chat.completions.create(**asked))
        return whole

    async def chunks(self, **asked: Any) -> list[ChatCompletionChunk]:
        return await asyncio.to_thread(lambda: list(self.client.chat.completions.create(stream=True, **asked)))

    async def first_chunk(self, **asked: Any) -> ChatCompletionChunk:
        """The first of a stream, from which the client then walks away."""

        def first() -> ChatCompletionChunk:
            with self.client.chat.completions.create(stream=True, **asked) as stream:
                chunk: ChatCompletionChunk = next(iter(stream))
                return chunk

        return await asyncio.to_thread(first)

    async def gathered(self, **asked: Any) -> ChatCompletion:
        """The answer that the SDK puts together from a stream."""

        def gather() -> ChatCompletion:
            with self.client.chat.completions.stream(**asked) as stream:
                return stream.get_final_completion()

        return await asyncio.to_thread(gather)

    async def parse(self, **asked: Any) -> Any:
        return await asyncio.to_thread(lambda: self.client.chat.completions.parse(**asked))

    async def models(self) -> list[str]:
        return await asyncio.to_thread(lambda: [model.id for model in self.client.models.list()])

    async def model(self, name: str) -> openai.types.Model:
        return await asyncio.to_thread(self.client.models.retrieve, name)

    async def close(self) -> None:
        self.client.close()


class Async:
    def __init__(self, url: str, retries: int) -> None:
        self.client = AsyncOpenAI(base_url=url, api_key="unused", max_retries=retries)

    async def create(self, **asked: Any) -> ChatCompletion:
        whole: ChatCompletion = await self.client.chat.completions.create(**asked)
        return whole

    async def chunks(self, **asked: Any) -> list[ChatCompletionChunk]:
        stream = await self.client.chat.completions.create(stream=True, **asked)
        return [chunk async for chunk in stream]

    async def first_chunk(self, **asked: Any) -> ChatCompletionChunk:
        async with await self.client.chat.completions.create(stream=True, **asked) as stream:
            first: ChatCompletionChunk = await anext(aiter(stream))
            return first

    async def gathered(self, **asked: Any) -> ChatCompletion:
        async with self.client.chat.completions.stream(**asked) as stream:
            return await stream.get_final_completion()

    async def parse(self, **asked: Any) -> Any:
        return await self.client.chat.completions.parse(**asked)

    async def models(self) -> list[str]:
        return [model.id async for model in self.client.models.list()]

    async def model(self, name: str) -> openai.types.Model:
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
        client = kind(f"{gateway.url}/v1", retries)
        try:
            yield client
        finally:
            await client.close()


def user(text: str = "Hello, pillion") -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def said(answer: ChatCompletion) -> ChatCompletionMessage:
    return answer.choices[0].message


def calls(answer: ChatCompletion) -> list[tuple[str, Any]]:
    found = said(answer).tool_calls or []
    return [(call.function.name, json.loads(call.function.arguments)) for call in found if call.type == "function"]


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_a_whole_answer(sdk: Client) -> None:
    answer = await sdk.create(model="echo", messages=user())
    assert (said(answer).content, answer.choices[0].finish_reason) == ("Hello, pillion", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


async def test_a_stream(sdk: Client) -> None:
    chunks = await sdk.chunks(model="echo/text", messages=user())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_stream_with_usage(sdk: Client) -> None:
    chunks = await sdk.chunks(model="echo/text", messages=user(), stream_options={"include_usage": True})
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == sum(bool(chunk.choices[0].delta.content) for chunk in others)


async def test_a_stream_gathered_is_the_whole_answer(sdk: Client) -> None:
    gathered = await sdk.gathered(model="echo/text", messages=user())
    whole = await sdk.create(model="echo/text", messages=user())
    assert said(gathered).content == said(whole).content == TEXT


async def test_tools(sdk: Client) -> None:
    asked = {"model": "echo/tool", "messages": user(), "tools": [WEATHER]}
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert calls(answer) == [("weather", {"city": "echo"})]
        assert answer.choices[0].finish_reason == "tool_calls"


async def test_parallel_tools(sdk: Client) -> None:
    asked = {"model": "echo/tool-3", "messages": user(), "tools": [WEATHER, TIME]}
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert [name for name, _ in calls(answer)] == ["weather", "time", "weather"]
        assert all(set(given) == {"city"} for _, given in calls(answer))
        assert len({call.id for call in said(answer).tool_calls or []}) == 3
    single = await sdk.create(**asked, parallel_tool_calls=False)
    assert len(calls(single)) == 1


async def test_a_tool_loop_ends(sdk: Client) -> None:
    messages: list[Any] = user("Does it rain in Rome?")
    first = await sdk.create(model="echo/tool", messages=messages, tools=[WEATHER])
    (call,) = said(first).tool_calls or []
    messages += [said(first), {"role": "tool", "tool_call_id": call.id, "content": "It pours."}]
    second = await sdk.create(model="echo/tool", messages=messages, tools=[WEATHER])
    assert (said(second).content, second.choices[0].finish_reason) == ("It pours.", "stop")


class Town(BaseModel):
    name: str
    people: int


async def test_structured_output(sdk: Client) -> None:
    answer = await sdk.parse(model="echo/json", messages=user(), response_format=Town)
    assert isinstance(answer.choices[0].message.parsed, Town)


async def test_what_else_a_request_may_hold(sdk: Client) -> None:
    seen = {"type": "image_url", "image_url": {"url": PIXEL}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, seen]},
    ]
    answer = await sdk.create(model="echo", messages=messages, temperature=0.5, seed=1, user="u", top_p=0.9)
    assert (said(answer).content or "").strip() == "Look"


async def test_stop(sdk: Client) -> None:
    answer = await sdk.create(model="echo", messages=user("one two three"), stop=["two"])
    assert (said(answer).content, answer.choices[0].finish_reason) == ("one ", "stop")


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_of_tokens(sdk: Client, limit: str) -> None:
    answer = await sdk.create(model="echo/tokens-10", messages=user(), **{limit: 3})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_two_choices(sdk: Client) -> None:
    answer = await sdk.create(model="echo", messages=user(), n=2)
    assert [choice.message.content for choice in answer.choices] == ["Hello, pillion"] * 2
    gathered = await sdk.gathered(model="echo", messages=user(), n=2)
    assert [choice.message.content for choice in gathered.choices] == ["Hello, pillion"] * 2


async def test_a_refusal(sdk: Client) -> None:
    asked = {"model": "echo/refuse", "messages": user()}
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert (said(answer).content or "", said(answer).refusal) == ("", REFUSAL)


async def test_thinking(sdk: Client) -> None:
    asked = {"model": "echo/think", "messages": user()}
    for answer in (await sdk.create(**asked), await sdk.gathered(**asked)):
        assert said(answer).content == "Hello, pillion"
        assert (said(answer).model_extra or {})["reasoning_content"] == THOUGHT


# --- models ----------------------------------------------------------------------------------------------------------


async def test_models(sdk: Client) -> None:
    names = await sdk.models()
    assert "echo/text" in names
    model = await sdk.model("echo/text")
    assert (model.id, model.object) == ("echo/text", "model")


async def test_a_model_that_is_not_there(kind: type[Client]) -> None:
    evil = Scenario(body=b'{"data":[{"id":"m"}]}')
    async with Evil(answering=lambda _: evil) as upstream, client_of(kind, 0, **OPENAI.environ(upstream.url)) as client:
        with pytest.raises(openai.NotFoundError, match="nonesuch") as caught:
            await client.model("nonesuch")
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError, match="nonesuch"):
            await client.create(model="nonesuch", messages=user())


# --- errors ----------------------------------------------------------------------------------------------------------

ERRORS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    402: openai.APIStatusError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", ERRORS)
async def test_an_error_is_the_exception_of_its_status(sdk: Client, status: int, stream: bool) -> None:
    ask = sdk.chunks if stream else sdk.create
    with pytest.raises(openai.APIStatusError, match=f"Echo answers with status {status}, as requested") as caught:
        await ask(model=f"echo/error-{status}", messages=user())
    error = caught.value
    assert type(error) is ERRORS[status]
    assert error.status_code == status
    assert error.type
    assert error.request_id
    assert error.request_id == error.response.headers["x-request-id"]


async def test_a_full_provider_says_when_to_come_back(sdk: Client) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.create(model="echo/error-429-retry-30", messages=user())
    assert caught.value.response.headers["retry-after"] == "30"


async def test_the_sdk_comes_back_after_retry_after(kind: type[Client]) -> None:
    full = Scenario(
        status=429,
        headers=[("content-type", "application/json"), ("retry-after", "0"), ("retry-after-ms", "1")],
        body=b'{"error":{"message":"Full.","type":"requests","param":null,"code":"rate_limit_exceeded"}}',
    )
    good = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(full, good) as upstream, client_of(kind, 1, **OPENAI.environ(upstream.url)) as client:
        answer = await client.create(model="gpt-real", messages=user())
        assert said(answer).content == "Grüße"
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"messages": "Hi"}, "messages"),
        ({"messages": user(), "max_tokens": "many"}, "max_tokens"),
        ({"messages": user(), "tools": {}}, "tools"),
    ],
)
async def test_a_bad_request_names_its_field(sdk: Client, asked: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError, match=param):
        await sdk.create(model="echo", extra_body=asked, messages=[])


# --- streams that break ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["chunks", "gathered"])
async def test_a_stream_that_is_cut_never_ends_well(sdk: Client, ask: str) -> None:
    with pytest.raises(openai.APIError, match=r"cut short|ended before"):
        await getattr(sdk, ask)(model="echo/text+cut-5", messages=user())


async def test_a_whole_answer_that_is_cut_is_an_error(sdk: Client) -> None:
    with pytest.raises(openai.InternalServerError):
        await sdk.create(model="echo/text+cut-5", messages=user())


async def test_a_malformed_event_is_no_answer(sdk: Client) -> None:
    with pytest.raises((openai.APIError, json.JSONDecodeError)):
        await sdk.chunks(model="echo/text+malformed-3", messages=user())
    with pytest.raises(openai.InternalServerError):
        await sdk.create(model="echo/text+malformed-1", messages=user())


async def test_a_client_may_walk_away_from_a_stream_that_stalls(sdk: Client) -> None:
    first = await sdk.first_chunk(model="echo/text+stall-2", messages=user())
    assert first.choices[0].delta.role == "assistant"


# --- the README ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["openai", "anthropic"])
async def test_the_example_of_the_readme_runs(library: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if f"from {library} import" in block]
    assert "127.0.0.1:7455" in example
    made: dict[str, Any] = {}
    async with pillion() as gateway:
        code = compile(example.replace("127.0.0.1:7455", f"{gateway.host}:{gateway.port}"), str(README), "exec")
        try:
            await asyncio.to_thread(exec, code, made)
        finally:
            made["client"].close()
    assert capsys.readouterr().out == "Hello, pillion"
