"""What does a client ask of Chat Completions, what is a provider sent, and what is either told when it is wrong?"""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

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
    Video,
)
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.citations import citations_of
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Busy, Down, OverLimit, Refused, Timeout, Unauthorized, Unrepresentable
from proxy.grammar.fields import paths
from proxy.ports import Dialect, Path, Peek
from tests import recordings
from tests.laws import examples
from tests.nested import places, put
from tests.placed import placed

CHAT: Dialect = OpenAIChat(clock=lambda: 1700000000.0)
ASKED = Peek("m", False)
Json = Any

ROWS = recordings.load("*chat_completions")
REQUESTS = [row for row in ROWS if isinstance(row["request_json"], dict)]


def parse(body: Json) -> Request:
    return CHAT.parse(json.dumps(body).encode(), ASKED)


def encode(request: Request) -> Json:
    return json.loads(CHAT.encode(request).body)


def asked(*messages: Json, **fields: Json) -> Json:
    return {"model": "m", "messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


def foreign(*turns: Turn, **fields: Json) -> Request:
    return Request(wire="anthropic", model=fields.pop("model", "gpt-4.1"), turns=list(turns), **fields)


def said(role: str, *parts: Part) -> Turn:
    return placed(role, parts, "messages[3]")  # type: ignore[arg-type]  # the tests say only roles


# --- round trips -----------------------------------------------------------------------------------------------------


def normal(body: Json) -> Json:
    """A body as it comes back, where that is not as it went. Every difference is here:

    - null says what absence says, and so do `stream: false` and an assistant's empty content beside something else;
    - a list of one plain text is a string, and a lone stop string a list;
    - no tools are no `tools`, and no calls no `tool_calls`;
    - a type that was left out is `function`; `any` is `required`;
    - `cache_control` of a message is that of its last part;
    - a stream is asked for its usage;
    - an effort that is all of OpenRouter's `reasoning` is a `reasoning_effort`.
    """
    body = {key: value for key, value in copy.deepcopy(body).items() if value is not None}
    body["messages"] = [_normal_message(message) for message in body["messages"]]
    if isinstance(body.get("reasoning"), dict) and body["reasoning"].keys() == {"effort"}:
        body["reasoning_effort"] = body.pop("reasoning")["effort"]
    if not body.get("tools"):
        body.pop("tools", None)
    else:
        body["tools"] = [_without_null({"type": "function", **tool}) for tool in body["tools"]]
    if isinstance(choice := body.get("tool_choice"), dict):
        body["tool_choice"] = {"type": "function", **choice}
    if body.get("tool_choice") == "any":
        body["tool_choice"] = "required"
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    if not body.get("stream"):
        body.pop("stream", None)
    else:
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    return body


def _without_null(fields: Json) -> Json:
    return {
        key: _without_null(value) if key in ("function", "custom", "image_url") else value
        for key, value in fields.items()
        if value is not None
    }


def _normal_message(message: Json) -> Json:
    message = _without_null(message)
    if not message.get("tool_calls"):
        message.pop("tool_calls", None)
    else:
        message["tool_calls"] = [{"type": "function", **call} for call in message["tool_calls"]]
    content = message.get("content")
    if isinstance(content, list):
        content = message["content"] = [_without_null(part) for part in content]
    cache = message.pop("cache_control", None) if message["role"] != "tool" else None
    if cache is not None and message.get("tool_calls"):
        message["tool_calls"][-1]["cache_control"] = cache
    elif cache is not None:
        content = content if isinstance(content, list) else [{"type": "text", "text": content}]
        content[-1]["cache_control"] = cache
        message["content"] = content
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        message["content"] = content[0]["text"]
    if message["role"] == "assistant" and not message.get("content"):
        message["content"] = None if len(message.keys() - {"role", "content"}) else ""
    return message


@recordings.needs_recordings
def test_every_recorded_request_comes_back_as_it_was() -> None:
    assert len(REQUESTS) > 500
    for row in REQUESTS:
        body = {**row["request_json"], "model": row["request_json"].get("model") or "azure-names-it-in-the-path"}
        request = parse(body)
        encoded = CHAT.encode(request)
        assert encoded.dropped == (), row["id"]
        assert json.loads(encoded.body) == normal(body), row["id"]
        recordings.replayed(row)


@recordings.needs_recordings
def test_a_parsed_recording_parses_again_to_the_same() -> None:
    for row in REQUESTS:
        request = parse({**row["request_json"], "model": "m"})
        again = CHAT.parse(CHAT.encode(request).body, ASKED)
        assert again.turns == request.turns, row["id"]


PART_CASES: list[tuple[Json, Part]] = [
    ({"type": "text", "text": "a"}, Text(text="a")),
    ({"type": "text", "text": ""}, Text()),
    (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "mark": 1},
        Text(text="a", cache={"type": "ephemeral"}, extra={"mark": 1}),
    ),
    ({"type": "image_url", "image_url": {"url": "https://a/b.png"}}, Image(source=Remote("https://a/b.png"))),
    (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low", "fps": 2}},
        Image(source=Inline("QUJD", "image/png"), detail="low", extra={"image_url": {"fps": 2}}),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        Audio(source=Inline("QUJD", "audio/mp3")),
    ),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        Document(source=Inline("QUJD", "application/pdf"), name="a.pdf"),
    ),
    ({"type": "file", "file": {"file_data": "https://a/b.pdf"}}, Document(source=Remote("https://a/b.pdf"))),
    ({"type": "file", "file": {"file_data": "QUJD"}}, Document(source=Inline("QUJD"))),
    ({"type": "file", "file": {"file_id": "file-1"}}, Document(source=Stored("file-1"))),
    (
        {"type": "video_url", "video_url": {"url": "x"}},
        Video(source=Remote("x")),
    ),
    (
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD", "fps": 2}, "min_pixels": 1},
        Video(source=Inline("QUJD", "video/mp4"), extra={"video_url": {"fps": 2}, "min_pixels": 1}),
    ),
    (
        {"type": "video", "video": ["x"]},
        Opaque(wire="openai_chat", value={"type": "video", "video": ["x"]}),
    ),
]


@pytest.mark.parametrize(("part", "canonical"), PART_CASES)
def test_a_part_of_content(part: Json, canonical: Part) -> None:
    other = {"type": "text", "text": "b"}
    body = asked(user(part, other))
    request = parse(body)
    assert request.turns == [Turn(role="user", parts=[canonical, Text(text="b")], at="messages[0]")]
    assert encode(request) == body


def inline(media_type: str) -> Json:
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,QUJD", "detail": "low"}}


def filed(media_type: str) -> Json:
    return {"type": "file", "file": {"file_data": f"data:{media_type};base64,QUJD", "filename": "a", "fps": 2}}


@pytest.mark.parametrize(
    ("part", "canonical", "left"),
    [
        (inline("application/pdf"), Document(source=Inline("QUJD", "application/pdf")), {"detail": "low"}),
        (inline("audio/mp3"), Audio(source=Inline("QUJD", "audio/mp3")), {"detail": "low"}),
        (
            inline("application/octet-stream"),
            Image(source=Inline("QUJD", "application/octet-stream"), detail="low"),
            {},
        ),
        (filed("image/png"), Image(source=Inline("QUJD", "image/png")), {"fps": 2, "filename": "a"}),
        (filed("audio/wav"), Audio(source=Inline("QUJD", "audio/wav")), {"fps": 2, "filename": "a"}),
        (filed("video/mp4"), Video(source=Inline("QUJD", "video/mp4")), {"fps": 2, "filename": "a"}),
        (filed("text/csv"), Document(source=Inline("QUJD", "text/csv"), name="a"), {"fps": 2}),
    ],
)
def test_a_file_is_what_its_media_type_says(part: Json, canonical: Part, left: Json) -> None:
    body = asked(user(part, {"type": "text", "text": "b"}))
    made: Any = parse(body).turns[0].parts[0]
    assert made.extra.get(part["type"], {}) == left
    assert replace(made, extra={}) == canonical
    assert encode(parse(body)) == body


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ({"file_id": "https://a/b.pdf"}, Remote("https://a/b.pdf")),
        ({"file_id": "gs://a/b", "format": "application/pdf"}, Remote("gs://a/b", "application/pdf")),
    ],
)
def test_a_file_id_may_be_a_url(file: Json, source: Remote) -> None:
    part = {"type": "file", "file": file, "mark": 1, "cache_control": {"type": "ephemeral"}}
    body = asked(user(part, {"type": "text", "text": "b"}))
    made: Any = parse(body).turns[0].parts[0]
    assert (type(made), made.source, list(paths(made.extra))) == (Document, source, ["mark"])
    assert encode(parse(body)) == body
    marked = parse(asked({**user({"type": "file", "file": file}), "cache_control": {"type": "ephemeral"}}))
    assert encode(marked)["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_a_data_url_in_plain_text_becomes_base64() -> None:
    request = parse(asked(user({"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg/%3E"}})))
    assert request.turns[0].parts == [Image(source=Inline("PHN2Zy8+", "image/svg+xml"))]


def test_an_image_url_that_is_a_bare_string() -> None:
    request = parse(asked(user({"type": "image_url", "image_url": "https://a"})))
    assert request.turns[0].parts == [Image(source=Remote("https://a"))]


def test_a_conversation_with_everything() -> None:
    body = asked(
        {"role": "system", "content": "s", "name": "boss"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": "c",
            "refusal": "r",
            "audio": {"id": "a1"},
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{}"},
                    "extra_content": {"g": 1},
                },
                {"id": "2", "type": "custom", "custom": {"name": "g", "input": "free"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {
            "role": "tool",
            "tool_call_id": "2",
            "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
        },
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}", "odd": 1}},
        {"role": "function", "name": "old", "content": "3"},
    )
    request = parse(body)
    assert [turn.role for turn in request.turns] == [
        "system", "developer", "user", "assistant", "user", "user", "assistant", "user",
    ]  # fmt: skip
    assert request.turns[0].extra == {"name": "boss"}
    assert request.turns[3].parts == [
        Text(text="c"),
        Refusal(text="r"),
        Audio(id="a1"),
        ToolCall(id="1", name="f", arguments="{}", extra={"extra_content": {"g": 1}}),
        ToolCall(id="2", name="g", arguments="free", kind="custom"),
    ]
    assert request.turns[4].parts == [ToolResult(id="1", parts=[Text(text="one")])]
    old, result = request.turns[6].parts[0], request.turns[7].parts[0]
    assert isinstance(old, ToolCall)
    assert isinstance(result, ToolResult)
    assert old.id == result.id  # so that wires which pair them by id can
    assert [turn.at for turn in request.turns] == [f"messages[{number}]" for number in range(8)]
    assert encode(request) == body


def test_a_turn_of_no_parts_is_a_turn() -> None:
    body = asked({"role": "user", "content": []}, {"role": "user", "content": "a"})
    assert [message["role"] for message in encode(parse(body))["messages"]] == ["user", "user"]


def test_an_assistant_that_said_nothing_says_so_in_a_string() -> None:
    """Hosts take null only beside calls."""
    body = asked({"role": "user", "content": "a"}, {"role": "assistant", "content": ""})
    assert encode(parse(body)) == body


@pytest.mark.parametrize(
    ("content", "extra"),
    [
        ({"google": {"thought_signature": "s"}}, {}),
        ({"google": {"thought_signature": "s", "b": 1}, "a": 1}, {"extra_content": {"google": {"b": 1}, "a": 1}}),
    ],
)
def test_the_seal_of_a_call_is_where_gemini_has_it(content: Json, extra: Json) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": content}
    body = asked({"role": "assistant", "content": None, "tool_calls": [call]})
    request = parse(body)
    assert request.turns[0].parts == [ToolCall(id="1", name="f", arguments="{}", signature="s", extra=extra)]
    assert encode(request) == body
    sent = encode(foreign(said("assistant", ToolCall(id="1", name="f", signature="s"))))["messages"][0]
    assert sent["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}


@pytest.mark.parametrize(
    ("message", "thinking"),
    [
        ({"reasoning_content": "hm"}, [Thinking(text="hm")]),
        ({"reasoning": "hm"}, [Thinking(text="hm", extra={"thoughts": {"reasoning": "hm"}})]),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "f", "index": 0}
                ]
            },
            [Thinking(text="hm", signature="s")],
        ),
        (
            {
                "reasoning_content": "hm",
                "reasoning_details": [
                    {"type": "reasoning.text", "signature": "s", "index": 0},
                    {"type": "reasoning.encrypted", "data": "x", "index": 0},
                ],
            },
            [Thinking(text="hm", signature="s"), Thinking(redacted="x")],
        ),
    ],
)
def test_replayed_reasoning(message: Json, thinking: list[Thinking]) -> None:
    body = asked({"role": "assistant", "content": "c", **message})
    request = parse(body)
    parts = [part for part in request.turns[0].parts if isinstance(part, Thinking)]
    assert [(p.text, p.signature, p.redacted) for p in parts] == [(p.text, p.signature, p.redacted) for p in thinking]
    assert encode(request) == body


@pytest.mark.parametrize(("said", "left"), [(True, []), (False, ["prefix"])])
def test_that_a_turn_is_to_be_continued_needs_no_receipt(said: bool, left: list[str]) -> None:
    """DeepSeek and Mistral want it said; every other wire goes by the turn's place."""
    body = asked({"role": "user", "content": "a"}, {"role": "assistant", "content": "{", "prefix": said})
    request = parse(body)
    assert list(paths(request.turns[1].extra)) == left
    assert encode(request) == body


def test_mistral_thinking_in_content() -> None:
    body = asked(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
                {"type": "text", "text": "c"},
            ],
        }
    )
    request = parse(body)
    assert [type(part).__name__ for part in request.turns[0].parts] == ["Thinking", "Text"]
    assert encode(request) == body


KNOB_CASES: list[tuple[Json, Json]] = [
    ({"max_tokens": 5}, {"max_tokens": 5}),
    ({"max_completion_tokens": 5}, {"max_tokens": 5}),
    ({"max_completion_tokens": 5, "max_tokens": 6}, {"max_tokens": 5, "extra": {"max_tokens": 6}}),
    ({"temperature": 1, "top_p": 0.5, "top_k": 3, "seed": 4}, {"temperature": 1, "top_p": 0.5, "top_k": 3, "seed": 4}),
    ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"n": 2, "user": "u", "service_tier": "flex"}, {"n": 2, "user": "u", "service_tier": "flex"}),
    ({"logit_bias": {"5": -1}, "logprobs": True, "top_logprobs": 2}, {"logit_bias": {"5": -1}, "top_logprobs": 2}),
    ({"reasoning_effort": "high"}, {"reasoning": Reasoning(effort="high")}),
    ({"reasoning_effort": "none"}, {"reasoning": Reasoning(off=True)}),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning": Reasoning(budget=2000)}),
    ({"thinking": {"type": "enabled"}}, {"reasoning": Reasoning(adaptive=True)}),
    ({"thinking": {"type": "adaptive"}}, {"reasoning": Reasoning(adaptive=True)}),
    (
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"reasoning": Reasoning(summary="auto", adaptive=True)},
    ),
    ({"thinking": {"type": "disabled"}}, {"reasoning": Reasoning(off=True)}),
    ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, {"reasoning": Reasoning(effort="high", off=True)}),
    ({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, {"reasoning": Reasoning(effort="max")}),
    ({"thinking": {"type": "enabled"}, "reasoning_effort": "none"}, {"reasoning": Reasoning(off=True)}),
    ({"thinking": {"type": "other"}}, {"reasoning": None, "extra": {"thinking": {"type": "other"}}}),
    ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, {"reasoning": None}),
    ({"thinking": True}, {"reasoning": None, "extra": {"thinking": True}}),
    (
        {"thinking": {"type": "enabled"}, "reasoning": {"effort": "low", "exclude": True}},
        {"reasoning": Reasoning(effort="low")},
    ),
    ({"response_format": {"type": "text"}}, {"format": Format(kind="text")}),
    ({"response_format": {"type": "json_object"}}, {"format": Format(kind="json")}),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}},
        {"format": Format(kind="schema", name="n", schema={"a": 1}, strict=True)},
    ),
    (
        {"response_format": {"type": "json_object", "schema": {"a": 1}}},
        {"format": Format(kind="schema", schema={"a": 1}), "demands": {}},
    ),
    (
        {"response_format": {"type": "json_object", "response_schema": {"a": 1}}},
        {"format": Format(kind="schema", schema={"a": 1}), "demands": {}},
    ),
    (
        {"response_format": {"type": "json_schema", "schema": {"a": 1}}},
        {"format": Format(kind="schema", schema={"a": 1})},
    ),
    (
        {"response_format": {"type": "json_object", "schema": {"a": 1}, "odd": 1}},
        {"format": None, "demands": {"response_format": {"type": "json_object", "schema": {"a": 1}, "odd": 1}}},
    ),
    (
        {"response_format": {"type": "json_object", "schema": "a"}},
        {"format": None, "demands": {"response_format": {"type": "json_object", "schema": "a"}}},
    ),
    (
        {"response_format": {"type": "grammar", "grammar": "x"}},
        {"format": None, "demands": {"response_format": {"type": "grammar", "grammar": "x"}}},
    ),
    ({"web_search_options": {}}, {"demands": {"web_search_options": {}}, "extra": {}}),
    (
        {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}},
        {"modalities": ["text", "audio"], "demands": {"audio": {"voice": "a", "format": "wav"}}},
    ),
    ({"modalities": ["text"], "store": True}, {"demands": {}, "extra": {}, "modalities": ["text"], "store": True}),
    ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}, "extra": {}}),
    ({"metadata": {"a": [1]}}, {"metadata": None, "extra": {"metadata": {"a": [1]}}}),
    ({"reasoning": {"max_tokens": 9}}, {"reasoning": Reasoning(budget=9), "extra": {}}),
    (
        {"reasoning": {"effort": "high", "exclude": True}},
        {"reasoning": Reasoning(effort="high"), "extra": {"reasoning": {"exclude": True}}},
    ),
    ({"reasoning": {"enabled": True}}, {"reasoning": None, "extra": {"reasoning": {"enabled": True}}}),
    (
        {"functions": [{"name": "f"}], "function_call": {"name": "f", "odd": 1}},
        {"tool_choice": None, "demands": {"function_call": {"name": "f", "odd": 1}}},
    ),
    ({"tool_choice": "required"}, {"tool_choice": ToolChoice("required")}),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": ToolChoice("tool", "f")},
    ),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        {
            "tool_choice": None,
            "demands": {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        },
    ),
    (  # a tool that a name does not say
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "x"}]}}},
        {
            "tool_choice": None,
            "demands": {
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "x"}]}}
            },
        },
    ),
    ({"parallel_tool_calls": False}, {"parallel_tools": False}),
]


@pytest.mark.parametrize(("fields", "canonical"), KNOB_CASES)
def test_a_field_and_where_it_goes(fields: Json, canonical: Json) -> None:
    body = asked(**fields)
    request = parse(body)
    assert {name: getattr(request, name) for name in canonical} == canonical
    assert encode(request) == body


@pytest.mark.parametrize(
    ("fields", "field", "name"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "reasoning.budget", "thinking.budget_tokens"),
        ({"thinking": {"type": "adaptive"}}, "reasoning.adaptive", "thinking"),
        ({"thinking": {"type": "enabled", "display": "summarized"}}, "reasoning.summary", "thinking.display"),
        ({"thinking": {"type": "disabled"}}, "reasoning", "thinking"),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, "reasoning.effort", "reasoning_effort"),
    ],
)
def test_thinking_is_named_as_the_client_says_it(fields: Json, field: str, name: str) -> None:
    request = parse(asked(**fields))
    assert (request.name_of(field), list(paths(request.extra))) == (name, [])
    kept = parse(asked(thinking={"type": "enabled", "clear_thinking": False}))
    assert list(paths(kept.extra)) == ["thinking.clear_thinking"]


def test_stream_options_keep_their_other_keys() -> None:
    request = parse(asked(stream=True, stream_options={"include_usage": False, "include_obfuscation": False}))
    assert (request.stream, request.include_usage) == (True, False)
    assert encode(request)["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_tools_of_every_kind() -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"a": 1}, "strict": False}},
        {"type": "function", "function": {"name": "g", "odd": 1}, "cache_control": {"type": "ephemeral"}},
        {"type": "custom", "custom": {"name": "h", "format": {"type": "text"}}},
        {"type": "openrouter:web_search", "max": 3},
    ]
    body = asked(tools=tools, tool_choice={"type": "custom", "custom": {"name": "h"}})
    request = parse(body)
    assert request.tools[0] == Tool(name="f", description="d", parameters={"a": 1}, strict=False, at="tools[0]")
    assert request.tools[1].cache == {"type": "ephemeral"}
    within = parse(asked(tools=[{"function": {"name": "g", "cache_control": {"type": "ephemeral"}}}])).tools[0]
    assert (within.cache, list(paths(within.extra))) == ({"type": "ephemeral"}, [])
    assert [tool.kind for tool in request.tools] == ["function", "function", "custom", "openrouter:web_search"]
    assert encode(request) == body


@pytest.mark.parametrize("choice", ["auto", "none", {"name": "f"}])
def test_functions_before_there_were_tools(choice: Json) -> None:
    body = asked(functions=[{"name": "f", "parameters": {}}], function_call=choice)
    request = parse(body)
    assert request.tools == [Tool(name="f", parameters={}, at="functions[0]")]
    assert request.tool_choice is not None
    assert encode(request) == body


def test_an_integer_of_any_size_is_a_number() -> None:
    body = asked(temperature=10**400, logit_bias={"5": -(10**400)})
    assert encode(parse(body)) == body


def test_the_word_for_the_limit_is_the_clients_own() -> None:
    for body in (asked(max_tokens=5), asked(max_completion_tokens=5), asked(max_completion_tokens=5, max_tokens=6)):
        assert encode(parse(body)) == body


# --- bad input -------------------------------------------------------------------------------------------------------


IMAGE = {"type": "image_url", "image_url": {"url": 5}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

BAD: list[tuple[Json, str]] = [
    ({"messages": [{"role": "user", "content": "x"}]}, "model"),
    (asked(model=""), "model"),
    (asked(model=5), "model"),
    ({"model": "m"}, "messages"),
    ({"model": "m", "messages": []}, "messages"),
    ({"model": "m", "messages": {"a": 1}}, "messages"),
    (asked("hi"), "messages[0]"),
    (asked({"content": "x"}), "messages[0].role"),
    (asked({"role": "robot", "content": "x"}), "messages[0].role"),
    (asked({"role": 5, "content": "x"}), "messages[0].role"),
    (asked({"role": "user"}), "messages[0].content"),
    (asked({"role": "user", "content": 5}), "messages[0].content"),
    (asked({"role": "user", "content": {"type": "text"}}), "messages[0].content"),
    (asked(user("hi")), "messages[0].content[0]"),
    (asked(user({"text": "x"})), "messages[0].content[0].type"),
    (asked(user({"type": ["text"]})), "messages[0].content[0].type"),
    (asked(user({"type": "text"})), "messages[0].content[0].text"),
    (asked(user({"type": "text", "text": "a"}, IMAGE)), "messages[0].content[1].image_url.url"),
    (asked(user({"type": "image_url"})), "messages[0].content[0].image_url"),
    (asked(user({"type": "image_url", "image_url": "data:image/png"})), "messages[0].content[0].image_url"),
    (
        asked(user({"type": "image_url", "image_url": {"url": "x", "detail": 1}})),
        "messages[0].content[0].image_url.detail",
    ),
    (asked(user({"type": "input_audio", "input_audio": {"data": "x"}})), "messages[0].content[0].input_audio.format"),
    (asked(user({"type": "file", "file": {}})), "messages[0].content[0].file.file_data"),
    (asked(user({"type": "text", "text": "a", "cache_control": 1})), "messages[0].content[0].cache_control"),
    (asked({"role": "assistant", "content": 1}), "messages[0].content"),
    (asked({"role": "assistant", "refusal": 1}), "messages[0].refusal"),
    (asked({"role": "assistant", "reasoning": 1}), "messages[0].reasoning"),
    (asked({"role": "assistant", "reasoning_details": [{}, 5]}), "messages[0].reasoning_details[1]"),
    (asked({"role": "assistant", "audio": {}}), "messages[0].audio.id"),
    (asked({"role": "assistant", "tool_calls": {}}), "messages[0].tool_calls"),
    (asked({"role": "assistant", "tool_calls": [5]}), "messages[0].tool_calls[0]"),
    (asked({"role": "assistant", "tool_calls": [{**CALL, "id": 5}]}), "messages[0].tool_calls[0].id"),
    (asked({"role": "assistant", "tool_calls": [{**CALL, "type": "x"}]}), "messages[0].tool_calls[0].type"),
    (asked({"role": "assistant", "tool_calls": [{"id": "1"}]}), "messages[0].tool_calls[0].function"),
    (
        asked({"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]}),
        "messages[0].tool_calls[0].function.arguments",
    ),
    (asked({"role": "assistant", "function_call": {"arguments": ""}}), "messages[0].function_call.name"),
    (asked({"role": "tool", "content": "x"}), "messages[0].tool_call_id"),
    (asked({"role": "function", "content": "x"}), "messages[0].name"),
    (asked(stream="yes"), "stream"),
    (asked(stream=True, stream_options=[]), "stream_options"),
    (asked(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage"),
    (asked(temperature="hot"), "temperature"),
    (asked(temperature=True), "temperature"),
    (asked(max_tokens=1.5), "max_tokens"),
    (asked(max_completion_tokens="5"), "max_completion_tokens"),
    (asked(n=True), "n"),
    (asked(stop=5), "stop"),
    (asked(stop=["a", 5]), "stop[1]"),
    (asked(logit_bias={"5": "x"}), "logit_bias.5"),
    (asked(logit_bias=[]), "logit_bias"),
    (asked(logprobs=1), "logprobs"),
    (asked(user=5), "user"),
    (asked(reasoning_effort=5), "reasoning_effort"),
    (asked(response_format="json"), "response_format"),
    (asked(response_format={}), "response_format.type"),
    (asked(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (
        asked(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": []}}),
        "response_format.json_schema.schema",
    ),
    (asked(tools={}), "tools"),
    (asked(tools=[5]), "tools[0]"),
    (asked(tools=[{"type": "function"}]), "tools[0].function"),
    (asked(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    (asked(tools=[{"function": {"name": "f", "parameters": "x"}}]), "tools[0].function.parameters"),
    (asked(functions=[{"name": 5}]), "functions[0].name"),
    (asked(tool_choice="sometimes"), "tool_choice"),
    (asked(tool_choice=5), "tool_choice"),
    (asked(tool_choice={"type": "function"}), "tool_choice.function.name"),
    (asked(parallel_tool_calls="no"), "parallel_tool_calls"),
]


@pytest.mark.parametrize(("body", "param"), BAD, ids=[param for _, param in BAD])
def test_bad_input_is_named_by_its_path(body: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(body)
    assert caught.value.param == param
    assert param in caught.value.message
    assert caught.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "function", "name", "id", "content", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)

RICH = asked(
    user({"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:a/b;base64,QQ=="}}),
    user(
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
    ),
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "x"}]},
            {"type": "refusal", "refusal": "n"},
        ],
        "tool_calls": [CALL],
        "function_call": {"name": "f", "arguments": "{}"},
        "reasoning": "r",
        "reasoning_details": [{"type": "reasoning.text", "text": "t", "index": 0, "signature": "s"}],
        "audio": {"id": "a"},
    },
    {"role": "tool", "tool_call_id": "1", "content": "x", "cache_control": {}},
    {"role": "function", "name": "f", "content": "x"},
    tools=[
        {"type": "function", "function": {"name": "f", "parameters": {}}},
        {"type": "custom", "custom": {"name": "g"}},
    ],
    functions=[{"name": "h"}],
    tool_choice={"type": "function", "function": {"name": "f"}},
    function_call={"name": "h"},
    response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    stop=["a"],
    logit_bias={"1": 2},
    stream=True,
    stream_options={"include_usage": True},
    reasoning_effort="low",
    max_tokens=5,
    max_completion_tokens=6,
    metadata={"a": "b"},
)


@settings(max_examples=examples(400), deadline=None)
@given(place=st.sampled_from(places(RICH)), item=JSON)
def test_any_json_in_any_place_is_parsed_or_refused(place: tuple[Json, ...], item: Json) -> None:
    body = put(RICH, place, item)
    try:
        request = parse(body)
    except BadRequest:
        return
    assert isinstance(encode(request), dict)
    with suppress(Unrepresentable):
        CHAT.encode(replace(request, wire="anthropic"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        CHAT.parse(body, ASKED)


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep = b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(BadRequest):
        CHAT.parse(deep, ASKED)


# --- peek and forward ------------------------------------------------------------------------------------------------


def test_peek() -> None:
    assert CHAT.peek(Envelope(b'{"model":"m"}'), Path()) == Peek("m", False)
    assert CHAT.peek(Envelope(b'{"model":"m","stream":null}'), Path()) == Peek("m", False)
    assert CHAT.peek(Envelope(b'{"stream":true,"model":"m"}'), Path()) == Peek("m", True)


@pytest.mark.parametrize(
    ("body", "param"),
    [(b"{}", "model"), (b'{"model":""}', "model"), (b'{"model":[]}', "model"), (b'{"model":"m","stream":1}', "stream")],
)
def test_peek_refuses(body: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        CHAT.peek(Envelope(body), Path())
    assert caught.value.param == param


def test_an_unedited_body_is_the_same_object() -> None:
    body = b'{ "model" : "m",  "stream":true, "stream_options":{"include_usage":true} }'
    forward = CHAT.forward(Envelope(body), "m", ask_usage=True)
    assert forward.body is body
    assert forward.strip is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model": "a", "stream":true}', b'{"model": "b", "stream":true,"stream_options":{"include_usage":true}}'),
        (
            b'{"model":"b","stream":true,"stream_options":{"x":[1],"include_usage":false} }',
            b'{"model":"b","stream":true,"stream_options":{"x":[1],"include_usage":true} }',
        ),
        (
            b'{"model":"b","stream":true,"stream_options":null}',
            b'{"model":"b","stream":true,"stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_a_stream_is_asked_for_usage_and_the_answer_stripped(body: bytes, expected: bytes) -> None:
    forward = CHAT.forward(Envelope(body), "b", ask_usage=True)
    assert forward.body == expected
    assert forward.strip is not None
    unasked = CHAT.forward(Envelope(body), "b", ask_usage=False)
    assert unasked.strip is None
    assert b'"include_usage":true' not in unasked.body


@pytest.mark.parametrize("body", [b'{"model":"a","stream":false}', b'{"model":"a","stream":true,"stream_options":5}'])
def test_nothing_is_asked_of_what_does_not_stream_or_is_wrong(body: bytes) -> None:
    forward = CHAT.forward(Envelope(body), "b", ask_usage=True)
    assert forward.body == body.replace(b'"a"', b'"b"')
    assert forward.strip is None


def test_models_are_listed_as_openai_lists_them() -> None:
    card = json.loads(CHAT.model_card("a/b"))
    assert card == {"id": "a/b", "object": "model", "created": 0, "owned_by": "pillion"}
    assert json.loads(CHAT.model_list(["a/b"])) == {"object": "list", "data": [card]}


# --- from other wires ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("gpt-4.1", "max_tokens"),
        ("llama-3", "max_tokens"),
        ("gpt-5-mini", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("openai/o4-mini", "max_completion_tokens"),
        ("gpt-6.1-sol", "max_completion_tokens"),
        ("openai.gpt-5.6-luna", "max_completion_tokens"),
        ("openai.gpt-oss-120b", "max_tokens"),
        ("gpt-35-turbo", "max_tokens"),
    ],
)
def test_the_word_for_the_limit_goes_by_the_model(model: str, key: str) -> None:
    assert encode(foreign(said("user", Text(text="x")), model=model, max_tokens=7))[key] == 7


@pytest.mark.parametrize("parts", [[Text(text="a")], [Text(text="a"), Text(text="b")]])
def test_a_developer_of_another_wire_speaks_as_the_system_does(parts: list[Part]) -> None:
    """Mistral, DeepSeek, Moonshot, Cerebras, Qwen and others refuse `developer`; OpenAI reads both as one."""
    request = foreign(said("developer", *parts), said("user", Text(text="x")))
    assert [message["role"] for message in encode(request)["messages"]] == ["system", "user"]
    assert CHAT.encode(request).dropped == ()
    assert encode(replace(request, wire="openai_chat"))["messages"][0]["role"] == "developer"


def test_cache_points_go_to_claude_where_its_host_takes_them() -> None:
    """OpenRouter."""
    point, long = {"type": "default"}, {"type": "ephemeral", "ttl": "1h"}
    request = foreign(
        said("system", Text(text="a", cache=long)),
        said("user", Text(text="b", cache=point)),
        said("assistant", ToolCall(id="1", name="f", arguments="{}", cache=point)),
        said("user", ToolResult(id="1", parts=[Text(text="c")], cache=point)),
        said("assistant", ToolCall(id="2", name="f", arguments="{}")),
        said("user", ToolResult(id="2", parts=[], cache=point)),
        tools=[Tool(name="f")],
        model="anthropic/claude-sonnet-4.5",
        cache_points=True,
    )
    body, ephemeral = encode(request), {"type": "ephemeral"}
    contents = [message["content"] for message in body["messages"]]
    assert contents == [
        [{"type": "text", "text": "a", "cache_control": long}],
        [{"type": "text", "text": "b", "cache_control": ephemeral}],
        None,
        [{"type": "text", "text": "c", "cache_control": ephemeral}],
        None,
        "",
    ]
    assert CHAT.encode(request).dropped == ("cache",)  # of the call
    request.turns[2:4] = []
    assert CHAT.encode(request).dropped == ("cache",)  # of the empty result: Claude refuses a point there
    request.turns.pop()
    assert CHAT.encode(request).dropped == ()
    for other in (replace(request, model="openai/gpt-4.1"), replace(request, cache_points=False)):
        assert b"cache_control" not in CHAT.encode(other).body


def test_a_function_without_parameters_of_another_wire_says_that_it_has_none() -> None:
    """Mistral, llama.cpp and TabbyAPI demand the field; OpenAI reads its absence as this."""
    request = foreign(said("user", Text(text="x")), tools=[Tool(name="f"), Tool(name="g", kind="custom")])
    assert encode(request)["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}},
        {"type": "custom", "custom": {"name": "g"}},
    ]
    assert "parameters" not in encode(replace(request, wire="openai_chat"))["tools"][0]["function"]


def test_openai_gets_no_more_stop_strings_than_it_takes() -> None:
    request = foreign(said("user", Text(text="x")), stop=list("abcde"))

    def stops(model: str, wire: str = "") -> tuple[list[str], tuple[str, ...]]:
        encoded = CHAT.encode(replace(request, model=model, wire=wire))
        return json.loads(encoded.body)["stop"], encoded.dropped

    assert stops("gpt-4.1") == (list("abcd"), ("stop",))
    assert stops("deepseek-chat") == stops("gpt-4.1", "openai_chat") == (list("abcde"), ())


def test_the_knobs_that_this_wire_lacks_are_receipted() -> None:
    request = foreign(
        said("user", Text(text="x", cache={"type": "ephemeral"}, citations=citations_of([{}]), extra={"odd": 1})),
        said("assistant", Thinking(text="hm", signature="s"), Text(text="y")),
        said("user", ToolResult(id="1", is_error=True, parts=[Text(text="z")], extra={"rare": 1})),
        top_k=5,
        service_tier="standard_only",
        reasoning=Reasoning(budget=4000),
        extra={"context_management": {}},
    )
    encoded = CHAT.encode(request)
    assert encoded.dropped == (
        "cache", "context_management", "odd", "rare", "reasoning.budget", "service_tier", "text.citations",
        "thinking", "tool_result.is_error", "top_k",
    )  # fmt: skip
    assert json.loads(encoded.body) == {
        "model": "gpt-4.1",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y"},
            {"role": "tool", "tool_call_id": "1", "content": "z"},
        ],
        "reasoning_effort": "medium",
    }


@pytest.mark.parametrize(
    ("reasoning", "effort", "dropped"),
    [
        (Reasoning(effort="low"), "low", ()),
        (Reasoning(budget=2048), "low", ("reasoning.budget",)),
        (Reasoning(budget=2049), "medium", ("reasoning.budget",)),
        (Reasoning(budget=8193), "high", ("reasoning.budget",)),
        (Reasoning(budget=1, effort="high"), "high", ("reasoning.budget",)),
        (Reasoning(off=True), None, ("reasoning",)),
        (Reasoning(effort="low", summary="auto"), "low", ("reasoning.summary",)),
        (Reasoning(summary="auto"), None, ("reasoning.summary",)),
    ],
)
def test_reasoning(reasoning: Reasoning, effort: str | None, dropped: tuple[str, ...]) -> None:
    encoded = CHAT.encode(foreign(said("user", Text(text="x")), reasoning=reasoning))
    assert json.loads(encoded.body).get("reasoning_effort") == effort
    assert encoded.dropped == dropped


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ({"reasoning": {"effort": "high"}}, {"reasoning_effort": "high"}),
        ({"reasoning": {"enabled": False}}, {"reasoning_effort": "none"}),
        ({"reasoning": {"effort": "none", "exclude": True}}, {"reasoning": {"effort": "none", "exclude": True}}),
        (
            {"reasoning_effort": "low", "reasoning": {"exclude": True}},
            {"reasoning": {"effort": "low", "exclude": True}},
        ),
    ],
)
def test_openrouter_s_reasoning_is_said_as_openai_does_where_that_will_do(told: Json, same: Json) -> None:
    assert encode(parse(asked(**told))) == asked(**same)


@pytest.mark.parametrize("modalities", [["text"], []])
def test_that_an_answer_is_text_need_not_be_said(modalities: list[str]) -> None:
    encoded = CHAT.encode(foreign(said("user", Text(text="x")), modalities=modalities))
    assert "modalities" not in json.loads(encoded.body)
    assert encoded.dropped == ()


@pytest.mark.parametrize("modalities", [["text", "audio"], ["image"], ["video"]])
def test_only_its_own_clients_ask_for_more_than_text(modalities: list[str]) -> None:
    with pytest.raises(Unrepresentable) as caught:
        CHAT.encode(foreign(said("user", Text(text="x")), modalities=modalities))
    assert caught.value.param == "modalities"
    assert encode(parse(asked(modalities=modalities)))["modalities"] == modalities


@pytest.mark.parametrize(
    ("model", "store", "is_told"),
    [("gpt-4.1", None, False), ("o3", False, False), ("gpt-4.1", True, True), ("m", None, True)],
)
def test_the_labels_of_another_wire_are_carried_where_openai_takes_them(
    model: str, store: bool | None, is_told: bool
) -> None:
    """Beside `store` alone. Compatible hosts have no such rule."""
    request = foreign(said("user", Text(text="x")), metadata={"a": "b"}, store=store)
    request.model = model
    encoded = CHAT.encode(request)
    assert json.loads(encoded.body).get("metadata") == ({"a": "b"} if is_told else None)
    assert ("metadata" in encoded.dropped) is not is_told


def test_only_its_own_clients_show_a_video() -> None:
    video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}}
    assert encode(parse(asked(user(video))))["messages"][0]["content"] == [video]
    with pytest.raises(Unrepresentable) as caught:
        CHAT.encode(foreign(said("user", Text(text="x"), Video(source=Inline("QUJD", "video/mp4")))))
    assert caught.value.param == "messages[3].content[1]"


def test_what_tools_have_shown_comes_after_the_last_of_their_results() -> None:
    turns = [
        said("user", ToolResult(id="1", parts=[Text(text="x"), PICTURE])),
        said("user", ToolResult(id="2", parts=[Document(source=Inline("QUJD", "application/pdf"), name="a.pdf")])),
        said("user", ToolResult(id="3", parts=[Text(text="y")]), Text(text="Well?")),
    ]
    encoded = CHAT.encode(foreign(*turns))
    assert json.loads(encoded.body)["messages"] == [
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "tool", "tool_call_id": "2", "content": "The result is in the user's next message."},
        {"role": "tool", "tool_call_id": "3", "content": "y"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What the tool call 1 gave back:"},
                {"type": "image_url", "image_url": {"url": "https://a"}},
                {"type": "text", "text": "What the tool call 2 gave back:"},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"},
                },
            ],
        },
        {"role": "user", "content": "Well?"},
    ]
    assert encoded.dropped == ()
    assert encode(foreign(turns[0]))["messages"][-1]["content"][1]["type"] == "image_url"


def test_a_stream_is_always_asked_for_usage() -> None:
    assert encode(foreign(said("user", Text(text="x")), stream=True))["stream_options"] == {"include_usage": True}


def test_tool_results_go_before_the_rest_of_their_turn() -> None:
    turn = said("user", Text(text="and"), ToolResult(id="1", parts=[Text(text="r")]), Text(text="then"))
    assert encode(foreign(turn))["messages"] == [
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "then"}]},
    ]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    message = encode(foreign(said("assistant", ToolCall(id="1", name="f"))))["messages"][0]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_schema_without_a_name_is_given_one() -> None:
    request = foreign(said("user", Text(text="x")), format=Format(kind="schema", schema={"type": "object"}))
    assert encode(request)["response_format"]["json_schema"] == {"name": "response", "schema": {"type": "object"}}


def test_a_document_without_a_name_is_given_one() -> None:
    document = Document(source=Inline("QUJD", "application/pdf"))
    assert encode(foreign(said("user", document, Text(text="x"))))["messages"][0]["content"][0] == {
        "type": "file",
        "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "document.pdf"},
    }


def test_a_choice_among_no_tools_is_not_sent() -> None:
    body = encode(foreign(said("user", Text(text="x")), tool_choice=ToolChoice("auto"), parallel_tools=False))
    assert body.keys() == {"model", "messages"}


PICTURE = Image(source=Remote("https://a"))


@pytest.mark.parametrize(
    "turn",
    [
        said("user", Opaque(wire="anthropic", value={"type": "server_tool_use"})),
        said("assistant", PICTURE),
        said("system", PICTURE),
        said("assistant", ToolResult(id="1", parts=[PICTURE])),
        said("user", ToolResult(id="1", parts=[Image(source=Stored("f"))])),
        said("user", ToolResult(id="1", parts=[Opaque(wire="anthropic", value={"type": "search_result"})])),
        said("user", Video(source=Stored("f"))),
        said("assistant", Video(source=Remote("https://a"))),
        said("user", Image(source=Stored("f"))),
        said("user", Audio(source=Remote("https://a"))),
        said("user", Document(source=Remote("https://a"))),
        said("user", Document(source=Stored("f"))),
        said("user", ToolCall(id="1", name="f")),
        said("assistant", Audio(id="a")),
        said("user", Audio(id="a")),
    ],
)
def test_what_this_wire_cannot_carry_is_refused_with_its_path(turn: Turn) -> None:
    with pytest.raises(Unrepresentable) as caught:
        CHAT.encode(foreign(turn))
    assert caught.value.param is not None
    assert caught.value.param.startswith("messages[3].content[0]")
    assert caught.value.param in caught.value.message


def test_a_demand_of_another_wire_is_refused() -> None:
    with pytest.raises(Unrepresentable) as caught:
        CHAT.encode(foreign(said("user", Text(text="x")), demands={"mcp_servers": []}))
    assert caught.value.param == "mcp_servers"


def test_a_server_tool_of_another_wire_is_refused() -> None:
    with pytest.raises(Unrepresentable) as caught:
        CHAT.encode(foreign(said("user", Text(text="x")), tools=[Tool(name="w", kind="web_search_1", at="tools[2]")]))
    assert caught.value.param == "tools[2]"


def test_a_file_id_of_openai_crosses_between_its_wires() -> None:
    turn = said("user", Document(source=Stored("file-1")), Text(text="x"))
    request = replace(foreign(turn), wire="openai_responses")
    assert encode(request)["messages"][0]["content"][0] == {"type": "file", "file": {"file_id": "file-1"}}


# --- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_is_spelled_as_openai_spells_it() -> None:
    error = BadRequest("n must be an integer.", param="n")
    assert json.loads(CHAT.error(error, "req_1")) == {
        "error": {
            "message": "n must be an integer.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_request",
        }
    }


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unauthorized("x"), "authentication_error"),
        (Busy("x"), "rate_limit_error"),
        (OverLimit("x", kind="quota_exceeded", code="insufficient_quota"), "insufficient_quota"),
        (Down("x"), "server_error"),
        (Timeout("x"), "timeout_error"),
    ],
)
def test_the_type_of_an_error_goes_by_its_kind(error: Any, kind: str) -> None:
    assert json.loads(CHAT.error(error, ""))["error"]["type"] == kind


def test_an_error_event_ends_a_stream_that_broke() -> None:
    event = CHAT.error_event(Down("gone"))
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert b"[DONE]" not in event


@recordings.needs_recordings
def test_every_recorded_error_is_read() -> None:
    rows = [row for row in ROWS if row["status"] >= 400]
    assert len(rows) > 15
    for row in rows:
        body = recordings.body(row)
        error = CHAT.decode_error(row["status"], row["response_headers"], body)
        assert error.upstream_status == error.status == row["status"], row["id"]
        assert isinstance(error, Busy if row["status"] == 429 else Refused), row["id"]
        assert error.body == body
        assert error.message == json.loads(body)["error"]["message"].strip()
        recordings.replayed(row)


ERRORS: list[tuple[int, bytes, type, int, str, str]] = [
    (400, b'{"error":{"message":"m","code":"c"}}', Refused, 400, "invalid_request", "m"),
    (401, b'{"error":"no"}', Refused, 401, "authentication", "no"),
    (403, b'{"message":"no"}', Refused, 403, "authentication", "no"),
    (404, b'{"detail":"none"}', Refused, 404, "invalid_request", "none"),
    (402, b'{"error":{"message":"pay"}}', Refused, 402, "quota_exceeded", "pay"),
    (408, b"", Timeout, 408, "timeout", "The provider answered 408 with no readable error."),
    (422, b'{"detail":[{"loc":["a"],"msg":"bad"}]}', Refused, 422, "invalid_request", "a: bad"),
    (
        422,  # Mistral's
        b'{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","user"],"msg":"Extra inputs'
        b' are not permitted"},{"loc":["body","tools",0],"msg":"bad"}]},"type":"invalid_request_error"}',
        Refused,
        422,
        "invalid_request",
        "body.user: Extra inputs are not permitted; body.tools.0: bad",
    ),
    (429, b'{"error":{"message":"slow"}}', Busy, 429, "rate_limit", "slow"),
    (429, b'{"error":{"message":"pay","type":"insufficient_quota"}}', Busy, 429, "quota_exceeded", "pay"),
    (529, b'{"error":{"message":"full"}}', Busy, 529, "rate_limit", "full"),
    (500, b'{"error":{"message":"oops"}}', Down, 500, "server_error", "oops"),
    (502, b"<html>", Down, 502, "server_error", "The provider answered 502 with no readable error."),
    (503, b"", Down, 503, "server_error", "The provider answered 503 with no readable error."),
    (520, b"\xff", Down, 520, "server_error", "The provider answered 520 with no readable error."),
    (302, b"[]", Down, 502, "server_error", "The provider answered 302 with no readable error."),
    (500, b'[{"error":{"message":"listed"}}]', Down, 500, "server_error", "listed"),
]


@pytest.mark.parametrize(("status", "body", "kind", "shown", "why", "message"), ERRORS)
def test_an_error_of_a_provider(status: int, body: bytes, kind: type, shown: int, why: str, message: str) -> None:
    error = CHAT.decode_error(status, {}, body)
    assert (type(error), error.status, error.kind, error.message) == (kind, shown, why, message)
    assert error.upstream_status == status
    assert error.body == (body if body.startswith(b'{"error"') else None)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 2 > 1"}}',
         "prompt is too long: 2 > 1"),
        ('{"object":"error","message":"Unexpected role \'user\' after role \'tool\'"}',
         "Unexpected role 'user' after role 'tool'"),
        ("upstream is busy ", "upstream is busy"),
        ("[1]", "[1]"),
        ("", "Provider returned error"),
    ],
)  # fmt: skip
def test_what_a_provider_behind_openrouter_says_is_heard(raw: str, message: str) -> None:
    said = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "P"}}
    error = CHAT.decode_error(400, {}, json.dumps({"error": said}).encode())
    assert (error.message, error.status) == (message, 400)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("text/plain; charset=utf-8", b"missing field `content` at line 1\n", "missing field `content` at line 1"),
        ("text/plain", b" <html>", "The provider answered 422 with no readable error."),
        ("text/html", b"no", "The provider answered 422 with no readable error."),
    ],
)
def test_an_error_in_plain_text_is_read(kind: str, body: bytes, message: str) -> None:
    error = CHAT.decode_error(422, {"content-type": kind}, body)
    assert (error.message, error.body) == (message, None)


def test_the_headers_that_say_when_to_come_again_are_kept() -> None:
    headers = {
        "retry-after": "3",
        "retry-after-ms": "9",
        "x-should-retry": "true",
        "x-ratelimit-reset": "1",
        "server": "x",
    }
    error = CHAT.decode_error(429, headers, b"")
    assert dict(error.headers) == {key: value for key, value in headers.items() if key != "server"}


@settings(max_examples=examples(200), deadline=None)
@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=30) | JSON.map(lambda value: json.dumps({"error": value}).encode()),
)
def test_any_error_body_makes_an_error(status: int, body: bytes) -> None:
    error = CHAT.decode_error(status, {}, body)
    assert error.message
    assert 400 <= error.status < 600
