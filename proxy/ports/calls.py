"""What goes through the chain, and what comes back?

A `Call` goes in and a `Reply` comes out; a `Middleware` stands between the two, and an `Account` hears of each attempt
at a provider.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeVar

from msgspec import Struct, field

from proxy.access.allowance import ClientKey
from proxy.canon import Usage
from proxy.envelope import Envelope
from proxy.errors import GatewayError
from proxy.ports.adapters import Adapter, Target
from proxy.ports.dialects import Dialect, Headers
from proxy.ports.optional import NO_WISHES, Wishes

T = TypeVar("T")

PROBES = frozenset({"startup", "readiness", "liveness", "metrics"})  # operations that machines poll
HEARD = 64 * 1024  # bytes of an answer that are kept, to estimate its tokens where the provider has not counted them
BLINK = 0.001  # seconds: whoever comes sooner was not waited for
NO_BODY = Envelope(b"{}")
NO_HEAD: tuple[float, Mapping[str, str]] = (0.0, {})


class Attempt(Struct, frozen=True, gc=False):
    """What happened at one target that did not answer, or whose answer broke, for explaining a call."""

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


def answering(attempts: int, failed: Collection[int]) -> int:
    """The number of the attempt that answers: the only one of so many that has not failed. 0 where all have."""
    return next((number for number in range(1, attempts + 1) if number not in failed), 0)


class Account(Protocol):
    """Hears of each attempt: what it may cost is set aside before it, and settled after it.

    For each attempt `reserve` is called, and if that returns, `settle` exactly once, whatever happens in between. For a
    live answer `begun` is called when its head is there.
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
    """What a call has cost, in nano-dollars. `is_guess`: some of that, or of its prices, is an estimate."""

    nanos: int
    is_guess: bool


class Call(Struct, kw_only=True):
    """One request on its way through. The comment of a field begins with whoever writes it later on."""

    id: str
    operation: str  # what the route is for, such as `chat` or `models`
    dialect: Dialect
    headers: Mapping[str, str]  # the client's; names in small letters
    query: Mapping[str, str]
    receive: Callable[[], Awaitable[bytes]]  # reads the body, once; raises BadRequest
    started: float  # seconds, time.monotonic: the loop's own clock counts in whole milliseconds
    interrupt: Callable[[object], object] | None = None  # cancels what the answer waits for; takes the reason
    raw_query: str = ""  # the query as it stood in the path
    rest: str = ""  # the path behind the route's own part; admin: the model that a body asks to be shown
    client: str = ""  # auth: the name of the key that was shown
    key: ClientKey | None = None  # auth: what that key may do
    lent: Adapter | None = None  # transparent: for a list of models, the one provider with the app's own key
    is_queued: bool = False  # overload and ratelimit: it waits for its turn
    envelope: Envelope = NO_BODY  # intake
    model: str = ""  # intake: as the client named it
    stream: bool = False  # intake
    as_array: bool = False  # intake: the stream is to be one JSON array
    timeout: float | None = None  # intake: seconds from `started`, where the client said so
    cached: str = ""  # cache: `hit` or `shared`, where the provider was not asked for this call
    wishes: Wishes = NO_WISHES  # intake: what the client says to us, and to no provider
    accounts: list[Account] = field(default_factory=list)  # auth, ratelimit and cost: these hear of each attempt
    may_wait: bool = True  # failover: in the queue of its target's limits, or else another one is to be asked
    target: Target | None = None  # failover; faults and `lend` put another adapter into it
    resumable: bool = False  # resume: an error in its stream is withheld from the client until no target can go on
    so_far: str = ""  # resume: the beginning of the answer, with which the target is to go on
    how: str = ""  # failover: by which rule the model's name was understood
    strategy: str = ""  # failover: of the route
    weighed: Sequence[Target] = ()  # failover: a route's targets, in the order of its strategy
    attempts: int = 0  # attempts, and trial
    began: float = 0.0  # attempts: the last one, as `started` is counted
    headed: float = 0.0  # attempts: when the head of its answer came, as `began`; 0: none has
    history: list[Attempt] = field(default_factory=list)  # failover and resume: who failed, or was skipped
    store_waited: float = 0.0  # fleet: seconds spent waiting for the store that sidecars share
    spent: int = 0  # cost, and trial: nano-dollars of all attempts that have ended
    is_guess: bool = False  # cost: some of that, or of its prices, is an estimate
    bill: "Callable[[Call], Bill | None] | None" = None  # cost: what it costs so far, with the attempt under way
    is_settled: bool = False  # cost and attempts: `spent` is final
    booked: Usage | None = None  # cost: the usage that a failed attempt is booked with
    is_estimated: bool = False  # cost: that is not what the provider has counted
    stop_at: int | None = None  # cost: nano-dollars at which a live answer is stopped
    price_source: str = ""  # cost: where the price of the last attempt comes from
    waited: float = 0.0  # `timed`, dispatch and cache: seconds spent waiting for the provider
    delayed: float = 0.0  # `held_up`: seconds spent waiting for the client's body, or for a turn
    heard: "Heard | None" = None  # attempts: what the client got of the last attempt's answer
    is_slowed: bool = False  # faults: it waits on purpose, as if its target were silent
    is_named: bool = True  # failover: the client has named this target, which stands in for nobody
    asked: bool = False  # dispatch: something is sent to the target, or may have been, and may have to be paid
    wire: str = ""  # dispatch: the dialect in which the target is asked
    is_translated: bool = False  # dispatch: the request does not pass through as it came
    is_mixed: bool = False  # dispatch: half of more than a text has come, or the reason why it ended: nobody goes on
    answer_head: tuple[float, Mapping[str, str]] = NO_HEAD  # dispatch: when it came, as `started`, and its headers
    upstream_id: str = ""  # dispatch: the provider's own request id
    dropped: tuple[str, ...] = ()  # dispatch, cache: knobs that the target's wire lacks, blocks that the client's lacks
    usage: Usage | None = None  # dispatch: at the end of the answer
    answered_model: str = ""  # dispatch: the model that the provider says it used
    reply: "Reply | None" = None  # witness: what goes out to the client

    def left(self) -> float | None:
        """Seconds left of the client's timeout, in whole hundredths and never 0; None where it set none."""
        return None if self.timeout is None else max(round(self.started + self.timeout - monotonic(), 2), 0.01)

    def has_time(self, pause: float = 0.0) -> bool:
        """Is anything left of the client's timeout after a pause of so many seconds?"""
        return self.timeout is None or monotonic() + pause < self.started + self.timeout

    async def in_time(self, waiting: Awaitable[T]) -> T:
        """Await it for as long as the client has time. Raises TimeoutError."""
        async with asyncio.timeout(self.left()):
            return await waiting

    async def timed(self, waiting: Awaitable[T]) -> T:
        """Await the provider, and count the time as the provider's and not as ours."""
        began = monotonic()
        try:
            return await waiting
        finally:
            self.waited += monotonic() - began

    def held_up(self, began: float) -> None:
        """The client, or a turn, was waited for since then: that time is neither ours nor the provider's."""
        if (took := monotonic() - began) >= BLINK:
            self.delayed += took


class Heard(Struct):
    """The beginning of an answer, and the size of all of it."""

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
    abort: Callable[[], None] | None = None  # closes the connection to the provider at once
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
