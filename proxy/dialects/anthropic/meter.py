"""What does an answer that passes through cost, and did it end?"""

from proxy.canon import Usage
from proxy.dialects.anthropic.decode import EVENT, MESSAGE, Body
from proxy.dialects.anthropic.faults import error_in_answer
from proxy.dialects.anthropic.usage import Tally
from proxy.dialects.anthropic.words import UNREADABLE
from proxy.errors import UpstreamError

_TAIL = 1024 * 1024  # bytes of a line that may be kept; what tells of tokens is far shorter


class StreamMeter:
    """Looks for the few events that tell of the answer as a whole, and parses no other."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._tally = Tally()
        self._tail: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> None:
        if self._held or not data.endswith(b"\n"):  # else, as nearly always, whole lines have come
            data = self._lines(data)
        if b"message_" in data or b'"error"' in data:
            self._scan(data)

    def close(self) -> None:
        self._scan(b"".join(self._tail))

    def _lines(self, data: bytes) -> bytes:
        """What can be read of the data: the line that was open before, and all that ends in it."""
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        whole = b"".join((*self._tail, data[:cut])) if cut else b""
        if cut:
            self._tail.clear()
            self._held = 0
        self._keep(data[cut:])
        return whole

    def _keep(self, part: bytes) -> None:
        self._tail.append(part)
        self._held += len(part)
        if self._held > _TAIL:  # it becomes a comment
            self._tail[:] = [b":"]
            self._held = 1

    def _scan(self, lines: bytes) -> None:
        for line in lines.replace(b"\r", b"\n").split(b"\n"):
            if (line.startswith((b"data:", b"{"))) and not self.finished:
                self._event(line.removeprefix(b"data:"))

    def _event(self, data: bytes) -> None:
        if b"message_" not in data and b'"error"' not in data:
            return
        try:
            event = EVENT.decode(data)
        except UNREADABLE:
            return
        match event.type:
            case "message_start" if event.message is not None:
                self.model = event.message.model or ""
                self.usage = self._tally.add(event.message.usage)
            case "message_delta":
                self.usage = self._tally.add(event.usage)
            case "message_stop":
                self.finished = True
            case "error":
                self.error = self.error or error_in_answer(event.error)
            case _:
                pass


class WholeMeter:
    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._body = Body()

    def feed(self, data: bytes) -> None:
        self._body.add(data)

    def close(self) -> None:
        try:
            message = MESSAGE.decode(self._body.whole())
        except UNREADABLE:
            return
        self.finished = True
        self.model = message.model or ""
        self.usage = Tally().add(message.usage)
        if message.error is not None:
            self.error = error_in_answer(message.error)
