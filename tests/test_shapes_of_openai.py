"""Does a host of OpenAI's wires get schemas that it takes, from clients of wires that take others?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.grammar.shapes import exact
from proxy.ports import Peek

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
EMPTY: Json = {"type": "object", "properties": {}}
WIRES = ["openai_chat", "openai_responses"]


def asked(wire: str, **fields: Any) -> tuple[Json, tuple[str, ...]]:
    """What a host of the wire is asked where a client of Anthropic's asks for this, and the receipt."""
    body = {"model": "gpt-5.1", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}], **fields}
    request = registry.dialect("anthropic").parse(json.dumps(body).encode(), Peek("gpt-5.1", False))
    encoded = registry.dialect(wire).encode(request)
    return json.loads(encoded.body), encoded.dropped


def offered(wire: str, schema: Json, **fields: Any) -> tuple[Json, tuple[str, ...]]:
    """The function that becomes of a tool with this schema, and the receipt."""
    said, dropped = asked(wire, tools=[{"name": "f", "input_schema": schema, **fields}])
    tool: Json = said["tools"][0]
    return tool.get("function", tool), dropped


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object"}, EMPTY),
        ({"type": "object", "additionalProperties": False}, {**EMPTY, "additionalProperties": False}),
        ({"type": "object", "properties": None, "required": None}, EMPTY),
        ({}, EMPTY),
        (
            {"type": "object", "$ref": "#/$defs/A", "$defs": {"A": EMPTY}},
            {**EMPTY, "$ref": "#/$defs/A", "$defs": {"A": EMPTY}},
        ),
    ],
    ids=["bare", "closed", "null", "anything", "elsewhere"],
)
def test_arguments_are_an_object_that_names_its_members(wire: str, schema: Json, told: Json) -> None:
    function, dropped = offered(wire, schema)
    assert (function["parameters"], dropped) == (told, ())


def test_a_null_in_a_schema_is_told_to_nobody() -> None:
    said, _ = asked("gemini", tools=[{"name": "f", "input_schema": {"type": "object", "properties": None}}])
    assert "null" not in json.dumps(said)


# --- a strict tool ---------------------------------------------------------------------------------------------------

CLOSED: Json = {"additionalProperties": False}


def members(**properties: Any) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), **CLOSED}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (members(a=TEXT), members(a=TEXT)),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, members(a=TEXT)),
        ({"type": "object"}, members()),
        (members(a={"anyOf": [TEXT, {"type": "null"}]}, b={"type": ["string", "null"]}),) * 2,
        (members(a={"type": "array", "items": members(b=TEXT)}),) * 2,
        ({**members(a={"$ref": "#/$defs/A"}), "$defs": {"A": {**TEXT, "format": "date"}}},) * 2,
    ],
    ids=["all required", "left open", "no members", "null", "nested", "referred to"],
)
def test_a_tool_that_may_be_strict_is(wire: str, schema: Json, told: Json) -> None:
    function, dropped = offered(wire, schema, strict=True)
    assert (function["parameters"], function["strict"], dropped) == (told, True, ())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"], **CLOSED},
        {**members(a=TEXT), "additionalProperties": True},
        members(a={"type": "object"}),
        members(a={"type": "array"}),
        members(a={"type": "array", "items": {"properties": {"b": TEXT}}}),
        members(a={"enum": [1]}),
        members(a=True),
        members(a={"type": "string", "default": "x"}),
        members(a={"type": "string", "format": "uri"}),
        members(a={"type": "string", "format": ["date"]}),
        members(a={"allOf": [TEXT]}),
        members(a={"$ref": "#/$defs/A", "description": "d"}),
        {**members(a=TEXT), "required": [["a"], 1]},
        {"type": ["object"], "properties": {}},
    ],
    ids=[
        *(
            "may be left out",
            "open",
            "any object",
            "any items",
            "open items",
            "no type",
            "anything",
            "default",
            "format",
        ),
        *("odd format", "allOf", "beside a reference", "odd names", "several types"),
    ],
)
def test_a_tool_that_may_not_be_strict_is_not_and_the_receipt_says_so(wire: str, schema: Json) -> None:
    function, dropped = offered(wire, schema, strict=True)
    assert (function["parameters"], function["strict"], dropped) == (schema, False, ("tools.strict",))


@pytest.mark.parametrize("wire", WIRES)
def test_one_of_several_shapes_is_joined_and_then_may_be_strict(wire: str) -> None:
    schema = {**members(a=TEXT), "anyOf": [members(a=TEXT)]}
    function, dropped = offered(wire, schema, strict=True)
    assert "anyOf" not in function["parameters"]
    assert (function["strict"], dropped) == (True, ("tools.input_schema",))


def test_a_client_of_openais_other_wire_is_taken_at_its_word() -> None:
    schema = {"type": "object", "properties": {"a": TEXT}}
    tool = {"type": "function", "name": "f", "parameters": schema, "strict": True}
    asking = {"model": "gpt-5.1", "input": "Hi", "tools": [tool]}
    request = registry.dialect("openai_responses").parse(json.dumps(asking).encode(), Peek("gpt-5.1", False))
    said: Json = json.loads(registry.dialect("openai_chat").encode(request).body)
    assert said["tools"][0]["function"] == {"name": "f", "parameters": schema, "strict": True}


def test_no_schema_is_too_deep() -> None:
    schema = TEXT
    for _ in range(2000):
        schema = {"type": "array", "items": schema}
    assert exact(members(a=schema)) is not None


# --- an answer -------------------------------------------------------------------------------------------------------


def wanted(wire: str, schema: Json, model: str = "gpt-5.1") -> Json:
    """The format that becomes of a schema which Anthropic's models are always held to."""
    said, dropped = asked(wire, model=model, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert dropped == ()
    form: Json = said["text"]["format"] if wire == "openai_responses" else said["response_format"]["json_schema"]
    return {key: form[key] for key in ("schema", "strict") if key in form}


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_is_held_to_the_schema_of_its_answer_where_it_can_be(wire: str) -> None:
    assert wanted(wire, members(a=TEXT)) == {"schema": members(a=TEXT), "strict": True}
    loose = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"], **CLOSED}
    assert wanted(wire, loose) == {"schema": loose}
    assert wanted(wire, {"type": "array", "items": TEXT}) == {"schema": {"type": "array", "items": TEXT}}
    assert wanted(wire, members(a=TEXT), "llama-4") == {"schema": members(a=TEXT)}
