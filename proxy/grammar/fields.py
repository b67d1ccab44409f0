"""How is JSON that somebody else wrote read, and checked against its wire?

Every dialect reads two kinds of it. A client's body is taken apart by `Fields`, strictly: a wrong type is a BadRequest
with the field's path, null means absent, and what nobody took stays in `rest`, so that no field gets lost in silence. A
provider's answer is read by `as_object` and the like, which skip what they cannot use; what cannot be skipped is
`nonsense`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, TypeGuard, TypeVar

import msgspec

from proxy.errors import BadRequest, Down, excerpt
from proxy.grammar.alphabets import in_standard_alphabet

T = TypeVar("T")
Object = dict[str, Any]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec raises for bytes that are no JSON

encode_json = msgspec.json.encode
decode_json = msgspec.json.Decoder().decode
_halves = re.compile("[\ud800-\udfff]")


def dump(value: object) -> bytes:
    """The value's JSON. Raises BadRequest where it is nested too deeply."""
    try:
        return encode_json(value)
    except UnicodeEncodeError:  # an error may quote a path or a header whose bytes are no UTF-8
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _halves.sub("\ufffd", text).encode()  # escapes of those are JSON that strict readers refuse
    except RecursionError:
        raise BadRequest("The body is nested too deeply.", code="invalid_json") from None


# --- a client's body -------------------------------------------------------------------------------------------------

_TYPES = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal number", list: "an array"}


def wrong(path: str, expected: str, value: object) -> BadRequest:
    """`value`: None where it is missing, which null means as well."""
    if value is None:
        return BadRequest(f"{path} must be {expected}, but it is missing or null.", param=path)
    came = "an empty string" if value == "" else _TYPES.get(type(value), "an object")
    return BadRequest(f"{path} must be {expected}, not {came}.", param=path)


def wrong_word(path: str, expected: str, word: str) -> BadRequest:
    return BadRequest(f"{path} must be {expected}, not {excerpt(word)!r}.", param=path)


class Left(Object):
    """The keys that nobody took of an inner object, which was understood but for these."""


class Verbatim(Object):
    """Something that was understood, in the client's own spelling: only the wire it came on needs it again."""


def paths(left: Object, at: str = "", idle: Mapping[str, tuple[object, ...]] | None = None) -> Iterator[str]:
    """The paths of what nobody took, such as `generationConfig.speechConfig`.

    `idle`: by their keys, the values that ask for what is so anyway.
    """
    for key, value in left.items():
        if isinstance(value, Left):
            yield from paths(value, f"{at}{key}.", idle)
        elif not (isinstance(value, Verbatim) or (idle and value in idle.get(key, ()))):
            yield at + key


class Fields:
    """One object of the client's body. Each method takes a field and checks its type; `need_...` refuses absence as
    well.

    Most optional fields are absent, so that is checked first, before any call.
    """

    __slots__ = ("at", "rest")

    def __init__(self, value: object, at: str) -> None:
        if not isinstance(value, dict):
            raise wrong(at, "an object", value)
        self.at = at
        self.rest: Object = without_nulls(value) if None in value.values() else value.copy()

    def path(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key

    def text(self, key: str) -> str | None:
        return self._take(key, str, "a string") if key in self.rest else None

    def flag(self, key: str) -> bool | None:
        return self._take(key, bool, "a boolean") if key in self.rest else None

    def integer(self, key: str) -> int | None:
        return self._take(key, int, "an integer") if key in self.rest else None

    def number(self, key: str) -> float | None:
        value = self.rest.pop(key, None)
        if value is not None and not is_number(value):
            raise wrong(self.path(key), "a number", value)
        return value

    def array(self, key: str) -> list[Any] | None:
        return self._take(key, list, "an array") if key in self.rest else None

    def object(self, key: str) -> Object | None:
        return self._take(key, dict, "an object") if key in self.rest else None

    def labels(self, key: str) -> dict[str, str] | None:
        """An object of strings."""
        labels = self.object(key)
        for name, value in (labels or {}).items():
            if not isinstance(value, str):
                raise wrong(f"{self.path(key)}.{name}", "a string", value)
        return labels

    def texts(self, key: str) -> list[str] | None:
        """An array of strings."""
        if key not in self.rest:
            return None
        values = self.items(key)
        for value, at in values:
            if not isinstance(value, str):
                raise wrong(at, "a string", value)
        return [value for value, _ in values]

    def items(self, key: str) -> list[tuple[Any, str]]:
        """An array's items, each with its path; empty where there is no array."""
        if key not in self.rest:
            return []
        at = self.path(key)
        return [(value, f"{at}[{number}]") for number, value in enumerate(self._take(key, list, "an array"))]

    def inner(self, key: str) -> "Fields":
        """An object within this one, empty where there is none. What is not taken is lost unless `keep` follows."""
        return Fields(self.rest.pop(key, {}), self.path(key))

    def keep(self, key: str, inner: "Fields") -> None:
        """Put back what is left of an inner object."""
        if inner.rest:
            self.rest[key] = Left(inner.rest)

    def need_text(self, key: str) -> str:
        value = self.rest.pop(key, None)
        if not isinstance(value, str):
            raise wrong(self.path(key), "a string", value)
        return value

    def need_name(self, key: str) -> str:
        """A non-empty string."""
        value = self.text(key)
        if not value:
            raise wrong(self.path(key), "a non-empty string", value)
        return value

    def need_natural(self, key: str) -> int:
        """An integer that is not negative."""
        value = self._need(key, self.integer, "an integer")
        if value < 0:
            raise wrong_word(self.path(key), "a non-negative integer", str(value))
        return value

    def need_object(self, key: str) -> Object:
        return self._need(key, self.object, "an object")

    def need_items(self, key: str) -> list[tuple[Any, str]]:
        if key not in self.rest:
            raise wrong(self.path(key), "an array", None)
        return self.items(key)

    def need_inner(self, key: str) -> "Fields":
        return Fields(self.rest.pop(key, None), self.path(key))

    def _need(self, key: str, take: Callable[[str], T | None], expected: str) -> T:
        value = take(key)
        if value is None:
            raise wrong(self.path(key), expected, None)
        return value

    def _take(self, key: str, kind: type[T], expected: str) -> T:
        """The value of a key that is there."""
        value = self.rest.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise wrong(self.path(key), expected, value)
        return value


def standard_base64(text: str) -> str:
    """The same bytes in the canonical form's base64: standard alphabet, padded, on one line.

    Google's SDKs write the URL-safe alphabet; some tools leave out the padding or break lines. Text that is no base64
    stays as it is, and whoever must decode it refuses it.
    """
    if "-" in text or "_" in text:
        text = in_standard_alphabet(text)
    if "\n" in text or "\r" in text:
        text = "".join(text.split())
    return text + _PADDING[len(text) % 4]


_PADDING = ("", "", "==", "=")  # by the length modulo 4; no base64 has a rest of 1


# --- a provider's answer ---------------------------------------------------------------------------------------------


def nonsense(why: str) -> Down:
    return Down(f"The provider's answer could not be read: {why}.", code="upstream_protocol")


def cut_short() -> Down:
    return Down("The provider's answer ended before it was complete.", code="upstream_cut")


def json_of(body: bytes) -> object:
    """What a whole answer's JSON says. Raises UpstreamError."""
    try:
        return decode_json(body)
    except UNREADABLE:
        raise nonsense("it is not valid JSON") from None


def no_answer(body: bytes) -> Down:
    """For bytes that came as an answer and are none, nor an error: a page of HTML, or nothing."""
    message = "The provider's answer is empty." if not body.strip() else "The provider's answer could not be read."
    return Down(message, code="upstream_protocol")


def as_object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def text_in(said: Object, key: str) -> str:
    """A field that must be a text if it is there; "" where it is not. Raises UpstreamError."""
    value = said.get(key)
    if value is not None and not isinstance(value, str):
        raise nonsense(f"{key} is not a string")
    return value or ""


def object_in(body: bytes) -> Object:
    """The JSON object in these bytes; empty where there is none."""
    try:
        return as_object(decode_json(body))
    except UNREADABLE:
        return {}


def without_nulls(fields: Object) -> Object:
    return {key: value for key, value in fields.items() if value is not None}


def merged(fields: Object, more: Object) -> Object:
    """Both; where both have an object under one key, these are merged as well."""
    both = fields | more
    for key in fields.keys() & more.keys():
        if isinstance(fields[key], dict) and isinstance(more[key], dict):
            both[key] = merged(fields[key], more[key])
    return both


def is_number(value: object) -> TypeGuard[float]:
    """A number that a double can hold, or an integer of any size."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and isfinite(value))


def kept_headers(headers: Mapping[str, str], limits: str) -> list[tuple[str, str]]:
    """The headers that tell the client when to retry. `limits`: the prefix of the wire's own rate limit headers."""
    return [each for each in headers.items() if (name := each[0].lower()) in _RETRY or name.startswith(limits)]


_RETRY = {"retry-after", "retry-after-ms", "x-should-retry"}
