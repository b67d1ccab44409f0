"""Where in a stream's bytes are the few events that a meter must read?

Nearly every event tells it nothing. So the bytes are kept and searched together: when somebody asks, when there are
many, and at the end. Words are searched for as bytes, backwards where the last one counts. That is safe: every quote
inside a JSON string is escaped, so a quoted word can only be a key or a whole value.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator

from proxy.canon import Usage
from proxy.errors import UpstreamError
from proxy.framing import Batches
from proxy.grammar.choices import Choices

_BATCH = 64 * 1024  # bytes that may wait to be searched
_is_null = re.compile(rb"\s*:\s*null").match


class LateMeter(ABC):
    """For a stream of several choices. Its bytes wait in `_kept`."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._model = ""
        self._error: UpstreamError | None = None
        self._choices = Choices()
        self._kept: list[bytes] = []
        self._size = 0  # bytes in `_kept`

    def feed(self, data: bytes) -> None:
        self._kept.append(data)
        self._size += len(data)
        if self._size > _BATCH:
            self._catch_up()

    @property
    def usage(self) -> Usage | None:
        self._catch_up()
        return self._usage

    @property
    def model(self) -> str:
        self._catch_up()
        return self._model

    @property
    def error(self) -> UpstreamError | None:
        self._catch_up()
        return self._error

    @abstractmethod
    def _catch_up(self) -> None:
        """Search the bytes that wait."""

    def _taken(self) -> bytes:
        """Return the bytes that wait, and forget them."""
        data = b"".join(self._kept)
        self._kept, self._size = [], 0
        return data


class EventMeter(ABC):
    """For a stream where few events tell something: those are read as they come. `limit`: bytes of one event."""

    def __init__(self, limit: int) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._batches = Batches(limit)

    @property
    def over(self) -> bool:
        return self.finished

    def feed(self, data: bytes) -> None:
        self._look(self._batches.feed(data))

    def close(self) -> None:
        """The end of the stream: an event that was cut off counts, as it does for the decoder."""
        self._look(self._batches.close())

    def _look(self, events: bytes) -> None:
        if self._tells(events):
            for event in events.split(b"\n\n"):
                if self._tells(event):
                    self._event(event)

    @abstractmethod
    def _tells(self, text: bytes) -> bool:
        """Could there be an event in it that tells something?"""

    @abstractmethod
    def _event(self, event: bytes) -> None:
        """Read an event that may tell something. Raises nothing, whatever the bytes."""


# --- in complete events, each with its blank line --------------------------------------------------------------------


def bounds(events: bytes, at: int) -> tuple[int, int]:
    """Where the event at this place begins and ends."""
    end = events.find(b"\n\n", at)
    return events.rfind(b"\n\n", 0, at) + 1, end if end >= 0 else len(events)


def event_at(events: bytes, at: int) -> bytes:
    start, end = bounds(events, at)
    return events[start:end]


def holding(events: bytes, word: bytes) -> Iterator[bytes]:
    """The events that contain the word, first to last."""
    at = events.find(word)
    while at >= 0:
        start, end = bounds(events, at)
        yield events[start:end]
        at = events.find(word, end)


def giving_last(events: bytes, key: bytes) -> Iterator[bytes]:
    """The events that give this key a value other than null, last to first, since the last one counts."""
    at = events.rfind(key)
    while at >= 0:
        if not _is_null(events, at + len(key)):
            start, end = bounds(events, at)
            yield events[start:end]
            at = start
        at = events.rfind(key, 0, at)
