"""Where does one Server-Sent Event end and the next begin, and what does it say?

SSE follows the WHATWG algorithm (https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6) where a
provider can be told from a browser's server: CR, LF and CRLF all end a line, a BOM at the start is passed over,
comments and unknown fields are ignored. It differs in one point: an event that the end of the stream cuts off is
handed out by `close`, since several hosts leave out the last blank line.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.framing.bounds import LONGEST_LINE, MAX_FRAME, FrameTooLong, Unframed
from proxy.framing.lines import LineEnds
from proxy.grammar.repeats import Repeats

_BOM = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """One Server-Sent Event: its name (`""` where it has none) and its data lines, joined by LF."""

    event: str
    data: bytes


class _Whole:
    """Bytes of Server-Sent Events to all whole events that have come, with LF for line ends."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ends = LineEnds()
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
        """All whole events that have come, without the BOM at the start."""
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


class Batches(_Whole):
    """For a meter, which looks into few events: it need not take each of them apart.

    An event that is longer than the limit is left out: it becomes a comment.
    """

    def _outgrown(self) -> None:
        self._parts = [b":"]
        self.held = 1


def has_sse(held: bytes, is_silent: Callable[[bytes], object]) -> bool:
    """Does the beginning of a stream hold a whole event that says something?

    `is_silent`: does an event with this data say nothing yet? Raises Unframed, also where such an event is no JSON.
    """
    data, at = LineEnds().unify(held), 0
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
