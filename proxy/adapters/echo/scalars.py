"""Which single value fits: of which type, and which number or string?

What the schema leaves open is decided by the turn.
"""

import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from proxy.adapters.echo.pattern import Unreadable, sample
from proxy.adapters.echo.words import Place, Unfillable, size_of, turned

MOST_EXACT = 2**53 - 1  # JavaScript's largest exact integer, which Zod writes down as the bound of each
LONGEST = 100_000  # characters of one string; 64 of them count as one value

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
# Where a schema names no type, one of these words gives it away.
_HINTS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def type_of(schema: dict[str, Any], place: Place) -> str:
    """The type to fill: the turn's choice from a list, null last; guessed from other words where none is named."""
    named = schema.get("type")
    if named is None:
        return next((name for name, words in _HINTS.items() if any(word in schema for word in words)), "string")
    names = turned(named if isinstance(named, list) else [named], place.turn)
    for name in sorted(names, key=lambda each: each == "null"):
        if isinstance(name, str) and name in _TYPES:
            return name
    raise Unfillable(place.path, f"`type` must be one of {', '.join(_TYPES)}")


def is_of(value: Any, schema: dict[str, Any]) -> bool:
    """Is a given value of the type that the schema names, if it names one?"""
    named = schema.get("type")
    names = [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)]
    if isinstance(value, bool):  # Python counts it as an int
        return "boolean" in names or not names
    return not names or any(isinstance(value, _TYPES.get(name, ())) for name in names)


def number_of(schema: dict[str, Any], place: Place, *, whole: bool) -> Fraction:
    """The turn's choice of the multiples between the bounds; the middle, if they are too close for any."""
    lows = list(_bounds(schema, "minimum", "exclusiveMinimum", place))
    highs = list(_bounds(schema, "maximum", "exclusiveMaximum", place))
    step = _step(schema, place, whole=whole)
    firsts = [math.floor(low / step) + 1 if beyond else math.ceil(low / step) for low, beyond in lows]
    lasts = [math.ceil(high / step) - 1 if beyond else math.floor(high / step) for high, beyond in highs]
    first = max(firsts, default=min([1, *lasts]))
    last = min(lasts, default=first + 999)
    if lows and max(low for low, _ in lows) <= -MOST_EXACT and last >= 1:  # a bound of the language's, not of the app's
        first = 1
    if first <= last:
        return step * (first + place.turn % (last - first + 1))
    low, high = max(low for low, _ in lows), min(high for high, _ in highs)
    if whole or "multipleOf" in schema or low >= high:
        raise Unfillable(place.path, "there is no number between the bounds")
    return (low + high) / 2


def _step(schema: dict[str, Any], place: Place, *, whole: bool) -> Fraction:
    step = _fraction(schema, "multipleOf", place) if "multipleOf" in schema else Fraction(1)
    if step <= 0:
        raise Unfillable(place.path, "`multipleOf` must be greater than 0")
    return Fraction(step.numerator) if whole else step  # in lowest terms, the least whole multiple of p/q is p


def _bounds(schema: dict[str, Any], plain: str, strict: str, place: Place) -> Iterator[tuple[Fraction, bool]]:
    """One side's bounds, each with whether it is exclusive. In draft 4 `strict` is a boolean beside `plain`."""
    if plain in schema:
        yield _fraction(schema, plain, place), schema.get(strict) is True
    if strict in schema and not isinstance(schema[strict], bool):
        yield _fraction(schema, strict, place), True


def _fraction(schema: dict[str, Any], word: str, place: Place) -> Fraction:
    value = schema[word]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
        raise Unfillable(place.path, f"`{word}` must be a number in the range of a double")
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def string_of(schema: dict[str, Any], place: Place) -> str:
    """By its pattern, else its format, else any of the length. Where a pattern is beyond us, the format will do."""
    known = _known(schema.get("format"), place)
    least = size_of(schema, "minLength", place)
    most = max(least, size_of(schema, "maxLength", place)) if "maxLength" in schema else None
    if least > LONGEST:
        raise Unfillable(place.path, f"the schema asks for a string of more than {LONGEST} characters")
    if isinstance(pattern := schema.get("pattern"), str):
        try:
            return sample(pattern, least, most, known)
        except Unreadable as error:
            known = known or _example(schema)
            if not known:
                raise Unfillable(place.path, f"{error}; `examples` may have a text that fits") from None
    if known:
        return known
    cycle, index = divmod(place.turn, len(_WORDS))
    text = _WORDS[index] + (str(cycle) if cycle else "")
    if len(text) < least:
        text = (text * least)[:least]
    return text[:most]


def _example(schema: dict[str, Any]) -> str:
    """A text that whoever wrote the schema gives; "" where there is none."""
    given = schema.get("examples")
    return next((each for each in given if isinstance(each, str)), "") if isinstance(given, list) else ""


def _known(name: Any, place: Place) -> str:
    """A sample of a format; nothing of one that is unknown."""
    if name == "uuid":
        return f"00000000-0000-4000-8000-{place.turn % 16**12:012x}"
    return _SAMPLES.get(name, "") if isinstance(name, str) else ""
