"""What does an answer that passes through cost, and did it end?

Every chunk of a stream counts tokens, and only the last count holds.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from proxy.dialects.gemini.faults import error_in, fault
from proxy.dialects.gemini.frames import Chunks, is_array
from proxy.dialects.gemini.usage import Tally
from proxy.framing import MAX_FRAME, Batches, FrameTooLong, data_of
from proxy.grammar import whole
from proxy.grammar.fields import UNREADABLE, as_list, as_object, as_text, decode_json
from proxy.grammar.watching import LateMeter, event_at, giving_last, holding


class _Said(Struct):
    """What a meter reads of a chunk, or of a whole answer; of any type, since any bytes may come."""

    modelVersion: Any = None  # noqa: N815
    usageMetadata: Any = None  # noqa: N815
    candidates: Any = None
    promptFeedback: Any = None  # noqa: N815
    error: Any = None

    def is_blocked(self) -> bool:
        """Does the feedback say why the prompt was blocked?"""
        return bool(as_object(self.promptFeedback).get("blockReason"))

    def endings(self) -> Iterator[tuple[int, bool]]:
        """The number of each candidate, and whether it has its finishReason."""
        for position, candidate in enumerate(map(as_object, as_list(self.candidates))):
            number = position if candidate.get("index") is None else candidate["index"]
            if isinstance(number, int):
                yield number, bool(candidate.get("finishReason"))


_read = msgspec.json.Decoder(_Said).decode


class StreamMeter(LateMeter):
    """Watches a stream. It finishes when every candidate has its finishReason, or the prompt was blocked. No event is
    known to be its last.
    """

    over = False

    def __init__(self) -> None:
        super().__init__()
        self._blocked = False
        self._tally = Tally()
        self._events: Batches | _Array | None = None

    def close(self) -> None:
        """The end of the stream. An event that it cuts off counts, as it does for the decoder."""
        self._catch_up()
        if self._events is not None:
            self._look(self._events.close())

    @property
    def finished(self) -> bool:
        self._catch_up()
        return self._choices.over or (self._blocked and self._choices.silent)

    def _catch_up(self) -> None:
        data = self._taken()
        if self._events is None and data.strip():
            # An event may be as long as an image, which comes in the same event as the count of its tokens.
            self._events = _Array() if is_array(data) else Batches(MAX_FRAME)
        if self._events is not None and data:
            self._look(self._events.feed(data))

    def _look(self, events: bytes) -> None:
        """Read whole events, each with a blank line behind it."""
        if not events:
            return
        if not self._model:
            named = (as_text(_read_event(event).modelVersion) for event in holding(events, b'"modelVersion"'))
            self._model = next(filter(None, named), "")
        for event in giving_last(events, b'"usageMetadata"'):
            if self._tally.add(_read_event(event).usageMetadata):
                break
        for said in map(_read_event, holding(events, b'"webSearchQueries"')):
            self._tally.search(said.candidates, said.modelVersion)
        self._usage = self._tally.usage
        for at in self._choices.places(events):
            self._choices.note(_read_event(event_at(events, at)).endings())
        for event in holding(events, b'"finishReason"'):
            self._choices.note(_read_event(event).endings())
        blocked = map(_read_event, holding(events, b'"blockReason"'))
        self._blocked = self._blocked or any(said.is_blocked() for said in blocked)
        if self._error is None:
            broken = (_read_event(event).error for event in holding(events, b'"error"'))
            self._error = next(map(fault, filter(None, broken)), None)


class _Array:
    """Makes events of an array's elements. At an element beyond the limit it stops reading."""

    def __init__(self) -> None:
        self._chunks = Chunks()

    def feed(self, data: bytes) -> bytes:
        whole: list[bytes] = []
        with suppress(FrameTooLong):
            whole.extend(b"data: %b\n\n" % b" ".join(chunk.split(b"\n")) for chunk in self._chunks.feed(data))
        return b"".join(whole)

    def close(self) -> bytes:
        return b""


def _read_event(event: bytes) -> _Said:
    """What an event says. A stream that breaks has bare JSON instead of an event."""
    bare = event.strip()
    try:
        return _read(bare if bare.startswith(b"{") else data_of(event))
    except UNREADABLE:
        return _Said()


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        try:
            value = decode_json(body)
        except UNREADABLE:
            return
        said = as_object(value)
        self.finished = isinstance(value, dict)
        tally = Tally()
        tally.hear(said)
        self.usage = tally.usage
        self.model = as_text(said.get("modelVersion"))
        if error := error_in(value):
            self.error = fault(error)
