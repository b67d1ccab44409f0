"""Does Cohere's own SDK read what we render, live and whole, and do we read what it sends?

No network: the SDK's client gets the rendered bytes from a transport.
"""

from collections.abc import Iterator
from typing import Any

import cohere
import cohere.core.api_error
import httpx
import pytest

from proxy.canon import (
    Close,
    Delta,
    Event,
    Finish,
    Open,
    Reasoning,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    fold,
)
from proxy.dialects.cohere.citations import spelled
from proxy.envelope import Envelope
from proxy.errors import Down, OverLimit, Unauthorized
from proxy.ports import Path
from tests import recordings
from tests.test_cohere import WIRE
from tests.test_cohere_answers import STREAMS, WHOLES, asked, decoded, said


class Canned(httpx.BaseTransport):
    """Answers every request with the same bytes, and keeps the last request."""

    status = 200
    media_type = ""
    body = b""
    sent = b""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent = request.read()
        return httpx.Response(self.status, headers={"content-type": self.media_type}, content=self.body)


@pytest.fixture(scope="module")
def transport() -> Canned:
    return Canned()


@pytest.fixture
def canned(transport: Canned) -> Canned:
    transport.status, transport.media_type = 200, "application/json"
    return transport


@pytest.fixture(scope="module")
def client(transport: Canned) -> Iterator[cohere.ClientV2]:
    with httpx.Client(transport=transport) as http:
        yield cohere.ClientV2(api_key="none", base_url="http://cohere.example", httpx_client=http)


PROMPT: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def nothing_skipped(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK passes over an event that it cannot read, and says so in its log alone."""
    yield
    assert not caplog.messages


def live(client: cohere.ClientV2, canned: Canned, body: bytes) -> list[Any]:
    canned.media_type, canned.body = "text/event-stream", body
    return list(client.chat_stream(model="m", messages=PROMPT))


EVENTS: list[Event] = [
    Start(id="1"),
    Open(index=0, part=Thinking(extra={"tool_plan": True})),
    Delta(index=0, text="I plan."),
    Close(index=0),
    Open(index=1, part=Thinking()),
    Delta(index=1, text="Hm"),
    Close(index=1),
    Open(index=2, part=Text()),
    Delta(index=2, text="Hé", logprobs=[{"token": "Hé", "logprob": -1.0}]),
    Delta(index=2, text="!"),
    Close(index=2),
    Open(index=3, part=ToolCall(id="", name="f")),
    Delta(index=3, text='{"x":'),
    Delta(index=3, text="1}"),
    Close(index=3),
    Usage(input=3, cache_read=2, output=5, reasoning=1),
    Finish(stops=(Stop(reason="tool_use"),)),
]


def test_a_stream(client: cohere.ClientV2, canned: Canned) -> None:
    heard = live(client, canned, said(EVENTS))
    deltas = [event.delta.message for event in heard if event.type == "content-delta"]
    assert "".join(message.content.text or "" for message in deltas) == "Hé!"
    assert "".join(message.content.thinking or "" for message in deltas) == "Hm"
    [plan] = [event.delta.message.tool_plan for event in heard if event.type == "tool-plan-delta"]
    assert plan == "I plan."
    [scored] = [event.logprobs for event in heard if event.type == "content-delta" and event.logprobs]
    assert (scored.text, scored.logprobs) == ("Hé", [-1.0])
    [call] = [event.delta.message.tool_calls for event in heard if event.type == "tool-call-start"]
    assert call.id
    assert call.function.name == "f"
    pieces = [event.delta.message.tool_calls.function for event in heard if event.type == "tool-call-delta"]
    assert "".join(piece.arguments for piece in pieces) == '{"x":1}'
    last = heard[-1]
    assert (last.type, last.delta.finish_reason) == ("message-end", "TOOL_CALL")
    tokens = last.delta.usage.tokens
    assert (tokens.input_tokens, tokens.output_tokens, last.delta.usage.cached_tokens) == (5, 6, 2)


def test_a_whole_answer(client: cohere.ClientV2, canned: Canned) -> None:
    canned.body = said(EVENTS, streamed=False)
    heard = client.chat(model="m", messages=PROMPT)
    message: Any = heard.message
    assert (heard.id, heard.finish_reason, message.role, message.tool_plan) == (
        "1",
        "TOOL_CALL",
        "assistant",
        "I plan.",
    )
    assert [(item.type, getattr(item, item.type)) for item in message.content] == [("thinking", "Hm"), ("text", "Hé!")]
    [call] = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("f", '{"x":1}')
    assert heard.usage is not None
    assert heard.usage.tokens is not None
    assert heard.usage.tokens.output_tokens == 6
    assert heard.logprobs is not None
    assert heard.logprobs[0].logprobs == [-1.0]


def test_a_stream_that_breaks_says_so_in_its_last_event(client: cohere.ClientV2, canned: Canned) -> None:
    for last in (WIRE.renderer(asked()).error(Down("It broke.")), WIRE.error_event(Down("It broke."))):
        heard = live(client, canned, said(EVENTS[:9]) + last)
        assert (heard[-1].type, heard[-1].delta.finish_reason, heard[-1].delta.error) == (
            "message-end",
            "ERROR",
            "It broke.",
        )


def test_a_ping_is_no_event(client: cohere.ClientV2, canned: Canned) -> None:
    assert WIRE.ping is not None
    heard = live(client, canned, WIRE.ping + said(EVENTS))
    assert heard[0].type == "message-start"


@pytest.mark.parametrize("status", [401, 429])
def test_an_error_raises(client: cohere.ClientV2, canned: Canned, status: int) -> None:
    error = Unauthorized("Who is there?") if status == 401 else OverLimit("Slow down.")
    canned.status, canned.body = status, WIRE.error(error, "req_1")
    with pytest.raises(cohere.core.api_error.ApiError) as caught:
        client.chat(model="m", messages=PROMPT, request_options={"max_retries": 0})
    assert (caught.value.status_code, caught.value.body) == (status, {"message": error.message, "id": "req_1"})


def test_the_models(client: cohere.ClientV2, canned: Canned) -> None:
    canned.body = WIRE.model_list(["a/b"])
    assert [(model.name, model.endpoints) for model in client.models.list().models] == [("a/b", ["chat"])]
    canned.body = WIRE.model_card("a/b")
    assert client.models.get("a/b").name == "a/b"


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_in_our_spelling(client: cohere.ClientV2, canned: Canned, row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] == "sse")
    told = fold(events)
    texts = [part for part in told.choices[0].parts if isinstance(part, Text)]
    cited = [value for part in texts for value in spelled(part.citations, 0, part.text)]
    calls = [part.arguments for part in told.choices[0].parts if isinstance(part, ToolCall)]
    heard = live(client, canned, said(events))
    deltas = [event.delta.message.content.text for event in heard if event.type == "content-delta"]
    assert "".join(text or "" for text in deltas) == "".join(part.text for part in texts)
    notes = [event.delta.message.citations for event in heard if event.type == "citation-start"]
    assert [(note.start, note.end, note.text) for note in notes] == [(v["start"], v["end"], v["text"]) for v in cited]
    assert heard[-1].delta.finish_reason == told.choices[0].stop.raw
    canned.media_type, canned.body = "application/json", said(events, streamed=False)
    whole: Any = client.chat(model="m", messages=PROMPT)
    assert [item.text for item in whole.message.content or () if item.type == "text"] == [part.text for part in texts]
    assert [call.function.arguments for call in whole.message.tool_calls or ()] == calls
    assert [note.text for note in whole.message.citations or ()] == [value["text"] for value in cited]


# --- what the SDK sends ----------------------------------------------------------------------------------------------


def test_a_chat_that_the_sdk_sends(client: cohere.ClientV2, canned: Canned) -> None:
    canned.body = said(EVENTS, streamed=False)
    answer: Any = client.chat(model="m", messages=PROMPT).message
    data = {"type": "document", "document": {"data": {"text": "sunny"}, "id": "d"}}
    told = [*PROMPT, answer, {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": [data]}]
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    more: Any = {
        "tools": [tool],
        "strict_tools": True,
        "documents": [{"data": {"text": "t"}}],
        "citation_options": {"mode": "FAST"},
        "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
        "thinking": {"type": "enabled"},
        "safety_mode": "OFF",
        "k": 3,
        "p": 0.5,
    }
    canned.media_type, canned.body = "text/event-stream", said(EVENTS)
    assert list(client.chat_stream(model="m", messages=told, **more))
    peek = WIRE.peek(Envelope(canned.sent), Path())
    request = WIRE.parse(canned.sent, peek)
    assert (peek.stream, request.stream) == (True, True)
    plan, thought, text, call = request.turns[1].parts
    [result] = request.turns[2].parts
    assert isinstance(plan, Thinking)
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert (plan.text, plan.extra) == ("I plan.", {"tool_plan": {}})
    assert [thought, text] == [Thinking(text="Hm"), Text(text="Hé!")]
    assert (call.name, call.arguments, result.id) == ("f", '{"x":1}', call.id)
    assert request.tools[0].strict is True
    assert (request.top_k, request.top_p, request.reasoning) == (3, 0.5, Reasoning(effort="medium"))
    assert [part.extra for part in request.turns[0].parts[:1]] == [{"documents": {"as": '{"data":{"text":"t"}}'}}]
    assert request.extra == {"citation_options": {"mode": "FAST"}, "safety_mode": "OFF"}
