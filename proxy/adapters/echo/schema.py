"""Which value fits this JSON Schema?

Best effort, for the schemas that SDKs generate from types and that people write by hand: every property is filled, a
`default` of the right type is used, and the seed makes every other choice; 0 takes the first. Only the schema and the
seed decide. A `$ref` that leads into itself ends at the nearest place that can do without it: an optional property is
left out, an array ends, `anyOf` takes its next alternative.

Ignored: `not`, `if`, `contains`, `dependent*`, `maxProperties`, `patternProperties`, `unevaluated*`, `uniqueItems`
(though each item takes the next turn), lengths beside a known `format`, and that exactly one of `oneOf` must match.
https://json-schema.org/draft/2020-12/json-schema-validation defines the words.
"""

from itertools import count
from typing import Any
from urllib.parse import unquote

from proxy.adapters.echo.scalars import is_of, number_of, string_of, type_of
from proxy.adapters.echo.words import Place, Unfillable, list_of, merge, size_of, turned, without

MOST_VALUES = 10_000  # tried for one answer: schemas that refer to each other double with every step


def fill(schema: Any, seed: int = 0) -> Any:
    """A value that fits `schema`, which may be any JSON value. Raises Unfillable."""
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
                return self._first_of(list_of(schema, word, place), without(schema, word), place)
        return self._plain(schema, place)

    def _flat(self, schema: Any, place: Place) -> tuple[dict[str, Any], frozenset[str]]:
        """The schema with its `$ref` and `allOf` merged in, and the references that led here."""
        self._left -= 1
        if self._left < 0:
            raise Unfillable(place.path, f"the schema asks for more than {MOST_VALUES} values")
        own, refs = merge([schema], place), place.refs
        parts = list_of(own, "allOf", place)
        if "$ref" in own:
            ref = own["$ref"]
            if not isinstance(ref, str):
                raise Unfillable(place.path, "`$ref` must be a string")
            if ref in refs:
                raise Unfillable(place.path, f"the reference `{ref:.100}` refers to itself endlessly")
            refs |= {ref}
            parts = [self._resolve(ref, place), *parts]
        flat = [self._flat(part, place._replace(refs=refs)) for part in parts]
        merged = merge([*(part for part, _ in flat), without(own, "$ref", "allOf")], place)
        return merged, refs.union(*(followed for _, followed in flat))

    def _resolve(self, ref: str, place: Place) -> Any:
        """The target of a reference within this schema: a JSON Pointer as a URI's fragment, RFC 6901, section 6."""
        here = self._root
        try:
            head, *steps = map(unquote, ref.split("/"))
            for step in steps if head == "#" else [head]:
                here = here[int(step) if isinstance(here, list) else step.replace("~1", "/").replace("~0", "~")]
        except (LookupError, TypeError, ValueError):
            raise Unfillable(place.path, f"the reference `{ref:.100}` points to nothing in this schema") from None
        return here

    def _first_of(self, parts: list[Any], rest: dict[str, Any], place: Place) -> Any:
        """The first alternative that can be filled, beginning with the turn's; null comes last."""
        failure = Unfillable(place.path, "there are no alternatives to choose from")
        for part in sorted(
            turned(parts, place.turn), key=lambda each: isinstance(each, dict) and each.get("type") == "null"
        ):
            try:
                return self.value(merge([rest, part], place), place)
            except Unfillable as error:
                failure = error
        raise failure

    def _plain(self, schema: dict[str, Any], place: Place) -> Any:
        """Fills a schema without references and alternatives."""
        if "const" in schema:
            return schema["const"]
        options = list_of(schema, "enum", place) if "enum" in schema else None
        if "default" in schema and is_of(schema["default"], schema) and (not options or schema["default"] in options):
            return schema["default"]
        if options is not None:
            for option in turned(options, place.turn):
                if is_of(option, schema):
                    return option
            raise Unfillable(place.path, "no member of `enum` matches the rest of the schema")
        return self._typed(schema, place)

    def _typed(self, schema: dict[str, Any], place: Place) -> Any:
        match type_of(schema, place):
            case "object":
                return self._object(schema, place)
            case "array":
                return self._array(schema, place)
            case "integer":
                return int(number_of(schema, place, whole=True))
            case "number":
                number = number_of(schema, place, whole=False)
                return int(number) if number.denominator == 1 else float(number)
            case "boolean":
                return place.turn % 2 == 0
            case "null":
                return None
            case _:
                text = string_of(schema, place)
                self._left -= (len(text) + len(str(schema.get("pattern", "")))) // 64
                return text

    def _object(self, schema: dict[str, Any], place: Place) -> dict[str, Any]:
        required = dict.fromkeys(name for name in list_of(schema, "required", place) if isinstance(name, str))
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
        self._add_members(out, schema, place)
        return out

    def _add_members(self, out: dict[str, Any], schema: dict[str, Any], place: Place) -> None:
        """Until there are enough of them, as for a map with any names."""
        least, patterns = size_of(schema, "minProperties", place), schema.get("patternProperties")
        pattern, inner = next(iter(patterns.items())) if isinstance(patterns, dict) and patterns else (None, None)
        allowed = schema.get("propertyNames", True) if pattern is None else {"pattern": pattern}
        inner = schema.get("additionalProperties", True) if pattern is None else inner
        for index in count():
            if len(out) >= least:
                break
            names = merge(
                [{"type": "string", "minLength": index + 1}, allowed], place
            )  # a pattern has one of each length
            name = self.value(names, place._replace(turn=place.turn + index))
            if not isinstance(name, str):
                raise Unfillable(place.path, "`propertyNames` allows no string")
            if name not in out:
                out[name] = self.value(inner, place.member(name))

    def _array(self, schema: dict[str, Any], place: Place) -> list[Any]:
        rest = schema.get("items", True)
        prefix = list_of(schema, "prefixItems", place)
        if isinstance(rest, list):  # draft 7 and before
            prefix, rest = rest, schema.get("additionalItems", True)
        least = size_of(schema, "minItems", place)
        most = size_of(schema, "maxItems", place) if "maxItems" in schema else max(least, len(prefix), 1)
        out: list[Any] = []
        for index in range(max(least, min(most, max(len(prefix), 1)))):
            try:
                out.append(self.value(prefix[index] if index < len(prefix) else rest, place.item(index)))
            except Unfillable:
                if index < least:
                    raise
                break
        return out
