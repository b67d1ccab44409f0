"""Which top-level keys does this JSON body have, and where do their values stand?

One shallow scan of a client's body: nothing below the first level is parsed, and an edit replaces one value's bytes
and no other. `dict[str, msgspec.Raw]` finds the values fast, but keeps the last of two equal keys in silence, and we
would price one model while the provider bills another. So the scan is checked against the text: equal keys, whatever
their spelling ("model" and "mod\\u0065l" are one key), leave a member over, whose quotes nobody has counted. Where
quotes are left over, or a value is to be edited, it walks from member to member, and each value must stand where the
one before has ended. No JSON value is the beginning of another (but for numbers, and those the next separator tells
apart), so each step takes exactly one member of the text; where one is left over the body is refused.

So it is on the first level, and in an object of which a value is read (`stream_options`). What stands deeper goes to
the provider byte for byte: two equal keys in a message are for its parser to judge, and change nothing here.
"""

import json
import re
from collections.abc import Collection, Mapping
from functools import partial
from math import isfinite
from typing import Any, NoReturn

import msgspec

from proxy.errors import BadRequest
from proxy.longtexts import LONG, PLACE, cut
from proxy.manyvalues import check_values

SHORT = 4096  # bytes, of which the quotes are counted sooner than a dozen values are stepped over
MEMBERS = 1000  # on the first level; no wire has a hundred, and each is stepped over
LONGEST_KEY = 1000  # characters
DIGITS = 4300  # of a whole number: as many as Python takes

_read = msgspec.json.Decoder().decode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode

# A separator, a key and its colon; `\\.` steps over every escape.
_next_value = re.compile(rb'[ \t\r\n]*+[{,][ \t\r\n]*+"(?:[^"\\]++|\\.)*+"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL).match
_ends = re.compile(rb"[ \t\r\n]*+\{?[ \t\r\n]*+\}[ \t\r\n]*+").fullmatch


class Envelope:
    """A JSON object whose values are known by place. `members`: by key, the bytes of each value.

    Raises BadRequest: malformed, no object, too deep, of too many keys, a key twice, in whichever case.
    """

    __slots__ = ("_spans", "body", "members")

    def __init__(self, body: bytes) -> None:
        self.body = body
        try:
            self.members = _decode(body)
        except msgspec.ValidationError:
            raise BadRequest("The request body must be a JSON object.", code="invalid_json") from None
        except RecursionError:
            raise BadRequest("The request body is nested too deeply.", code="invalid_json") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable("The request body", body, error) from None
        names = "".join(self.members)
        if len(self.members) > MEMBERS or (len(names) > LONGEST_KEY and max(map(len, self.members)) > LONGEST_KEY):
            raise BadRequest(f"The request body has more than {MEMBERS} keys, or one of over {LONGEST_KEY} characters.")
        # To Go's parser "Model" is "model", and the long s of "\u017ftream" an s: it ignores case by Unicode's simple
        # folding, and casefold() holds as equal whatever that does. https://pkg.go.dev/encoding/json#Unmarshal
        plain = names.isascii() and names.islower()
        if not plain and len(set(map(str.casefold, self.members))) < len(self.members):
            raise _duplicate(self.members)
        self._spans: dict[str, tuple[int, int]] = {}
        if len(body) > SHORT or not self._has_all():
            self._walk()

    def __contains__(self, key: str) -> bool:
        return key in self.members

    def lacks(self, keys: Collection[str]) -> bool:
        """Is none of these there?"""
        return self.members.keys().isdisjoint(keys)

    def __repr__(self) -> str:
        return f"<Envelope {len(self.body)} bytes: {', '.join(self.members)}>"

    def keys(self) -> list[str]:
        return list(self.members)

    def get(self, key: str) -> Any:
        """One value, decoded; None where the key is absent.

        Raises BadRequest where the scan was too kind to it, or where it is an object with a key twice.
        """
        raw = self.members.get(key)
        if raw is None:
            return None
        try:
            value = msgspec.json.decode(raw)
        except RecursionError:
            raise BadRequest(f"{key} is nested too deeply.", code="invalid_json", param=key) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # no UTF-8, a number beyond all bounds
            raise _unreadable(key, self.body, error, param=key) from None
        if isinstance(value, dict) and (len(value) > 1 or bytes(raw).count(b'"') > 2):  # else there is but one key
            Envelope(bytes(raw))
        return value

    def raw(self, key: str) -> bytes | None:
        """One value's own bytes; None where the key is absent."""
        raw = self.members.get(key)
        return None if raw is None else bytes(raw)

    def edit(self, values: dict[str, bytes]) -> bytes:
        """The body with these keys' values (JSON text) put in; a new key goes to the end. Every other byte stays."""
        if not self._spans:
            self._walk()
        body = self.body
        old = {key: span for key, span in self._spans.items() if key in values}
        out, at = [], 0
        for key, (start, end) in sorted(old.items(), key=lambda item: item[1]):
            out += [body[at:start], values[key]]
            at = end
        close = body.rindex(b"}")
        out.append(body[at:close])
        for key, value in values.items():
            if key not in old:
                comma = b"," if self.members or len(out) > 1 else b""
                out.append(b"%b%b:%b" % (comma, msgspec.json.encode(key), value))
        out.append(body[close:])
        return b"".join(out)

    def without(self, *keys: str) -> bytes:
        """The body less these keys and their values. Every other member stays as it is, its spaces included."""
        if not any(key in self.members for key in keys):
            return self.body
        if not self._spans:
            self._walk()
        body, kept = self.body, []
        start = at = body.index(b"{") + 1
        close = body.rindex(b"}")
        for key, (_, end) in self._spans.items():
            comma = body.find(b",", end)  # before it stand spaces alone; behind the last member there is none
            until = comma if comma >= 0 else close
            if key not in keys:
                kept.append(body[at:until])
            at = until + 1
        return body[:start] + b",".join(kept) + body[close:]

    def filled(self, fields: Mapping[str, Any]) -> bytes:
        """The body with these fields where it says nothing of them; an object within it is filled likewise."""
        edits: dict[str, bytes] = {}
        for key, value in fields.items():
            there = self.raw(key)
            if there is None or there == b"null":
                edits[key] = msgspec.json.encode(value)
            elif isinstance(value, Mapping) and there.startswith(b"{"):
                edits[key] = Envelope(there).filled(value)
        return self.edit(edits) if edits else self.body

    def _has_all(self) -> bool:
        """Has every member been found? One that was left over has two quotes that are in none of those."""
        values = b"".join(self.members.values())
        return self.body.count(b'"') == values.count(b'"') + 2 * len(self.members)

    def _walk(self) -> None:
        """Note where each value stands. Raises BadRequest where a member is left over: its key stands twice."""
        body, spans, at = self.body, self._spans, 0
        for key, raw in self.members.items():
            member = _next_value(body, at)
            start = -1 if member is None else member.end()
            if start < 0 or not body.startswith(memoryview(raw), start):
                raise _duplicate(self.members)
            at = start + len(raw)
            spans[key] = (start, at)
        if _ends(body, at) is None:
            raise _duplicate(self.members)


def parse_object(body: bytes) -> dict[str, Any]:
    """The whole body, every level of it.

    Raises BadRequest: malformed, no object, too deep, a key twice at any depth.
    """
    check_values(body)
    try:
        value = _without_long_texts(body) if len(body) > LONG else _without_twins(body)
        if value is None:
            value = _strict(body.decode())
            if b"\\u" in body:
                _decode(body)  # json takes half a surrogate pair, which no UTF-8 can carry; msgspec does not
    except RecursionError:
        raise BadRequest("The request body is nested too deeply.", code="invalid_json") from None
    except ValueError as error:  # malformed JSON, bytes that are no UTF-8, a number of too many digits
        raise _unreadable("The request body", body, error) from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.", code="invalid_json")
    return value


def _without_twins(body: bytes) -> Any:
    """What the body spells; None where a key may stand twice in it, or it is no JSON: `_strict` says which.

    msgspec reads five times as fast, and keeps the last of two equal keys in silence. But then the value is not spelled
    as the body is, which most clients spell as msgspec does. Nor has it as many quotes, as long as the body spells none
    by its number.
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
    """What the body spells, if there are such texts, and the body can be read so."""
    rest, spelled = cut(body)
    if not spelled:
        return None
    try:
        _decode(rest)
        hook = partial(_unique_with, [_text(text) for text in spelled])
        return json.JSONDecoder(object_pairs_hook=hook, **_NUMBERS).decode(rest.decode())
    except (ValueError, msgspec.DecodeError):
        return None


def _unique_with(texts: list[str], pairs: list[tuple[str, Any]]) -> Any:
    return texts[pairs[0][1]] if len(pairs) == 1 and pairs[0][0] == PLACE else _unique(pairs)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _duplicate(members)
    return members


def _finite(text: str) -> float:
    """A number that a double can hold: msgspec would write infinity as null."""
    value = float(text)
    return value if isfinite(value) else _no_number(text[:20])


def _whole_number(text: str) -> int:
    """One that Python reads: beyond so many digits it takes too long for a stranger's number."""
    return int(text) if len(text) <= DIGITS else _no_number(f"one of {len(text)} digits")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number that can be kept")


_NUMBERS: Mapping[str, Any] = {"parse_constant": _no_number, "parse_float": _finite, "parse_int": _whole_number}
# The standard library's parser hands out the pairs before they become a dict.
_strict = json.JSONDecoder(object_pairs_hook=_unique, **_NUMBERS).decode


def _unreadable(what: str, body: bytes, error: Exception, param: str | None = None) -> BadRequest:
    """`what` of the body is no JSON. Where it is not even text, the parser knows the place within one string alone."""
    if isinstance(error, UnicodeDecodeError):
        return BadRequest(f"The request body is not UTF-8{_at(body)}.", code="invalid_json", param=param)
    why = "half of a surrogate pair is no character" if _is_half_a_pair(error, body) else error
    return BadRequest(f"{what} is not valid JSON: {why}.", code="invalid_json", param=param)


def _is_half_a_pair(error: Exception, body: bytes) -> bool:
    """Of one that nothing follows msgspec says that the input was truncated, or a hex escape ended, wherever it is."""
    why = str(error)
    return "surrogate" in why or (("truncated" in why or "hex escape" in why) and _first_half_alone(body) is not None)


_first_half_alone = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])").search


def _at(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f" (byte {error.start})"
    return ""


def _duplicate(members: Mapping[str, object]) -> BadRequest:
    names = ", ".join(list(members)[:20])
    return BadRequest(f"An object in the request body has the same key twice, among: {names}.", code="duplicate_key")
