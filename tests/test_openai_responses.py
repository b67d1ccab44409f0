"""Does proxy.dialects.openai_responses read and say a request as the wire has it, and refuse the rest aloud?"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import response_create_params
from pydantic import TypeAdapter

from proxy.canon import (
    Audio,
    Citation,
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
    Video,
    WebSearch,
)
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.openai_responses.words import SEALS, SPELLED
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Dialect, Path, Peek
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put, without_nulls
from tests.placed import placed

WIRE = OpenAIResponses(clock=lambda: 1750000000.0)
ASKED = Peek("m", False)
IS_A_DIALECT: Dialect = WIRE  # for mypy
WORLD = "openai_responses"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt", "input": "hi"} | fields).encode()


def parsed(**fields: Any) -> Request:
    return WIRE.parse(body(**fields), ASKED)


def sent(request: Request) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(WIRE.encode(request).body)
    return value


def turn(role: Any, *parts: Part, at: str = "messages[0]", **fields: Any) -> Turn:
    return placed(role, parts, at, **fields)


def foreign(*turns: Turn, **fields: Any) -> Request:
    """A request that came on another wire."""
    every: dict[str, Any] = {
        "wire": "anthropic",
        "model": "gpt",
        "turns": list(turns) or [turn("user", Text(text="hi"))],
    }
    return Request(**every | fields)


def dropped(request: Request) -> tuple[str, ...]:
    return WIRE.encode(request).dropped


# --- recorded requests -----------------------------------------------------------------------------------------------


def normal(value: dict[str, Any]) -> dict[str, Any]:
    """A request without what our spelling of it changes, and nobody can tell:

    - an `input` that is a string is one message of the user's;
    - nulls are left out, in items and tools as well, and so are `stream: false`, `truncation: disabled`,
      `background: false`, and empty `instructions`, `tools`, `reasoning` and `text`;
    - seals are asked for always; the order of `include` is ours;
    - a message is said without its type; what the model said is a message for each text, and a string where nothing
      else stands in it; one input_text is a string;
    - an item's id and status are left out, a reasoning item's id apart; its empty content too.
    """
    fields = {key: item for key, item in without_nulls(value).items() if item or key not in EMPTY}
    for key, silence in (("stream", False), ("truncation", "disabled"), ("background", False)):
        if fields.get(key) == silence:
            del fields[key]
    fields["include"] = sorted({SEALS, *fields.get("include", [])})
    said = fields.get("input", [])
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said
    if items := [one for item in items for one in normal_item(item)]:
        fields["input"] = items
    return fields


EMPTY = ("instructions", "tools", "reasoning", "text", "input")
CALLS = ("function_call", "custom_tool_call", "function_call_output", "custom_tool_call_output")


def normal_item(item: dict[str, Any]) -> list[dict[str, Any]]:
    kind = item.get("type") or "message"
    if kind == "message":
        return normal_message(item)
    item = {key: part for key, part in item.items() if key != "status" or kind not in (*CALLS, "reasoning")}
    if kind in CALLS:
        item.pop("id", None)
        for key in ("arguments", "input"):
            if key in item:
                item[key] = item[key] or ""
    if kind.endswith("call_output") and kind in CALLS:
        item["output"] = normal_content(item["output"])
    if kind == "reasoning":
        item = {"summary": [], **item}
        item.update({} if item.get("encrypted_content") else {"encrypted_content": None})
    return [without_nulls(item)]


def normal_message(item: dict[str, Any]) -> list[dict[str, Any]]:
    rest = {key: part for key, part in item.items() if key not in ("type", "id", "status", "content")}
    if item["role"] != "assistant":
        return [{**rest, "content": normal_content(item["content"])}]
    content = (
        item["content"] if isinstance(item["content"], list) else [{"type": "input_text", "text": item["content"]}]
    )
    return [{**rest, "content": normal_said(part)} for part in content]


def normal_content(content: Any) -> Any:
    if content == []:
        return ""
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        return content[0]["text"]
    return content


def normal_said(part: dict[str, Any]) -> Any:
    if part["type"] == "refusal" or part.get("annotations") or part.get("logprobs"):
        return [{"annotations": [], "logprobs": [], **part} if part["type"] == "output_text" else part]
    return part["text"]


ROWS = [row for row in recordings.load("*.responses") if row["request_json"] and "model" in row["request_json"]]


@recordings.needs_recordings
@pytest.mark.parametrize("row", ROWS, ids=recordings.ids)
def test_recorded_request_comes_back_from_the_canonical_form(row: recordings.Row) -> None:
    told = row["request_json"]
    recordings.replayed(row)
    encoded = WIRE.encode(WIRE.parse(json.dumps(told).encode(), ASKED))
    assert without_nulls(normal(json.loads(encoded.body))) == normal(told)
    assert encoded.dropped == ()


# --- requests that are read ------------------------------------------------------------------------------------------

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}
STORED_IMAGE = {"type": "input_image", "file_id": "file_1"}
PDF = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}
FILE_AT = {"type": "input_file", "file_url": "https://x.example/a.pdf"}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}}
DRAWN = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk=", "new": "A."}
NOTE = {"type": "url_citation", "url": "https://x.example", "title": "X", "start_index": 0, "end_index": 2}
SAID = {"type": "output_text", "text": "Sunny.", "annotations": [NOTE], "logprobs": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary"}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    "encrypted_content": "gAAA",
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"x":1}',
    "status": "completed",
}
CUSTOM = {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": None}}
SCREEN = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
FREE: dict[str, Any] = {
    "type": "custom",
    "name": "patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
}


def test_every_field_of_a_request_has_its_place() -> None:
    request = parsed(
        instructions="Be kind.",
        input=[
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}, IMAGE, PDF, SOUND]},
            THOUGHT,
            {**MESSAGE, "content": [SAID, {"type": "refusal", "refusal": "No."}]},
            CALL,
            SEARCH,
            CUSTOM,
            {"type": "function_call_output", "call_id": "call_1", "output": [STORED_IMAGE, FILE_AT]},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done."},
            SCREEN,
            {"type": "item_reference", "id": "msg_0"},
        ],
        tools=[FUNCTION, FREE, {"type": "web_search", "search_context_size": "low"}],
        tool_choice={"type": "function", "name": "f"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto", "context": "all_turns"},
        include=[SEALS, "message.output_text.logprobs", "file_search_call.results"],
        max_output_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        parallel_tool_calls=False,
        metadata={"a": "b"},
        store=False,
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="flex",
        truncation="auto",
        max_tool_calls=3,
        previous_response_id="resp_0",
        stream=True,
        stream_options={"include_obfuscation": False},
    )
    assert request == Request(
        wire=WORLD,
        names=SPELLED,
        model="gpt",
        turns=[
            turn("system", Text(text="Be kind."), at="instructions"),
            turn("developer", Text(text="Be brief."), at="input[0]"),
            turn(
                "user",
                Text(text="Hi"),
                Image(source=Inline("aGk=", "image/png"), detail="low"),
                Document(source=Inline("aGk=", "application/pdf"), name="a.pdf"),
                Audio(source=Inline("aGk=", "audio/mp3")),
                at="input[1]",
            ),
            turn(
                "assistant",
                Thinking(
                    id="rs_1",
                    text="One.\n\nTwo.",
                    signature="gAAA",
                    extra={"thoughts": {"summary": THOUGHT["summary"]}},
                ),
                Text(
                    text="Sunny.",
                    citations=[Citation(wire=WORLD, value=NOTE, url="https://x.example", title="X", start=0, end=2)],
                    extra={"phase": "commentary"},
                ),
                Refusal(text="No.", extra={"phase": "commentary"}),
                ToolCall(id="call_1", name="f", arguments='{"x":1}'),
                Opaque(wire=WORLD, value=SEARCH, is_search=True),
                ToolCall(id="call_2", name="patch", arguments="*** Begin", kind="custom"),
                at="input[2]",
            ),
            turn(
                "user",
                ToolResult(
                    id="call_1",
                    parts=[Image(source=Stored("file_1")), Document(source=Remote("https://x.example/a.pdf"))],
                ),
                at="input[7]",
            ),
            turn("user", ToolResult(id="call_2", parts=[Text(text="Done.")]), at="input[8]"),
            turn("user", Opaque(wire=WORLD, value=SCREEN), at="input[9]"),
            turn("assistant", Opaque(wire=WORLD, value={"type": "item_reference", "id": "msg_0"}), at="input[10]"),
        ],
        stream=True,
        include_usage=True,
        tools=[
            Tool(name="f", description="d", parameters={"type": "object"}, strict=True, at="tools[0]"),
            Tool(name="patch", kind="custom", form=FREE["format"], at="tools[1]"),
            Tool(
                name="web_search",
                kind="web_search",
                search=WebSearch(size="low"),
                at="tools[2]",
                extra={"type": "web_search", "search_context_size": "low"},
            ),
        ],
        tool_choice=ToolChoice("tool", "f"),
        parallel_tools=False,
        format=Format(kind="schema", name="n", schema={}, strict=True),
        reasoning=Reasoning(effort="high", summary="auto"),
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        logprobs=True,
        top_logprobs=2,
        user="u",
        safety_identifier="s",
        metadata={"a": "b"},
        store=False,
        prompt_cache_key="k",
        verbosity="low",
        service_tier="flex",
        extra={
            "reasoning": {"context": "all_turns"},
            "include": ["file_search_call.results"],
            "truncation": "auto",
            "max_tool_calls": 3,
        },
        obfuscation=False,
        demands={"previous_response_id": "resp_0"},
    )


def test_what_silence_says_as_well_is_neither_a_knob_nor_a_demand() -> None:
    request = parsed(truncation="disabled", background=False, include=[SEALS])
    assert (request.extra, request.demands) == ({}, {})
    request = parsed(truncation="auto", background=True)
    assert (request.extra, request.demands) == ({"truncation": "auto"}, {"background": True})


def test_a_chat_that_the_provider_remembers_needs_no_input() -> None:
    told = json.dumps({"model": "gpt", "prompt": {"id": "pmpt_1"}}).encode()
    request = WIRE.parse(told, ASKED)
    assert (request.turns, request.demands) == ([], {"prompt": {"id": "pmpt_1"}})
    assert "input" not in sent(request)


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [{"role": "user", "content": [IMAGE, STORED_IMAGE, PDF, FILE_AT, SOUND]}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": {}}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "aGk=", "filename": "a"}]}]},
        {"input": [{"role": "user", "content": [{"type": "not_yet", "x": [1]}, {"type": "input_text", "text": "a"}]}]},
        {"input": [{"role": "user", "content": ""}, {"role": "system", "content": [], "name": "new"}]},
        {"input": [{**MESSAGE, "content": [SAID, {"type": "refusal", "refusal": "No."}]}]},
        {"input": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"input": [THOUGHT, CALL, CUSTOM, SEARCH, {"type": "compaction", "encrypted_content": "x"}]},
        {"input": [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}]},
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
        {"input": [THOUGHT, DRAWN, {"type": "image_generation_call", "id": "ig_2", "status": "failed"}]},
        {"input": [{"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]},
        {"input": [CUSTOM, {"type": "custom_tool_call_output", "call_id": "call_2", "output": [IMAGE]}]},
        {
            "input": [
                CUSTOM,
                {"type": "custom_tool_call_output", "call_id": "call_2", "output": [SOUND, {"type": "new"}]},
            ]
        },
        {"input": [{**CALL, "namespace": "n"}, {"type": "function_call_output", "call_id": "call_1", "output": ""}]},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}},
        {"text": {"format": {"type": "json_object"}, "new": 1}},
        {"text": {"format": {"type": "grammar", "definition": "x"}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "new": 1}, "verbosity": "high"}},
        {"reasoning": {"effort": "none"}, "tool_choice": {"type": "custom", "name": "patch"}, "tools": [FREE]},
        {"reasoning": {"generate_summary": "concise"}, "tool_choice": {"type": "web_search"}},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}, "tools": [FUNCTION]},
        {"tool_choice": {"type": "function", "name": "f", "new": 1}, "tools": [{"type": "mcp", "name": None}]},
        {"background": True, "conversation": "conv_1", "context_management": [{"type": "compaction"}]},
        {"background": False, "truncation": "disabled", "metadata": {}, "store": True},
        {"include": ["message.output_text.logprobs", "code_interpreter_call.outputs"], "max_output_tokens": 1},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_what_this_wire_can_say_comes_back(fields: dict[str, Any]) -> None:
    encoded = WIRE.encode(parsed(**fields))
    assert normal(json.loads(encoded.body)) == normal(json.loads(body(**fields)))
    assert encoded.dropped == ()


def test_a_seal_goes_back_to_its_own_call_wherever_it_stands() -> None:
    calls = [{**CALL, "call_id": name} for name in ("a", "b")]
    seals = [{**THOUGHT, "encrypted_content": f"call:{name}\nof {name}"} for name in ("b", "a", "gone")]
    [turn] = parsed(input=[*calls, *seals]).turns
    assert [(part.id, part.signature) for part in turn.parts if isinstance(part, ToolCall)] == [
        ("a", "of a"),
        ("b", "of b"),
    ]
    assert len(turn.parts) == 2


# --- requests that are refused ---------------------------------------------------------------------------------------


def content(*parts: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"input": None}, "input"),
        ({"input": {}}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"type": 1}]}, "input[0].type"),
        (content("x"), "input[0].content[0]"),
        (content({}), "input[0].content[0].type"),
        (content({"type": []}), "input[0].content[0].type"),
        (content({"type": "input_text"}), "input[0].content[0].text"),
        (content({"type": "input_image"}), "input[0].content[0].image_url"),
        (content({"type": "input_image", "image_url": {"url": "x"}}), "input[0].content[0].image_url"),
        (content({"type": "input_image", "image_url": "data:image/png"}), "input[0].content[0].image_url"),
        (content({"type": "input_image", "image_url": "https://x", "detail": 1}), "input[0].content[0].detail"),
        (content({"type": "input_file"}), "input[0].content[0].file_data"),
        (content({"type": "input_file", "file_url": 1}), "input[0].content[0].file_url"),
        (content({"type": "input_file", "file_data": "data:x"}), "input[0].content[0].file_data"),
        (content({"type": "input_audio"}), "input[0].content[0].input_audio"),
        (content({"type": "input_audio", "input_audio": {"data": ""}}), "input[0].content[0].input_audio.format"),
        (content({"type": "output_text", "text": "", "annotations": 1}), "input[0].content[0].annotations"),
        (content({"type": "output_text", "text": "", "annotations": [1]}), "input[0].content[0].annotations[0]"),
        (content({"type": "refusal"}), "input[0].content[0].refusal"),
        ({"input": [{**THOUGHT, "summary": "x"}]}, "input[0].summary"),
        ({"input": [{**THOUGHT, "encrypted_content": 1}]}, "input[0].encrypted_content"),
        ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id"),
        ({"input": [{**CALL, "name": 1}]}, "input[0].name"),
        ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": {}}]}, "input[0].output"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": [1]}]}, "input[0].output[0]"),
        ({"instructions": []}, "instructions"),
        ({"tools": {}}, "tools"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{**FUNCTION, "parameters": []}]}, "tools[0].parameters"),
        ({"tools": [{**FUNCTION, "strict": 1}]}, "tools[0].strict"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": 1}, "text"),
        ({"text": {"format": {}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"verbosity": 1}}, "text.verbosity"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 1}}, "reasoning.effort"),
        ({"include": "x"}, "include"),
        ({"include": [1]}, "include[0]"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"max_output_tokens": "10"}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_logprobs": 1.5}, "top_logprobs"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"store": 1}, "store"),
        ({"service_tier": 1}, "service_tier"),
        ({"stream": "yes"}, "stream"),
    ],
    ids=str,
)
def test_bad_request_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


def test_a_request_without_input_is_refused_by_name() -> None:
    with pytest.raises(BadRequest) as caught:
        WIRE.parse(b'{"model": "gpt"}', ASKED)
    assert caught.value.param == "input"


FULL: dict[str, Any] = {
    "model": "gpt",
    "instructions": "Be kind.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, IMAGE, STORED_IMAGE, PDF, FILE_AT, SOUND]},
        THOUGHT,
        {**MESSAGE, "content": [SAID]},
        CALL,
        CUSTOM,
        SEARCH,
        {"type": "function_call_output", "call_id": "call_1", "output": [IMAGE]},
    ],
    "tools": [FUNCTION, FREE],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": [SEALS],
    "metadata": {"a": "b"},
    "max_output_tokens": 100,
    "stream": True,
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.sampled_from(places(FULL)), JSON)
@settings(max_examples=examples(400), deadline=None)
def test_any_json_in_any_place_is_read_and_said_or_refused_by_name(path: tuple[Any, ...], item: Any) -> None:
    value = put(FULL, path, item)
    try:
        request = WIRE.parse(json.dumps(value).encode(), ASKED)
    except BadRequest as refusal:
        named = refusal.param is not None and refusal.param in refusal.message
        assert named or not path
        return
    assert sent(request)["model"] == request.model
    WIRE.renderer(request)


# --- what other wires ask of this one --------------------------------------------------------------------------------

CREATE: TypeAdapter[Any] = TypeAdapter(response_create_params.ResponseCreateParams)


def accepted(request: Request) -> dict[str, Any]:
    """What is sent, which the SDK's types know. They demand a thought's id; the recorded wire does not."""
    value = sent(request)
    items = [{"id": "rs", **item} if item.get("type") == "reasoning" else item for item in value["input"]]
    CREATE.validate_python({**value, "input": items}, extra="forbid")
    return value


def refused(request: Request) -> str:
    return laws.refused(WIRE, request)


def test_a_chat_of_another_wire_is_not_stored_and_asks_for_its_seals() -> None:
    assert accepted(foreign()) == {
        "model": "gpt",
        "input": [{"role": "user", "content": "hi"}],
        "store": False,
        "include": [SEALS],
    }
    assert accepted(foreign(store=True))["store"] is True


def test_an_agent_s_turn_of_another_wire() -> None:
    value = accepted(
        foreign(
            turn(
                "user",
                Text(text="Look"),
                Image(source=Remote("https://x.example/a.png")),
                Document(source=Inline("aGk=")),
            ),
            turn(
                "assistant",
                Thinking(text="Hm.", signature="gAAA"),
                Text(text="Wait."),
                ToolCall(id="c1", name="f"),
                ToolCall(id="c2", name="p", arguments="x", kind="custom"),
            ),
            turn(
                "user",
                ToolResult(id="c1", parts=[Text(text="a"), Image(source=Inline("aGk=", "image/png"))]),
                ToolResult(id="c2", parts=[Text(text="b")]),
                Text(text="Well?"),
            ),
        )
    )
    assert value["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "document.pdf"},
            ],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "p", "input": "x"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "b"},
        {"role": "user", "content": "Well?"},
    ]


@pytest.mark.parametrize(
    ("turns", "instructions", "roles"),
    [
        ([turn("system", Text(text="a"))], None, ["system"]),
        ([turn("system", Text(text="a"), Text(text="b")), turn("user", Text(text="c"))], "a\n\nb", ["user"]),
        ([turn("developer", Text(text="a")), turn("user", Text(text="c"))], "a", ["user"]),
        (
            [turn("system", Text(text="a")), turn("developer", Text(text="b")), turn("user", Text(text="c"))],
            None,
            ["system", "developer", "user"],
        ),
        ([turn("user", Text(text="c")), turn("system", Text(text="a"))], None, ["user", "system"]),
        (
            [turn("system", Text(text="a")), turn("user", Text(text="c")), turn("system", Text(text="b"))],
            "a",
            ["user", "system"],
        ),
    ],
)
def test_one_system_turn_that_leads_is_the_instructions(
    turns: list[Turn], instructions: str | None, roles: list[str]
) -> None:
    value = accepted(foreign(*turns))
    assert value.get("instructions") == instructions
    assert [item["role"] for item in value["input"]] == roles


def test_tools_of_another_wire_are_no_stricter_than_there() -> None:
    tools = [Tool(name="f", parameters={"type": "object"}), Tool(name="g", strict=True), Tool(name="p", kind="custom")]
    value = accepted(foreign(tools=tools, tool_choice=ToolChoice("tool", "p"), parallel_tools=False))
    assert value["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {
            "type": "function",
            "name": "g",
            "parameters": {"type": "object", "properties": {}, "additionalProperties": False, "required": []},
            "strict": True,
        },
        {"type": "custom", "name": "p"},
    ]
    assert value["tool_choice"] == {"type": "custom", "name": "p"}
    assert value["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"top_logprobs": 2}, (True, 2)),
        ({"top_logprobs": 0}, (None, None)),
        ({"top_logprobs": 0, "include": ["message.output_text.logprobs"]}, (True, 0)),
    ],
)
def test_logprobs_are_asked_for_by_their_number_alone(fields: dict[str, Any], asked: tuple[object, object]) -> None:
    """Chat Completions and Gemini refuse `top_logprobs` without `logprobs`."""
    request = parsed(**fields)
    assert (request.logprobs, request.top_logprobs) == asked


def test_a_choice_among_no_tools_is_not_said() -> None:
    value = accepted(foreign(tool_choice=ToolChoice("auto"), parallel_tools=True))
    assert not {"tool_choice", "parallel_tool_calls", "tools"} & value.keys()


@pytest.mark.parametrize(
    ("fields", "said", "receipt"),
    [
        ({"max_tokens": 100}, {"max_output_tokens": 100}, ()),
        ({"max_tokens": 1}, {"max_output_tokens": 16}, ("max_tokens",)),
        ({"n": 1, "modalities": ["text"]}, {}, ()),
        ({"logprobs": True, "top_logprobs": 3}, {"include": [SEALS, "message.output_text.logprobs"]}, ()),
        (
            {"reasoning": Reasoning(effort="low", summary="auto")},
            {"reasoning": {"effort": "low", "summary": "auto"}},
            (),
        ),
        ({"reasoning": Reasoning(budget=4000)}, {"reasoning": {"effort": "medium"}}, ("reasoning.budget",)),
        ({"reasoning": Reasoning(budget=40000)}, {"reasoning": {"effort": "high"}}, ("reasoning.budget",)),
        ({"reasoning": Reasoning(off=True)}, {}, ("reasoning",)),
        ({"service_tier": "flex"}, {"service_tier": "flex"}, ()),
        ({"service_tier": "fast"}, {"service_tier": "fast"}, ()),
        ({"service_tier": "standard_only"}, {}, ("service_tier",)),
        (
            {"verbosity": "low", "format": Format(kind="json")},
            {"text": {"verbosity": "low", "format": {"type": "json_object"}}},
            (),
        ),
        (
            {"format": Format(kind="schema", schema={"type": "object"})},
            {"text": {"format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}}}},
            (),
        ),
        ({"metadata": {"a": "b"}, "user": "u"}, {"metadata": {"a": "b"}, "user": "u"}, ()),
        ({"prompt_cache_key": "k", "safety_identifier": "s"}, {"prompt_cache_key": "k", "safety_identifier": "s"}, ()),
        (
            {
                "top_k": 1,
                "seed": 0,
                "stop": ["x"],
                "frequency_penalty": 0.5,
                "presence_penalty": 1,
                "logit_bias": {"1": 1},
            },
            {},
            ("frequency_penalty", "logit_bias", "presence_penalty", "seed", "stop", "top_k"),
        ),
        ({"extra": {"thinking": {"display": "omitted"}}}, {}, ("thinking",)),
    ],
    ids=str,
)
def test_knobs_of_another_wire_are_said_or_receipted(
    fields: dict[str, Any], said: dict[str, Any], receipt: tuple[str, ...]
) -> None:
    request = foreign(**fields)
    assert accepted(request).items() >= said.items()
    assert dropped(request) == receipt


def test_what_its_own_wire_alone_can_say_of_a_part_is_receipted() -> None:
    marks: dict[str, Any] = {"cache": {"type": "ephemeral"}, "extra": {"new": 1}}
    note = Citation(wire="anthropic", value={})
    request = foreign(
        turn("user", Text(text="a", **marks), extra={"name": "n"}),
        turn("assistant", Thinking(text="Hm."), Text(text="b", citations=[note])),
        turn("user", ToolResult(id="c", is_error=True)),
    )
    assert dropped(request) == ("cache", "name", "new", "text.citations", "thinking", "tool_result.is_error")
    assert dropped(foreign(turn("user", Text(text="a", citations=[note])))) == ("text.citations",)
    assert dropped(foreign(turn("user", ToolResult(id="c", is_error=False)))) == ()


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (foreign(n=2), "n"),
        (foreign(modalities=["text", "audio"]), "modalities"),
        (foreign(demands={"container": "c"}), "container"),
        (foreign(tools=[Tool(name="s", kind="web_search_20250305", at="tools[0]")]), "tools[0]"),
        (foreign(turn("user", Video(source=Remote("https://x")))), "messages[0].content[0]"),
        (foreign(turn("user", Image(source=Stored("file_1")))), "messages[0].content[0]"),
        (foreign(turn("user", Document(source=Stored("file_1")))), "messages[0].content[0]"),
        (foreign(turn("user", Audio(source=Remote("https://x")))), "messages[0].content[0]"),
        (foreign(turn("user", Text(text="a"), Audio(source=Inline("aGk=", "audio/wav")))), "messages[0].content[1]"),
        (foreign(turn("user", Opaque(wire="anthropic", value={"type": "x"}))), "messages[0].content[0]"),
        (foreign(turn("assistant", Image(source=Remote("https://x")))), "messages[0].content[0]"),
        (
            foreign(turn("user", ToolResult(id="c", parts=[Audio(source=Inline("aGk=", "audio/wav"))]))),
            "messages[0].content[0].content[0]",
        ),
        (foreign(turns=[], names={"turns": "messages"}), "messages"),
    ],
    ids=str,
)
def test_what_this_wire_cannot_carry_is_refused_by_name(request_: Request, param: str) -> None:
    assert refused(request_) == param


def test_a_file_of_openai_s_is_known_here_from_chat_completions() -> None:
    request = foreign(turn("user", Document(source=Stored("file_1"), name="a")), wire="openai_chat")
    assert accepted(request)["input"][0]["content"] == [{"type": "input_file", "file_id": "file_1", "filename": "a"}]


# --- the edges -------------------------------------------------------------------------------------------------------


def test_peek_reads_model_and_stream_from_the_body() -> None:
    assert WIRE.peek(Envelope(body(stream=True)), Path()) == Peek("gpt", True)
    assert WIRE.peek(Envelope(b'{"model": "a/b:c"}'), Path("ignored")) == Peek("a/b:c", False)
    with pytest.raises(BadRequest, match="stream"):
        WIRE.peek(Envelope(body(stream=1)), Path())


def test_forward_changes_the_model_and_nothing_else() -> None:
    told = b'{ "input" : "hi",  "model":"alias", "stream": true }'
    assert WIRE.forward(Envelope(told), "gpt", True).body == told.replace(b'"alias"', b'"gpt"')
    assert WIRE.forward(Envelope(told), "alias", True).body is told


def test_models_are_listed_as_openai_does() -> None:
    card = {"id": "gpt", "object": "model", "created": 0, "owned_by": "pillion"}
    assert json.loads(WIRE.model_list(["gpt"])) == {"object": "list", "data": [card]}
    assert json.loads(WIRE.model_card("gpt")) == card


@pytest.mark.parametrize(
    ("parts", "contents"),
    [
        ([Text(text="a"), ToolCall(id="c", name="f", arguments="{}"), Text()], ["a", None]),  # as Google's ADK ends it
        ([Text(), ToolCall(id="c", name="f", arguments="{}")], [None]),
        ([Text(text="a"), Text()], ["a"]),
        ([Text()], [""]),
    ],
)
def test_an_empty_text_beside_what_was_said_is_no_message(parts: list[Part], contents: list[str | None]) -> None:
    """A message between a call and its result says nothing to the model, and parts the two."""
    encoded = WIRE.encode(foreign(turn("user", Text(text="hi")), turn("assistant", *parts)))
    assert [item.get("content") for item in json.loads(encoded.body)["input"][1:]] == contents
    assert encoded.dropped == ()


@pytest.mark.parametrize(
    ("behind", "kept"),
    [
        ([], False),
        ([turn("user", Text(text="go on"))], False),
        ([turn("user", ToolResult(id="c0", parts=[Text(text="x")]))], False),
        ([turn("assistant", Text(text="so"))], True),
        ([turn("assistant", ToolCall(id="c", name="f", arguments="{}"))], True),
    ],
)
def test_a_thought_that_led_to_nothing_is_left_out_aloud(behind: list[Turn], kept: bool) -> None:
    """OpenAI: "Item of type 'reasoning' was provided without its required following item"."""
    thoughts = [Thinking(text=text, signature=text, id=f"rs_{text}") for text in "ab"]
    encoded = WIRE.encode(foreign(turn("user", Text(text="hi")), turn("assistant", *thoughts), *behind))
    told = [item["id"] for item in json.loads(encoded.body)["input"] if item.get("type") == "reasoning"]
    assert (told, encoded.dropped) == ((["rs_a", "rs_b"], ()) if kept else ([], ("thinking",)))
