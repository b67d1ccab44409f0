"""Does a JSON body hold more values than anybody should build?

Counted by the separators that stand outside of strings, before anything is parsed.
"""

import re

from proxy.errors import BadRequest

MOST = 100_000  # at any depth: of each, what is built may weigh hundreds of bytes
LIGHT = 1024 * 1024  # bytes; whatever a shorter body holds weighs 40 MiB at most when it is built

_STRIDE = 1024 * 1024  # bytes that are counted in one call of C, as nobody else can run meanwhile: a millisecond
_BEFORE_A_VALUE = b",[{"
# Escapes and some of what is between them: so few that it takes milliseconds, as nobody else can run meanwhile.
_within_string = re.compile(rb'(?:[^"\\]{1,50}+|\\.){0,20000}+', re.DOTALL).match


def check_values(body: bytes) -> None:
    """Raises BadRequest where a body that is not LIGHT has more than MOST, before anything is built of them.

    Nothing is read of a light body, and no strings are told apart in one with too few separators, theirs included.
    """
    if len(body) < LIGHT or _separators(body) < MOST:
        return
    found = at = 0
    while found < MOST and at < len(body):
        quote = _quote(body, at)
        found += _count(body[at:quote])
        at = _behind_string(body, quote + 1)
    if found >= MOST:
        raise BadRequest(f"The request body holds more than {MOST} values.", code="too_many_values")


def _separators(body: bytes) -> int:
    """Those in strings as well."""
    return sum(_count(body[at : at + _STRIDE]) for at in range(0, len(body), _STRIDE))


def _count(text: bytes) -> int:
    """How many there are: in one pass for the three of them."""
    return len(text) - len(text.translate(None, _BEFORE_A_VALUE))


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
