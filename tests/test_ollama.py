"""Does proxy.dialects.ollama speak Ollama's wire, both ways, and refuse aloud what it cannot say?"""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from proxy.dialects.ollama import Ollama
from proxy.dialects.ollama.words import SPELLED
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.grammar.fields import standard_base64
from proxy.ports import Dialect, Path, Peek
from tests import laws, recordings
from tests.laws import examples
from tests.nested import places, put
from tests.placed import placed

WIRE = Ollama(clock=lambda: 1_700_000_000.5)
ASKED = Peek("m", True)
IS_A_DIALECT: Dialect = WIRE  # for mypy

ROWS = recordings.load("*ollama.api_chat", "*ollama.api_generate")
REQUESTS = [row for row in ROWS if row["request_json"]]

Json = Any


def body(**fields: Json) -> bytes:
    return json.dumps({"model": "llama3", "messages": [{"role": "user", "content": "hi"}]} | fields).encode()


def parsed(**fields: Json) -> Request:
    return WIRE.parse(body(**fields), ASKED)


def prompted(**fields: Json) -> Request:
    return WIRE.parse(json.dumps({"model": "llama3", "prompt": "hi"} | fields).encode(), ASKED)


def turn(role: Json, *parts: Part, at: str = "messages[0]", **fields: Json) -> Turn:
    return placed(role, parts, at, **fields)


def foreign(*turns: Turn, **fields: Json) -> Request:
    """A request that came on another wire."""
    told = list(turns) or [turn("user", Text(text="hi"))]
    every: Json = {"wire": "openai_chat", "model": "llama3", "turns": told}
    return Request(**every | fields)


def sent(request: Request) -> Json:
    return json.loads(WIRE.encode(request).body)


def refused(request: Request) -> str:
    return laws.refused(WIRE, request)


# --- requests --------------------------------------------------------------------------------------------------------


def normal(value: Json) -> Json:
    """A request without what our spelling of it changes, and nobody can tell.

    Nulls are left out, and so are an empty `tools`, `options`, `format`, `system` or `images`; `stream` is always
    said; a call without an id is given one, and so is the result that it is of; a result tells its tool's name.
    """
    empty = ("tools", "options", "format", "system", "images")
    fields = {key: item for key, item in value.items() if item is not None and (item or key not in empty)}
    return (
        {"stream": True}
        | fields
        | ({"messages": [message(one) for one in value["messages"]]} if fields.get("messages") else {})
    )


def message(value: Json) -> Json:
    gone = ("tool_call_id", "tool_name", "images", "tool_calls", "thinking")
    told = {key: item for key, item in value.items() if item or key not in gone}
    for key in ("tool_call_id", "tool_name"):
        told.pop(key, None)
    if "tool_calls" in told:
        told["tool_calls"] = [{k: v for k, v in call.items() if k not in ("id", "type")} for call in told["tool_calls"]]
    return told


@recordings.needs_recordings
@pytest.mark.parametrize("row", REQUESTS, ids=recordings.ids)
def test_a_recorded_request_comes_back_from_the_canonical_form(row: recordings.Row) -> None:
    told = row["request_json"]
    recordings.replayed(row)
    encoded = WIRE.encode(WIRE.parse(json.dumps(told).encode(), ASKED))
    assert normal(json.loads(encoded.body)) == normal(told)
    assert encoded.dropped == ()


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
F: Json = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CALL: Json = {"id": "a", "function": {"name": "f", "arguments": {"x": [1]}, "index": 3}}
CALLED: Json = {
    "messages": [
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "r", "tool_call_id": "a"},
    ]
}


@pytest.mark.parametrize(
    "told",
    [
        {"messages": []},
        {"messages": [], "keep_alive": 0},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "images": [PNG]}]},
        {"messages": [{"role": "assistant", "content": "", "thinking": "t", "new": 1}], "truncate": False},
        CALLED,
        {"tools": [{**F, "function": {**F["function"], "new": 1}, "other": 2}]},
        {"format": "json", "stream": False, "keep_alive": "5m", "logprobs": True, "top_logprobs": 3},
        {"format": {"type": "object"}, "think": True, "stream": True},
        {"think": False},
        {"think": "high"},
        {"model": "gpt-oss:20b", "think": "medium"},
        {"options": {"num_ctx": 4096, "temperature": 0, "num_predict": -1, "stop": ["a", "b"], "mirostat": 1}},
        {"options": {"num_predict": 7, "top_p": 0.5, "top_k": 3, "seed": 4, "min_p": 0.1, "repeat_penalty": 1.1}},
        {"options": {"presence_penalty": -1, "frequency_penalty": 1.5}},
    ],
    ids=lambda told: json.dumps(told)[:60],
)
def test_what_this_wire_can_say_comes_back(told: Json) -> None:
    encoded = WIRE.encode(WIRE.parse(body(**told), ASKED))
    assert normal(json.loads(encoded.body)) == normal(json.loads(body(**told)))
    assert encoded.dropped == ()


@pytest.mark.parametrize(
    "told",
    [
        {"prompt": ""},
        {"prompt": "", "keep_alive": 0, "system": "s"},
        {"prompt": "p", "system": "s", "images": [PNG], "stream": False, "format": "json", "think": True},
        {"prompt": "p", "suffix": "s", "raw": True, "template": "t", "context": [1, 2], "options": {"seed": 1}},
        {"prompt": "p", "raw": False, "context": [], "width": 64},
    ],
    ids=lambda told: json.dumps(told)[:60],
)
def test_what_generate_can_say_comes_back(told: Json) -> None:
    told = {"model": "llama3", **told}
    encoded = WIRE.encode(WIRE.parse(json.dumps(told).encode(), ASKED))
    assert normal(json.loads(encoded.body)) == normal(told)
    assert encoded.dropped == ()


def test_a_body_with_a_model_alone_loads_it() -> None:
    request = WIRE.parse(b'{"model":"llama3"}', ASKED)
    assert (request.turns, request.demands) == ([], {"prompt": ""})
    assert sent(request) == {"model": "llama3", "prompt": "", "stream": True}


def test_every_field_of_a_chat_has_its_place() -> None:
    request = parsed(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "What is it?", "images": [PNG]},
            {"role": "assistant", "content": "Hm.", "thinking": "So.", "tool_calls": [call_of("f", x=1), call_of("g")]},
            {"role": "tool", "content": "of g", "tool_name": "g"},
            {"role": "tool", "content": "of f"},
        ],
        tools=[F],
        format={"type": "object"},
        think="low",
        stream=False,
        logprobs=True,
        top_logprobs=2,
        keep_alive="5m",
        options={
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 5,
            "seed": 3,
            "num_predict": 100,
            "stop": "END",
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "num_ctx": 4096,
        },
    )
    assert request == Request(
        wire="ollama",
        names=SPELLED,
        model="llama3",
        turns=[
            turn("system", Text(text="Be kind.")),
            turn("user", Text(text="What is it?"), Image(source=Inline(PNG, "image/png")), at="messages[1]"),
            turn(
                "assistant",
                Thinking(text="So."),
                Text(text="Hm."),
                ToolCall(id="call_2_0", name="f", arguments='{"x":1}'),
                ToolCall(id="call_2_1", name="g", arguments="{}"),
                at="messages[2]",
            ),
            turn(
                "user",
                ToolResult(id="call_2_1", parts=[Text(text="of g")]),
                at="messages[3]",
            ),
            turn("user", ToolResult(id="call_2_0", parts=[Text(text="of f")]), at="messages[4]"),
        ],
        include_usage=True,
        tools=[Tool(name="f", description="d", parameters={"type": "object"}, at="tools[0]")],
        format=Format(kind="schema", schema={"type": "object"}),
        reasoning=Reasoning(effort="low"),
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        seed=3,
        stop=["END"],
        frequency_penalty=0.2,
        presence_penalty=0.1,
        logprobs=True,
        top_logprobs=2,
        extra={"options": {"num_ctx": 4096}, "keep_alive": "5m"},
    )


def call_of(name: str, **arguments: Json) -> Json:
    return {"function": {"name": name, "arguments": arguments}}


def test_every_field_of_a_prompt_has_its_place() -> None:
    request = prompted(system="s", images=[PNG], suffix="e", raw=True, template="", context=[1], width=3)
    assert request.turns == [
        turn("system", Text(text="s"), at="system"),
        turn("user", Text(text="hi"), Image(source=Inline(PNG, "image/png")), at="prompt"),
    ]
    assert request.stream
    assert request.demands == {"suffix": "e", "raw": True, "context": [1]}
    assert request.extra == {"template": "", "width": 3}


@pytest.mark.parametrize("limit", [-1, -2])
def test_no_limit_is_no_number_of_tokens(limit: int) -> None:
    request = parsed(options={"num_predict": limit})
    assert (request.max_tokens, request.extra) == (None, {"options": {"num_predict": limit}})


def test_a_decimal_number_counts_without_its_fraction() -> None:
    """As Ollama reads it: https://github.com/ollama/ollama/blob/main/api/types.go, FromMap."""
    request = parsed(options={"num_predict": 128.0, "top_k": 40.9, "seed": -1.5})
    assert (request.max_tokens, request.top_k, request.seed) == (128, 40, -1)
    assert parsed(options={"num_predict": -1.0}).extra == {"options": {"num_predict": -1}}


def test_messages_make_it_a_chat_whatever_else_there_is() -> None:
    request = parsed(prompt="p", raw=True)
    assert (request.extra, request.demands) == ({"prompt": "p"}, {"raw": True})
    assert sent(request) == json.loads(body(prompt="p", raw=True, stream=True))


@pytest.mark.parametrize(
    ("start", "media"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0........", "image/jpeg"),
        (b"GIF89a......", "image/gif"),
        (b"RIFF\n\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", ""),
        (b"", ""),
    ],
)
def test_an_images_first_bytes_show_its_type(start: bytes, media: str) -> None:
    data = base64.b64encode(start).decode()
    request = parsed(messages=[{"role": "user", "content": "", "images": [data]}])
    assert request.turns[0].parts == [Image(source=Inline(data, media))]


def test_an_image_with_broken_lines_is_one() -> None:
    """Go's base64, and so Ollama, reads over line breaks."""
    data = base64.encodebytes(b"\x89PNG\r\n\x1a\n" + bytes(90)).decode()
    folded = f"{data[:3]}\r\n{data[3:]}"
    request = parsed(messages=[{"role": "user", "content": "", "images": [folded]}])
    assert request.turns[0].parts == [Image(source=Inline(data.replace("\n", ""), "image/png"))]


@pytest.mark.parametrize("data", ["no base64!", "é", "a", "data:image/png;base64,aGk="])
def test_an_image_that_shows_nothing_is_of_no_type(data: str) -> None:
    request = parsed(messages=[{"role": "user", "content": "", "images": [data]}])
    assert request.turns[0].parts == [Image(source=Inline(standard_base64(data), ""))]


@pytest.mark.parametrize(
    ("calls", "results", "ids"),
    [
        ([call_of("f"), call_of("f")], [{}, {}], ["call_0_0", "call_0_1"]),
        ([call_of("f"), call_of("g")], [{"tool_name": "g"}, {"tool_name": "f"}], ["call_0_1", "call_0_0"]),
        ([call_of("f"), call_of("g")], [{"name": "g"}, {"name": "f"}], ["call_0_1", "call_0_0"]),
        ([call_of("f"), call_of("f")], [{"tool_name": "f"}, {"tool_name": "f"}], ["call_0_0", "call_0_1"]),
        ([call_of("f") | {"id": "a"}, call_of("g") | {"id": "b"}], [{"tool_call_id": "b"}, {}], ["b", "a"]),
        ([call_of("f")], [{}, {}], ["call_0_0", "call_2"]),
        ([call_of("f")], [{"tool_name": "other"}], ["call_1"]),
        ([call_of("f") | {"id": "a"}], [{"tool_call_id": "elsewhere"}, {}], ["elsewhere", "a"]),
        ([call_of("f"), call_of("f")], [{"tool_call_id": "x"}, {"tool_call_id": "y"}], ["call_0_0", "call_0_1"]),
        ([call_of("f"), call_of("f") | {"id": "a"}], [{"tool_call_id": "a"}, {"tool_call_id": "x"}], ["a", "call_0_0"]),
    ],
    ids=[
        "order",
        "name",
        "name of old",
        "name, then order",
        "id",
        "one too many",
        "no such name",
        "no such id",
        "an id of the result alone",
        "an id of one call and both results",
    ],
)
def test_a_result_finds_its_call(calls: list[Json], results: list[Json], ids: list[str]) -> None:
    told = [{"role": "assistant", "content": "", "tool_calls": calls}]
    told += [{"role": "tool", "content": "r", **result} for result in results]
    found = [part for one in parsed(messages=told).turns for part in one.parts if isinstance(part, ToolResult)]
    assert [result.id for result in found] == ids


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ({"tool_name": "f"}, {}),
        ({"name": "f"}, {}),
        ({"tool_name": "other"}, {"tool_name": "other"}),
        ({"tool_name": "f", "name": "other"}, {"name": "other"}),
        ({"tool_call_id": "call_0_0", "tool_name": "other"}, {"tool_name": "other"}),
    ],
    ids=["its name", "its name of old", "another's", "two names", "an id and another's name"],
)
def test_the_name_of_a_call_that_was_found_is_not_missed(named: Json, left: Json) -> None:
    """Else every loop of tools that the SDK's documentation shows would be on the receipt, and `strict` refuse it."""
    told = [
        {"role": "assistant", "content": "", "tool_calls": [call_of("f")]},
        {"role": "tool", "content": "r", **named},
    ]
    (result,) = parsed(messages=told).turns[1].parts
    assert result.extra == left


def test_a_result_is_of_the_last_turn_that_called() -> None:
    calling = {"role": "assistant", "content": "", "tool_calls": [call_of("f")]}
    request = parsed(messages=[calling, calling, {"role": "tool", "content": "r"}])
    assert request.turns[2].parts == [ToolResult(id="call_1_0", parts=[Text(text="r")])]


def test_an_answer_may_stand_in_many_messages() -> None:
    """Strands tells each block in one of its own, and of a result neither id nor name."""
    calling = {"role": "assistant", "tool_calls": [call_of("f")]}
    told = [calling, {"role": "assistant", "content": "Hm."}, calling, *[{"role": "tool", "content": "r"}] * 2]
    found = [part for one in parsed(messages=[*told, *told]).turns for part in one.parts if type(part) is ToolResult]
    assert [result.id for result in found] == ["call_0_0", "call_2_0", "call_5_0", "call_7_0"]


def test_a_result_may_come_behind_the_next_words() -> None:
    calling = {"role": "assistant", "content": "", "tool_calls": [call_of("f"), call_of("f")]}
    result = {"role": "tool", "content": "r"}
    turns = parsed(messages=[calling, result, {"role": "assistant", "content": "Hm."}, result]).turns
    assert [part.id for one in turns for part in one.parts if type(part) is ToolResult] == ["call_0_0", "call_0_1"]


# --- requests that are refused ---------------------------------------------------------------------------------------


def spoken(**fields: Json) -> Json:
    return {"messages": [{"role": "assistant", "content": "", **fields}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "images": "x"}]}, "messages[0].images"),
        ({"messages": [{"role": "user", "images": [1]}]}, "messages[0].images[0]"),
        ({"messages": [{"role": "tool", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "", "tool_name": 1}]}, "messages[0].tool_name"),
        ({"messages": [{"role": "tool", "content": "", "tool_call_id": 1}]}, "messages[0].tool_call_id"),
        (spoken(thinking=1), "messages[0].thinking"),
        (spoken(tool_calls={}), "messages[0].tool_calls"),
        (spoken(tool_calls=[1]), "messages[0].tool_calls[0]"),
        (spoken(tool_calls=[{}]), "messages[0].tool_calls[0].function"),
        (spoken(tool_calls=[{"id": 1, **call_of("f")}]), "messages[0].tool_calls[0].id"),
        (spoken(tool_calls=[call_of("")]), "messages[0].tool_calls[0].function.name"),
        (
            spoken(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"function": {"name": "f", "parameters": []}}]}, "tools[0].function.parameters"),
        ({"format": "xml"}, "format"),
        ({"format": True}, "format"),
        ({"think": 1}, "think"),
        ({"think": ""}, "think"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 1.5}, "top_logprobs"),
        ({"options": []}, "options"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": {"num_predict": True}}, "options.num_predict"),
        ({"options": {"top_k": "1"}}, "options.top_k"),
        ({"options": {"seed": []}}, "options.seed"),
        ({"options": {"stop": 1}}, "options.stop"),
        ({"options": {"stop": [1]}}, "options.stop[0]"),
    ],
    ids=str,
)
def test_a_bad_request_names_the_field(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"prompt": 1}, "prompt"), ({"system": []}, "system"), ({"images": [None]}, "images[0]")],
    ids=str,
)
def test_a_bad_prompt_names_the_field(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        prompted(**fields)
    assert caught.value.param == param


FULL: Json = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "x", "images": [PNG]},
        {"role": "assistant", "content": "x", "thinking": "t", "tool_calls": [{"id": "i", **call_of("f", x=1)}]},
        {"role": "tool", "content": "x", "tool_name": "f", "tool_call_id": "i"},
    ],
    "tools": [F],
    "format": {"a": 1},
    "options": {"temperature": 1, "stop": ["x"], "num_predict": 3},
    "think": True,
    "stream": True,
    "logprobs": True,
    "top_logprobs": 1,
    "prompt": "p",
    "system": "s",
    "images": [PNG],
}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(places(FULL)), ANY_JSON, st.booleans())
def test_any_json_in_any_place_is_read_or_refused(path: tuple[Json, ...], item: Json, chat: bool) -> None:
    value = put(FULL, path, item)
    if not chat and isinstance(value, dict):
        value.pop("messages", None)
    data = json.dumps(value).encode()
    try:
        request = WIRE.parse(data, ASKED)
    except BadRequest:
        return
    WIRE.encode(request)


def peeked(data: bytes) -> Peek:
    return WIRE.peek(Envelope(data), Path())


def test_a_stream_is_the_default() -> None:
    assert peeked(b'{"model":"m"}') == Peek("m", True)
    assert peeked(b'{"model":"m","stream":null}') == Peek("m", True)
    assert peeked(b'{"model":"m","stream":true}') == Peek("m", True)
    assert peeked(b'{"model":"m","stream":false}') == Peek("m", False)


@pytest.mark.parametrize(("data", "param"), [(b"{}", "model"), (b'{"model":"m","stream":1}', "stream")])
def test_peek_names_the_field(data: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        peeked(data)
    assert caught.value.param == param


def test_forward_edits_the_model_and_nothing_else() -> None:
    data = b'{ "model": "mine", "prompt" : "x" }'
    assert WIRE.forward(Envelope(data), "mine", True).body is data
    assert WIRE.forward(Envelope(data), "llama3", True).body == b'{ "model": "llama3", "prompt" : "x" }'


# --- what other wires ask of this one --------------------------------------------------------------------------------


def test_a_request_of_another_wire() -> None:
    request = foreign(
        turn("developer", Text(text="Be"), Text(text="kind."), at="system"),
        turn("user", Text(text="Look"), Image(source=Inline("aGk=", "image/png")), Text(text="here")),
        turn(
            "assistant",
            Thinking(text="So."),
            Text(text="I "),
            Text(text="call."),
            Refusal(text=" No."),
            ToolCall(id="c1", name="f", arguments='{"x":1}'),
            ToolCall(id="c2", name="g"),
        ),
        turn("user", Text(text="and"), ToolResult(id="c2", parts=[Text(text="a"), Text(text="b")]), ToolResult(id="?")),
        tools=[Tool(name="f", description="d", parameters={"type": "object"})],
        tool_choice=ToolChoice("auto"),
        format=Format(kind="schema", name="n", schema={"type": "object"}, strict=True),
        max_tokens=5,
        temperature=1.0,
        stop=["x"],
        store=False,
        n=1,
        parallel_tools=True,
        modalities=["text"],
        stream=True,
    )
    encoded = WIRE.encode(request)
    assert json.loads(encoded.body) == {
        "model": "llama3",
        "messages": [
            {"role": "system", "content": "Be\nkind."},
            {"role": "user", "content": "Look\nhere", "images": ["aGk="]},
            {
                "role": "assistant",
                "content": "I call. No.",
                "thinking": "So.",
                "tool_calls": [
                    {"id": "c1", "function": {"name": "f", "arguments": {"x": 1}}},
                    {"id": "c2", "function": {"name": "g", "arguments": {}}},
                ],
            },
            {"role": "tool", "tool_call_id": "c2", "tool_name": "g", "content": "a\nb"},
            {"role": "tool", "tool_call_id": "?", "content": ""},
            {"role": "user", "content": "and"},
        ],
        "stream": True,
        "tools": [F],
        "format": {"title": "n", "type": "object"},
        "options": {"num_predict": 5, "temperature": 1.0, "stop": ["x"]},
    }
    assert encoded.dropped == ()


@pytest.mark.parametrize(
    ("model", "reasoning", "think", "dropped"),
    [
        ("qwen3", Reasoning(off=True), False, ()),
        ("qwen3", Reasoning(budget=0), False, ()),
        ("qwen3", Reasoning(effort="none"), False, ()),
        ("qwen3", Reasoning(effort="medium"), True, ()),
        ("qwen3", Reasoning(effort="high"), True, ("reasoning.effort",)),
        ("qwen3", Reasoning(budget=3000), True, ("reasoning.budget",)),
        ("qwen3", Reasoning(summary="auto"), None, ("reasoning.summary",)),
        ("qwen3", Reasoning(effort="medium", summary="auto"), True, ()),
        ("gpt-oss:20b", Reasoning(effort="high"), "high", ()),
        ("library/gpt-oss", Reasoning(effort="minimal"), "low", ("reasoning.effort",)),
        ("gpt-oss", Reasoning(effort="unheard"), "medium", ("reasoning.effort",)),
        ("gpt-oss", Reasoning(off=True), "low", ("reasoning",)),
        ("gpt-oss", Reasoning(budget=2048), "low", ("reasoning.budget",)),
        ("gpt-oss", Reasoning(budget=99999), "high", ("reasoning.budget",)),
        ("gpt-oss", Reasoning(budget=99999, effort="low"), "low", ("reasoning.budget",)),
        ("gpt-oss", Reasoning(budget=-1), "medium", ("reasoning.budget",)),
    ],
    ids=str,
)
def test_thinking(model: str, reasoning: Reasoning, think: Json, dropped: tuple[str, ...]) -> None:
    encoded = WIRE.encode(foreign(model=model, reasoning=reasoning))
    assert json.loads(encoded.body).get("think") == think
    assert encoded.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"parallel_tools": False}, "parallel_tools"),
        ({"logit_bias": {"1": 1.0}}, "logit_bias"),
        ({"user": "u"}, "user"),
        ({"safety_identifier": "s"}, "safety_identifier"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"store": True}, "store"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"verbosity": "low"}, "verbosity"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"extra": {"min_p": 1}}, "min_p"),
        ({"tools": [Tool(name="f")], "tool_choice": ToolChoice("required")}, "tool_choice"),
        ({"tools": [Tool(name="f")], "tool_choice": ToolChoice("tool", "f")}, "tool_choice"),
        ({"tools": [Tool(name="f", strict=True)]}, "tool.strict"),
        ({"tools": [Tool(name="f", cache={"type": "ephemeral"})]}, "cache"),
        ({"tools": [Tool(name="f", extra={"defer": 1})]}, "defer"),
        ({"format": Format(kind="schema", schema={"title": "x"}, name="n")}, "format.name"),
        ({"format": Format(kind="schema", schema={"description": "x"}, description="d")}, "format.description"),
        ({"turns": [turn("user", Text(text="x", extra={"odd": 1}))]}, "odd"),
        ({"turns": [turn("user", Text(text="x"), extra={"name": "n"})]}, "name"),
        ({"turns": [turn("user", ToolResult(id="a", is_error=True))]}, "tool_result.is_error"),
        ({"turns": [turn("user", Image(source=Inline("aGk="), detail="high"))]}, "image.detail"),
        ({"turns": [turn("assistant", Thinking(redacted="x"))]}, "thinking"),
        (
            {"turns": [turn("assistant", Text(text="x", citations=[Citation(wire="cohere", value={})]))]},
            "text.citations",
        ),
    ],
    ids=str,
)
def test_a_knob_that_the_wire_lacks_is_receipted(fields: Json, dropped: str) -> None:
    assert WIRE.encode(foreign(**fields)).dropped == (dropped,)


def test_what_asks_for_nothing_is_not_receipted() -> None:
    idle: Json = {"store": False, "service_tier": "auto", "modalities": ["text"], "metadata": {}, "logit_bias": {}}
    assert WIRE.encode(foreign(**idle, format=Format(kind="text"))).dropped == ()


def test_a_tool_that_may_not_be_chosen_is_not_offered() -> None:
    encoded = WIRE.encode(foreign(tools=[Tool(name="f")], tool_choice=ToolChoice("none")))
    assert "tools" not in json.loads(encoded.body)
    assert encoded.dropped == ("tools",)
    assert WIRE.encode(foreign(tool_choice=ToolChoice("none"))).dropped == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"demands": {"web_search_options": {}}}, "web_search_options"),
        ({"tools": [Tool(name="w", kind="web_search", at="tools[0]")]}, "tools[0]"),
        ({"turns": [turn("user", Image(source=Remote("https://x.example/i.png")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Text(text="a"), Image(source=Stored("f")))]}, "messages[0].content[1]"),
        ({"turns": [turn("user", Document(source=Inline("aGk=", "application/pdf")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Audio(source=Inline("aGk=", "audio/wav")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Video(source=Remote("x")))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", Opaque(wire="gemini", value={}))]}, "messages[0].content[0]"),
        ({"turns": [turn("user", ToolCall(id="1", name="f"))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolResult(id="1"))]}, "messages[0].content[0]"),
        ({"turns": [turn("assistant", ToolCall(id="1", name="f", kind="custom"))]}, "messages[0].content[0]"),
        (
            {"turns": [turn("user", ToolResult(id="1", parts=[Audio(source=Inline("x"))]))]},
            "messages[0].content[0].content[0]",
        ),
    ],
    ids=str,
)
def test_content_that_the_wire_cannot_carry_is_refused_by_its_path(fields: Json, param: str) -> None:
    assert refused(foreign(**fields)) == param
