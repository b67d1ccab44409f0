"""Which parts of an answer does only its provider's own wire understand, and what are they called?

The work of a server-side tool, a compaction, and whatever else a dialect keeps Opaque: on another wire nobody could
read it, and the answer stands without it. So it is left out, and its name goes into the receipt. What *is* the answer
(a sound, an image, a second choice) is never left out: a renderer says it, or refuses. A citation that the client's
wire cannot show is left out by the renderer and noted here; so is the mark of a refusal, whose words do cross. Of
logprobs, an entry that says no token or no number (hosts say null of a token that could not be) is left out as well.

Every `extra` is left out as well, without a receipt: it only adds to what the client is told anyway. What a provider
says of why its model declined is told as a refusal, on the wires that have one apart from the answer's text.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from proxy.canon import Citation, Close, Delta, Event, Finish, Opaque, Open, Refusal, Start, Usage
from proxy.grammar.fields import as_list, as_object, is_number

MOST = 100  # names that are noted; it is the provider who makes them up
_REFUSES = frozenset({"openai_chat", "openai_responses"})  # wires that have a place for the words of a refusal


class Sieve:
    """Takes what is another wire's own out of one answer. `wire`: the one that the client understands.

    `cites`: what a citation needs, one of them, to be shown there. `declines`: it can say that an answer is a refusal.
    """

    def __init__(self, wire: str, cites: Sequence[str], declines: bool) -> None:
        self._wire = wire
        self._declines = declines
        self._cites = cites
        self._own = False  # the answer is in it
        self._out: set[int] = set()  # blocks that were left out, and are still open
        self._count = 0  # what the next block would be called
        self.dropped: list[str] = []  # each name once, the first MOST of them

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events, less what the client's wire does not understand."""
        left: list[Event] = []
        for event in events:
            if type(event) is Delta:
                if event.citations:
                    self._cited(event.citations)
                left.append(self._scored(event) if event.logprobs and not self._own else event)
            elif type(event) is Open:
                left += self._open(event)
            elif type(event) is Start:
                self._own = event.wire == self._wire
                left.append(self._bare(event))
            elif type(event) is Usage:
                left.append(self._bare(event))
            elif type(event) is Close and event.index in self._out:
                self._out.remove(event.index)
            elif type(event) is Finish and not self._own and self._wire in _REFUSES:
                left += [*self._refusals(event), event]
            else:
                left.append(event)
        return left

    def _cited(self, citations: Iterable[Citation]) -> None:
        """Note those that cannot be shown. One that names no source at all counts as an `extra`."""
        for one in citations:
            named = [key for key in ("url", "title", "quote", "place", "origin") if getattr(one, key)]
            if named and one.wire != self._wire and not any(key in self._cites for key in named):
                self._note("citations")

    def _scored(self, event: Delta) -> Delta:
        """With the logprobs that SDKs can read, which take no null for a number."""
        read = [_readable(entry) for entry in event.logprobs if _is_score(entry)]
        if read == event.logprobs:
            return event
        if _tokens(read) < _tokens(event.logprobs):
            self._note("logprobs")
        return replace(event, logprobs=read)

    def _bare(self, event: Start | Usage) -> Event:
        return event if self._own or not event.extra else replace(event, extra={})

    def _open(self, event: Open) -> tuple[Event, ...]:
        """An Opaque block comes whole with its Open, so that it has no deltas to leave out."""
        part = event.part
        self._count = max(self._count, event.index + 1)
        if not self._declines and isinstance(part, Refusal):
            self._note("refusal")
        if isinstance(part, Opaque) and part.wire != self._wire:
            self._out.add(event.index)
            self._note(_name_of(part))
            return ()
        return (event if self._own or not part.extra else replace(event, part=replace(part, extra={})),)

    def _refusals(self, event: Finish) -> Iterator[Event]:
        for choice, stop in enumerate(event.stops):
            if stop.why and stop.reason == "refusal":
                index = self._count + choice
                yield Open(index=index, part=Refusal(), choice=choice)
                yield Delta(index=index, text=stop.why)
                yield Close(index=index)

    def _note(self, name: str) -> None:
        if len(self.dropped) < MOST and name not in self.dropped:
            self.dropped.append(name)


def _is_score(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return False
    value = entry.get("logprob")
    return is_number(value) and abs(value) <= sys.float_info.max


def _readable(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with those of the other tokens that can be read: a list, as OpenAI's chat wants one, even of none."""
    return {**entry, "top_logprobs": [one for one in as_list(entry.get("top_logprobs")) if _is_score(one)]}


def _tokens(entries: Sequence[object]) -> int:
    """How many have a score, the other ones included."""
    return len(entries) + sum(len(as_list(as_object(entry).get("top_logprobs"))) for entry in entries)


def _name_of(part: Opaque) -> str:
    """Its own word for what it is: its `type`, or the key of what it holds, as with Google and Amazon."""
    named = part.value.get("type")
    if isinstance(named, str) and named:
        return named
    return next((key for key, inner in part.value.items() if isinstance(inner, dict)), "block")
