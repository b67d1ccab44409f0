"""What does a whole JSON body say, on every level, and does each object in it have a key only once?

The standard library's parser hands out an object's pairs before they become a dict, so it sees a key that stands twice.
msgspec keeps the last of the two in silence, but reads five times as fast: so it reads first, and its answer is taken
where that can be shown to hold every key.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Any, NoReturn

import msgspec

from proxy.envelope.refusals import duplicate, unreadable
from proxy.envelope.texts import LONG, PLACE, cut
from proxy.envelope.values import check_values
from proxy.errors import BadRequest

DIGITS = 400  # of a whole number in a long body: no double has more, and one of thousands takes a millisecond to write
SHORT = 64 * 1024  # bytes; a body of no more has room for a few of any length

_read = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_STRIDE = DIGITS // 2  # a longer number covers two neighbours of the bytes that stand so far apart, and all in between
_neighbours = re.compile(rb"[0-9](?=[0-9])").finditer
_long_number = re.compile(rb"(?<![0-9])[0-9]{%d}" % (DIGITS + 1)).search


def parse_object(body: bytes, is_part: bool = False) -> dict[str, Any]:
    """The whole body, every level of it. `is_part`: it is a text within a request, which may hold many of them.

    Raises BadRequest: malformed, no object, too deep, a key twice at any depth.
    """
    check_values(body)
    try:
        value = _without_long_texts(body) if len(body) > LONG else _fast(body, is_part)
        if value is None:
            value = _strict(body.decode())
            if b"\\u" in body:
                _members(body)  # json takes half a surrogate pair, which no UTF-8 can carry; msgspec does not
    except RecursionError:
        raise BadRequest("The request body is nested too deeply.", code="invalid_json") from None
    except ValueError as error:  # malformed JSON, bytes that are no UTF-8, a number of too many digits
        raise unreadable("The request body", body, error) from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.", code="invalid_json")
    return value


def _fast(body: bytes, is_part: bool) -> Any:
    return None if (is_part or len(body) > SHORT) and _has_long_number(body) else _without_twins(body)


def _has_long_number(body: bytes) -> bool:
    """Or a text of so many digits. To look at each byte would take longer than to parse them all."""
    for found in _neighbours(body[::_STRIDE]):
        at = found.start() * _STRIDE
        if body[at : at + _STRIDE].isdigit() and _long_number(body, max(at - DIGITS, 0), at + 2 * DIGITS):
            return True
    return False


def _without_twins(body: bytes) -> Any:
    """What the body spells; None where a key may stand twice in it, or it is no JSON: `_strict` says which.

    A value that encodes to the very bytes of the body has lost no key; most clients encode as msgspec does. Otherwise
    its quotes are counted, which are fewer where a key was lost. That fails only where a quote stands as an escape.
    """
    try:
        value = _read(body)
        spelled = msgspec.json.encode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if spelled == body or (b"\\u0022" not in body and spelled.count(b'"') == body.count(b'"')):
        return value
    return None


def _without_long_texts(body: bytes) -> Any:
    """The same with its long texts cut out and read by msgspec; None where there are none, or that fails."""
    rest, spelled = cut(body)
    if not spelled:
        return None
    try:
        _members(rest)
        hook = partial(_unique_with, [_text(text) for text in spelled])
        return json.JSONDecoder(object_pairs_hook=hook, **_NUMBERS).decode(rest.decode())
    except (ValueError, msgspec.DecodeError):
        return None


def _unique_with(texts: list[str], pairs: list[tuple[str, Any]]) -> Any:
    return texts[pairs[0][1]] if len(pairs) == 1 and pairs[0][0] == PLACE else _unique(pairs)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise duplicate(members)
    return members


def _finite(text: str) -> float:
    """A number that a double can hold: msgspec would encode infinity as null."""
    value = float(text)
    return value if isfinite(value) else _no_number(text[:20])


def _whole_number(text: str) -> int:
    """More digits would keep everybody waiting."""
    return int(text) if len(text) <= DIGITS else _no_number(f"an integer of {len(text)} digits")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a supported number")


_NUMBERS: Mapping[str, Any] = {"parse_constant": _no_number, "parse_float": _finite, "parse_int": _whole_number}
_strict = json.JSONDecoder(object_pairs_hook=_unique, **_NUMBERS).decode
