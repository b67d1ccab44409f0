"""How far may a stream be handed on, so that it breaks between two events and never within one?

The same bytes go out in the same order, each as soon as its event is whole. The rest of a chunk waits for the end of
its event. Where that never comes, the client gets our error event, and not half an event before it. Only of an event
that is so long that keeping it would take too much memory does each byte go out as it comes.
"""

from abc import ABC, abstractmethod

from proxy.framing.bounds import MAX_PASSED, Unframed
from proxy.framing.eventstream import PRELUDE, BadMessage, length_of


class _TextGate(ABC):
    """For events that end in a mark, nearly always one of `usual`. `whole`: bytes of an event that is kept together."""

    usual: tuple[bytes, ...]

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._parts: list[bytes] = []  # of the event that has not ended
        self._held = 0  # their bytes
        self._gone = 0  # bytes of that event which have gone out already

    def feed(self, data: bytes) -> bytes:
        """Raises Unframed."""
        if data.endswith(self.usual) and not self._parts:
            return data
        end = self._end(data, self._parts[-1][-1:] if self._parts else b"")
        whole = b"".join([*self._parts, data[:end]]) if end else b""
        if end:
            self._parts, self._held, self._gone = [], 0, 0
        if rest := data[end:]:
            self._parts.append(rest)
            self._held += len(rest)
        if self._gone or self._held > self._whole:
            whole += self._let_go()
        return whole

    def ending(self) -> bytes:
        """What has to stand behind an event that is broken off, where half of it has gone out."""
        return self.usual[0] if self._gone else b""

    def close(self) -> bytes:
        """What still waits, where the answer turned out to be whole without its mark."""
        held = b"".join(self._parts)
        self._parts, self._held = [], 0
        return held

    def _let_go(self) -> bytes:
        """All that is held but the last byte, by which the end of the event may begin."""
        held = b"".join(self._parts)
        self._parts, self._held, self._gone = [held[-1:]], 1, self._gone + len(held) - 1
        if self._gone > MAX_PASSED:
            raise Unframed(f"an event is longer than {MAX_PASSED} bytes")
        return held[:-1]

    @abstractmethod
    def _end(self, data: bytes, before: bytes) -> int:
        """Where the last event in these bytes ends; 0 where none does. `before`: the byte that came before them."""


class LineGate(_TextGate):
    """Newline-delimited JSON."""

    usual = (b"\n",)

    def _end(self, data: bytes, before: bytes) -> int:
        return data.rfind(b"\n") + 1


_BLANK = (b"\n\n", b"\n\r", b"\r\r")  # the beginning of every pair of line ends; a single CRLF has none of these


class EventGate(_TextGate):
    """Server-Sent Events. A blank line ends one: two line ends, each of them CR, LF or CRLF."""

    usual = (b"\n\n", b"\n\r\n")

    def _end(self, data: bytes, before: bytes) -> int:
        end = max(map(data.rfind, _BLANK)) + 2
        if end == 1 and before + data[:1] not in _BLANK:  # none here, and none that had begun before
            return 0
        return end + data.startswith(b"\r\n", end - 1)


class MessageGate:
    """AWS event-stream: a message says how long it is."""

    def __init__(self) -> None:
        self._held = bytearray()  # of the message that has not ended
        self._wanted = PRELUDE  # bytes needed before there is anything to do

    def feed(self, data: bytes) -> bytes:
        """Raises Unframed, after what came before."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return b""
            data = bytes(self._held)
            self._held.clear()
        end, self._wanted = _messages_in(data)
        if end < len(data):
            self._held += data[end:]
        return data[:end]

    def ending(self) -> bytes:
        return b""

    def close(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held


def _messages_in(data: bytes) -> tuple[int, int]:
    """How many bytes are whole messages, and how many the next one needs."""
    end = 0
    try:
        while len(data) - end >= PRELUDE:
            size = length_of(data[end : end + PRELUDE])
            if size > len(data) - end:
                return end, size
            end += size
    except BadMessage as error:
        if not end:
            raise Unframed(str(error)) from None
    return end, PRELUDE
