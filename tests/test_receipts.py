"""Does a client read its own words in what pillion says of a request: receipts, and the paths of refusals?"""

import base64
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Part, Reasoning, Request, Text, ToolResult, Turn
from proxy.dialects.gemini.spelling import in_camel
from proxy.errors import BadRequest, Unrepresentable
from proxy.grammar.fields import dump, standard_base64
from proxy.ports import Encoded, Peek
from tests import recordings
from tests.client import OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tools.matrix import MODELS as EVERY_MODEL

Json = dict[str, Any]

MODELS = {
    "openai_chat": "gpt-5.1",
    "openai_responses": "gpt-5.1",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-sonnet-4-5",
    "ollama": "qwen3",
    "cohere": "command-a",
}
RECORDED = {
    "openai_chat": "*chat_completions",
    "openai_responses": "*.responses",
    "anthropic": "*anthropic.messages",
    "gemini": "*enerateContent",
    "bedrock": "*bedrock.converse*",
    "ollama": "*ollama.api_chat",
    "cohere": "*cohere.v2_chat",
}
NAMELESS = {"gemini", "bedrock"}  # the path names the model


def parsed(wire: str, body: Json) -> Request:
    said = {key: value for key, value in body.items() if key != "model"}
    said |= {} if wire in NAMELESS else {"model": "m"}
    if wire == "anthropic":
        said = {"max_tokens": 100, **said}
    return registry.dialect(wire).parse(json.dumps(said).encode(), Peek("m", False))


def others(wire: str) -> list[str]:
    return [target for target in MODELS if target != wire]


def encoded(wire: str, target: str, body: Json) -> Encoded:
    """Raises Unrepresentable."""
    request = parsed(wire, body)
    request.model = MODELS[target]
    return registry.dialect(target).encode(request)


def receipt(wire: str, target: str, body: Json) -> set[str]:
    """As the lane tells it. Raises Unrepresentable."""
    return set(encoded(wire, target, body).dropped)


def in_short(value: Any) -> str:
    """Of a case's part: alike in every process, as a set's own words are not."""
    return value if isinstance(value, str) else "-".join(sorted(value))


def refusal(wire: str, target: str, body: Json) -> str:
    with pytest.raises(Unrepresentable) as caught:
        receipt(wire, target, body)
    assert caught.value.param is not None
    assert caught.value.message.startswith(caught.value.param)
    return caught.value.param


# --- recorded --------------------------------------------------------------------------------------------------------


def found(path: str, body: Any) -> bool:
    """Does this path lead to something in the body? Google takes one thing for a list of one."""
    for key, place in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if key:
            if not isinstance(body, dict) or body.get(key) is None:
                return False
            body = body[key]
        elif isinstance(body, list):
            if int(place) >= len(body):
                return False
            body = body[int(place)]
        elif place != "0":
            return False
    return True


def words(value: Any) -> Iterator[str]:
    """The keys in a body, however deep, and what it says that an item is."""
    if isinstance(value, dict):
        yield from (*value, str(value.get("type", "")))
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from words(inner)


MADE_UP = {"tools"}  # Converse takes no result without a tool on offer, so that one is made up, and told
THOUGHTS = {"reasoning", "reasoning_details", "thinking"}  # hosts of chat have several words for what was thought


def unfound(wire: str, target: str, body: Json) -> Iterator[str]:
    """What a client is told of and does not find."""
    try:
        named = receipt(wire, target, body)
    except Unrepresentable as error:
        if not found(error.param or "", body):
            yield error.message
        return
    said = set(words(body)) | MADE_UP
    said |= {"reasoning_content"} if said & THOUGHTS else set()
    yield from (name for name in named if name.rpartition(".")[2] not in said)


@recordings.needs_recordings
@pytest.mark.parametrize("wire", RECORDED)
def test_a_recorded_client_finds_in_its_body_what_it_is_told_of(wire: str) -> None:
    wrong: list[str] = []
    for row in recordings.load(RECORDED[wire]):
        body = row["request_json"]
        if not isinstance(body, dict) or not body or any(isinstance(each, str) for each in body.get("messages", ())):
            continue  # no request, or one that its own provider refused
        spelled = in_camel(body) if wire == "gemini" else body
        for target in others(wire):
            wrong += [f"{row['id']} {target}: {what}" for what in unfound(wire, target, spelled)]
        recordings.replayed(row)
    assert wrong == []


# --- by hand ---------------------------------------------------------------------------------------------------------

HI: dict[str, Json] = {
    "openai_chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"input": "Hi"},
    "anthropic": {"messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "bedrock": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "ollama": {"messages": [{"role": "user", "content": "Hi"}]},
    "cohere": {"messages": [{"role": "user", "content": "Hi"}]},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
POINT = {"mode": "explicit", "ttl": "12h"}
POINTED: dict[str, Json] = {
    "openai_chat": {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": POINT}]},
    ]},
    "openai_responses": {"input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": POINT}]},
    ]},
}  # fmt: skip
OTHER = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}


PICTURE: Json = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
LOW = {"level": "MEDIA_RESOLUTION_LOW"}
# What clients write into each message whose classes have these fields.
NOTHING_CALLED: Json = {"tool_calls": [], "thinking": "", "tool_name": "", "tool_plan": "", "citations": []}


def called_by_ollama(**more: object) -> list[Json]:
    """A chat in which a client brings a call back as the answer had it, or as OpenAI has it (LangChain.js)."""
    call = {"type": "function", "id": "c", "function": {"name": "f", "arguments": {}, **more}}
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [{"role": "user", "content": "Hi"}, asked, {"role": "tool", "content": "r", "tool_call_id": "c"}]


@pytest.mark.parametrize(
    ("wire", "target", "asks", "named"),
    [
        ("openai_chat", "anthropic", {"response_format": {"type": "json_object"}}, {"response_format"}),
        *(("anthropic", target, {"messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": "2", "is_error": False},
            ]},
        ], "tools": [{"name": "f", "input_schema": SCHEMA}]}, set())
          for target in ("openai_chat", "openai_responses", "bedrock", "cohere", "gemini", "ollama")),
        ("openai_responses", "anthropic", {"input": [
            {"role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "caller": {"type": "direct"}},
            {"type": "function_call_output", "call_id": "c", "output": "2", "caller": {"type": "direct"}},
        ], "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]}, set()),
        *(("openai_chat", target, {"service_tier": "fast"}, set())
          for target in ("openai_responses", "gemini", "bedrock")),
        *((wire, target, asks, named)
          for wire, asks in POINTED.items()
          for target, named in {
              "anthropic": {"prompt_cache_breakpoint.ttl"}, "bedrock": {"prompt_cache_breakpoint.ttl"},
              "gemini": {"prompt_cache_breakpoint"}, "ollama": {"prompt_cache_breakpoint"},
              "cohere": {"prompt_cache_breakpoint"}, "openai_chat": set(), "openai_responses": set(),
          }.items() if target != wire),
        ("bedrock", "cohere", {"outputConfig": {"effort": "high"}}, set()),
        ("bedrock", "anthropic", {"outputConfig": {"effort": "high"}}, set()),
        ("bedrock", "gemini", {"outputConfig": {"effort": "max"}}, {"outputConfig.effort"}),
        ("openai_chat", "ollama", {"parallel_tool_calls": False}, {"parallel_tool_calls"}),
        ("openai_chat", "openai_responses", {"max_tokens": 3}, {"max_tokens"}),
        ("openai_chat", "openai_responses", {"max_completion_tokens": 3}, {"max_completion_tokens"}),
        ("openai_chat", "gemini", {"reasoning_effort": "xhigh"}, {"reasoning_effort"}),
        ("openai_chat", "gemini", {"reasoning": {"effort": "xhigh", "exclude": True}},
         {"reasoning", "reasoning.exclude"}),
        ("openai_chat", "ollama", {"tools": [FUNCTION], "tool_choice": "none"}, {"tools"}),
        ("openai_chat", "bedrock", {"functions": [FUNCTION["function"]], "function_call": "none"}, {"functions"}),
        ("openai_chat", "cohere", {"tools": [FUNCTION, OTHER], "tool_choice": FUNCTION}, {"tools"}),
        ("openai_chat", "bedrock", {"format": 1, "prediction": {"type": "content", "content": "x"}},
         {"format", "prediction"}),
        ("openai_responses", "anthropic", {"max_tool_calls": 3, "include": ["message.output_text.logprobs"]},
         {"max_tool_calls", "include"}),
        ("openai_responses", "gemini", {"text": {"verbosity": "low", "odd": 1}}, {"text.verbosity", "text.odd"}),
        *(("openai_responses", target, {"text": {"verbosity": "medium"}}, set())
          for target in ("anthropic", "bedrock", "cohere", "gemini", "ollama")),
        ("anthropic", "openai_chat", {"top_k": 5, "metadata": {"user_id": "u", "odd": 1}}, {"top_k", "metadata.odd"}),
        ("anthropic", "gemini", {"metadata": {"user_id": "u"}}, {"metadata.user_id"}),
        ("anthropic", "openai_responses", {"stop_sequences": ["x"]}, {"stop_sequences"}),
        ("anthropic", "gemini", {"output_config": {"effort": "max"}}, {"output_config.effort"}),
        ("anthropic", "openai_chat", {"thinking": {"type": "disabled"}}, set()),
        ("anthropic", "ollama",
         {"tools": [{"name": "f", "input_schema": SCHEMA}],
          "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
         {"tool_choice.disable_parallel_tool_use"}),
        ("gemini", "openai_chat", {"generationConfig": {"topK": 5, "speechConfig": {"languageCode": "de"}}},
         {"generationConfig.topK", "generationConfig.speechConfig"}),
        ("gemini", "openai_responses", {"generation_config": {"stop_sequences": ["x"]}, "safetySettings": []},
         {"generationConfig.stopSequences", "safetySettings"}),
        ("gemini", "openai_chat", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 99}}},
         {"generationConfig.thinkingConfig.thinkingBudget"}),
        ("gemini", "anthropic", {"labels": {"a": "b"}}, {"labels"}),
        ("bedrock", "openai_chat", {"additionalModelRequestFields": {"top_k": 5, "odd": 1}},
         {"additionalModelRequestFields.top_k", "additionalModelRequestFields.odd"}),
        ("bedrock", "openai_responses", {"inferenceConfig": {"stopSequences": ["x"]}},
         {"inferenceConfig.stopSequences"}),
        ("bedrock", "anthropic", {"requestMetadata": {"a": "b"}, "performanceConfig": {"latency": "optimized"}},
         {"requestMetadata", "performanceConfig"}),
        ("ollama", "openai_chat", {"options": {"top_k": 5, "num_ctx": 9}, "keep_alive": "5m"},
         {"options.top_k", "options.num_ctx", "keep_alive"}),
        ("ollama", "openai_responses", {"think": False}, set()),
        ("cohere", "openai_chat", {"k": 5, "safety_mode": "NONE"}, {"k", "safety_mode"}),
        ("cohere", "openai_responses", {"stop_sequences": ["x"]}, {"stop_sequences"}),
        ("cohere", "openai_chat", {"documents": ["x"]}, {"documents"}),
        ("cohere", "ollama", {"documents": ["x"], "citation_options": {"mode": "OFF"}}, {"citation_options"}),
        ("cohere", "anthropic", {"documents": ["x"]}, set()),
        ("cohere", "gemini", {"tools": [FUNCTION], "strict_tools": True}, {"strict_tools"}),
        ("anthropic", "openai_chat", {"service_tier": "standard_only"}, set()),
        ("anthropic", "gemini", {"service_tier": "standard_only"}, set()),
        ("anthropic", "ollama", {"service_tier": "standard_only"}, set()),
        ("gemini", "anthropic", {"serviceTier": "standard"}, set()),
        ("gemini", "bedrock", {"serviceTier": "priority"}, set()),
        ("bedrock", "openai_responses", {"serviceTier": {"type": "reserved"}}, {"serviceTier"}),
        ("openai_chat", "anthropic", {"service_tier": "priority"}, {"service_tier"}),
        ("openai_chat", "gemini", {"service_tier": "scale"}, {"service_tier"}),
        ("gemini", "ollama", {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
         {"generationConfig.thinkingConfig.includeThoughts"}),
        ("gemini", "bedrock", {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
         {"generationConfig.thinkingConfig.includeThoughts"}),
        ("anthropic", "bedrock", {"system": " "}, {"system"}),
        ("bedrock", "anthropic", {"system": [{"text": " "}]}, {"system"}),
        ("gemini", "anthropic", {"systemInstruction": {"parts": [{"text": " "}]}}, {"systemInstruction.parts"}),
        ("openai_responses", "anthropic", {"instructions": " "}, {"instructions"}),
        ("openai_responses", "bedrock", {"instructions": " "}, {"instructions"}),
        ("anthropic", "openai_chat", {"speed": "standard", "mcp_servers": [], "inference_geo": "global"}, set()),
        ("anthropic", "openai_chat", {"speed": "fast"}, {"speed"}),
        ("anthropic", "gemini",
         {"tools": [{"name": "f", "input_schema": SCHEMA, "defer_loading": False, "allowed_callers": ["direct"]}]},
         set()),
        ("anthropic", "gemini",
         {"tools": [{"name": "f", "input_schema": SCHEMA, "defer_loading": True, "allowed_callers": ["x"]}]},
         {"defer_loading", "allowed_callers"}),
        ("openai_responses", "anthropic", {"truncation": "disabled", "background": False}, set()),
        ("openai_responses", "anthropic", {"truncation": "auto"}, {"truncation"}),
        ("bedrock", "anthropic", {"performanceConfig": {"latency": "standard"}}, set()),
        ("ollama", "anthropic", {"suffix": "", "template": "", "context": []}, set()),  # Ollama's in Go
        ("ollama", "openai_chat", {"messages": called_by_ollama(index=1)}, set()),
        ("ollama", "gemini", {"messages": called_by_ollama(index="1")}, {"function.index"}),
        ("ollama", "cohere", {"messages": called_by_ollama(index=0, odd=1)}, {"function.index", "function.odd"}),
        ("cohere", "openai_chat", {"priority": 0}, set()),
        ("openai_chat", "anthropic", {"enable_search": False}, set()),
        ("gemini", "anthropic", {"cachedContent": "", "serviceTier": "unspecified", "generationConfig": {
            "responseMimeType": "", "responseModalities": ["MODALITY_UNSPECIFIED"]}}, set()),
        ("ollama", "gemini", {"messages": [{**HI["ollama"]["messages"][0], **NOTHING_CALLED}]}, set()),
        ("cohere", "gemini", {"messages": [{**HI["cohere"]["messages"][0], **NOTHING_CALLED}]}, set()),
        ("ollama", "anthropic", {"options": {"repeat_penalty": 1.0, "min_p": 0.0, "tfs_z": 1, "typical_p": 1.0,
                                             "mirostat": 0}}, set()),
        ("gemini", "openai_chat", {"contents": [{"parts": [PICTURE | {"mediaResolution": LOW}]}]}, set()),
        ("gemini", "anthropic", {"contents": [{"parts": [PICTURE | {"mediaResolution": LOW}]}]}, {"mediaResolution"}),
        ("ollama", "anthropic", {"options": {"num_predict": -1}}, set()),
        ("ollama", "openai_chat", {"options": {"num_predict": -2}}, set()),
        ("ollama", "anthropic", {"options": {"repeat_penalty": 1.1, "min_p": 0.05}},
         {"options.repeat_penalty", "options.min_p"}),
        ("cohere", "openai_chat", {"priority": 1}, {"priority"}),
    ],
    ids=in_short,
)  # fmt: skip
def test_a_receipt_has_the_clients_words(wire: str, target: str, asks: Json, named: set[str]) -> None:
    assert receipt(wire, target, {**HI[wire], **asks}) == named


@pytest.mark.parametrize("model", ["gpt-4.1", "llama"])
@pytest.mark.parametrize("target", sorted(MODELS))
def test_an_empty_list_of_stop_strings_is_none(target: str, model: str) -> None:
    """OpenAI refuses it, and at Ollama it takes away the strings at which the model's template stops."""
    wire, asks = ("openai_chat", "stop") if target == "anthropic" else ("anthropic", "stop_sequences")
    request = parsed(wire, {**HI[wire], asks: []})
    request.model = model
    sent = registry.dialect(target).encode(request)
    assert (b"stop" in sent.body.lower(), asks in sent.dropped) == (False, False)


@pytest.mark.parametrize("target", ["anthropic", "bedrock", "gemini", "ollama"])
@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses", "cohere"])
def test_arguments_that_are_no_object_are_told_as_the_text_that_they_are(wire: str, target: str) -> None:
    """A model has written them so, or was cut off, and the app has told it so."""

    def asks(arguments: str) -> Json:
        function = {"name": "f", "arguments": arguments}
        call = {"id": "call_1", "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": "call_1", "content": "no"}
        items = [
            {"type": "function_call", "call_id": "call_1", **function},
            {"type": "function_call_output", "call_id": "call_1", "output": "no"},
        ]
        said: list[Json] = [{"role": "assistant", "tool_calls": [call]}, result]
        key, turns = ("input", items) if wire == "openai_responses" else ("messages", said)
        return {**HI[wire], key: [{"role": "user", "content": "a"}, *turns]}

    name = "function_call.arguments" if wire == "openai_responses" else "tool_calls.function.arguments"
    for written in ('{"city":', "[1]", '{"a":1,"a":2}', '{"a":NaN}'):
        sent = encoded(wire, target, asks(written))
        assert dump({"malformed_arguments": written}) in sent.body
        assert name in sent.dropped
    for nothing in ("", "null"):
        assert name not in receipt(wire, target, asks(nothing))


@pytest.mark.parametrize("content", [{"content": []}, {"content": None}, {}], ids=["empty", "null", "absent"])
@pytest.mark.parametrize("target", sorted(MODELS.keys() - {"anthropic"}))
def test_a_turn_that_says_nothing_but_what_holds_from_here_is_no_message(target: str, content: Json) -> None:
    order = {"role": "system", **content, "output_config": {"effort": "low"}}
    messages = [{"role": "user", "content": "one"}, order, {"role": "user", "content": "two"}]
    request = parsed("anthropic", {"max_tokens": 9, "messages": messages})
    request.model = MODELS[target]
    encoded = registry.dialect(target).encode(request)
    assert (b"system" in encoded.body, b'""' in encoded.body) == (False, False)
    assert "output_config" in encoded.dropped


@pytest.mark.parametrize("target", ["openai_chat", "openai_responses"])
def test_a_user_whose_name_is_too_long_for_openai_has_a_shorter_one(target: str) -> None:
    """Claude Code says who asks in some 150 characters."""

    def known_as(user: str) -> tuple[str, tuple[str, ...]]:
        asked = {"max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}], "metadata": {"user_id": user}}
        request = parsed("anthropic", asked)
        request.model = MODELS[target]
        encoded = registry.dialect(target).encode(request)
        return json.loads(encoded.body)["user"], encoded.dropped

    assert known_as("u" * 64) == ("u" * 64, ())
    (one, dropped), (other, _) = known_as("u" * 65), known_as("u" * 66)
    assert (len(one), len(other), one != other, dropped) == (64, 64, True, ("metadata.user_id",))
    assert known_as("u" * 65)[0] == one


ODD = {"type": "odd"}
TEXT = {"type": "text", "text": "a"}
CALLED = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": [ODD]}]},
]


@pytest.mark.parametrize(
    ("wire", "asks", "path"),
    [
        ("openai_chat", {"messages": [{"role": "user", "content": [TEXT, ODD]}]}, "messages[0].content[1]"),
        ("openai_chat", {"tools": [FUNCTION, ODD]}, "tools[1]"),
        ("openai_chat", {"web_search_options": {}}, "web_search_options"),
        ("openai_chat", {"data_sources": [{"type": "azure_search"}]}, "data_sources"),
        ("openai_chat", {"enable_search": True}, "enable_search"),
        ("openai_responses",
         {"input": [{"role": "user", "content": "a"}, {"type": "web_search_call", "id": "x"}]}, "input[1]"),
        ("openai_responses",
         {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, ODD]}]}, "input[0].content[1]"),
        ("openai_responses",
         {"input": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": [ODD]}]},
         "input[1].content[0]"),
        ("openai_responses", {"previous_response_id": "x"}, "previous_response_id"),
        ("anthropic", {"messages": [{"role": "user", "content": [TEXT, ODD]}]}, "messages[0].content[1]"),
        ("anthropic", {"messages": CALLED}, "messages[2].content[0].content[0]"),
        ("anthropic", {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools[0]"),
        ("gemini", {"contents": [{"parts": [{"text": "a"}, {"executableCode": {}}]}]}, "contents[0].parts[1]"),
        ("gemini", {"contents": {"parts": [{"text": "a"}, {"executable_code": {}}]}}, "contents[0].parts[1]"),
        ("gemini", {"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ("gemini", {"cachedContent": "x"}, "cachedContent"),
        ("gemini", {"continuationToken": "x"}, "continuationToken"),
        ("gemini", {"generationConfig": {"translationConfig": {}}}, "generationConfig.translationConfig"),
        ("bedrock", {"messages": [{"role": "user", "content": [{"text": "a"}, {"odd": {}}]}]},
         "messages[0].content[1]"),
        ("bedrock", {"toolConfig": {"tools": [{"systemTool": {"name": "x"}}]}}, "toolConfig.tools[0]"),
        ("cohere", {"messages": [{"role": "user", "content": [TEXT, ODD]}]}, "messages[0].content[1]"),
        ("ollama", {"raw": True}, "raw"),
    ],
    ids=in_short,
)  # fmt: skip
def test_what_its_own_wire_alone_understands_is_refused_where_it_stands(wire: str, asks: Json, path: str) -> None:
    body = {**HI[wire], **asks}
    for target in others(wire):
        assert refusal(wire, target, body) == path, target


@pytest.mark.parametrize(
    ("wire", "target", "asks", "path"),
    [
        ("openai_chat", "anthropic", {"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
        ("openai_chat", "bedrock", {"n": 2}, "n"),
        ("gemini", "bedrock", {"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
        ("gemini", "openai_chat", {"generationConfig": {"responseModalities": ["AUDIO"]}},
         "generationConfig.responseModalities"),
        ("gemini", "openai_chat", {"contents": [{"parts": [{"text": ""}, {"inlineData": {
            "mimeType": "video/mp4", "data": "AAAA"}}]}]}, "contents[0].parts[1]"),
        ("gemini", "anthropic", {"contents": [{"parts": [{"text": "a"}]}, {"role": "model", "parts": [{"inlineData": {
            "mimeType": "image/png", "data": "AAAA"}}]}]}, "contents[1].parts[0]"),
        ("openai_chat", "anthropic", {"messages": [{"role": "user", "content": [TEXT, {
            "type": "file", "file": {"file_id": "file-1"}}]}]}, "messages[0].content[1]"),
        ("gemini", "openai_responses", {"contents": [{"parts": [{"inlineData": {
            "mimeType": "audio/wav", "data": "AAAA"}}]}]}, "contents[0].parts[0]"),
        ("openai_chat", "openai_responses", {"messages": [{"role": "user", "content": [{
            "type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]}, "messages[0].content[0]"),
        ("gemini", "bedrock", {"contents": [{"parts": [{"text": ""}]}]}, "contents"),
        ("openai_responses", "gemini", {"input": ""}, "input"),
        ("bedrock", "anthropic", {"toolConfig": {}, "messages": [{"role": "user", "content": [
            {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}}]}]}, "messages[0].content[0]"),
        ("ollama", "anthropic", {"messages": [{"role": "user", "content": "a", "images": ["AAAA"]}]},
         "messages[0].images[0]"),
        ("cohere", "bedrock", {"messages": [{"role": "user", "content": [TEXT, {
            "type": "image_url", "image_url": {"url": "https://x"}}]}]}, "messages[0].content[1]"),
    ],
    ids=in_short,
)  # fmt: skip
def test_what_one_wire_cannot_carry_is_refused_where_it_stands(wire: str, target: str, asks: Json, path: str) -> None:
    assert refusal(wire, target, {**HI[wire], **asks}) == path


@pytest.mark.parametrize("target", sorted(MODELS))
def test_no_provider_is_said_to_lack_a_tool_that_it_may_have(target: str) -> None:
    """Claude does search the web; what cannot be done is to ask for it in another wire's words."""
    wire = "openai_chat" if target != "openai_chat" else "anthropic"
    kind = "web_search_20250305"
    with pytest.raises(Unrepresentable, match=rf"^tools\[0\]: a tool of type {kind} cannot be translated for "):
        receipt(wire, target, {**HI[wire], "tools": [{"type": kind, "name": "web_search"}]})


# --- thoughts --------------------------------------------------------------------------------------------------------

DETAIL = {"type": "reasoning.text", "text": "Hm.", "signature": "c2VhbA==", "index": 0}


def thought_by_chat(**fields: Any) -> Json:
    return {"messages": [*HI["openai_chat"]["messages"], {"role": "assistant", "content": "a", **fields},
                         *HI["openai_chat"]["messages"]]}  # fmt: skip


def thought_by_responses(**fields: Any) -> Json:
    said = {"role": "user", "content": "a"}
    return {"input": [said, {"type": "reasoning", "encrypted_content": "c2VhbA==", **fields}, said]}


ONE, TWO = ({"type": "summary_text", "text": text} for text in ("One.", "Two."))
OPEN = {"type": "reasoning_text", "text": "Openly."}
MISTRAL = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


@pytest.mark.parametrize(
    ("wire", "target", "asks", "named"),
    [
        ("openai_chat", "ollama", thought_by_chat(reasoning="Hm."), set()),
        ("openai_chat", "anthropic", thought_by_chat(reasoning_content="Hm.", reasoning_details=[DETAIL]), set()),
        ("openai_chat", "bedrock", thought_by_chat(reasoning_details=[DETAIL]), set()),
        ("openai_chat", "anthropic", thought_by_chat(reasoning_details=[{**DETAIL, "odd": 1}]), {"odd"}),
        ("openai_chat", "anthropic", thought_by_chat(reasoning="Hm."), {"messages.reasoning_content"}),
        ("openai_chat", "ollama", thought_by_chat(content=[MISTRAL, {"type": "text", "text": "a"}]), set()),
        ("openai_responses", "anthropic", thought_by_responses(summary=[ONE, TWO]), set()),
        ("openai_responses", "anthropic", thought_by_responses(summary=[], content=[OPEN]), set()),
        ("openai_responses", "anthropic", thought_by_responses(summary=[ONE], content=[OPEN]), {"content"}),
        ("cohere", "ollama", {"messages": [{"role": "user", "content": "a"},
                                           {"role": "assistant", "tool_plan": "Hm."}]}, set()),
    ],
    ids=in_short,
)  # fmt: skip
def test_a_thought_that_crossed_is_not_told_as_lost(wire: str, target: str, asks: Json, named: set[str]) -> None:
    assert receipt(wire, target, asks) == named


ASKED_TO_THINK = [
    Reasoning(effort="low"),
    Reasoning(effort="max"),
    Reasoning(effort="unheard"),
    Reasoning(budget=2000),
    Reasoning(budget=-1),
    Reasoning(adaptive=True),
    Reasoning(summary="auto"),
    Reasoning(summary="detailed"),
    Reasoning(effort="low", summary="auto"),
]


@pytest.mark.parametrize("reasoning", ASKED_TO_THINK, ids=str)
@pytest.mark.parametrize(("wire", "model"), [(wire, model) for wire, models in EVERY_MODEL.items() for model in models])
def test_reasoning_is_said_or_told_as_lost(wire: str, model: str, reasoning: Reasoning) -> None:
    def encoded(reasoning: Reasoning | None) -> Encoded:
        turns = [Turn(role="user", parts=[Text(text="Hi")])]
        return registry.dialect(wire).encode(Request(wire="another", model=model, turns=turns, reasoning=reasoning))

    asked, silent = encoded(reasoning), encoded(None)
    assert asked.body != silent.body or asked.dropped


# --- places ----------------------------------------------------------------------------------------------------------


WILD = {"temperature": 5.0, "top_p": 1.5, "top_k": 900, "frequency_penalty": 3, "presence_penalty": -3}
MILD = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "frequency_penalty": 0.1, "presence_penalty": 0.1}


@pytest.mark.parametrize(
    ("target", "model", "told"),
    [
        ("openai_chat", "gpt-4.1",
         {"temperature": 2.0, "top_p": 1.0, "frequency_penalty": 2.0, "presence_penalty": -2.0}),
        ("openai_chat", "llama-3.3-70b", {key: value for key, value in WILD.items() if key != "top_k"}),
        ("openai_responses", "gpt-4.1", {"temperature": 2.0, "top_p": 1.0}),
        ("anthropic", "claude-3-5-haiku", {"temperature": 1.0, "top_p": 1.0, "top_k": 900}),
        ("gemini", "gemini-2.5-flash", {"temperature": 2.0, "topP": 1.0, "topK": 64, "frequencyPenalty": 1.99,
                                        "presencePenalty": -2.0}),
        ("bedrock", "anthropic.claude-3-5-haiku", {"temperature": 1.0, "topP": 1.0, "top_k": 500}),
        ("bedrock", "amazon.nova-pro", {"temperature": 1.0, "topP": 1.0, "topK": 128}),
        ("cohere", "command-r", {"temperature": 5.0, "p": 0.99, "k": 500, "frequency_penalty": 1.0,
                                 "presence_penalty": 0.0}),
    ],
    ids=in_short,
)  # fmt: skip
def test_what_is_out_of_range_is_the_nearest_that_is_taken(target: str, model: str, told: Json) -> None:
    def encoded(options: Json) -> tuple[Json, set[str]]:
        request = parsed("ollama", {**HI["ollama"], "options": options})
        request.model = model
        made = registry.dialect(target).encode(request)
        return dict(leaves(json.loads(made.body))), set(made.dropped)

    said, dropped = encoded(WILD)
    assert told.items() <= said.items()
    mild = encoded(MILD)
    assert {f"options.{key}" for key in WILD if WILD[key] not in said.values()} <= dropped
    assert {f"options.{key}" for key in MILD if MILD[key] not in mild[0].values()} == mild[1]
    assert not any(key in encoded({"top_k": -1})[0].values() for key in (-1, 1, 40))


def leaves(value: Json) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(inner)
        elif type(inner) in (int, float):
            yield key, inner


@pytest.mark.parametrize(
    ("wire", "asks", "name"),
    [
        ("anthropic", {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, "output_config.effort"),
        ("openai_chat", {"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, "reasoning_effort"),
        ("gemini", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "thinkingLevel": "HIGH"}}},
         "generationConfig.thinkingConfig.thinkingLevel"),
        ("cohere", {"thinking": {"type": "disabled", "token_budget": 500}}, "thinking.token_budget"),
    ],
    ids=in_short,
)  # fmt: skip
def test_how_much_to_think_is_told_as_lost_where_it_is_not_to_think(wire: str, asks: Json, name: str) -> None:
    for target in others(wire):
        assert name in receipt(wire, target, {**HI[wire], **asks}), target


def placed(parts: list[Part]) -> Iterator[Part]:
    """The parts, and those within."""
    for part in parts:
        yield part
        yield from placed(part.parts) if isinstance(part, ToolResult) else ()


def astray(wire: str, body: Json) -> list[str]:
    """The places of turns and parts that lead nowhere."""
    spelled = in_camel(body) if wire == "gemini" else body
    turns = parsed(wire, body).turns
    places = [at for turn in turns for at in (turn.at, *(part.at for part in placed(turn.parts)))]
    return [at for at in places if not at or not found(at, spelled)]


@recordings.needs_recordings
@pytest.mark.parametrize("wire", RECORDED)
def test_every_part_of_a_recorded_request_knows_where_it_stands(wire: str) -> None:
    wrong: list[str] = []
    for row in recordings.load(RECORDED[wire]):
        body = row["request_json"]
        if not isinstance(body, dict) or not body:
            continue
        try:
            wrong += [f"{row['id']}: {at!r}" for at in astray(wire, body)]
        except BadRequest:
            continue  # its own provider refused it as well
        recordings.replayed(row)
    assert wrong == []


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("openai_chat", {"role": "assistant", "reasoning": "Hm.", "refusal": "No.", "audio": {"id": "x"},
                         "function_call": {"name": "f", "arguments": "{}"}}),
        ("bedrock", {"role": "user", "content": [{"cachePoint": {"type": "default"}}, {"text": "a"}]}),
        ("ollama", {"role": "assistant", "thinking": "Hm.", "content": "a", "images": ["AAAA"]}),
        ("cohere", {"role": "assistant", "tool_plan": "Hm.", "content": [TEXT]}),
    ],
)  # fmt: skip
def test_so_does_what_is_rare(wire: str, message: Json) -> None:
    assert astray(wire, {"messages": [message]}) == []


# --- base64 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["openai_chat", "openai_responses", "anthropic", "bedrock", "ollama", "cohere"])
def test_bytes_as_googles_sdk_writes_them_reach_every_vendor_in_the_standard_alphabet(target: str) -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n\xfb\xff\xbf\xfe").decode()
    assert "+" in data
    assert "/" in data
    image = {"inlineData": {"mimeType": "image/png", "data": data.translate(str.maketrans("+/", "-_")).rstrip("=")}}
    request = parsed("gemini", {"contents": [{"parts": [{"text": "a"}, image]}]})
    assert data.encode() in registry.dialect(target).encode(request).body


@pytest.mark.parametrize(
    ("written", "standard"),
    [("-_-_", "+/+/"), ("aGk", "aGk="), ("aA", "aA=="), ("aGk=", "aGk="), ("aG\r\nk=\n", "aGk="), ("", ""), ("a", "a")],
)
def test_base64_is_in_one_spelling(written: str, standard: str) -> None:
    assert standard_base64(written) == standard


def test_bytes_that_are_none_are_refused_by_who_must_read_them() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "no base64!"}}
    assert refusal("gemini", "bedrock", {"contents": [{"parts": [image]}]}) == "contents[0].parts[0]"


# --- two spellings ---------------------------------------------------------------------------------------------------

SNAKE: list[tuple[dict[str, Any], str]] = [
    ({"cached_content": "cachedContents/x"}, "cached_content"),
    ({"cachedContent": "cachedContents/x"}, "cachedContent"),
    ({"generation_config": {"top_k": "x"}}, "generation_config.top_k"),
    ({"generation_config": {"topK": "x"}}, "generation_config.topK"),
    ({"tools": [{"google_maps": {}}]}, "tools[0].google_maps"),
]


@pytest.mark.parametrize(("body", "field"), SNAKE)
@pytest.mark.parametrize("verb", ["generateContent", "countTokens"])
async def test_a_refusal_names_a_field_as_the_client_spelled_it(body: dict[str, Any], field: str, verb: str) -> None:
    asked = {"contents": [{"parts": [{"text": "Hi"}]}], **body}
    if verb == "countTokens":
        asked = {"generateContentRequest": asked | {"model": "models/anthropic/m"}}
    async with pillion(ANTHROPIC_API_KEY="x") as gateway:
        got = await ask(gateway, "POST", f"/v1beta/models/anthropic/m:{verb}", json.dumps(asked).encode())
    error = json.loads(got.body)["error"]
    assert (got.status, error["message"].startswith(field)) == (400, True)
    [violation] = [more for detail in error["details"] for more in detail.get("fieldViolations", ())]
    assert violation["field"] == field


async def test_a_receipt_names_a_field_as_the_client_spelled_it() -> None:
    config = {"top_k": 3, "responseLogprobs": True, "thinking_config": {"include_thoughts": True}}
    body = {"contents": [{"parts": [{"text": "Hi"}]}], "safety_settings": [], "generation_config": config}
    answer = Scenario(headers=[("content-type", "application/json")], body=OPENAI.whole)
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/v1beta/models/openai/m:generateContent", json.dumps(body).encode())
    fields = "generation_config.thinking_config.include_thoughts, generation_config.top_k, safety_settings"
    assert got.header("x-pillion-dropped") == fields


MARK = {"type": "ephemeral"}
MARKED: dict[str, dict[str, Any]] = {
    "anthropic": {"content": [{"type": "text", "text": "", "cache_control": MARK}, {"type": "text", "text": "Hi"}]},
    "bedrock": {"content": [{"cachePoint": {"type": "default"}}, {"text": "Hi"}]},
}


@pytest.mark.parametrize(
    ("client", "target", "name"),
    [
        ("anthropic", "bedrock", "cache_control"),
        ("anthropic", "gemini", "cache_control"),
        ("bedrock", "anthropic", "cachePoint"),
        ("bedrock", "gemini", "cachePoint"),
    ],
)
def test_a_mark_on_nothing_is_told_where_nothing_is_not_said(client: str, target: str, name: str) -> None:
    said = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", **MARKED[client]}]}
    body = json.dumps(said if client == "anthropic" else {"messages": said["messages"]}).encode()
    request = registry.dialect(client).parse(body, Peek("anthropic.claude-sonnet-4-5", stream=False))
    assert registry.dialect(target).encode(request).dropped == (name,)
    own = registry.dialect(client).encode(request)
    assert (json.loads(own.body)["messages"], own.dropped) == (said["messages"], ())


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", MODELS)
def test_a_table_of_names_names_what_there_is(wire: str) -> None:
    """A name of ours that is none would never be looked up; one that is the client's own says nothing."""
    spelled = import_module(f"proxy.dialects.{wire}.words").SPELLED
    assert set(spelled) <= OURS
    assert all(name != ours for ours, name in spelled.items())


# What receipts and refusals name, in our words (docs/decisions/0010-receipts.md).
OURS = set(Request.__struct_fields__) | set(
    "format.name format.description format.schema reasoning.effort reasoning.budget reasoning.summary"
    " reasoning.adaptive tool.schema tool.strict tool.form cache image.detail document.name document.context"
    " document.cited found.cited search.allowed search.blocked search.place search.most search.size"
    " text.citations text.signature tool_call.arguments tool_call.signature tool_result.is_error thinking"
    " thinking.signature thinking.redacted turn.place turn.trailing_space".split()
)


def test_encoders_drop_nothing_under_another_name() -> None:
    source = "\n".join(path.read_text() for path in Path(registry.__file__).parent.glob("dialects/*/*.py"))
    named = set(re.findall(r'dropped\.(?:add\(|update\(\[)"([\w.]+)"', source))
    assert len(named) > 20
    assert named <= OURS
