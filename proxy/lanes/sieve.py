"""What of an answer does only its provider's own wire understand, and what is it called?

The work of a server's tool, a compaction, and whatever else a dialect keeps Opaque: on another wire nobody could read
it, and the answer that rests on it is an answer all the same. So it is left out, and its name goes into the receipt.
What *is* the answer (a sound, an image, a second choice) is never left out: a renderer says it, or refuses.

Likewise every `extra`, which is another wire's by-word on what the client is told anyway.
"""

from typing import assert_never

from msgspec.structs import replace

from proxy.canon import Close, Delta, Event, Finish, Opaque, Open, Start, Usage


class Sieve:
    """Takes what is another wire's own out of one answer. `wire`: the one that the client understands."""

    def __init__(self, wire: str) -> None:
        self._wire = wire
        self._own = False  # the answer is in it
        self._out: set[int] = set()  # blocks that were left out, and are still open
        self.dropped: list[str] = []  # each name once

    def feed(self, event: Event) -> Event | None:
        """What is left of the event, if that is anything."""
        match event:
            case Delta() | Finish():
                return event
            case Open():
                return self._open(event)
            case Close():
                return self._close(event)
            case Start():
                self._own = event.wire == self._wire
                return self._bare(event)
            case Usage():
                return self._bare(event)
            case _:
                assert_never(event)

    def _bare(self, event: Start | Usage) -> Event:
        return event if self._own or not event.extra else replace(event, extra={})

    def _open(self, event: Open) -> Event | None:
        """A block of a wire's own comes whole with its Open, so that there are no deltas of it."""
        part = event.part
        if isinstance(part, Opaque) and part.wire != self._wire:
            self._out.add(event.index)
            if (name := _name_of(part)) not in self.dropped:
                self.dropped.append(name)
            return None
        return event if self._own or not part.extra else replace(event, part=replace(part, extra={}))

    def _close(self, event: Close) -> Event | None:
        if event.index not in self._out:
            return event
        self._out.remove(event.index)
        return None


def _name_of(part: Opaque) -> str:
    """Its own word for what it is: a `type`, or the key of what it holds, as Google and Amazon have it."""
    named = part.value.get("type")
    if isinstance(named, str) and named:
        return named
    return next((key for key, inner in part.value.items() if isinstance(inner, dict)), "block")
