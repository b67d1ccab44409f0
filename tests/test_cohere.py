"""Does proxy.dialects.cohere speak Cohere's wire, both ways, and refuse aloud what it cannot say?"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import registry
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
)
from proxy.dialects.cohere import Cohere
from proxy.dialects.cohere.words import BUDGETS, SPELLED
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Dialect, Path, Peek
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put
from tests.placed import placed

WIRE = Cohere()
ASKED = Peek("m", False)
IS_A_DIALECT: Dialect = WIRE  # for mypy

ROWS = recordings.load("*cohere.v2_chat")
REQUESTS = [row for row in ROWS if row["request_json"]]

Json = Any


def body(**fields: Json) -> bytes:
    return json.dumps({"model": "command-a", "messages": [{"role": "user", "content": "hi"}]} | fields).encode()


def parsed(**fields: Json) -> Request:
    return WIRE.parse(body(**fields), ASKED)


def turn(role: Json, *parts: Part, at: str = "messages[0]", **fields: Json) -> Turn:
    return placed(role, parts, at, **fields)


def foreign(*turns: Turn, **fields: Json) -> Request:
    """A request that came on another wire."""
    told = list(turns) or [turn("user", Text(text="hi"))]
    every: Json = {"wire": "openai_chat", "model": "command-a", "turns": told}
    return Request(**every | fields)


def sent(request: Request) -> Json:
    return json.loads(WIRE.encode(request).body)


def refused(request: Request) -> str:
    return laws.refused(WIRE, request)


# --- requests --------------------------------------------------------------------------------------------------------


def normal(value: Json) -> Json:
    """A request without what our spelling of it changes, and nobody can tell.

    Text alone is a string, and so is no text at all where there are calls; nulls are left out; `stream` is always said;
    a `schema` is called `json_schema`.
    """
    fields = {"stream": False} | {key: item for key, item in value.items() if item is not None and item != []}
    form = dict(fields.get("response_format", {}))
    if "schema" in form:
        form["json_schema"] = form.pop("schema")
        fields["response_format"] = form
    return fields | {"messages": [message(one) for one in value["messages"]]}


def message(value: Json) -> Json:
    told = {key: item for key, item in value.items() if item is not None and item != []}
    match told.get("content"):
        case [{"type": "text", "text": text, **rest}] if not rest:
            told["content"] = text
    if "tool_calls" in told and not told.get("content"):
        told.pop("content", None)
    return told


@recordings.needs_recordings
@pytest.mark.parametrize("row", REQUESTS, ids=recordings.ids)
def test_a_recorded_request_comes_back_from_the_canonical_form(row: recordings.Row) -> None:
    told = row["request_json"]
    recordings.replayed(row)
    request = WIRE.parse(json.dumps(told).encode(), ASKED)
    before = repr(request)
    encoded = WIRE.encode(request)
    assert normal(json.loads(encoded.body)) == normal(told)
    assert encoded.dropped == ()
    assert repr(request) == before  # another attempt encodes it again


F: Json = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CALL: Json = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
SOURCE: Json = {"type": "document", "id": "d1", "document": {"id": "d1", "url": "https://x.example", "title": "T"}}
CITED: Json = {"start": 0, "end": 2, "text": "Hi", "sources": [SOURCE], "type": "TEXT_CONTENT"}
TEXT: Json = {"type": "text", "text": "Hi"}
PICTURE: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
DOCUMENT: Json = {"type": "document", "document": {"id": "d1", "data": {"title": "T", "text": "body"}}}


def messages(*told: Json) -> Json:
    return {"messages": list(told)}


def spoken(**fields: Json) -> Json:
    return messages({"role": "assistant", **fields})


@pytest.mark.parametrize(
    "told",
    [
        messages({"role": "system", "content": "s"}, {"role": "user", "content": [TEXT, PICTURE]}),
        messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/i"}}]}),
        messages({"role": "user", "content": [{"type": "not_yet", "x": 1}, {"type": "text", "text": "u", "y": 2}]}),
        spoken(tool_plan="I will.", tool_calls=[CALL, {**CALL, "id": "f_2", "new": 1}]),
        spoken(content=[{"type": "thinking", "thinking": "t"}, TEXT], citations=[{**CITED, "content_index": 1}]),
        {"model": "command-r7b-12-2024"} | spoken(content=[{"type": "thinking", "thinking": "t"}], tool_calls=[CALL]),
        spoken(content="Hi", citations=[CITED, CITED]),
        spoken(content="Hi", citations=[CITED, {**CITED, "type": "PLAN"}], tool_plan="p"),
        spoken(content="Hi", citations=[{**CITED, "content_index": 7}]),
        spoken(tool_plan="p", citations=[CITED], tool_calls=[CALL], odd=1),
        messages({"role": "tool", "tool_call_id": "f_1", "content": [DOCUMENT, {"type": "text", "text": "x"}]}),
        messages({"role": "tool", "tool_call_id": "f_1", "content": "r", "odd": 1}),
        {"tools": [{**F, "function": {**F["function"], "new": 1}, "other": 2}], "strict_tools": True},
        {"tools": [F], "strict_tools": False, "tool_choice": "NONE"},
        {"tools": [], "strict_tools": True},
        {"documents": ["a", {"id": "d", "data": {"text": "t"}}], "citation_options": {"mode": "FAST"}},
        {"documents": [], "safety_mode": "STRICT", "priority": 3, "raw_prompting": True},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object", "json_schema": {"type": "object"}, "new": 1}},
        {"response_format": {"type": "json_object", "schema": {"type": "object"}}},
        {"thinking": {"type": "enabled"}},
        {"thinking": {"type": "enabled", "token_budget": 31000, "new": 1}},
        {"thinking": {"type": "enabled", "token_budget": 0}},
        {"thinking": {"type": "enabled", "token_budget": -1}},
        {"thinking": {"type": "disabled", "token_budget": 1}},
        {"max_tokens": 5, "temperature": 0, "p": 1.5, "k": 900, "seed": 2},
        {"frequency_penalty": -3, "presence_penalty": 9},
        {"stop_sequences": ["a"], "logprobs": True, "stream": True},
    ],
    ids=lambda told: json.dumps(told)[:70],
)
def test_what_this_wire_can_say_comes_back(told: Json) -> None:
    encoded = WIRE.encode(WIRE.parse(body(**told), ASKED))
    assert normal(json.loads(encoded.body)) == normal(json.loads(body(**told)))
    assert encoded.dropped == ()


def test_every_field_of_a_request_has_its_place() -> None:
    request = parsed(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]},
            {
                "role": "assistant",
                "tool_plan": "I will look.",
                "content": [{"type": "thinking", "thinking": "So."}, {"type": "text", "text": "Hi"}],
                "citations": [{**CITED, "content_index": 1}],
                "tool_calls": [CALL],
            },
            {"role": "tool", "tool_call_id": "f_1", "content": [DOCUMENT, {"type": "text", "text": "x"}]},
        ],
        tools=[F],
        strict_tools=True,
        tool_choice="REQUIRED",
        response_format={"type": "json_object", "json_schema": {"type": "object"}},
        thinking={"type": "enabled", "token_budget": 100},
        max_tokens=5,
        temperature=0.5,
        p=0.9,
        k=7,
        seed=3,
        stop_sequences=["END"],
        frequency_penalty=0.2,
        presence_penalty=0.1,
        logprobs=True,
        stream=True,
        documents=["d"],
        safety_mode="OFF",
    )
    value = {**CITED, "content_index": 1}
    cited = Citation(wire="cohere", value=value, url="https://x.example", title="T", origin="d1", start=0, end=2)
    assert request == Request(
        wire="cohere",
        names=SPELLED,
        model="command-a",
        turns=[
            turn("system", Text(text="Be kind.")),
            turn(
                "user",
                Document(
                    source=Inline("ZA==", "text/plain"),
                    pieces=["d"],
                    origin="doc:0",
                    cited=True,
                    extra={"documents": {"as": '"d"'}},
                ),
                Text(text="What is it?"),
                Image(source=Inline("aGk=", "image/png"), detail="low"),
                at="messages[1]",
            ),
            turn(
                "assistant",
                Thinking(text="I will look.", extra={"tool_plan": {}}),
                Thinking(text="So."),
                Text(text="Hi", citations=[cited]),
                ToolCall(id="f_1", name="f", arguments='{"x": 1}'),
                at="messages[2]",
            ),
            turn(
                "user",
                ToolResult(
                    id="f_1",
                    parts=[
                        Text(text='{"title":"T","text":"body"}', extra={"document": DOCUMENT["document"]}),
                        Text(text="x"),
                    ],
                ),
                at="messages[3]",
            ),
        ],
        stream=True,
        include_usage=True,
        tools=[Tool(name="f", description="d", parameters={"type": "object"}, strict=True, at="tools[0]")],
        tool_choice=ToolChoice("required"),
        format=Format(kind="schema", schema={"type": "object"}),
        reasoning=Reasoning(budget=100),
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        seed=3,
        stop=["END"],
        frequency_penalty=0.2,
        presence_penalty=0.1,
        logprobs=True,
        extra={"safety_mode": "OFF"},
    )


def test_a_demand_for_nothing_is_none() -> None:
    request = parsed(documents=[])
    assert (request.demands, request.extra) == ({}, {"documents": []})


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"data": {"a": 1}}, '{"a":1}'),
        ({"data": "plain"}, "plain"),
        ({"data": None, "id": "x"}, '{"data":null,"id":"x"}'),
        ({"text": "t"}, '{"text":"t"}'),
    ],
    ids=str,
)
def test_a_document_that_a_tool_gave_is_text_to_others(document: Json, text: str) -> None:
    told = {"role": "tool", "tool_call_id": "f", "content": [{"type": "document", "document": document}]}
    [result] = parsed(messages=[told]).turns[0].parts
    assert isinstance(result, ToolResult)
    assert result.parts == [Text(text=text, extra={"document": document})]


# --- requests that are refused ---------------------------------------------------------------------------------------


def heard(*content: Json) -> Json:
    return messages({"role": "user", "content": list(content)})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": "x"}]}, "messages[0].content"),
        (heard("x"), "messages[0].content[0]"),
        (heard({}), "messages[0].content[0].type"),
        (heard({"type": []}), "messages[0].content[0].type"),
        (heard({"type": "text"}), "messages[0].content[0].text"),
        (heard({"type": "thinking", "thinking": 1}), "messages[0].content[0].thinking"),
        (heard({"type": "image_url"}), "messages[0].content[0].image_url"),
        (heard({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url"),
        (heard({"type": "image_url", "image_url": {"url": "data:x"}}), "messages[0].content[0].image_url.url"),
        (heard({"type": "image_url", "image_url": {"url": "data:x,y"}}), "messages[0].content[0].image_url.url"),
        (heard({**PICTURE, "image_url": {"url": "x", "detail": 1}}), "messages[0].content[0].image_url.detail"),
        (heard({"type": "document", "document": "x"}), "messages[0].content[0].document"),
        (spoken(tool_plan=1), "messages[0].tool_plan"),
        (spoken(citations={}), "messages[0].citations"),
        (spoken(citations=[1]), "messages[0].citations[0]"),
        (spoken(tool_calls=[1]), "messages[0].tool_calls[0]"),
        (spoken(tool_calls=[{**CALL, "id": ""}]), "messages[0].tool_calls[0].id"),
        (spoken(tool_calls=[{**CALL, "type": "x"}]), "messages[0].tool_calls[0].type"),
        (spoken(tool_calls=[{"id": "a"}]), "messages[0].tool_calls[0].function"),
        (spoken(tool_calls=[{"id": "a", "function": {}}]), "messages[0].tool_calls[0].function.name"),
        (
            spoken(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": {}}}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "web"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"function": {"name": "f", "parameters": 1}}]}, "tools[0].function.parameters"),
        ({"tools": [F], "strict_tools": 1}, "strict_tools"),
        ({"tool_choice": "AUTO"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.type"),
        ({"response_format": {"type": "json_object", "json_schema": 1}}, "response_format.json_schema"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "token_budget": "1"}}, "thinking.token_budget"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"p": True}, "p"),
        ({"k": 1.5}, "k"),
        ({"seed": "1"}, "seed"),
        ({"logprobs": 1}, "logprobs"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
    ],
    ids=str,
)
def test_a_bad_request_names_the_field(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


FULL: Json = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}, PICTURE]},
        {
            "role": "assistant",
            "tool_plan": "p",
            "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "x"}],
            "citations": [{**CITED, "content_index": 1}],
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "i", "content": [DOCUMENT]},
    ],
    "tools": [F],
    "strict_tools": True,
    "tool_choice": "REQUIRED",
    "response_format": {"type": "json_object", "json_schema": {"a": 1}},
    "thinking": {"type": "enabled", "token_budget": 1},
    "documents": ["d"],
    "k": 1,
    "p": 0.5,
    "stop_sequences": ["x"],
    "stream": True,
}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(places(FULL)), ANY_JSON)
def test_any_json_in_any_place_is_read_or_refused(path: tuple[Json, ...], item: Json) -> None:
    try:
        request = WIRE.parse(json.dumps(put(FULL, path, item)).encode(), ASKED)
    except BadRequest:
        return
    WIRE.encode(request)


def peeked(data: bytes) -> Peek:
    return WIRE.peek(Envelope(data), Path())


def test_peek() -> None:
    assert peeked(b'{"model":"m"}') == Peek("m", False)
    assert peeked(b'{"model":"m","stream":true}') == Peek("m", True)


@pytest.mark.parametrize(("data", "param"), [(b"{}", "model"), (b'{"model":"m","stream":1}', "stream")])
def test_peek_names_the_field(data: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        peeked(data)
    assert caught.value.param == param


def test_forward_edits_the_model_and_nothing_else() -> None:
    data = b'{ "model": "mine", "messages" : [] }'
    assert WIRE.forward(Envelope(data), "mine", True).body is data
    assert WIRE.forward(Envelope(data), "command-a", True).body == b'{ "model": "command-a", "messages" : [] }'


# --- what other wires ask of this one --------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["openai_chat", "anthropic", "gemini", "bedrock", "ollama"])
@pytest.mark.parametrize(
    ("document", "dropped"),
    [({"data": '{"x": 1}'}, ()), ({"data": {"x": 1}}, ()), ({"x": 1}, ()), ({"id": "d", "data": "x"}, ("document",))],
)
def test_a_result_as_cohere_documents_it_loses_nothing_but_its_id(wire: str, document: Json, dropped: Json) -> None:
    result = {"role": "tool", "tool_call_id": "f_1", "content": [{"type": "document", "document": document}]}
    asked = {"role": "user", "content": "hi"}
    request = parsed(messages=[asked, {"role": "assistant", "tool_calls": [CALL]}, result], tools=[F])
    assert registry.dialect(wire).encode(request).dropped == dropped


def test_a_plan_that_is_left_out_is_named_as_the_client_named_it() -> None:
    plan = {"role": "assistant", "tool_plan": "p", "tool_calls": [CALL]}
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}]}
    for told, name in (([plan], "tool_plan"), ([thought], "thinking"), ([plan, thought], "thinking")):
        assert parsed(messages=told).name_of("thinking") == f"messages.{name}"


def test_a_request_of_another_wire() -> None:
    request = foreign(
        turn("developer", Text(text="Be kind."), at="system"),
        turn("user", Text(text="Look"), Image(source=Remote("https://x.example/i"), detail="high")),
        turn(
            "assistant",
            Thinking(text="I plan.", extra={"tool_plan": {}}),
            Text(text="I call."),
            Refusal(text="No."),
            ToolCall(id="c1", name="f", arguments='{"x":1}'),
            ToolCall(id="c2", name="g"),
        ),
        turn("user", Text(text="and"), ToolResult(id="c2", parts=[Text(text="a")]), ToolResult(id="c1")),
        tools=[
            Tool(name="f", description="d", parameters={"type": "object"}),
            Tool(name="g"),
        ],
        tool_choice=ToolChoice("required"),
        max_tokens=5,
        temperature=1.0,
        top_p=0.5,
        top_k=3,
        stop=["x"],
        store=False,
        n=1,
        parallel_tools=True,
        modalities=["text"],
        stream=True,
    )
    encoded = WIRE.encode(request)
    assert json.loads(encoded.body) == {
        "model": "command-a",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "https://x.example/i", "detail": "high"}},
                ],
            },
            {
                "role": "assistant",
                "tool_plan": "I plan.",
                "content": [{"type": "text", "text": "I call."}, {"type": "text", "text": "No."}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c2", "content": "a"},
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "user", "content": "and"},
        ],
        "max_tokens": 5,
        "temperature": 1.0,
        "p": 0.5,
        "k": 3,
        "stop_sequences": ["x"],
        "tools": [
            F,
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
        ],
        "tool_choice": "REQUIRED",
        "stream": True,
    }
    assert encoded.dropped == ()


@pytest.mark.parametrize(
    ("reasoning", "limit", "thinking", "dropped"),
    [
        (Reasoning(off=True), None, {"type": "disabled"}, ()),
        (Reasoning(budget=0), None, {"type": "disabled"}, ()),
        (Reasoning(effort="none"), None, {"type": "disabled"}, ()),
        (Reasoning(budget=-1), None, {"type": "enabled"}, ()),
        (Reasoning(budget=77), None, {"type": "enabled", "token_budget": 77}, ()),
        (Reasoning(budget=31001), None, {"type": "enabled", "token_budget": 31000}, ("reasoning.budget",)),
        (Reasoning(budget=77, effort="low"), None, {"type": "enabled", "token_budget": 77}, ("reasoning.effort",)),
        (Reasoning(effort="medium"), None, {"type": "enabled", "token_budget": BUDGETS["medium"]}, ()),
        (Reasoning(effort="high"), 1000, {"type": "enabled", "token_budget": 500}, ()),
        (Reasoning(effort="high"), 1, {"type": "enabled", "token_budget": 1}, ()),
        (Reasoning(effort="unheard"), None, None, ("reasoning",)),
        (Reasoning(summary="auto"), None, None, ("reasoning.summary",)),
        (None, None, None, ()),
    ],
    ids=str,
)
def test_thinking(reasoning: Reasoning | None, limit: int | None, thinking: Json, dropped: tuple[str, ...]) -> None:
    encoded = WIRE.encode(foreign(reasoning=reasoning, max_tokens=limit))
    assert json.loads(encoded.body).get("thinking") == thinking
    assert encoded.dropped == dropped


CALLED = ToolCall(id="c", name="f", arguments="{}")
THOUGHT: Json = {"type": "thinking", "thinking": "t"}


@pytest.mark.parametrize(
    ("model", "parts", "message", "dropped"),
    [
        ("command-a-reasoning-08-2025", [Thinking(text="t"), CALLED], {"content": [THOUGHT]}, ()),
        ("command-a-plus-05-2026", [Thinking(text="t"), Text(text="Hi")], {"content": [THOUGHT, TEXT]}, ()),
        ("command-r7b-12-2024", [Thinking(text="t"), CALLED], {"tool_plan": "t"}, ()),
        ("command-a-03-2025", [Thinking(text="t"), CALLED], {"tool_plan": "t"}, ()),
        ("command-r-08-2024", [Thinking(text="t"), Text(text="x")], {"content": "x"}, ("thinking",)),
        ("command-a-reasoning-08-2025", [Thinking(redacted="s"), CALLED], {}, ("thinking",)),
    ],
)
def test_what_the_model_thought_goes_back_as_it_says_it(
    model: str, parts: list[Part], message: Json, dropped: tuple[str, ...]
) -> None:
    """So that a strict gateway lets the second turn of its own conversation pass."""
    request = foreign(turns=[turn("assistant", *parts)])
    request.model = model
    encoded = WIRE.encode(request)
    [told] = json.loads(encoded.body)["messages"]
    told.pop("tool_calls", None)
    assert told == {"role": "assistant", **message}
    assert encoded.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        ({"top_p": 1.0}, "p", 0.99),
        ({"top_p": 0.0}, "p", 0.01),
        ({"seed": -1}, "seed", 0),
        ({"stop": list("abcdef")}, "stop_sequences", list("abcde")),
        ({"top_k": 900}, "k", 500),
        ({"frequency_penalty": -2.0}, "frequency_penalty", 0.0),
        ({"presence_penalty": 1.5}, "presence_penalty", 1.0),
    ],
    ids=str,
)
def test_a_knob_beyond_what_the_wire_takes_is_brought_near_and_receipted(fields: Json, key: str, value: float) -> None:
    encoded = WIRE.encode(foreign(**fields))
    assert json.loads(encoded.body)[key] == value
    assert encoded.dropped == tuple(fields)


def test_the_tool_that_is_asked_for_is_the_only_one_on_offer() -> None:
    tools = [Tool(name="f", parameters={}), Tool(name="g", parameters={})]
    encoded = WIRE.encode(foreign(tools=tools, tool_choice=ToolChoice("tool", "g")))
    told = json.loads(encoded.body)
    assert [tool["function"]["name"] for tool in told["tools"]] == ["g"]
    assert (told["tool_choice"], encoded.dropped) == ("REQUIRED", ("tools",))
    alone = WIRE.encode(foreign(tools=tools[:1], tool_choice=ToolChoice("tool", "f")))
    assert alone.dropped == ()
    unknown = WIRE.encode(foreign(tools=tools, tool_choice=ToolChoice("tool", "h")))
    assert (len(json.loads(unknown.body)["tools"]), unknown.dropped) == (2, ("tool_choice",))


def test_a_shape_beside_tools_is_told_in_words() -> None:
    """Cohere: "not supported when used in combinations with the `documents` or `tools` parameters"."""
    form = Format(kind="schema", name="n", schema={"type": "object"}, strict=True)
    encoded = WIRE.encode(foreign(tools=[Tool(name="f")], format=form))
    told = json.loads(encoded.body)
    assert "response_format" not in told
    assert [message["role"] for message in told["messages"]] == ["system", "user"]
    assert told["messages"][0]["content"].endswith('valid by this JSON Schema:\n{"title":"n","type":"object"}')
    assert encoded.dropped == ("format",)
    alone = WIRE.encode(foreign(format=form))
    assert json.loads(alone.body)["response_format"]["json_schema"] == {"title": "n", "type": "object"}
    assert alone.dropped == ()


NEEDY: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("tools", "strict", "dropped"),
    [
        ([Tool(name="f", parameters=NEEDY, strict=True)], True, ()),
        ([Tool(name="f", parameters=NEEDY, strict=True), Tool(name="g", parameters=NEEDY)], True, ("tool.strict",)),
        ([Tool(name="f", parameters=NEEDY, strict=True), Tool(name="g", strict=True)], None, ("tool.strict",)),
        ([Tool(name="f", parameters={**NEEDY, "required": []}, strict=True)], None, ("tool.strict",)),
        ([Tool(name="f", parameters=NEEDY, strict=False)], None, ()),
    ],
)
def test_tools_are_strict_together_if_each_requires_something(
    tools: list[Tool], strict: bool | None, dropped: tuple[str, ...]
) -> None:
    """Cohere: "Tools with only optional parameters are not supported in this mode."."""
    encoded = WIRE.encode(foreign(tools=tools))
    assert (json.loads(encoded.body).get("strict_tools"), encoded.dropped) == (strict, dropped)


@pytest.mark.parametrize("mode", ["none", "auto"])
def test_a_choice_among_no_tools_is_not_sent(mode: Json) -> None:
    assert "tool_choice" not in sent(foreign(tool_choice=ToolChoice(mode)))


QUOTING = Text(text="x", citations=[Citation(wire="anthropic", value={})])


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"parallel_tools": False}, "parallel_tools"),
        ({"logit_bias": {"1": 1.0}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"user": "u"}, "user"),
        ({"safety_identifier": "s"}, "safety_identifier"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"store": True}, "store"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"verbosity": "low"}, "verbosity"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"extra": {"min_p": 1}}, "min_p"),
        ({"tools": [Tool(name="f", strict=True), Tool(name="g")]}, "tool.strict"),
        ({"tools": [Tool(name="f", cache={"type": "ephemeral"})]}, "cache"),
        ({"tools": [Tool(name="f", extra={"defer": 1})]}, "defer"),
        ({"format": Format(kind="schema", schema={"title": "x"}, name="n")}, "format.name"),
        ({"format": Format(kind="schema", schema={"description": "x"}, description="d")}, "format.description"),
        ({"turns": [turn("user", Text(text="x", extra={"odd": 1}))]}, "odd"),
        ({"turns": [turn("user", Text(text="x"), extra={"name": "n"})]}, "name"),
        ({"turns": [turn("user", ToolResult(id="a", is_error=True))]}, "tool_result.is_error"),
        ({"turns": [turn("assistant", Text(text="x"), Thinking(redacted="sealed"))]}, "thinking"),
        ({"turns": [turn("assistant", QUOTING)]}, "text.citations"),
        ({"turns": [turn("user", QUOTING)]}, "text.citations"),
        ({"turns": [turn("system", QUOTING)]}, "text.citations"),
        ({"turns": [turn("user", ToolResult(id="a", parts=[QUOTING]))]}, "text.citations"),
    ],
    ids=str,
)
def test_a_knob_that_the_wire_lacks_is_receipted(fields: Json, dropped: str) -> None:
    assert WIRE.encode(foreign(**fields)).dropped == (dropped,)


def test_what_asks_for_nothing_is_not_receipted() -> None:
    idle: Json = {"store": False, "service_tier": "auto", "modalities": ["text"], "metadata": {}, "logit_bias": {}}
    assert WIRE.encode(foreign(**idle)).dropped == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"demands": {"web_search_options": {}}}, "web_search_options"),
        ({"tools": [Tool(name="w", kind="web_search", at="tools[0]")]}, "tools[0]"),
        ({"turns": [turn("user", Text(text="a"), Image(source=Stored("f")))]}, "messages[0].content[1]"),
        ({"turns": [turn("system", Image(source=Remote("x")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Document(source=Inline("aGk=", "application/pdf")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Audio(source=Inline("aGk=", "audio/wav")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Video(source=Remote("x")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Opaque(wire="gemini", value={}))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", ToolCall(id="1", name="f"))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Thinking(text="t"))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolResult(id="1"))]}, "messages[0].content[0]"),
        ({"turns": [turn("system", ToolResult(id="1"))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolCall(id="1", name="f", kind="custom"))]}, "messages[0].content[0]"),
        *(
            ({"turns": [turn("user", ToolResult(id="1", parts=[part]))]}, "messages[0].content[0].content[0]")
            for part in (Audio(source=Inline("x")), Opaque(wire="x", value={}))
        ),
    ],
    ids=str,
)
def test_content_that_the_wire_cannot_carry_is_refused_by_its_path(fields: Json, param: str) -> None:
    assert refused(foreign(**fields)) == param
