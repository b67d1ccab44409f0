"""What shape has everything that crosses a border between two rooms of this house?

Shapes only: no behaviour beyond what keeps a shape honest. `Call` goes in, `Reply` comes out, a `Middleware` stands
between the two, a `Dialect` knows one wire's language, an `Adapter` knows one provider.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct, field

from proxy.access.allowance import ClientKey
from proxy.canon import Event, Request, Usage
from proxy.envelope import Envelope
from proxy.errors import GatewayError, UpstreamError

Headers = list[tuple[str, str]]
PROBES = frozenset({"startup", "readiness", "liveness", "metrics"})  # operations that machines ask for, day and night
HEARD = 64 * 1024  # bytes of an answer that are kept, to count what nobody else has counted


# --- dialects: one wire's language, both faces, sans-I/O -------------------------------------------------------------


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


class Encoded(NamedTuple):
    """A body for the translate lane, and the names of the knobs that this wire lacks (the receipt)."""

    body: bytes
    dropped: tuple[str, ...] = ()


class Bounds(NamedTuple):
    """Where a request of a wire says how dear it may become."""

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


class Coda(Protocol):
    """Puts into a stream, before its last word, what the client asked to be told; every other byte passes."""

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
    no_urls: frozenset[type]  # the kinds of Part that it carries as bytes, and by no URL
    alarm: bytes  # stands in each event of an error; empty where a stream's meter may be asked for one at no cost
    seals: Sequence[bytes]  # words of which one stands beside each seal in an answer
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
class HeadCounting(Protocol):
    """A dialect of which a host may count tokens in the head of an answer, and not in its body."""

    def usage_in_head(self, headers: Mapping[str, str]) -> Usage | None: ...


@runtime_checkable
class Windowed(Protocol):
    """A dialect in which a request may say how many tokens of context its model is to have."""

    def window(self, tokens: int) -> Mapping[str, Any]:
        """The fields that say it."""
        ...


@runtime_checkable
class Wishing(Protocol):
    """A dialect in whose bodies a client may speak to pillion itself, and in whose answers pillion may answer."""

    def wishes(self, envelope: Envelope) -> "tuple[Wishes, Envelope]":
        """What is said to us, and the body without it. Raises BadRequest, with the field's path."""
        ...

    def summarised(self, body: bytes, summary: Mapping[str, Any]) -> bytes:
        """A whole answer, with what it took."""
        ...

    def coda(self, tell: Callable[[], Mapping[str, Any]]) -> Coda:
        """For one stream. What it took is asked for once, when all else has been said."""
        ...


# --- adapters: one provider ------------------------------------------------------------------------------------------


class Outgoing(Struct, frozen=True, gc=False):
    """What is sent to a provider: a body in a dialect that it takes, and the client's headers that may travel."""

    dialect: str
    model: str
    body: bytes
    stream: bool
    headers: Headers
    query: str  # what the client's path said behind its question mark, as it stood there
    operation: str = "chat"  # or `generate` (Ollama's other endpoint), or `count_tokens`
    timeout: float | None = None  # seconds until the answer must have ended, where the client said so
    as_array: bool = False  # the stream is to be one JSON array


class Answer(Protocol):
    """A provider's answer, its head read and its body not yet. Whoever has it must read it to its end, or abort it."""

    status: int
    headers: Mapping[str, str]  # names in lower case, hop-by-hop ones gone

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError: cut, timed out, or longer than `limit` bytes."""
        ...

    async def chunk(self) -> bytes:
        """The bytes that have come; waits for some; b"" at the end. Raises UpstreamError."""
        ...

    def begun(self) -> None:
        """It has said something: from now on its silences are timed, and not the wait for its first word."""
        ...

    def ended(self) -> bool:
        """Has all of the body come, and been taken? False where that is not known."""
        ...

    def abort(self) -> None:
        """Close the connection now, whatever it still carries. Harmless after the end."""
        ...


class Health(NamedTuple):
    """`answers`: somebody is there, whatever they say; a key that may list no models may well chat."""

    ok: bool
    latency: float  # seconds
    detail: str = ""
    answers: bool = True


class Adapter(Protocol):
    """A provider. It holds the credentials, and translates nothing."""

    name: str
    dialects: Sequence[str]  # all that it takes
    real: bool  # False: an offline stand-in, never chosen over a provider
    ask_usage: bool  # streams may be asked for usage (`stream_options`)
    no_urls: Collection[str]  # of its dialects: those in which it fetches nothing that a URL names

    def takes(self, model: str) -> Sequence[str]:
        """The dialects in which this model may be asked verbatim, the preferred one first."""
        ...

    def lacks(self, dialect: str) -> None:
        """The host has answered that it knows no such endpoint: for a while it is not asked for this again."""
        ...

    def counts(self, dialect: str) -> bool:
        """Has the provider a way to count the tokens of a request in this dialect?"""
        ...

    def has_other_key(self, model: str) -> bool:
        """Is there a key that might do where the last one has not?"""
        ...

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        """What an answer of its was found to mean: the key may be to blame."""
        ...

    def hints(self, model: str) -> Hints: ...
    def abilities(self, model: str) -> Abilities: ...

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        """Returns at the head of the answer, whatever its status. Raises UpstreamError."""
        ...

    def hide(self, text: str) -> str:
        """The text less the provider's key."""
        ...

    async def models(self, via: str = "") -> list[str]:
        """The ids that the provider lists, configured ones first. Raises UpstreamError.

        `via`: by whom we are asked for them, where that is another gateway.
        """
        ...

    def has(self, model: str) -> bool:
        """Is the model known without asking: configured, or of a name that this provider alone serves?"""
        ...

    async def health(self) -> Health: ...


class Target(NamedTuple):
    """Whom a call asks, and under which name the provider knows the model."""

    adapter: Adapter
    model: str

    def __repr__(self) -> str:
        return f"<Target {self.adapter.name}/{self.model}>"


class Wishes(NamedTuple):
    """What a client says to pillion itself, in headers or in fields of its body that no provider ever sees."""

    provider: str = ""  # who is to answer, where the model's name does not say it
    spelled: Mapping[str, str] = {}  # by a field that stands in the body for it: what the client said in its place
    context: int | None = None  # tokens of the window that the model needs
    cost_limit: int | None = None  # nano-dollars that the request may cost at most
    summary: bool = False  # the answer is to tell what it took


NO_WISHES = Wishes()
NO_BODY = Envelope(b"{}")
NO_HEAD: tuple[float, Mapping[str, str]] = (0.0, {})


# --- the way through -------------------------------------------------------------------------------------------------


class Attempt(Struct, frozen=True, gc=False):
    """What came of one target, for whoever asks how a call was answered."""

    target: "Target"
    number: int = 0  # 0: it was not asked
    seconds: float = 0.0  # to its head, or its failure
    first_byte: float = 0.0
    code: str = ""  # of its error
    skipped: str = ""  # why it was not asked
    kind: str = ""  # of its error, as the next one
    status: int = 0  # the provider's own
    head: float = 0.0  # seconds to the head of the provider's answer; 0: there was none
    wire: str = ""  # the dialect in which it was asked
    is_translated: bool = False  # its request, from the client's words


class Account(Protocol):
    """Who must hear of each attempt: what it may cost is set aside before, and settled after.

    For each attempt `reserve` is called, and where it returns, `settle` exactly once, whatever happens in between.
    Where the answer is a live one, `begun` is called when its head is there.
    """

    async def reserve(self, call: "Call") -> object:
        """Before `call.target` is asked; what it returns goes to `settle`. Raises OverLimit, BadRequest."""
        ...

    def begun(self, call: "Call", reply: "Reply") -> None:
        """A live answer is about to go out."""
        ...

    def settle(self, call: "Call", held: Any, error: BaseException | None) -> None:
        """The attempt has ended, with an error or without; `call` says what came of it."""
        ...


class Call(Struct, kw_only=True):
    """One request on its way through. Behind each field stands the one place that writes it after birth."""

    id: str
    operation: str  # what the route is for, such as `chat` or `models`
    dialect: Dialect
    headers: Mapping[str, str]  # the client's; names match in any case
    query: Mapping[str, str]
    receive: Callable[[], Awaitable[bytes]]  # reads the body, once; raises BadRequest
    started: float  # seconds, time.monotonic: the loop's own clock counts in whole milliseconds
    interrupt: Callable[[object], object] | None = None  # cancels what its answer waits for, for this reason
    raw_query: str = ""  # the query as it stood in the path
    rest: str = ""  # what the path says after the route's own part; admin: the model that a body asks to be shown
    client: str = ""  # auth: the name of the key that was shown
    key: ClientKey | None = None  # auth: what who shows it may do
    envelope: Envelope = NO_BODY  # intake
    model: str = ""  # intake: as the client named it
    stream: bool = False  # intake
    as_array: bool = False  # intake: the stream is to be one JSON array
    timeout: float | None = None  # intake: seconds, where the client said so
    wishes: Wishes = NO_WISHES  # intake: what the client says to us, and to no provider
    accounts: "list[Account]" = field(default_factory=list)  # cost and ratelimit: who must hear of each attempt
    target: Target | None = None  # failover
    resumable: bool = False  # resume: an error in its stream is kept from the client until nobody goes on with it
    so_far: str = ""  # resume: the beginning of the answer, which the target is to go on with
    how: str = ""  # failover: by which rule the model's name was understood
    attempts: int = 0  # attempts
    began: float = 0.0  # attempts: the last one, as `started` is counted
    headed: float = 0.0  # attempts: and when its answer's head was there; 0: it had none
    history: list[Attempt] = field(default_factory=list)  # failover: whom we asked, and whom not
    spent: int = 0  # cost: nano-dollars, by all attempts that have ended
    bill: "Callable[[Call], int | None] | None" = None  # cost: what it costs by now, with the attempt under way
    is_settled: bool = False  # cost and attempts: nothing of what was spent is still to come
    booked: Usage | None = None  # cost: what an attempt that failed is booked with
    stop_at: int | None = None  # cost: nano-dollars at which a live answer is stopped
    price_source: str = ""  # cost: where the price of the last attempt is from
    waited: float = 0.0  # failover and dispatch: seconds spent waiting for the provider
    heard: "Heard | None" = None  # attempts: what the client heard of the last attempt
    asked: bool = False  # dispatch: the target was sent something, so it may have to be paid
    wire: str = ""  # dispatch: the dialect in which the target is asked
    is_translated: bool = False  # dispatch: the request does not pass through as it came
    answer_head: tuple[float, Mapping[str, str]] = NO_HEAD  # dispatch: when it came, as `started`, and its headers
    upstream_id: str = ""  # dispatch: the provider's own request id
    dropped: tuple[str, ...] = ()  # dispatch: knobs that the target's wire lacks, and blocks that the client's does
    usage: Usage | None = None  # dispatch: at the end of the answer
    answered_model: str = ""  # dispatch: the model that the provider says it used


class Heard:
    """The beginning of what was said, and how long all of it was."""

    __slots__ = ("chunks", "size")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0  # bytes

    def tap(self, chunk: bytes) -> None:
        if self.size < HEARD:
            self.chunks.append(chunk)
        self.size += len(chunk)


Tap = Callable[[bytes], None]
Ending = Callable[[BaseException | None], None]


class Reply(Struct):
    """An answer on its way back: a head, and a body that is whole (bytes) or live (a generator).

    A middleware may edit the head, tap the body and act at its end; it never wraps, delays or alters the chunks.
    """

    status: int
    headers: Headers
    body: bytes | AsyncGenerator[bytes]
    ping: bytes | None = None  # keeps a silent stream alive; only where the frames are ours
    last_words: Callable[[GatewayError], bytes] | None = None  # how a live stream says that it broke
    abort: Callable[[], None] | None = None  # let go of the provider at once
    taps: list[Tap] = field(default_factory=list)  # each sees every chunk
    endings: list[Ending] = field(default_factory=list)  # each is called once, with what broke the body, or None
    stopped: GatewayError | None = None

    def stop(self, error: GatewayError) -> None:
        """End a live stream here, with the wire's own error event."""
        self.stopped = error
        if self.abort is not None:
            self.abort()


Handler = Callable[[Call], Awaitable[Reply]]
Middleware = Callable[[Call, Handler], Awaitable[Reply]]
