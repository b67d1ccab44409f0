"""What does an answer that passes through cost, and is it complete?

Nearly every event of a stream says `"finish_reason":null`, perhaps `"usage":null`, and nothing else that a meter wants.
So it parses only the few events in which such a key has a value.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct

from proxy.canon import Usage
from proxy.dialects.openai_chat.faults import broken_in, error_in, error_line, fault
from proxy.dialects.openai_chat.usage import said_usage, told_usage
from proxy.framing import MAX_EVENT, Batches, data_of
from proxy.grammar import whole
from proxy.grammar.fields import UNREADABLE, as_list, as_object, as_text, object_in
from proxy.grammar.watching import LateMeter, bounds, event_at, giving_last, holding


class _Said(Struct):
    """What a meter reads of a chunk, or of a whole answer. Any type will do, as a host may send anything."""

    model: Any = None
    usage: Any = None
    choices: Any = None
    x_groq: Any = None
    service_tier: Any = None

    def counted(self) -> Usage | None:
        return said_usage(told_usage(self.usage, self.choices), self.x_groq, self.service_tier, self.model)

    def finish_reasons(self) -> Iterator[tuple[int, str]]:
        """The number of each choice, and why it ended; "" if it goes on."""
        for position, choice in enumerate(map(as_object, as_list(self.choices))):
            if isinstance(number := choice.get("index", position), int):
                yield number, as_text(choice.get("finish_reason"))


class _Whole(Struct):
    """What a meter reads of a whole answer. Of its choices it only wants to know whether there are any, and whether one
    says that it is broken.
    """

    model: Any = None
    usage: Any = None
    choices: msgspec.Raw = msgspec.Raw()
    x_groq: Any = None
    service_tier: Any = None


read = msgspec.json.Decoder(_Said).decode
_read_whole = msgspec.json.Decoder(_Whole).decode
_NO_CHOICES = {b"", b"null", b"[]"}

_reasons = re.compile(rb'"finish_reason"\s*:\s*(?!\s|null)').finditer


class StreamMeter(LateMeter):
    """Watches a stream. It is finished after an event and [DONE], or once every choice has its finish_reason, as some
    hosts leave [DONE] out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = self._done = False
        self._batches = Batches(MAX_EVENT)

    def close(self) -> None:
        """The end of the stream. An event that it cut off counts, as it does for the decoder."""
        self._catch_up()
        self._look(self._batches.close())

    @property
    def finished(self) -> bool:
        return self.over or self._choices.over

    @property
    def over(self) -> bool:
        self._catch_up()
        return self._done and self._begun

    def _catch_up(self) -> None:
        if self._kept:
            self._look(self._batches.feed(self._taken()))

    def _look(self, events: bytes) -> None:
        if self._done or not events:
            return
        events = self._until_done(events)
        self._begun = self._begun or b"data:" in events
        if not self._model:
            named = (as_text(_read_event(event).model) for event in holding(events, b'"model"'))
            self._model = next(filter(None, named), "")
        if b'"error"' in events or b"error: {" in events:
            self._blame(events)
        counted = map(_read_event, giving_last(events, b'"usage"'))
        told = (said.counted() for said in counted)
        self._usage = next((usage for usage in told if usage is not None), self._usage)
        if not self._done:  # after [DONE] the reasons make no difference
            for at in chain(self._choices.places(events), (found.start() for found in _reasons(events))):
                self._hear(_read_event(event_at(events, at)))

    def _hear(self, said: _Said) -> None:
        self._choices.note((number, reason not in ("", "error")) for number, reason in said.finish_reasons())

    def _until_done(self, events: bytes) -> bytes:
        """The events before [DONE], if it is among them: what follows it is not part of the answer."""
        at = events.find(b"[DONE]")
        while at >= 0:
            start, end = bounds(events, at)
            if data_of(events[start:end]) == b"[DONE]":
                self._done = True
                return events[:start]
            at = events.find(b"[DONE]", end)
        return events

    def _blame(self, events: bytes) -> None:
        for event in holding(events, b"error"):
            told = object_in(data_of(event))
            said, error, broken = _read_event(event), error_in(told) or error_line(event), broken_in(told)
            if self._error is None and (broken is not None or (error and not said.choices)):
                self._error = fault((broken or {}).get("error") or error)
                self._error.mute = b"" if broken is not None or told.get("error") else event.strip(b"\n")


def _read_event(event: bytes) -> _Said:
    try:
        return read(data_of(event))
    except UNREADABLE:
        return _Said()


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        try:
            said = _read_whole(body)
        except UNREADABLE:
            return
        self.finished = True
        self.usage = said_usage(said.usage, said.x_groq, said.service_tier, said.model)
        self.model = as_text(said.model)
        choices = bytes(said.choices)
        if choices in _NO_CHOICES:
            if error := error_in(object_in(body)):
                self.error = fault(error)
        elif b'"error"' in choices:  # which no text contains: there its quotes are escaped
            told = object_in(body)
            if (broken := broken_in(told)) is not None:
                self.error = fault(broken.get("error") or error_in(told))
