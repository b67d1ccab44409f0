"""Does what was written have the types of the schema?

msgspec's own conversion stops at the first mistake and knows no lines. This one walks the same types, notes every
mistake with its place, and goes on with the default.
"""

import re
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, inspect

from proxy.config.meant import in_place, meant
from proxy.config.values import Keys, Mistakes, Node, Origin, Scalar, Series, Table, is_null, is_unset, separated, what

T = TypeVar("T", bound=Struct)
Notes = Mapping[str, Any]  # `extra` of the schema's Meta

SHOWN: Final = 16  # characters; a longer value at the wrong place may be a key, and is not shown
DIGITS: Final = 18  # of a whole number that every JSON reader can hold

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_ANY: Final = inspect.AnyType()


_type_of = cache(inspect.type_info)


class Conversion:
    """`origins` fills with the place of every value, `nulls` with the keys of those that were a null."""

    def __init__(self, mistakes: Mistakes) -> None:
        self.origins: dict[Keys, Origin] = {}
        self.nulls: set[Keys] = set()
        self._mistakes = mistakes
        self._whole: inspect.Type = _ANY

    def struct(self, node: Node, schema: type[T], keys: Keys = ()) -> T:
        """The schema's struct, with defaults in place of mistakes. Each of its keys must have a default."""
        self._whole = _type_of(schema)
        value = self._of(node, self._whole, keys)
        return schema() if value is UNSET else value

    def _of(self, node: Node, wanted: inspect.Type, keys: Keys) -> Any:
        """The value; UNSET where it was a mistake."""
        wanted, notes = _plain(wanted, node)
        self.origins[keys] = node.origin
        if isinstance(wanted, inspect.AnyType):
            return self._any(node, keys)
        if isinstance(node, Scalar) and node.kind == "given" and isinstance(wanted, inspect.ListType):
            node = separated(node)
        if isinstance(node, Scalar):
            return self._scalar(node, wanted, notes, keys)
        if isinstance(wanted, inspect.StructType) and isinstance(node, Table):
            return self._struct(node, wanted, keys)
        if isinstance(wanted, inspect.DictType) and isinstance(node, Table):
            return self._dict(node, wanted.value_type, keys)
        if isinstance(wanted, inspect.ListType) and isinstance(node, Series):
            items = [self._of(item, wanted.item_type, (*keys, f"[{n}]")) for n, item in enumerate(node.items)]
            return [item for item in items if item is not UNSET]
        problem = f"expected {_expected(wanted, notes)}, got {what(node)}{in_place(node, wanted)}"
        self._mistakes.add(node.origin, keys, problem)
        return UNSET

    def _struct(self, node: Table, wanted: inspect.StructType, keys: Keys) -> Any:
        fields = {field.encode_name: field for field in wanted.fields}
        values = {}
        for key, item in node.entries.items():
            if key not in fields:
                self._mistakes.add(item.origin, (*keys, key), f"unknown key; {meant(key, wanted, self._whole)}")
            elif is_null(item):
                self.nulls.add((*keys, key))
            else:
                values[key] = self._of(item, fields[key].type, (*keys, key))
        missing = [name for name, field in fields.items() if field.required and name not in values]
        for name in missing:
            self._mistakes.add(node.origin, keys, f"{name} is missing")
        good = {name: value for name, value in values.items() if value is not UNSET}
        return UNSET if any(fields[name].required and name not in good for name in fields) else wanted.cls(**good)

    def _dict(self, node: Table, wanted: inspect.Type, keys: Keys) -> dict[str, Any]:
        said = {key: item for key, item in node.entries.items() if not is_unset(item)}
        values = {key: self._of(item, wanted, (*keys, key)) for key, item in said.items()}
        return {key: value for key, value in values.items() if value is not UNSET}

    def _any(self, node: Node, keys: Keys) -> Any:
        """A value of any type that JSON has; UNSET where it was a mistake."""
        match node:
            case Table():
                return self._dict(node, _ANY, keys)
            case Series():
                items = [self._of(item, _ANY, (*keys, f"[{n}]")) for n, item in enumerate(node.items)]
                return [item for item in items if item is not UNSET]
            case Scalar(kind="null"):
                return UNSET if self._mistakes.within(*keys) else None
            case Scalar():
                value = _free(node)
                if value is UNSET:
                    self._mistakes.add(node.origin, keys, f"expected JSON, got {_unclear(node)}")
                return value

    def _scalar(self, node: Scalar, wanted: inspect.Type, notes: Notes, keys: Keys) -> Any:
        if node.kind == "null" and self._mistakes.within(*keys):
            return UNSET  # what stood here could not be expanded
        value = _read(node, wanted, notes)
        if value is UNSET or (isinstance(value, int | float) and not _is_within(value, wanted)):
            top = _top(value, wanted)
            problem = f"expected {_expected(wanted, notes, top)}, got {_got(node, wanted, notes)}"
            self._mistakes.add(node.origin, keys, problem)
            return UNSET
        return value


def default_of(field: inspect.Field) -> Any:
    return field.default if field.default is not NODEFAULT else field.default_factory()


def _plain(wanted: inspect.Type, node: Node) -> tuple[inspect.Type, Notes]:
    """The type without its metadata, and of a union the member that the node can be; and the metadata."""
    notes: dict[str, Any] = {}
    while isinstance(wanted, inspect.Metadata | inspect.UnionType):
        if isinstance(wanted, inspect.Metadata):
            notes |= wanted.extra or {}
            wanted = wanted.type
        else:
            choices = [each for each in wanted.types if not isinstance(each, inspect.NoneType)]
            structs = [each for each in choices if isinstance(each, inspect.StructType)]
            wanted = structs[0] if structs and (isinstance(node, Table) or len(choices) == 1) else choices[0]
    return wanted, notes


def _read(node: Scalar, wanted: inspect.Type, notes: Notes) -> Any:
    text, is_given = node.text, node.kind == "given"
    is_real = node.kind == "number" or is_given or notes.get("unit") == "dollars"  # many quote amounts of money
    match wanted:
        case inspect.StrType() if node.kind == "text" or is_given:
            return text if _is_unicode(text) else UNSET
        case inspect.LiteralType() if node.kind == "text" or is_given:
            word = text.lower()
            word = notes.get("also", {}).get(word, word)
            return word if word in wanted.values else UNSET
        case inspect.BoolType() if node.kind == "boolean" or is_given:
            return _BOOLEANS.get(text.strip().lower(), UNSET)
        case inspect.IntType() if (node.kind == "number" or is_given) and _WHOLE.fullmatch(text.strip()):
            return int(text) if len(text) <= DIGITS else UNSET
        case inspect.FloatType() if is_real and _DECIMAL.fullmatch(text.strip()):
            return float(text)
    return UNSET


def _free(node: Scalar) -> Any:
    """A scalar of any type, by what it looks like; UNSET where YAML 1.1 and JSON would read different values.

    The value of a variable is a number or a boolean where it looks like one.
    """
    text = node.text.strip()
    if node.kind in ("boolean", "given") and text in ("true", "false"):
        return text == "true"
    if node.kind in ("number", "given") and (value := _number(text)) is not UNSET:
        return value
    return node.text if node.kind in ("text", "given") and _is_unicode(node.text) else UNSET


def _number(text: str) -> Any:
    """UNSET where it is no number in JSON, or one that readers may round differently."""
    if _WHOLE.fullmatch(text) and len(text) <= DIGITS:
        return int(text)
    is_real = _DECIMAL.fullmatch(text) and not _WHOLE.fullmatch(text) and isfinite(float(text))
    return float(text) if is_real else UNSET


def _unclear(node: Scalar) -> str:
    if not _is_unicode(node.text):
        return _NO_UNICODE
    if node.kind == "boolean":
        return f"{node.text}, which YAML 1.1 reads as true or false: write those, or put it in quotes"
    shown = node.text if len(node.text) <= SHOWN else "a value"
    return f"{shown}, which is not plain JSON: put it in quotes, or write plain digits"


_NO_UNICODE = "a value that is not UTF-8"


def _is_unicode(text: str) -> bool:
    """A variable may hold bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_within(value: float, wanted: inspect.Type) -> bool:
    if isinstance(value, bool) or not isinstance(wanted, inspect.IntType | inspect.FloatType):
        return True
    above = wanted.gt is None or value > wanted.gt
    return above and (wanted.ge is None or value >= wanted.ge) and (wanted.le is None or value <= wanted.le)


def _top(value: Any, wanted: inspect.Type) -> str:
    """The upper bound, where the value exceeds it; otherwise the message does not mention it."""
    if value is UNSET or not isinstance(wanted, inspect.IntType | inspect.FloatType) or wanted.le is None:
        return ""
    return f", at most {wanted.le}" if value > wanted.le else ""


def _expected(wanted: inspect.Type, notes: Notes, top: str = "") -> str:
    unit = f" of {notes['unit']}" if "unit" in notes else ""
    match wanted:
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return f"one of {', '.join(str(value) for value in wanted.values)}"
        case inspect.IntType():
            return f"a whole number{unit}" + (top or f", at least {wanted.ge}")
        case inspect.FloatType():
            return f"a number{unit}" + (top or (" above 0" if wanted.gt is not None else f", at least {wanted.ge:g}"))
        case inspect.ListType():
            return "a list"
        case inspect.StructType() if needed := [field.encode_name for field in wanted.fields if field.required]:
            return f"a mapping ({', '.join(f'{name}: ...' for name in needed)})"
        case _:
            return "a mapping (key: value)"


def _got(node: Scalar, wanted: inspect.Type, notes: Notes) -> str:
    if node.kind == "null":
        return "nothing"
    if not _is_unicode(node.text):
        return _NO_UNICODE
    is_text = node.kind in ("text", "given")
    quoted = msgspec.json.encode(node.text).decode() if is_text else node.text
    hidden = node.hidden or notes.get("secret") or len(node.text) > SHOWN
    if isinstance(wanted, inspect.StructType | inspect.DictType | inspect.ListType):
        return f"{what(node)}{in_place(node, wanted)}"
    shown = "a value that is not shown" if hidden else quoted
    if isinstance(wanted, inspect.StrType | inspect.LiteralType) and not is_text:
        return f"{shown}, which YAML reads as a {node.kind}: put it in quotes"
    if node.kind in ("number", "date"):
        return f"{shown}, which YAML 1.1 reads as something else: write plain digits" if _is_odd(node) else shown
    return shown


def _is_odd(node: Scalar) -> bool:
    """To YAML 1.1, 0123 is octal, 12:30 sexagesimal, and 1_000 a thousand."""
    return not _DECIMAL.fullmatch(node.text)
