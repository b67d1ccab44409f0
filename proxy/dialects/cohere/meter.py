"""What does an answer that passes through cost, and is it complete?

The last event says all of that, so that only it is parsed. That is safe: inside a JSON string every quote is escaped,
so `"message-end"` can only be a whole value. This wire never names the model.
"""

from proxy.canon import Usage
from proxy.dialects.cohere.faults import fault_of_finish, fault_of_no_answer
from proxy.dialects.cohere.usage import usage_of
from proxy.errors import UpstreamError
from proxy.framing import MAX_EVENT, Batches, data_of
from proxy.grammar import whole
from proxy.grammar.fields import Object, as_object, object_in

_START, _END = b'"message-start"', b'"message-end"'


class StreamMeter:
    """Watches a stream. It is finished after message-end."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._begun = False
        self._batches = Batches(MAX_EVENT)

    @property
    def over(self) -> bool:
        return self.finished

    def feed(self, data: bytes) -> None:
        self._look(self._batches.feed(data))

    def close(self) -> None:
        """The end of the stream. An event that it cut off counts, as it does for the decoder."""
        rest = self._batches.close()
        if rest.startswith(b"{") and not self.finished:  # a plain JSON error instead of a stream
            self.error = fault_of_no_answer(rest)
        self._look(rest)

    def _look(self, events: bytes) -> None:
        if events and not self._begun:
            self._begun = True
            if _START not in events and isinstance(object_in(data := data_of(events)).get("message"), str):
                self.error = fault_of_no_answer(data)
        if _END in events:
            for event in events.split(b"\n\n"):
                if _END in event and not self.finished and self.error is None:
                    self._event(object_in(data_of(event)))

    def _event(self, said: Object) -> None:
        if said.get("type") != "message-end":
            return
        delta = as_object(said.get("delta"))
        self.error = fault_of_finish(delta.get("finish_reason"), delta.get("error"))
        self.finished = self.error is None
        self.usage = usage_of(delta.get("usage"))


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        said = object_in(body)
        self.finished = bool(said)
        self.usage = usage_of(said.get("usage"))
        if isinstance(said.get("message"), str):
            self.error = fault_of_no_answer(body)
        else:
            self.error = fault_of_finish(said.get("finish_reason"), said.get("error"))
