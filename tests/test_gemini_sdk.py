"""Does Google's own SDK, sync and async, find in proxy.dialects.gemini the API that it was written for?

No socket: the SDK's transport hands each request to the dialect, which parses it, and answers with what the dialect
renders.
"""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from proxy.canon import (
    Choice,
    Completion,
    Event,
    Format,
    Image,
    Inline,
    Part,
    Reasoning,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    unfold,
)
from proxy.dialects.gemini import Gemini
from proxy.envelope import Envelope
from proxy.errors import Down, OverLimit
from proxy.ports import Path, Peek
from tests import laws

WIRE = Gemini()
USAGE = Usage(input=3, cache_read=2, output=4, reasoning=1)
CALL = ToolCall(id="call_1", name="weather", arguments='{"city":"Kiel"}', signature="c2VhbA==")


class City(BaseModel):
    name: str
    people: int | None = None


def client_of(answer: Any, answer_async: Any = None) -> genai.Client:
    options = types.HttpOptions(
        base_url="http://pillion.invalid",
        client_args={"transport": httpx2.MockTransport(answer)},
        async_client_args={"transport": httpx2.MockTransport(answer_async or answer)},
    )
    return genai.Client(api_key="unused", http_options=options)


class Fake:
    """A gateway in one object: what was asked, and what is to be answered."""

    def __init__(self, *parts: Part, reason: Any = "stop", breaks: bool = False) -> None:
        self.asked: list[Request] = []
        choice = Choice(parts=list(parts), stop=Stop(reason=reason))
        whole = Completion(start=Start(id="r", model="gemini-2.5-pro"), choices=[choice], usage=USAGE)
        self._events: list[Event] = list(unfold(whole))
        self._breaks = breaks
        self._failure: httpx2.Response | None = None
        self.client = client_of(self.answer, self.answer_async)

    def fail(self, error: Any) -> "Fake":
        self._failure = httpx2.Response(error.status, content=WIRE.error(error, "r"))
        return self

    def answer(self, call: httpx2.Request) -> httpx2.Response:
        if self._failure is not None:
            return self._failure
        rest = unquote(call.url.path).partition("/models/")[2]
        body = call.content
        peek = WIRE.peek(Envelope(body), Path(rest, dict(call.url.params)))
        request = WIRE.parse(body, peek)
        WIRE.encode(request)
        self.asked.append(request)
        renderer = WIRE.renderer(request)
        if self._breaks:
            said = laws.say(renderer, self._events[:3]) + renderer.error(Down("Gone."))
        else:
            said = laws.say(renderer, self._events)
        return httpx2.Response(200, content=said, headers={"content-type": renderer.media_type})

    async def answer_async(self, call: httpx2.Request) -> httpx2.Response:
        return self.answer(call)


def texts(chunks: Iterable[types.GenerateContentResponse]) -> str:
    return "".join(chunk.text or "" for chunk in chunks)


def test_a_whole_answer_is_read() -> None:
    fake = Fake(Thinking(text="hm"), Text(text="Hé!", signature="c2VhbA=="), Image(source=Inline("aGk=", "image/png")))
    got = fake.client.models.generate_content(model="openai/gpt-x", contents="Hi")
    assert fake.asked[0].model == "openai/gpt-x"
    assert fake.asked[0].turns[0].parts == [Text(text="Hi")]
    assert got.candidates is not None
    content = got.candidates[0].content
    assert content is not None
    assert content.parts is not None
    assert [part.thought for part in content.parts] == [True, None, None]
    assert (content.parts[1].text, content.parts[1].thought_signature) == ("Hé!", b"seal")
    assert content.parts[2].inline_data is not None
    assert content.parts[2].inline_data.data == b"hi"
    assert got.candidates[0].finish_reason is types.FinishReason.STOP
    counted = got.usage_metadata
    assert counted is not None
    assert (counted.prompt_token_count, counted.cached_content_token_count, counted.total_token_count) == (5, 2, 10)
    assert (counted.candidates_token_count, counted.thoughts_token_count) == (4, 1)
    assert (got.response_id, got.model_version) == ("r", "gemini-2.5-pro")


def test_a_stream_is_read_and_its_usage_comes_last() -> None:
    fake = Fake(Text(text="Hé\u2028!\n\n"), CALL, reason="tool_use")
    chunks = list(fake.client.models.generate_content_stream(model="m", contents="Hi"))
    assert fake.asked[0].stream
    assert not fake.asked[0].as_array
    parts = [part for chunk in chunks for one in chunk.candidates or [] for part in (one.content.parts or [])]  # type: ignore[union-attr]  # each has content
    assert "".join(part.text or "" for part in parts) == "Hé\u2028!\n\n"
    assert [call.args for chunk in chunks for call in chunk.function_calls or []] == [{"city": "Kiel"}]
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.total_token_count == 10


async def test_the_async_client_reads_both() -> None:
    fake = Fake(Text(text="Hello"))
    client = fake.client
    whole = await client.aio.models.generate_content(model="m", contents="Hi")
    assert whole.text == "Hello"
    stream = await client.aio.models.generate_content_stream(model="m", contents="Hi")
    assert texts([chunk async for chunk in stream]) == "Hello"


def test_tools_make_the_round_trip_with_their_seals() -> None:
    """A call whose history the SDK keeps: what it sends back is what we said, in the seal's own alphabet."""
    sealed = ToolCall(id="call_1", name="weather", arguments='{"city":"Kiel"}', signature="ab+/cA==")
    fake = Fake(Text(text="Let me see."), sealed, reason="tool_use")
    declared = types.FunctionDeclaration(
        name="weather",
        parameters=types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}),
    )
    chat = fake.client.chats.create(
        model="gemini-3-pro", config={"tools": [types.Tool(function_declarations=[declared])]}
    )
    got = chat.send_message("Rain?")
    assert got.function_calls is not None
    assert (got.function_calls[0].id, got.function_calls[0].args) == ("call_1", {"city": "Kiel"})
    chat.send_message([types.Part.from_function_response(name="weather", response={"result": "no"})])
    first, second = fake.asked
    assert first.tools[0].parameters == {"type": "object", "properties": {"city": {"type": "string"}}}
    assert second.turns[1].parts == [Text(text="Let me see."), sealed]
    assert second.turns[2].parts[0] == ToolResult(id="call_1", parts=[Text(text='{"result":"no"}')])


def test_a_schema_of_pydantic_s_and_every_knob_cross() -> None:
    fake = Fake(Text(text='{"name": "Kiel", "people": 5}'))
    got = fake.client.models.generate_content(
        model="m",
        contents=[types.Part.from_uri(file_uri="gs://b/a.png", mime_type="image/png"), "What?"],
        config=types.GenerateContentConfig(
            system_instruction="Be kind.",
            response_mime_type="application/json",
            response_schema=City,
            temperature=0.5,
            top_k=40,
            max_output_tokens=9,
            stop_sequences=["x"],
            thinking_config=types.ThinkingConfig(thinking_budget=512, include_thoughts=True),
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.HarmBlockThreshold.BLOCK_NONE,
                )
            ],
        ),
    )
    assert got.parsed == City(name="Kiel", people=5)
    request = fake.asked[0]
    assert request.turns[0].parts == [Text(text="Be kind.")]
    assert (request.temperature, request.top_k, request.max_tokens, request.stop) == (0.5, 40, 9, ["x"])
    assert request.reasoning == Reasoning(budget=512, summary="auto")
    assert isinstance(request.format, Format)
    assert request.format.schema is not None
    assert request.format.schema["properties"]["people"]["type"] == ["integer", "null"]
    assert "safetySettings" in request.extra


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_is_raised_with_its_words(streamed: bool) -> None:
    fake = Fake().fail(OverLimit("Slow down.", headers=[("Retry-After", "2")]))
    models = fake.client.models
    ask = models.generate_content_stream if streamed else models.generate_content
    with pytest.raises(errors.ClientError) as caught:
        list(ask(model="m", contents="Hi"))
    assert (caught.value.code, caught.value.status, caught.value.message) == (429, "RESOURCE_EXHAUSTED", "Slow down.")


def test_a_stream_that_breaks_raises_once_it_breaks() -> None:
    fake = Fake(Text(text="a"), breaks=True)
    chunks = fake.client.models.generate_content_stream(model="m", contents="Hi")
    assert next(chunks).text == "a"
    with pytest.raises(errors.ServerError) as caught:
        next(chunks)
    assert (caught.value.code, caught.value.message) == (502, "Gone.")


async def test_a_stream_that_breaks_raises_in_the_async_client_too() -> None:
    fake = Fake(Text(text="a"), breaks=True)
    chunks = await fake.client.aio.models.generate_content_stream(model="m", contents="Hi")
    assert (await anext(chunks)).text == "a"
    with pytest.raises(errors.ServerError, match="Gone"):
        await anext(chunks)


def test_the_error_of_a_stream_that_passes_through_raises() -> None:
    whole = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n'
    data = whole + WIRE.error_event(Down("Gone."))
    client = client_of(lambda call: httpx2.Response(200, content=data))
    chunks = client.models.generate_content_stream(model="m", contents="Hi")
    assert next(chunks).text == "a"
    with pytest.raises(errors.ServerError, match="Gone"):
        next(chunks)


COUNTED = Peek("m", False)


def test_models_and_counts_are_read() -> None:
    def answer(call: httpx2.Request) -> httpx2.Response:
        if call.url.path.endswith(":countTokens"):
            return httpx2.Response(
                200, content=WIRE.count_answer(7 + len(WIRE.count_parse(call.content, COUNTED).turns))
            )
        if call.url.path.endswith("/models"):
            return httpx2.Response(200, content=WIRE.model_list(["a", "b"]))
        return httpx2.Response(200, content=WIRE.model_card("a"))

    client = client_of(answer)
    assert [model.name for model in client.models.list()] == ["models/a", "models/b"]
    card = client.models.get(model="a")
    assert card.supported_actions == json.loads(WIRE.model_card("a"))["supportedGenerationMethods"]
    assert client.models.count_tokens(model="a", contents="Hi").total_tokens == 8
