"""What does an answer that passes through cost, and did it end?

Only the few events of a stream that say something of the whole answer are parsed. Their bytes show them: their type
begins with `message_`, or is `"error"` in quotes, which would be escaped inside a JSON string.
"""

import msgspec

from proxy.dialects.anthropic.events import EVENT, MESSAGE, beside_delta, beside_message
from proxy.dialects.anthropic.faults import fault
from proxy.dialects.anthropic.usage import Tally
from proxy.framing import MAX_EVENT, data_of
from proxy.grammar import whole
from proxy.grammar.fields import UNREADABLE
from proxy.grammar.watching import EventMeter


class StreamMeter(EventMeter):
    """Watches a stream. Finished: message_stop."""

    def __init__(self) -> None:
        super().__init__(MAX_EVENT)
        self._tally = Tally()

    def _tells(self, text: bytes) -> bool:
        return b"message_" in text or b'"error"' in text

    def _event(self, event: bytes) -> None:
        if self.finished:
            return
        try:  # bare JSON is an error that came instead of a stream
            said = EVENT.decode(event if event.startswith(b"{") else data_of(event))
        except UNREADABLE:
            return
        match said.type:
            case "message_start" if said.message is not None:
                self.model = said.message.model or ""
                self.usage = self._tally.add(said.message.usage)
            case "message_delta":
                self.usage = self._tally.add(said.usage, beside_delta(said))
            case "message_stop":
                self.finished = True
            case "error":
                self.error = self.error or fault(said.error)
            case _:
                pass


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        try:
            message = MESSAGE.decode(body)
        except msgspec.ValidationError:  # JSON of a shape that is new to us, but not to the client perhaps
            self.finished = body.lstrip()[:1] == b"{"
            return
        except UNREADABLE:
            return
        self.finished = True
        self.model = message.model or ""
        self.usage = Tally().add(message.usage, beside_message(message))
        if message.error is not None:
            self.error = fault(message.error)
