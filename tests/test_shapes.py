"""Does proxy.grammar.shapes say a schema as Anthropic and Bedrock take it, and lose none of its words?"""

from copy import deepcopy
from typing import Any

import msgspec
import pytest

from proxy import registry
from proxy.canon import Request, Text, Tool, Turn
from proxy.grammar.shapes import BOUNDS, taken

Json = dict[str, Any]

NAME: Json = {"type": "string"}
CLOSED: Json = {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": NAME}}, {"properties": {"a": NAME}, **CLOSED}),
        ({"properties": {}, "additionalProperties": True}, {"properties": {}, "additionalProperties": True}),
        ({"type": "object"}, {"type": "object"}),
        ({"type": "object", "additionalProperties": NAME}, {"type": "object", "additionalProperties": NAME}),
        (
            {"properties": {"properties": {"type": "string", "enum": ["properties"]}}},
            {"properties": {"properties": {"type": "string", "enum": ["properties"]}}, **CLOSED},
        ),
    ],
    ids=["names members", "open by its word", "any object", "a map", "a member called properties"],
)
def test_an_object_that_names_its_members_is_closed(schema: Json, said: Json) -> None:
    assert taken(schema) == (said, True)


def wrapped(schema: Json) -> list[Json]:
    """Everywhere that a schema stands in another."""
    return [
        {"type": "array", "items": schema},
        {"anyOf": [schema, {"type": "null"}]},
        {"prefixItems": [schema]},
        {"$defs": {"minimum": schema}, "$ref": "#/$defs/minimum"},
        {"type": "object", "additionalProperties": schema},
    ]


@pytest.mark.parametrize("place", range(5))
def test_what_is_within_is_told_likewise(place: int) -> None:
    inner: Json = {"properties": {"a": {"type": "integer", "minimum": 1}}}
    told: Json = {"properties": {"a": {"type": "integer", "description": "(minimum: 1)"}}, **CLOSED}
    schema = wrapped(inner)[place]
    before = deepcopy(schema)
    assert taken(schema) == (wrapped(told)[place], False)
    assert schema == before


@pytest.mark.parametrize("bound", sorted(BOUNDS))
def test_a_bound_is_told_in_words(bound: str) -> None:
    schema = {"type": "x", "description": "How many.", bound: 3}
    assert taken(schema) == ({"type": "x", "description": f"How many. ({bound}: 3)"}, False)
    assert taken({"properties": {bound: NAME}}) == ({"properties": {bound: NAME}, **CLOSED}, True)


@pytest.mark.parametrize(
    ("format_", "is_taken"), [("date-time", True), ("uri", True), ("int32", False), ("double", False), ("regex", False)]
)
def test_a_format_is_taken_or_told_in_words(format_: str, is_taken: bool) -> None:
    """As the SDK has it, which says what it leaves out in the description: `transform_schema` of anthropic."""
    schema = {"type": "x", "format": format_}
    told = schema if is_taken else {"type": "x", "description": f"(format: {format_})"}
    assert taken(schema) == (told, is_taken)
    assert taken({"properties": {"format": NAME}}) == ({"properties": {"format": NAME}, **CLOSED}, True)


def test_several_bounds_are_told_together() -> None:
    assert taken({"minimum": 1, "maximum": 9}) == ({"description": "(minimum: 1, maximum: 9)"}, False)


@pytest.mark.parametrize("fewest", [0, 1])
def test_an_array_that_is_empty_or_not_is_a_bound_that_is_taken(fewest: int) -> None:
    schema = {"type": "array", "items": NAME, "minItems": fewest}
    assert taken(schema) == (schema, True)


def test_one_of_several_is_any_of_them() -> None:
    inner: Json = {"properties": {"kind": {"const": "a"}}}
    told: Json = {"anyOf": [inner | CLOSED, NAME]}
    assert taken({"oneOf": [inner, NAME]}) == (told, False)
    discriminated = {"oneOf": [inner, NAME], "discriminator": {"propertyName": "kind"}}
    assert taken({"properties": {"oneOf": discriminated}}) == ({"properties": {"oneOf": told}, **CLOSED}, False)


ODD: list[Json] = [
    {"oneOf": [NAME], "anyOf": [NAME]},
    {"oneOf": "a"},
    {"discriminator": {}},
    {"properties": ["a"], **CLOSED},
    {"properties": {"a": True}, **CLOSED},
    {"anyOf": {}},
    {"items": [1]},
    {"minimum": 1, "description": ["a"]},
    {},
]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_schema_is_for_the_provider_to_refuse(odd: Json) -> None:
    assert taken(odd) == (odd, True)


def test_no_schema_is_too_deep() -> None:
    """As deep as JSON that we read may be, and deeper than Python calls itself."""
    schema: Json = {"minimum": 1}
    for _ in range(2000):
        schema = {"items": schema}
    told, is_bare = taken(schema)
    while "items" in told:
        told = told["items"]
    assert (told, is_bare) == ({"description": "(minimum: 1)"}, False)


# --- and of a tool that is called by it ------------------------------------------------------------------------------


def offered(wire: str, origin: str, strict: bool) -> tuple[Json, tuple[str, ...]]:
    """What the model is told of a tool's arguments, and the receipt."""
    tool = Tool(name="f", parameters={"type": "object", "properties": {"a": {"minimum": 1}}}, strict=strict)
    turns = [Turn(role="user", parts=[Text(text="Hi")])]
    encoded = registry.dialect(wire).encode(Request(wire=origin, model="claude-sonnet-4-5", turns=turns, tools=[tool]))
    body: Any = msgspec.json.decode(encoded.body)
    if wire == "anthropic":
        return body["tools"][0]["input_schema"], encoded.dropped
    return body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"], encoded.dropped


@pytest.mark.parametrize("wire", ["anthropic", "bedrock"])
def test_a_strict_tool_is_held_to_its_shape_as_an_answer_is(wire: str) -> None:
    told = {"type": "object", "properties": {"a": {"description": "(minimum: 1)"}}, **CLOSED}
    assert offered(wire, "openai_chat", strict=True) == (told, ("tool.strict",))
    open_one = {"type": "object", "properties": {"a": {"minimum": 1}}}
    assert offered(wire, "openai_chat", strict=False) == (open_one, ())
    assert offered(wire, wire, strict=True) == (open_one, ())
