"""Which top-level keys does this JSON body have, and where do their values stand?

One shallow scan of a client's body: nothing below the first level is parsed, and an edit replaces one value's bytes and
no others. `dict[str, msgspec.Raw]` finds the values fast, but of two equal keys it keeps the last in silence, and we
would price one model while the provider bills another. So the scan is checked against the text. Of two equal keys,
however they are spelled ("model" and "mod\\u0065l" are one key), the first member was dropped, and its quotes are
missing from the count. Where quotes are missing, the body is long, or a value is to be edited, the body is walked from
member to member: each value must stand where the one before has ended. No JSON value is the beginning of another
(except numbers, which the next separator ends), so each step takes exactly one member of the text; where one is left
over the body is refused.

This holds for the first level, and for an object whose values are read (`stream_options`). What stands deeper goes to
the provider byte for byte: two equal keys in a message are for its parser to judge, and change nothing here.
"""

import re
from codecs import utf_8_decode
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from proxy.envelope.refusals import duplicate, unreadable
from proxy.errors import BadRequest

SHORT = 4096  # bytes; in a longer body it is faster to step over a dozen values than to count all quotes
MEMBERS = 1000  # on the first level; no wire has a hundred, and each is stepped over
LONGEST_KEY = 1000  # characters

PIECE = 64 * 1024  # bytes; a whole body would be copied, at up to four bytes a character

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# A separator, a key and its colon; `\\.` steps over every escape.
_next_value = re.compile(rb'[ \t\r\n]*+[{,][ \t\r\n]*+"(?:[^"\\]++|\\.)*+"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL).match
_ends = re.compile(rb"[ \t\r\n]*+\{?[ \t\r\n]*+\}[ \t\r\n]*+").fullmatch


def _check_unicode(body: bytes) -> None:
    """The scan does not look at the characters of a value. Raises BadRequest."""
    at, view = 0, memoryview(body)
    while at < len(body):
        try:
            at += utf_8_decode(view[at : at + PIECE], "strict", at + PIECE >= len(body))[1]
        except UnicodeDecodeError as error:
            raise unreadable("The request body", body, error) from None


class Lengths(msgspec.Struct, frozen=True, gc=False):
    """How long an answer may be, in tokens, by each place of a request that says it: the `least` and the `most`.

    None where none says it, and for the most where one says what is no length.
    """

    is_said: bool = False
    least: int | None = None
    most: int | None = None


class Envelope:
    """A JSON object, and where each of its values stands. `members`: by key, the bytes of each value.
    `is_plain`: all keys are in small letters. Once somebody has looked: `lengths`: what it says of its answer's length;
    `alternatives`: the models that it names besides its own.

    Raises BadRequest: malformed, no object, too deep, too many keys, or a key twice (upper and lower case are one).
    """

    __slots__ = ("_spans", "alternatives", "body", "is_plain", "lengths", "members")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.lengths: Lengths | None = None
        self.alternatives: Sequence[str] | None = None
        try:
            self.members = _decode(body)
        except msgspec.ValidationError:
            raise BadRequest("The request body must be a JSON object.", code="invalid_json") from None
        except RecursionError:
            raise BadRequest("The request body is nested too deeply.", code="invalid_json") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise unreadable("The request body", body, error) from None
        if not body.isascii():
            _check_unicode(body)
        names = "".join(self.members)
        if len(self.members) > MEMBERS or (len(names) > LONGEST_KEY and max(map(len, self.members)) > LONGEST_KEY):
            message = f"The request body has more than {MEMBERS} keys, or a key of more than {LONGEST_KEY} characters."
            raise BadRequest(message)
        # Go's parser ignores case, by Unicode's simple folding: to it "Model" is "model", and so is the long s of
        # "\u017ftream" an s. Whatever that folds, casefold() folds too. https://pkg.go.dev/encoding/json#Unmarshal
        self.is_plain = names.isascii() and names.islower()
        if not self.is_plain and len(set(map(str.casefold, self.members))) < len(self.members):
            raise duplicate(self.members)
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

        Raises BadRequest where it is malformed in a way that the scan passes over, or an object with a key twice.
        """
        raw = self.members.get(key)
        if raw is None:
            return None
        try:
            value = msgspec.json.decode(raw)
        except RecursionError:
            raise BadRequest(f"{key} is nested too deeply.", code="invalid_json", param=key) from None
        except msgspec.DecodeError as error:  # a number beyond all bounds
            raise unreadable(key, self.body, error, param=key) from None
        if isinstance(value, dict) and not _are_numbers(value, bytes(raw)):
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
        """The body without these keys and their values. Every other member stays as it is, its spaces included."""
        if not any(key in self.members for key in keys):
            return self.body
        if not self._spans:
            self._walk()
        body, kept = self.body, []
        start = at = body.index(b"{") + 1
        close = body.rindex(b"}")
        for key, (_, end) in self._spans.items():
            comma = body.find(b",", end)  # only spaces stand before it; behind the last member there is none
            until = comma if comma >= 0 else close
            if key not in keys:
                kept.append(body[at:until])
            at = until + 1
        return body[:start] + b",".join(kept) + body[close:]

    def filled(self, fields: Mapping[str, Any]) -> bytes:
        """The body with these fields added where it lacks them, or says null; an object within it likewise."""
        edits: dict[str, bytes] = {}
        for key, value in fields.items():
            there = self.raw(key)
            if there is None or there == b"null":
                edits[key] = msgspec.json.encode(value)
            elif isinstance(value, Mapping) and there.startswith(b"{"):
                edits[key] = Envelope(there).filled(value)
        return self.edit(edits) if edits else self.body

    def _has_all(self) -> bool:
        """Has every member been found? The quotes of one that was dropped are missing from the count."""
        values = b"".join(self.members.values())
        return self.body.count(b'"') == values.count(b'"') + 2 * len(self.members)

    def _walk(self) -> None:
        """Note where each value stands. Raises BadRequest where a member is left over, because a key stands twice."""
        body, spans, at = self.body, self._spans, 0
        for key, raw in self.members.items():
            member = _next_value(body, at)
            start = -1 if member is None else member.end()
            if start < 0 or not body.startswith(memoryview(raw), start):
                raise duplicate(self.members)
            at = start + len(raw)
            spans[key] = (start, at)
        if _ends(body, at) is None:
            raise duplicate(self.members)


def _are_numbers(value: dict[str, Any], raw: bytes) -> bool:
    """Does this object hold numbers and the like, and no key twice? Then no quotes are there but those of its keys."""
    return raw.count(b'"') == 2 * len(value) and len(set(map(str.casefold, value))) == len(value)
