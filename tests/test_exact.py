"""Does a host of OpenAI's wires get schemas that it takes, from clients of wires that take others?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.ports import Peek

Json = dict[str, Any]

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
