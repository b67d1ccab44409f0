"""Does proxy.dialects.anthropic speak Anthropic's wire, both ways, and refuse aloud what it cannot say?"""

import json
import re
from collections.abc import Callable
from typing import Any

import anthropic.types
import pytest
from anthropic.types import message_create_params
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.canon import (
    Audio,
    Document,
    Format,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Request,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    WebSearch,
)
from proxy.dialects.anthropic import Anthropic
from proxy.dialects.anthropic.citations import citations_of
from proxy.dialects.anthropic.words import SPELLED, SPELLED_BY
from proxy.dialects.openai_chat import OpenAIChat
from proxy.envelope import Envelope
from proxy.errors import (
    BadRequest,
    Unrepresentable,
)
from proxy.grammar.claude.budgets import BUDGETS, DEFAULT_MAX_TOKENS
from proxy.grammar.fields import standard_base64
from proxy.ports import Dialect, Forward, Path, Peek
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put, without_nulls
from tests.placed import placed

WIRE = Anthropic()
ASKED = Peek("m", False)
IS_A_DIALECT: Dialect = WIRE  # for mypy

ROWS = recordings.load("*anthropic.messages")


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
    return placed(role, parts, at, **fields)


# --- recorded requests -----------------------------------------------------------------------------------------------


EMPTY = ("stream", "system", "tools", "metadata", "output_config")


def normal(value: dict[str, Any]) -> dict[str, Any]:
    """A request without what our spelling of it changes, and nobody can tell:

    - text given as a string is a list of one text block;
    - a tool_result's `content` that is empty is left out;
    - `citations` that are empty are left out, as are nulls at the top level, and in `cache_control` and `citations`;
    - `stream: false` is left out, and so are an empty `system`, `tools`, `metadata` or `output_config`;
    - a tool's `type: custom` is left out;
    - `output_format` is `output_config.format`;
    - a `signature` that is empty is left out, and so is a message without content, which Anthropic refuses;
    - base64 has its padding.
    """
    fields = {key: item for key, item in value.items() if item is not None}
    if "output_format" in fields:
        fields["output_config"] = fields.get("output_config", {}) | {"format": fields.pop("output_format")}
    fields = {k: v for k, v in fields.items() if v or k not in EMPTY}
    if "system" in fields:
        fields["system"] = normal_content(fields["system"])
    fields["tools"] = [{k: v for k, v in t.items() if (k, v) != ("type", "custom")} for t in fields.get("tools", [])]
    messages = [message for message in fields["messages"] if message["content"]]
    return fields | {"messages": [m | {"content": normal_content(m["content"])} for m in messages]}


def normal_content(content: Any) -> list[Any]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [normal_block(block) for block in blocks]


def normal_block(block: dict[str, Any]) -> dict[str, Any]:
    block = {
        key: value for key, value in block.items() if value or key not in ("citations", "cache_control", "signature")
    }
    if block["type"] == "tool_result" and block.get("content"):
        return block | {"content": normal_content(block["content"])}
    if isinstance(source := block.get("source"), dict) and source.get("type") == "base64":
        block |= {"source": source | {"data": standard_base64(source["data"])}}
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
        names=SPELLED | SPELLED_BY["thinking"],
        model="claude",
        turns=[
            turn("system", Text(text="Be kind.", cache={"type": "ephemeral"}), at="system"),
            turn(
                "user",
                Text(text="Hi"),
                Image(source=Inline("aGk=", "image/png"), cache={"type": "ephemeral"}),
                Document(source=Remote("https://x.example/a.pdf"), name="A", context="c"),
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
                search=WebSearch(most=3),
                at="tools[1]",
                extra={"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
            ),
        ],
        tool_choice=ToolChoice("required"),
        parallel_tools=False,
        format=Format(kind="schema", schema={"type": "object"}),
        reasoning=Reasoning(effort="low", budget=2000, summary="auto"),
        max_tokens=10,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=["END"],
        user="u",
        service_tier="auto",
        extra={"metadata": {"team": "t"}, "speed": "fast"},
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
TOOL_REFERENCE = {"type": "tool_reference", "tool_name": "f", "cache_control": {"type": "ephemeral"}}
SEARCHED = {"type": "search_result", "source": "https://x.example", "title": "X", "content": [{"type": "text"}]}
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
        {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
        {"thinking": {"type": "between_tools"}, "context_management": {"edits": [{"type": "compact_20260112"}]}},
        {"thinking": {"type": "not_yet", "display": ["x"]}},
        {"messages": [{"role": "user", "content": [SEARCHED, {"type": "container_upload", "file_id": "f"}]}]},
        {"messages": [{"role": "user", "content": [{**RESULT, "content": [TOOL_REFERENCE]}]}]},
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
        {"thread": {"type": "create"}, "compaction": {"instructions": "Be brief."}},
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


@pytest.mark.parametrize(
    ("model", "dropped"),
    [("glm-4.6", ()), ("claude-opus-4-8", ("messages.thinking",))],
)
def test_a_thought_without_a_seal_goes_back_to_a_model_that_seals_none(model: str, dropped: tuple[str, ...]) -> None:
    thought, text = {"type": "thinking", "thinking": "t"}, {"type": "text", "text": "a"}
    user, answer = {"role": "user", "content": "hi"}, {"role": "assistant", "content": [thought, text]}
    encoded = WIRE.encode(WIRE.parse(body(messages=[user, answer, user], model=model), Peek(model, False)))
    assert json.loads(encoded.body)["messages"][1]["content"] == ([text] if dropped else [thought, text])
    assert encoded.dropped == dropped


def test_a_demand_for_nothing_is_none() -> None:
    request = parsed(mcp_servers=[], container="c")
    assert (request.demands, request.extra) == ({"container": "c"}, {"mcp_servers": []})


def test_a_system_prompt_that_says_nothing_is_none() -> None:
    """The API refuses empty text, and does not mind an empty prompt."""
    request = parsed(system="")
    assert [turn.role for turn in request.turns] == ["user"]
    assert "system" not in json.loads(WIRE.encode(request).body)


@pytest.mark.parametrize("key", ["container", "thread", "compaction"])
def test_what_no_other_wire_has_is_a_demand(key: str) -> None:
    request = parsed(**{key: {"type": "x"}})
    assert request.demands == {key: {"type": "x"}}
    with pytest.raises(Unrepresentable) as caught:
        OpenAIChat().encode(request)
    assert caught.value.param == key
    told = json.loads(WIRE.error(caught.value, "req_1"))["error"].get("details", {})
    assert told.get("error_code") == ("thread_unsupported_request" if key == "thread" else None)


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
        (
            message({**RESULT, "content": [{"type": "text", "text": "x"}, RESULT]}),
            "messages[0].content[0].content[1].type",
        ),
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
    assert WIRE.forward(envelope, "claude", ask_usage=True) == Forward(data.replace(b"alias", b"claude"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FULL: dict[str, Any] = {
    "model": "m",
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


@given(st.sampled_from(places(FULL)), JSON)
@example(("messages", 1, "content"), [])
@settings(max_examples=examples(400), deadline=None)
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


# --- what other wires ask of this one --------------------------------------------------------------------------------


def test_a_chat_without_a_word_is_refused_and_not_emptied() -> None:
    turn = Turn(role="user", parts=[Text(text="")], at="messages[0]")
    with pytest.raises(Unrepresentable) as caught:
        WIRE.encode(Request(wire="gemini", model="m", turns=[turn], names={"turns": "contents"}))
    assert caught.value.param == "contents"


CREATE: TypeAdapter[Any] = TypeAdapter(message_create_params.MessageCreateParams)


SDK_EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)


def accepted(value: dict[str, Any]) -> None:
    """The SDK's types know the request. They are those of a later version, which has no sampling knobs."""
    rest = {key: item for key, item in value.items() if key not in ("temperature", "top_p", "top_k")}
    CREATE.validate_python(rest, extra="forbid")


def refused(request: Request) -> str:
    return laws.refused(WIRE, request)


def test_the_sdk_accepts_what_we_say_for_another_wire() -> None:
    value = sent(
        foreign(
            turn("system", Text(text="Be kind.")),
            turn("developer", Text(text="Be brief.", cache={"type": "default"})),
            turn("user", Text(text="What is it?"), Image(source=Inline("aGk=", "image/png"), detail="auto")),
            turn("user", Document(source=Inline("aGk="), name="a.pdf"), Image(source=Remote("https://x.example/i"))),
            turn("assistant", Text(text=""), ToolCall(id="call_1", name="f", arguments='{"x": 1.50}')),
            turn("user", Text(text="and")),
            turn("user", ToolResult(id="call_1", parts=[Text(text="42"), Text(text="")])),
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
            {
                "name": "g",
                "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
                "description": "d",
                "strict": True,
            },
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "output_config": {"format": {"type": "json_schema", "schema": {"title": "n", "type": "object"}}},
        "stop_sequences": ["END"],
        "temperature": 1.0,
    }


USER = turn("user", Text(text="u"))


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({}, ()),
        ({"store": False, "modalities": ["text"], "verbosity": "medium", "metadata": {}}, ()),
        ({"store": True, "verbosity": "low"}, ("store", "verbosity")),
        ({"metadata": {"a": "b"}, "safety_identifier": "s"}, ("metadata", "safety_identifier")),
        ({"prompt_cache_key": "k"}, ("prompt_cache_key",)),
        ({"turns": [turn("user", Text(text="a", signature="seal"))]}, ("text.signature",)),
        ({"turns": [USER, turn("assistant", ToolCall(id="1", name="f", signature="seal"))]}, ("tool_call.signature",)),
        ({"service_tier": "default"}, ()),
        ({"seed": 0, "logit_bias": {"1": 2.0}, "logprobs": True}, ("logit_bias", "logprobs", "seed")),
        ({"frequency_penalty": 1.0, "presence_penalty": -1.0}, ("frequency_penalty", "presence_penalty")),
        ({"frequency_penalty": 0, "logprobs": False, "logit_bias": {}, "top_logprobs": 0, "n": 1}, ()),
        ({"top_logprobs": 3}, ("top_logprobs",)),
        ({"temperature": 1.2}, ("temperature",)),
        ({"temperature": 1.0}, ()),
        ({"stop": ["\n"]}, ("stop",)),
        ({"service_tier": "flex"}, ("service_tier",)),
        ({"format": Format(kind="json")}, ("format",)),
        ({"format": Format(kind="text")}, ()),
        ({"format": Format(kind="schema", schema={"title": "n", "description": "d"}, name="n", description="d")}, ()),
        ({"format": Format(kind="schema", schema={"title": "x"}, name="n", description="d")}, ("format.name",)),
        ({"format": Format(kind="schema", schema={"$ref": "#/$defs/x"}, name="n")}, ("format.name",)),
        ({"format": Format(kind="schema", schema={"description": "x"}, description="d")}, ("format.description",)),
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
        ({"turns": [USER, turn("assistant", Thinking(text="t"), Text(text="a", citations=citations_of([{}]))), USER]},
         ("text.citations", "thinking")),
        ({"turns": [turn("user", Image(source=Remote("https://x.example/i"), detail="high"))]}, ("image.detail",)),
        ({"turns": [turn("user", Text(text="a")), turn("system", Text(text="b"))]}, ("turn.place",)),
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
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"demands": {"modalities": ["audio"]}}, "modalities"),
        ({"tools": [Tool(name="f"), Tool(name="g", kind="custom", at="tools[1]")]}, "tools[1]"),
        ({"tools": [Tool(name="", kind="web_search", at="tools[0]")]}, "tools[0]"),
        ({"turns": [turn("user", Audio(source=Inline("a")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Image(source=Stored("file-1")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Image(source=Inline("aGk=", "image/tiff")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Text(text="a"), Document(source=Stored("file-1")))]}, "messages[0].content[1]"),
        ({"turns": [turn("user", Document(source=Inline("aGk=", "application/msword")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Document(source=Inline("%%", "text/plain")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Opaque(wire="gemini", value={}))]}, "messages[0].content[0]"),
        ({"turns": [turn("system", Image(source=Remote("https://x.example/i")))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolCall(id="1", name="f", kind="custom"))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", ToolResult(id="1", parts=[Audio(id="a")]))]}, "messages[0].content[0].content[0]"),
    ],
    ids=str,
)
def test_content_that_the_wire_cannot_carry_is_refused_by_its_path(fields: dict[str, Any], param: str) -> None:
    assert refused(foreign(**fields)) == param


@pytest.mark.parametrize(("kind", "named"), [("image/tiff", "image/tiff"), ("", "unknown")])
def test_an_image_that_the_wire_cannot_carry_is_refused_by_its_type(kind: str, named: str) -> None:
    with pytest.raises(Unrepresentable, match=f"an image of type {named}, only image/jpeg, "):
        WIRE.encode(foreign(turn("user", Image(source=Inline("aGk=", kind)))))


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


@pytest.mark.parametrize(
    ("reasoning", "dropped"),
    [
        (Reasoning(budget=3000), ()),
        (Reasoning(effort="low"), ()),
        (Reasoning(budget=9000), ("reasoning.budget",)),
        (Reasoning(budget=3000, effort="low"), ("reasoning.effort",)),
    ],
    ids=str,
)
def test_a_budget_that_is_moved_is_receipted(reasoning: Reasoning, dropped: tuple[str, ...]) -> None:
    assert WIRE.encode(foreign(reasoning=reasoning, max_tokens=5000)).dropped == dropped


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


@pytest.mark.parametrize("blank", [Text(text="\n\n"), Refusal(text=" ")], ids=["text", "refusal"])
def test_a_blank_that_stands_alone_is_left_out(blank: Part) -> None:
    """ "text content blocks must contain non-whitespace text", unless another text stands beside them."""
    call = ToolCall(id="1", name="f")
    result = turn("user", ToolResult(id="1", parts=[Text(text=" ")]))
    turns = [turn("system", Text(text="\n")), USER, turn("assistant", blank, call), result]
    encoded = WIRE.encode(foreign(*turns))
    body = json.loads(encoded.body)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert "content" not in body["messages"][2]["content"][0]
    assert "system" not in body
    assert encoded.dropped == ("messages.content", "messages.content.content")
    spaced = foreign(turn("user", Text(text="a"), Text(text=" "), Text(text="b")))
    assert [block["text"] for block in sent(spaced)["messages"][0]["content"]] == ["a", " ", "b"]


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


# --- every field -----------------------------------------------------------------------------------------------------

# What a request may say, each so that it asks for something. What is said of the answer's own framing, or of where the
# request came from, is no part of what a provider is told.
TOLD: dict[str, Any] = {
    "model": "another",
    "turns": [turn("user", Text(text="else"))],
    "stream": True,
    "tools": [Tool(name="f")],
    "tool_choice": ToolChoice("required"),
    "parallel_tools": False,
    "format": Format(kind="schema", schema={"type": "object"}),
    "reasoning": Reasoning(off=True),
    "max_tokens": 7,
    "temperature": 0.1,
    "top_p": 0.1,
    "top_k": 1,
    "seed": 1,
    "stop": ["x"],
    "n": 2,
    "frequency_penalty": 1.0,
    "presence_penalty": 1.0,
    "logit_bias": {"1": 1.0},
    "logprobs": True,
    "top_logprobs": 1,
    "user": "u",
    "safety_identifier": "s",
    "metadata": {"a": "b"},
    "store": True,
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "obfuscation": True,
    "betas": ["b"],
    "verbosity": "low",
    "modalities": ["audio"],
    "service_tier": "flex",
    "extra": {"new": 1},
    "demands": {"new": 1},
}
NOT_FOR_THE_PROVIDER = {
    "wire",
    "call",
    "as_array",
    "ask_usage",
    "thoughts",
    "cache_points",
    "searches",
    "ways",
    "hinted",
    "include_usage",
    "limit_field",
    "longest",
    "names",
}


@pytest.mark.parametrize("wire", ["openai_chat", "anthropic"])
@pytest.mark.parametrize("field", sorted(set(Request.__struct_fields__) - NOT_FOR_THE_PROVIDER))
def test_no_field_of_a_request_is_lost_in_silence(field: str, wire: str) -> None:
    """Carried, receipted or refused: a field that is new to the canonical form fails here until it has its place."""
    assert_considered(lambda: foreign(wire=wire, tools=[Tool(name="g")]), field, TOLD[field])


def assert_considered(make: Callable[[], Request], field: str, value: Any) -> None:
    plain, asked = make(), make()
    setattr(asked, field, value)
    try:
        told = WIRE.encode(asked)
    except Unrepresentable:
        assert refused(asked) == field or field == "demands"
        return
    assert told.body != WIRE.encode(plain).body or told.dropped


def test_an_order_without_content_goes_out_without_it() -> None:
    order = {"role": "system", "output_config": {"effort": "low"}}
    request = parsed(messages=[{"role": "user", "content": "Hi"}, order])
    assert sent(request)["messages"][1] == order


def test_who_asks_is_not_told_by_an_email_address() -> None:
    """ "metadata.user_id: user_id appears to contain an email address. Please send a uuid or hash value instead." """
    encoded = WIRE.encode(foreign(user="ann@example.com"))
    told = json.loads(encoded.body)["metadata"]["user_id"]
    assert (len(told), "@" in told, encoded.dropped) == (64, False, ("user",))
    assert sent(foreign(user="ann"))["metadata"] == {"user_id": "ann"}
    assert sent(parsed(metadata={"user_id": "ann@example.com"}))["metadata"] == {"user_id": "ann@example.com"}
