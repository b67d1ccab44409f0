"""What does an answer that passes through cost, and did it end?

Nearly every message of a stream is about one block. Its event type shows that, and it is skipped without reading its
payload or checking its checksum. Only the others say something of the whole answer.
"""

from contextlib import suppress

import msgspec

from proxy.canon import Usage
from proxy.dialects.bedrock.decode import ANSWER
from proxy.dialects.bedrock.faults import fault_of_message, fault_of_no_answer
from proxy.dialects.bedrock.usage import usage_of
from proxy.errors import UpstreamError
from proxy.framing.eventstream import BadMessage, Frames, headers_in, message_of
from proxy.grammar import whole
from proxy.grammar.fields import UNREADABLE


class StreamMeter:
    """Watches a stream. It finishes at messageStop, after which only the usage comes. No answer here names a model."""

    model = ""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finished = False
        self.error: UpstreamError | None = None
        self._frames = Frames()
        self._told = False  # metadata came
        self._more: object = None  # additionalModelResponseFields
        self._is_over = False  # nothing that follows counts, as for a decoder

    @property
    def over(self) -> bool:
        return self.finished and self._told

    def feed(self, data: bytes) -> None:
        if self._is_over:
            return
        try:
            for frame in self._frames.feed(data):
                if b"contentBlock" not in headers_in(frame):
                    self._look(frame)
                if self._is_over:
                    break
        except BadMessage:
            self._is_over = True

    def close(self) -> None:
        """The end of the stream. A message that it cuts off is ignored."""

    def _look(self, frame: bytes) -> None:
        message = message_of(frame)
        if message.headers.get(":message-type") in ("exception", "error"):
            self.error = self.error or fault_of_message(message)
        elif message.headers.get(":event-type") == "messageStop":
            self.finished = True
            with suppress(*UNREADABLE):
                self._more = ANSWER.decode(message.payload).additional_model_response_fields
        elif message.headers.get(":event-type") == "metadata":
            self._told = True
            with suppress(*UNREADABLE):
                told = ANSWER.decode(message.payload)
                self.usage = usage_of(told.usage, told.service_tier, self._more, told.performance_config) or self.usage
        self._is_over = self.error is not None or self.over


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        try:
            answer = ANSWER.decode(body)
        except msgspec.ValidationError:  # JSON of a shape that is new to us, but not to the client perhaps
            self.finished = body.lstrip()[:1] == b"{"
            return
        except UNREADABLE:
            return
        self.finished = True
        more, speed = answer.additional_model_response_fields, answer.performance_config
        self.usage = usage_of(answer.usage, answer.service_tier, more, speed)
        if answer.output is None:
            self.error = fault_of_no_answer(body)
