"""Does a JSON body hold more values than anybody should build?

Counted by the separators that stand outside of strings, before anything is parsed.
"""

import re

from proxy.errors import BadRequest

VALUES = 100_000  # at any depth: of each, what is built may weigh hundreds of bytes

_STRIDE = 1024 * 1024  # bytes that are counted in one call of C, as nobody else can run meanwhile: a millisecond
_BEFORE_A_VALUE = (b",", b"[", b"{")
# Escapes and some of what is between them: so few that it takes milliseconds, as nobody else can run meanwhile.
_within_string = re.compile(rb'(?:[^"\\]{1,50}+|\\.){0,20000}+', re.DOTALL).match


def check_values(body: bytes) -> None:
    """Raises BadRequest where there are more than VALUES, before anything is built of them.

    Nothing is read of a body that is too short for so many, nor of one with too few separators, in strings or not.
    """
    if len(body) < 2 * VALUES or _separators(body) < VALUES:
        return
    found = at = 0
    while found < VALUES and at < len(body):
        quote = _quote(body, at)
        between = body[at:quote]
        found += between.count(b",") + between.count(b"[") + between.count(b"{")
        at = _behind_string(body, quote + 1)
    if found >= VALUES:
        raise BadRequest(f"The request body holds more than {VALUES} values.", code="too_many_values")


def _separators(body: bytes) -> int:
    """Those in strings as well."""
    starts = range(0, len(body), _STRIDE)
    return sum(body.count(separator, at, at + _STRIDE) for at in starts for separator in _BEFORE_A_VALUE)


def _behind_string(body: bytes, at: int) -> int:
    """Where the string has ended that begins there."""
    end = _quote(body, at)
    if body[end - 1 : end] == b"\\":
        end = at
        while (match := _within_string(body, end)) and match.end() > end:
            end = match.end()
    return end + 1


def _quote(body: bytes, at: int) -> int:
    """Where the next one stands; the body's end where there is none."""
    found = body.find(b'"', at)
    return found if found >= 0 else len(body)
