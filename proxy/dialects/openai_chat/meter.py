"""What does an answer that passes through cost, and did it end?

Nearly every event of a stream says `"finish_reason":null`, perhaps `"usage":null`, and nothing else that a meter asks
for; so it looks for words, from the end backwards where the last one counts, and reads the few events that have them.
That is safe: inside a JSON string every quote is escaped, so `"usage"` can only be a key or a whole value.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from proxy import whole
from proxy.canon import Usage
from proxy.dialects.openai_chat.faults import fault
from proxy.dialects.openai_chat.usage import said_usage
from proxy.errors import UpstreamError
from proxy.fields import UNREADABLE, as_list, as_object, as_text
from proxy.framing import Batches, data_of

MAX_EVENT = 1024 * 1024  # bytes; a longer event is an image or a sound, and holds no usage worth waiting for


class _Said(Struct):
    """What a meter reads of a chunk, or of a whole answer; of any type, since any bytes may come."""

    model: Any = None
    usage: Any = None
    choices: Any = None
    error: Any = None
    x_groq: Any = None

    def finish_reasons(self) -> Iterator[str]:
        for choice in as_list(self.choices):
            if reason := as_text(as_object(choice).get("finish_reason")):
                yield reason


class _Whole(Struct):
    """What a meter reads of a whole answer: of its choices, whether there are any."""

    model: Any = None
    usage: Any = None
    choices: msgspec.Raw = msgspec.Raw()
    error: Any = None
    x_groq: Any = None


read = msgspec.json.Decoder(_Said).decode
_read_whole = msgspec.json.Decoder(_Whole).decode
_NO_CHOICES = {b"", b"null", b"[]"}

_is_null = re.compile(rb"\s*:\s*null").match
_BATCH = 64 * 1024  # bytes that wait to be looked at


class StreamMeter:
    """Watches a stream. Finished: [DONE], or a finish_reason, since some hosts leave [DONE] out.

    Chunks are kept, and looked at together: when somebody asks, when they are many, and at the end.
    """

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._model = ""
        self._finished = False
        self._error: UpstreamError | None = None
        self._done = False
        self._batches = Batches(MAX_EVENT)
        self._kept: list[bytes] = []
        self._size = 0  # their bytes

    def feed(self, data: bytes) -> None:
        self._kept.append(data)
        self._size += len(data)
        if self._size > _BATCH:
            self._catch_up()

    def close(self) -> None:
        """The end of the stream: an event that it cut off counts, as it does for the decoder."""
        self._catch_up()
        self._look(self._batches.close())

    @property
    def usage(self) -> Usage | None:
        self._catch_up()
        return self._usage

    @property
    def model(self) -> str:
        self._catch_up()
        return self._model

    @property
    def finished(self) -> bool:
        self._catch_up()
        return self._finished

    @property
    def error(self) -> UpstreamError | None:
        self._catch_up()
        return self._error

    def _catch_up(self) -> None:
        if self._kept:
            data = b"".join(self._kept)
            self._kept, self._size = [], 0
            self._look(self._batches.feed(data))

    def _look(self, events: bytes) -> None:
        if self._done or not events:
            return
        events = self._until_done(events)
        if not self._model:
            self._model = next((name for said in _said(events, b'"model"') if (name := as_text(said.model))), "")
        if b'"error"' in events:
            self._blame(events)
        told = (said_usage(said.usage, said.x_groq) for said in _said_last(events, b'"usage"'))
        self._usage = next((usage for usage in told if usage is not None), self._usage)
        if not self._finished:
            reasons = (set(said.finish_reasons()) for said in _said_last(events, b'"finish_reason"'))
            self._finished = any(reason - {"error"} for reason in reasons)

    def _until_done(self, events: bytes) -> bytes:
        """All before [DONE], if it is among them: what stands behind it is not the answer's."""
        at = events.find(b"[DONE]")
        while at >= 0:
            start, end = _bounds(events, at)
            if data_of(events[start:end]) == b"[DONE]":
                self._done = self._finished = True
                return events[:start]
            at = events.find(b"[DONE]", end)
        return events

    def _blame(self, events: bytes) -> None:
        for said in _said(events, b'"error"'):
            if self._error is None and ("error" in said.finish_reasons() or (said.error and not said.choices)):
                self._error = fault(said.error)


def _bounds(events: bytes, at: int) -> tuple[int, int]:
    """Where the event that has this place begins and ends."""
    end = events.find(b"\n\n", at)
    return events.rfind(b"\n\n", 0, at) + 1, end if end >= 0 else len(events)


def _said(events: bytes, word: bytes) -> Iterator[_Said]:
    """The events in which the word stands, read; the first one first."""
    at = events.find(word)
    while at >= 0:
        start, end = _bounds(events, at)
        yield _read_event(events[start:end])
        at = events.find(word, end)


def _said_last(events: bytes, word: bytes) -> Iterator[_Said]:
    """The events that give this key a value, read; the last one first, since it has the last word."""
    at = events.rfind(word)
    while at >= 0:
        if not _is_null(events, at + len(word)):
            start, end = _bounds(events, at)
            yield _read_event(events[start:end])
            at = start
        at = events.rfind(word, 0, at)


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
        self.usage = said_usage(said.usage, said.x_groq)
        self.model = as_text(said.model)
        if said.error and bytes(said.choices) in _NO_CHOICES:
            self.error = fault(said.error)
