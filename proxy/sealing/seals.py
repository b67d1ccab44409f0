"""Whose seal is this, and may it be sent there?

A seal is a provider's opaque proof of its own reasoning: the signature of a thought, a text or a tool call, or a
thought that is sealed as a whole. It must go back unchanged to the provider that made it, and to no other. Dialects
carry seals raw and never judge whose they are; this module stands between two dialects. `Sealer` marks a seal on its
way to the client with its maker and the id of its block; when it comes back, `unseal` takes off the mark, or takes out
the seal if it is another provider's. What the client's wire cannot carry is kept in the vault.

Answers that pass through are not marked. provenance.py knows whose their seals are, if it has seen them; a seal that it
has not seen counts as the target's own, if the target speaks the client's wire.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, assert_never

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Close,
    Delta,
    Document,
    Event,
    Image,
    Opaque,
    Open,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from proxy.grammar.alphabets import in_standard_alphabet
from proxy.grammar.fields import Verbatim, as_object, as_text

# --- the mark --------------------------------------------------------------------------------------------------------
# Base64 throughout, since on some wires a seal is bytes, which SDKs decode and encode again: in either alphabet, padded
# or not.

MARK = b"cGlsbGlv"  # the base64 of "pillio"; where a wire needs seals in a wrapping, a dialect's begins so too
_MARK = MARK.decode()
_HEAD = b"pillion\0"


class _Mark(NamedTuple):
    maker: str
    id: str  # of the thought's block
    seal: str


def is_marked(body: bytes) -> bool:
    """May there be a seal that we have marked? Then no provider may get the bytes as they are."""
    return MARK in body


def _marked(mark: _Mark) -> str:
    name = "" if "\0" in mark.id else mark.id  # no wire has such an id, and it would end ours
    fields = "\0".join((mark.maker, name, mark.seal))
    return b64encode(_HEAD + fields.encode()).decode()


def _read(marked: str) -> _Mark | None:
    """None where it is damaged, or not ours: all that we mark is text that was in JSON."""
    try:
        held = b64decode(in_standard_alphabet(marked) + "=" * (-len(marked) % 4), validate=True)
        fields = held.removeprefix(_HEAD).decode().split("\0", 2)
    except ValueError:
        return None
    return _Mark(*fields) if held.startswith(_HEAD) and len(fields) == 3 else None


# --- to the client ---------------------------------------------------------------------------------------------------


class Sealer:
    """Marks the seals of one answer.

    The pieces of a seal are held until their block closes, and come as one just before: base64 cannot be concatenated.

    `needs`: the kinds of Part that the providers of the client's own wire refuse without a seal. One that has none gets
    a mark without a seal, by which it is recognised if the client brings it to one of them.
    """

    def __init__(self, maker: str, needs: frozenset[type] = frozenset()) -> None:
        self._maker = maker
        self._needs = needs
        self._ids: dict[int, str] = {}  # of thoughts, by block
        self._held: dict[int, list[str]] = {}  # pieces of a seal, by block

    def misses_one(self, events: Iterable[Event]) -> bool:
        """Among these events, which have no seal, is there a block that needs one?"""
        needs = self._needs
        return bool(needs) and not needs.isdisjoint([type(event.part) for event in events if type(event) is Open])

    def feed(self, events: Iterable[Event]) -> list[Event]:
        told: list[Event] = []
        for event in events:
            if type(event) is Delta:
                told += self._delta(event) if event.signature else (event,)
            elif type(event) is Open:
                told.append(self._open(event))
            elif type(event) is Close and event.index in self._held:
                told += (self._seal(event), event)
            else:
                told.append(event)
        return told

    def _delta(self, event: Delta) -> tuple[Event, ...]:
        self._held.setdefault(event.index, []).append(event.signature)
        rest = replace(event, signature="")
        return () if rest == Delta(index=event.index) else (rest,)

    def _open(self, event: Open) -> Open:
        part = event.part
        if type(part) is Text and not part.signature:
            return event  # as nearly always
        if isinstance(part, Thinking):
            self._ids[event.index] = part.id
            if part.redacted:
                part = replace(part, redacted=_marked(_Mark(self._maker, part.id, part.redacted)))
        if type(part) in self._needs and not (isinstance(part, Thinking) and part.redacted):
            self._held[event.index] = []
        if isinstance(part, Thinking | Text | ToolCall) and part.signature:
            self._held[event.index] = [part.signature]
            part = replace(part, signature="")
        return event if part is event.part else replace(event, part=part)

    def _seal(self, event: Close) -> Delta:
        """The seal that was held back for its block."""
        mark = _Mark(self._maker, self._ids.get(event.index, ""), "".join(self._held.pop(event.index)))
        return Delta(index=event.index, signature=_marked(mark))


# --- from the client -------------------------------------------------------------------------------------------------


def unseal(
    request: Request,
    maker: str,
    own_wire: bool,
    is_foreign: Callable[[str], bool] | None = None,
    same_body: bool = False,
) -> tuple[str, ...]:
    """Leave in the request, in place, only the seals that this provider made, and what its own wire alone marks; return
    the receipt of the others.

    `maker`: the provider, as its marks name it: NAME@HOST, with the host as a digest; older marks have only the name.
    `own_wire`: the target speaks the client's dialect. A seal without a mark is from a provider of that dialect: the
    target, unless `is_foreign` knows better. `same_body`: it understands what the client's dialect alone has.
    """
    unsealing = _Unsealing(request, maker, own_wire, is_foreign if own_wire else None, same_body)
    for turn in request.turns:
        if turn.plain is None:
            turn.parts = unsealing.parts(turn.parts)
            unsealing.fields(turn.extra)
    unsealing.fields(request.extra)
    unsealing.fields(request.demands)
    return tuple(sorted(unsealing.dropped))


class _Unsealing:
    def __init__(
        self,
        request: Request,
        maker: str,
        own_wire: bool,
        is_foreign: Callable[[str], bool] | None,
        same_body: bool,
    ) -> None:
        self._is_foreign = is_foreign
        self._name_of = request.name_of
        self._may_search = request.searches
        self._makers = (maker, maker.partition("@")[0])
        self._own_wire = own_wire
        self._in_other_words = not (own_wire or same_body)
        self.dropped: set[str] = set()

    def parts(self, parts: list[Part]) -> list[Part]:
        told: list[Part] = []
        for part in parts:
            if self._part(part):
                told += self._in_words(part) if type(part) is Opaque else (part,)
        return told

    def _in_words(self, part: Opaque) -> Iterable[Part]:
        """What it says, where its wire's own words mean nothing."""
        if not self._in_other_words or not (part.told or part.parts):
            return (part,)
        self._left(part)
        if part.parts:
            return self.parts(part.parts)
        assert part.told is not None
        return (Text(text=part.told, cache=as_object(part.value.get("cache_control")) or None, at=part.at),)

    def _left(self, part: Opaque) -> None:
        """Name its kind, and the client's field in which it stands."""
        self.dropped.update((as_text(part.value.get("type")), part.at.partition("[")[0]))

    def _part(self, part: Part) -> bool:
        """False where nothing is left of it."""
        if type(part) is Text and part.is_plain:
            return True  # as nearly always
        if part.extra:
            self.fields(part.extra)
        match part:
            case Thinking():
                return self._thinking(part)
            case Text():
                for citation in part.citations:
                    self.fields(citation.value)
                part.signature = self._kept(part.signature, "text.signature").seal
            case ToolCall():
                part.signature = self._kept(part.signature, "tool_call.signature").seal
            case ToolResult():
                part.parts = self.parts(part.parts)
            case Opaque() if self._in_other_words and (part.is_mark or (part.is_search and self._may_search)):
                self.dropped.add(as_text(part.value.get("type")))
                return False
            case Opaque(told="") if self._in_other_words:
                self._left(part)
                return False
            case Opaque():
                self.fields(part.value)
            case Image() | Audio() | Video() | Document() | Refusal():
                pass
            case _:
                assert_never(part)
        return True

    def _thinking(self, part: Thinking) -> bool:
        if not part.is_sealed:
            return True
        whole = self._kept(part.redacted, "thinking.redacted", part.id)
        kept = self._kept(part.signature, "thinking.signature", part.id)
        part.redacted, part.signature = whole.seal, kept.seal
        part.id = whole.id if whole.seal else kept.id  # without its seal a thought's id means nothing to the provider
        return bool(part.text) or part.is_sealed

    def _kept(self, seal: str, name: str, block: str = "") -> _Mark:
        """The seal as its provider made it; empty where that is another provider."""
        if not seal.startswith(_MARK):
            is_foreign = self._is_foreign is not None and self._is_foreign(seal)
            mark = _Mark(self._makers[0], block, seal) if self._own_wire and not is_foreign else None
        else:
            mark = _read(seal)
        if mark is not None and mark.maker in self._makers and mark.seal:
            return mark
        if seal and (mark is None or mark.seal):
            self.dropped.add(self._name_of(name))
        return _Mark("", "", "")

    def fields(self, fields: dict[str, Any]) -> None:
        """Unmark the seals in the client's other fields, where dialects keep things as they came.

        A field that has another provider's seal in it goes as a whole, since half of it may be worse than nothing. In a
        `Verbatim` it is the seal of the part itself, which is in the receipt already.
        """
        for key, value in list(fields.items()):
            if isinstance(value, Verbatim):
                self.fields(value)
            elif not self._unmark(fields, key):
                del fields[key]
                self.dropped.update(() if isinstance(fields, Verbatim) else (key,))

    def _unmark(self, node: Any, key: Any) -> bool:
        """False where another provider's seal is in there. No recursion, as the client decides how deep it nests."""
        places = [(node, key)]
        while places:
            node, key = places.pop()
            value = node[key]
            if isinstance(value, dict):
                places += [(value, inner) for inner in value]
            elif isinstance(value, list):
                places += [(value, inner) for inner in range(len(value))]
            elif not isinstance(value, str):
                continue
            elif self._is_foreign is not None and self._is_foreign(value):
                return False
            elif value.startswith(_MARK):
                mark = _read(value)
                if mark is None or mark.maker not in self._makers:
                    return False
                node[key] = mark.seal
        return True
