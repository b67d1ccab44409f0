"""What is a Gemini schema in JSON Schema, and the other way round?

`parameters` and `responseSchema` are a subset of OpenAPI 3.0's (https://ai.google.dev/api/caching#Schema): types in
upper case, `nullable`, the order of properties in a list of its own. `parametersJsonSchema` and `responseJsonSchema`
are JSON Schema itself. Google gets a tool's schema in the subset if that can say all of it word by word, as every model
and host knows the subset; any other keyword makes it `parametersJsonSchema`. The shape of an answer is always
`responseJsonSchema`. Nothing is left out of a schema.
"""

from typing import Any

from proxy.dialects.gemini.spelling import camel, unquoted
from proxy.dialects.gemini.words import SCHEMA_TYPES
from proxy.errors import BadRequest
from proxy.grammar.fields import Object, as_object, wrong, wrong_word

_TYPES = {word.lower(): word for word in SCHEMA_TYPES[1:]}
_NUMBERS = set("minItems maxItems minLength maxLength minProperties maxProperties minimum maximum".split())
_PLAIN = _NUMBERS | {"format", "title", "description", "required", "pattern", "example", "default"}
_NOTES = {"title", "description", "default", "example"}  # they say nothing of what a value may be
_NULL: Object = {"type": "null"}
_SPELLED = {"ref": "$ref", "defs": "$defs", "type_": "type"}  # the SDK's names; `type_` is an older one's


def json_schema(value: object, at: str) -> Object:
    """The JSON Schema of a Gemini schema that a client sent. Raises BadRequest."""
    if not isinstance(value, dict):
        raise wrong(at, "an object", value)
    schema: Object = {}
    for key, item in value.items():
        name = _SPELLED.get(key) or camel(key)
        if name in schema:
            message = f"{at}.{name} was given twice, in two spellings: give one of them."
            raise BadRequest(message, param=f"{at}.{name}")
        if item is not None:
            schema[name] = _keyword(name, item, f"{at}.{name}")
    if schema.get("type") in ("", []):
        del schema["type"]
    if isinstance(schema.get("enum"), list):
        _enum(schema)
    _order(schema)
    return _nullable(schema)


def _keyword(name: str, item: Any, at: str) -> Any:
    if name in ("properties", "$defs"):
        if not isinstance(item, dict):
            raise wrong(at, "an object", item)
        return {key: json_schema(inner, f"{at}.{key}") for key, inner in item.items()}
    if name in ("anyOf", "prefixItems"):
        if not isinstance(item, list):
            raise wrong(at, "an array", item)
        return [json_schema(inner, f"{at}[{number}]") for number, inner in enumerate(item)]
    if name == "items" or (name == "additionalProperties" and isinstance(item, dict)):
        return json_schema(item, at)
    if name == "type":
        return _type(item, at)
    return unquoted(item) if name in _NUMBERS else item


def _type(item: Any, at: str) -> Any:
    if isinstance(item, list):
        return [word for number, one in enumerate(item) if (word := _type(one, f"{at}[{number}]"))]
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(SCHEMA_TYPES):
        item = SCHEMA_TYPES[item]
    if not isinstance(item, str):
        raise wrong(at, "a string", item)
    word = item.lower()
    if word == SCHEMA_TYPES[0].lower():
        return ""  # "unspecified": as if it were not said
    if word not in _TYPES:
        raise wrong_word(at, f"one of {', '.join(_TYPES.values())}", item)
    return word


def _enum(schema: Object) -> None:
    """An enum is of strings to Google, those of numbers too: `{"type": "INTEGER", "format": "enum", "enum": ["101"]}`.
    To JSON Schema no integer is among those. https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema
    """
    if schema.get("format") == "enum":
        del schema["format"]
    if schema.get("type") in ("integer", "number"):
        schema["enum"] = [unquoted(word) for word in schema["enum"]]


def _order(schema: Object) -> None:
    """Put the properties into the order of `propertyOrdering`, as JSON Schema has no other word for it."""
    order, properties = schema.get("propertyOrdering"), schema.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        first = [key for key in order if isinstance(key, str) and key in properties]
        schema["properties"] = {key: properties[key] for key in [*first, *properties]}
        del schema["propertyOrdering"]


def _nullable(schema: Object) -> Object:
    nullable = schema.pop("nullable", False)
    kind = schema.get("type")
    if nullable is not True:
        return schema
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list):
            schema["enum"] = [*schema["enum"], None]
        return schema
    return {"anyOf": [*schema.pop("anyOf"), {"type": "null"}], **schema} if "anyOf" in schema else schema


def gemini_schema(schema: object) -> Object | None:
    """The schema in the subset; None where the subset lacks a word for something in it."""
    if not isinstance(schema, dict):
        return None
    if "anyOf" in schema and len(schema) > 1:
        return _maybe_null(schema)
    said: Object = {}
    for key, item in schema.items():
        more = _said(key, item, schema)
        if more is None:
            return None
        said |= more
    contents = {"OBJECT": "properties", "ARRAY": "items"}.get(said.get("type", ""))
    is_refused = contents is not None and not said.get(contents)  # "properties: should be non-empty", "missing field"
    is_refused = is_refused or _requires_more(said)
    return None if is_refused or not said.keys() & {"type", "anyOf"} else said


def _maybe_null(schema: Object) -> Object | None:
    """A schema with something beside `anyOf`, which Vertex AI refuses ("it must be the only field set"). If it is one
    schema or null, with notes beside, as libraries write an optional value, it is that schema, which may be null.
    """
    notes = {key: value for key, value in schema.items() if key != "anyOf"}
    either = schema["anyOf"] if isinstance(schema["anyOf"], list) else []
    others = [one for one in either if one != _NULL]
    if len(others) != 1 or len(either) < 2 or not isinstance(others[0], dict) or not notes.keys() <= _NOTES:
        return None
    said = None if notes.keys() & others[0].keys() else gemini_schema(notes | others[0])
    return None if said is None else said | {"nullable": True}


def _requires_more(said: Object) -> bool:
    """Is a property required that is not there? Google: "property is not defined"."""
    required = said.get("required")
    known = as_object(said.get("properties"))
    return isinstance(required, list) and any(not isinstance(name, str) or name not in known for name in required)


def _said(key: str, item: Any, schema: Object) -> Object | None:
    if key in _PLAIN:
        return {key: item}
    match key:
        case "type":
            return _said_type(item)
        case "properties" if isinstance(item, dict):
            inner = {name: gemini_schema(value) for name, value in item.items()}
            ordered = (
                {} if list(inner) == sorted(inner) else {"propertyOrdering": list(inner)}
            )  # else Google sorts them
            return None if None in inner.values() else {key: inner, **ordered}
        case "items":
            one = gemini_schema(item)
            return None if one is None else {key: one}
        case "anyOf" if isinstance(item, list):
            every = [gemini_schema(value) for value in item]
            return None if None in every else {key: every}
        case "enum" if isinstance(item, list):
            return _said_enum(item, schema)
        case _:
            return None


def _said_type(item: Any) -> Object | None:
    match item:
        case str() if item in _TYPES:
            return {"type": _TYPES[item]}
        case [str(kind), "null"] | ["null", str(kind)] if kind in _TYPES and kind != "null":
            return {"type": _TYPES[kind], "nullable": True}
        case _:
            return None


def _said_enum(item: list[Any], schema: Object) -> Object | None:
    """An enum of strings, with null if the type allows it; None for any other."""
    words = [word for word in item if word is not None]
    of_strings = schema.get("type") in ("string", ["string", "null"], ["null", "string"])
    nullable = isinstance(schema.get("type"), list)
    known = all(isinstance(word, str) and word for word in words)  # one that is empty: "cannot be empty"
    fits = of_strings and known and (len(words) < len(item)) == nullable
    return {"enum": words} if fits else None
