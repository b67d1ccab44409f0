"""Where does one event end and the next begin?

Sans-I/O framers for the three ways in which providers frame a stream: Server-Sent Events, newline-delimited JSON,
and (in its own time) AWS event-stream. Bytes go in as they come, split anywhere; whole frames come out.

SSE follows the WHATWG algorithm (https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6) where a
provider can be told from a browser's server: CR, LF and CRLF all end a line, a BOM at the start is passed over,
comments and unknown fields are ignored. It differs in one point: an event that the end of the stream cuts off is
handed out by `close`, since several hosts leave out the last blank line.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_FRAME = 64 * 1024 * 1024  # bytes; beyond it an answer is an attack or a fault, never an event or a whole

LONGEST_LINE = 64 * 1024  # bytes that may pass before a stream of events shows a line of one

_BOM = b"\xef\xbb\xbf"


class FrameTooLong(ValueError):
    """A line, an event or a whole answer outgrew the limit without ending."""


class Unframed(ValueError):
    """These bytes are no stream, whatever may follow."""


class Frame(NamedTuple):
    """One Server-Sent Event: its name (`""` where it has none) and its data lines, joined by LF."""

    event: str
    data: bytes


class _LineEnds:
    """LF for every line end. A CR that ends a chunk is one at once; its LF, should one follow, is passed over."""

    def __init__(self) -> None:
        self._after_cr = False

    def unify(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


class Lines:
    """Bytes to lines, without their ends. CR LF counts as one end, also when a chunk ends between the two."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._ends = _LineEnds()
        self._parts: list[bytes] = []  # of the line that is still open
        self._held = 0  # their bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        first, *rest = self._ends.unify(data).split(b"\n")
        if not rest:
            self._keep(first)
            return
        self._parts.append(first)
        line = b"".join(self._parts)
        self._parts = []
        self._held = 0
        for following in rest:
            yield self._short(line)
            line = following
        self._keep(line)

    def close(self) -> Iterator[bytes]:
        if self._parts:
            yield b"".join(self._parts)
            self._parts = []
            self._held = 0

    def _keep(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
            self._held += len(part)
            self._check(self._held)

    def _short(self, line: bytes) -> bytes:
        self._check(len(line))
        return line

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise FrameTooLong(f"a line is longer than {self._limit} bytes")


class ServerSentEvents:
    """Bytes to Frames. An event without data is no event, as the standard has it."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._lines = Lines(limit)
        self._limit = limit
        self._event = ""
        self._data: list[bytes] = []
        self._held = 0
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[Frame]:
        for line in self._lines.feed(data):
            yield from self._line(line)

    def close(self) -> Iterator[Frame]:
        """The end of the stream: what it cut off, if that had data."""
        for line in self._lines.close():
            yield from self._line(line)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[Frame]:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                yield Frame(self._event, b"\n".join(self._data))
            self._event = ""
            self._data = []
            self._held = 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._held += len(value)
            if self._held > self._limit:
                raise FrameTooLong(f"an event is longer than {self._limit} bytes")
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")


class NewlineDelimited:
    """Bytes to lines of JSON, blank ones passed over."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._lines = Lines(limit)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return (line for line in self._lines.feed(data) if line.strip())

    def close(self) -> Iterator[bytes]:
        return (line for line in self._lines.close() if line.strip())


class Batches:
    """Bytes to bytes: of a stream of Server-Sent Events, all the whole ones that have come, with LF for line ends.

    For a meter, which looks into few events and so had better not take each apart. One that outgrows the limit is
    passed over.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ends = _LineEnds()
        self._parts: list[bytes] = []  # of the event that is still open
        self.held = 0  # their bytes

    def feed(self, data: bytes) -> bytes:
        data = self._ends.unify(data)
        if b"\n\n" not in data and not (data.startswith(b"\n") and self._parts and self._parts[-1].endswith(b"\n")):
            self._keep(data)
            return b""
        if self._parts:
            data = self.close() + data
        end = data.rfind(b"\n\n") + 2
        self._keep(data[end:])
        return data[:end]

    def close(self) -> bytes:
        """The end of the stream: what it cut off."""
        held = b"".join(self._parts)
        self._parts, self.held = [], 0
        return held

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self.held += len(data)
        if self.held > self._limit:  # it becomes a comment
            self._parts = [b":"]
            self.held = 1


class Body:
    """Bytes to bytes: a whole answer, once it has come. Beyond the limit nothing is kept."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> None:
        """Raises FrameTooLong."""
        self._held += len(data)
        if self._held > self._limit:
            self._parts.clear()
            raise FrameTooLong(f"it is longer than {self._limit} bytes")
        self._parts.append(data)

    def close(self) -> bytes:
        return b"".join(self._parts)


def has_sse(held: bytes) -> bool:
    """Does the beginning of a stream hold a whole event? Comments alone are none. Raises Unframed."""
    if _event_in(held):
        return True
    if len(held) > LONGEST_LINE and not _line_in(held):
        raise Unframed
    return False


_event_in = re.compile(rb"(?:^|[\r\n])data:[^\r\n]*(?:\r\n|\n|\r(?!\n)){2}").search
_line_in = re.compile(rb"[\r\n]|^(?:data|event|id|retry|):").search  # the beginning of what may yet become one


def has_line(held: bytes) -> bool:
    """Does the beginning of a stream of lines hold a whole one that is not blank?"""
    return b"\n" in held.lstrip()


def data_of(event: bytes) -> bytes:
    """The data lines of one event that has come whole, joined by LF."""
    lines = event.removeprefix(_BOM).splitlines()
    return b"\n".join([line[5:] for line in lines if line.startswith(b"data:")]).strip()


def sse(data: bytes, event: str = "") -> bytes:
    """Spell one event. `data` is JSON, or a word such as [DONE]: it holds no line end."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data) if event else b"data: %b\n\n" % data
