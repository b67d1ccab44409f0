"""What does JSON hold that somebody else wrote, and is it what its wire wants?

Every dialect reads two strangers, and each in its own way. A client's body is taken apart by `Fields`, strictly: a
wrong type is a BadRequest with the field's path, a null says what absence says, and what nobody took stays in `rest`,
so that no field is lost in silence. A provider's answer is read by `as_object` and the like, which pass over what they
cannot use; what cannot be passed over is `nonsense`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, TypeGuard, TypeVar

import msgspec

from proxy.errors import BadRequest, Down

T = TypeVar("T")
Object = dict[str, Any]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec says of bytes that are no JSON

encode_json = msgspec.json.encode
decode_json = msgspec.json.Decoder().decode


def dump(value: object) -> bytes:
    """The value's JSON. Raises BadRequest where it is nested too deeply."""
    try:
        return encode_json(value)
    except UnicodeEncodeError:  # an error may quote a header whose bytes are no UTF-8; an escape can spell even those
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise BadRequest("The body is nested too deeply.", code="invalid_json") from None


# --- a client's body -------------------------------------------------------------------------------------------------

_TYPES = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "an object"}


def wrong(path: str, expected: str, value: object) -> BadRequest:
    came = _TYPES.get(type(value), "nothing")
    if value == "":
        came = "an empty string"
    return BadRequest(f"{path} must be {expected}, but {came} came.", param=path)


def wrong_word(path: str, expected: str, word: str) -> BadRequest:
    return BadRequest(f"{path} must be {expected}, but {word[:40]!r} came.", param=path)


class Left(Object):
    """What nobody took of an inner object: the object itself was understood, or all of it where nothing is left."""


class Verbatim(Object):
    """What was understood, as the client spelled it: its own wire gets it again so, and no other one misses it."""


def paths(left: Object, at: str = "") -> Iterator[str]:
    """The names of what nobody took, such as `generationConfig.speechConfig`."""
    for key, value in left.items():
        if isinstance(value, Left):
            yield from paths(value, f"{at}{key}.")
        elif not isinstance(value, Verbatim):
            yield at + key


class Fields:
    """One object of the client's body. Each taking checks a type; `need_...` refuses absence as well.

    Most of what may be there is not: so that is looked at first, before anything is called.
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
        """An array's items, each with its path; none where there is no array."""
        if key not in self.rest:
            return []
        at = self.path(key)
        return [(value, f"{at}[{number}]") for number, value in enumerate(self._take(key, list, "an array") or ())]

    def inner(self, key: str) -> "Fields":
        """An object within this one, empty where there is none. What nobody takes of it is lost, but for `keep`."""
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
        """A string that is not empty."""
        value = self.text(key)
        if not value:
            raise wrong(self.path(key), "a string that is not empty", value)
        return value

    def need_natural(self, key: str) -> int:
        """An integer that is not negative."""
        value = self._need(key, self.integer, "an integer")
        if value < 0:
            raise wrong_word(self.path(key), "an integer that is not negative", str(value))
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

    def _take(self, key: str, kind: type[T], expected: str) -> T | None:
        value = self.rest.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise wrong(self.path(key), expected, value)
        return value


def standard_base64(text: str) -> str:
    """The same bytes in base64's standard alphabet, padded and in one line, as the canonical form has them.

    Google's SDKs write the URL-safe alphabet, some tools leave the padding out or break lines. What is no base64 stays
    none: who must decode it refuses it.
    """
    if "-" in text or "_" in text:
        text = text.translate(_STANDARD)
    if "\n" in text or "\r" in text:
        text = "".join(text.split())
    return text + _PADDING[len(text) % 4]


_STANDARD = str.maketrans("-_", "+/")
_PADDING = ("", "", "==", "=")  # by what is left of its groups of four; one alone is the end of none


# --- a provider's answer ---------------------------------------------------------------------------------------------


def nonsense(why: str) -> Down:
    return Down(f"The provider's answer makes no sense: {why}.")


def as_object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def text_in(said: Object, key: str) -> str:
    """A text that must be none other; "" where there is none. Raises UpstreamError."""
    value = said.get(key)
    if value is not None and not isinstance(value, str):
        raise nonsense(f"{key} is no text")
    return value or ""


def object_in(body: bytes) -> Object:
    """The object that the JSON spells; empty where it spells none."""
    try:
        return as_object(decode_json(body))
    except UNREADABLE:
        return {}


def count_of(value: object) -> int:
    """A number of tokens: whatever is none (negative, huge, a string) counts as nothing."""
    if type(value) is not int and type(value) is not float:
        return 0
    return int(value) if 0 <= value <= SANE else 0


def are_counts(told: Object, keys: Iterable[str]) -> bool:
    """Is each of these a number of tokens, or not told? What is neither counts as nothing, and should be flagged."""
    for key in keys:
        if key in told:
            value = told[key]
            if not (type(value) is int and 0 <= value <= SANE) and not _is_rare_count(value):
                return False
    return True


def is_null_beside(told: Object, read: str, written: str) -> bool:
    """Is one of these two null, and the other told? It is unknown then, and no nought; what is missing may be one."""
    return read in told and written in told and (told[read] is None) != (told[written] is None)


def placed(tier: str, place: str) -> str:
    """A service tier, and the place to which inference is kept, where that is any: "standard@us" is dearer."""
    return tier if place in _ANYWHERE else f"{tier or 'standard'}@{place}"


# Anthropic's words: https://platform.claude.com/docs/en/build-with-claude/data-residency
_ANYWHERE = ("", "global", "not_available")


def _is_rare_count(value: object) -> bool:
    return value is None or (type(value) is float and 0 <= value <= SANE)


SANE = 10**12  # tokens; nobody read more


def without_nulls(fields: Object) -> Object:
    return {key: value for key, value in fields.items() if value is not None}


def merged(fields: Object, more: Object) -> Object:
    """Both; where the two have an object of one name, the two objects in one."""
    both = fields | more
    for key in fields.keys() & more.keys():
        if isinstance(fields[key], dict) and isinstance(more[key], dict):
            both[key] = merged(fields[key], more[key])
    return both


def is_number(value: object) -> TypeGuard[float]:
    """A number, and one that a double can hold; an integer may have any size."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and isfinite(value))


def kept_headers(headers: Mapping[str, str], limits: str) -> list[tuple[str, str]]:
    """What tells the client when to ask again. `limits`: how the names of the wire's own rate limits begin."""
    return [
        (name, value) for name, value in headers.items() if name.lower() in _RETRY or name.lower().startswith(limits)
    ]


_RETRY = {"retry-after", "retry-after-ms", "x-should-retry"}
