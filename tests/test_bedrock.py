"""Does proxy.dialects.bedrock read what a client of Converse asks, and ask Bedrock for what others want?"""

import json
import re
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
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
    Place,
    Reasoning,
    Refusal,
    Remote,
    Request,
    Role,
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
from proxy.dialects.anthropic import Anthropic
from proxy.dialects.bedrock import Bedrock
from proxy.dialects.bedrock.documents import BESIDE_A_DOCUMENT
from proxy.dialects.bedrock.words import FORMATS, NOTHING, TAKEN, WHOLE, format_of, media_type_of
from proxy.dialects.openai_chat import OpenAIChat
from proxy.envelope import Envelope
from proxy.errors import BadRequest, Unrepresentable
from proxy.grammar.claude.budgets import BUDGETS, DEFAULT_MAX_TOKENS
from proxy.grammar.fields import dump
from proxy.lanes import naming
from proxy.ports import Dialect, Forward, Path, Peek
from tests import recordings
from tests.nested import places, put
from tests.placed import placed

WIRE = Bedrock()
IS_A_DIALECT: Dialect = WIRE  # for mypy

ROWS = recordings.load("bedrock.converse*", "fixture.bedrock.converse*")
CLAUDE, NOVA = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"
PNG = b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()
PDF = b64encode(b"%PDF-1.7 and so on").decode()
NOTE = b64encode(b"plain words").decode()


# --- what botocore's model says of a request -------------------------------------------------------------------------

MODEL = import_module("botocore.model").ServiceModel(
    import_module("botocore.loaders").Loader().load_service_model("bedrock-runtime", "service-2")
)
ASKED = MODEL.operation_model("Converse").input_shape


def problems(value: Any, shape: Any, at: str = "") -> Iterator[str]:
    """What the model of the service has against a value: SDKs check less, and the service more."""
    if getattr(shape, "is_document_type", False):
        return
    match shape.type_name:
        case "structure":
            yield from of_structure(value, shape, at)
        case "list":
            for item in value:
                yield from problems(item, shape.member, f"{at}[]")
        case "map":
            for item in value.values():
                yield from problems(item, shape.value, f"{at}{{}}")
        case "string" | "blob":
            yield from of_text(value, shape, at)
        case "boolean":
            if not isinstance(value, bool):
                yield f"{at} is no boolean"
        case _:
            low, high = shape.metadata.get("min", -1e300), shape.metadata.get("max", 1e300)
            if not isinstance(value, int | float) or not low <= value <= high:
                yield f"{at} is {value}"


def of_structure(value: Any, shape: Any, at: str) -> Iterator[str]:
    if shape.is_tagged_union and len(value) != 1:
        yield f"{at} is a union of {list(value)}"
    yield from (f"{at} lacks {key}" for key in shape.required_members if key not in value)
    for key, item in value.items():
        if key not in shape.members:
            yield f"{at} knows no {key}"
        else:
            yield from problems(item, shape.members[key], f"{at}.{key}")


def of_text(value: Any, shape: Any, at: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{at} is no string"
    elif shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        yield f"{at} is not one of the words: {value}"
    elif not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 1e9):
        yield f"{at} is too short or too long"
    elif shape.name in ("ToolUseId", "ToolName") and not re.fullmatch(shape.metadata["pattern"], value):
        yield f"{at} is of the wrong letters: {value}"


def faults_of(body: Any) -> list[str]:
    return list(problems({"modelId": "m", **body}, ASKED))


# --- one request -----------------------------------------------------------------------------------------------------


def body_of(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content) or [{"text": "hi"}]}]} | fields


def parsed(body: Any, model: str = CLAUDE, streamed: bool = False) -> Request:
    return WIRE.parse(json.dumps(body).encode(), Peek(model, streamed))


def again(body: Any, model: str = CLAUDE) -> Any:
    """What our own wire says of what it heard."""
    encoded = WIRE.encode(parsed(body, model))
    assert encoded.dropped == ()
    return json.loads(encoded.body)


def user(*parts: Part, at: str = "messages[0]") -> Turn:
    return placed("user", parts, at)


def turn(role: Role, *parts: Part, at: str = "messages[1]") -> Turn:
    return placed(role, parts, at)


def foreign(*turns: Turn, model: str = CLAUDE, **fields: Any) -> Request:
    return Request(wire="openai_chat", model=model, turns=list(turns) or [user(Text(text="hi"))], **fields)


def told(request: Request) -> tuple[Any, tuple[str, ...]]:
    encoded = WIRE.encode(request)
    body = json.loads(encoded.body)
    assert faults_of(body) == []
    return body, encoded.dropped


def messages(request: Request) -> Any:
    return told(request)[0]["messages"]


def refused(request: Request) -> Unrepresentable:
    with pytest.raises(Unrepresentable) as caught:
        WIRE.encode(request)
    return caught.value


def named(error: BadRequest) -> None:
    """A refusal says what it is about."""
    assert error.param


# --- the path --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "model", "streamed"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0/converse", "anthropic.claude-3-haiku-20240307-v1:0", False),
        ("openai/gpt-4o/converse-stream", "openai/gpt-4o", True),
        ("arn:aws:bedrock:eu-west-1:1:prompt/x:0/converse", "arn:aws:bedrock:eu-west-1:1:prompt/x:0", False),
        ("converse/converse", "converse", False),
    ],
)  # fmt: skip
def test_model_and_stream_stand_in_the_path(rest: str, model: str, streamed: bool) -> None:
    assert WIRE.peek(Envelope(b"{}"), Path(rest)) == Peek(model, streamed)


@pytest.mark.parametrize("rest", ["", "m", "converse", "/converse", "m/", "m/invoke", "m/converse/x", "m/Converse"])
def test_another_operation_is_told_which_there_are(rest: str) -> None:
    with pytest.raises(BadRequest, match="followed by converse or converse-stream") as caught:
        WIRE.peek(Envelope(b"{}"), Path(rest))
    assert (caught.value.status, caught.value.code) == (404, "unknown_url")


def test_the_body_is_forwarded_as_it_came() -> None:
    envelope = Envelope(b'{ "messages" : [] }')
    assert WIRE.forward(envelope, "another", True) == Forward(envelope.body)


# --- recorded requests -----------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Less what says nothing at the top, and with a schema as the JSON that it is."""
    return schema_read({key: item for key, item in value.items() if item not in ({}, [])})


def schema_read(value: Any) -> Any:
    if isinstance(value, dict):
        read = {key: schema_read(item) for key, item in value.items()}
        return read | {"schema": json.loads(read["schema"])} if isinstance(read.get("schema"), str) else read
    return [schema_read(item) for item in value] if isinstance(value, list) else value


@recordings.needs_recordings
@pytest.mark.parametrize("row", ROWS, ids=recordings.ids)
def test_a_recorded_request_is_said_again_as_it_came(row: recordings.Row) -> None:
    recordings.replayed(row)
    assert plain(again(row["request_json"], row["model"])) == plain(row["request_json"])


@recordings.needs_recordings
@pytest.mark.parametrize("model", [CLAUDE, NOVA, "meta.llama3-8b-instruct-v1:0"])
@pytest.mark.parametrize(
    ("wire", "pattern"), [(Anthropic(), "anthropic.messages"), (OpenAIChat(), "openai.chat_completions")]
)
def test_what_recorded_clients_of_other_wires_ask_fits_the_model_of_the_service(
    wire: Dialect, pattern: str, model: str
) -> None:
    said = 0
    for row in recordings.load(pattern):
        if not isinstance(row["request_json"], dict):
            continue
        try:
            request = wire.parse(json.dumps(row["request_json"]).encode(), Peek(model, False))
            request.model = model
            body = json.loads(WIRE.encode(request).body)
        except BadRequest as error:
            named(error)
            continue
        assert faults_of(body) == [], row["id"]
        said += 1
    assert said > 100


# --- parsing ---------------------------------------------------------------------------------------------------------


def test_every_knob_is_read() -> None:
    request = parsed(
        body_of(
            inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
            requestMetadata={"team": "a"},
            serviceTier={"type": "flex"},
            additionalModelRequestFields={"top_k": 4, "thinking": {"type": "enabled", "budget_tokens": 2000}, "z": 1},
            outputConfig={"effort": "low"},
            performanceConfig={"latency": "optimized"},
            guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1"},
            promptVariables={"x": {"text": "y"}},
        ),
        streamed=True,
    )
    assert (request.wire, request.model, request.stream, request.include_usage) == ("bedrock", CLAUDE, True, True)
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (9, 0.5, 0.9, 4)
    assert (request.stop, request.metadata, request.service_tier) == (["x"], {"team": "a"}, "flex")
    assert request.reasoning == Reasoning(effort="low", budget=2000)
    assert request.extra == {"additionalModelRequestFields": {"z": 1}, "performanceConfig": {"latency": "optimized"}}
    assert set(request.demands) == {"guardrailConfig", "promptVariables"}


@pytest.mark.parametrize(
    ("thinking", "reasoning", "extra"),
    [
        ({"type": "disabled"}, Reasoning(off=True), None),
        ({"type": "adaptive", "display": "x"}, Reasoning(adaptive=True), {"thinking": {"display": "x"}}),
        ({"type": "enabled"}, None, {"thinking": {"type": "enabled"}}),
        (
            {"type": "enabled", "budget_tokens": 7, "display": "x"},
            Reasoning(budget=7),
            {"thinking": {"display": "x"}},
        ),
        ("high", None, {"thinking": "high"}),
    ],
)
def test_thinking_is_read_where_others_know_it(thinking: Any, reasoning: Reasoning | None, extra: Any) -> None:
    body = body_of(additionalModelRequestFields={"thinking": thinking})
    request = parsed(body)
    assert request.reasoning == reasoning
    assert request.extra.get("additionalModelRequestFields") == extra
    assert again(body) == body


ADAPTIVE: dict[str, Any] = {"type": "adaptive"}
ENABLED: dict[str, Any] = {"type": "enabled", "budget_tokens": 2000}
NOVAS: dict[str, Any] = {"type": "enabled", "maxReasoningEffort": "low"}
WORDS_FOR_THOUGHT: list[
    tuple[dict[str, Any], str | None, Reasoning | None, str]
] = [  # said, outputConfig.effort, understood, left
    ({"thinking": ADAPTIVE, "output_config": {"effort": "max"}}, None, Reasoning(effort="max", adaptive=True), ""),
    ({"thinking": ADAPTIVE}, "low", Reasoning(effort="low", adaptive=True), ""),
    ({"thinking": {**ADAPTIVE, "display": "summarized"}}, None, Reasoning(summary="auto", adaptive=True), ""),
    ({"thinking": {**ENABLED, "display": "summarized"}}, None, Reasoning(budget=2000, summary="auto"), ""),
    ({"thinking": {**ENABLED, "new": 1}}, None, Reasoning(budget=2000), "thinking.new"),
    ({"output_config": {"effort": "max"}}, None, Reasoning(effort="max"), ""),
    ({"output_config": {"effort": "max"}}, "low", Reasoning(effort="low"), "output_config"),
    ({"output_config": {"effort": "max", "new": 1}}, None, Reasoning(effort="max"), "output_config.new"),
    ({"output_config": {"effort": 1}}, None, None, "output_config"),
    ({"reasoning_config": ENABLED}, None, Reasoning(budget=2000), ""),
    ({"reasoning_config": {"type": "disabled"}}, None, Reasoning(off=True), ""),
    ({"reasoning_config": {"type": "new"}}, None, None, "reasoning_config"),
    ({"reasoning_config": "high"}, None, None, "reasoning_config"),
    ({"reasoningConfig": NOVAS}, None, Reasoning(effort="low"), ""),
    ({"reasoningConfig": {**NOVAS, "new": 1}}, None, Reasoning(effort="low"), "reasoningConfig.new"),
    ({"reasoningConfig": NOVAS}, "max", Reasoning(effort="max"), "reasoningConfig"),
    ({"reasoningConfig": {"type": "disabled"}}, None, Reasoning(off=True), ""),
    ({"reasoningConfig": {"type": "enabled"}}, None, None, "reasoningConfig"),
    ({"reasoning_effort": "low"}, None, Reasoning(effort="low"), ""),
    ({"thinking": ENABLED, "reasoningConfig": NOVAS}, None, Reasoning(budget=2000), "reasoningConfig"),
]


@pytest.mark.parametrize(("said", "effort", "reasoning", "left"), WORDS_FOR_THOUGHT)
def test_each_familys_words_are_read_and_said_again(
    said: dict[str, Any], effort: str | None, reasoning: Reasoning | None, left: str
) -> None:
    config: dict[str, Any] = {} if effort is None else {"outputConfig": {"effort": effort}}
    body = body_of(additionalModelRequestFields=said, **config)
    request = parsed(body)
    assert request.reasoning == reasoning
    assert again(body) == body
    request.reasoning = None
    expected = (f"additionalModelRequestFields.{left}",) if left else ()
    assert OpenAIChat().encode(request).dropped == expected


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        ({"reasoning_config": ENABLED}, "reasoning_config.budget_tokens"),
        ({"thinking": ENABLED}, "thinking.budget_tokens"),
        ({"reasoningConfig": {"type": "disabled"}}, "reasoningConfig"),
    ],
)
def test_what_is_lost_of_it_has_the_clients_own_name(said: dict[str, Any], dropped: str) -> None:
    request = parsed(body_of(additionalModelRequestFields=said))
    assert OpenAIChat().encode(request).dropped == (f"additionalModelRequestFields.{dropped}",)


def test_a_schema_is_read_out_of_its_text() -> None:
    schema = {"name": "n", "description": "d", "schema": '{"type": "object"}'}
    form = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    request = parsed(body_of(outputConfig=form))
    assert request.format == Format(kind="schema", name="n", description="d", schema={"type": "object"})
    assert request.extra == {}


def test_a_schema_is_read_where_claude_is_told_of_it() -> None:
    """The Vercel AI SDK says it so, of a model whose name has Anthropic's in it."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    config = {"format": {"type": "json_schema", "schema": schema}, "effort": "low", "new": 1}
    body = body_of(additionalModelRequestFields={"output_config": config, "thinking": ENABLED})
    request = parsed(body)
    assert request.format == Format(kind="schema", schema=schema)
    assert request.reasoning == Reasoning(budget=2000, effort="low")
    assert again(body) == body
    request.reasoning = None
    encoded = OpenAIChat().encode(request)
    assert encoded.dropped == ("additionalModelRequestFields.output_config.new",)
    assert json.loads(encoded.body)["response_format"]["json_schema"]["schema"] == schema


def test_top_k_is_read_where_nova_is_told_of_it() -> None:
    """https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html"""
    body = body_of(additionalModelRequestFields={"inferenceConfig": {"topK": 20}})
    assert again(body) == body
    request = parsed(body)
    assert request.top_k == 20
    encoded = Anthropic().encode(request)
    assert (json.loads(encoded.body)["top_k"], encoded.dropped) == (20, ())
    assert OpenAIChat().encode(request).dropped == ("additionalModelRequestFields.inferenceConfig.topK",)
    odd = body_of(additionalModelRequestFields={"inferenceConfig": {"topK": 20, "odd": 1}})
    assert again(odd) == odd
    assert OpenAIChat().encode(parsed(odd)).dropped == ("additionalModelRequestFields.inferenceConfig",)


@pytest.mark.parametrize(
    ("told", "choice", "parallel"),
    [
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto"), False),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required"), True),
        ({"type": "tool", "name": "f"}, ToolChoice("tool", "f"), None),
        ({"type": "none"}, ToolChoice("none"), None),
    ],
)
def test_a_choice_is_read_where_claude_is_told_of_it(told: Any, choice: ToolChoice, parallel: bool | None) -> None:
    tools = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
    body = body_of(additionalModelRequestFields={"tool_choice": told, "top_k": 5}, toolConfig=tools)
    request = parsed(body)
    assert (request.tool_choice, request.parallel_tools) == (choice, parallel)
    assert again(body) == body
    encoded = Bedrock().encode(request)
    assert encoded.dropped == ()
    request.top_k = None
    encoded = OpenAIChat().encode(request)
    assert encoded.dropped == ()
    said = json.loads(encoded.body)
    assert said.get("parallel_tool_calls", True) is (parallel is not False)
    name = {"type": "function", "function": {"name": "f"}} if told["type"] == "tool" else choice.mode
    assert said.get("tool_choice", "auto") == name


@pytest.mark.parametrize(
    "told", ["any", {"type": "tool"}, {"type": "new"}, {"type": "any", "new": 1}, {"disable_parallel_tool_use": True}]
)
def test_what_is_no_choice_there_is_left_where_it_was(told: Any) -> None:
    body = body_of(additionalModelRequestFields={"tool_choice": told})
    request = parsed(body)
    assert (request.tool_choice, request.parallel_tools) == (None, None)
    assert again(body) == body
    assert OpenAIChat().encode(request).dropped == ("additionalModelRequestFields.tool_choice",)


def test_of_two_choices_the_wires_own_counts() -> None:
    tools = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
    told = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    body = body_of(additionalModelRequestFields=told, toolConfig=tools | {"toolChoice": {"any": {}}})
    request = parsed(body)
    assert (request.tool_choice, request.parallel_tools) == (ToolChoice("required"), None)
    assert again(body) == body
    assert OpenAIChat().encode(request).dropped == ("additionalModelRequestFields.tool_choice",)


@pytest.mark.parametrize("form", [{"type": "grammar"}, {"type": "json_schema"}, "json_schema"])
def test_what_is_no_schema_there_is_left_where_it_was(form: Any) -> None:
    body = body_of(additionalModelRequestFields={"output_config": {"format": form}})
    request = parsed(body)
    assert request.format is None
    assert again(body) == body
    assert OpenAIChat().encode(request).dropped == ("additionalModelRequestFields.output_config",)


def test_of_two_schemas_the_wires_own_counts() -> None:
    form = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type": "array"}'}}}}
    told = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    body = body_of(additionalModelRequestFields=told, outputConfig=form)
    request = parsed(body)
    assert request.format == Format(kind="schema", schema={"type": "array"})
    assert OpenAIChat().encode(request).dropped == ("additionalModelRequestFields.output_config",)


TOLD = {"document": {"format": "md", "name": "n", "source": {"text": "plain words"}, "context": "c"}}
NAMELESS = {"document": {"name": "n", "source": {"text": "plain words"}}}  # of no format
BLOCKS: list[tuple[Any, Part]] = [
    ({"text": "x"}, Text(text="x")),
    (
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        Image(source=Inline(PNG, "image/png")),
    ),
    (
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        Image(source=Stored("s3://b/k", "image/png")),
    ),
    (
        TOLD,
        Document(source=Inline(NOTE, "text/markdown"), name="n", context="c", extra={WHOLE: TOLD}),
    ),
    (
        NAMELESS,
        Document(source=Inline(NOTE, "text/plain"), name="n", extra={WHOLE: NAMELESS}),
    ),
    (
        {"document": {"format": "pdf", "name": "n", "source": {"bytes": PDF}, "citations": {"enabled": True}}},
        Document(source=Inline(PDF, "application/pdf"), name="n", cited=True),
    ),
    (
        {"document": {"format": "txt", "name": "n", "source": {"content": [{"text": "a"}]}}},
        Document(
            source=Inline("YQ==", "text/plain"),
            pieces=["a"],
            name="n",
            extra={WHOLE: {"document": {"format": "txt", "name": "n", "source": {"content": [{"text": "a"}]}}}},
        ),
    ),
    (
        {"video": {"format": "three_gp", "source": {"bytes": "AAAA"}}},
        Video(source=Inline("AAAA", "video/3gpp")),
    ),
    ({"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}}, Audio(source=Inline("AAAA", "audio/mpeg"))),
    (
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
        ToolCall(id="t", name="f", arguments='{"a":1}'),
    ),
    (
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}, "type": "server_tool_use"}},
        Opaque(
            wire="bedrock",
            value={"toolUse": {"toolUseId": "t", "name": "f", "input": {}, "type": "server_tool_use"}},
        ),
    ),
    (
        {"toolResult": {"toolUseId": "t", "content": [{"text": "x"}, {"json": {"a": [1]}}], "status": "error"}},
        ToolResult(id="t", parts=[Text(text="x"), Text(text='{"a":[1]}', extra={"json": {}})], is_error=True),
    ),
    (
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        Thinking(text="hm", signature="s"),
    ),
    ({"reasoningContent": {"redactedContent": "c2VhbGVk"}}, Thinking(redacted="c2VhbGVk")),
    (
        {"citationsContent": {"content": [{"text": "a"}], "citations": [{"title": "t"}]}},
        Text(text="a", citations=[Citation(wire="bedrock", value={"title": "t"}, title="t")]),
    ),
    (
        {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": []}},
        Text(text="ab", extra={"content": [{"text": "a"}, {"text": "b"}]}),
    ),
    (
        {"guardContent": {"text": {"text": "x"}}},
        Opaque(wire="bedrock", value={"guardContent": {"text": {"text": "x"}}}),
    ),
    (
        {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "123456789012"}}}},
        Video(
            source=Stored(id="s3://b/k", media_type="video/mp4"),
            extra={
                "whole": {
                    "video": {
                        "format": "mp4",
                        "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "123456789012"}},
                    }
                }
            },
        ),
    ),
    ({"newThing": {"a": 1}}, Opaque(wire="bedrock", value={"newThing": {"a": 1}})),
    (  # of a system tool
        {"toolResult": {"toolUseId": "t", "type": "nova_grounding_result", "content": [{"json": {}}]}},
        Opaque(
            wire="bedrock",
            value={"toolResult": {"toolUseId": "t", "type": "nova_grounding_result", "content": [{"json": {}}]}},
        ),
    ),
]


@pytest.mark.parametrize(("block", "part"), BLOCKS, ids=lambda value: next(iter(value)) if type(value) is dict else "")
def test_a_block_becomes_a_part_and_again_the_block(block: Any, part: Part) -> None:
    body = body_of(block)
    assert parsed(body).turns[0].parts == [part]
    assert again(body) == body


@pytest.mark.parametrize("owner", [{}, {"bucketOwner": "123456789012"}], ids=["own", "another's"])
def test_what_lies_in_a_bucket_is_no_other_wires(owner: dict[str, str]) -> None:
    request = parsed(body_of({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k", **owner}}}}))
    with pytest.raises(Unrepresentable, match=r"^messages\[0\].content\[0\] refers to a file stored by another"):
        registry.dialect("anthropic").encode(request)


def test_a_cache_point_marks_the_block_before_it() -> None:
    point, hour = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}
    tool = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}
    body = body_of({"text": "a"}, point, {"text": "b"}, hour, point) | {
        "system": [{"text": "s"}, point],
        "toolConfig": {"tools": [tool, hour]},
    }
    request = parsed(body)
    assert [turn.parts for turn in request.turns] == [
        [Text(text="s", cache={"type": "ephemeral"})],
        [
            Text(text="a", cache={"type": "ephemeral"}),
            Text(text="b", cache={"type": "ephemeral", "ttl": "1h"}),
            Text(cache={"type": "ephemeral"}),
        ],
    ]
    assert request.tools[0].cache == {"type": "ephemeral", "ttl": "1h"}
    assert again(body) == body


def test_a_cache_point_of_a_type_that_is_not_known_is_kept() -> None:
    body = body_of({"text": "a"}, {"cachePoint": {"type": "eternal"}})
    assert parsed(body).turns[0].parts[1] == Opaque(wire="bedrock", value={"cachePoint": {"type": "eternal"}})
    assert again(body) == body


def test_tools_and_their_choice_are_read() -> None:
    spec = {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": True}
    config = {"tools": [{"toolSpec": spec}, {"systemTool": {"name": "nova_grounding"}}]}
    request = parsed(body_of(toolConfig=config | {"toolChoice": {"tool": {"name": "f"}}}))
    assert request.tools == [
        Tool(name="f", description="d", parameters={"type": "object"}, strict=True, at="toolConfig.tools[0]"),
        Tool(
            name="nova_grounding",
            kind="systemTool",
            at="toolConfig.tools[1]",
            extra={"systemTool": {"name": "nova_grounding"}},
        ),
    ]
    assert request.tool_choice == ToolChoice("tool", "f")
    for word, mode in (("auto", "auto"), ("any", "required")):
        body = body_of(toolConfig=config | {"toolChoice": {word: {}}})
        choice = parsed(body).tool_choice
        assert choice is not None
        assert choice.mode == mode
        assert again(body) == body


def test_a_prompt_that_amazon_keeps_needs_no_messages() -> None:
    prompt = "arn:aws:bedrock:us-east-1:123456789012:prompt/PROMPT12345:1"
    body = {"promptVariables": {"x": {"text": "y"}}}
    assert parsed(body, prompt).turns == []
    assert again(body, prompt) == body
    with pytest.raises(BadRequest, match="messages must be an array"):
        parsed(body)


BAD = [
    ({"messages": 1}, "messages"),
    ({"messages": [1]}, "messages[0]"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "hi"}]}, "messages[0].content"),
    ({"messages": [{"role": "tool", "content": []}]}, "messages[0].role"),
    ({"messages": [{"role": 1, "content": []}]}, "messages[0].role"),
    (body_of(1), "messages[0].content[0]"),
    (body_of({}), "messages[0].content[0]"),
    (body_of({"text": "a", "image": {}}), "messages[0].content[0]"),
    (body_of({"text": 1}), "messages[0].content[0].text"),
    (body_of({"image": 1}), "messages[0].content[0].image"),
    (body_of({"image": {"format": "png"}}), "messages[0].content[0].image.source"),
    (body_of({"image": {"format": "png", "source": {}}}), "messages[0].content[0].image.source"),
    (body_of({"image": {"format": "png", "source": {"bytes": 1}}}), "messages[0].content[0].image.source.bytes"),
    (body_of({"image": {"format": 1, "source": {"bytes": ""}}}), "messages[0].content[0].image.format"),
    (body_of({"image": {"source": {"s3Location": {}}}}), "messages[0].content[0].image.source.s3Location.uri"),
    (body_of({"document": {"format": "txt", "source": {"text": "x"}}}), "messages[0].content[0].document.name"),
    (body_of({"toolUse": {"toolUseId": "t", "input": {}}}), "messages[0].content[0].toolUse.name"),
    (body_of({"toolUse": {"name": "f", "input": {}}}), "messages[0].content[0].toolUse.toolUseId"),
    (body_of({"toolUse": {"name": "f", "toolUseId": "t", "input": []}}), "messages[0].content[0].toolUse.input"),
    (body_of({"toolUse": {"name": "f", "toolUseId": "t"}}), "messages[0].content[0].toolUse.input"),
    (body_of({"toolResult": {"toolUseId": "t"}}), "messages[0].content[0].toolResult.content"),
    (body_of({"toolResult": {"content": []}}), "messages[0].content[0].toolResult.toolUseId"),
    (
        body_of({"toolResult": {"toolUseId": "t", "content": [{"text": "x"}, {"toolResult": {}}]}}),
        "messages[0].content[0].toolResult.content[1]",
    ),
    (
        body_of({"toolResult": {"toolUseId": "t", "content": [], "status": "so-so"}}),
        "messages[0].content[0].toolResult.status",
    ),
    (
        body_of({"toolResult": {"toolUseId": "t", "content": [{"text": 1}]}}),
        "messages[0].content[0].toolResult.content[0].text",
    ),
    (body_of({"reasoningContent": {}}), "messages[0].content[0].reasoningContent"),
    (body_of({"reasoningContent": {"redactedContent": ""}}), "messages[0].content[0].reasoningContent.redactedContent"),
    (
        body_of({"reasoningContent": {"reasoningText": {}}}),
        "messages[0].content[0].reasoningContent.reasoningText.text",
    ),
    (body_of({"citationsContent": {"content": 1}}), "messages[0].content[0].citationsContent.content"),
    (body_of({"citationsContent": {"citations": [1]}}), "messages[0].content[0].citationsContent.citations[0]"),
    (body_of(system="be brief"), "system"),
    (body_of(system=[{"text": 1}]), "system[0].text"),
    (body_of(inferenceConfig=[]), "inferenceConfig"),
    (body_of(inferenceConfig={"maxTokens": "9"}), "inferenceConfig.maxTokens"),
    (body_of(inferenceConfig={"temperature": True}), "inferenceConfig.temperature"),
    (body_of(inferenceConfig={"stopSequences": [1]}), "inferenceConfig.stopSequences[0]"),
    (body_of(toolConfig={"tools": {}}), "toolConfig.tools"),
    (body_of(toolConfig={"tools": [{}]}), "toolConfig.tools[0]"),
    (body_of(toolConfig={"tools": [{"toolSpec": {"name": "f"}}]}), "toolConfig.tools[0].toolSpec.inputSchema"),
    (
        body_of(toolConfig={"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": 1}}}]}),
        "toolConfig.tools[0].toolSpec.inputSchema.json",
    ),
    (body_of(toolConfig={"toolChoice": "auto"}), "toolConfig.toolChoice"),
    (body_of(toolConfig={"toolChoice": {"none": {}}}), "toolConfig.toolChoice"),
    (body_of(toolConfig={"toolChoice": {"tool": {}}}), "toolConfig.toolChoice.tool.name"),
    (body_of(requestMetadata={"a": 1}), "requestMetadata.a"),
    (body_of(serviceTier="flex"), "serviceTier"),
    (body_of(additionalModelRequestFields=1), "additionalModelRequestFields"),
    (body_of(outputConfig={"effort": 1}), "outputConfig.effort"),
    (body_of(outputConfig={"textFormat": {"type": "xml"}}), "outputConfig.textFormat.type"),
    (body_of(outputConfig={"textFormat": {"type": "json_schema"}}), "outputConfig.textFormat.structure"),
    (
        body_of(outputConfig={"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "no"}}}}),
        "outputConfig.textFormat.structure.jsonSchema.schema",
    ),
]


@pytest.mark.parametrize(("body", "param"), BAD, ids=[param for _, param in BAD])
def test_a_wrong_type_is_told_with_its_path(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(body)
    assert caught.value.param == param
    assert param in caught.value.message


# Every place of a body that the parser looks at, to be replaced by anything at all.
RICH = body_of(
    *(block for block, _ in BLOCKS),
    {"cachePoint": {"type": "default", "ttl": "5m"}},
    system=[{"text": "s"}],
    inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
    toolConfig={
        "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}],
        "toolChoice": {"tool": {"name": "f"}},
    },
    requestMetadata={"a": "b"},
    serviceTier={"type": "flex"},
    additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 1}, "top_k": 1},
    outputConfig={"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}},
)
ANYTHING: list[Any] = [None, True, 7, 1.5, "", "x", [], {}, [None], [7], ["x"], [[]], [{}], {"a": 1}]


@pytest.mark.parametrize("at", list(places(RICH))[1:], ids=str)
def test_anything_anywhere_is_read_or_refused(at: tuple[Any, ...]) -> None:
    for new in ANYTHING:
        try:
            request = parsed(put(RICH, at, new))
        except BadRequest:
            continue
        WIRE.encode(request)
        request.wire = "anthropic"
        try:
            WIRE.encode(request)
        except Unrepresentable as error:
            named(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list(places(RICH))[1:]), json_values)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_json_anywhere_is_read_or_refused(at: tuple[Any, ...], new: Any) -> None:
    with suppress(BadRequest):
        WIRE.encode(WIRE.parse(dump(put(RICH, at, new)), Peek(CLAUDE, False)))


# --- asking Bedrock for what others want -----------------------------------------------------------------------------


def test_turns_are_made_to_alternate_with_results_first() -> None:
    request = foreign(
        Turn(role="system", parts=[Text(text="s")], at="messages[0]"),
        Turn(role="developer", parts=[Text(text="d")], at="messages[1]"),
        user(Text(text="a")),
        user(Text(text="b")),
        turn("assistant", Text(text="calling"), ToolCall(id="t", name="f")),
        user(Text(text="c", cache={"type": "ephemeral"})),
        user(ToolResult(id="t", parts=[Text(text="r")], cache={"type": "ephemeral"})),
        tools=[Tool(name="f")],
    )
    body, dropped = told(request)
    assert dropped == ()
    point = {"cachePoint": {"type": "default"}}
    assert body["system"] == [{"text": "s"}, {"text": "d"}]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {
            "role": "assistant",
            "content": [{"text": "calling"}, {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "r"}]}}, point, {"text": "c"}, point],
        },
    ]


def test_a_turn_of_which_nothing_is_left_lets_its_neighbours_meet() -> None:
    request = foreign(user(Text(text="a")), turn("assistant", Thinking(text="hm")), user(Text(text="b")))
    body, dropped = told(request)
    assert dropped == ("thinking",)
    assert body["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


def test_a_late_system_turn_becomes_the_users() -> None:
    body, dropped = told(foreign(user(Text(text="a")), turn("system", Text(text="s"))))
    assert dropped == ("turn.place",)
    assert body["messages"][0]["content"] == [{"text": "a"}, {"text": "<system>\ns\n</system>"}]


def test_a_tools_result_has_no_citations_in_its_text() -> None:
    cited = Text(text="r", citations=[Citation(wire="anthropic", value={}, place=Place("char", 0, 0, 1))])
    call = ToolCall(id="t", name="f")
    body, dropped = told(
        foreign(user(Text(text="a")), turn("assistant", call), user(ToolResult(id="t", parts=[cited])))
    )
    assert "text.citations" in dropped
    assert body["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "r"}]


@pytest.mark.parametrize("turns", [[user(Text(text="a"))], []], ids=["late", "first"])
def test_a_system_turn_has_no_citations(turns: list[Turn]) -> None:
    cited = Text(text="s", citations=[Citation(wire="anthropic", value={}, place=Place("char", 0, 0, 1))])
    body, dropped = told(foreign(*turns, turn("system", cited), user(Text(text="b"))))
    assert dropped == (("text.citations", "turn.place") if turns else ("text.citations",))
    assert "citationsContent" not in str(body)


def test_the_user_speaks_first() -> None:
    error = refused(foreign(turn("assistant", Text(text="a"), at="messages[0]"), user(Text(text="b"))))
    assert error.param == "messages[0]"


def test_nothing_but_empty_text_is_refused() -> None:
    assert refused(foreign(user(Text(text="")), names={"turns": "contents"})).param == "contents"


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(source=Inline(PNG, "image/png")), {"image": {"format": "png", "source": {"bytes": PNG}}}),
        (Image(source=Inline(PNG)), {"image": {"format": "png", "source": {"bytes": PNG}}}),
        (Image(source=Inline(PNG, "image/jpg")), {"image": {"format": "jpeg", "source": {"bytes": PNG}}}),
        (Image(source=Inline(PNG, "image/x-odd")), {"image": {"format": "png", "source": {"bytes": PNG}}}),
        (
            Image(source=Remote("s3://b/k.webp")),
            {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://b/k.webp"}}}},
        ),
        (
            Audio(source=Inline(NOTE, "audio/wav")),
            {"audio": {"format": "wav", "source": {"bytes": NOTE}}},
        ),
        (Video(source=Inline(NOTE, "video/mp4")), {"video": {"format": "mp4", "source": {"bytes": NOTE}}}),
        (Refusal(text="no"), {"text": "no"}),
        (Thinking(text="hm", signature="s"), {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}),
        (Thinking(redacted="c2VhbGVk"), {"reasoningContent": {"redactedContent": "c2VhbGVk"}}),
        (
            ToolResult(id="a", is_error=False),
            {
                "toolResult": {
                    "toolUseId": "a",
                    "content": [{"text": NOTHING}],
                    "status": "success",
                }
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_part_of_another_wire_becomes_a_block(part: Part, block: Any) -> None:
    assert messages(foreign(user(part)))[0]["content"] == [block]


@pytest.mark.parametrize(
    ("said", "goes_out"),
    [(["It is "], ["It is"]), (["It is", " \n"], ["It is"]), ([" "], None), (["It is"], ["It is"])],
)
def test_what_claude_goes_on_with_ends_in_no_blank(said: list[str], goes_out: list[str] | None) -> None:
    turns = [user(Text(text="a")), turn("assistant", *(Text(text=text) for text in said))]
    body, dropped = told(foreign(*turns, model="anthropic.claude-sonnet-4-5"))
    last = body["messages"][-1]
    assert (last["role"] == "user") == (goes_out is None)
    assert goes_out is None or [block["text"] for block in last["content"]] == goes_out
    name = "messages.content" if goes_out is None else "turn.trailing_space"
    assert dropped == (() if said == goes_out else (name,))
    body, _ = told(foreign(*turns, model="amazon.nova-lite-v1:0"))
    assert [block["text"] for block in body["messages"][-1]["content"]] == ["".join(said) if said != [" "] else "a"]


@pytest.mark.parametrize("model", [CLAUDE, "amazon.nova-lite-v1:0"])
def test_a_blank_is_no_block(model: str) -> None:
    """ "The text field in the ContentBlock object at messages.1.content.0 is blank." """
    call = ToolCall(id="1", name="f")
    result = ToolResult(id="1", parts=[Text(text=" ")])
    turns = [
        user(Text(text="a")),
        turn("assistant", Text(text="\n\n"), Refusal(text=" "), call),
        user(result, Text(text="b"), Text(text="\n")),
    ]
    body, dropped = told(foreign(*turns, model=model))
    assert [list(block) for block in body["messages"][1]["content"]] == [["toolUse"]]
    assert body["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": NOTHING}]
    assert body["messages"][2]["content"][1:] == [{"text": "b\n"}]
    assert dropped == ("messages.content", "messages.content.content", "tools")


def test_thousands_of_blanks_take_no_longer_each_than_a_few() -> None:
    parts = [Text(text="b" * 2_000_000), *(Text(text="\n") for _ in range(20_000))]
    began = time.process_time()
    body, _ = told(foreign(user(*parts)))
    assert time.process_time() - began < 2  # some milliseconds; and ten seconds if each copied the text before it
    (block,) = body["messages"][0]["content"]
    assert len(block["text"]) == 2_020_000


def test_documents_get_names_that_the_wire_takes_each_once() -> None:
    parts = [
        Document(source=Inline(PDF, "application/pdf"), name="Report (1)"),
        Document(source=Inline(PDF, "application/pdf"), name="Report (1)"),
        Document(source=Inline(PDF), name="report.pdf"),
        Document(source=Inline(NOTE, "text/x-python")),
        Document(source=Inline(NOTE), name="table.csv"),
        Document(source=Inline(NOTE, "text/plain;charset=utf-8"), name="two  spaces"),
    ]
    body, dropped = told(foreign(user(*parts, Text(text="sum up"))))
    said = [block["document"] for block in body["messages"][0]["content"][:-1]]
    assert [one["format"] for one in said] == ["pdf", "pdf", "pdf", "txt", "csv", "txt"]
    names = ["Report (1)", "Report (1) (2)", "report", "document", "table", "two spaces"]
    assert [one["name"] for one in said] == names
    assert dropped == ("document.name",)


@pytest.mark.parametrize(
    ("given", "name", "dropped"),
    [
        ("Report 3 [draft]", "Report 3 [draft]", ()),
        ("report.pdf", "report", ("document.name",)),
        ("Report 3 [draft].PDF", "Report 3 [draft]", ("document.name",)),
        ("notes_v1.2.md", "notes-v1-2", ("document.name",)),
        ("v1.2", "v1-2", ("document.name",)),
        ("報告.pdf", "document", ("document.name",)),
        ("  .pdf", "document", ("document.name",)),
        ("x" * 300, "x" * 190, ("document.name",)),
        (None, "document", ()),
    ],
)
def test_a_name_keeps_what_may_be_kept(given: str | None, name: str, dropped: tuple[str, ...]) -> None:
    body, lost = told(foreign(user(Document(source=Inline(PDF, "application/pdf"), name=given), Text(text="a"))))
    assert body["messages"][0]["content"][0]["document"]["name"] == name
    assert lost == dropped


def test_a_file_of_json_is_text() -> None:
    [said] = messages(foreign(user(Document(source=Inline(NOTE, "application/json")), Text(text="a"))))
    assert said["content"][0]["document"]["format"] == "txt"


@pytest.mark.parametrize(
    ("data", "media", "source"),
    [(PDF, "application/pdf", {"bytes": PDF}), (NOTE, "text/plain", {"text": "plain words"})],
)
def test_only_text_that_is_to_be_cited_goes_as_text(data: str, media: str, source: dict[str, str]) -> None:
    [said] = messages(foreign(user(Document(source=Inline(data, media), cited=True), Text(text="a"))))
    assert said["content"][0]["document"]["source"] == source


def test_a_document_alone_gets_the_text_that_the_wire_demands() -> None:
    document = Document(source=Inline(PDF, "application/pdf"))
    content = messages(foreign(user(document)))[0]["content"]
    assert [next(iter(block)) for block in content] == ["document", "text"]
    assert content[1]["text"] == BESIDE_A_DOCUMENT
    assert len(messages(foreign(user(Text(text="a"), document)))[0]["content"]) == 2


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Image(source=Remote("https://x/y.png")), "does not accept web URLs"),
        (Image(source=Stored("file-1")), "another provider"),
        (Image(source=Inline(NOTE, "image/tiff")), "image/tiff"),
        (Image(source=Inline("not base64", "image/png")), "not valid base64"),
        (Image(source=Inline("", "image/png")), "empty"),
        (Document(source=Inline(NOTE, "application/zip")), "application/zip"),
        (Audio(id="audio_1"), "another provider"),
        (Opaque(wire="anthropic", value={"type": "x"}), "a block of Anthropic's API (x)"),
        (ToolCall(id="t", name="f", kind="custom", arguments="x"), "free text"),
    ],
)
def test_content_that_the_wire_cannot_carry_is_refused_with_its_path(part: Part, said: str) -> None:
    error = refused(foreign(user(Text(text="a"), part)))
    assert error.param == "messages[0].content[1]"
    assert error.param in error.message
    assert said in error.message


def test_within_a_result_only_what_fits_is_said() -> None:
    cached = Text(text="r", cache={"type": "ephemeral", "ttl": "1h"})
    result = ToolResult(id="t", parts=[cached, Text(text=""), Image(source=Inline(PNG, "image/png"))])
    content = messages(foreign(user(result)))[0]["content"]
    assert content == [
        {
            "toolResult": {
                "toolUseId": "t",
                "content": [{"text": "r"}, {"image": {"source": {"bytes": PNG}, "format": "png"}}],
            }
        },
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    ]
    error = refused(foreign(user(ToolResult(id="t", parts=[Thinking(text="x")]))))
    assert error.param == "messages[0].content[0].content[0]"


@pytest.mark.parametrize(
    ("part", "role"),
    [(Image(source=Inline(PNG, "image/png")), "assistant"), (Image(source=Inline(PNG, "image/png")), "system")],
)
def test_only_the_user_shows_images(part: Part, role: Role) -> None:
    error = refused(foreign(user(Text(text="a")), turn(role, part)))
    assert error.param == "messages[1].content[0]"


def test_citations_of_another_wire_are_receipted_and_their_text_is_said() -> None:
    cited = Text(text="a", citations=[Citation(wire="anthropic", value={})])
    body, dropped = told(foreign(user(Text(text="q")), turn("assistant", cited), user(Text(text="b"))))
    assert body["messages"][1]["content"] == [{"text": "a"}]
    assert dropped == ("text.citations",)


def test_caches_are_marked_where_the_model_has_them() -> None:
    cache = {"type": "ephemeral"}
    parts, tools = [Text(text="a", cache=cache)], [Tool(name="f", cache=cache)]
    for model, marks, lost in ((CLAUDE, 2, ()), (NOVA, 1, ("cache",)), ("meta.llama", 0, ("cache",))):
        body, dropped = told(foreign(user(*parts), model=model, tools=tools))
        assert json.dumps(body).count("cachePoint") == marks
        assert dropped == lost


KNOBS: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ({"max_tokens": 5}, {"inferenceConfig": {"maxTokens": 5}}, ()),
    ({"temperature": 0.2}, {"inferenceConfig": {"temperature": 0.2}}, ()),
    ({"top_p": 0.3}, {"inferenceConfig": {"topP": 0.3}}, ()),
    ({"temperature": 1.7}, {"inferenceConfig": {"temperature": 1.0}}, ("temperature",)),
    (
        {"stop": ["a", " ", ""]},
        {"inferenceConfig": {"stopSequences": ["a"]}, "additionalModelResponseFieldPaths": ["/stop_sequence"]},
        ("stop",),
    ),
    ({"top_k": 3}, {"additionalModelRequestFields": {"top_k": 3}}, ()),
    ({"top_k": 3, "model": NOVA}, {"additionalModelRequestFields": {"inferenceConfig": {"topK": 3}}}, ()),
    ({"top_k": 3, "model": "cohere.command-r-v1:0"}, {"additionalModelRequestFields": {"k": 3}}, ()),
    ({"top_k": 3, "model": "meta.llama"}, {}, ("top_k",)),
    ({"metadata": {"a": "b", "bad": "\u2028?"}}, {"requestMetadata": {"a": "b"}}, ("metadata",)),
    ({"service_tier": "flex"}, {"serviceTier": {"type": "flex"}}, ()),
    ({"service_tier": "fast"}, {"serviceTier": {"type": "priority"}}, ()),
    ({"service_tier": "auto"}, {}, ()),
    ({"service_tier": "scale"}, {}, ("service_tier",)),
    ({"seed": 0}, {}, ("seed",)),
    ({"user": "u", "store": True, "verbosity": "low"}, {}, ("store", "user", "verbosity")),
    ({"store": False, "modalities": ["text"], "n": 1, "logprobs": False, "frequency_penalty": 0.0}, {}, ()),
    ({"parallel_tools": True}, {}, ()),
    ({"extra": {"min_p": 1}}, {}, ("min_p",)),
    ({"format": Format(kind="text")}, {}, ()),
    ({"format": Format(kind="json")}, {}, ("format",)),
    (
        {"format": Format(kind="schema", name="n", schema={"type": "object"}, strict=True)},
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n"}},
                }
            }
        },
        (),
    ),
]


@pytest.mark.parametrize(("fields", "said", "dropped"), KNOBS, ids=[str(fields)[:60] for fields, _, _ in KNOBS])
def test_a_knob_is_said_or_receipted(fields: Any, said: Any, dropped: tuple[str, ...]) -> None:
    body, lost = told(foreign(**fields))
    del body["messages"]
    assert body == said
    assert lost == dropped


THOUGHTS: list[tuple[str, dict[str, Any], Any, tuple[str, ...]]] = [
    ("budget", {"reasoning": Reasoning(budget=2000), "max_tokens": 9000}, (2000, 9000), ()),
    ("least", {"reasoning": Reasoning(budget=10), "max_tokens": 9000}, (1024, 9000), ("reasoning.budget",)),
    ("capped", {"reasoning": Reasoning(budget=9000), "max_tokens": 3000}, (2999, 3000), ("reasoning.budget",)),
    ("longest", {"reasoning": Reasoning(budget=9000), "longest": 10_000}, (9000, 10_000), ()),
    ("too long", {"reasoning": Reasoning(budget=90_000), "longest": 64_000}, (63_999, 64_000), ("reasoning.budget",)),
    ("half of the longest", {"reasoning": Reasoning(effort="max"), "longest": 32_000}, (16_000, 20_096), ()),
    ("shown", {"reasoning": Reasoning(summary="auto")}, (None, None), ("reasoning.summary",)),
    ("half", {"reasoning": Reasoning(effort="high"), "max_tokens": 8000}, (4000, 8000), ()),
    ("room", {"reasoning": Reasoning(effort="low")}, (BUDGETS["low"], BUDGETS["low"] + DEFAULT_MAX_TOKENS), ()),
    ("no room", {"reasoning": Reasoning(effort="low"), "max_tokens": 1024}, (None, 1024), ("reasoning",)),
    ("unheard", {"reasoning": Reasoning(effort="fierce")}, (None, None), ("reasoning",)),
    ("silent", {"reasoning": Reasoning()}, (None, None), ()),
    (
        "knobs",
        {"reasoning": Reasoning(budget=2000), "max_tokens": 9000, "temperature": 0.5, "top_p": 0.5, "top_k": 3},
        (2000, 9000),
        ("temperature", "top_k", "top_p"),
    ),
    (
        "forced",
        {"reasoning": Reasoning(effort="low"), "tools": [Tool(name="f")], "tool_choice": ToolChoice("required")},
        (None, None),
        ("reasoning",),
    ),
]


@pytest.mark.parametrize(("name", "fields", "said", "dropped"), THOUGHTS, ids=[row[0] for row in THOUGHTS])
def test_claude_is_told_how_long_to_think(name: str, fields: Any, said: Any, dropped: tuple[str, ...]) -> None:
    body, lost = told(foreign(**fields))
    thinking = body.get("additionalModelRequestFields", {}).get("thinking", {})
    assert (thinking.get("budget_tokens"), body.get("inferenceConfig", {}).get("maxTokens")) == said
    assert lost == dropped


def test_claude_may_be_told_not_to_think_and_others_think_as_they_can() -> None:
    body, dropped = told(foreign(reasoning=Reasoning(off=True)))
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
    assert dropped == ()
    body, dropped = told(foreign(model="openai.gpt-oss-120b-1:0", reasoning=Reasoning(effort="xhigh", summary="auto")))
    assert body["additionalModelRequestFields"] == {"reasoning_effort": "high"}
    assert dropped == ("reasoning.effort", "reasoning.summary")
    assert told(foreign(model="meta.llama", reasoning=Reasoning(effort="low")))[1] == ("reasoning",)


def test_claude_thinks_on_after_a_call_that_shows_its_thought() -> None:
    call, result = ToolCall(id="t", name="f"), user(ToolResult(id="t"))
    for parts, thinks in (([call], False), ([Thinking(text="x", signature="s"), call], True)):
        request = foreign(user(Text(text="a")), turn("assistant", *parts), result, tools=[Tool(name="f")])
        request.reasoning = Reasoning(effort="low")
        assert ("additionalModelRequestFields" in told(request)[0]) is thinks


def test_claude_is_not_told_to_think_where_its_own_client_shows_a_call_without_its_thought() -> None:
    """ "Expected `thinking` or `redacted_thinking`, but found `tool_use`." """
    call = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
    result = {"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}
    said = [("user", {"text": "a"}), ("assistant", call), ("user", result)]
    body = {"messages": [{"role": role, "content": [block]} for role, block in said]}
    for key in ("thinking", "reasoning_config"):
        for more in ({}, {"top_k": 5}):
            fields = {key: {"type": "enabled", "budget_tokens": 1024}, **more}
            encoded = WIRE.encode(parsed(body | {"additionalModelRequestFields": fields}))
            kept = {"additionalModelRequestFields": more} if more else {}
            assert json.loads(encoded.body) == body | kept
            assert encoded.dropped == (f"additionalModelRequestFields.{key}",)


def test_a_prefill_rules_thinking_out() -> None:
    request = foreign(user(Text(text="a")), turn("assistant", Text(text="{")), reasoning=Reasoning(effort="low"))
    assert told(request)[1] == ("reasoning",)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ToolChoice("auto"), {"auto": {}}),
        (ToolChoice("required"), {"any": {}}),
        (ToolChoice("tool", "f"), {"tool": {"name": "f"}}),
    ],
)
def test_a_choice_of_tools_is_said(choice: ToolChoice, said: Any) -> None:
    body, _ = told(foreign(tools=[Tool(name="f", description="", strict=True)], tool_choice=choice))
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    spec = {"name": "f", "inputSchema": {"json": schema}, "strict": True}
    assert body["toolConfig"] == {"tools": [{"toolSpec": spec}], "toolChoice": said}


def test_no_tools_is_said_by_offering_none() -> None:
    body, dropped = told(foreign(tools=[Tool(name="f")], tool_choice=ToolChoice("none")))
    assert ("toolConfig" in body, dropped) == (False, ("tools",))
    body, dropped = told(foreign(tool_choice=ToolChoice("auto")))
    assert ("toolConfig" in body, dropped) == (False, ())


CALLED = [
    user(Text(text="a")),
    turn("assistant", ToolCall(id="t", name="g")),
    user(ToolResult(id="t")),
]


def test_a_conversation_with_calls_keeps_its_tools() -> None:
    body, dropped = told(foreign(*CALLED, tools=[Tool(name="f")], tool_choice=ToolChoice("none")))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["f"]
    assert "toolChoice" not in body["toolConfig"]
    assert dropped == ("tool_choice",)
    body, dropped = told(foreign(*CALLED))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["g"]
    assert dropped == ("tools",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "image"]}, "modalities"),
        ({"demands": {"web_search_options": {}}}, "web_search_options"),
        ({"tools": [Tool(name="x", kind="web_search", at="tools[0]")]}, "tools[0]"),
        ({"tools": [Tool(name="x", kind="custom", at="tools[0]")]}, "tools[0]"),
        ({"tool_choice": ToolChoice("required")}, "tool_choice"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(fields: Any, param: str) -> None:
    error = refused(foreign(**fields))
    assert error.param == param
    assert param in error.message


SINGLE = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
OLDER = "anthropic.claude-3-5-sonnet-20241022-v2:0"


NEWEST = "us.anthropic.claude-opus-5-5-v1:0"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (None, {"type": "auto"}),
        (ToolChoice("auto"), {"type": "auto"}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("tool", "f"), {"type": "tool", "name": "f"}),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, "anthropic.claude-opus-4-6-v1", "global.anthropic.claude-opus-4-8"])
def test_claude_is_asked_for_single_calls_in_its_own_words(model: str, choice: ToolChoice | None, words: Any) -> None:
    """Converse has none, and would refuse a choice of its own beside them."""
    request = foreign(model=model, tools=[Tool(name="f")], parallel_tools=False, tool_choice=choice)
    body, dropped = told(request)
    assert body["additionalModelRequestFields"] == {"tool_choice": words | {"disable_parallel_tool_use": True}}
    assert ("toolChoice" in body["toolConfig"], dropped) == (False, ())


def test_a_claude_that_cannot_be_made_to_call_can_still_be_asked_for_single_calls() -> None:
    request = foreign(model=NEWEST, tools=[Tool(name="f")], parallel_tools=False, tool_choice=ToolChoice("required"))
    body, dropped = told(request)
    assert (body["additionalModelRequestFields"], dropped) == (SINGLE, ("tool_choice",))


@pytest.mark.parametrize(
    ("model", "choice"), [(NOVA, None), (NOVA, ToolChoice("required")), (OLDER, None), (OLDER, ToolChoice("tool", "f"))]
)
def test_where_it_cannot_be_asked_single_calls_are_on_the_receipt(model: str, choice: ToolChoice | None) -> None:
    request = foreign(model=model, tools=[Tool(name="f")], parallel_tools=False, tool_choice=choice)
    body, dropped = told(request)
    assert ("additionalModelRequestFields" in body, dropped) == (False, ("parallel_tools",))
    assert told(foreign(parallel_tools=False))[1] == ()


@pytest.mark.parametrize("kind", list(TAKEN))
def test_every_format_is_its_media_type_and_back(kind: str) -> None:
    assert set(FORMATS[kind]) <= TAKEN[kind]
    for form in TAKEN[kind]:
        assert format_of(kind, media_type_of(kind, form)) == form


# --- any conversation ------------------------------------------------------------------------------------------------

words = st.text(max_size=12)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
caches = st.none() | st.just({"type": "ephemeral"})
spoken = st.builds(Text, text=words, cache=caches)
thoughts = st.builds(Thinking, text=words, signature=st.sampled_from(["", "s"]))
calls = st.builds(ToolCall, id=words, name=names, arguments=st.sampled_from(["", "{}", '{"a":[1,2.5]}']))
shown = st.sampled_from(
    [
        Image(source=Inline(PNG)),
        Document(source=Inline(PDF), name="a.pdf"),
        Document(source=Inline(NOTE, "text/plain")),
    ]
)
results = st.builds(
    ToolResult, id=words, parts=st.lists(spoken | shown, max_size=2), is_error=st.none() | st.booleans()
)
turns = st.one_of(
    st.builds(Turn, role=st.just("user"), parts=st.lists(spoken | shown | results, max_size=3), at=st.just("m")),
    st.builds(Turn, role=st.just("assistant"), parts=st.lists(spoken | thoughts | calls, max_size=3), at=st.just("m")),
    st.builds(Turn, role=st.sampled_from(["system", "developer"]), parts=st.lists(spoken, max_size=2), at=st.just("m")),
)
requests = st.builds(
    Request,
    wire=st.just("gemini"),
    model=st.sampled_from([CLAUDE, NOVA, "x"]),
    turns=st.lists(turns, max_size=6),
    tools=st.lists(st.builds(Tool, name=names, description=st.none() | words, cache=caches), max_size=2),
    tool_choice=st.none() | st.sampled_from([ToolChoice("none"), ToolChoice("auto"), ToolChoice("required")]),
    reasoning=st.none() | st.builds(Reasoning, effort=st.sampled_from([None, "low", "max"]), off=st.booleans()),
    max_tokens=st.none() | st.integers(1, 100_000),
    temperature=st.none() | st.floats(0, 2),
    stop=st.none() | st.lists(words, max_size=3),
    metadata=st.none() | st.dictionaries(words, words, max_size=20),
)


def documents_in(blocks: Iterable[Any]) -> list[str]:
    """The names of all documents, those in tool results too."""
    found: list[str] = []
    for block in blocks:
        if "document" in block:
            found.append(block["document"]["name"])
        found += documents_in(block.get("toolResult", {}).get("content", ()))
    return found


@given(requests)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_request_fits_the_model_of_the_service_or_is_refused(request: Request) -> None:
    try:
        body, _ = told(naming.named(request, WIRE)[0])
    except Unrepresentable as error:
        named(error)
        return
    roles = [message["role"] for message in body["messages"]]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    for message in body["messages"]:
        kinds = [next(iter(block)) for block in message["content"]]
        assert kinds
        assert kinds[0] != "cachePoint"
        assert "document" not in kinds or "text" in kinds
    documents = documents_in(block for message in body["messages"] for block in message["content"])
    assert len(documents) == len(set(documents))
