"""Which string does this regular expression match?

One that takes the first branch everywhere, and repeats as little as is allowed, but once for `*` and `{0,9}`, and more
or less where a length is asked for. It reads what JavaScript's and Python's syntax have in common, as JSON Schema
advises for `pattern` (https://json-schema.org/draft/2020-12/json-schema-core, 6.4): no look-around, no back-references.

The pattern comes from a client, so Python never runs it as a whole: matching a hostile one could take for ever.
"""

import re
import string
import warnings
from collections.abc import Callable, Sequence

from proxy.adapters.echo.regular import Branches, Edge, Letter, Piece, Repeat, TooLong, fit, length_of, matches, said

LONGEST = 100_000  # characters

_LETTERS = string.ascii_letters + string.digits + string.punctuation + string.whitespace
_OTHER = "\u00e9"  # for a class that leaves out all of ASCII
_is_half_a_pair = re.compile("[\ud800-\udfff]").match
_is_in_a_line = re.compile(r"[^\n]").match
_GROUP = re.compile(r"\((?!\?)|\(\?(?::|P?<[A-Za-z_]\w*>)")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[dDwWsStnrfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^0-9A-Za-z])")
_CODE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
_TIMES = re.compile(r"(?:([*+?])|\{([0-9]{1,6})(?:(,)([0-9]{0,6}))?\})[?+]?")


class Unreadable(ValueError):
    """The pattern is malformed, or uses syntax that is not supported here."""


def sample(pattern: str, least: int = 0, most: int | None = None, known: str = "") -> str:
    """A string that `pattern` matches: `known`, if it does, else one of `least` to `most` characters, if it has any.

    Raises Unreadable; RecursionError where its groups are nested too deeply.
    """
    pieces = _pieces_of(pattern)
    if known and least <= len(known) and (most is None or len(known) <= most) and _is_match(pieces, known):
        return known
    for branch in pieces.each:  # `^$|^x+$` has a text of any length
        length = fit(branch, sum(map(length_of, branch)), least, most)
        if least <= length and (most is None or length <= most):
            return said(branch)
    text = said([pieces])
    longer = text + (text[-1:] or "e") * (least - len(text))  # where nothing says that it ends there
    return longer if len(text) < least and _is_match(pieces, longer) else text


def _is_match(pieces: Branches, text: str) -> bool:
    try:
        return matches([pieces], text)
    except TooLong:
        return False


def _pieces_of(pattern: str) -> Branches:
    if len(pattern) > LONGEST:
        raise Unreadable(f"echo reads patterns of up to {LONGEST} characters")
    return _Reader(pattern).read()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def read(self) -> Branches:
        branches = self._branches()
        if self._at < len(self._pattern):
            raise self._unreadable()
        return branches

    def _branches(self) -> Branches:
        first, length = self._branch()
        each = [first]
        while self._take("|"):
            each.append(self._branch()[0])
        return Branches(each, length)

    def _branch(self) -> tuple[Sequence[Piece], int]:
        """The pieces, and how many characters a sample of them has."""
        out: list[Piece] = []
        length = 0
        while self._pattern[self._at : self._at + 1] not in ("", "|", ")"):
            piece = self._times(self._atom())
            length += length_of(piece)
            if length > LONGEST:
                raise self._unreadable()
            out.append(piece)
        return out, length

    def _atom(self) -> Piece:
        match self._pattern[self._at]:
            case "(":
                return self._group()
            case "[":
                return self._one_of(_CLASS)
            case "\\":
                return Edge("\\b") if self._take("\\b") else self._one_of(_ESCAPE)
            case "*" | "+" | "?":
                raise self._unreadable()
            case "^" | "$" as sign:
                self._at += 1
                return Edge(sign)
            case ".":
                self._at += 1
                return Letter("e", _is_in_a_line)
            case letter:
                self._at += 1
                return Letter(letter, letter.__eq__)

    def _group(self) -> Piece:
        self._at += len(self._spelt(_GROUP))
        branches = self._branches()
        if not self._take(")"):
            raise self._unreadable()
        return branches

    def _one_of(self, spelling: re.Pattern[str]) -> Letter:
        """A character that a class or an escape matches: an ASCII one, one that it names, or any other."""
        text = self._spelt(spelling)
        self._at += len(text)
        try:
            with warnings.catch_warnings(action="error"):  # about classes that later Pythons may read as sets
                stands_for: Callable[[str], object] = re.compile(text).fullmatch
        except (re.error, FutureWarning):
            raise self._unreadable() from None
        named = "".join(chr(int(short or long, 16)) for short, long in _CODE.findall(text))
        for letter in _LETTERS + text + named + _OTHER:
            if stands_for(letter) and not _is_half_a_pair(letter):
                return Letter(letter, stands_for)
        raise self._unreadable()

    def _times(self, piece: Piece) -> Piece:
        """The piece, as often as the sign behind it says."""
        found = _TIMES.match(self._pattern, self._at)
        if found is None:
            return piece
        self._at = found.end()
        sign, least, comma, most = found.groups()
        if sign is not None:
            return Repeat(piece, int(sign == "+"), 1 if sign == "?" else None, int(sign != "?"))
        fewest = int(least)
        usual = max(fewest, 1 if comma and most != "0" else 0)
        return Repeat(piece, fewest, None if comma and not most else max(fewest, int(most or 0)), usual)

    def _spelt(self, spelling: re.Pattern[str]) -> str:
        found = spelling.match(self._pattern, self._at)
        if found is None:
            raise self._unreadable()
        return found[0]

    def _take(self, text: str) -> bool:
        taken = self._pattern.startswith(text, self._at)
        self._at += len(text) if taken else 0
        return taken

    def _unreadable(self) -> Unreadable:
        return Unreadable(f"echo does not support the pattern `{self._pattern:.100}`")
