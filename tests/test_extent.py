"""Is it seen how long an answer may be, and what of a request has no bound at all?"""

import json
from typing import Any

import pytest

from proxy.envelope import Envelope
from proxy.registry import DIALECTS, dialect
from proxy.spending.extent import Extent, extent


def of(wire: str, body: dict[str, Any], longest: int | None = None) -> Extent:
    return extent(Envelope(json.dumps(body).encode()), dialect(wire).bounds, longest)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("openai_chat", {"max_tokens": 7}),
        ("openai_chat", {"max_tokens": 9, "max_completion_tokens": 7}),
        ("azure_chat", {"max_tokens": 7}),
        ("openai_responses", {"max_output_tokens": 7}),
        ("anthropic", {"max_tokens": 7}),
        ("anthropic_vertex", {"max_tokens": 7}),
        ("bedrock_invoke", {"max_tokens": 7}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 7}}),
        ("gemini", {"generation_config": {"max_output_tokens": 7}}),
        ("bedrock", {"inferenceConfig": {"maxTokens": 7}}),
        ("ollama", {"options": {"num_predict": 7}}),
        ("cohere", {"max_tokens": 7}),
    ],
)
def test_each_wire_says_how_long_an_answer_may_be(wire: str, body: dict[str, Any]) -> None:
    assert of(wire, body) == Extent(len(json.dumps(body)), 7, False)


def test_no_wire_is_forgotten() -> None:
    assert all(dialect(name).bounds.output for name in DIALECTS)


@pytest.mark.parametrize("value", [None, "7", -1, 7.5, True, []])
def test_what_is_no_number_bounds_nothing(value: Any) -> None:
    assert of("openai_chat", {"max_tokens": value}).output is None
    assert of("openai_chat", {"max_tokens": value}, longest=50).output == 50


def test_several_answers_are_as_many_times_as_long() -> None:
    assert of("openai_chat", {"max_tokens": 7, "n": 3}).output == 21
    assert of("gemini", {"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}).output == 14
    assert of("openai_chat", {"n": 3}, longest=10).output == 30


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
        (
            "anthropic",
            {"messages": [{"content": [{"type": "document", "source": {"type": "url", "url": "http://x"}}]}]},
        ),
        ("gemini", {"tools": [{"googleSearch": {}}]}),
        ("gemini", {"cachedContent": "cachedContents/1"}),
        ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "gs://x/y"}}]}]}),
        ("bedrock", {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}),
        ("bedrock", {"messages": [{"content": [{"image": {"source": {"s3Location": {"uri": "s3://x"}}}}]}]}),
        ("cohere", {"connectors": [{"id": "web-search"}]}),
        ("openai_chat", {"tools": ["x"]}),
    ],
)
def test_what_has_no_bound(wire: str, body: dict[str, Any]) -> None:
    assert of(wire, body, longest=5).is_open


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
    ],
)
def test_what_has_one(wire: str, body: dict[str, Any]) -> None:
    assert not of(wire, body, longest=5).is_open
