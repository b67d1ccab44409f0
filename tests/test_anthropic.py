"""Does proxy.dialects.anthropic speak Anthropic's wire, both ways, and refuse aloud what it cannot say?"""

import json
import random
import re
from typing import Any

import anthropic.types
import msgspec
import pytest
from anthropic.types import message_create_params
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.canon import (
    Audio,
    Citation,
    Close,
    Completion,
    Delta,
    Document,
    Event,
    Finish,
    Format,
    Image,
    Inline,
    Opaque,
    Open,
    Part,
    Reason,
    Reasoning,
    Refusal,
    Remote,
    Request,
    Start,
    Stop,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    fold,
    grammatical,
)
from proxy.dialects.anthropic import Anthropic
from proxy.dialects.anthropic.citations import citations_of, spelled
from proxy.dialects.anthropic.meter import MAX_EVENT
from proxy.dialects.anthropic.words import BUDGETS, DEFAULT_MAX_TOKENS
from proxy.envelope import Envelope
from proxy.errors import (
    BadRequest,
    Busy,
    Down,
    GatewayError,
    OverBudget,
    OverLimit,
    Refused,
    Timeout,
    Unauthorized,
    UnknownModel,
    Unrepresentable,
    UpstreamError,
)
from proxy.framing import Frame, ServerSentEvents
from proxy.ports import Dialect, Path, Peek
from tests import laws, recordings

WIRE = Anthropic()
ASKED = Peek("m", False)
IS_A_DIALECT: Dialect = WIRE  # for mypy

ROWS = recordings.load("*anthropic.messages")
STREAMS = [row for row in ROWS if row["framing"] == "sse"]
WHOLES = [row for row in ROWS if row["framing"] == "json" and row["status"] == 200]
ERRORS = [row for row in ROWS if row["status"] != 200]
# Invented by its source: a second message_start in the middle of the first answer.
BROKEN = {"anthropic.messages.4f8904767c1f"}
GOOD_STREAMS = [row for row in STREAMS if row["id"] not in BROKEN]


def frames(data: bytes) -> list[Frame]:
    return laws.drain(ServerSentEvents(), [data])


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def message_start(**usage: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    return {"type": "message_start", "message": message}


def block_start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def block_delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def block_stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def message_delta(reason: str | None = "end_turn", /, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}


def decoded(data: bytes, streamed: bool = True) -> list[Event]:
    events, error = laws.listen(WIRE.decoder(streamed), [data])
    assert error is None
    return list(grammatical(events))


def failure(data: bytes, streamed: bool = True) -> UpstreamError:
    _, error = laws.listen(WIRE.decoder(streamed), [data])
    assert error is not None
    return error


def asked(streamed: bool = True) -> Request:
    return Request(wire="anthropic", model="claude", turns=[], stream=streamed)


def said(events: list[Event], streamed: bool = True) -> bytes:
    return laws.say(WIRE.renderer(asked(streamed)), events)


def body(**fields: Any) -> bytes:
    return json.dumps(
        {"model": "claude", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]} | fields
    ).encode()


def parsed(**fields: Any) -> Request:
    return WIRE.parse(body(**fields), ASKED)


def foreign(*turns: Turn, **fields: Any) -> Request:
    """A request that came on another wire."""
    given = list(turns) or [Turn(role="user", parts=[Text(text="hi")], at="messages[0]")]
    every: dict[str, Any] = {"wire": "openai_chat", "model": "claude", "turns": given, "max_tokens": 100}
    return Request(**every | fields)


def sent(request: Request) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(WIRE.encode(request).body)
    return value


def turn(role: Any, *parts: Part, at: str = "messages[0]", **fields: Any) -> Turn:
    return Turn(role=role, parts=list(parts), at=at, **fields)


# --- recorded answers ------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_recorded_stream_is_one_sentence_however_it_is_cut(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    whole, error = laws.listen(WIRE.decoder(True), [data])
    assert (error is not None) == (row["id"] in BROKEN)
    for chunks in laws.stream_splits(data):
        events, again = laws.listen(WIRE.decoder(True), chunks)
        assert events == whole
        assert str(again) == str(error)
    if error is None:
        assert list(grammatical(whole)) == whole


@recordings.needs_recordings
@pytest.mark.parametrize("row", GOOD_STREAMS, ids=recordings.ids)
def test_recorded_stream_is_metered_as_it_is_decoded(row: recordings.Row) -> None:
    data = recordings.body(row)
    events = decoded(data)
    start = events[0]
    assert isinstance(start, Start)
    last = [event for event in events if isinstance(event, Usage)][-1]
    for chunks in laws.splits(data, count=20):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert (meter.usage, meter.model, meter.finished, meter.error) == (last, start.model, True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", GOOD_STREAMS, ids=recordings.ids)
def test_recorded_stream_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    first = recordings.body(row).split(b'"message_stop"')[0].decode()
    events = [json.loads(line[5:]) for line in first.splitlines() if line.startswith("data:") and line.endswith("}")]
    blocks = read_stream(events)
    assert [as_block(part) for part in fold(decoded(recordings.body(row))).choices[0].parts] == blocks


def read_stream(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of a stream, read in another way than the decoder's."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            match delta["type"]:
                case "input_json_delta":
                    block["json"] = block.get("json", "") + delta["partial_json"]
                case "citations_delta":
                    block["citations"] = [*(block.get("citations") or []), delta["citation"]]
                case kind:
                    field = kind.removesuffix("_delta").replace("compaction", "content")
                    block[field] = (block.get(field) or "") + delta[field]
    for block in blocks.values():
        if block.get("json"):
            block["input"] = json.loads(block["json"])
        block.pop("json", None)
    return [plain(block) for block in blocks.values()]


def plain(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it is compared: no citations and no signature are the same as empty ones."""
    if block["type"] in ("text", "thinking"):
        return {key: value for key, value in block.items() if value or key == block["type"]}
    return block


def as_block(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return plain({"type": "text", "text": part.text, "citations": spelled(part.citations)})
        case Thinking(redacted=""):
            return plain({"type": "thinking", "thinking": part.text, "signature": part.signature})
        case Thinking():
            return {"type": "redacted_thinking", "data": part.redacted}
        case ToolCall():
            given = json.loads(part.arguments)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": given, **part.extra}
        case Opaque():
            return part.value
        case _:
            raise AssertionError(part)


@recordings.needs_recordings
@pytest.mark.parametrize("row", WHOLES, ids=recordings.ids)
def test_recorded_whole_answer_says_what_a_plain_reading_finds(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    told = json.loads(data)
    completion = fold(laws.split_proof(lambda: WIRE.decoder(False), data, count=5))
    assert [as_block(part) for part in completion.choices[0].parts] == [plain(block) for block in told["content"]]
    assert (completion.start.id, completion.start.model) == (told["id"], told["model"])
    assert completion.choices[0].stop.raw == told["stop_reason"]
    usage, counts = completion.usage, told["usage"]
    assert usage is not None
    cached = counts.get("cache_creation_input_tokens", 0) + counts.get("cache_read_input_tokens", 0)
    assert usage.total_input == counts["input_tokens"] + cached
    assert usage.total_output == counts["output_tokens"]
    meter = laws.watch(WIRE.meter(False), [data])
    assert (meter.usage, meter.model, meter.finished, meter.error) == (usage, told["model"], True, None)


@recordings.needs_recordings
@pytest.mark.parametrize("row", [*GOOD_STREAMS, *WHOLES], ids=recordings.ids)
def test_recorded_answer_survives_our_own_spelling(row: recordings.Row) -> None:
    events = decoded(recordings.body(row), row["framing"] == "sse")
    assert fold(decoded(said(events))) == fold(events)
    whole = decoded(said(events, streamed=False), streamed=False)
    assert compact(fold(whole)) == compact(fold(events))


def compact(completion: Completion) -> Completion:
    """Arguments without the blanks between their words: a whole answer has an object where a stream has text."""
    for part in completion.choices[0].parts:
        if isinstance(part, ToolCall):
            part.arguments = json.dumps(json.loads(part.arguments))
    return completion


@recordings.needs_recordings
@pytest.mark.parametrize("row", ERRORS, ids=recordings.ids)
def test_recorded_error_keeps_its_status_its_words_and_its_body(row: recordings.Row) -> None:
    data = recordings.body(row)
    recordings.replayed(row)
    error = WIRE.decode_error(row["status"], row["response_headers"], data)
    told = json.loads(data)["error"]
    assert isinstance(error, Refused)
    assert (error.status, error.upstream_status, error.body) == (row["status"], row["status"], data)
    assert (error.message, error.upstream_type) == (told["message"], told["type"])
    assert failure(data).message == told["message"]  # the same where a stream was expected
    assert failure(data, streamed=False).message == told["message"]


# --- recorded requests -----------------------------------------------------------------------------------------------


EMPTY = ("stream", "system", "tools", "metadata", "output_config")


def normal(value: dict[str, Any]) -> dict[str, Any]:
    """A request without what our spelling of it changes, and nobody can tell:

    - text given as a string is a list of one text block;
    - a tool_result's `content` that is empty is left out;
    - `citations` that are empty are left out, as are nulls at the top level, and in `cache_control` and `citations`;
    - `stream: false` is left out, and so are an empty `system`, `tools`, `metadata` or `output_config`;
    - a tool's `type: custom` is left out;
    - `output_format` is `output_config.format`.
    """
    fields = {key: item for key, item in value.items() if item is not None}
    if "output_format" in fields:
        fields["output_config"] = fields.get("output_config", {}) | {"format": fields.pop("output_format")}
    fields = {k: v for k, v in fields.items() if v or k not in EMPTY}
    if "system" in fields:
        fields["system"] = normal_content(fields["system"])
    fields["tools"] = [{k: v for k, v in t.items() if (k, v) != ("type", "custom")} for t in fields.get("tools", [])]
    messages = fields["messages"]
    return fields | {"messages": [m | {"content": normal_content(m["content"])} for m in messages]}


def normal_content(content: Any) -> list[Any]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [normal_block(block) for block in blocks]


def normal_block(block: dict[str, Any]) -> dict[str, Any]:
    block = {key: value for key, value in block.items() if value or key not in ("citations", "cache_control")}
    if block["type"] == "tool_result" and block.get("content"):
        return block | {"content": normal_content(block["content"])}
    return {key: value for key, value in block.items() if block["type"] != "tool_result" or value or key != "content"}


READABLE = [
    row
    for row in ROWS
    if row["request_json"] and "model" in row["request_json"] and isinstance(row["request_json"]["messages"][0], dict)
]


@recordings.needs_recordings
@pytest.mark.parametrize("row", READABLE, ids=recordings.ids)
def test_recorded_request_comes_back_from_the_canonical_form(row: recordings.Row) -> None:
    told = row["request_json"]
    recordings.replayed(row)
    encoded = WIRE.encode(WIRE.parse(json.dumps(told).encode(), ASKED))
    assert normal(json.loads(encoded.body)) == normal(told)
    assert encoded.dropped == ()


def test_every_field_of_a_request_has_its_place() -> None:
    request = parsed(
        system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE, PDF, PLAIN, FILE]},
            {"role": "assistant", "content": [THOUGHT, REDACTED, CALL, {"type": "server_tool_use", "id": "s"}]},
            {"role": "user", "content": [RESULT]},
            {"role": "system", "content": "Later."},
        ],
        tools=[
            {
                "name": "f",
                "description": "d",
                "input_schema": {"type": "object"},
                "strict": True,
                "defer_loading": True,
            },
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        metadata={"user_id": "u", "team": "t"},
        thinking={"type": "enabled", "budget_tokens": 2000, "display": "summarized"},
        service_tier="auto",
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"},
        stream=True,
        speed="fast",
        mcp_servers=[{"type": "url", "url": "https://mcp.example"}],
        container=None,
    )
    call = ToolCall(id="toolu_1", name="f", arguments='{"x":1}', extra={"caller": {"type": "direct"}})
    assert request == Request(
        wire="anthropic",
        model="claude",
        turns=[
            turn("system", Text(text="Be kind.", cache={"type": "ephemeral"}), at="system"),
            turn(
                "user",
                Text(text="Hi"),
                Image(source=Inline("aGk=", "image/png"), cache={"type": "ephemeral"}),
                Document(source=Remote("https://x.example/a.pdf"), name="A", extra={"context": "c"}),
                Document(source=Inline("aMOp", "text/plain")),
                Document(source=Stored("file_1")),
            ),
            turn(
                "assistant",
                Thinking(text="Hm.", signature="sig"),
                Thinking(redacted="sealed"),
                call,
                Opaque(wire="anthropic", value={"type": "server_tool_use", "id": "s"}),
                at="messages[1]",
            ),
            turn("user", ToolResult(id="toolu_1", parts=[Text(text="42")], is_error=False), at="messages[2]"),
            turn("system", Text(text="Later."), at="messages[3]"),
        ],
        stream=True,
        include_usage=True,
        tools=[
            Tool(
                name="f",
                description="d",
                parameters={"type": "object"},
                strict=True,
                at="tools[0]",
                extra={"defer_loading": True},
            ),
            Tool(
                name="web_search",
                kind="web_search_20250305",
                at="tools[1]",
                extra={"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
            ),
        ],
        tool_choice=ToolChoice("required"),
        parallel_tools=False,
        format=Format(kind="schema", schema={"type": "object"}),
        reasoning=Reasoning(effort="low", budget=2000),
        max_tokens=10,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=["END"],
        user="u",
        service_tier="auto",
        extra={"metadata": {"team": "t"}, "thinking": {"display": "summarized"}, "speed": "fast"},
        demands={"mcp_servers": [{"type": "url", "url": "https://mcp.example"}]},
    )


IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    "cache_control": {"type": "ephemeral"},
}
PDF_AT = {"type": "url", "url": "https://x.example/a.pdf"}
PDF = {"type": "document", "source": PDF_AT, "title": "A", "context": "c"}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}}
FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "sealed"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}, "caller": {"type": "direct"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42", "is_error": False}
MADE_OF_BLOCKS = {"type": "document", "source": {"type": "content", "content": "text"}, "title": "B"}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [IMAGE, PDF, PLAIN, FILE, MADE_OF_BLOCKS, RESULT]}]},
        {"messages": [{"role": "user", "content": [{**PDF, "source": {**PDF_AT, "headers": {"a": "b"}}}]}]},
        {"messages": [{"role": "assistant", "content": [THOUGHT, REDACTED, CALL], "name": "new"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}, {"type": "not_yet", "x": [1]}]}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        {"messages": [{"role": "user", "content": [{**RESULT, "content": [IMAGE, {"type": "search_result"}]}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": ""}]}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": [{"type": "tool_addition"}]}]},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max", "task_budget": {}}},
        {"thinking": {"type": "disabled"}, "temperature": 1.5, "stop_sequences": [" ", "x"], "service_tier": "new"},
        {"thinking": {"type": "enabled", "budget_tokens": 500}, "temperature": 0.1, "top_k": 3},
        {"thinking": {"type": "enabled", "budget_tokens": 0}, "output_config": {"effort": "none"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {}, "strict": True}}},
        {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
        {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": False, "new": 1}},
        {"tool_choice": {"type": "none"}, "tools": [{"name": "f", "input_schema": {}, "strict": False}]},
        {"tools": [{"type": "custom", "name": "f", "input_schema": {"type": "object"}, "cache_control": {"a": 1}}]},
        {"mcp_servers": [{"name": "m"}], "container": "c", "inference_geo": "eu", "cache_control": {"ttl": "1h"}},
        {"mcp_servers": [], "metadata": {"user_id": None, "x": 1}, "context_management": {"edits": []}},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_what_this_wire_can_say_comes_back(fields: dict[str, Any]) -> None:
    told = json.loads(body(**fields))
    encoded = WIRE.encode(WIRE.parse(body(**fields), ASKED))
    back = json.loads(encoded.body)
    if "metadata" in told:
        del told["metadata"]["user_id"]  # a null
    assert normal(back) == normal(told)
    assert encoded.dropped == ()


def test_a_demand_for_nothing_is_none() -> None:
    request = parsed(mcp_servers=[], container="c")
    assert (request.demands, request.extra) == ({"container": "c"}, {"mcp_servers": []})


# --- requests that are refused ---------------------------------------------------------------------------------------


def message(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "10"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (message("x"), "messages[0].content[0]"),
        (message({}), "messages[0].content[0].type"),
        (message({"type": []}), "messages[0].content[0].type"),
        (message({"type": "text"}), "messages[0].content[0].text"),
        (message({"type": "text", "text": None}), "messages[0].content[0].text"),
        (message({"type": "text", "text": "", "citations": {}}), "messages[0].content[0].citations"),
        (message({"type": "text", "text": "", "cache_control": "x"}), "messages[0].content[0].cache_control"),
        (message({"type": "image"}), "messages[0].content[0].source"),
        (message({"type": "image", "source": {}}), "messages[0].content[0].source.type"),
        (
            message({"type": "image", "source": {"type": "base64", "data": 1, "media_type": "image/png"}}),
            "messages[0].content[0].source.data",
        ),
        (message({"type": "image", "source": {"type": "url", "url": 1}}), "messages[0].content[0].source.url"),
        (message({**FILE, "source": {"type": "file", "file_id": []}}), "messages[0].content[0].source.file_id"),
        (message({**PDF, "title": 1}), "messages[0].content[0].title"),
        (message({"type": "thinking"}), "messages[0].content[0].thinking"),
        (message({"type": "redacted_thinking", "data": 1}), "messages[0].content[0].data"),
        (message({**CALL, "input": "{}"}), "messages[0].content[0].input"),
        (message({**CALL, "name": None}), "messages[0].content[0].name"),
        (message({**RESULT, "tool_use_id": 1}), "messages[0].content[0].tool_use_id"),
        (message({**RESULT, "is_error": "no"}), "messages[0].content[0].is_error"),
        (message({**RESULT, "content": [{"type": "text"}]}), "messages[0].content[0].content[0].text"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"type": 1}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": {}, "strict": 1}]}, "tools[0].strict"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": False}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"service_tier": 1}, "service_tier"),
        ({"output_config": 1}, "output_config"),
        ({"output_config": {"effort": 1}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": 1}}, "output_format.schema"),
        (
            {"output_format": {}, "output_config": {"format": {"type": "json_schema", "schema": {}}}},
            "output_format",
        ),
    ],
    ids=str,
)
def test_bad_request_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("number", [b"1e999", b"1" + b"0" * 5000])
def test_a_number_beyond_all_bounds_is_refused(number: bytes) -> None:
    with pytest.raises(BadRequest):
        WIRE.parse(body(temperature=123456).replace(b"123456", number), ASKED)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"model": "a", "model": "b"}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        WIRE.parse(data, ASKED)


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"{}", "model"),
        (b'{"model": ""}', "model"),
        (b'{"model": null}', "model"),
        (b'{"model": ["claude"]}', "model"),
        (b'{"model": "claude", "stream": 1}', "stream"),
    ],
)
def test_peek_names_the_field(data: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        WIRE.peek(Envelope(data), Path())
    assert caught.value.param == param


def test_peek() -> None:
    assert WIRE.peek(Envelope(b'{"model": "claude", "stream": true}'), Path()) == Peek("claude", True)
    assert WIRE.peek(Envelope(b'{"model": "claude", "stream": null}'), Path()) == Peek("claude", False)


def test_forward_edits_the_model_and_nothing_else() -> None:
    data = b'{ "stream":true,\n"model" : "alias", "x":1.0 }'
    envelope = Envelope(data)
    assert WIRE.forward(envelope, "alias", ask_usage=True).body is data
    assert WIRE.forward(envelope, "claude", ask_usage=True) == (data.replace(b"alias", b"claude"), None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FULL: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 10,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "t", "citations": []}, IMAGE, PDF, PLAIN, FILE]},
        {"role": "assistant", "content": [THOUGHT, REDACTED, CALL]},
        {"role": "user", "content": [RESULT, MADE_OF_BLOCKS]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "description": "d", "strict": True}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "output_config": {"format": {"type": "json_schema", "schema": {}}, "effort": "low"},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    "temperature": 1,
    "stream": True,
    "container": "c",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], item: Any) -> Any:
    """A copy of the value with the item at that place."""
    if not path:
        return item
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], item)
    return copy


@given(st.sampled_from(places(FULL)), JSON)
@settings(max_examples=400, deadline=None)
def test_any_json_in_any_place_is_read_or_refused_by_name(path: tuple[Any, ...], item: Any) -> None:
    value = put(FULL, path, item)
    try:
        request = WIRE.parse(json.dumps(value).encode(), ASKED)
    except BadRequest as refusal:
        named = refusal.param is not None and refusal.param in refusal.message
        assert named or not path
        return
    # A null that stands for an absent field is forgotten everywhere.
    assert normal(without_nulls(sent(request))) == normal(without_nulls(value))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


# --- what other wires ask of this one --------------------------------------------------------------------------------


def test_a_chat_without_a_word_is_refused_and_not_emptied() -> None:
    turn = Turn(role="user", parts=[Text(text="")], at="messages[0]")
    with pytest.raises(Unrepresentable) as caught:
        WIRE.encode(Request(wire="openai_chat", model="m", turns=[turn]))
    assert caught.value.param == "messages"


CREATE: TypeAdapter[Any] = TypeAdapter(message_create_params.MessageCreateParams)


SDK_EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)


def accepted(value: dict[str, Any]) -> None:
    """The SDK's types know the request. They are those of a later version, which has no sampling knobs."""
    rest = {key: item for key, item in value.items() if key not in ("temperature", "top_p", "top_k")}
    CREATE.validate_python(rest, extra="forbid")


def refused(request: Request) -> str | None:
    with pytest.raises(Unrepresentable) as caught:
        WIRE.encode(request)
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value.param


def test_the_sdk_accepts_what_we_say_for_another_wire() -> None:
    value = sent(
        foreign(
            turn("system", Text(text="Be kind.")),
            turn("developer", Text(text="Be brief.", cache={"type": "default"})),
            turn("user", Text(text="What is it?"), Image(source=Inline("aGk=", "image/png"), detail="auto")),
            turn("user", Document(source=Inline("aGk="), name="a.pdf"), Image(source=Remote("https://x.example/i"))),
            turn("assistant", Text(text=""), ToolCall(id="call|1", name="f", arguments='{"x": 1.50}')),
            turn("user", Text(text="and")),
            turn("user", ToolResult(id="call|1", parts=[Text(text="42"), Text(text="")])),
            turn("system", Text(text="Now.")),
            turn("assistant", Refusal(text="No.")),
            turn("assistant", Text(text="But")),
            turn("user", Text(text="go"), Document(source=Inline("aMOp", "text/markdown"), name="n")),
            tools=[Tool(name="f"), Tool(name="g", description="d", parameters={"properties": {}}, strict=True)],
            tool_choice=ToolChoice("required"),
            parallel_tools=False,
            format=Format(kind="schema", name="n", schema={"type": "object"}),
            temperature=1.5,
            stop=["END", "\n"],
            user="u",
            service_tier="default",
            stream=True,
        )
    )
    accepted(value)
    call = value["messages"][1]["content"][0]
    assert re.fullmatch("[a-zA-Z0-9_-]+", call["id"])
    assert value == {
        "model": "claude",
        "max_tokens": 100,
        "system": [
            {"type": "text", "text": "Be kind."},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                        "title": "a.pdf",
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://x.example/i"}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": call["id"], "name": "f", "input": {"x": 1.5}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "42"}]},
                    {"type": "text", "text": "and"},
                    {"type": "text", "text": "<system>\nNow.\n</system>"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "No."}, {"type": "text", "text": "But"}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "go"},
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "hé"},
                        "title": "n",
                    },
                ],
            },
        ],
        "stream": True,
        "tools": [
            {"name": "f", "input_schema": {"type": "object", "properties": {}}},
            {"name": "g", "input_schema": {"type": "object", "properties": {}}, "description": "d", "strict": True},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["END"],
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({}, ()),
        ({"seed": 0, "logit_bias": {"1": 2.0}, "logprobs": True}, ("logit_bias", "logprobs", "seed")),
        ({"frequency_penalty": 1.0, "presence_penalty": -1.0}, ("frequency_penalty", "presence_penalty")),
        ({"frequency_penalty": 0, "logprobs": False, "logit_bias": {}, "top_logprobs": 0, "n": 1}, ()),
        ({"top_logprobs": 3}, ("top_logprobs",)),
        ({"temperature": 1.2}, ("temperature",)),
        ({"temperature": 1.0}, ()),
        ({"stop": ["\n"]}, ("stop",)),
        ({"service_tier": "flex"}, ("service_tier",)),
        ({"format": Format(kind="json")}, ("response_format",)),
        ({"format": Format(kind="text")}, ()),
        ({"format": Format(kind="schema", schema={}, description="d")}, ("response_format",)),
        ({"extra": {"store": True, "verbosity": "low"}}, ("store", "verbosity")),
        ({"reasoning": Reasoning(effort="high")}, ("reasoning",)),  # max_tokens is 100: there is no room
        ({"reasoning": Reasoning(effort="silly"), "max_tokens": 9000}, ("reasoning",)),
        ({"reasoning": Reasoning(budget=-1), "max_tokens": 9000}, ("reasoning",)),
        ({"reasoning": Reasoning()}, ()),
        (
            {"reasoning": Reasoning(effort="low"), "max_tokens": 9000, "temperature": 0.5, "top_k": 3, "top_p": 0.5},
            ("temperature", "top_k", "top_p"),
        ),
        ({"reasoning": Reasoning(effort="low"), "max_tokens": 9000, "temperature": 1, "top_p": 0.95}, ()),
        ({"tools": [Tool(name="f", extra={"x": 1})]}, ("x",)),
        ({"turns": [turn("user", Text(text="a", extra={"y": 1}), extra={"name": "n"})]}, ("name", "y")),
        ({"turns": [turn("assistant", Thinking(text="t"), Text(text="a", citations=citations_of([{}])))]},
         ("citations", "thinking")),
        ({"turns": [turn("user", Image(source=Remote("https://x.example/i"), detail="high"))]}, ("detail",)),
        ({"turns": [turn("user", Text(text="a")), turn("system", Text(text="b"))]}, ("messages.system_position",)),
    ],
    ids=str,
)  # fmt: skip
def test_a_knob_that_the_wire_lacks_is_receipted(fields: dict[str, Any], dropped: tuple[str, ...]) -> None:
    encoded = WIRE.encode(foreign(**fields))
    accepted(json.loads(encoded.body))
    assert encoded.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"demands": {"modalities": ["audio"]}}, "modalities"),
        ({"tools": [Tool(name="f"), Tool(name="g", kind="custom", at="tools[1]")]}, "tools[1]"),
        ({"tools": [Tool(name="", kind="web_search", at="")]}, "tools[0]"),
        ({"turns": [turn("user", Audio(source=Inline("a")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Image(source=Stored("file-1")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Image(source=Inline("aGk=", "image/tiff")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Text(text="a"), Document(source=Stored("file-1")))]}, "messages[0].content[1]"),
        ({"turns": [turn("user", Document(source=Inline("aGk=", "application/msword")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Document(source=Inline("%%", "text/plain")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Opaque(wire="gemini", value={}))]}, "messages[0].content[0]"),
        ({"turns": [turn("system", Image(source=Remote("https://x.example/i")))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolCall(id="1", name="f", arguments="[]"))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolCall(id="1", name="f", arguments='{"a"'))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolCall(id="1", name="f", kind="custom"))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", ToolResult(id="1", parts=[Audio(id="a")]))]}, "messages[0].content[0].content[0]"),
    ],
    ids=str,
)
def test_content_that_the_wire_cannot_carry_is_refused_by_its_path(fields: dict[str, Any], param: str) -> None:
    assert refused(foreign(**fields)) == param


@pytest.mark.parametrize(
    ("reasoning", "limit", "thinking", "total"),
    [
        (Reasoning(effort="low"), None, BUDGETS["low"], DEFAULT_MAX_TOKENS + BUDGETS["low"]),
        (Reasoning(effort="high"), 100_000, BUDGETS["high"], 100_000),
        (Reasoning(effort="high"), 5000, 2500, 5000),
        (Reasoning(effort="minimal"), 1025, 1024, 1025),
        (Reasoning(budget=9000), 5000, 4999, 5000),
        (Reasoning(budget=100), 5000, 1024, 5000),
        (Reasoning(effort="high"), 1024, None, 1024),
        (None, None, None, DEFAULT_MAX_TOKENS),
    ],
    ids=str,
)
def test_thinking_fits_into_the_answer(
    reasoning: Reasoning | None, limit: int | None, thinking: int | None, total: int
) -> None:
    value = sent(foreign(reasoning=reasoning, max_tokens=limit))
    assert value["max_tokens"] == total
    assert value.get("thinking") == (thinking and {"type": "enabled", "budget_tokens": thinking})


@pytest.mark.parametrize("reasoning", [Reasoning(off=True), Reasoning(budget=0), Reasoning(effort="none")], ids=str)
def test_no_thinking_can_be_asked_for(reasoning: Reasoning) -> None:
    assert sent(foreign(reasoning=reasoning))["thinking"] == {"type": "disabled"}


CALLED = [turn("user", Text(text="a")), turn("assistant", ToolCall(id="1", name="f")), turn("user", ToolResult(id="1"))]


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": ToolChoice("required"), "tools": [Tool(name="f")]},
        {"turns": CALLED},
        {"turns": [turn("user", Text(text="a")), turn("assistant", Text(text="b"))]},
    ],
    ids=["forced tool", "results", "prefill"],
)
def test_thinking_that_the_wire_would_refuse_is_left_out(fields: dict[str, Any]) -> None:
    encoded = WIRE.encode(foreign(reasoning=Reasoning(effort="low"), **fields | {"max_tokens": 9000}))
    assert "thinking" not in json.loads(encoded.body)
    assert encoded.dropped == ("reasoning",)


def test_a_call_without_arguments_is_an_empty_object() -> None:
    assert sent(foreign(*CALLED))["messages"][1]["content"][0]["input"] == {}


def test_ids_are_mapped_alike_and_apart() -> None:
    names = ["a.b", "a b", "fine-1"]
    calls = turn("assistant", *(ToolCall(id=name, name="f") for name in names))
    results = turn("user", *(ToolResult(id=name) for name in names))
    _, asked_for, answered = sent(foreign(turn("user", Text(text="x")), calls, results))["messages"]
    ids = [block["id"] for block in asked_for["content"]]
    assert ids == [block["tool_use_id"] for block in answered["content"]]
    assert len(set(ids)) == 3
    assert ids[2] == "fine-1"


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"tool_choice": ToolChoice("auto")}, {"type": "auto"}),
        ({"tool_choice": ToolChoice("none"), "parallel_tools": False}, {"type": "none"}),
        ({"tool_choice": ToolChoice("tool", "f")}, {"type": "tool", "name": "f"}),
        ({"parallel_tools": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tools": True}, None),
        ({"parallel_tools": False, "tools": []}, None),
        ({"tool_choice": ToolChoice("auto"), "tools": []}, None),
    ],
    ids=str,
)
def test_tool_choice(fields: dict[str, Any], choice: dict[str, Any] | None) -> None:
    assert sent(foreign(**{"tools": [Tool(name="f")]} | fields)).get("tool_choice") == choice


# --- laws of the answer ----------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
OBJECTS = st.dictionaries(WORDS, st.integers(-(2**53), 2**53) | WORDS | st.none(), max_size=3)
COUNTS = st.integers(0, 10**6)
STOPS: list[tuple[Reason, str]] = [
    ("stop", "end_turn"),
    ("length", "max_tokens"),
    ("context", "model_context_window_exceeded"),
    ("tool_use", "tool_use"),
    ("refusal", "refusal"),
    ("pause", "pause_turn"),
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "reasoning")
    counts = {name: draw(COUNTS) for name in names}
    return Usage(output=draw(st.integers(1, 99)), extra={"server_tool_use": {"web_search_requests": 1}}, **counts)


@st.composite
def blocks(draw: st.DrawFn, index: int) -> list[Event]:
    """A block as this wire's decoder says it: citations and signatures in deltas of their own."""
    kind = draw(st.sampled_from(["text", "thinking", "redacted", "call", "opaque"]))
    texts = [Delta(index=index, text=text) for text in draw(st.lists(WORDS, max_size=4))]
    part: Part
    match kind:
        case "text":
            part = Text()
            texts += [
                Delta(index=index, citations=citations_of([{"type": "page_location", "cited_text": draw(WORDS)}]))
            ]
        case "thinking":
            part = Thinking()
            texts += [Delta(index=index, signature=draw(WORDS))]
        case "redacted":
            part, texts = Thinking(redacted=draw(WORDS)), []
        case "call":
            part = ToolCall(id=draw(WORDS), name=draw(WORDS), extra=draw(st.sampled_from([{}, {"caller": {}}])))
            text = msgspec.json.encode(draw(OBJECTS)).decode()
            texts = [Delta(index=index, text=piece) for piece in (text[:3], text[3:]) if piece]
        case _:
            value = {"type": "server_tool_use", "id": draw(WORDS), "input": draw(OBJECTS)}
            part, texts = Opaque(wire="anthropic", value=value), []
    return [Open(index=index, part=part), *texts, Close(index=index)]


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    reason, word = draw(st.sampled_from(STOPS))
    said = [event for index in range(draw(st.integers(0, 4))) for event in draw(blocks(index))]
    early = [draw(usages())] if not said or draw(st.booleans()) else []
    stop = Stop(reason=reason, raw=word)
    return [Start(id=draw(WORDS), model=draw(WORDS)), *early, *said, draw(usages()), Finish(stops=(stop,))]


@given(sentences())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_rendered_is_decoded(events: list[Event]) -> None:
    assert decoded(said(events)) == events
    assert fold(decoded(said(events, streamed=False), streamed=False)) == fold(events)


@given(sentences(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_interleaved_blocks_are_said_one_after_the_other(events: list[Event], dice: random.Random) -> None:
    queues: dict[int, list[Event]] = {}
    for event in events:
        if isinstance(event, Open | Delta | Close):
            queues.setdefault(event.index, []).append(event)
    mixed: list[Event] = []
    unopened = list(queues)
    opened: list[int] = []
    while unopened or opened:
        if unopened and (not opened or dice.random() < 0.5):
            index = unopened.pop(0)
            opened.append(index)
        else:
            index = dice.choice(opened)
        mixed.append(queues[index].pop(0))
        if not queues[index]:
            opened.remove(index)
    first = next((at for at, event in enumerate(events) if isinstance(event, Open)), None)
    if first is not None:
        interleaved = [*events[:first], *mixed, *events[first + len(mixed) :]]
        assert decoded(said(interleaved)) == events


def test_a_block_that_waits_is_not_late_and_the_first_is_not_held() -> None:
    renderer = WIRE.renderer(asked())
    renderer.feed(Start())
    first = renderer.feed(Open(index=0, part=Text()))
    assert b"message_start" in first
    assert b"content_block_start" in first
    assert renderer.feed(Open(index=1, part=Text())) == b""
    assert renderer.feed(Delta(index=1, text="later")) == b""
    assert b"now" in renderer.feed(Delta(index=0, text="now"))
    caught_up = renderer.feed(Close(index=0))
    assert [json.loads(frame.data)["type"] for frame in frames(caught_up)] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
    ]
    assert b"live" in renderer.feed(Delta(index=1, text="live"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_second_choice_is_not_lost_in_silence(stream: bool) -> None:
    events: list[Event] = [Start(), Open(index=0, part=Text(), choice=1), Close(index=0)]
    with pytest.raises(Unrepresentable, match="several choices"):
        said([*events, Finish(stops=(Stop(), Stop()))], stream)


def test_a_stream_as_the_client_reads_it() -> None:
    data = said(
        [
            Start(id="chatcmpl-1", model="gpt"),
            Open(index=0, part=Text()),
            Delta(index=0, text="Hi", logprobs=[{}]),
            Close(index=0),
            Open(index=1, part=ToolCall(id="call_1", name="f")),
            Delta(index=1, text='{"x"'),
            Delta(index=1, text=":1}"),
            Close(index=1),
            Usage(input=5, cache_read=3, audio_input=2, output=7, reasoning=4),
            Finish(stops=(Stop(reason="tool_use", raw="tool_calls"),)),
        ]
    )
    assert all(frame.event == json.loads(frame.data)["type"] for frame in frames(data))
    told = [json.loads(frame.data) for frame in frames(data)]
    start = told[0]["message"]
    assert (start["id"], start["model"], start["content"], start["stop_reason"]) == ("chatcmpl-1", "gpt", [], None)
    assert told[1:-2] == [
        block_start(0, type="text", text=""),
        block_delta(0, type="text_delta", text="Hi"),
        block_stop(0),
        block_start(1, type="tool_use", id="call_1", name="f", input={}),
        block_delta(1, type="input_json_delta", partial_json='{"x"'),
        block_delta(1, type="input_json_delta", partial_json=":1}"),
        block_stop(1),
    ]
    assert told[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    usage = told[-2]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (7, 3, 11)
    assert told[-1] == STOP
    for frame in frames(data):
        SDK_EVENT.validate_json(frame.data)


def test_a_whole_answer_as_the_client_reads_it() -> None:
    stop = Stop(reason="stop_sequence", raw="stop", sequence="END")
    parts: list[Event] = [Open(index=0, part=ToolCall(id="c", name="f", arguments="")), Close(index=0)]
    data = said([Start(), *parts, Usage(output=1), Finish(stops=(stop,))], streamed=False)
    message = anthropic.types.Message.model_validate_json(data, strict=True)
    assert message.id.startswith("msg_")
    assert message.model == "claude"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert message.to_dict()["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        *STOPS,
        ("content_filter", "refusal"),
        ("malformed_tool_call", "end_turn"),
        ("other", "end_turn"),
        ("stop_sequence", "stop_sequence"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_every_reason_has_a_word(reason: Reason, word: str, streamed: bool) -> None:
    events = decoded(said([Start(), Finish(stops=(Stop(reason=reason),))], streamed), streamed)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.stops[0].raw == word


def test_a_refusal_is_text_and_a_reason() -> None:
    events: list[Event] = [Start(), Open(index=0, part=Refusal()), Delta(index=0, text="No."), Close(index=0)]
    for streamed in (True, False):
        completion = fold(decoded(said([*events, Finish()], streamed), streamed))
        assert completion.choices[0].parts == [Text(text="No.")]
        assert completion.choices[0].stop.reason == "refusal"
    cut = said([*events, Finish(stops=(Stop(reason="length"),))])
    assert fold(decoded(cut)).choices[0].stop.reason == "length"


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    part = ToolCall(id="c", name="f", arguments='{"x": ')
    data = said([Start(), Open(index=0, part=part), Close(index=0), Finish()], streamed=False)
    assert json.loads(data)["content"][0]["input"] == {"malformed_arguments": '{"x": '}


def test_citations_of_another_wire_are_not_passed_off_as_ours() -> None:
    theirs = Citation(wire="openai_chat", value={"type": "url_citation"}, url="https://x.example")
    events: list[Event] = [Start(), Open(index=0, part=Text()), Delta(index=0, text="a", citations=[theirs])]
    assert fold(decoded(said([*events, Close(index=0), Finish()]))).choices[0].parts == [Text(text="a")]


@pytest.mark.parametrize("part", [Image(source=Remote("u")), Audio(id="a"), Opaque(wire="gemini", value={})], ids=str)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_part_that_the_wire_has_not_is_refused_aloud(part: Part, streamed: bool) -> None:
    with pytest.raises(Unrepresentable) as caught:
        said([Start(), Open(index=0, part=part), Close(index=0), Finish()], streamed)
    assert caught.value.param == "content[0]"


# --- streams that are unusual, and streams that are broken -----------------------------------------------------------


def test_tool_input_may_come_whole_or_not_at_all() -> None:
    data = stream(
        message_start(),
        block_start(0, type="tool_use", id="a", name="f", input={"x": 1}),
        block_delta(0, type="input_json_delta", partial_json=""),
        block_stop(0),
        block_start(1, type="tool_use", id="b", name="f", input={}),
        block_delta(1, type="input_json_delta", partial_json=""),
        block_stop(1),
        block_start(2, type="tool_use", id="c", name="f", input={"stale": True}),
        block_delta(2, type="input_json_delta", partial_json='{"y":2}'),
        block_stop(2),
        message_delta("tool_use"),
        STOP,
    )
    calls = fold(decoded(data)).choices[0].parts
    assert [json.loads(call.arguments) for call in calls if isinstance(call, ToolCall)] == [{"x": 1}, {}, {"y": 2}]
    assert not [event for event in decoded(data) if isinstance(event, Delta) and not event.text]


def test_what_is_new_to_us_is_passed_over_or_kept_whole() -> None:
    data = stream(
        {"type": "heartbeat", "index": [], "delta": 3},
        message_start(),
        block_start(0, type="text", text="A", citations=None),
        block_delta(0, type="aroma_delta", scent="rose"),
        block_delta(0, type="text_delta", text="b"),
        block_stop(0),
        block_start(1, type="hologram", frames=None, note="x"),
        block_delta(1, type="hologram_delta", frames=[1], note="y"),
        block_delta(1, type="input_json_delta", partial_json='{"a":'),
        block_delta(1, type="input_json_delta", partial_json="1}"),
        block_stop(1),
        message_delta("novelty"),
        STOP,
        {"type": "message_start"},
    )
    completion = fold(decoded(data + b"data: [DONE]\n\n"))
    hologram = {"type": "hologram", "frames": [1], "note": "xy", "input": {"a": 1}}
    assert completion.choices[0].parts == [Text(text="Ab"), Opaque(wire="anthropic", value=hologram)]
    assert completion.choices[0].stop == Stop(reason="other", raw="novelty")


def test_usage_is_told_twice_and_the_later_wins() -> None:
    early = {"input_tokens": 3, "cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}}
    late = {"output_tokens": 8, "output_tokens_details": {"thinking_tokens": 5}, "input_tokens": None}
    data = stream(message_start(**early, output_tokens=1), message_delta(**late), STOP)
    first, last = (event for event in decoded(data) if isinstance(event, Usage))
    assert first == Usage(input=3, cache_write=5, cache_write_1h=4, output=1)
    assert last == Usage(input=3, cache_write=5, cache_write_1h=4, output=3, reasoning=5)
    assert laws.watch(WIRE.meter(True), [data]).usage == last


@pytest.mark.parametrize("count", ["12", -3, None, True, 1.5, [1], {}], ids=str)
def test_a_count_that_is_no_count_counts_nothing(count: object) -> None:
    data = stream(message_start(input_tokens=count, cache_creation=count), message_delta(output_tokens=2), STOP)
    assert decoded(data)[-2] == Usage(output=2)
    assert laws.watch(WIRE.meter(True), [data]).usage == Usage(output=2)


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("overloaded_error", Busy, 529),
        ("rate_limit_error", Busy, 429),
        ("api_error", Down, 500),
        ("timeout_error", Down, 504),
        ("invalid_request_error", Refused, 400),
        ("authentication_error", Refused, 401),
        ("billing_error", Refused, 402),
        ("unheard_of", Down, 502),
    ],
)
def test_an_error_in_the_answer(word: str, kind: type[UpstreamError], status: int) -> None:
    told = {"type": "error", "error": {"type": word, "message": "Sorry."}}
    data = stream(message_start(), block_start(0, type="text", text=""), told)
    meter = laws.watch(WIRE.meter(True), [data])
    for error in (failure(data), failure(json.dumps(told).encode(), streamed=False), meter.error):
        assert type(error) is kind
        assert (error.status, error.message, error.upstream_type) == (status, "Sorry.", word)
    assert not meter.finished


GOOD = [message_start(), block_start(0, type="text", text=""), block_delta(0, type="text_delta", text="a")]


@pytest.mark.parametrize(
    "data",
    [
        stream(*GOOD),
        stream(*GOOD, block_stop(0), message_delta()),
        stream(*GOOD, message_delta(), STOP),
        stream(*GOOD, GOOD[0]),
        stream(*GOOD, GOOD[1]),
        stream(*GOOD, block_delta(1, type="text_delta", text="a")),
        stream(*GOOD, block_delta(0, type="input_json_delta", partial_json="{}")),
        stream(*GOOD, block_delta(0, type="text_delta")),
        stream(*GOOD, block_delta(0, type="text_delta", text=5)),
        stream(*GOOD, {"type": "content_block_delta", "index": 0}),
        stream(*GOOD, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}),
        stream(*GOOD, block_stop(0), block_stop(0)),
        stream(*GOOD, block_start(1, type=["text"])),
        stream(*GOOD, block_start(1)),
        stream(*GOOD, block_start(1, type="text", text=None)),
        stream(*GOOD, block_start(1, type="tool_use", id="a", name="f", input="{}")),
        stream(*GOOD, block_start(1, type="tool_use", id="a")),
        stream(*GOOD, {"type": "content_block_start", "index": 1}),
        stream(*GOOD, {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}),
        stream(
            *GOOD, block_start(1, type="x"), block_delta(1, type="input_json_delta", partial_json="["), block_stop(1)
        ),
        stream(*GOOD[1:]),
        stream(message_delta(), STOP),
        stream(STOP),
        stream({"type": "message_start"}),
        stream({"type": "message_start", "message": 5}),
        stream(*GOOD) + b"data: {\n\n",
        stream(*GOOD) + b"data: \xff\n\n",
        stream(*GOOD) + b"data: []\n\n",
        stream(*GOOD) + b"data: " + b"[" * 100_000 + b"\n\n",
        b"",
        b"<html>Bad gateway</html>",
    ],
    ids=lambda data: data[-60:].decode("latin-1"),
)
def test_a_broken_stream_is_the_providers_fault(data: bytes) -> None:
    assert isinstance(failure(data), Down)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"{}", b'{"content": 5}', b'{"content": [5]}', b'{"content": [{"type": 5}]}']
)
def test_a_broken_whole_answer_is_the_providers_fault(data: bytes) -> None:
    assert isinstance(failure(data, streamed=False), Down)
    meter = laws.watch(WIRE.meter(False), [data])
    assert meter.usage is None


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A stream that was treated badly: bytes flipped, lines lost, doubled, swapped, values put in wrong places."""
    lines = data.split(b"\n")
    for _ in range(dice.randint(1, 4)):
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        match dice.randrange(6):
            case 0:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            case 1:
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                lines.insert(at, lines[other])
            case 3:
                del lines[at]
            case 4:
                lines[at] = re.sub(rb"\d+", dice.choice([b"7", b"null", b'"x"', b"[]", b"1e999"]), lines[at])
            case _:
                lines[at] = re.sub(
                    rb'"[a-z_]+"', dice.choice([b'"type"', b"{}", b'"index"', b"null"]), lines[at], count=2
                )
        lines = lines or [b""]
    return b"\n".join(lines)


@recordings.needs_recordings
@pytest.mark.parametrize("row", STREAMS, ids=recordings.ids)
def test_a_mutated_stream_is_a_sentence_or_an_error(row: recordings.Row) -> None:
    dice = random.Random(row["id"])
    for _ in range(60):
        data = mutated(recordings.body(row), dice)
        events, error = laws.listen(WIRE.decoder(True), [data])
        if error is None:
            list(grammatical(events))
        laws.watch(WIRE.meter(True), [data])


ANSWER = {
    "type": "message",
    "id": "m",
    "model": "c",
    "content": [CALL, THOUGHT],
    "stop_reason": "end_turn",
    "usage": {},
}
EVENTS = [
    [message_start(input_tokens=1, cache_creation={"ephemeral_1h_input_tokens": 1})],
    [message_start(), block_start(0, type="text", text="", citations=[])],
    [message_start(), block_start(0, **CALL)],
    [message_start(), block_start(0, type="other", citations=1), block_delta(0, type="citations_delta", citation={})],
    [*GOOD, block_delta(0, type="text_delta", text="x")],
    [*GOOD, message_delta(output_tokens=1)],
    [message_start(), {"type": "error", "error": {"type": "api_error", "message": "m"}}],
]


@given(st.sampled_from(EVENTS), st.data())
@settings(max_examples=300, deadline=None)
def test_any_json_in_any_place_of_a_stream(events: list[dict[str, Any]], data: st.DataObject) -> None:
    last = put(events[-1], data.draw(st.sampled_from(places(events[-1]))), data.draw(JSON))
    text = stream(*events[:-1]) + b"data: " + json.dumps(last).encode() + b"\n\n" + stream(block_stop(0), STOP)
    decoder = WIRE.decoder(True)
    heard, error = laws.listen(decoder, [text])
    if error is None:
        list(grammatical(heard))
    laws.watch(WIRE.meter(True), [text])


@given(st.sampled_from(places(ANSWER)), JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_in_any_place_of_a_whole_answer(path: tuple[Any, ...], item: Any) -> None:
    text = json.dumps(put(ANSWER, path, item)).encode()
    heard, error = laws.listen(WIRE.decoder(False), [text])
    if error is None:
        list(grammatical(heard))
    laws.watch(WIRE.meter(False), [text])
    assert isinstance(WIRE.decode_error(500, {}, text), Down)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all(data: bytes) -> None:
    for streamed in (True, False):
        assert laws.listen(WIRE.decoder(streamed), [data])[1] is not None
        laws.watch(WIRE.meter(streamed), [data])
    assert WIRE.decode_error(503, {}, data).status == 503


# --- the meter -------------------------------------------------------------------------------------------------------


def test_a_meter_passes_over_a_line_that_is_too_long() -> None:
    start, delta, stop = (
        stream(event) for event in (message_start(input_tokens=1), message_delta(output_tokens=2), STOP)
    )
    long = [b"data: " + b"x" * 2**20, stream(message_delta(output_tokens=10**6)).split(b"\n")[1], b"\n\n"]
    meter = laws.watch(WIRE.meter(True), [start, *long])
    assert meter.usage == Usage(input=1)
    laws.watch(meter, [delta + stop])
    assert (meter.usage, meter.finished) == (Usage(input=1, output=2), True)


def test_a_meter_knows_an_error_that_came_instead_of_a_stream() -> None:
    told = b'{"type":"error","error":{"type":"overloaded_error","message":"Sorry."}}'
    meter = laws.watch(WIRE.meter(True), [told])
    assert isinstance(meter.error, Busy)
    assert not meter.finished


def test_a_meter_is_not_deceived_by_text() -> None:
    lie = json.dumps(message_delta(output_tokens=10**6))
    data = stream(*GOOD, block_delta(0, type="text_delta", text=f"\ndata: {lie}\n\n"), block_stop(0))
    assert laws.watch(WIRE.meter(True), [data]).usage is None
    assert not laws.watch(WIRE.meter(True), [data]).finished


def test_a_meter_parses_no_event_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = WIRE.meter(True)
    seen: list[bytes] = []
    monkeypatch.setattr(meter, "_event", seen.append)
    laws.watch(meter, [stream(block_delta(0, type="text_delta", text="word " * 15))] * 3)
    assert seen == []
    laws.watch(meter, [stream(message_delta(output_tokens=1))])
    assert len(seen) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_meter_reads_lines_as_the_decoder_does(end: bytes) -> None:
    data = b"\xef\xbb\xbf" + stream(message_start(input_tokens=3), message_delta(output_tokens=4), STOP)
    data = re.sub(rb"event: \w+\n", b"", data).replace(b"\n", end)
    last = [event for event in decoded(data) if isinstance(event, Usage)][-1]
    for chunks in laws.splits(data, count=5):
        meter = laws.watch(WIRE.meter(True), chunks)
        assert (meter.usage, meter.model, meter.finished) == (last, "claude", True)


def test_a_meter_passes_over_an_event_that_is_too_long() -> None:
    long = block_delta(0, type="text_delta", text='"message_' + "x" * MAX_EVENT)
    data = stream(message_start(input_tokens=3), long, message_delta(output_tokens=4), STOP)
    chunks = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    meter = laws.watch(WIRE.meter(True), chunks)
    assert (meter.usage, meter.finished) == (Usage(input=3, output=4), True)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (BadRequest("m"), "invalid_request_error"),
        (Unauthorized("m"), "authentication_error"),
        (BadRequest("m", status=403), "permission_error"),
        (UnknownModel("m"), "not_found_error"),
        (BadRequest("m", status=413), "request_too_large"),
        (BadRequest("m", status=422), "invalid_request_error"),
        (OverLimit("m"), "rate_limit_error"),
        (OverBudget("m"), "billing_error"),
        (Down("m"), "api_error"),
        (Down("m", status=503), "api_error"),
        (Busy("m", status=529), "overloaded_error"),
        (Timeout("m"), "timeout_error"),
        (GatewayError("m"), "api_error"),
    ],
    ids=repr,
)
def test_an_error_for_the_client(error: GatewayError, word: str) -> None:
    told = {"type": "error", "error": {"type": word, "message": "m"}}
    assert json.loads(WIRE.error(error, "req_1")) == told | {"request_id": "req_1"}
    half = stream(message_start()) + b'event: content_block_delta\ndata: {"type":"content_bl'
    last = frames(half + WIRE.error_event(error))[-1]
    assert (last.event, json.loads(last.data)) == ("error", told)
    live = frames(WIRE.renderer(asked()).error(error))
    assert [(frame.event, json.loads(frame.data)) for frame in live] == [("error", told)]
    assert json.loads(WIRE.renderer(asked(streamed=False)).error(error)) == told


@pytest.mark.parametrize(
    ("status", "kind", "sort", "spelled"),
    [
        (400, Refused, "invalid_request", 400),
        (401, Refused, "authentication", 401),
        (402, Refused, "quota_exceeded", 402),
        (403, Refused, "authentication", 403),
        (404, Refused, "invalid_request", 404),
        (413, Refused, "invalid_request", 413),
        (429, Busy, "rate_limit", 429),
        (529, Busy, "rate_limit", 529),
        (500, Down, "server_error", 500),
        (503, Down, "server_error", 503),
        (504, Down, "timeout", 504),
        (302, Down, "server_error", 502),
    ],
)
def test_an_error_of_the_provider(status: int, kind: type[UpstreamError], sort: str, spelled: int) -> None:
    headers = {"retry-after": "3", "x-should-retry": "true", "anthropic-ratelimit-requests-remaining": "0", "via": "x"}
    error = WIRE.decode_error(status, headers, b"<html>")
    assert type(error) is kind
    assert (error.kind, error.status, error.upstream_status, error.body) == (sort, spelled, status, None)
    assert error.message == f"The provider answered {status} with no readable error."
    assert [name for name, _ in error.headers] == list(headers)[:3]


@pytest.mark.parametrize(
    ("data", "text", "kept"),
    [
        (b'{"error": {"type": "t", "message": "Too long."}}', "Too long.", True),
        (b'{"error": "Too long."}', "Too long.", True),
        (b'{"error": {"message": 5}}', "The provider answered 400 with no readable error.", True),
        (b'{"detail": "x"}', "The provider answered 400 with no readable error.", False),
        (b'["error"]', "The provider answered 400 with no readable error.", False),
        (b"", "The provider answered 400 with no readable error.", False),
    ],
)
def test_the_words_of_an_error(data: bytes, text: str, kept: bool) -> None:
    error = WIRE.decode_error(400, {}, data)
    assert (error.message, error.body) == (text, data if kept else None)


def test_models() -> None:
    listed = json.loads(WIRE.model_list(["a", "b/c"]))
    assert [(model["id"], model["type"], model["display_name"]) for model in listed["data"]] == [
        ("a", "model", "a"),
        ("b/c", "model", "b/c"),
    ]
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "a", "b/c")
    assert json.loads(WIRE.model_list([]))["last_id"] is None
    assert json.loads(WIRE.model_card("a")) == listed["data"][0]


def test_ping_is_a_frame_of_its_own() -> None:
    assert WIRE.ping is not None
    assert frames(WIRE.ping) == [Frame("ping", b'{"type": "ping"}')]
    assert laws.listen(WIRE.decoder(True), [WIRE.ping + stream(message_start(), message_delta(), STOP)])[1] is None
