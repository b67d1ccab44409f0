"""Does Anthropic's own SDK read what we render, live and whole, and its beta helpers too?

No network: the SDK's client gets the rendered bytes from a transport.
"""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from proxy.canon import (
    Citation,
    Close,
    Delta,
    Event,
    Finish,
    Opaque,
    Open,
    Refusal,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from proxy.errors import Busy
from tests import recordings
from tests.test_anthropic import ROWS, WIRE
from tests.test_anthropic_answers import GOOD_STREAMS, asked, decoded, said

# Of the recorded streams one holds three answers, and the SDK reads them all.
GOOD = [
    *(row for row in GOOD_STREAMS if recordings.body(row).count(b'"message_stop"') == 1),
    *(row for row in ROWS if row["framing"] == "json" and row["status"] == 200),
]
PROMPT: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


class Canned(httpx2.BaseTransport):
    """Answers every request with the same bytes."""

    body = b""
    media_type = ""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self.media_type}, content=self.body)


@pytest.fixture(scope="module")
def canned() -> Canned:
    return Canned()


@pytest.fixture(scope="module")
def client(canned: Canned) -> Iterator[anthropic.Anthropic]:
    with httpx2.Client(transport=canned) as http:
        yield anthropic.Anthropic(api_key="unused", base_url="http://x.example", max_retries=0, http_client=http)


class Reader:
    """What the SDK makes of an answer's bytes."""

    def __init__(self, client: anthropic.Anthropic, canned: Canned) -> None:
        self._client = client
        self._canned = canned

    def live(self, data: bytes, beta: bool = False) -> dict[str, Any]:
        self._canned.body, self._canned.media_type = data, "text/event-stream"
        messages: Any = self._client.beta.messages if beta else self._client.messages
        with messages.stream(**PROMPT) as stream:
            return dict(stream.get_final_message().to_dict(warnings=False))

    def whole(self, data: bytes, beta: bool = False) -> dict[str, Any]:
        self._canned.body, self._canned.media_type = data, "application/json"
        messages: Any = self._client.beta.messages if beta else self._client.messages
        return dict(messages.create(**PROMPT).to_dict(warnings=False))


@pytest.fixture
def reader(client: anthropic.Anthropic, canned: Canned) -> Reader:
    return Reader(client, canned)


# --- every recording, told anew --------------------------------------------------------------------------------------


def essence(message: dict[str, Any]) -> dict[str, Any]:
    """A message less what says nothing: nulls, empty lists, zeros, and what usage says of the service."""
    kept = {key: item for key, item in message.items() if key != "usage" and item is not None}
    kept["content"] = [{key: item for key, item in block.items() if item} for block in message["content"]]
    usage = message["usage"]
    return kept | {"tokens": {key: usage[key] for key in usage if key.endswith("_tokens") and usage[key]}}


@recordings.needs_recordings
@pytest.mark.parametrize("row", GOOD, ids=recordings.ids)
def test_the_sdk_reads_a_recording_that_we_told_anew(row: recordings.Row, reader: Reader) -> None:
    data, live = recordings.body(row), row["framing"] == "sse"
    events = decoded(data, live)
    read = reader.live if live else reader.whole
    if b"compaction_delta" not in data:  # which the plain helper passes over, and we tell at once
        assert essence(read(said(events, live))) == essence(read(data))
    original = essence(read(data, beta=True))
    assert essence(reader.live(said(events), beta=True)) == original
    assert essence(reader.whole(said(events, streamed=False), beta=True)) == original


# --- answers of other wires ------------------------------------------------------------------------------------------

FOUND = Citation(wire="openai_chat", value={}, url="https://x.example", title="X", quote="Q")
SERVER_TOOL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
SENTENCE: list[Event] = [
    Start(id="1", model="gpt"),
    Open(index=0, part=Thinking()),
    Delta(index=0, text="Hm"),
    Delta(index=0, text=".", signature="s"),
    Close(index=0),
    Open(index=1, part=Thinking(redacted="r")),
    Close(index=1),
    Open(index=2, part=Opaque(wire="anthropic", value=SERVER_TOOL)),
    Close(index=2),
    Open(index=3, part=Text()),
    Open(index=4, part=ToolCall(id="", name="f")),
    Delta(index=4, text='{"x":'),
    Delta(index=3, text="A", citations=[FOUND]),
    Close(index=3),
    Delta(index=4, text="1}"),
    Close(index=4),
    Usage(input=5, output=7),
    Finish(stops=(Stop(reason="tool_use"),)),
]


@pytest.mark.parametrize("beta", [False, True], ids=["", "beta"])
def test_the_sdk_reads_no_count_that_another_one_contradicts(beta: bool, reader: Reader) -> None:
    """How many tokens went to a cache comes at the end; of what kind they are, the SDK reads at the beginning."""
    events = [*SENTENCE[:-2], Usage(input=5, cache_write=4, cache_write_1h=6, output=7), SENTENCE[-1]]
    kinds = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    for read, told in ((reader.live(said(events), beta), None), (reader.whole(said(events, False), beta), kinds)):
        assert (read["usage"]["cache_creation_input_tokens"], read["usage"]["cache_creation"]) == (10, told)


@pytest.mark.parametrize("beta", [False, True], ids=["", "beta"])
def test_the_sdk_gathers_every_kind_of_block(beta: bool, reader: Reader) -> None:
    live, whole = reader.live(said(SENTENCE), beta), reader.whole(said(SENTENCE, streamed=False), beta)
    assert essence(live) == essence(whole)
    thought, sealed, server, text, call = live["content"]
    assert (thought["thinking"], thought["signature"], sealed["data"]) == ("Hm.", "s", "r")
    assert server["input"] == {"query": "q"}
    assert text["text"] == "A"
    assert text["citations"][0]["url"] == "https://x.example"
    assert call["input"] == {"x": 1}
    assert live["usage"]["output_tokens"] == 7


def test_the_events_of_the_sdk_tell_citations_and_thoughts(client: anthropic.Anthropic, canned: Canned) -> None:
    canned.body, canned.media_type = said(SENTENCE), "text/event-stream"
    with client.messages.stream(**PROMPT) as stream:
        kinds = [event.type for event in stream]
    assert {"thinking", "signature", "citation", "text", "input_json", "message_stop"} <= set(kinds)


def test_the_sdk_tells_why_the_model_declined(reader: Reader) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "e"}
    events: list[Event] = [
        Start(),
        Open(index=0, part=Refusal()),
        Delta(index=0, text="No."),
        Close(index=0),
        Usage(output=1, extra={"stop_details": details}),
        Finish(stops=(Stop(reason="refusal"),)),
    ]
    for beta in (False, True):
        for message in (reader.live(said(events), beta), reader.whole(said(events, streamed=False), beta)):
            assert (message["stop_reason"], message["stop_details"]) == ("refusal", details)


def test_the_sdk_raises_where_a_stream_breaks(client: anthropic.Anthropic, canned: Canned) -> None:
    renderer = WIRE.renderer(asked())
    head = b"".join(renderer.feed(event) for event in SENTENCE[:3])
    canned.body = head + renderer.error(Busy("Too many.", status=529))
    canned.media_type = "text/event-stream"
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(**PROMPT) as stream:
        stream.get_final_message()
    assert json.loads(json.dumps(caught.value.body))["error"]["type"] == "overloaded_error"


def test_the_sdk_reads_a_count(client: anthropic.Anthropic, canned: Canned) -> None:
    canned.body, canned.media_type = WIRE.count_answer(42), "application/json"
    assert client.messages.count_tokens(model="m", messages=PROMPT["messages"]).input_tokens == 42
