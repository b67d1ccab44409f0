"""What do the keywords of a JSON Schema say, and what do several schemas say together?

A keyword whose value has the wrong type leaves nothing to fill, and the path says where.
https://json-schema.org/draft/2020-12/json-schema-validation
"""

from typing import Any, NamedTuple

import msgspec


class Unfillable(ValueError):
    """No value fits, or none was found; `path` is its place in the value, such as `items[0].name`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why


class Place(NamedTuple):
    """The place in the value, the references that led to it, and the number that decides every choice."""

    path: str
    refs: frozenset[str]
    turn: int

    def member(self, name: str) -> "Place":
        return self._replace(path=f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> "Place":
        return self._replace(path=f"{self.path}[{index}]", turn=self.turn + index)


def merge(schemas: list[Any], place: Place) -> dict[str, Any]:
    """One schema that says what several say; where a keyword cannot be merged, the last one counts."""
    merged: dict[str, Any] = {}
    for schema in schemas:
        if schema is True:
            continue
        if not isinstance(schema, dict):
            why = "the schema `false` allows no value" if schema is False else "a schema must be an object or a boolean"
            raise Unfillable(place.path, why)
        for word, value in schema.items():
            merged[word] = _joined(word, merged[word], value) if word in merged else value
    return merged


def _joined(word: str, one: Any, other: Any) -> Any:
    match word, one, other:
        case "properties", dict(), dict():
            both = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
            return {**one, **other, **both}
        case "required", list(), list():
            return one + other
        case "enum", list(), list():
            there = set(map(msgspec.json.encode, other))
            return [option for option in one if msgspec.json.encode(option) in there]
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems", int() | float(), int() | float():
            return max(one, other)
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems", int() | float(), int() | float():
            return min(one, other)
        case _:
            return other


def without(schema: dict[str, Any], *words: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in words}


def turned(values: list[Any], turn: int) -> list[Any]:
    at = turn % len(values) if values else 0
    return values[at:] + values[:at]


def list_of(schema: dict[str, Any], word: str, place: Place) -> list[Any]:
    value = schema.get(word, [])
    if not isinstance(value, list):
        raise Unfillable(place.path, f"`{word}` must be an array")
    return value


def size_of(schema: dict[str, Any], word: str, place: Place) -> int:
    value = schema.get(word, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unfillable(place.path, f"`{word}` must be a whole number, 0 or more")
    return value
