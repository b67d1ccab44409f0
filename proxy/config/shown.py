"""What is in force, who decided it, and what could be configured?

`config show`: the configuration in force as YAML, with secrets as *** and the origin of each value. `config schema`:
the JSON Schema for editors.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct, inspect
from msgspec.inspect import BoolType, FloatType, IntType, ListType, LiteralType
from msgspec.structs import replace

from proxy.config.address import without_query
from proxy.config.checks import base_url
from proxy.config.environment import Leaf, is_secret, leaves
from proxy.config.layers import Layers
from proxy.config.schema import File
from proxy.config.values import DEFAULT, Keys, Origin

Origins: TypeAlias = Mapping[Keys, Origin]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NONE = {"type": "null"}
# A variable may stand where the schema wants a number, a boolean, one of several words, or a list.
_VARIABLE = {"type": "string", "pattern": r"^\$\{.+\}$"}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NO_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # to YAML 1.1


class Flag(NamedTuple):
    """A flag of the command line, and the variable that it stands for."""

    name: str
    variable: str
    is_switch: bool
    description: str
    placeholder: str  # what its value looks like
    default: str  # as it would be typed; "" where there is none


def flags() -> list[Flag]:
    """One for every variable except the secrets': others can see what is typed."""
    return [
        Flag(
            "-".join(leaf.keys).replace("_", "-"),
            leaf.variable(),
            isinstance(leaf.kind, BoolType),
            leaf.description,
            _placeholder(leaf),
            _default(leaf.default),
        )
        for leaf in leaves(File)
        if not leaf.is_secret
    ]


def _placeholder(leaf: Leaf) -> str:
    match leaf.kind:
        case BoolType():
            return "true|false"
        case LiteralType(values=values):
            return "|".join(map(str, values))
        case ListType():
            return "A,B"
        case IntType() | FloatType():
            return leaf.unit.upper() or "N"
        case _:
            return "TEXT"


def _default(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, str):
        return value
    return "" if value in (None, UNSET) else _text(value)


def json_schema() -> str:
    """Draft 2020-12, of config.yaml."""
    schema = _with_variables({"$schema": _DIALECT, "title": "pillion's config.yaml", **msgspec.json.schema(File)})
    for table in schema["$defs"].values():
        optional = table["properties"].keys() - table.get("required", [])
        table["properties"] |= {key: _or_empty(table["properties"][key]) for key in optional}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()


def _or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """A key without a value counts as unset, so null is allowed."""
    said: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: item for key, item in schema.items() if key not in said}
    ways = rest.get("anyOf") or [rest]
    return {**said, "anyOf": ways if _NONE in ways else [*ways, _NONE]}


def _with_variables(schema: Any) -> Any:
    match schema:
        case {"type": "number" | "integer" | "boolean" | "array"} | {"enum": [str(), *_]}:
            said = {key: schema[key] for key in ("description", "default") if key in schema}
            rest = {key: _with_variables(item) for key, item in schema.items() if key not in said}
            return {**said, "anyOf": [rest, _VARIABLE]}
        case dict():
            return {key: _with_variables(item) for key, item in schema.items()}
        case list():
            return [_with_variables(item) for item in schema]
        case _:
            return schema


def show(layers: Layers) -> str:
    """The effective configuration as YAML, without its secrets, and with each location in its URL."""
    rows = {
        name: value and replace(value, base_url=base_url(value, layers.rows[name]))
        for name, value in layers.file.providers.items()
    }
    return "\n".join(_struct(replace(layers.file, providers=rows), layers.origins, ())) + "\n"


def _struct(value: Struct, origins: Origins, keys: Keys) -> Iterator[str]:
    info = inspect.type_info(type(value))
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        item = getattr(value, field.encode_name)
        yield from _entry(field.encode_name, item, origins, (*keys, field.encode_name), is_secret(field.type))


def _entry(name: str, value: Any, origins: Origins, keys: Keys, secret: bool) -> Iterator[str]:
    """`name: value  # where it is from`; a table's own lines are indented below its name."""
    match value:
        case Struct():
            yield f"{name}:"
            yield from (f"  {line}" for line in _struct(value, origins, keys))
        case dict() if value:
            yield f"{name}:"
            for key, item in value.items():
                yield from (f"  {line}" for line in _entry(_text(key), item, origins, (*keys, key), secret))
        case list() if any(isinstance(item, Struct) for item in value):
            yield f"{name}:"
            for n, item in enumerate(value):
                yield from _item(item, origins, (*keys, f"[{n}]"), secret)
        case str() if keys == ("jwt", "jwks"):
            yield f"{name}: {_text(without_query(value))}  # {_place(origins, keys)}"
        case _:
            yield f"{name}: {_shown(value, secret)}  # {_place(origins, keys)}"


def _item(value: Any, origins: Origins, keys: Keys, secret: bool) -> Iterator[str]:
    """An item of a list in which some items are tables."""
    if isinstance(value, Struct):
        lines = _struct(value, origins, keys)
    else:
        lines = iter([f"{_shown(value, secret)}  # {_place(origins, keys)}"])
    yield from (f"  {'  ' if n else '- '}{line}" for n, line in enumerate(lines))


def _shown(value: Any, secret: bool) -> str:
    return "'***'" if secret and value else _text(value)


def _text(value: Any) -> str:
    """A scalar, or a list or table of them, as YAML: JSON is, and a plain word needs no quotes."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT:
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    return msgspec.json.encode(value).decode()


def _place(origins: Origins, keys: Keys) -> str:
    """Where a value comes from; one that nobody has set is a default."""
    return str(origins.get(keys, DEFAULT))
