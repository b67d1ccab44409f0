"""What is kept of an answer, and how is it put back into what the client sends?

Each part's place and seal; a thought's words as well, and no other words.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from sys import getsizeof
from typing import Literal, NamedTuple, assert_never

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)

# Bytes of memory besides the texts: an entry has its key, its slot and its tuples; a piece has its own tuple.
_ENTRY, _PIECE = 700, 150


class Piece(NamedTuple):
    """What is kept of one part of an answer: no words, unless it is a thought."""

    kind: Literal["thinking", "redacted", "text", "call"]
    seal: str
    id: str = ""  # of a thought
    text: str = ""  # of a thought
    length: int = 0  # of a text, in characters


Kept = tuple[Piece, ...]  # of one answer, in its order


def size_of(kept: Kept) -> int:
    """Bytes of memory."""
    return _ENTRY + sum(_PIECE + getsizeof(piece.seal) + getsizeof(piece.id) + getsizeof(piece.text) for piece in kept)


def pieces_of(parts: Iterable[Part]) -> Kept:
    """Thoughts without a seal are left out: no provider wants them back."""
    kept: list[Piece] = []
    for part in parts:
        match part:
            case Thinking() if part.redacted:
                kept.append(Piece("redacted", part.redacted, part.id))
            case Thinking() if part.signature:
                kept.append(Piece("thinking", part.signature, part.id, part.text))
            case Text() if part.text or part.signature:
                kept.append(Piece("text", part.signature, length=len(part.text)))
            case ToolCall():
                kept.append(Piece("call", part.signature))
            case Thinking() | Text() | Refusal() | Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
                pass
            case _:
                assert_never(part)
    return tuple(kept)


def fill(turns: list[Turn], kept: Kept) -> None:
    """Fill in what these turns, which are one answer, lack: seals, thoughts if none of their own is sealed, and order.

    Chat Completions has a list for thoughts and one for calls, so that a client which keeps all of them loses the order
    among them.
    """
    parts = [part for turn in turns for part in turn.parts]
    said: list[Part] = [part for part in parts if not isinstance(part, Thinking)]
    shown = [part for part in parts if isinstance(part, Thinking)]
    _sign([part for part in said if isinstance(part, Text)], kept, "text")
    _sign([part for part in said if isinstance(part, ToolCall)], kept, "call")
    sealed = [piece for piece in kept if piece.kind in ("thinking", "redacted")]
    if any(part.is_sealed for part in shown):
        is_all = [part.redacted or part.signature for part in shown] == [piece.seal for piece in sealed]
        if is_all and len(turns) == 1:
            turns[0].parts = _in_order(said, kept, shown) or turns[0].parts
        return
    thoughts: list[Part] = list(map(_thought, sealed))
    made = _in_order(said, kept, thoughts) if len(turns) == 1 else None
    if made is not None:
        turns[0].parts = made if thoughts else [*shown, *made]
    elif thoughts:
        for turn in turns:
            turn.parts = [part for part in turn.parts if not isinstance(part, Thinking)]
        turns[0].parts = thoughts + turns[0].parts


def _sign(parts: Sequence[Text | ToolCall], kept: Kept, kind: str) -> None:
    pieces = [piece for piece in kept if piece.kind == kind]
    if len(parts) == len(pieces):
        for part, piece in zip(parts, pieces, strict=True):
            part.signature = part.signature or piece.seal


def _thought(piece: Piece) -> Thinking:
    if piece.kind == "redacted":
        return Thinking(id=piece.id, redacted=piece.seal)
    return Thinking(id=piece.id, text=piece.text, signature=piece.seal)


def _in_order(said: list[Part], kept: Kept, thoughts: Iterable[Part]) -> list[Part] | None:
    """The parts in the model's own order, with the thoughts between them; None where they are not all there.

    Clients of Chat Completions send all text in one, and all calls behind it; but thoughts must keep their places.
    """
    texts = _cut([part for part in said if isinstance(part, Text)], kept)
    calls = [part for part in said if isinstance(part, ToolCall)]
    if texts is None or len(calls) != sum(piece.kind == "call" for piece in kept):
        return None
    if any(not isinstance(part, Text | ToolCall) for part in said):
        return None
    thinking = iter(thoughts)
    waiting: dict[str, Iterator[Part]] = {
        "text": iter(texts),
        "call": iter(calls),
        "thinking": thinking,
        "redacted": thinking,
    }
    return [next(waiting[piece.kind]) for piece in kept]


def _cut(texts: list[Text], kept: Kept) -> list[Text] | None:
    """The texts, cut into the original pieces; None where they do not fit."""
    pieces = [piece for piece in kept if piece.kind == "text"]
    if len(texts) == len(pieces):
        return texts
    whole = texts[0] if texts else Text()
    if len(texts) > 1 or len(whole.text) != sum(piece.length for piece in pieces):
        return None
    ends = accumulate(piece.length for piece in pieces)
    made = [
        Text(text=whole.text[end - piece.length : end], signature=piece.seal)
        for piece, end in zip(pieces, ends, strict=True)
    ]
    if made:  # all else about the text, such as its citations, stays with its last piece
        made[-1] = replace(whole, text=made[-1].text, signature=made[-1].signature)
    return made
