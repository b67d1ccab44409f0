"""What is the same on every wire in decoding, metering and rendering an answer that comes whole?

Its bytes are collected to the end and then read at once; likewise its events, which are then rendered. Each dialect
says how.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from proxy.canon import Completion, Event, Finish, Usage, fold
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import Body, FrameTooLong
from proxy.grammar.fields import nonsense
from proxy.grammar.halves import well_formed


class Decoder(ABC):
    def __init__(self) -> None:
        self._body = Body()

    def feed(self, data: bytes) -> Iterator[Event]:
        try:
            self._body.feed(data)
        except FrameTooLong as error:
            raise nonsense(str(error)) from None
        return iter(())

    def close(self) -> Iterator[Event]:
        return self.read(well_formed(self._body.close()))

    @abstractmethod
    def read(self, body: bytes) -> Iterator[Event]:
        """The events of the whole answer. Raises UpstreamError."""


class Meter(ABC):
    """An answer is finished if its bytes are a JSON object."""

    over = False  # how long it is says its head

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._body = Body()

    def feed(self, data: bytes) -> None:
        try:  # noqa: SIM105  `suppress` costs four calls
            self._body.feed(data)
        except FrameTooLong:
            pass  # too long to be read

    def close(self) -> None:
        self.look(well_formed(self._body.close()))

    @abstractmethod
    def look(self, body: bytes) -> None:
        """Note the usage and the like that the answer tells. Raises nothing, whatever the bytes."""


class Renderer(ABC):
    media_type = "application/json"

    def __init__(self) -> None:
        self._events: list[Event] = []

    def feed(self, event: Event) -> bytes:
        self._events.append(event)
        return self.spell(fold(self._events)) if isinstance(event, Finish) else b""

    def error(self, error: GatewayError) -> bytes:
        """Nobody asks for this: what breaks before it is whole has not begun, and its error is all that is sent."""
        raise NotImplementedError

    @abstractmethod
    def spell(self, completion: Completion) -> bytes:
        """The whole answer. Raises Unrepresentable."""
