"""What may a wire's language be able to do beside what every one must?

Each is a protocol of its own, and whoever wants it asks whether the dialect is one (`isinstance`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from proxy.canon import Event, Request, Usage
from proxy.envelope import Envelope
from proxy.ports.dialects import Headers, Peek


@runtime_checkable
class Counting(Protocol):
    """A dialect in which one may ask how many tokens a request has, before it is sent."""

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        """What a client wants counted. Raises BadRequest, with the field's path."""
        ...

    def count_answer(self, tokens: int) -> bytes:
        """The body that tells a client."""
        ...

    def count_body(self, request: Request) -> bytes:
        """The same, asked of a provider. Raises Unrepresentable."""
        ...

    def count_read(self, body: bytes) -> int:
        """The provider's answer. Raises UpstreamError."""
        ...


@runtime_checkable
class Loading(Protocol):
    """A dialect in which a client may ask for a model to be loaded, and for nothing else."""

    def loaded(self, request: Request) -> Sequence[Event]:
        """The answer where there is nothing to load; empty where the request asks for more."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A dialect whose clients ask for one model by the path of a place."""

    def model_at(self, path: str) -> str:
        """The model's name. Raises Unsupported where the path leads to something else."""
        ...


@runtime_checkable
class HeadCounting(Protocol):
    """A dialect of which a host counts tokens in the head of a whole answer, and perhaps not in its body."""

    def usage_in_head(self, headers: Mapping[str, str]) -> Usage | None: ...
    def head_of(self, usage: Usage) -> Headers: ...


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
        """A field's path, as we spell it, in the words of the client's own body."""
        ...


class Wishes(NamedTuple):
    """What a client says to pillion itself, in headers or in fields of its body that no provider ever sees."""

    provider: str = ""  # who is to answer, where the model's name does not say it
    spelled: Mapping[str, str] = {}  # by a field that stands in the body for it: what the client said in its place
    context: int | None = None  # tokens of the window that the model needs
    cost_limit: int | None = None  # nano-dollars that the request may cost at most
    summary: bool = False  # the answer is to tell what it took


NO_WISHES = Wishes()


class Coda(Protocol):
    """Puts into a stream, before its last word, what the client asked to be told; every other byte passes."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def close(self) -> bytes: ...


@runtime_checkable
class Wishing(Protocol):
    """A dialect in whose bodies a client may speak to pillion itself, and in whose answers pillion may answer."""

    def wishes(self, envelope: Envelope) -> tuple[Wishes, Envelope]:
        """What is said to us, and the body without it. Raises BadRequest, with the field's path."""
        ...

    def summarised(self, body: bytes, summary: Mapping[str, Any]) -> bytes:
        """A whole answer, with what it took."""
        ...

    def coda(self, tell: Callable[[], Mapping[str, Any]]) -> Coda:
        """For one stream. What it took is asked for once, when all else has been said."""
        ...
