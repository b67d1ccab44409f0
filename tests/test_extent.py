"""Is it seen how long an answer may be, and what of a request has no bound at all?"""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.envelope import Envelope, Lengths
from proxy.registry import DIALECTS, dialect
from proxy.spending.extent import IMAGE, TEMPLATE, TOOL, WORDING, Extent, Longest, _marked, _marks, extent, said_lengths

SAID = {"max_tokens": 7}


def of(wire: str, body: dict[str, Any] | bytes, longest: int | None = None, model: str = "m") -> Extent:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return extent(Envelope(raw), dialect(wire).bounds, Longest(longest, longest), model)


def added(wire: str, body: dict[str, Any] | bytes, model: str = "m") -> int:
    """Tokens that no byte of it is, beside those of every request."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = of(wire, raw, model=model)
    assert not found.is_open
    return found.input - len(raw) - TEMPLATE


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("openai_chat", {"max_tokens": 7}),
        ("openai_chat", {"max_tokens": 7, "max_completion_tokens": 5}),
        ("azure_chat", {"max_tokens": 7}),
        ("openai_responses", {"max_output_tokens": 7}),
        ("anthropic", {"max_tokens": 7}),
        ("anthropic_vertex", {"max_tokens": 7}),
        ("bedrock_invoke", {"max_tokens": 7}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 7}}),
        ("gemini", {"generation_config": {"max_output_tokens": 7}}),
        ("gemini", {"generationConfig": {"max_output_tokens": 7}}),
        ("gemini", {"generation_config": {"max_output_tokens": 5}, "generationConfig": {"maxOutputTokens": 7}}),
        ("bedrock", {"inferenceConfig": {"maxTokens": 5}, "additionalModelRequestFields": {"max_tokens": 7}}),
        ("bedrock", {"inferenceConfig": {"maxTokens": 7}}),
        ("ollama", {"options": {"num_predict": 7}}),
        ("cohere", {"max_tokens": 7}),
    ],
)
def test_each_wire_says_how_long_an_answer_may_be(wire: str, body: dict[str, Any]) -> None:
    found = of(wire, body)
    assert (found.output, found.is_open) == (7, False)
    assert added(wire, body) == 0


def test_no_wire_is_forgotten() -> None:
    assert all(dialect(name).bounds.output for name in DIALECTS)


@pytest.mark.parametrize("value", ["7", -1, 0, 7.5, 7.0, True, [], 1e3])
def test_what_is_no_number_is_no_bound_and_what_the_operator_would_have_said_is_not_sent(value: Any) -> None:
    """Ollama writes for ever by -1, Google takes 0 for nothing said and "7" for 7: the model's own bound is left."""
    envelope = Envelope(json.dumps({"max_tokens": value}).encode())
    assert extent(envelope, dialect("openai_chat").bounds, Longest(50)).output is None
    assert extent(envelope, dialect("openai_chat").bounds, Longest(50, 900)).output == 900


def test_however_many_ask_how_long_an_answer_may_be_the_request_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    get = Envelope.get

    def noted(envelope: Envelope, key: str) -> Any:
        read.append(key)
        return get(envelope, key)

    monkeypatch.setattr(Envelope, "get", noted)
    envelope = Envelope(b'{"generationConfig":{"maxOutputTokens":9,"responseSchema":{"type":"object"}}}')
    assert [said_lengths(envelope, dialect("gemini").bounds) for _ in range(3)] == [Lengths(True, 9, 9)] * 3
    many = len(read)
    assert said_lengths(envelope, dialect("gemini").bounds) == Lengths(True, 9, 9)
    assert len(read) == many <= 2


def test_without_a_word_the_operators_counts() -> None:
    for body in ({}, {"max_tokens": None}):
        assert of("openai_chat", body).output is None
        assert of("openai_chat", body, longest=50).output == 50


def test_several_answers_are_as_many_times_as_long() -> None:
    assert of("openai_chat", {"max_tokens": 7, "n": 3}).output == 21
    assert of("gemini", {"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}).output == 14
    assert of("gemini", {"generationConfig": {"maxOutputTokens": 7, "candidate_count": 2}}).output == 14
    assert of("gemini", {"generation_config": {"max_output_tokens": 7, "candidate_count": 2}}).output == 14
    assert of("openai_chat", {"n": 3}, longest=10).output == 30
    assert of("openai_chat", {**SAID, "n": 1, "best_of": 128}).output == 7 * 128
    assert of("openai_chat", {**SAID, "n": 0}).output == of("openai_chat", {**SAID, "n": None}).output == 7


@pytest.mark.parametrize("many", ["128", 128.0, True, [128], -1.5])
def test_as_many_answers_as_nobody_can_say_have_no_bound(many: Any) -> None:
    assert of("openai_chat", {**SAID, "n": many}).output is None
    assert of("gemini", {"generationConfig": {"maxOutputTokens": 7, "candidateCount": many}}).output is None


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("openai_chat", {"web_search_options": {}}),
        ("openai_chat", {"tools": [{"type": "function", "function": {}}, {"type": "web_search"}]}),
        ("openai_chat", {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}),
        ("openai_chat", {"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}),
        ("openai_responses", {"previous_response_id": "r"}),
        ("openai_responses", {"conversation": "c"}),
        ("openai_responses", {"tools": [{"type": "web_search"}]}),
        ("openai_responses", {"tools": [{"type": "mcp", "server_url": "u"}]}),
        ("openai_responses", {"input": [{"content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]}),
        ("anthropic", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("anthropic", {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
        ("anthropic", {"container": "c"}),
        ("anthropic", {"thread": {"type": "continue", "previous_message_id": "m"}}),
        (
            "anthropic",
            {"messages": [{"content": [{"type": "document", "source": {"type": "url", "url": "http://x"}}]}]},
        ),
        ("gemini", {"tools": [{"googleSearch": {}}]}),
        ("gemini", {"cachedContent": "cachedContents/1"}),
        ("gemini", {"continuationToken": "AA=="}),
        ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "gs://x/y"}}]}]}),
        ("bedrock", {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}),
        ("bedrock", {"messages": [{"content": [{"image": {"source": {"s3Location": {"uri": "s3://x"}}}}]}]}),
        ("cohere", {"connectors": [{"id": "web-search"}]}),
        ("openai_chat", {"tools": ["x"]}),
        ("openai_chat", {"tools": {"googleSearch": {}}}),
        ("gemini", {"tools": [{"name": "x", "googleSearch": {}}]}),
        ("gemini", {"tools": [{"functionDeclarations": [], "googleSearch": {}}]}),
        ("openai_chat", {"search_parameters": {"mode": "on"}}),
        ("openai_chat", {"plugins": [{"id": "web"}]}),
        ("openai_chat", {"models": ["openai/gpt-5-pro"]}),
        ("openai_responses", {"models": ["openai/gpt-5-pro"]}),
        ("openai_responses", {"plugins": [{"id": "web"}]}),
        ("openai_chat", {"prediction": {"type": "content", "content": "x"}}),
        ("openai_responses", {"background": True}),
        ("openai_responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("openai_responses", {"input": [{"role": "user", "content": "x"}, {"id": "msg_1"}]}),
        ("openai_responses", {"input": [{"type": None, "id": "msg_1"}]}),
        ("openai_responses", {"context_management": [{"type": "compaction", "compact_threshold": 1000}]}),
        ("openai_responses", {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}),
        ("openai_responses", {"tools": [{"type": "shell", "environment": {"type": "container_reference"}}]}),
        ("anthropic", {"context_management": {"edits": [{"type": "compact_20260112"}]}}),
        ("anthropic", {"messages": [{"content": [{"tool": {"type": "tool_definition", "definition": {}}}]}]}),
        # media of which a byte may be many tokens
        ("openai_chat", {"messages": [{"content": [{"type": "input_audio", "input_audio": {"data": "AA=="}}]}]}),
        ("openai_chat", {"messages": [{"content": [{"file": {"file_data": "data:application/pdf;base64,AA=="}}]}]}),
        ("openai_chat", {"messages": [{"content": [{"file": {"file_data": "JVBERi0="}}]}]}),
        ("openai_responses", {"input": [{"content": [{"type": "input_file", "file_data": "data:;base64,AA=="}]}]}),
        ("anthropic", {"messages": [{"content": [{"source": {"type": "base64", "media_type": "application/pdf"}}]}]}),
        ("gemini", {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/flac", "data": "AA=="}}]}]}),
        ("gemini", {"contents": [{"parts": [{"inline_data": {"mime_type": "video/mp4", "data": "AA=="}}]}]}),
        ("bedrock", {"messages": [{"content": [{"document": {"format": "pdf", "source": {"bytes": "AA=="}}}]}]}),
        ("bedrock", {"messages": [{"content": [{"video": {"format": "mp4", "source": {"bytes": "AA=="}}}]}]}),
        # the same, in disguise
        ("openai_responses", rb'{"input":[{"type":"item\u005freference","id":"m"}]}'),
        ("openai_responses", rb'{"input":[{ "\u0069d" : "msg_\u0031", "type" : null }]}'),
        ("openai_chat", rb'{"messages":[{"content":[{"image_url":{"url":"https:\/\/x\/y.png"}}]}]}'),
        ("openai_chat", rb'{"messages":[{"content":[{"image_url":{"url":"\u0068ttps://x"}}]}]}'),
        ("openai_chat", rb'{"messages":[{"content":[{"image_url":{"url":" https://x"}}]}]}'),
        ("openai_chat", rb'{"messages":[{"content":[{"file":{"file\u005fid":"f"}}]}]}'),
        ("openai_chat", rb'{"messages":[{"content":[{"file":{"file_data":"DATA:application\/pdf;base64,AA=="}}]}]}'),
        ("openai_chat", rb'{"messages":[{"u\u0072l":"https:\/\/x","url":"data:image/png;base64,AA=="}]}'),
    ],
)
def test_what_has_no_bound(wire: str, body: dict[str, Any] | bytes) -> None:
    assert of(wire, body, longest=5).is_open


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-search-preview", "openai/gpt-4o-mini-search-preview-2025-03-11", "gpt-5-search-api", "sonar-pro-search",
        "o3-deep-research", "sonar-deep-research", "perplexity/sonar", "groq/compound", "compound-beta",
        "openai/gpt-4o:online", "GPT-4o-Search-Preview",
    ],
)  # fmt: skip
def test_a_model_that_searches_by_itself_has_no_bound(model: str) -> None:
    """For each time there is a fee, and what was found is read."""
    assert of("openai_chat", SAID, model=model).is_open


@pytest.mark.parametrize("model", ["gpt-4o", "command-r", "research", "searchlight-7b", "gpt-5", "compounds"])
def test_other_models_have_one(model: str) -> None:
    assert not of("openai_chat", SAID, model=model).is_open


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("openai_chat", {"tools": [{"type": "function", "function": {"parameters": {"properties": {"url": {}}}}}]}),
        ("openai_chat", {"messages": [{"content": 'see "url": "https://x" and "file_id": "f"'}]}),
        ("openai_chat", {"messages": [{"content": [{"image_url": {"url": "data:image/png;base64,AA=="}}]}]}),
        ("openai_responses", {"previous_response_id": None, "tools": [{"type": "function", "name": "f"}]}),
        ("anthropic", {"tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]}),
        ("gemini", {"tools": [{"functionDeclarations": []}]}),
        ("bedrock", {"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}, {"cachePoint": {}}]}}),
        ("ollama", {"tools": [{"type": "function", "function": {}}]}),
        ("openai_responses", {"background": False, "prompt": "", "conversation": None}),
        ("openai_responses", {"input": 'see {"id": "msg_1"} and "item_reference"', "metadata": {"id": "msg_1"}}),
        ("openai_responses", {"input": [{"type": "message", "role": "user", "content": "x", "id": "msg_1"}]}),
        ("openai_responses", {"input": [{"id": "fc_1", "type": "function_call", "arguments": '{"id":"1"}'}]}),
        ("openai_responses", {"tools": [{"type": "shell", "environment": {"type": "local"}}]}),
        ("gemini", {"generationConfig": {"responseMimeType": "application/json"}}),
        ("openai_chat", {"messages": [{"content": "data: a, b; see https://x, audio and video/ files"}]}),
        ("anthropic", {"messages": [{"content": [{"source": {"type": "text", "media_type": "text/plain"}}]}]}),
        ("bedrock", {"messages": [{"content": [{"document": {"format": "txt", "source": {"bytes": "AA=="}}}]}]}),
    ],
)
def test_what_has_one(wire: str, body: dict[str, Any]) -> None:
    assert not of(wire, body, longest=5).is_open


@pytest.mark.parametrize(
    "text",
    [
        rb"\/ \u0022url\u0022: \u0022https://x",
        rb"\/ \\",
        rb"\/ \ud83d\ude00",
        rb"\/ \u0041\u005c",
        rb"\/\n\u00e9",
        rb"\/ 1e999",
    ],
)
def test_an_escape_in_a_text_is_no_mark_and_no_fault(text: bytes) -> None:
    assert not of("openai_chat", b'{"max_tokens":7,"messages":["' + text + b'",1e999]}').is_open


@pytest.mark.parametrize("text", [rb"\\\\", rb"\\\\\\\"", rb"\u005c", rb"\\\\u0041"])
def test_a_mark_is_found_behind_whatever_backslashes(text: bytes) -> None:
    for url in (b'"ur\\u006c":"https:\\/\\/x"', b'"url":"https:\\u002f\\u002fx"'):
        assert of("openai_chat", b'{"max_tokens":7,"a":"%b",%b}' % (text, url)).is_open


# --- what is read beyond what was sent -------------------------------------------------------------------------------

PICTURES: list[tuple[str, dict[str, Any]]] = [
    ("openai_chat", {"messages": [{"content": [{"image_url": {"url": "data:image/png;base64,AA=="}}]}]}),
    (
        "openai_responses",
        {"input": [{"content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]}]},
    ),
    (
        "anthropic",
        {"messages": [{"content": [{"type": "image", "source": {"media_type": "image/png", "data": "AA=="}}]}]},
    ),
    ("gemini", {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}]}),
    ("bedrock", {"messages": [{"content": [{"image": {"format": "png", "source": {"bytes": "AA=="}}}]}]}),
    ("ollama", {"messages": [{"content": "x", "images": ["AA=="]}]}),
    ("cohere", {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}]}]}),
]


@pytest.mark.parametrize(("wire", "body"), PICTURES, ids=[wire for wire, _ in PICTURES])
def test_a_picture_is_more_than_its_bytes(wire: str, body: dict[str, Any]) -> None:
    assert added(wire, body) == IMAGE
    (key,) = body
    assert added(wire, {key: body[key] * 3}) == 3 * IMAGE


@pytest.mark.parametrize(
    ("figure", "known"),
    [
        (TEMPLATE, 72),  # what gpt-oss reads of "hi"
        (WORDING, 1_229),  # Cohere's preamble, recorded
        (TOOL, 1_528),  # a computer of Claude's, recorded
        (IMAGE, 16_384),  # Qwen-VL's most
        (IMAGE, 16_200),  # 10,000 patches at 1.62, gpt-5.4-mini's most
    ],
)
def test_no_figure_is_below_what_is_known(figure: int, known: int) -> None:
    assert figure >= known


def test_one_model_counts_dearer_pictures() -> None:
    assert added(*PICTURES[0], model="gpt-4o-mini-2024-07-18") > 48_000 > IMAGE
    assert added("openai_chat", rb'{"messages":[{"image_url":{"url":"data:image\/png;base64,AA=="}}]}') == IMAGE
    assert added("ollama", {"messages": [{"images": ["AA==", "AA==", "AA=="]}]}) == 3 * IMAGE


@pytest.mark.parametrize(
    ("wire", "body", "more"),
    [
        ("openai_chat", {"tools": [{"type": "function", "function": {}}] * 9}, WORDING),
        ("cohere", {"tools": [{"type": "function", "function": {}}]}, WORDING),
        ("anthropic", {"tools": [{"name": "f"}, {"type": "custom", "name": "g"}]}, WORDING),
        ("bedrock", {"toolConfig": {"tools": [{"toolSpec": {}}, {"cachePoint": {}}]}}, WORDING),
        ("gemini", {"tools": [{"functionDeclarations": []}]}, WORDING),
        ("anthropic", {"tools": [{"type": "computer_20251124"}, {"type": "bash_20250124"}]}, WORDING + 2 * TOOL),
        ("openai_responses", {"tools": [{"type": "apply_patch"}]}, WORDING + TOOL),
        ("openai_chat", {"response_format": {"type": "json_object"}}, WORDING),
        ("openai_responses", {"text": {"format": {"type": "json_schema"}}}, WORDING),
        ("gemini", {"generationConfig": {"responseSchema": {}}}, WORDING),
        ("anthropic", {"output_config": {"format": {}}}, WORDING),
        ("anthropic", {"messages": [{"content": [{"citations": {"enabled": True}}]}]}, WORDING),
        ("cohere", {"documents": ["x"]}, WORDING),
        ("openai_chat", {"response_format": None, "messages": [{"content": 'say "tools": [1]'}]}, 0),
    ],
)
def test_providers_add_words_of_their_own(wire: str, body: dict[str, Any], more: int) -> None:
    assert added(wire, body) == more


MARKS = """
"url": "http://a" | "image_url":"https://a" | "file_url" : "s3://a" | "uri": " gs://a" | "fileUri": "a"
"file_uri": "a" | "fileId":"a" | "file_id": "a" | "s3Location": {} | "s3_location":{} | "type": "container_auto"
"type": "compact_1" | "type":"container_reference" | "data:audio/wav;base64,AA" | " DATA:application/pdf,"
"audio/mp3" | "video/mp4" | "application/pdf" | "input_audio": {} | "audio":{} | "video": {} | "fileData": "A"
"file_data":"A" | "format": "pdf" | "format":"docx" | "format": "xls" | "data:image/png" | " image/png"
"Data:image/png" | "image": {} | "images": [] | "tools": [] | "functions":[] | "toolConfig": {} | "tool_config":{}
"citations": {} | "documents": [] | "schema": {} | "response_format":{} | "responseFormat": {} | "outputFormat":{}
"output_format": {} | "outputConfig":{} | "json_schema":{} | "output_config": {} | "response_schema":{}
"response_json_schema": {} | "responseSchema":{} | "responseJsonSchema": {} | "format": {} | "format":"json"
"""


EACH = [mark.encode() for mark in re.split(r"\n| \| ", MARKS.strip())]


@pytest.mark.parametrize("mark", EACH)
def test_what_is_marked_is_looked_at(mark: bytes) -> None:
    """A place at which none of their beginnings stands is passed over."""
    assert _marks.search(mark) is not None
    assert sum(_marked(mark).values()) > 0


BETWEEN = [b"", b"\\", b" ", b"\n", b'"', b'",', b"{", b"[", b"]", b":", b'"a":"', b'"schema":', b'\\"', b"x"]


@given(st.lists(st.sampled_from(EACH + BETWEEN), max_size=12).map(b"".join))
def test_all_of_it_is_found(body: bytes) -> None:
    kinds = [mark.lastgroup for mark in _marks.finditer(body)]
    found = _marked(body)
    assert {kind: kinds.count(kind) for kind in found if kind != "image"} == {
        kind: count for kind, count in found.items() if kind != "image"
    }
    assert found["image"] >= kinds.count("image")
