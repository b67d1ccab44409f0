"""What must every dialect be able to do, and what is handed to it?

A dialect has two faces, one towards clients and one towards providers, and is sans-I/O: bytes in, values out, and the
reverse. What only some dialects do is in `optional`.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from proxy.canon import Event, Request, Usage
from proxy.envelope import Envelope
from proxy.errors import GatewayError, UpstreamError

Headers = list[tuple[str, str]]


class Peek(Struct, frozen=True):
    """What the chain must know of a request before it is parsed.

    Most wires say it in the body, Gemini's and Bedrock's in the path. `as_array`: the stream is to be one JSON array.
    """

    model: str
    stream: bool
    as_array: bool = False


class Path(NamedTuple):
    """The path of a request behind the route's own part, decoded, and its query."""

    rest: str = ""
    query: Mapping[str, str] = {}


class Hints(Struct, frozen=True):
    """What the operator has configured for requests that do not say it themselves.

    `needed`: the answer's length, in tokens, for a wire that demands one. `fields`: as the provider's own wire spells
    them. `unthinking`: the temperature is only for requests that name no effort. `like`: the model behind a name that
    does not say it.
    """

    model: str = ""  # as the provider knows it
    max_tokens: int | None = None
    temperature: float | None = None
    needed: int | None = None
    fields: Mapping[str, Any] = {}
    unthinking: bool = False
    like: str = ""

    @property
    def family(self) -> str:
        """The name by which it is known what the model takes."""
        return self.like or self.model

    def temperature_beside(self, effort: object) -> float | None:
        """`effort`: how much the client lets the model think, None where it does not say."""
        return None if self.unthinking and effort not in (None, "none") else self.temperature

    @property
    def says_something(self) -> bool:
        """Would it add anything to a client's own body?"""
        return self.max_tokens is not None or self.temperature is not None or bool(self.fields)


NO_HINTS = Hints()


class Abilities(Struct, frozen=True):
    """What a model can do, and how much it takes. None where that is not known."""

    context: int | None = None  # tokens of question and answer
    max_output: int | None = None  # tokens of the answer
    system: bool | None = None
    tools: bool | None = None
    images: bool | None = None
    documents: bool | None = None
    thinking: bool | None = None
    prefill: bool | None = None  # does it go on with a last turn of its own?


UNKNOWN = Abilities()


class Forward(Struct, frozen=True, gc=False):
    """A body for the pass-through lane, and what must be taken out of the answer to it."""

    body: bytes
    strip: "Strip | None" = None


class ToolNames(NamedTuple):
    """The names that a wire allows for tools."""

    odd: re.Pattern[str]  # matches a character that is not allowed at its place
    longest: int  # characters

    def takes(self, name: str) -> bool:
        return len(name) <= self.longest and not self.odd.search(name)


class Encoded(NamedTuple):
    """A body for the translate lane, and the names of the knobs that this wire lacks (the receipt)."""

    body: bytes
    dropped: tuple[str, ...] = ()


class Bounds(Struct, frozen=True, dict=True):
    """The places in a wire's request that bound what it may cost."""

    output: Sequence[Sequence[str]]  # paths of the answer's greatest length, in tokens
    choices: Sequence[Sequence[str]] = ()  # paths of the number of answers
    tools: Sequence[str] = ("tools",)
    own_tools: re.Pattern[str] = re.compile("function|custom")  # tools that the client runs: their type, or only key
    state: Sequence[str] = ()  # keys that refer to something kept at the provider, or ask it for more than an answer
    items: str = ""  # key of what was said, of which an item may stand for one that is kept at the provider
    beside: Sequence[str] = ()  # keys of what is billed besides the answer, or in its place
    tiers: Sequence[Sequence[str]] = ()  # paths of the service tier; the first that is not standard counts
    # Likewise, paths and headers that have a price only where the provider takes this wire.
    own_tiers: Sequence[Sequence[str]] = ()
    tier_headers: Sequence[str] = ()  # they name the tier in an answer as well

    @cached_property
    def tier_keys(self) -> frozenset[str]:
        """The first of each path in `tiers`."""
        return frozenset(path[0] for path in self.tiers)

    @cached_property
    def extras(self) -> frozenset[str]:
        """Without one of these it asks for a single answer, and for nothing that is billed besides it."""
        return frozenset((*self.tools[:1], *self.state, *self.beside, *(path[0] for path in self.choices)))


class Strip(Protocol):
    """Takes out of a stream what the client did not ask for; every other byte passes."""

    def feed(self, data: bytes) -> bytes: ...
    def close(self) -> bytes: ...


class Gate(Protocol):
    """Hands a stream on in whole events, unless one is very long; every byte passes."""

    def feed(self, data: bytes) -> bytes:
        """Raises Unframed, after what came before."""
        ...

    def ending(self) -> bytes:
        """What has to stand behind an event that is broken off; empty where none of it has gone out."""
        ...

    def close(self) -> bytes:
        """The beginning of an event whose rest has not come."""
        ...


class Decoder(Protocol):
    """A provider's bytes to events, fed as they come. Events before a fault are yielded before it is raised."""

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
        """Raises Unrepresentable: the answer holds something that this wire cannot say.

        Another wire's own blocks (Opaque) are not fed: the lane leaves them out.
        """
        ...

    def error(self, error: GatewayError) -> bytes:
        """A live stream breaks here: the wire's own error event."""
        ...


class Meter(Protocol):
    """Watches a copy of a provider's bytes in the pass-through lane. It is cheap, and never raises.

    `finished`: the answer has reached its own end, that is a stream's last event or a whole answer's closing brace.
    `over`: so much so that nothing behind it would count. A cut does no harm there, where `finished` alone may yet be
    followed by the usage.
    `error`: an error that the provider sent in place of an answer, under status 200.
    """

    @property
    def usage(self) -> Usage | None: ...
    @property
    def model(self) -> str: ...
    @property
    def finished(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    @property
    def error(self) -> UpstreamError | None: ...

    def feed(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Dialect(Hashable, Protocol):
    name: str
    stream_type: str  # the media type of a provider's stream
    ping: bytes | None  # a frame that keeps a silent stream alive, where the wire has one
    demands_limit: bool  # a request must say how long its answer may be
    demands_usage: bool  # an answer must say how many tokens it took
    no_urls: frozenset[type]  # the kinds of Part that it carries only as bytes, not by a URL
    cites: tuple[str, ...]  # fields of another wire's Citation, one of which must be there to show it to a client
    declines: bool  # an answer can say that it is a refusal
    tool_names: ToolNames | None  # None: any name will do
    call_ids: re.Pattern[str] | None  # what the id of a call must look like; None: any will do
    alarm: bytes  # stands in each error event; empty where asking a stream's meter for an error costs nothing
    farewell: bytes  # stands in a stream's last event; empty where asking its meter whether it is over costs nothing
    seals: Sequence[bytes]  # words, one of which stands beside each seal
    needs_seals: frozenset[type]  # the kinds of Part that are refused without a seal
    bounds: Bounds
    betas: frozenset[str] | None  # those of Anthropic's betas that are known here; None: all may be sent
    refers: bool  # events of a stream refer to earlier ones, by the provider's numbers and ids
    sign: re.Pattern[bytes] | None  # stands in every answer of this wire, where a host may confuse it with another wire

    def has_event(self, held: bytes) -> bool:
        """Has a stream with this beginning said something, in a whole event? Raises Unframed where it is no stream.

        Something is what a decoder turns into a Delta, a Close, a Finish, or an Open of anything but a text, which is
        empty then; and what is not known here.
        """
        ...

    def gate(self) -> Gate:
        """For one stream of a provider's, from its beginning."""
        ...

    # towards clients
    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """Raises BadRequest where model or stream have a wrong type."""
        ...

    def parse(self, body: bytes, peek: Peek) -> Request:
        """`peek`: what `peek` returned for the same request. Raises BadRequest, with the field's path."""
        ...

    def renderer(self, request: Request) -> Renderer: ...
    def meter(self, stream: bool) -> Meter: ...
    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body of an error answer."""
        ...

    def error_headers(self, error: GatewayError) -> Headers:
        """The headers of an error answer, on this wire."""
        ...

    def error_event(self, error: GatewayError) -> bytes:
        """The event that ends a stream which broke in the pass-through lane, behind its last whole event."""
        ...

    def model_list(self, names: Sequence[str]) -> bytes:
        """The body of a list of models."""
        ...

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        """The body that describes one model, as far as this wire has words for it."""
        ...

    # towards providers
    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """The client's own body, edited only where it must be. `ask_usage`: a stream may be asked for its usage."""
        ...

    def hinted(self, envelope: Envelope, hints: Hints) -> Mapping[str, Any]:
        """The fields for the hints' `max_tokens` and `temperature`, where the client's own body does not say them."""
        ...

    def encode(self, request: Request) -> Encoded:
        """Raises Unrepresentable, with the path of what this wire cannot carry."""
        ...

    def decoder(self, stream: bool) -> Decoder: ...
    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError: ...
