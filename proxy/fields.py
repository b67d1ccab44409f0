"""Is a value of the client's body what its wire wants?"""

import math
from typing import Any, TypeGuard, TypeVar

from proxy.errors import BadRequest

Object = dict[str, Any]


def as_object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


T = TypeVar("T")
_TYPES = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "an object"}


def wrong(path: str, expected: str, value: object) -> BadRequest:
    came = _TYPES.get(type(value), "nothing")
    if value == "":
        came = "an empty string"
    return BadRequest(f"{path} must be {expected}, but {came} came.", param=path)


class Fields:
    """One object of the client's body: each taking checks a type, and what nobody took is left in `rest`."""

    __slots__ = ("at", "rest")

    def __init__(self, value: object, at: str) -> None:
        if not isinstance(value, dict):
            raise wrong(at, "an object", value)
        self.at = at
        self.rest: Object = {key: item for key, item in value.items() if item is not None}

    def path(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key

    def text(self, key: str) -> str | None:
        return self._take(key, str, "a string")

    def flag(self, key: str) -> bool | None:
        return self._take(key, bool, "a boolean")

    def integer(self, key: str) -> int | None:
        return self._take(key, int, "an integer")

    def object(self, key: str) -> Object | None:
        return self._take(key, dict, "an object")

    def number(self, key: str) -> float | None:
        value = self.rest.pop(key, None)
        if value is not None and not is_number(value):
            raise wrong(self.path(key), "a number", value)
        return value

    def need(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise wrong(self.path(key), "a string", None)
        return value

    def items(self, key: str) -> list[tuple[Any, str]]:
        """An array's items, each with its path."""
        values: list[Any] = self._take(key, list, "an array") or []
        return [(value, f"{self.path(key)}[{number}]") for number, value in enumerate(values)]

    def inner(self, key: str) -> "Fields":
        """An object within this one; what nobody takes of it stays here, under its key, once `keep` is called."""
        return Fields(self.rest.pop(key, None), self.path(key))

    def keep(self, key: str, inner: "Fields") -> None:
        if inner.rest:
            self.rest[key] = inner.rest

    def _take(self, key: str, kind: type[T], expected: str) -> T | None:
        value = self.rest.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise wrong(self.path(key), expected, value)
        return value


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
