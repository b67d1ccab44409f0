"""Which value fits this JSON Schema?

Best effort, over what SDKs make of types and what people write by hand: every property is filled, a `default` of the
right type is taken, and every other choice goes by the seed, of which 0 takes the first. Nothing but the schema and
the seed decides. A `$ref` that leads into itself ends at the nearest place that can do without it: an optional
property is left out, an array ends, `anyOf` takes its next alternative.

Not looked at: `not`, `if`, `contains`, `dependent*`, `minProperties`, `maxProperties`, `patternProperties`,
`propertyNames`, `unevaluated*`, `uniqueItems` (though each item takes the next turn), lengths beside a `pattern` or a
known `format`, and that `oneOf` wants exactly one.
https://json-schema.org/draft/2020-12/json-schema-validation says what the words mean.
"""

import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from proxy.adapters.echo.pattern import Unreadable, sample

MOST_VALUES = 10_000  # tried for one answer: schemas that refer to each other double with every step
LONGEST = 100_000  # characters of one string; 64 of them weigh as much as a value

_WORDS = ("echo", "canyon", "valley", "ridge", "river", "meadow", "harbour", "lantern")
_SAMPLES = {
    "date-time": "2025-01-01T12:00:00Z",
    "date": "2025-01-01",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/echo",
    "json-pointer": "/echo",
    "regex": "echo",
    "byte": "ZWNobw==",
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}
# Where a schema names no type, one of these words betrays it.
_HINTS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


class Unfillable(ValueError):
    """No value fits, or none was found; `path` leads to its place in the value, such as `items[0].name`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path
        self.why = why


class Place(NamedTuple):
    """Where in the value we stand, the references that led here, and the number that decides every choice."""

    path: str
    refs: frozenset[str]
    turn: int

    def member(self, name: str) -> "Place":
        return self._replace(path=f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> "Place":
        return self._replace(path=f"{self.path}[{index}]", turn=self.turn + index)


def fill(schema: Any, seed: int = 0) -> Any:
    """A value that fits `schema`, any JSON value that calls itself one. Raises Unfillable."""
    try:
        return _Filler(schema).value(schema, Place("", frozenset(), seed))
    except RecursionError:
        raise Unfillable("", "the schema is nested too deeply") from None


class _Filler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = MOST_VALUES

    def value(self, schema: Any, place: Place) -> Any:
        schema, refs = self._flat(schema, place)
        place = place._replace(refs=refs)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self._first_of(_list(schema, word, place), _without(schema, word), place)
        return self._plain(schema, place)

    def _flat(self, schema: Any, place: Place) -> tuple[dict[str, Any], frozenset[str]]:
        """The schema with what it refers to and what it is all of merged in, and the references that led here."""
        self._left -= 1
        if self._left < 0:
            raise Unfillable(place.path, f"the schema asks for more than {MOST_VALUES} values")
        own, refs = _merge([schema], place), place.refs
        parts = _list(own, "allOf", place)
        if "$ref" in own:
            ref = own["$ref"]
            if not isinstance(ref, str):
                raise Unfillable(place.path, "`$ref` must be a string")
            if ref in refs:
                raise Unfillable(place.path, f"the reference `{ref:.100}` leads into itself without end")
            refs |= {ref}
            parts = [self._resolve(ref, place), *parts]
        flat = [self._flat(part, place._replace(refs=refs)) for part in parts]
        merged = _merge([*(part for part, _ in flat), _without(own, "$ref", "allOf")], place)
        return merged, refs.union(*(followed for _, followed in flat))

    def _resolve(self, ref: str, place: Place) -> Any:
        """What a reference within this schema points to: a JSON Pointer, RFC 6901."""
        here = self._root
        try:
            head, *steps = ref.split("/")
            for step in steps if head == "#" else [head]:
                here = here[int(step) if isinstance(here, list) else step.replace("~1", "/").replace("~0", "~")]
        except (LookupError, TypeError, ValueError):
            raise Unfillable(place.path, f"the reference `{ref:.100}` leads nowhere in this schema") from None
        return here

    def _first_of(self, parts: list[Any], rest: dict[str, Any], place: Place) -> Any:
        """The first alternative that can be filled, from the turn's own on; null comes last."""
        failure = Unfillable(place.path, "there is no alternative to choose from")
        turned = _turned(parts, place.turn)
        for part in sorted(turned, key=lambda each: isinstance(each, dict) and each.get("type") == "null"):
            try:
                return self.value(_merge([rest, part], place), place)
            except Unfillable as error:
                failure = error
        raise failure

    def _plain(self, schema: dict[str, Any], place: Place) -> Any:
        """A schema without references and alternatives."""
        if "const" in schema:
            return schema["const"]
        options = _list(schema, "enum", place) if "enum" in schema else None
        if "default" in schema and _is_of(schema["default"], schema) and (not options or schema["default"] in options):
            return schema["default"]
        if options is not None:
            for option in _turned(options, place.turn):
                if _is_of(option, schema):
                    return option
            raise Unfillable(place.path, "no member of `enum` fits")
        return self._typed(schema, place)

    def _typed(self, schema: dict[str, Any], place: Place) -> Any:
        match _type(schema, place):
            case "object":
                return self._object(schema, place)
            case "array":
                return self._array(schema, place)
            case "integer":
                return int(_number(schema, place, whole=True))
            case "number":
                number = _number(schema, place, whole=False)
                return int(number) if number.denominator == 1 else float(number)
            case "boolean":
                return place.turn % 2 == 0
            case "null":
                return None
            case _:
                text = _string(schema, place)
                self._left -= len(text) // 64
                return text

    def _object(self, schema: dict[str, Any], place: Place) -> dict[str, Any]:
        required = dict.fromkeys(name for name in _list(schema, "required", place) if isinstance(name, str))
        out: dict[str, Any] = {}
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise Unfillable(place.path, "`properties` must be an object")
        for name, part in properties.items():
            try:
                out[name] = self.value(part, place.member(name))
            except Unfillable:
                if name in required:
                    raise
        for name in [name for name in required if name not in out]:
            out[name] = self.value(schema.get("additionalProperties", True), place.member(name))
        return out

    def _array(self, schema: dict[str, Any], place: Place) -> list[Any]:
        rest = schema.get("items", True)
        prefix = _list(schema, "prefixItems", place)
        if isinstance(rest, list):  # draft 7 and before
            prefix, rest = rest, schema.get("additionalItems", True)
        least = _size(schema, "minItems", place)
        most = _size(schema, "maxItems", place) if "maxItems" in schema else max(least, len(prefix), 1)
        out: list[Any] = []
        for index in range(max(least, min(most, max(len(prefix), 1)))):
            try:
                out.append(self.value(prefix[index] if index < len(prefix) else rest, place.item(index)))
            except Unfillable:
                if index < least:
                    raise
                break
        return out


# --- one value -------------------------------------------------------------------------------------------------------


def _type(schema: dict[str, Any], place: Place) -> str:
    """The type to fill: the turn's own of a list, null last; guessed from the other words where none is named."""
    named = schema.get("type")
    if named is None:
        return next((name for name, words in _HINTS.items() if any(word in schema for word in words)), "string")
    names = _turned(named if isinstance(named, list) else [named], place.turn)
    for name in sorted(names, key=lambda each: each == "null"):
        if isinstance(name, str) and name in _TYPES:
            return name
    raise Unfillable(place.path, f"`type` must be one of {', '.join(_TYPES)}")


def _is_of(value: Any, schema: dict[str, Any]) -> bool:
    """Is a ready value of the type that the schema names, if it names one?"""
    named = schema.get("type")
    names = [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)]
    if isinstance(value, bool):  # to Python, an int
        return "boolean" in names or not names
    return not names or any(isinstance(value, _TYPES.get(name, ())) for name in names)


def _number(schema: dict[str, Any], place: Place, *, whole: bool) -> Fraction:
    """The turn's own multiple between the bounds; between two that are too close for any, the middle."""
    lows = list(_bounds(schema, "minimum", "exclusiveMinimum", place))
    highs = list(_bounds(schema, "maximum", "exclusiveMaximum", place))
    step = _step(schema, place, whole=whole)
    firsts = [math.floor(low / step) + 1 if beyond else math.ceil(low / step) for low, beyond in lows]
    lasts = [math.ceil(high / step) - 1 if beyond else math.floor(high / step) for high, beyond in highs]
    first = max(firsts, default=min([1, *lasts]))
    last = min(lasts, default=first + 999)
    if first <= last:
        return step * (first + place.turn % (last - first + 1))
    low, high = max(low for low, _ in lows), min(high for high, _ in highs)
    if whole or "multipleOf" in schema or low >= high:
        raise Unfillable(place.path, "no number lies between the bounds")
    return (low + high) / 2


def _step(schema: dict[str, Any], place: Place, *, whole: bool) -> Fraction:
    step = _fraction(schema, "multipleOf", place) if "multipleOf" in schema else Fraction(1)
    if step <= 0:
        raise Unfillable(place.path, "`multipleOf` must be greater than 0")
    return Fraction(step.numerator) if whole else step  # in lowest terms, the least whole multiple of p/q is p


def _bounds(schema: dict[str, Any], plain: str, strict: str, place: Place) -> Iterator[tuple[Fraction, bool]]:
    """The bounds of one side, each with whether it lies outside. In draft 4 `strict` is a boolean beside `plain`."""
    if plain in schema:
        yield _fraction(schema, plain, place), schema.get(strict) is True
    if strict in schema and not isinstance(schema[strict], bool):
        yield _fraction(schema, strict, place), True


def _fraction(schema: dict[str, Any], word: str, place: Place) -> Fraction:
    value = schema[word]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
        raise Unfillable(place.path, f"`{word}` must be a number that a double can hold")
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def _string(schema: dict[str, Any], place: Place) -> str:
    if isinstance(schema.get("pattern"), str):
        try:
            return sample(schema["pattern"])
        except Unreadable as error:
            raise Unfillable(place.path, str(error)) from None
    match schema.get("format"):
        case "uuid":
            return f"00000000-0000-4000-8000-{place.turn % 16**12:012x}"
        case str(name) if name in _SAMPLES:
            return _SAMPLES[name]
    cycle, index = divmod(place.turn, len(_WORDS))
    text = _WORDS[index] + (str(cycle) if cycle else "")
    least = _size(schema, "minLength", place)
    if least > LONGEST:
        raise Unfillable(place.path, f"the schema asks for a string of more than {LONGEST} characters")
    if len(text) < least:
        text = (text * least)[:least]
    return text[: max(least, _size(schema, "maxLength", place))] if "maxLength" in schema else text


# --- schemas as values -----------------------------------------------------------------------------------------------


def _merge(schemas: list[Any], place: Place) -> dict[str, Any]:
    """One schema that says what several say; of a word that cannot be joined, the last counts."""
    merged: dict[str, Any] = {}
    for schema in schemas:
        if schema is True:
            continue
        if not isinstance(schema, dict):
            why = "the schema `false` lets nothing pass" if schema is False else "a schema is an object or a boolean"
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
            return [option for option in one if option in other]
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems", int() | float(), int() | float():
            return max(one, other)
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems", int() | float(), int() | float():
            return min(one, other)
        case _:
            return other


def _without(schema: dict[str, Any], *words: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in words}


def _turned(values: list[Any], turn: int) -> list[Any]:
    at = turn % len(values) if values else 0
    return values[at:] + values[:at]


def _list(schema: dict[str, Any], word: str, place: Place) -> list[Any]:
    value = schema.get(word, [])
    if not isinstance(value, list):
        raise Unfillable(place.path, f"`{word}` must be an array")
    return value


def _size(schema: dict[str, Any], word: str, place: Place) -> int:
    value = schema.get(word, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unfillable(place.path, f"`{word}` must be a whole number, 0 or more")
    return value
