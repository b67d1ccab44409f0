"""Is a status sent only when the provider's stream has said something, on the lane that passes it through as well?"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Text
from proxy.errors import UpstreamError
from proxy.framing import Frame, ServerSentEvents, Unframed, events, has_sse
from proxy.framing.eventstream import encode_frame, encode_headers
from proxy.lanes.asking import HOLD_LIMIT
from proxy.ports import Decoder
from tests import recordings
from tests.client import ANTHROPIC, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.recordings import Row, needs_recordings

Object = dict[str, Any]


def sse(*events: Object) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def message(kind: str, payload: Object) -> bytes:
    """A message of Bedrock's streams."""
    head = ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
    return encode_frame(encode_headers(head), json.dumps(payload).encode())


def invoked(event: Object) -> bytes:
    return message("chunk", {"bytes": b64encode(json.dumps(event, separators=(",", ":")).encode()).decode()})


def choice(delta: Object, **fields: Any) -> Object:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None, **fields}]}


def line(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "done": False, **fields}).encode() + b"\n"


# What says nothing yet, and what says something, by the dialect.
SILENT: dict[str, list[bytes]] = {
    "anthropic": [
        sse({"type": "ping"}),
        sse({"message": {"type": "message"}, "type": "message_start"}),
        sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        sse({"type": "content_block_start", "content_block": {"text": "", "citations": [], "type": "text"}}),
        sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}}),
    ],
    "openai_responses": [
        *(sse({"type": f"response.{word}", "response": {}}) for word in ("created", "queued", "in_progress")),
        sse({"type": "response.output_item.added", "item": {"id": "m", "type": "message", "content": []}}),
        sse({"type": "response.content_part.added", "part": {"text": "", "logprobs": [], "type": "output_text"}}),
        sse({"type": "response.output_text.delta", "delta": "", "logprobs": []}),
    ],
    "openai_chat": [
        sse({"choices": [], "prompt_filter_results": [{"delta": 1}]}),
        sse(choice({"role": "assistant", "content": ""})),
        sse(choice({"content": None, "role": "assistant", "tool_calls": []})),
        sse(choice({}), {**choice({}), "usage": {"prompt_tokens": 1}}),
        b"data: {}\n\n",
    ],
    "gemini": [
        sse({"usageMetadata": {}, "modelVersion": "m"}),
        sse({"candidates": [{"content": {"role": "model"}, "index": 0}]}),
        sse({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}}]}),
        b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"}}]}\n\n',
        sse({"candidates": [{"content": {"parts": []}}]}),
        b'[{"usageMetadata": {}}',
        b'[{"candidates": [{"content": {"parts": [{\n"text": ""\n}]}}]}',
    ],
    "cohere": [
        sse({"type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}}),
        sse({"type": "content-start", "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
        sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": ""}}}}),
    ],
    "ollama": [line(message={"role": "assistant", "content": ""}), line(response="", thinking="")],
    "bedrock": [
        message("messageStart", {"role": "assistant"}),
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": ""}, "p": "abcdefg"}),
    ],
    "bedrock_invoke": [
        invoked({"type": "message_start", "message": {}}),
        message("chunk", {"bytes": b64encode(b'{"type": "message_start", "message": {}}').decode()}),
        message("chunk", {"p": "abc", "bytes": b64encode(b'{"message":{},"type":"message_start"}').decode()}),
        invoked({"type": "ping"}),
        invoked({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        invoked({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}}),
    ],
}
TELLING: dict[str, list[bytes]] = {
    "anthropic": [
        sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}}),
        sse({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        sse({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "input": {}}}),
        sse({"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"text":""'}}),
        sse({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": ""}}),
        sse({"type": "not_invented_yet"}),
        b'event: content_block_stop\ndata: {"type": "content_block_stop"}\nid: 7\n\n',
    ],
    "openai_responses": [
        sse({"type": "response.output_text.delta", "delta": "x"}),
        sse({"type": "response.output_text.delta", "delta": '"delta":""'}),
        sse({"type": "response.output_item.added", "item": {"type": "reasoning", "content": []}}),
        sse({"type": "response.output_item.added", "item": {"type": "function_call", "arguments": ""}}),
        sse({"type": "response.failed"}),
    ],
    "openai_chat": [
        sse(choice({"role": "assistant", "content": "x"})),
        sse(choice({"content": "", "reasoning": " "})),
        sse(choice({"tool_calls": [{"index": 0}]})),
        sse(choice({}, finish_reason="stop")),
        sse({"choices": [{"delta": {"content": ""}}, {"index": 1, "delta": {"content": "x"}}]}),
        sse({"choices": [{"message": {"content": "x"}}]}),
        sse({"not": "invented yet"}),
    ],
    "gemini": [
        sse({"candidates": [{"content": {"parts": [{"text": "x"}]}}]}),
        sse({"candidates": [{"content": {"parts": [{"text": "", "thought": True}]}}]}),
        sse({"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "c2ln"}]}}]}),
        sse({"candidates": [{"content": {"parts": [{"text": ""}, {"text": "x"}]}}]}),
        sse({"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]}),
        sse({"candidates": [{"finishReason": "STOP"}]}),
        sse({"promptFeedback": {"blockReason": "SAFETY"}}),
        b'[{"candidates": [{"finishReason": "STOP"}]}',
    ],
    "cohere": [
        sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "x"}}}}),
        sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": ""}}}}),
        sse({"type": "content-start", "delta": {"message": {"content": {"type": "thinking", "thinking": ""}}}}),
        sse({"type": "message-end"}),
    ],
    "ollama": [
        line(message={"content": "x"}),
        line(message={"content": "", "thinking": "x"}),
        line(message={"content": "", "tool_calls": [{}]}),
        line(response="x"),
        line(done=True),
        line(error="x"),
        b'{"status": "not invented yet"}\n',
    ],
    "bedrock": [
        message("contentBlockDelta", {"delta": {"text": "messageStart"}}),
        message("contentBlockDelta", {"delta": {"text": '"delta":{"text":""}'}}),
        message("contentBlockDelta", {"delta": {"reasoningContent": {"text": ""}}}),
        message("contentBlockDelta", {"delta": {"toolUse": {"input": ""}}}),
        message("messageStop", {}),
    ],
    "bedrock_invoke": [invoked({"type": "content_block_delta"}), invoked({"outputText": "of another family"})],
}


@pytest.mark.parametrize(("wire", "said"), [(wire, said) for wire in SILENT for said in SILENT[wire]])
def test_what_says_nothing_is_no_event(wire: str, said: bytes) -> None:
    assert not registry.dialect(wire).has_event(said)
    assert not registry.dialect(wire).has_event(said + said)


@pytest.mark.parametrize(("wire", "said"), [(wire, said) for wire in TELLING for said in TELLING[wire]])
def test_what_says_something_is_one_as_soon_as_it_is_whole(wire: str, said: bytes) -> None:
    has_event = registry.dialect(wire).has_event
    before = b"" if said.startswith(b"[") else b"".join(one for one in SILENT[wire] if not one.startswith(b"["))
    assert has_event(before + said)
    ended = said.rstrip(b"\n")[:-1] if wire not in ("bedrock", "bedrock_invoke") else said[:-1]
    assert not has_event(before + ended)


@pytest.mark.parametrize("wire", ["anthropic", "openai_chat", "openai_responses", "cohere"])
@pytest.mark.parametrize(
    "said", [b"data: {oops\n\n", b'event: x\ndata: {"choices": [{"delta": {"content": "x"\n\n', b"data: Hello\n\n"]
)
def test_what_is_no_json_is_nothing_to_begin_with(wire: str, said: bytes) -> None:
    with pytest.raises(Unframed):
        registry.dialect(wire).has_event(b"".join(SILENT[wire]) + said)


@pytest.mark.parametrize("said", [b"Hello\n", b'{"message": {"content": "x"\n', b'\n{"done": true}}\n'])
def test_a_line_that_is_no_json_is_nothing_to_begin_with(said: bytes) -> None:
    with pytest.raises(Unframed):
        registry.dialect("ollama").has_event(b"".join(SILENT["ollama"]) + said)


@pytest.mark.parametrize("wire", ["anthropic", "openai_chat", "openai_responses", "cohere"])
@pytest.mark.parametrize("value", [rb'"\ud83d"', b"NaN", b"-Infinity", b'"a\tb"', b'"\xff"'])
def test_json_that_clients_read_is_something_to_begin_with(wire: str, value: bytes) -> None:
    said = b'data: {"choices": [{"delta": {"content": "x"}, "more": %b}]}\n\n' % value
    assert registry.dialect(wire).has_event(b"".join(SILENT[wire]) + said)


@pytest.mark.parametrize("wire", ["anthropic", "openai_chat", "openai_responses", "gemini", "cohere"])
def test_an_event_without_a_word_says_nothing(wire: str) -> None:
    assert not registry.dialect(wire).has_event(b"event: ping\ndata:\n\ndata: \n\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_whichever_way_lines_end(end: bytes) -> None:
    for wire in ("anthropic", "openai_chat", "openai_responses", "cohere"):
        has_event = registry.dialect(wire).has_event
        assert not has_event(b"".join(SILENT[wire]).replace(b"\n", end))
        assert has_event(b"".join([*SILENT[wire], TELLING[wire][0]]).replace(b"\n", end))


# --- and on the recordings, whatever a decoder makes of them ----------------------------------------------------------

RECORDED = {
    "anthropic": "*messages",
    "openai_chat": "*chat_completions",
    "openai_responses": "*responses",
    "gemini": "*streamGenerateContent",
    "bedrock": "*converse-stream",
    "cohere": "*v2_chat",
    "ollama": "*ollama*api_*",
}
STEP = 64  # bytes


PIECES = [
    b"data: 1",
    b"data: 2",
    b"data:",
    b"data",
    b"event: data",
    b": data",
    b"id: 7",
    b":",
    b"x",
    b"\n",
    b"\n\n",
    b"\r",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_whatever_stands_between_events_they_are_found(held: bytes) -> None:
    frames = [frame.data for frame in ServerSentEvents().feed(held)]
    try:
        found = has_sse(held, lambda data: data == b"1")
    except Unframed:  # it says something that is no JSON
        found = True
    assert found == any(data.strip() not in (b"", b"1") for data in frames)


def test_what_says_nothing_by_the_thousand_is_passed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at again with each byte that comes."""
    looked: list[bytes] = []
    read = events.frame_of

    def noted(event: bytes) -> Frame | None:
        looked.append(event)
        return read(event)

    monkeypatch.setattr(events, "frame_of", noted)
    for blank in (b"\n", b":\n\n", b"event: ping\n\n"):
        assert not has_sse(blank * 10_000, lambda data: False)
        assert has_sse(blank * 10_000 + b"data: 1\n\n", lambda data: False)
    assert len(looked) == 3


@needs_recordings
@pytest.mark.parametrize("wire", RECORDED)
def test_no_stream_is_held_once_a_decoder_has_heard_something(wire: str) -> None:
    streams = [
        row
        for row in recordings.load(RECORDED[wire])
        if row["status"] == 200 and row["framing"] not in ("json", "text")
    ]
    assert len(streams) > 5
    for row in streams:
        heard = first_word(registry.dialect(wire).decoder(stream=True), cut(row))
        held = next((n for n, data in enumerate(grown(row), 1) if has_event(wire, data)), heard)
        assert held <= heard, row["id"]
        recordings.replayed(row)


def cut(row: Row) -> list[bytes]:
    data = recordings.body(row)
    return [data[at : at + STEP] for at in range(0, len(data), STEP)]


def grown(row: Row) -> Iterator[bytes]:
    data = recordings.body(row)
    return (data[: at + STEP] for at in range(0, len(data), STEP))


def has_event(wire: str, data: bytes) -> bool:
    try:
        return registry.dialect(wire).has_event(data)
    except Unframed:
        return True


def first_word(decoder: Decoder, chunks: Sequence[bytes]) -> int:
    """With which chunk it comes; behind the last one where none says a word."""
    for number, chunk in enumerate(chunks, 1):
        try:
            if any(map(says, heard(decoder, chunk))):
                return number
        except UpstreamError:
            break
    return len(chunks) + 1


def says(event: Event) -> bool:
    """A text that begins is empty, as `Open` has it."""
    return isinstance(event, Delta | Close | Finish) or (isinstance(event, Open) and not isinstance(event.part, Text))


def heard(decoder: Decoder, chunk: bytes) -> Iterator[Event]:
    return decoder.feed(chunk)


# --- and in a gateway ------------------------------------------------------------------------------------------------

SSE = [("content-type", "text/event-stream")]
EVENTS = [("content-type", "application/vnd.amazon.eventstream")]
ASKED: dict[str, tuple[str, Object]] = {
    "anthropic": ("/v1/messages", {"model": "anthropic/m", "max_tokens": 9}),
    "openai_chat": ("/v1/chat/completions", {"model": "openai/m"}),
    "openai_responses": ("/v1/responses", {"model": "openai/m", "input": "Hi"}),
}
FAULTS = {
    "anthropic": sse({"type": "error", "error": {"type": "overloaded_error", "message": "Too busy"}}),
    "openai_chat": sse({"error": {"message": "Too busy", "code": 529}}),
    "openai_responses": sse(
        {"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded",
                                                                              "message": "Too busy"}}}
    ),
}  # fmt: skip
MEANT = {"anthropic": 529, "openai_chat": 529, "openai_responses": 429}


def environ(url: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-of-openai",
        "PILLION_OPENAI_BASE_URL": f"{url}/v1",
        "ANTHROPIC_API_KEY": "sk-of-anthropic",
        "PILLION_ANTHROPIC_BASE_URL": url,
    }


@pytest.mark.parametrize("split", [None, "bytes"])
@pytest.mark.parametrize("wire", ASKED)
async def test_an_error_behind_what_says_nothing_has_its_status(wire: str, split: Any) -> None:
    path, asked = ASKED[wire]
    said = b": a comment\n\n" + b"".join(SILENT[wire]) + FAULTS[wire]
    async with (
        Evil(Scenario(headers=SSE, body=said, framing="chunked", split=split)) as evil,
        pillion(**environ(evil.url)) as gateway,
    ):
        body = {"stream": True, "messages": [{"role": "user", "content": "Hi"}], **asked}
        got = await ask(gateway, "POST", path, json.dumps(body).encode())
    assert (got.status, b"Too busy" in got.body, got.header("content-type")) == (MEANT[wire], True, "application/json")


@pytest.mark.parametrize("split", [None, "bytes"])
@pytest.mark.parametrize("client", [wire for wire in ASKED if wire != "anthropic"])
async def test_nor_does_a_text_that_begins_say_anything_in_other_words(client: str, split: Any) -> None:
    """The decision of decisions/0007 is for both lanes."""
    said = ANTHROPIC.stream[: ANTHROPIC.stream.index(b"event: content_block_delta")]
    path, asked = ASKED[client]
    async with (
        Evil(Scenario(headers=SSE, body=said + FAULTS["anthropic"], framing="chunked", split=split)) as evil,
        pillion(**environ(evil.url)) as gateway,
    ):
        body = {"messages": [{"role": "user", "content": "Hi"}], **asked, "stream": True, "model": "anthropic/m"}
        got = await ask(gateway, "POST", path, json.dumps(body).encode())
    assert (got.status, b"Too busy" in got.body, got.header("content-type")) == (529, True, "application/json")


@pytest.mark.parametrize("wire", ASKED)
async def test_a_stream_that_ends_before_it_says_something_is_no_200(wire: str) -> None:
    path, asked = ASKED[wire]
    async with (
        Evil(Scenario(headers=SSE, body=b"".join(SILENT[wire]), framing="chunked")) as evil,
        pillion(**environ(evil.url)) as gateway,
    ):
        body = {"stream": True, "messages": [{"role": "user", "content": "Hi"}], **asked}
        got = await ask(gateway, "POST", path, json.dumps(body).encode())
    assert (got.status, b"ended before the answer began" in got.body) == (502, True)


@pytest.mark.parametrize("wire", ASKED)
async def test_a_stream_that_begins_with_no_json_goes_to_the_next_target(wire: str) -> None:
    path, asked = ASKED[wire]
    said = b"".join([*SILENT[wire], b"data: {oops\n\n"])
    async with (
        Evil(Scenario(headers=SSE, body=said, framing="chunked", then="stall")) as evil,
        pillion(**environ(evil.url), PILLION_FAILOVER_FALLBACK_ORDER="echo/echo") as gateway,
    ):
        body = {"stream": True, "messages": [{"role": "user", "content": "Hi"}], **asked}
        got = await ask(gateway, "POST", path, json.dumps(body).encode())
    assert (got.status, got.header("x-pillion-provider"), b"oops" in got.body) == (200, "echo", False)


async def test_an_end_alone_is_no_answer() -> None:
    end = b"data: [DONE]\n\n"
    assert not registry.dialect("openai_chat").has_event(end)
    path, asked = ASKED["openai_chat"]
    async with (
        Evil(Scenario(headers=SSE, body=end, framing="chunked")) as evil,
        pillion(**environ(evil.url)) as gateway,
    ):
        body = {"stream": True, "messages": [{"role": "user", "content": "Hi"}], **asked}
        got = await ask(gateway, "POST", path, json.dumps(body).encode())
    assert (got.status, b"ended before the answer began" in got.body) == (502, True)


async def test_no_more_is_held_than_the_limit() -> None:
    """What repeats a long request is sent on, whatever may yet come."""
    start = sse({"type": "response.created", "response": {"instructions": "x" * HOLD_LIMIT}})
    async with (
        Evil(Scenario(headers=SSE, body=start + FAULTS["openai_responses"], split=[len(start)], gap=0.05)) as evil,
        pillion(**environ(evil.url)) as gateway,
    ):
        body = {"model": "openai/m", "input": "Hi", "stream": True}
        got = await ask(gateway, "POST", "/v1/responses", json.dumps(body).encode())
    assert (got.status, got.body) == (200, start + FAULTS["openai_responses"])
