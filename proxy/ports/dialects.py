"""What must every wire's language be able to do, and what is handed to it?

A dialect has both faces, towards clients and towards providers, and is sans-I/O: bytes in, values out, and the mirror.
What only some dialects do stands in `optional`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from proxy.canon import Event, Request, Usage
from proxy.envelope import Envelope
from proxy.errors import GatewayError, UpstreamError

Headers = list[tuple[str, str]]


class Peek(NamedTuple):
    """What the chain must know of a request before anyone parses it whole.

    Most wires say it in the body, Gemini's and Bedrock's in the path. `as_array`: the stream is to be one JSON array.
    """

    model: str
    stream: bool
    as_array: bool = False


class Path(NamedTuple):
    """What a request's path says behind the route's own part, decoded, and its query."""

    rest: str = ""
    query: Mapping[str, str] = {}


class Hints(NamedTuple):
    """What the operator says for a request that does not say it.

    `needed` is the answer's length, in tokens, for a wire that demands one; `fields` stand as the provider's own wire
    spells them.
    """

    model: str = ""  # as the provider knows it
    max_tokens: int | None = None
    temperature: float | None = None
    needed: int | None = None
    fields: Mapping[str, Any] = {}

    @property
    def says_something(self) -> bool:
        """Would it add anything to a client's own body?"""
        return self.max_tokens is not None or self.temperature is not None or bool(self.fields)


NO_HINTS = Hints()


class Abilities(NamedTuple):
    """What a model takes, and how much of it. None where that is not known."""

    context: int | None = None  # tokens of question and answer
    max_output: int | None = None  # tokens of the answer
    system: bool | None = None
    tools: bool | None = None
    images: bool | None = None
    documents: bool | None = None
    thinking: bool | None = None
    prefill: bool | None = None  # a last turn of its own, which it goes on with


UNKNOWN = Abilities()


class Forward(Struct, frozen=True, gc=False):
    """A body for the pass-through lane, and what must be withheld from the answer that it will cause."""

    body: bytes
    strip: "Strip | None" = None


class ToolNames(NamedTuple):
    """What a wire takes for the name of a tool."""

    odd: re.Pattern[str]  # a character that may not stand where it does
    longest: int  # characters

    def takes(self, name: str) -> bool:
        return len(name) <= self.longest and not self.odd.search(name)


class Encoded(NamedTuple):
    """A body for the translate lane, and the names of the knobs that this wire lacks (the receipt)."""

    body: bytes
    dropped: tuple[str, ...] = ()


class Bounds(NamedTuple):
    """Where a request of a wire says how much it may cost."""

    output: Sequence[Sequence[str]]  # paths of what bounds the answer, in tokens
    choices: Sequence[Sequence[str]] = ()  # paths of how many answers are asked for
    tools: Sequence[str] = ("tools",)
    own_tools: re.Pattern[str] = re.compile("function|custom")  # those that the client runs: their type, or only key
    state: Sequence[str] = ()  # keys of what lies at the provider, or is asked of it beside an answer
    beside: Sequence[str] = ()  # keys of what is billed beside the answer, or in its place
    tiers: Sequence[Sequence[str]] = ()  # paths of the tier that is asked for; the first that is not standard counts


class Strip(Protocol):
    """Takes out of a stream what the client did not ask for; every other byte passes."""

    def feed(self, data: bytes) -> bytes: ...
    def close(self) -> bytes: ...


class Gate(Protocol):
    """Hands a stream on by whole events; every byte passes."""

    def feed(self, data: bytes) -> bytes:
        """Raises Unframed, after what came before."""
        ...

    def close(self) -> bytes:
        """What still waits for the rest of its event."""
        ...


class Decoder(Protocol):
    """A provider's bytes to events, fed as they come; events before a fault are handed out before it is raised."""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Raises UpstreamError."""
        ...

    def close(self) -> Iterator[Event]:
        """The bytes have ended. Raises UpstreamError where the answer has not."""
        ...


class Renderer(Protocol):
    """Events to the client's bytes, the mirror of a Decoder. A whole answer comes at Finish, a stream as it goes."""

    media_type: str

    def feed(self, event: Event) -> bytes:
        """Raises Unrepresentable: the answer holds what this wire has no way to say.

        Another wire's own blocks (Opaque) are not fed: the lane leaves them out.
        """
        ...

    def error(self, error: GatewayError) -> bytes:
        """A live stream breaks here: the wire's own error event."""
        ...


class Meter(Protocol):
    """Watches a copy of a provider's bytes in the pass-through lane; cheap, and it never raises.

    `finished` says that the answer reached its own end: a stream its last event, a whole answer its closing brace.
    `error` is an error that the provider put where an answer should be, under status 200.
    """

    @property
    def usage(self) -> Usage | None: ...
    @property
    def model(self) -> str: ...
    @property
    def finished(self) -> bool: ...
    @property
    def error(self) -> UpstreamError | None: ...

    def feed(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Dialect(Protocol):
    name: str
    stream_type: str  # the media type of a provider's stream
    ping: bytes | None  # a frame that keeps a silent stream alive, where the wire has one
    demands_limit: bool  # a request must say how long its answer may be
    demands_usage: bool  # an answer must say how many tokens it took
    no_urls: frozenset[type]  # the kinds of Part that it carries as bytes, and by no URL
    cites: tuple[str, ...]  # what another wire's Citation needs, one of them, to be shown to a client
    declines: bool  # an answer can say that it is a refusal
    tool_names: ToolNames | None  # None: any name will do
    call_ids: re.Pattern[str] | None  # what the id of a call must be; None: any will do
    alarm: bytes  # stands in each event of an error; empty where a stream's meter may be asked for one at no cost
    seals: Sequence[bytes]  # words of which one stands beside each seal
    bounds: Bounds
    refers: bool  # the events of a stream name, by numbers and ids of its provider's, those before them
    sign: re.Pattern[bytes] | None  # what stands in every answer of this wire, where a host may confuse it with another

    def has_event(self, held: bytes) -> bool:
        """Has a stream that begins so said something, in a whole event? Raises Unframed where it can hold none.

        Something is what a decoder makes an Open, a Delta, a Close or a Finish of; or what is not known here.
        """
        ...

    def gate(self) -> Gate:
        """For one stream of a provider's, from its beginning."""
        ...

    # towards clients
    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """Raises BadRequest where model or stream are not of their type."""
        ...

    def parse(self, body: bytes, peek: Peek) -> Request:
        """`peek`: what this dialect's own `peek` said of the same request. Raises BadRequest, with the field's path."""
        ...

    def renderer(self, request: Request) -> Renderer: ...
    def meter(self, stream: bool) -> Meter: ...
    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body of an error answer."""
        ...

    def error_headers(self, error: GatewayError) -> Headers:
        """What an error answer says in its head, on this wire."""
        ...

    def error_event(self, error: GatewayError) -> bytes:
        """What ends a stream that broke in the pass-through lane, behind its last whole event."""
        ...

    def model_list(self, names: Sequence[str]) -> bytes:
        """The body of a list of models."""
        ...

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        """The body that describes one model, as far as this wire has words for it."""
        ...

    # towards providers
    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """The client's own body, edited only where it must be. `ask_usage`: the host lets a stream be asked for it."""
        ...

    def hinted(self, envelope: Envelope, hints: Hints) -> Mapping[str, Any]:
        """The fields that say `max_tokens` and `temperature` where the client's own body says neither."""
        ...

    def encode(self, request: Request) -> Encoded:
        """Raises Unrepresentable, with the path of what this wire cannot carry."""
        ...

    def decoder(self, stream: bool) -> Decoder: ...
    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError: ...
