"""What of an answer with half of a surrogate pair in it?

JSON may have one (RFC 8259, section 8.2), but UTF-8 cannot, and msgspec refuses it. A host that counts in UTF-16 units,
as JavaScript does, ends a text within a character, or sends its halves in two events. The halves of two events become
the character again. One that is alone becomes U+FFFD, as in every browser; but at the end of an event it is left out,
where the next does not bring the other.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from proxy.grammar.fields import UNREADABLE, nonsense

Read = TypeVar("Read")

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_read = msgspec.json.Decoder(msgspec.Raw).decode  # twenty times as fast as a search for pairs
_escapes = re.compile(rb"(?P<pair>%b%b)|(?P<high>%b)|(?P<low>%b)|\\." % (_HIGH, _LOW, _HIGH, _LOW), re.DOTALL)
_UNKNOWN = rb"\ufffd"


def well_formed(data: bytes) -> bytes:
    """The same JSON without halves; the very same bytes where there are none."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    with suppress(*UNREADABLE):
        _read(data)
        return data
    return _escapes.sub(lambda escape: _UNKNOWN if escape.lastgroup in ("high", "low") else escape[0], data)


class Halves:
    """Mends the events of one stream."""

    def __init__(self) -> None:
        self._first = b""  # a half at the end of a string, whose other half the next event may bring

    def read(self, data: bytes, decode: Callable[[bytes], Read], why: str) -> Read:
        """An event, mended where that helps. Raises UpstreamError, which says `why`."""
        try:
            return decode(data)
        except UNREADABLE:
            return self.read_mended(data, decode, why)

    def read_mended(self, data: bytes, decode: Callable[[bytes], Read], why: str) -> Read:
        """One that `decode` has refused as it is: who reads many events tries that without a call of ours."""
        try:
            return decode(self.mended(data))
        except UNREADABLE:
            raise nonsense(why) from None

    def mended(self, data: bytes) -> bytes:
        return data if b"\\u" not in data else _escapes.sub(self._mend, data)

    def _mend(self, escape: re.Match[bytes]) -> bytes:
        half, data = escape[0], escape.string
        if escape.lastgroup == "high":
            if data[escape.end() : escape.end() + 1] != b'"':
                return _UNKNOWN
            self._first = half
            return b""
        if escape.lastgroup == "low":
            first, self._first = self._first, b""
            return first + half if first and data[escape.start() - 1 : escape.start()] == b'"' else _UNKNOWN
        return half
