"""Where does one chunk of a stream end and the next begin?

Asked with `alt=sse`, Google sends Server-Sent Events; otherwise one JSON array that grows. The first byte tells them
apart. A stream of events that breaks has the error among them as bare JSON, over several lines and without `data:`.
"""

import re
from collections.abc import Iterator

from proxy.dialects.gemini.words import SAYING
from proxy.framing import LONGEST_LINE, MAX_FRAME, FrameTooLong, Lines, has_sse
from proxy.framing.gates import EventGate

_BOM = b"\xef\xbb\xbf"


class Chunks:
    """Bytes in, the JSON of each chunk out, for either framing."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._framer: _Events | _Elements | None = None
        self._held = b""  # what came before the first byte that counts

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._framer is None:
            self._held += data
            if not (begun := _begun(self._held)):
                return
            self._framer = _Elements(self._limit) if begun.startswith(b"[") else _Events(self._limit)
            data, self._held = begun, b""
        yield from self._framer.feed(data)

    def close(self) -> Iterator[bytes]:
        if self._framer is not None:
            yield from self._framer.close()


def _begun(held: bytes) -> bytes:
    """The bytes from the first one that counts, after a BOM and whitespace; empty until that has come."""
    return b"" if _BOM.startswith(held) else held.removeprefix(_BOM).lstrip()


def is_array(held: bytes) -> bool:
    return _begun(held).startswith(b"[")


def has_chunk(held: bytes) -> bool:
    """Does the beginning of a stream hold a whole chunk that says something? Raises Unframed."""
    if _begun(held)[:1] in (b"[", b"{"):
        return len(held) > LONGEST_LINE or any(map(SAYING.search, Chunks().feed(held)))
    return has_sse(held, lambda data: SAYING.search(data) is None)


class ChunkGate:
    """Only whole Server-Sent Events pass. An array passes as it comes, since no error could be put into it anyway."""

    def __init__(self) -> None:
        self._events = EventGate(MAX_FRAME)  # a picture comes in one, and with it what the answer cost
        self._is_array: bool | None = None

    def feed(self, data: bytes) -> bytes:
        if self._is_array is None:
            self._is_array = is_array(data)
        return data if self._is_array else self._events.feed(data)

    def ending(self) -> bytes:
        return self._events.ending()

    def close(self) -> bytes:
        return self._events.close()


class _Events:
    """Server-Sent Events, in which Google uses only `data:`, with bare JSON between them."""

    def __init__(self, limit: int) -> None:
        self._lines = Lines(limit)
        self._limit = limit
        self._data: list[bytes] = []
        self._bare: list[bytes] = []  # lines of JSON without `data:`
        self._held = 0  # bytes of both

    def feed(self, data: bytes) -> Iterator[bytes]:
        for line in self._lines.feed(data):
            yield from self._line(line)

    def close(self) -> Iterator[bytes]:
        """The end of the stream: an event that it cuts off is given out, too."""
        for line in self._lines.close():
            yield from self._line(line)
        yield from self._taken(self._bare)
        yield from self._taken(self._data)

    def _line(self, line: bytes) -> Iterator[bytes]:
        if self._bare:
            self._keep(self._bare, line)
            if line.startswith(b"}"):
                yield from self._taken(self._bare)
        elif not line:
            yield from self._taken(self._data)
        elif line.startswith(b"data:"):
            self._keep(self._data, line[5:])
        elif line.startswith(b"{"):
            self._keep(self._bare, line)
            if line.rstrip().endswith(b"}"):
                yield from self._taken(self._bare)

    def _keep(self, lines: list[bytes], line: bytes) -> None:
        lines.append(line)
        self._held += len(line)
        if self._held > self._limit:
            raise FrameTooLong(f"an event is longer than {self._limit} bytes")

    def _taken(self, lines: list[bytes]) -> Iterator[bytes]:
        data = b"\n".join(lines).strip()
        self._held -= sum(map(len, lines))
        lines.clear()
        if data:
            yield data


_marks_a_string = re.compile(rb'["\\]').search
_marks = re.compile(rb'["\[\]{}]').search


class _Elements:
    """The objects of one JSON array, each as soon as it is whole. Only brackets and quotes are looked at."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()  # from the beginning of the open element
        self._at = 0  # how many of its bytes have been looked at
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._held += data
        start = 0
        while found := (_marks_a_string if self._in_string else _marks)(self._held, self._at):
            at = found.start()
            self._at = at + 1
            before = self._depth
            self._step(self._held[at])
            if before == 1 and self._depth == 2:
                start = at
            elif before == 2 and self._depth == 1:
                yield bytes(self._held[start : at + 1])
                start = at + 1
        self._at = max(self._at, len(self._held))
        if self._depth < 2:
            start = len(self._held)
        del self._held[:start]
        self._at -= start
        if len(self._held) > self._limit:
            raise FrameTooLong(f"an element is longer than {self._limit} bytes")

    def close(self) -> Iterator[bytes]:
        return iter(())  # an element that was cut off is no chunk

    def _step(self, mark: int) -> None:
        if mark == ord('"'):
            self._in_string = not self._in_string
        elif mark == ord("\\"):
            self._at += 1  # the next byte is escaped, and may not have come yet
        else:
            self._depth += 1 if mark in b"[{" else -1
