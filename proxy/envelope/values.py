"""Does a JSON body hold more values than anybody should build?

Counted by the separators that stand outside of strings, before anything is parsed.
"""

import re

from proxy.errors import BadRequest

MOST = 100_000  # at any depth; each may take hundreds of bytes once it is built
LIGHT = 1024 * 1024  # bytes; the values of a shorter body take 40 MiB at most once they are built

_STRIDE = 1024 * 1024  # bytes counted in one call of C, during which nobody else can run: a millisecond
_BEFORE_A_VALUE = b",[{"
# Escapes and some of what is between them; bounded, because nobody else can run during the match: some milliseconds.
_within_string = re.compile(rb'(?:[^"\\]{1,50}+|\\.){0,20000}+', re.DOTALL).match


def check_values(body: bytes) -> None:
    """Raises BadRequest where a body that is not shorter than LIGHT has more than MOST.

    One that has too few separators, even with those in strings, is not looked into.
    """
    if len(body) < LIGHT or _separators(body) < MOST:
        return
    found = at = 0
    while found < MOST and at < len(body):
        quote = _quote(body, at)
        found += _count(body[at:quote])
        at = _behind_string(body, quote + 1)
    if found >= MOST:
        raise BadRequest(f"The request body contains more than {MOST} values.", code="too_many_values")


def _separators(body: bytes) -> int:
    """How many there are, also in strings."""
    return sum(_count(body[at : at + _STRIDE]) for at in range(0, len(body), _STRIDE))


def _count(text: bytes) -> int:
    """All three kinds of them in one pass."""
    return len(text) - len(text.translate(None, _BEFORE_A_VALUE))


def _behind_string(body: bytes, at: int) -> int:
    """The place behind the string that begins there."""
    end = _quote(body, at)
    if body[end - 1 : end] == b"\\":
        end = at
        while (match := _within_string(body, end)) and match.end() > end:
            end = match.end()
    return end + 1


def _quote(body: bytes, at: int) -> int:
    """The place of the next quote; the body's end where there is none."""
    found = body.find(b'"', at)
    return found if found >= 0 else len(body)
