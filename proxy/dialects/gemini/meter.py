"""What does an answer that passes through cost, and did it end?

Every chunk of a stream tells of tokens, and only the last count holds: what has come is kept, and looked at from the
end backwards when somebody asks. That is safe: inside a JSON string every quote is escaped, so `"usageMetadata"` can
only be a key or a whole value.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from proxy import whole
from proxy.canon import Usage
from proxy.dialects.gemini.faults import error_in, fault
from proxy.dialects.gemini.frames import Chunks, is_array
from proxy.dialects.gemini.usage import usage_of
from proxy.errors import UpstreamError
from proxy.fields import UNREADABLE, as_list, as_object, as_text, decode_json
from proxy.framing import Batches, FrameTooLong, data_of

MAX_EVENT = 8 * 1024 * 1024  # bytes; an image comes in one event, and the count of its tokens in the same

_BATCH = 64 * 1024  # bytes that wait to be looked at


class _Said(Struct):
    """What a meter reads of a chunk, or of a whole answer; of any type, since any bytes may come."""

    modelVersion: Any = None  # noqa: N815
    usageMetadata: Any = None  # noqa: N815
    candidates: Any = None
    promptFeedback: Any = None  # noqa: N815
    error: Any = None

    def is_last(self) -> bool:
        """Has a candidate its reason, or the prompt one for being blocked?"""
        blocked = as_object(self.promptFeedback).get("blockReason")
        return bool(blocked) or any(as_object(one).get("finishReason") for one in as_list(self.candidates))


_read = msgspec.json.Decoder(_Said).decode


class StreamMeter:
    """Watches a stream. Finished: a finishReason, or a prompt that was blocked."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._model = ""
        self._finished = False
        self._error: UpstreamError | None = None
        self._events: Batches | _Array | None = None
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
        if self._events is not None:
            self._look(self._events.close())

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
        data = b"".join(self._kept)
        if self._events is None and data.strip():
            self._events = _Array() if is_array(data) else Batches(MAX_EVENT)
        if self._events is not None and data:
            self._kept, self._size = [], 0
            self._look(self._events.feed(data))

    def _look(self, events: bytes) -> None:
        """At whole events, with a blank line behind each."""
        if not events:
            return
        if not self._model:
            named = (as_text(said.modelVersion) for said in _said(events, b'"modelVersion"'))
            self._model = next(filter(None, named), "")
        counted = (usage_of(said.usageMetadata) for said in _said_last(events, b'"usageMetadata"'))
        self._usage = next((usage for usage in counted if usage is not None), self._usage)
        for word in (b'"finishReason"', b'"blockReason"'):
            self._finished = self._finished or any(said.is_last() for said in _said_last(events, word))
        if self._error is None:
            errors = (said.error for said in _said(events, b'"error"') if said.error)
            self._error = next(map(fault, errors), None)


class _Array:
    """The elements of an array as if they were events. One that outgrows the limit ends the watch."""

    def __init__(self) -> None:
        self._chunks = Chunks(MAX_EVENT)

    def feed(self, data: bytes) -> bytes:
        whole: list[bytes] = []
        with suppress(FrameTooLong):
            whole.extend(b"data: %b\n\n" % b" ".join(chunk.split(b"\n")) for chunk in self._chunks.feed(data))
        return b"".join(whole)

    def close(self) -> bytes:
        return b""


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
    """The same, the last one first, since it has the last word."""
    at = events.rfind(word)
    while at >= 0:
        start, end = _bounds(events, at)
        yield _read_event(events[start:end])
        at = events.rfind(word, 0, start)


def _read_event(event: bytes) -> _Said:
    """An event's data; a stream that breaks has bare JSON in its place."""
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
        self.usage = usage_of(said.get("usageMetadata"))
        self.model = as_text(said.get("modelVersion"))
        if error := error_in(value):
            self.error = fault(error)
