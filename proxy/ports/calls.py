"""What goes through the chain, and what comes back?

A `Call` goes in and a `Reply` comes out; a `Middleware` stands between the two, and an `Account` hears of each attempt
at a provider.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, field

from proxy.access.allowance import ClientKey
from proxy.canon import Usage
from proxy.envelope import Envelope
from proxy.errors import GatewayError
from proxy.ports.adapters import Target
from proxy.ports.dialects import Dialect, Headers
from proxy.ports.optional import NO_WISHES, Wishes

PROBES = frozenset({"startup", "readiness", "liveness", "metrics"})  # operations that machines ask for, day and night
HEARD = 64 * 1024  # bytes of an answer that are kept, to count what nobody else has counted
NO_BODY = Envelope(b"{}")
NO_HEAD: tuple[float, Mapping[str, str]] = (0.0, {})


class Attempt(Struct, frozen=True, gc=False):
    """What came of one target, for whoever asks how a call was answered."""

    target: Target
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


class Bill(NamedTuple):
    """What a call has cost, in nano-dollars, and whether some of that is an estimate, or by a price that is."""

    nanos: int
    is_guess: bool


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
    timeout: float | None = None  # intake: seconds from `started`, where the client said so
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
    is_guess: bool = False  # cost: some of that is an estimate, or by a price that is
    bill: "Callable[[Call], Bill | None] | None" = None  # cost: what it costs by now, with the attempt under way
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
    reply: "Reply | None" = None  # witness: what goes out to the client

    def left(self) -> float | None:
        """Of what the client gave us, in whole hundredths of a second and never 0; None where it said nothing."""
        return None if self.timeout is None else max(round(self.started + self.timeout - monotonic(), 2), 0.01)

    def has_time(self, pause: float = 0.0) -> bool:
        """Is there any left of it after such a pause?"""
        return self.timeout is None or monotonic() + pause < self.started + self.timeout


class Heard(Struct):
    """The beginning of what was said, and how long all of it was."""

    chunks: list[bytes] = field(default_factory=list)
    size: int = 0  # bytes

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
    sent: int = 0  # delivery: bytes of the body

    def stop(self, error: GatewayError) -> None:
        """End a live stream here, with the wire's own error event."""
        self.stopped = error
        if self.abort is not None:
            self.abort()


Handler = Callable[[Call], Awaitable[Reply]]
Middleware = Callable[[Call, Handler], Awaitable[Reply]]
