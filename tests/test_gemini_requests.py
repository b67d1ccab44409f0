"""Does proxy.dialects.gemini read what clients ask for, and ask Google for the same?"""

import json
import time
from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

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
from proxy.dialects.gemini import Gemini
from proxy.dialects.gemini.schema import gemini_schema, json_schema
from proxy.dialects.gemini.seals import redacted_out, seal_in, seal_out
from proxy.dialects.gemini.words import NO_SEAL
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Down, Unrepresentable, UpstreamError
from proxy.grammar.fields import standard_base64
from proxy.ports import Path, Peek
from tests import recordings
from tests.laws import examples
from tests.nested import places, put
from tests.placed import placed
from tests.test_gemini import JSON

WIRE = Gemini()
ASKED = Peek("gemini-2.5-pro", False)

ROWS = [row for row in recordings.load("gemini.*enerateContent", "vertex.*enerateContent") if row["request_json"]]


def body(**fields: Any) -> bytes:
    return json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]} | fields).encode()


def parsed(**fields: Any) -> Request:
    return WIRE.parse(body(**fields), ASKED)


def config(**fields: Any) -> Request:
    return parsed(generationConfig=fields)


def sent(request: Request) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(WIRE.encode(request).body)
    return value


def turn(role: Any, *parts: Part, at: str = "messages[0]", **fields: Any) -> Turn:
    return placed(role, parts, at, **fields)


def foreign(*turns: Turn, **fields: Any) -> Request:
    """A request that came on another wire."""
    given = list(turns) or [turn("user", Text(text="hi"))]
    every: dict[str, Any] = {"wire": "openai_chat", "model": "gemini-2.5-pro", "turns": given}
    return Request(**every | fields)


NEWER = "gemini-3-pro-preview"


def dropped(request: Request) -> tuple[str, ...]:
    return WIRE.encode(request).dropped


def refused(request: Request) -> str:
    with pytest.raises(Unrepresentable) as caught:
        WIRE.encode(request)
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value.message


# --- the path --------------------------------------------------------------------------------------------------------

VERTEX = "p/locations/l/publishers/google"


@pytest.mark.parametrize(
    ("rest", "query", "expected"),
    [
        ("gemini-2.5-pro:generateContent", {}, Peek("gemini-2.5-pro", False)),
        ("gemini-2.5-pro:generateContent", {"alt": "json"}, Peek("gemini-2.5-pro", False)),
        ("gemini-2.5-pro:streamGenerateContent", {"alt": "sse"}, Peek("gemini-2.5-pro", True)),
        ("gemini-2.5-pro:streamGenerateContent", {"$alt": "SSE"}, Peek("gemini-2.5-pro", True)),
        ("gemini-2.5-pro:streamGenerateContent", {}, Peek("gemini-2.5-pro", True, as_array=True)),
        ("anthropic/claude-x:generateContent", {}, Peek("anthropic/claude-x", False)),
        ("ollama/qwen:4b:generateContent", {}, Peek("ollama/qwen:4b", False)),
        (f"{VERTEX}/models/openai/gpt-5:generateContent", {}, Peek("openai/gpt-5", False)),
        (f"{VERTEX}/openai/gpt-5:generateContent", {}, Peek("openai/gpt-5", False)),  # Vercel's SDK
        (f"{VERTEX}/groq/qwen/models/q:generateContent", {}, Peek("groq/qwen/models/q", False)),
    ],
)
def test_the_path_says_the_model_and_whether_it_streams(rest: str, query: dict[str, str], expected: Peek) -> None:
    assert WIRE.peek(Envelope(b"{}"), Path(rest, query)) == expected


@pytest.mark.parametrize("rest", ["", "gemini", "gemini:", ":generateContent", "gemini:embed"])
def test_another_path_is_no_url_of_ours(rest: str) -> None:
    with pytest.raises(BadRequest) as caught:
        WIRE.peek(Envelope(b"{}"), Path(rest))
    assert (caught.value.status, caught.value.code) == (404, "unknown_url")


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "models/gemini-2.5-pro", "projects/p/models/gemini-2.5-pro", None])
def test_a_body_may_repeat_the_model(model: Any) -> None:
    path = Path("gemini-2.5-pro:generateContent")
    assert WIRE.peek(Envelope(body(model=model)), path).model == "gemini-2.5-pro"
    assert parsed(model=model).extra == {}


@pytest.mark.parametrize("model", ["gemini-3", 5, ["x"]])
def test_a_body_may_not_name_another_model(model: Any) -> None:
    for read in (
        lambda: parsed(model=model),
        lambda: WIRE.peek(Envelope(body(model=model)), Path("m:generateContent")),
    ):
        with pytest.raises(BadRequest) as caught:
            read()
        assert caught.value.param == "model"


# --- recorded requests -----------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("row", ROWS, ids=recordings.ids)
def test_recorded_request_goes_out_as_it_came(row: recordings.Row) -> None:
    """For an elided row too: what was cut is text like any other."""
    recordings.replayed(row)
    peek = Peek(row["model"] or "gemini-2.5-pro", row["streamed"])
    given = row["request_json"]
    request = WIRE.parse(json.dumps(given).encode(), peek)
    encoded = WIRE.encode(request)
    assert encoded.dropped == ()
    assert normal(json.loads(encoded.body)) == normal(given)
    assert unsealed(WIRE.parse(encoded.body, peek)) == unsealed(request)


def unsealed(request: Request) -> Request:
    """Less the word that stands for a seal, the places of tools, since functions stand together, and what the client
    calls a schema, which goes out in one field whichever it came in.
    """
    request.names = {}
    for tool in request.tools:
        tool.at = ""
    for part in (part for turn in request.turns for part in turn.parts):
        if isinstance(part, ToolCall) and part.signature in (NO_SEAL, seal_in(NO_SEAL)[0]):
            part.signature = ""
    return request


LISTS = ("contents", "tools", "parts", "functionDeclarations")
SCHEMAS = ("parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
FREE = ("args", "response", "labels")


def normal(value: Any, key: str = "") -> Any:
    """A request without what our spelling of it changes, and nobody can tell:

    - keys are in camelCase, nulls are absent, one thing stands for a list of one, seals are in one alphabet;
    - a schema is told as JSON Schema, whichever field it came in;
    - the role of a systemInstruction, `includeThoughts: false`, and what is empty is left out;
    - words of enums are in upper case, whole numbers are integers, functions stand together;
    - bytes are in base64's standard alphabet, which Google reads as well as the one that its SDKs write;
    - the word that stands for a lost seal is left out, and so is the model.
    """
    if key in SCHEMAS:
        return json_schema(value, "")
    if isinstance(value, list):
        every = [normal(item) for item in value]
        return sorted(every, key=json.dumps) if key == "tools" else every
    if isinstance(value, float) and value == int(value):
        return int(value)
    if not isinstance(value, dict) or key in FREE:
        return value
    said = {normal_key(name): item for name, item in value.items() if item is not None}
    said = {name: [item] if name in LISTS and isinstance(item, dict) else item for name, item in said.items()}
    said = {SAME.get(name, name): normal(item, name) for name, item in said.items()}
    for word in ("mode", "thinkingLevel"):
        if isinstance(said.get(word), str):
            said[word] = said[word].upper()
    if isinstance(said.get("data"), str):
        said["data"] = standard_base64(said["data"])
    if "thoughtSignature" in said:
        said["thoughtSignature"] = seal_in(said["thoughtSignature"])[0]
    if "systemInstruction" in said:
        said["systemInstruction"].pop("role", None)
    meaningless = {"includeThoughts": False, "thoughtSignature": seal_in(NO_SEAL)[0]}
    said = {name: item for name, item in said.items() if item not in ({}, []) or name in ("args", "response")}
    return {name: item for name, item in said.items() if name != "model" and meaningless.get(name, ...) != item}


SAME = {"parametersJsonSchema": "parameters", "responseJsonSchema": "responseSchema"}


def normal_key(key: str) -> str:
    head, *humps = key.split("_")
    return head + "".join(hump.title() for hump in humps)


# --- both spellings --------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "systemInstruction": {"role": "user", "parts": [{"text": "s"}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "t"},
                {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "mediaResolution": {"level": "X"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}, "videoMetadata": {"startOffset": "1s"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "th", "thought": True, "thoughtSignature": "c2VhbA=="},
                {"functionCall": {"name": "f_g", "id": "1", "args": {"snake_key": {"inner_key": 1}}}},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "name": "f_g",
                        "id": "1",
                        "response": {"snake_key": 1},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
                    }
                }
            ],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "f_g",
                    "description": "d",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {"snake_key": {"type": "STRING", "maxLength": "5", "nullable": True}},
                        "propertyOrdering": ["snake_key"],
                    },
                },
                {"name": "h", "parametersJsonSchema": {"type": "object", "snake_key": 1}},
            ]
        },
        {"googleSearch": {"timeRangeFilter": {}}},
        {"codeExecution": {}},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f_g"]},
        "retrievalConfig": {"languageCode": "de"},
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 1,
        "maxOutputTokens": 100,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a_b": {"type": "STRING"}}},
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 2,
        "responseModalities": ["TEXT"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        "thinkingConfig": {"thinkingBudget": 512, "includeThoughts": True},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    },
    "cachedContent": "cachedContents/x",
    "modelArmorConfig": {"promptTemplateName": "projects/p/locations/l/templates/t"},
    "labels": {"snake_key": "v"},
}
OWN = {"args", "response", "labels", "properties", "parametersJsonSchema"}


def in_snake(value: Any, own: bool = False) -> Any:
    """The value with Google's keys in snake_case; the client's own are left alone."""
    if isinstance(value, list):
        return [in_snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key if own else snake(key): item if key in OWN - {"properties"} else in_snake(item, key == "properties")
        for key, item in value.items()
    }


def snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


def test_every_key_may_have_either_spelling_and_the_client_s_own_are_left_alone() -> None:
    spelled = in_snake(FULL)
    assert "system_instruction" in spelled
    assert "snake_key" in spelled["contents"][1]["parts"][1]["function_call"]["args"]
    request = WIRE.parse(json.dumps(FULL).encode(), ASKED)
    assert WIRE.parse(json.dumps(spelled).encode(), ASKED) == request
    assert normal(sent(request)) == normal(FULL)


def test_both_spellings_of_one_key_are_refused_with_its_path() -> None:
    part = {"inlineData": {"mimeType": "a/b", "mime_type": "a/b", "data": ""}}
    for fields, path in (
        ({"safetySettings": [], "safety_settings": []}, "safetySettings"),
        ({"contents": [{"parts": [part]}]}, "contents[0].parts[0].inlineData.mimeType"),
        ({"tools": [{"functionDeclarations": [TWICE]}]}, "tools[0].functionDeclarations[0].parameters.maxItems"),
    ):
        with pytest.raises(BadRequest) as caught:
            parsed(**fields)
        assert caught.value.param == path


TWICE = {"name": "f", "parameters": {"type": "ARRAY", "maxItems": 1, "max_items": 1}}


@given(st.sampled_from(places(FULL)), JSON)
@settings(max_examples=examples(300), deadline=None)
def test_any_json_in_any_place_is_read_or_refused_by_name(path: tuple[Any, ...], item: Any) -> None:
    value = put(FULL, path, item)
    try:
        request = WIRE.parse(json.dumps(value).encode(), ASKED)
    except BadRequest as refusal:
        named = refusal.param is not None and refusal.param in refusal.message
        assert named or not path
        return
    encoded = WIRE.encode(request)
    assert encoded.dropped == ()
    assert unsealed(WIRE.parse(encoded.body, ASKED)) == unsealed(request)


# --- what a client says ----------------------------------------------------------------------------------------------


def test_a_whole_request_is_understood() -> None:
    request = WIRE.parse(json.dumps(FULL).encode(), Peek("gemini-2.5-pro", True, as_array=True))
    assert (request.model, request.stream, request.as_array, request.include_usage) == (
        "gemini-2.5-pro",
        True,
        True,
        True,
    )
    assert (request.temperature, request.top_p, request.top_k, request.n, request.max_tokens) == (0.5, 0.9, 40, 1, 100)
    assert (request.seed, request.presence_penalty, request.frequency_penalty) == (7, 0.1, 0.2)
    assert (request.stop, request.logprobs, request.top_logprobs, request.modalities) == (["x"], True, 2, ["text"])
    assert request.reasoning == Reasoning(budget=512, summary="auto")
    assert request.tool_choice == ToolChoice("tool", "f_g")
    assert request.metadata == {"snake_key": "v"}
    schema = {"type": "object", "properties": {"a_b": {"type": "string"}}}
    assert request.format == Format(kind="schema", schema=schema)
    assert [(tool.name, tool.kind) for tool in request.tools] == [
        ("f_g", "function"),
        ("h", "function"),
        ("googleSearch", "googleSearch"),
        ("codeExecution", "codeExecution"),
    ]
    assert request.tools[0].parameters == {
        "type": "object",
        "properties": {"snake_key": {"type": ["string", "null"], "maxLength": 5}},
    }
    assert request.demands.keys() == {"cachedContent", "modelArmorConfig"}
    assert set(request.extra) == {"safetySettings", "generationConfig", "toolConfig"}
    assert set(request.extra["generationConfig"]) == {"speechConfig", "mediaResolution"}
    assert [each.role for each in request.turns] == ["system", "user", "assistant", "user"]
    assert request.turns[1].parts == [
        Text(text="t"),
        Image(source=Inline("aGk=", "image/png"), extra={"mediaResolution": {"level": "X"}}),
        Video(
            source=Stored("gs://b/v"),
            extra={"fileData": {"mimeType": "video/mp4"}, "videoMetadata": {"startOffset": "1s"}},
        ),
    ]
    assert request.turns[2].parts == [
        Thinking(text="th", signature="c2VhbA=="),
        ToolCall(id="1", name="f_g", arguments='{"snake_key":{"inner_key":1}}'),
        Opaque(wire="gemini", value={"executableCode": {"language": "PYTHON", "code": "1"}}),
    ]
    result: list[Part] = [Text(text='{"snake_key":1}'), Image(source=Inline("aGk=", "image/png"))]
    assert request.turns[3].parts == [ToolResult(id="1", parts=result)]


@pytest.mark.parametrize(
    ("instruction", "texts"),
    [
        ("s", ["s"]),
        ("", []),
        (["a", "b"], ["a", "b"]),
        ([{"text": "a"}, {"parts": [{"text": "b"}, {"text": "c"}]}], ["a", "b", "c"]),
        ({"parts": {"text": "a"}}, ["a"]),
        (None, []),
    ],
)
def test_a_system_instruction_has_many_forms(instruction: Any, texts: list[str]) -> None:
    first, *rest = parsed(systemInstruction=instruction).turns
    assert bool(rest) == bool(texts)
    if rest:
        assert (first.role, first.parts) == ("system", [Text(text=text) for text in texts])


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"fileData": {"fileUri": "https://youtu.be/x"}}, Video(source=Remote("https://youtu.be/x"))),
        ({"fileData": {"fileUri": "https://x.example/a.png?b"}}, Image(source=Remote("https://x.example/a.png?b"))),
        ({"fileData": {"fileUri": "files/abc"}}, Document(source=Stored("files/abc"))),
        (
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}},
            Document(source=Stored("https://generativelanguage.googleapis.com/v1beta/files/a")),
        ),
        (
            {"inlineData": {"data": "aGk=", "mimeType": "application/pdf", "displayName": "a.pdf"}},
            Document(source=Inline("aGk=", "application/pdf"), name="a.pdf"),
        ),
        ({"inlineData": {"data": "aGk=", "mimeType": "audio/mp3"}}, Audio(source=Inline("aGk=", "audio/mp3"))),
        ({"text": "", "thoughtSignature": "a-_="}, Text(signature="a+/=")),
        ({"thoughtSignature": "c2VhbA=="}, Text(signature="c2VhbA==")),
        ({"text": "a", "partMetadata": {"x_y": 1}}, Text(text="a", extra={"partMetadata": {"x_y": 1}})),
        ({"brandNew": 1}, Opaque(wire="gemini", value={"brandNew": 1})),
    ],
)
def test_a_part_is_what_it_holds_and_goes_back_as_it_came(given: dict[str, Any], part: Part) -> None:
    request = parsed(contents={"parts": given})
    assert request.turns[0].parts == [part]
    back = sent(request)["contents"][0]["parts"][0]
    assert normal(back) == normal({"text": ""} | given if isinstance(part, Text) else given)


def test_calls_and_results_without_ids_meet_by_name_and_order() -> None:
    call, other = {"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "g"}}
    results = [{"functionResponse": {"name": name, "response": {"n": n}}} for n, name in enumerate("gff")]
    contents: list[dict[str, Any]] = [
        {"role": "model", "parts": [call, other, call]},
        {"role": "function", "parts": results},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [results[1]]},
    ]
    request = parsed(contents=contents)
    calls = [part.id for part in request.turns[0].parts if isinstance(part, ToolCall)]
    assert len(set(calls)) == 3
    assert [part.id for part in request.turns[1].parts if isinstance(part, ToolResult)] == [
        calls[1],
        calls[0],
        calls[2],
    ]
    again = parsed(contents=contents[:2])
    assert again.turns == request.turns[:2]  # the ids of a chat that grows stay
    contents[1]["role"] = "user"
    assert sent(request)["contents"] == contents


def test_results_without_ids_answer_calls_that_have_some() -> None:
    """As `Part.from_function_response` and automatic function calling of google-genai send them."""
    calls = [
        {"functionCall": {"id": each, "name": name, "args": {}}} for each, name in zip("abcd", "fgff", strict=True)
    ]
    results = [{"functionResponse": {"name": name, "response": {"n": n}}} for n, name in enumerate("gff")]
    results.insert(1, {"functionResponse": {"id": "a", "name": "f", "response": {}}})
    request = parsed(contents=[{"role": "model", "parts": calls}, {"role": "user", "parts": results}])
    assert [part.id for part in request.turns[1].parts if isinstance(part, ToolResult)] == ["b", "a", "c", "d"]


def test_a_result_of_a_call_that_is_gone_keeps_its_name() -> None:
    contents = [{"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "9", "response": {}}}]}]
    assert sent(parsed(contents=contents))["contents"] == contents


@pytest.mark.parametrize(
    ("calling", "choice", "demanded"),
    [
        ({"mode": "auto"}, ToolChoice("auto"), False),
        ({"mode": 2}, ToolChoice("required"), False),
        ({"mode": "NONE"}, ToolChoice("none"), False),
        ({"mode": "VALIDATED"}, ToolChoice("auto"), False),
        ({"mode": "MODE_UNSPECIFIED"}, None, False),
        ({"mode": 0}, None, False),
        ({}, None, False),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("tool", "f"), False),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("required", among=("f", "g")), False),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("auto", among=("f",)), False),
        ({"mode": "AUTO", "allowedFunctionNames": ["f"]}, None, True),
    ],
)
def test_a_tool_choice_is_a_mode_some_tools_or_a_demand(calling: Any, choice: Any, demanded: bool) -> None:
    request = parsed(toolConfig={"functionCallingConfig": calling})
    assert (request.tool_choice, bool(request.demands)) == (choice, demanded)
    back = sent(request).get("toolConfig", {}).get("functionCallingConfig", {})
    if calling.get("mode") not in (0, 2, "auto", "MODE_UNSPECIFIED"):
        assert back == calling


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"responseMimeType": "application/json"}, Format(kind="json")),
        ({"responseMimeType": "text/plain"}, Format(kind="text")),
        ({"responseJsonSchema": {"a": 1}}, Format(kind="schema", schema={"a": 1})),
        ({"_responseJsonSchema": {"a_b": 1}}, Format(kind="schema", schema={"a_b": 1})),
        ({"_response_json_schema": {"a_b": 1}}, Format(kind="schema", schema={"a_b": 1})),
        (
            {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}},
            Format(kind="schema", schema={"type": "string", "enum": ["a"]}, bare=True),
        ),
        ({"responseMimeType": "text/x.enum"}, None),
        ({"temperature": 1}, None),
    ],
)
def test_a_format_is_json_text_or_a_demand(given: dict[str, Any], expected: Format | None) -> None:
    request = config(**given)
    assert request.format == expected
    assert bool(request.demands) == (given == {"responseMimeType": "text/x.enum"})
    if request.demands:
        assert sent(request)["generationConfig"] == given


def test_before_gemini_3_a_shape_beside_tools_is_told_in_words() -> None:
    """Google: "Function calling with a response mime type: 'application/json' is unsupported"."""
    form = Format(kind="schema", name="n", schema={"type": "object"})
    turns = [turn("system", Text(text="Be kind.")), turn("user", Text(text="hi"))]
    asked = foreign(*turns, tools=[Tool(name="f")], format=form)
    told = sent(asked)
    assert "generationConfig" not in told
    first, second = told["systemInstruction"]["parts"]
    assert first == {"text": "Be kind."}
    assert second["text"].endswith('valid by this JSON Schema:\n{"title":"n","type":"object"}')
    assert dropped(asked) == ("format",)
    alone = foreign(tools=[Tool(name="f")], format=Format(kind="json"))
    assert "Schema" not in sent(alone)["systemInstruction"]["parts"][0]["text"]
    assert dropped(alone) == ("format",)
    for bound in (foreign(*turns, format=form), replace(asked, model=NEWER), replace(asked, wire="gemini")):
        assert (sent(bound)["generationConfig"]["responseMimeType"], dropped(bound)) == ("application/json", ())
        assert len(sent(bound)["systemInstruction"]["parts"]) == 1


JSON_TEXT: dict[str, Any] = {"text": {"mimeType": "application/json", "schema": {"a_b": 1}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"responseFormat": [JSON_TEXT]}, Format(kind="schema", schema={"a_b": 1})),
        ({"response_format": JSON_TEXT}, Format(kind="schema", schema={"a_b": 1})),
        ({"responseFormat": {"text": {"mime_type": "APPLICATION_JSON"}}}, Format(kind="json")),
        ({"responseFormat": {"text": {"schema": {}}, "image": None}}, Format(kind="schema", schema={})),
        ({"responseFormat": [{"text": {"mimeType": "TEXT_PLAIN"}}]}, Format(kind="text")),
        ({"responseFormat": []}, None),
        ({"responseFormat": "json"}, None),
        ({"responseFormat": [JSON_TEXT, JSON_TEXT]}, None),
        ({"responseFormat": {**JSON_TEXT, "image": {"imageSize": "2K"}}}, None),
        ({"responseFormat": {"text": {"mimeType": "text/x.enum"}}}, None),
        ({"responseFormat": {"text": {"mimeType": "text/plain", "schema": {}}}}, None),
        ({"responseFormat": {"text": {"schema": 5}}}, None),
        ({"responseFormat": {"text": {"schema": {}, "brandNew": 1}}}, None),
        ({"responseFormat": JSON_TEXT, "responseMimeType": "application/json"}, Format(kind="json")),
    ],
)
def test_the_newer_format_is_read_where_it_is_about_text_alone(given: dict[str, Any], expected: Format | None) -> None:
    request = config(**given)
    assert request.format == expected
    demanded = expected is None or len(given) > 1
    assert bool(request.demands) == demanded
    if demanded:
        assert sent(request)["generationConfig"] == given


def test_a_name_that_the_newer_format_lacks_is_told_by_its_own_key() -> None:
    names = config(responseFormat=JSON_TEXT).names
    assert (names["format"], names["format.schema"]) == ("generationConfig.responseFormat",) * 2


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        ({"thinkingBudget": 0}, Reasoning(off=True)),
        ({"thinkingBudget": -1}, Reasoning(adaptive=True)),
        ({"thinkingBudget": -2}, Reasoning()),
        ({"thinkingBudget": 128.0}, Reasoning(budget=128)),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, Reasoning(effort="high", summary="auto")),
        ({"thinkingLevel": 1}, Reasoning(effort="low")),
        ({"includeThoughts": False}, Reasoning()),
        ({"brandNew": 1}, Reasoning()),
    ],
)
def test_thinking_is_understood_and_goes_back(thinking: dict[str, Any], reasoning: Reasoning) -> None:
    request = config(thinkingConfig=thinking)
    assert request.reasoning == reasoning
    back = sent(request).get("generationConfig", {}).get("thinkingConfig", {})
    if thinking not in ({"includeThoughts": False}, {"thinkingLevel": 1}):
        assert back == thinking


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": None}, "contents"),
        ({"contents": "hi"}, "contents"),
        ({"contents": ["hi"]}, "contents[0]"),
        ({"contents": [{"role": "assistant", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": ["x"]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"text": "a", "functionCall": {}}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"inlineData": {}}]}]}, "contents[0].parts[0].inlineData.data"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        ({"contents": [{"parts": [{"functionResponse": {}}]}]}, "contents[0].parts[0].functionResponse.name"),
        ({"systemInstruction": 5}, "systemInstruction"),
        ({"tools": "x"}, "tools"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}]},
            "tools[0].functionDeclarations[0].parametersJsonSchema",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "X"}}]}]},
            "tools[0].functionDeclarations[0].parameters.type",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"properties": ["a"]}}]}]},
            "tools[0].functionDeclarations[0].parameters.properties",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"anyOf": {"type": "STRING"}}}]}]},
            "tools[0].functionDeclarations[0].parameters.anyOf",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"generationConfig": []}, "generationConfig"),
        ({"generationConfig": {"topK": 1.5}}, "generationConfig.topK"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"topP": "1e999"}}, "generationConfig.topP"),
        ({"generationConfig": {"seed": "1.5"}}, "generationConfig.seed"),
        ({"generationConfig": {"seed": ""}}, "generationConfig.seed"),
        ({"generationConfig": {"stopSequences": [5]}}, "generationConfig.stopSequences[0]"),
        ({"generationConfig": {"responseModalities": [{}]}}, "generationConfig.responseModalities[0]"),
        ({"generationConfig": {"responseSchema": {}, "responseJsonSchema": {}}}, "generationConfig.responseJsonSchema"),
        ({"generationConfig": {"responseJsonSchema": 5}}, "generationConfig.responseJsonSchema"),
        ({"labels": {"a": 5}}, "labels.a"),
    ],
)
def test_bad_input_is_refused_with_its_path(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(("key", "depth"), [("a", 90_000), ("a_b", 600), ("a_b", 900), ("a_b", 90_000)])
def test_what_is_nested_too_deeply_is_refused(key: str, depth: int) -> None:
    deep = b'{"contents":[{"parts":[{"text":"a"}]}],"safetySettings":%b1%b'
    inner = b'{"%b":' % key.encode()
    for parse in (WIRE.parse, WIRE.count_parse):
        with pytest.raises(BadRequest, match="nested too deeply"):
            parse(deep % (inner * depth, b"}" * (depth + 1)), ASKED)


def test_a_number_in_quotes_is_that_number() -> None:
    """As Google reads it: https://protobuf.dev/programming-guides/json/"""
    request = config(
        maxOutputTokens="256",
        temperature="0.5",
        topP="1",
        topK="4e1",
        seed="-7",
        thinkingConfig={"thinkingBudget": "9"},
    )
    assert (request.max_tokens, request.temperature, request.top_p) == (256, 0.5, 1)
    assert (request.top_k, request.seed) == (40, -7)
    assert request.reasoning is not None
    assert request.reasoning.budget == 9
    schema = {"type": "INTEGER", "minimum": "-1", "maximum": "2.5", "minItems": "3", "title": "4"}
    assert json_schema(schema, "") == {"type": "integer", "minimum": -1, "maximum": 2.5, "minItems": 3, "title": "4"}


def test_a_media_types_case_is_no_matter() -> None:
    parts = parsed(contents=[{"parts": [{"inlineData": {"mimeType": "IMAGE/PNG", "data": "aGk="}}]}]).turns[0].parts
    assert parts == [Image(source=Inline("aGk=", "image/png"))]


# --- schemas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gemini", "plain"),
    [
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "ARRAY", "items": {"type": "NUMBER"}}, {"type": "array", "items": {"type": "number"}}),
        ({"anyOf": [{"type": "STRING"}, {"type": "NULL"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {
                "type": "OBJECT",
                "properties": {"b": {"type": "STRING"}, "a": {"type": "STRING"}},
                "propertyOrdering": ["b", "a"],
            },
            {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}},
        ),
    ],
)
def test_the_subset_and_json_schema_say_the_same(gemini: dict[str, Any], plain: dict[str, Any]) -> None:
    assert json_schema(gemini, "") == plain
    assert json.dumps(gemini_schema(plain)) == json.dumps(gemini) or gemini_schema(plain) == gemini


@pytest.mark.parametrize("word", ["TYPE_UNSPECIFIED", "type_unspecified", 0])
def test_a_type_that_is_unspecified_is_none(word: Any) -> None:
    assert json_schema({"type": word, "description": "d"}, "") == {"description": "d"}
    assert json_schema({"type": [word, "STRING"]}, "") == {"type": ["string"]}
    assert json_schema({"type": [word], "description": "d"}, "") == {"description": "d"}


def test_one_of_several_may_be_null() -> None:
    either = [{"type": "STRING"}, {"type": "INTEGER"}]
    expected = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}], "title": "t"}
    assert json_schema({"title": "t", "anyOf": either, "nullable": True}, "") == expected


def test_the_order_of_properties_is_their_own() -> None:
    given = {"properties": {"a": {}, "b": {}, "c": {}}, "property_ordering": ["c", "a", "x", 5]}
    assert list(json_schema(given, "")["properties"]) == ["c", "a", "b"]
    assert "properties" not in json_schema({"type": "OBJECT", "propertyOrdering": ["a"]}, "")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "string", "additionalProperties": False},
        {"type": ["string", "number"]},
        {"type": "integer", "enum": [1]},
        {"oneOf": [{"type": "string"}]},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": ["array", "null"]},
        {"description": "anything"},
        {"$schema": "x", "type": "string"},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
        {"type": "string", "enum": ["", "a"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "d"},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "minLength": 1},
        {"anyOf": [{"type": "string", "title": "a"}, {"type": "null"}], "title": "b"},
        {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}], "default": None},
        {"anyOf": [{"type": "null"}], "title": "t"},
        {"anyOf": {}, "title": "t"},
        True,
    ],
)
def test_what_the_subset_lacks_is_said_in_json_schema(schema: Any) -> None:
    assert gemini_schema(schema) is None
    if isinstance(schema, dict):
        declared = sent(foreign(tools=[Tool(name="f", parameters=schema)]))["tools"][0]["functionDeclarations"][0]
        assert declared == {"name": "f", "parametersJsonSchema": schema}


@pytest.mark.parametrize(
    "either",
    [[{"type": "string", "enum": ["a"]}, {"type": "null"}], [{"type": "null"}, {"type": "string", "enum": ["a"]}]],
)
def test_what_may_be_null_has_nothing_beside_any_of(either: list[Any]) -> None:
    """As Pydantic writes an optional argument; Vertex AI: "When using any_of, it must be the only field set"."""
    optional = {"anyOf": either, "default": None, "title": "A"}
    declared = gemini_schema({"type": "object", "properties": {"a": optional}})
    assert declared is not None
    told = {"type": "STRING", "enum": ["a"], "nullable": True, "default": None, "title": "A"}
    assert declared["properties"] == {"a": told}


# --- seals -----------------------------------------------------------------------------------------------------------


@given(st.one_of(st.text(), st.binary().map(lambda data: types.Blob(data=data).model_dump(mode="json")["data"] or "")))
def test_a_seal_survives_google_s_own_sdk(seal: str) -> None:
    for signature, expected in ((seal_out(seal), (seal, "")), (redacted_out(seal), ("", seal))):
        part = types.Part.model_validate({"text": "", "thoughtSignature": signature})
        back = json.loads(part.model_dump_json(by_alias=True, exclude_none=True)).get("thoughtSignature", "")
        assert seal_in(back) == expected


@pytest.mark.parametrize("end", ["", " Yes."])
def test_the_pieces_of_a_thought_are_one_under_the_seal_that_ends_them(end: str) -> None:
    """A client that was streamed another provider's thought sends back each piece of it as a part."""
    shown = [{"text": text, "thought": True} for text in ("Let me", " see", ".")]
    last = {"text": end, "thought": True, "thoughtSignature": "c2VhbA=="}
    turns = [*HI, {"role": "model", "parts": [*shown, last, {"text": "So."}]}, *HI]
    assert parsed(contents=turns).turns[1].parts == [
        Thinking(text=f"Let me see.{end}", signature="c2VhbA==", at="contents[1].parts[0]"),
        Text(text="So.", at="contents[1].parts[4]"),
    ]
    parts = parsed(contents=[*HI, {"role": "model", "parts": [shown[0], {"text": "So."}, last]}]).turns[1].parts
    assert [type(part) for part in parts] == [Thinking, Text, Thinking]  # these are two thoughts


def test_what_the_model_said_is_one_turn_however_many_events_it_came_in() -> None:
    """Google's SDKs keep a content for each event of a stream, the empty last one as well."""
    call: dict[str, Any] = {"functionCall": {"name": "now", "id": "a"}}
    sealed = {"text": "", "thought": True, "thoughtSignature": "c2VhbA=="}
    events: list[dict[str, Any]] = [{"text": "Let me", "thought": True}, {"text": " see.", "thought": True}, sealed]
    events += [{"text": "Hel"}, {"text": "lo"}, call, {"text": ""}, call | {"thoughtSignature": "c2VhbA=="}]
    turns = parsed(contents=[*HI, *({"role": "model", "parts": [event]} for event in events), *HI]).turns
    assert [turn.role for turn in turns] == ["user", "assistant", "assistant", "assistant", "user"]
    assert turns[1].parts == [
        Thinking(text="Let me see.", signature="c2VhbA==", at="contents[1].parts[0]"),
        Text(text="Hello", at="contents[4].parts[0]"),
    ]
    assert [type(part) for turn in turns[2:4] for part in turn.parts] == [ToolCall, ToolCall]


def test_an_answer_of_nothing_stays_one() -> None:
    nothing = {"role": "model", "parts": [{"text": ""}]}
    turns = parsed(contents=[*HI, nothing, nothing, *HI]).turns
    assert turns[1].parts == [Text(text="", at="contents[1].parts[0]")]
    assert len(turns) == 3


def test_what_the_user_says_in_two_contents_stays_two_turns() -> None:
    assert len(parsed(contents=[*HI, *HI]).turns) == 2


def test_google_s_seals_travel_as_they_are() -> None:
    assert seal_out("ab+/cA==") == "ab+/cA=="
    assert seal_in("ab-_cA==") == ("ab+/cA==", "")
    assert seal_in("no base64!") == ("no base64!", "")


# --- what other wires ask of this one --------------------------------------------------------------------------------


def test_the_sdk_s_types_know_what_we_say_for_another_wire() -> None:
    call = ToolCall(id="toolu_1", name="f", arguments='{"x": 1.50}', signature="c2VhbA==")
    request = foreign(
        turn("system", Text(text="Be kind.")),
        turn("developer", Text(text="Be brief.")),
        turn("user", Text(text="What?"), Image(source=Inline("aGk=", "image/png"))),
        turn("user", Image(source=Remote("https://x.example/a.webp")), Document(source=Inline("aGk=")), Text(text="")),
        turn("assistant", Thinking(text="hm", signature="c2VhbA=="), Refusal(text="No."), call),
        turn("user", ToolResult(id="toolu_1", parts=[Text(text="42")])),
        turn("user", Text(text="go"), Audio(source=Inline("aGk=", "audio/mp3"))),
        model="gemini-3.1-pro-preview",  # an older one is not held to a shape beside tools
        tools=[
            Tool(name="f", description="d", parameters={"type": "object", "properties": {"x": {"type": "number"}}}),
            Tool(name="g", parameters={"type": "object", "additionalProperties": False}),
            Tool(name="h"),
        ],
        tool_choice=ToolChoice("required"),
        format=Format(kind="schema", name="n", description="what", schema={"type": "object"}, strict=True),
        reasoning=Reasoning(effort="medium"),
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        seed=1,
        n=2,
        stop=["END"],
        logprobs=True,
        top_logprobs=3,
        modalities=["text"],
        store=False,
        service_tier="flex",
        parallel_tools=True,
        stream=True,
    )
    encoded = WIRE.encode(request)
    value = json.loads(encoded.body)
    assert encoded.dropped == ()
    for content in [*value["contents"], value["systemInstruction"]]:
        types.Content.model_validate(content)
    for tool in value["tools"]:
        types.Tool.model_validate(tool)
    types.GenerationConfig.model_validate(value["generationConfig"])
    types.ToolConfig.model_validate(value["toolConfig"])
    assert value == {
        "systemInstruction": {"parts": [{"text": "Be kind."}, {"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What?"},
                    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
                    {"fileData": {"mimeType": "image/webp", "fileUri": "https://x.example/a.webp"}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "c2VhbA=="},
                    {"text": "No."},
                    {
                        "functionCall": {"id": "toolu_1", "name": "f", "args": {"x": 1.5}},
                        "thoughtSignature": "c2VhbA==",
                    },
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "toolu_1", "name": "f", "response": {"result": "42"}}},
                    {"text": "go"},
                    {"inlineData": {"mimeType": "audio/mp3", "data": "aGk="}},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": "d",
                        "parameters": {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}},
                    },
                    {"name": "g", "parametersJsonSchema": {"type": "object", "additionalProperties": False}},
                    {"name": "h"},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 4,
            "seed": 1,
            "candidateCount": 2,
            "maxOutputTokens": 100,
            "logprobs": 3,
            "stopSequences": ["END"],
            "responseLogprobs": True,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"title": "n", "description": "what", "type": "object"},
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "MEDIUM"},
        },
        "serviceTier": "flex",
    }


@pytest.mark.parametrize(
    ("fields", "receipt"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"user": "u"}, "user"),
        ({"safety_identifier": "s"}, "safety_identifier"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"verbosity": "low"}, "verbosity"),
        ({"store": True}, "store"),
        ({"parallel_tools": False}, "parallel_tools"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"extra": {"min_p": 0.1}}, "min_p"),
        ({"tools": [Tool(name="f", strict=True)]}, "tool.strict"),
        ({"tools": [Tool(name="f", cache={})]}, "cache"),
        ({"tools": [Tool(name="f", extra={"defer": 1})]}, "defer"),
        ({"reasoning": Reasoning(off=True)}, "reasoning"),
        ({"reasoning": Reasoning(effort="xhigh")}, "reasoning"),
        ({"reasoning": Reasoning(effort="strange")}, "reasoning"),
        ({"reasoning": Reasoning(budget=99999)}, "reasoning.budget"),
        ({"reasoning": Reasoning(effort="low"), "model": "gemini-2.0-flash"}, "reasoning"),
        ({"turns": [turn("user", Text(text="a", cache={}))]}, "cache"),
        ({"turns": [turn("user", Text(text="a", extra={"x": 1}))]}, "x"),
        ({"turns": [turn("user", Text(text="a"), extra={"name": "n"})]}, "name"),
        ({"turns": [turn("user", Text(text="a", citations=[Citation(wire="x", value={})]))]}, "text.citations"),
        ({"turns": [turn("user", Text(text="a")), turn("assistant", Thinking(text="t"))]}, "thinking"),
        ({"turns": [turn("user", Text(text="a")), turn("assistant", Thinking(redacted="t"))]}, "thinking"),
        ({"turns": [turn("user", Image(source=Inline("aGk="), detail="high"))]}, "image.detail"),
        ({"turns": [turn("user", Image(source=Inline("aGk="), detail="original"))], "model": NEWER}, "image.detail"),
        ({"turns": [turn("user", Document(source=Inline("aGk="), name="n"))]}, "document.name"),
        ({"turns": [turn("user", Text(text="a")), turn("system", Text(text="b"))]}, "turn.place"),
    ],
)
def test_a_knob_that_the_wire_lacks_is_receipted(fields: dict[str, Any], receipt: str) -> None:
    assert dropped(foreign(**fields)) == (receipt,)


@pytest.mark.parametrize(
    ("asked", "told", "receipt"),
    [
        ({"seed": 2**31 - 1}, {"seed": 2**31 - 1}, ()),
        ({"seed": -(2**31)}, {"seed": -(2**31)}, ()),
        ({"seed": 2**31 + 7}, {"seed": 7}, ("seed",)),
        ({"seed": -(2**40) - 1}, {"seed": 2**31 - 1}, ("seed",)),
        ({"stop": list("abcdef")}, {"stopSequences": list("abcde")}, ("stop",)),
        ({"stop": list("abcde")}, {"stopSequences": list("abcde")}, ()),
        ({"top_k": 0}, {}, ()),
        ({"top_k": 1}, {"topK": 1}, ()),
    ],
)
def test_a_number_that_google_refuses_is_the_nearest(asked: Any, told: Any, receipt: tuple[str, ...]) -> None:
    """A seed is an int32, five stops are the most, and a `top_k` of 0 says elsewhere that there is no limit."""
    request = foreign(**asked)
    assert (sent(request).get("generationConfig", {}), dropped(request)) == (told, receipt)


@pytest.mark.parametrize(
    ("detail", "more"),
    [
        ("low", {"mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}),
        ("high", {"mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}),
        ("auto", {}),
        (None, {}),
    ],
)
def test_gemini_3_is_told_how_closely_to_look_at_an_image(detail: str | None, more: dict[str, Any]) -> None:
    request = foreign(turn("user", Image(source=Inline("aGk=", "image/png"), detail=detail)), model=NEWER)
    assert sent(request)["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "aGk="}} | more]
    assert dropped(request) == ()


def test_an_image_in_a_result_has_no_detail() -> None:
    """The parts of a functionResponse have no mediaResolution."""
    image = Image(source=Inline("aGk=", "image/png"), detail="low")
    turns = [turn("assistant", ToolCall(id="1", name="f")), turn("user", ToolResult(id="1", parts=[image]))]
    assert dropped(foreign(*turns, model=NEWER)) == ("image.detail",)


def test_what_a_result_s_text_carries_is_receipted() -> None:
    text = Text(text="a", cache={}, signature="s", citations=[Citation(wire="x", value={})], extra={"x": 1})
    turns = [turn("assistant", ToolCall(id="1", name="f")), turn("user", ToolResult(id="1", parts=[text]))]
    assert dropped(foreign(*turns)) == ("cache", "text.citations", "text.signature", "x")


@pytest.mark.parametrize(
    "fields",
    [
        {"demands": {"web_search_options": {}}},
        {"turns": []},
        {"turns": [turn("system", Text(text="s"))]},
        {"turns": [turn("user", Text(text=""))]},
        {"turns": [turn("system", Image(source=Inline("aGk=")))]},
        {"turns": [turn("user", Image(source=Stored("file_1")))]},
        {"turns": [turn("user", Audio(id="audio_1"))]},
        {"turns": [turn("user", Opaque(wire="anthropic", value={"type": "x"}))]},
        {"turns": [turn("user", ToolResult(id="gone", parts=[Text(text="a")]))]},
        {"turns": [turn("assistant", ToolCall(id="1", name="f", arguments="x", kind="custom"))]},
        {
            "turns": [
                CALLED := turn("assistant", ToolCall(id="1", name="f")),
                turn("user", ToolResult(id="1", parts=[Thinking()])),
            ]
        },
        {"tools": [Tool(name="s", kind="web_search", at="tools[0]")]},
        {"tools": [Tool(name="s", kind="custom", at="tools[0]")]},
    ],
)
def test_what_the_wire_cannot_carry_is_refused_with_its_path(fields: dict[str, Any]) -> None:
    assert refused(foreign(**fields))


@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        ("gemini-2.5-flash", Reasoning(off=True), {"thinkingBudget": 0}),
        ("gemini-2.5-flash-lite", Reasoning(effort="none"), {"thinkingBudget": 0}),
        ("gemini-2.5-flash", Reasoning(budget=0), {"thinkingBudget": 0}),
        ("gemini-2.5-pro", Reasoning(off=True), None),
        ("gemini-2.0-flash", Reasoning(off=True), None),
        ("gemini-2.5-flash", Reasoning(effort="low"), {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-pro", Reasoning(effort="max"), {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-3-pro-preview", Reasoning(effort="low"), {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("gemini-3.5-flash", Reasoning(effort="minimal"), {"includeThoughts": True, "thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", Reasoning(effort="medium"), {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        ("gemini-3.6-flash", Reasoning(budget=2000), {"includeThoughts": True, "thinkingBudget": 2000}),
        ("gemini-2.5-flash", Reasoning(budget=31999), {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.5-flash-lite", Reasoning(budget=100), {"includeThoughts": True, "thinkingBudget": 512}),
        ("gemini-2.5-pro", Reasoning(summary="auto"), {"includeThoughts": True}),
        ("gemini-2.5-pro", Reasoning(), None),
        ("gemini-1.5-pro", Reasoning(effort="high"), None),
    ],
)
def test_thinking_is_said_as_the_model_takes_it(model: str, reasoning: Reasoning, expected: Any) -> None:
    said = sent(foreign(model=model, reasoning=reasoning)).get("generationConfig", {})
    assert said.get("thinkingConfig") == expected


@pytest.mark.parametrize(
    ("model", "effort", "level"),
    [
        ("gemini-3-pro-preview", "medium", "HIGH"),
        ("gemini-3-pro-preview", "minimal", "LOW"),
        ("gemini-3.1-pro-preview", "minimal", "LOW"),
        ("gemini-3.1-flash-image", "low", "HIGH"),
        ("gemini-3.7-flash", "minimal", "LOW"),
        ("gemini-3.8-flash", "minimal", "LOW"),
        ("gemini-4-argon", "minimal", "LOW"),
        ("gemini-flash-latest", "minimal", "LOW"),
        ("gemini-4-argon", "max", "HIGH"),
        ("gemini-3.5-flash", "none", "MINIMAL"),
        ("gemini-3-pro-preview", "none", "LOW"),
        ("gemini-3.1-pro-preview", "none", "LOW"),
        ("gemini-4-argon", "none", "LOW"),
        ("gemini-3-pro-image", "none", None),
        ("gemini-2.5-pro", "none", None),
    ],
)
def test_an_effort_that_the_model_refuses_is_the_nearest_and_named(model: str, effort: str, level: str | None) -> None:
    encoded = WIRE.encode(foreign(model=model, reasoning=Reasoning(effort=effort)))
    thinking = json.loads(encoded.body).get("generationConfig", {}).get("thinkingConfig", {})
    assert (thinking.get("thinkingLevel"), thinking.get("includeThoughts", False)) == (level, effort != "none")
    assert encoded.dropped == ("reasoning",)


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3.6-flash"])
def test_an_effort_beside_a_budget_is_receipted(model: str) -> None:
    encoded = WIRE.encode(foreign(model=model, reasoning=Reasoning(effort="low", budget=2000)))
    thinking = json.loads(encoded.body)["generationConfig"]["thinkingConfig"]
    assert thinking == {"includeThoughts": True, "thinkingBudget": 2000}
    assert encoded.dropped == ("reasoning.effort",)


@pytest.mark.parametrize(
    ("model", "reasoning", "limit", "budget"),
    [
        ("gemini-2.5-flash", Reasoning(effort="high"), 8000, 4000),
        ("gemini-2.5-flash", Reasoning(effort="low"), 8000, 1024),
        ("gemini-2.5-flash", Reasoning(effort="low"), 1, 1),
        ("gemini-2.5-pro", Reasoning(effort="high"), 100, 128),
        ("gemini-2.5-pro", Reasoning(budget=7000), 8000, 7000),
    ],
)
def test_an_effort_leaves_half_of_the_answer_to_be_said(
    model: str, reasoning: Reasoning, limit: int, budget: int
) -> None:
    """Google's limit counts the thoughts; a budget that was asked for is the client's to measure."""
    said = sent(foreign(model=model, reasoning=reasoning, max_tokens=limit))["generationConfig"]
    assert (said["maxOutputTokens"], said["thinkingConfig"]["thinkingBudget"]) == (limit, budget)


def test_a_system_prompt_that_says_nothing_is_none() -> None:
    assert "systemInstruction" not in sent(foreign(turn("system", Text(text="")), turn("user", Text(text="a"))))


@pytest.mark.parametrize("word", ["flex", "FLEX", "SERVICE_TIER_FLEX"])
def test_a_tier_has_several_spellings(word: str) -> None:
    request = parsed(serviceTier=word)
    assert request.service_tier == "flex"
    assert sent(request)["serviceTier"] == "flex"


def test_a_tier_that_is_new_stays_on_its_own_wire() -> None:
    encoded = WIRE.encode(parsed(serviceTier="overnight"))
    assert (json.loads(encoded.body)["serviceTier"], encoded.dropped) == ("overnight", ())


def test_the_role_of_an_instruction_says_nothing_and_is_not_dropped_aloud() -> None:
    """Google's own SDK says that it is the user's."""
    instruction = {"role": "user", "parts": [{"text": "Be kind."}], "new": 1}
    assert parsed(systemInstruction=instruction).turns[0].extra == {"new": 1}


def test_gemini_3_is_told_that_a_call_has_no_seal() -> None:
    turns = [
        turn("user", Text(text="go")),
        turn("assistant", ToolCall(id="1", name="f"), ToolCall(id="2", name="g")),
        turn("user", ToolResult(id="1"), ToolResult(id="2")),
    ]
    for model, seals in (("gemini-2.5-pro", [None, None]), ("gemini-3-pro", [NO_SEAL, None])):
        parts = sent(foreign(*turns, model=model))["contents"][1]["parts"]
        assert [part.get("thoughtSignature") for part in parts] == seals
    turns[1] = turn("assistant", ToolCall(id="1", name="f", signature="c2VhbA=="), ToolCall(id="2", name="g"))
    parts = sent(foreign(*turns, model="gemini-3-pro"))["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["c2VhbA==", None]


def test_a_gemini_3_that_draws_is_told_that_its_images_have_no_seal() -> None:
    """It refuses a chat otherwise: "Image part is missing a thought_signature in content position 2"."""
    image = Image(source=Inline("aQ==", "image/png"))
    turns = [turn("user", image), turn("assistant", Text(text="so"), Text(text="and"), image), turn("user", image)]
    for model, seals in (
        ("gemini-2.5-flash-image", [None, None, None]),
        ("gemini-3-pro-preview", [None, None, None]),
        ("gemini-3-pro-image-preview", [NO_SEAL, None, NO_SEAL]),
    ):
        asked, drawn, more = sent(foreign(*turns, model=model))["contents"]
        assert [part.get("thoughtSignature") for part in drawn["parts"]] == seals
        assert [part.get("thoughtSignature") for part in asked["parts"] + more["parts"]] == [None, None]


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aQ=="}}


@pytest.mark.parametrize(
    ("images", "shown", "dropped"),
    [
        ([PICTURE, PICTURE], 2, ()),
        ([PICTURE, {"type": "image_url", "image_url": {"url": "https://host/i"}}], 0, ("images",)),
        ([{"image_url": {"url": "data:image/png"}}], 0, ("images",)),
        ([5, None], 0, ("images",)),
        ("x", 0, ("images",)),
        ([], 0, ()),
    ],
)
def test_what_gemini_has_drawn_for_a_chat_client_comes_back_to_it(images: Any, shown: int, dropped: tuple[str]) -> None:
    """As OpenRouter's clients send it: without it, nobody could ask for a change."""
    drawn = {"role": "assistant", "content": "so", "images": images}
    messages = [{"role": "user", "content": "draw"}, drawn, {"role": "user", "content": "bluer"}]
    said = json.dumps({"model": "m", "messages": messages}).encode()
    chat = registry.dialect("openai_chat")
    request = chat.parse(said, Peek("gemini-2.5-flash-image", stream=False))
    encoded = WIRE.encode(request)
    parts = json.loads(encoded.body)["contents"][1]["parts"]
    assert parts == [{"text": "so"}] + [{"inlineData": {"mimeType": "image/png", "data": "aQ=="}}] * shown
    assert encoded.dropped == dropped
    assert json.loads(chat.encode(request).body)["messages"][1] == drawn
    assert registry.dialect("anthropic").encode(request).dropped == (("images",) if images else ())


def test_a_model_without_instructions_and_json_mode_is_told_both_by_the_user() -> None:
    """Gemma 3: "Developer instruction is not enabled for models/gemma-3-27b-it"."""
    turns = [turn("system", Text(text="Be kind.")), turn("user", Text(text="Hi"))]
    request = foreign(*turns, model="gemma-3-27b-it", format=Format(kind="json"))
    request.ways = frozenset({"uninstructed", "shapeless"})
    encoded = WIRE.encode(request)
    said = json.loads(encoded.body)
    assert "systemInstruction" not in said
    assert "generationConfig" not in said
    [content] = said["contents"]
    assert [part["text"][:20] for part in content["parts"]] == ["<system>\nBe kind.\n</", "Hi", "When you answer and "]
    assert encoded.dropped == ("format", "turn.place")


@pytest.mark.parametrize(
    ("text", "failed", "response"),
    [
        ("42", None, {"result": "42"}),
        ('{"a": 1}', None, {"a": 1}),
        ('{"a": 1, "a": 2}', None, {"result": '{"a": 1, "a": 2}'}),
        ("[1]", None, {"result": "[1]"}),
        ("", None, {"result": ""}),
        ("no", True, {"error": "no"}),
        ('{"a": 1}', True, {"error": {"a": 1}}),
    ],
)
def test_a_result_is_an_object_on_this_wire(text: str, failed: bool | None, response: dict[str, Any]) -> None:
    result = ToolResult(id="1", parts=[Text(text=text)], is_error=failed)
    contents = sent(foreign(turn("assistant", ToolCall(id="1", name="f")), turn("user", result)))["contents"]
    assert contents[1]["parts"] == [{"functionResponse": {"id": "1", "name": "f", "response": response}}]


def test_what_a_tool_shows_stands_in_its_result_or_beside_it() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    result = ToolResult(id="1", parts=[Text(text="a"), Image(source=Inline("aGk=", "image/png"))])
    turns = [turn("assistant", ToolCall(id="1", name="f")), turn("user", Text(text="so"), result)]
    said = {"functionResponse": {"id": "1", "name": "f", "response": {"result": "a"}}}
    older = sent(foreign(*turns))["contents"][1]["parts"]
    assert older == [said, {"text": "so"}, image]
    newer = sent(foreign(*turns, model="gemini-3-pro"))["contents"][1]["parts"]
    assert newer == [{"functionResponse": said["functionResponse"] | {"parts": [image]}}, {"text": "so"}]


def test_results_stand_side_by_side_where_each_is_a_turn_of_its_own() -> None:
    """As the items of a Responses client are: what one of them shows must not come between two."""
    image = Image(source=Inline("aGk=", "image/png"))
    calls = turn("assistant", ToolCall(id="1", name="f"), ToolCall(id="2", name="g"))
    first = turn("user", ToolResult(id="1", parts=[Text(text="a"), image, Text(text="b")]))
    second = turn("user", ToolResult(id="2", parts=[Text(text="c")]))
    parts = sent(foreign(calls, first, second))["contents"][1]["parts"]
    assert [next(iter(part)) for part in parts] == ["functionResponse", "functionResponse", "inlineData"]
    assert [part["functionResponse"]["response"] for part in parts[:2]] == [{"result": "a\nb"}, {"result": "c"}]


def test_thousands_of_system_turns_take_no_longer_each_than_a_few() -> None:
    turns = [turn("system", Text(text="Be kind.")) for _ in range(40_000)]
    began = time.process_time()
    assert len(sent(foreign(*turns, turn("user", Text(text="hi"))))["systemInstruction"]["parts"]) == len(turns)
    assert time.process_time() - began < 5  # half a second; and half a minute if each copied those before it


def test_a_late_system_turn_is_marked_in_the_user_s() -> None:
    turns = [turn("user", Text(text="a")), turn("system", Text(text="b")), turn("assistant", Text(text="c"))]
    contents = sent(foreign(*turns))["contents"]
    assert contents[0]["parts"] == [{"text": "a"}, {"text": "<system>\nb\n</system>"}]


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(BadRequest):
        WIRE.encode(foreign(tools=[Tool(name="f", parameters=schema)]))


# --- counting --------------------------------------------------------------------------------------------------------

COUNTED = Peek("gemini-x", False)

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


@recordings.needs_recordings
@pytest.mark.parametrize("row", recordings.load("*.countTokens"), ids=recordings.ids)
def test_recorded_count_is_read(row: recordings.Row) -> None:
    recordings.replayed(row)
    data = recordings.body(row)
    if asked := row["request_json"]:
        named = asked.get("generateContentRequest", {}).get("model", "models/m").removeprefix("models/")
        WIRE.count_body(WIRE.count_parse(json.dumps(asked).encode(), Peek(named, False)))
    if row["status"] == 200:
        assert WIRE.count_read(data) == json.loads(data)["totalTokens"]
    else:
        with pytest.raises(UpstreamError, match="nonexistent"):
            WIRE.count_read(data)


def test_a_count_is_asked_for_in_either_form() -> None:
    alone = WIRE.count_parse(json.dumps({"contents": HI}).encode(), COUNTED)
    assert (alone.model, json.loads(WIRE.count_body(alone))) == ("gemini-x", {"contents": HI})
    whole = {"model": "models/gemini-x", "contents": HI, "systemInstruction": {"parts": [{"text": "s"}]}}
    for key in ("generateContentRequest", "generate_content_request"):
        request = WIRE.count_parse(json.dumps({key: whole}).encode(), COUNTED)
        assert request.model == "gemini-x"
        assert json.loads(WIRE.count_body(request)) == {"generateContentRequest": whole}
    assert json.loads(WIRE.count_answer(7)) == {"totalTokens": 7}


@pytest.mark.parametrize("given", [{}, {"generateContentRequest": 5}, {"generateContentRequest": {}, "contents": HI}])
def test_a_count_of_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        WIRE.count_parse(json.dumps(given).encode(), COUNTED)


@pytest.mark.parametrize("data", [b"", b"5", b'{"totalTokens": "x"}', b'{"totalTokens": -1}'])
def test_an_answer_that_is_no_count_is_an_upstream_error(data: bytes) -> None:
    with pytest.raises(Down):
        WIRE.count_read(data)


def test_a_default_of_protobufs_is_no_wish_and_comes_back_to_google() -> None:
    """To Google an empty string, or an enum's first word, is the same as absence, and some of its SDKs write them."""
    config = {"responseMimeType": "", "responseModalities": ["MODALITY_UNSPECIFIED"]}
    said = {"serviceTier": "SERVICE_TIER_UNSPECIFIED", "cachedContent": "", "generationConfig": config}
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}]
    request = WIRE.parse(json.dumps({"contents": contents, **said}).encode(), Peek("gemini-2.5-flash", False))
    assert (request.service_tier, request.modalities, request.format, request.demands) == (None, None, None, {})
    assert json.loads(WIRE.encode(request).body) == {"contents": contents, **said}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            {"type": "INTEGER", "format": "enum", "enum": ["101", "-2"]},
            {"type": "integer", "enum": [101, -2]},
        ),
        ({"type": "NUMBER", "enum": ["0.5", "x"]}, {"type": "number", "enum": [0.5, "x"]}),
        (
            {"type": "INTEGER", "enum": ["1"], "nullable": True},
            {"type": ["integer", "null"], "enum": [1, None]},
        ),
        ({"type": "STRING", "format": "enum", "enum": ["1"]}, {"type": "string", "enum": ["1"]}),
        ({"type": "INTEGER", "format": "int32"}, {"type": "integer", "format": "int32"}),
    ],
)
def test_an_enum_of_numbers_is_of_numbers_elsewhere(said: Any, meant: Any) -> None:
    """Google writes them as strings, among which JSON Schema finds no number."""
    assert json_schema(said, "schema") == meant


@pytest.mark.parametrize(
    ("level", "detail"),
    [
        ("MEDIA_RESOLUTION_LOW", "low"),
        ("MEDIA_RESOLUTION_HIGH", "high"),
        ("MEDIA_RESOLUTION_MEDIUM", None),
        ("MEDIA_RESOLUTION_ULTRA_HIGH", None),
    ],
)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", NEWER])
def test_how_closely_an_image_is_to_be_looked_at_is_read_as_it_is_told(
    level: str, detail: str | None, model: str
) -> None:
    """In a user's part, and in a tool's result; and Google hears it again, whichever of its models is asked."""
    seen = {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "mediaResolution": {"level": level}}
    result = {"name": "f", "response": {}, "parts": [seen]}
    contents = [
        {"role": "user", "parts": [seen]},
        {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "c2VhbA=="}]},
        {"role": "user", "parts": [{"functionResponse": result}]},
    ]
    request = WIRE.parse(json.dumps({"contents": contents}).encode(), Peek(model, False))
    images = [part for turn in request.turns for part in turn.parts if isinstance(part, Image)]
    images += [one for turn in request.turns for part in turn.parts if isinstance(part, ToolResult)
               for one in part.parts if isinstance(one, Image)]  # fmt: skip
    assert [image.detail for image in images] == [detail, detail]
    assert json.loads(WIRE.encode(request).body)["contents"] == contents
