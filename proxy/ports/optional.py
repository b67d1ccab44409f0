"""What can only some dialects do?

Each of these is a protocol of its own, and the caller asks whether a dialect has it (`isinstance`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from proxy.canon import Event, Request, Usage
from proxy.envelope import Envelope
from proxy.ports.dialects import Headers, Peek


@runtime_checkable
class Counting(Protocol):
    """A dialect in which a client may ask how many tokens a request has."""

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        """The request that a client wants counted. Raises BadRequest, with the field's path."""
        ...

    def count_answer(self, tokens: int) -> bytes:
        """The body of the answer to a client."""
        ...

    def count_body(self, request: Request) -> bytes:
        """The body that asks a provider to count. Raises Unrepresentable."""
        ...

    def count_read(self, body: bytes) -> int:
        """The count in the provider's answer. Raises UpstreamError."""
        ...


@runtime_checkable
class Loading(Protocol):
    """A dialect in which a client may ask for a model to be loaded, and for nothing else."""

    def loaded(self, request: Request) -> Sequence[Event]:
        """The answer to a request that only loads the model; empty where the request asks for more."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A dialect whose clients name a model by a path with its project and location."""

    def model_at(self, path: str) -> str:
        """The model's name. Raises Unsupported where the path leads to something else."""
        ...


@runtime_checkable
class HeadCounting(Protocol):
    """A dialect whose whole answers may count their tokens in the head, and perhaps not in the body."""

    def usage_in_head(self, headers: Mapping[str, str]) -> Usage | None: ...
    def head_of(self, usage: Usage) -> Headers: ...


@runtime_checkable
class Assorted(Protocol):
    """A dialect with more than one sort of body, each for the models of one vendor."""

    def suits(self, envelope: Envelope, model: str) -> bool:
        """Is this body for a model of that name, as far as the name shows whose it is?"""
        ...


@runtime_checkable
class Windowed(Protocol):
    """A dialect in which a request may say how many tokens of context its model is to have."""

    def window(self, tokens: int) -> Mapping[str, Any]:
        """The fields that say it."""
        ...


@runtime_checkable
class Paging(Protocol):
    """A dialect in which a client may ask for a list of models page by page."""

    def model_page(self, names: Sequence[str], query: Mapping[str, str]) -> bytes:
        """The body of the page that the query asks for. Raises BadRequest."""
        ...


@runtime_checkable
class Respelling(Protocol):
    """A dialect in which a key may be spelled in more than one way."""

    def as_sent(self, path: str, body: bytes) -> str:
        """A field's path in our spelling, as the client's own body spells it."""
        ...

    def as_spelled(self, fields: Mapping[str, Any], envelope: Envelope) -> Mapping[str, Any]:
        """These fields, each under the key that the body has for it, if it has one."""
        ...


class Wishes(Struct, frozen=True):
    """What a client says to pillion itself, in headers or in fields of its body that no provider ever sees."""

    provider: str = ""  # who is to answer, where the model's name does not say it
    spelled: Mapping[str, str] = {}  # by field of the body that we wrote: what the client said in its place
    context: int | None = None  # tokens of context that the model must have
    cost_limit: int | None = None  # nano-dollars that the request may cost at most
    summary: bool = False  # the answer is to say what it took


NO_WISHES = Wishes()


class Coda(Protocol):
    """Puts the summary that the client asked for into a stream, before its last event; every other byte passes."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def close(self) -> bytes: ...


@runtime_checkable
class Wishing(Protocol):
    """A dialect in whose bodies a client may speak to pillion itself, and in whose answers pillion may answer."""

    def wishes(self, envelope: Envelope) -> tuple[Wishes, Envelope]:
        """The wishes, and the body without them. Raises BadRequest, with the field's path."""
        ...

    def summarised(self, body: bytes, summary: Mapping[str, Any]) -> bytes:
        """A whole answer, with the summary added."""
        ...

    def coda(self, tell: Callable[[], Mapping[str, Any]]) -> Coda:
        """For one stream. `tell` gives the summary; it is called once, when all else has been said."""
        ...
