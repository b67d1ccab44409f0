"""Which texts of a JSON body are megabytes long, and what is left of it without them?

The parser that notices a key which stands twice reads a text in one call of C, however long it is, and nobody else can
run meanwhile: 50 ms for ten megabytes of escapes. msgspec reads the same text in a third of the time. So long texts are
cut out and read by msgspec, and while the rest is parsed an object with a key that nobody can guess stands for each.

A long text is found by its middle, where every quote has a backslash before it. Half a megabyte of numbers looks the
same, and a text may end in an escaped backslash: then the cut is in the wrong place, what is left is no JSON, and the
body has to be read as it is.
"""

from secrets import token_hex
from typing import NamedTuple

LONG = 1024 * 1024  # bytes; a text of less may be overlooked
PLACE = token_hex(16)  # the key of an object that stands for a text; its value is the text's number

_STRIDE = LONG // 2  # so that at least one stretch of a long text contains neither of its ends


class Cut(NamedTuple):
    rest: bytes  # the body, and in it `{PLACE: number}` for each text
    texts: list[bytes]  # as JSON spells them, with their quotes


def cut(body: bytes) -> Cut:
    kept: list[bytes] = []
    texts: list[bytes] = []
    done = at = 0
    is_open = False  # does the stretch before have a bare quote, behind what is done?
    while at + _STRIDE <= len(body):
        if _has_bare(body, at, at + _STRIDE):
            is_open = True
        elif is_open:
            start, end = _last_bare(body, at - _STRIDE, at), _next_bare(body, at + _STRIDE)
            kept += [body[done:start], b'{"%b":%d}' % (PLACE.encode(), len(texts))]
            texts.append(body[start : end + 1])
            done = end + 1
            at, is_open = done - _STRIDE, False
        at += _STRIDE
    return Cut(b"".join([*kept, body[done:]]), texts)


def _has_bare(body: bytes, start: int, end: int) -> bool:
    """Is there a bare quote: one without a backslash before it?"""
    return body.count(b'"', start, end) > body.count(b'\\"', max(0, start - 1), end)


def _last_bare(body: bytes, start: int, end: int) -> int:
    """The place of the last bare quote; there is one."""
    while end - start > 1:
        middle = (start + end) // 2
        if _has_bare(body, middle, end):
            start = middle
        else:
            end = middle
    return start


def _next_bare(body: bytes, at: int) -> int:
    """The place of the first bare quote from there on; the body's last byte where there is none."""
    while at < len(body) and not _has_bare(body, at, at + _STRIDE):
        at += _STRIDE
    start, end = at, min(at + _STRIDE, len(body))
    while end - start > 1:
        middle = (start + end) // 2
        if _has_bare(body, start, middle):
            end = middle
        else:
            start = middle
    return min(start, len(body) - 1)
