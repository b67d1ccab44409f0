"""What does a regular expression allow: a text of which length, and is it this one?

`pattern.py` reads a pattern into pieces. A text is matched from all of its places at once, which does not take for ever
as backtracking may; what nests repeats on purpose runs out of steps.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

MOST_STEPS = 20_000  # of one match

Places: TypeAlias = frozenset[int]  # in a text, between two characters


class TooLong(ValueError):
    """It takes too many steps to tell whether a text matches."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One character: `sample`, or another that `fits`."""

    sample: str
    fits: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Edge:
    """No character: the beginning (^) or the end ($) of the text, or one of a word (\\b)."""

    sign: str


@dataclass(slots=True)
class Repeat:
    """The piece, `times` in a row; the pattern allows `least` to `most`."""

    piece: "Piece"
    least: int
    most: int | None
    times: int


@dataclass(frozen=True, slots=True)
class Branches:
    """One of these sequences. A sample takes the first."""

    each: Sequence[Sequence["Piece"]]
    length: int  # characters of the first, as it was read


Piece: TypeAlias = Letter | Edge | Repeat | Branches


def length_of(piece: Piece) -> int:
    """Characters that a sample has, before it is made to fit."""
    match piece:
        case Letter():
            return 1
        case Edge():
            return 0
        case Repeat():
            return length_of(piece.piece) * piece.times
        case Branches():
            return piece.length
        case _:
            assert_never(piece)


def said(pieces: Iterable[Piece]) -> str:
    """A sample."""
    return "".join(map(_said, pieces))


def _said(piece: Piece) -> str:
    match piece:
        case Letter():
            return piece.sample
        case Edge():
            return ""
        case Repeat():
            return _said(piece.piece) * piece.times
        case Branches():
            return said(piece.each[0])
        case _:
            assert_never(piece)


def fit(pieces: Iterable[Piece], length: int, least: int, most: int | None, over: int = 1) -> int:
    """Repeat more or less, as far as the pattern allows, so that a sample of `length` has from `least` to `most`
    characters; how many it has then. `over`: how often each of the pieces is said.
    """
    for piece in pieces:
        match piece:
            case Repeat():
                unit = length_of(piece.piece) * over
                if unit:
                    change = _change(piece, unit, length, least, most)
                    piece.times += change
                    length += change * unit
                length = fit([piece.piece], length, least, most, over * piece.times)
            case Branches():
                length = fit(piece.each[0], length, least, most, over)
            case Letter() | Edge():
                pass
            case _:
                assert_never(piece)
    return length


def _change(piece: Repeat, unit: int, length: int, least: int, most: int | None) -> int:
    """How often more it is to be said, in characters of `unit` each time."""
    if most is not None and length > most:
        return -min(piece.times - piece.least, -((most - length) // unit))
    more = max(0, -((length - least) // unit))
    room = [more] if piece.most is None else [more, piece.most - piece.times]
    return min(room if most is None else [*room, (most - length) // unit])


def matches(pieces: Sequence[Piece], text: str) -> bool:
    """Does it match some part of the text? Raises TooLong."""
    return bool(_Match(text).after(pieces, frozenset(range(len(text) + 1))))


class _Match:
    def __init__(self, text: str) -> None:
        self._text = text
        self._left = MOST_STEPS

    def after(self, pieces: Iterable[Piece], places: Places) -> Places:
        """Where it may go on behind the pieces, if they begin at one of the places."""
        for piece in pieces:
            self._left -= len(places)
            if self._left < 0:
                raise TooLong
            if not places:
                break
            places = self._behind(piece, places)
        return places

    def _behind(self, piece: Piece, places: Places) -> Places:
        match piece:
            case Letter():
                return frozenset([at + 1 for at in places if at < len(self._text) and piece.fits(self._text[at])])
            case Edge("^"):
                return places & {0}
            case Edge("$"):
                return places & {len(self._text)}
            case Edge():
                return frozenset([at for at in places if self._is_word(at - 1) != self._is_word(at)])
            case Repeat():
                return self._repeated(piece, places)
            case Branches():
                return frozenset().union(*[self.after(each, places) for each in piece.each])
            case _:
                assert_never(piece)

    def _is_word(self, at: int) -> bool:
        letter = self._text[at] if 0 <= at < len(self._text) else ""
        return letter.isalnum() or letter == "_"

    def _repeated(self, piece: Repeat, places: Places) -> Places:
        for _ in range(piece.least):
            before, places = places, self.after([piece.piece], places)
            if places == before:  # and so they stay
                break
        seen = new = places
        times = piece.least
        while new and (piece.most is None or times < piece.most):
            new = self.after([piece.piece], new) - seen
            seen |= new
            times += 1
        return seen
