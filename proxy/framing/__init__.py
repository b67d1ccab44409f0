"""Where does one event end and the next begin?

Sans-I/O framers for the two ways in which providers frame a stream as text: Server-Sent Events and newline-delimited
JSON. (eventstream.py has AWS's, in binary.) Bytes go in as they come, split anywhere; whole frames come out.

SSE follows the WHATWG algorithm (https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6) where a
provider can be told from a browser's server: CR, LF and CRLF all end a line, a BOM at the start is passed over,
comments and unknown fields are ignored. It differs in one point: an event that the end of the stream cuts off is
handed out by `close`, since several hosts leave out the last blank line.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.grammar.repeats import Repeats

MAX_FRAME = 32 * 1024 * 1024  # bytes of an event: a picture of 24 MiB; a longer one is an attack or a fault
MAX_WHOLE = 64 * 1024 * 1024  # bytes of a whole answer
LONGEST_LINE = 64 * 1024  # bytes within which a stream of events must show the line of one

_BOM = b"\xef\xbb\xbf"


class FrameTooLong(ValueError):
    """A line, an event or a whole answer is longer than the limit."""


class Unframed(ValueError):
    """These bytes are not the beginning of any stream."""


class Frame(NamedTuple):
    """One Server-Sent Event: its name (`""` where it has none) and its data lines, joined by LF."""

    event: str
    data: bytes


class _LineEnds:
    """LF for every line end. A CR at the end of a chunk becomes one at once; if its LF follows, that is left out."""

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
        self._parts: list[bytes] = []  # of the line that has not ended
        self._held = 0  # their bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        first, *rest = self._ends.unify(data).split(b"\n")
        if not rest:
            self._keep(first)
            return
        self._parts.append(first)
        line = b"".join(self._parts)
        self._parts, self._held = [], 0
        for following in rest:
            yield self._short(line)
            line = following
        self._keep(line)

    def close(self) -> Iterator[bytes]:
        if self._parts:
            yield b"".join(self._parts)
            self._parts, self._held = [], 0

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


class _Whole:
    """Bytes of Server-Sent Events to all whole events that have come, with LF for line ends."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ends = _LineEnds()
        self._parts: list[bytes] = []  # of the event that has not ended
        self.held = 0  # their bytes
        self.too_long = False

    def feed(self, data: bytes) -> bytes:
        data = self._ends.unify(data)
        if data.endswith(b"\n\n") and not self._parts:
            return data
        if b"\n\n" not in data and not (data.startswith(b"\n") and self._parts and self._parts[-1].endswith(b"\n")):
            self._keep(data)
            return b""
        if self._parts:
            self._parts.append(data)
            data = self.close()
        end = data.rfind(b"\n\n") + 2
        self._keep(data[end:])
        return data[:end]

    def close(self) -> bytes:
        """The end of the stream: the event that it cut off."""
        held = b"".join(self._parts)
        self._parts, self.held = [], 0
        return held

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self.held += len(data)
        if self.held > self._limit:
            self._outgrown()

    def _outgrown(self) -> None:
        self.too_long = True


class ServerSentEvents:
    """Bytes to Frames. By the standard, an event without data is no event."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._whole = _Whole(limit)
        self._limit = limit
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Raises FrameTooLong, after what came before."""
        for event in self._begun(data).split(b"\n\n"):
            if frame := frame_of(self._short(event)):
                yield frame
        self._check()

    def close(self) -> Iterator[Frame]:
        """The end of the stream: the event that it cut off, if that had data."""
        return filter(None, [frame_of(self.last())])

    def sift(self, data: bytes, repeats: Repeats) -> Iterator[bytes | str]:
        """The events as they stand, with LF for line ends and no blank line; of a run of like ones, their texts joined.

        Raises FrameTooLong, after what came before.
        """
        whole, at = self._begun(data), 0
        while at < len(whole):
            text, end = repeats.run(whole, at) if len(whole) <= self._limit else ("", at)
            if text:
                yield text
            elif end == at:
                blank = whole.find(b"\n\n", at)
                end = len(whole) if blank < 0 else blank + 2  # an odd number of line ends leaves one over
                if event := self._short(whole[at:end].strip(b"\n")):
                    yield event
            at = end
        self._check()

    def last(self) -> bytes:
        """The event that the end of the stream cut off."""
        cut = self._whole.close()
        return cut.removeprefix(_BOM) if self._at_start else cut

    def _begun(self, data: bytes) -> bytes:
        """All whole events that have come."""
        whole = self._whole.feed(data)
        if whole and self._at_start:
            self._at_start = False
            whole = whole.removeprefix(_BOM)
        return whole

    def _short(self, event: bytes) -> bytes:
        if len(event) > self._limit:
            raise _too_long(self._limit)
        return event

    def _check(self) -> None:
        if self._whole.too_long:
            raise _too_long(self._limit)


def _too_long(limit: int) -> FrameTooLong:
    return FrameTooLong(f"an event is longer than {limit} bytes")


def frame_of(event: bytes) -> Frame | None:
    """None where the event has no data."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return Frame("", event[6:])
    name, data = "", []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return Frame(name, b"\n".join(data)) if data else None


class NewlineDelimited:
    """Bytes to lines of JSON, without the blank ones."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._lines = Lines(limit)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return (line for line in self._lines.feed(data) if line.strip())

    def close(self) -> Iterator[bytes]:
        return (line for line in self._lines.close() if line.strip())


class Batches(_Whole):
    """For a meter, which looks into few events: it need not take each of them apart.

    An event that is longer than the limit is left out: it becomes a comment.
    """

    def _outgrown(self) -> None:
        self._parts = [b":"]
        self.held = 1


class Body:
    """Bytes to a whole answer, once it has come. Nothing is kept of one beyond the limit."""

    def __init__(self, limit: int = MAX_WHOLE) -> None:
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


def has_sse(held: bytes, is_silent: Callable[[bytes], object]) -> bool:
    """Does the beginning of a stream hold a whole event that says something?

    `is_silent`: does an event with this data say nothing yet? Raises Unframed, also where such an event is no JSON.
    """
    data, at = _LineEnds().unify(held), 0
    while (said := data.find(b"data", at)) >= 0 and (end := data.find(b"\n\n", said)) >= 0:
        at = max(at, data.rfind(b"\n\n", at, said))  # what is before has no data, and there may be much of it
        frame = frame_of(data[at:end])
        if frame is not None and frame.data.strip() and not is_silent(frame.data):
            check_json(frame.data)
            return True
        at = end + 2
    if len(held) > LONGEST_LINE and not _line_in(held):
        raise Unframed
    return False


def check_json(data: bytes) -> None:
    """As leniently as clients: some hosts send NaN, a bare tab in a text, or half a character. Raises Unframed."""
    try:
        _read(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Unframed from None


_read = json.JSONDecoder(strict=False).decode
_line_in = re.compile(rb"[\r\n]|^(?:data|event|id|retry|):").search  # a line, or the beginning of one


def data_of(event: bytes) -> bytes:
    """The data lines of one whole event, joined by LF."""
    lines = event.removeprefix(_BOM).splitlines()
    return b"\n".join([line[5:] for line in lines if line.startswith(b"data:")]).strip()


def sse(data: bytes, event: str = "") -> bytes:
    """Write one event. `data` is JSON, or a word such as [DONE]: it holds no line end."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data) if event else b"data: %b\n\n" % data
