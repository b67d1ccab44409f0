"""How is the shape of an answer said to a model that is held to it word by word?

Anthropic and Bedrock compile a schema, and refuse one that says more, or less, than the compiler reads
(https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations and
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html). Every object must be closed, which those
of other wires leave unsaid, and no number, text or array may have bounds. So an object that names its members is
closed, and bounds are told in words, as Anthropic's own SDKs do it. Whatever else is refused is for the provider to
refuse: an object that is open by its own word would be another one if it were closed.
"""

from collections.abc import Callable
from typing import Any

from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt

BOUNDS = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems"
    " minProperties maxProperties".split()
)
_TAKEN = {"minItems": (0, 1)}
_NAMED = ("properties", "$defs", "definitions")  # schemas by names that are the client's own
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")


def held_to(schema: Object, dropped: Receipt) -> Object:
    """What the model is told of a schema from another wire. The receipt names one whose bounds it is not held to."""
    told = unbounded(schema)
    if told != schema:
        dropped.add("format.schema")
    return closed(told)


def closed(schema: Object) -> Object:
    """The schema, with each object that names its members closed."""
    said = _within(schema, closed)
    return (
        said if "properties" not in said or "additionalProperties" in said else said | {"additionalProperties": False}
    )


def unbounded(schema: Object) -> Object:
    """The schema with its bounds in the descriptions of what they bound; an equal one where it has none."""
    bounds = {key: value for key, value in schema.items() if key in BOUNDS and value not in _TAKEN.get(key, ())}
    said, described = _within(schema, unbounded), schema.get("description", "")
    if not bounds or not isinstance(described, str):
        return said
    told = "({})".format(", ".join(f"{key}: {value}" for key, value in bounds.items()))
    said["description"] = f"{described} {told}" if described else told
    return {key: value for key, value in said.items() if key not in bounds}


def _within(schema: Object, change: Callable[[Object], Object]) -> Object:
    """The schema, with those that it is made of changed."""
    return {key: _member(key, value, change) for key, value in schema.items()}


def _member(key: str, value: Any, change: Callable[[Object], Object]) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: change(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}
    if key in _LISTED and isinstance(value, list):
        return [change(inner) if isinstance(inner, dict) else inner for inner in value]
    return change(value) if key in ("items", "additionalProperties") and isinstance(value, dict) else value
