"""Does Ollama's own SDK read what we render, live and whole, and do we read what it sends?

No network: the SDK's client gets the rendered bytes from a transport.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import ollama
import pytest

from proxy.canon import (
    Close,
    Delta,
    Event,
    Finish,
    Image,
    Inline,
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
from proxy.envelope import Envelope
from proxy.errors import Down, UnknownModel
from proxy.ports import Path
from tests import recordings
from tests.test_ollama import WIRE
from tests.test_ollama_answers import STREAMS, WHOLES, asked, decoded, said


class Canned(httpx.BaseTransport):
    """Answers every request with the same bytes, and keeps the last request."""

    status = 200
    body = b""
    sent = b""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent = request.read()
        return httpx.Response(self.status, content=self.body)


@pytest.fixture(scope="module")
def transport() -> Canned:
    return Canned()


@pytest.fixture
def canned(transport: Canned) -> Canned:
    transport.status = 200
    return transport


@pytest.fixture(scope="module")
def client(transport: Canned) -> Iterator[ollama.Client]:
    with closing(ollama.Client(host="http://ollama.example", transport=transport)) as client:
        yield client


EVENTS: list[Event] = [
    Start(id="x", model="gpt", created=1_700_000_000),
    Open(index=0, part=Thinking()),
    Delta(index=0, text="Hm"),
    Close(index=0),
    Open(index=1, part=Text()),
    Delta(index=1, text="Hé"),
    Delta(index=1, text="!", logprobs=[{"token": "!", "logprob": -1.0, "bytes": None, "top_logprobs": []}]),
    Close(index=1),
    Open(index=2, part=ToolCall(id="c", name="f")),
    Delta(index=2, text='{"x":1}'),
    Close(index=2),
    Usage(input=3, output=5),
    Finish(stops=(Stop(reason="length"),)),
]
PROMPT: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def test_a_stream(client: ollama.Client, canned: Canned) -> None:
    canned.body = said(EVENTS)
    heard = list(client.chat("m", PROMPT, stream=True))
    assert "".join(part.message.content or "" for part in heard) == "Hé!"
    assert "".join(part.message.thinking or "" for part in heard) == "Hm"
    [call] = [call for part in heard for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("f", {"x": 1})
    [scored] = [one for part in heard for one in part.logprobs or ()]
    assert (scored.token, scored.logprob) == ("!", -1.0)
    last = heard[-1]
    assert (last.done, last.done_reason, last.prompt_eval_count, last.eval_count) == (True, "length", 3, 5)


def test_a_line_stays_one_whatever_the_model_says(client: ollama.Client, canned: Canned) -> None:
    """The SDK cuts lines where `str.splitlines` does."""
    breaks = "a\u2028b\u2029c\x85d\x0b\x0c\x1c\x1d\x1e\r\ne 😀"
    call: list[Event] = [
        Open(index=1, part=ToolCall(id="c", name="f")),
        Delta(index=1, text=json.dumps({"x": breaks})),
        Close(index=1),
    ]
    text: list[Event] = [Open(index=0, part=Text()), Delta(index=0, text=breaks), Close(index=0)]
    canned.body = said([Start(model="gpt"), *text, *call, Finish()])
    heard = list(client.chat("m", PROMPT, stream=True))
    assert "".join(part.message.content or "" for part in heard) == breaks
    assert [call.function.arguments for part in heard for call in part.message.tool_calls or ()] == [{"x": breaks}]
    canned.body = said([Start(), *text])[:-1] + b"\n" + WIRE.error_event(Down(f"It broke.{breaks}"))
    with pytest.raises(ollama.ResponseError, match="It broke"):
        list(client.chat("m", PROMPT, stream=True))


def test_a_whole_answer(client: ollama.Client, canned: Canned) -> None:
    canned.body = said(EVENTS, streamed=False)
    heard = client.chat("m", PROMPT)
    assert (heard.message.content, heard.message.thinking, heard.model) == ("Hé!", "Hm", "gpt")
    assert (heard.done, heard.done_reason, heard.eval_count) == (True, "length", 5)


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_to_a_prompt(client: ollama.Client, canned: Canned, streamed: bool) -> None:
    canned.body = said(EVENTS, streamed, generate=True)
    heard = list(client.generate("m", "hi", stream=True)) if streamed else [client.generate("m", "hi")]
    assert "".join(part.response or "" for part in heard) == "Hé!"
    assert "".join(part.thinking or "" for part in heard) == "Hm"
    assert (heard[-1].done, heard[-1].eval_count) == (True, 5)


def test_a_stream_that_breaks_raises(client: ollama.Client, canned: Canned) -> None:
    told = said(EVENTS[:4])
    for last in (WIRE.renderer(asked()).error(Down("It broke.")), WIRE.error_event(Down("It broke."))):
        canned.body = told + last
        with pytest.raises(ollama.ResponseError, match="It broke"):
            list(client.chat("m", PROMPT, stream=True))


def test_an_error_raises(client: ollama.Client, canned: Canned) -> None:
    canned.status, canned.body = 404, WIRE.error(UnknownModel("No such model."), "req_1")
    with pytest.raises(ollama.ResponseError, match="No such model") as caught:
        client.chat("m", PROMPT)
    assert caught.value.status_code == 404


def test_the_models(client: ollama.Client, canned: Canned) -> None:
    canned.body = WIRE.model_list(["a/b:c"])
    [model] = client.list().models
    assert (model.model, model.size) == ("a/b:c", 0)
    assert model.modified_at is not None
    canned.body = WIRE.model_card("a/b:c")
    card = client.show("a/b:c")
    assert (card.capabilities, card.modelinfo) == (
        ["completion", "tools"],
        {"general.architecture": "unknown", "general.basename": "a/b:c"},
    )


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*STREAMS, *WHOLES], ids=recordings.ids)
def test_a_recorded_answer_in_our_spelling(client: ollama.Client, canned: Canned, row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] == "ndjson")
    told = fold(events)
    text = "".join(part.text for part in told.choices[0].parts if isinstance(part, Text))
    assert told.usage is not None
    canned.body = said(events)
    heard = list(client.chat("m", PROMPT, stream=True))
    assert "".join(part.message.content or "" for part in heard) == text
    assert (heard[-1].model, heard[-1].eval_count) == (told.start.model, told.usage.total_output)
    canned.body = said(events, streamed=False)
    whole = client.chat("m", PROMPT)
    assert (whole.message.content, whole.eval_count) == (text, told.usage.total_output)


# --- what the SDK sends ----------------------------------------------------------------------------------------------


def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return city


def test_a_chat_that_the_sdk_sends(client: ollama.Client, canned: Canned) -> None:
    canned.body = said(EVENTS, streamed=False)
    answer = client.chat("m", PROMPT, tools=[weather]).message
    told: list[Any] = [
        {"role": "user", "content": "hi", "images": [b"\x89PNG\r\n\x1a\n...."]},
        answer,
        {"role": "tool", "tool_name": "f", "content": "sunny"},
    ]
    options = ollama.Options(temperature=0, num_predict=5, num_ctx=10)
    list(client.chat("m", told, tools=[weather], stream=True, think=True, format="json", options=options))
    peek = WIRE.peek(Envelope(canned.sent), Path())
    request = WIRE.parse(canned.sent, peek)
    assert (peek.stream, request.stream) == (True, True)
    assert isinstance(request.turns[0].parts[1], Image)
    assert isinstance(source := request.turns[0].parts[1].source, Inline)
    assert source.media_type == "image/png"
    call, result = request.turns[1].parts[-1], request.turns[2].parts[0]
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert (call.name, json.loads(call.arguments), result.id) == ("f", {"x": 1}, call.id)
    assert [tool.name for tool in request.tools] == ["weather"]
    assert (request.temperature, request.max_tokens, request.reasoning) == (0, 5, Reasoning(effort="medium"))
    assert request.extra == {"options": {"num_ctx": 10}}


def test_a_prompt_that_the_sdk_sends(client: ollama.Client, canned: Canned) -> None:
    canned.body = said(EVENTS, streamed=False, generate=True)
    client.generate("m", "hi", system="s", keep_alive="5m")
    peek = WIRE.peek(Envelope(canned.sent), Path())
    request = WIRE.parse(canned.sent, peek)
    assert not peek.stream
    assert [(turn.at, turn.parts) for turn in request.turns] == [
        ("system", [Text(text="s")]),
        ("prompt", [Text(text="hi")]),
    ]
    client.generate("m", keep_alive=0)
    assert WIRE.parse(canned.sent, peek).demands == {"prompt": ""}
