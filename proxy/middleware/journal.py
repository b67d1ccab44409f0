"""What is there to say of a request, once it is over?

One line for each, at its end, whatever the end: who asked whom for which model, what came of it, what it took. Never a
body, never a header, never a query.
"""

from msgspec import Struct, defstruct, field
from msgspec.structs import astuple, replace

from proxy.canon import BUCKETS
from proxy.errors import GatewayError, UpstreamError
from proxy.grammar.receipts import shortened
from proxy.logs import LEVELS, Line, Log, stamp, visible
from proxy.ports import PROBES, Call
from proxy.reports.outcome import Outcome
from proxy.reports.sight import Sight

KINDS_KEPT = 256  # of calls
LONGEST_NAME = 200  # characters of a name that a client or a provider chose

Tokens = defstruct("Tokens", [(name, int, 0) for name in BUCKETS], omit_defaults=True, gc=False)


class Entry(Line, kw_only=True, gc=False):
    """A request's line. Names end in their unit; what is empty or zero is left out.

    msgspec leaves out a number that *is* its default, and not one that equals it: so no zero is ever assigned.
    """

    id: str
    upstream_id: str = ""  # the provider's own
    operation: str
    client: str = ""  # the name of its key
    dialect: str
    provider: str = ""
    model: str = ""  # as the client named it
    model_sent: str = ""
    model_answered: str = ""
    stream: bool = False
    status: int
    error: str = ""  # its kind
    code: str = ""
    param: str = ""
    ended_by: str = ""  # client, upstream or pillion, where the answer did not come to its own end
    dropped: list[str] = field(default_factory=list)
    cache: str = ""  # where the answer came from it
    attempts: int = 0
    tokens: Struct | None = None
    estimated: bool = False  # they are not what the provider has counted
    duration_ms: float
    first_byte_ms: float = 0.0  # to the head, with which the first bytes go out; an error's goes out at the end
    upstream_ms: float = 0.0  # up to the head, or to the end where none came: spent waiting for the provider
    delayed_ms: float = 0.0  # for the client's body, or for a turn
    overhead_ms: float = 0.0  # and the rest
    bytes_in: int = 0  # of the body
    bytes_out: int = 0
    message: str = ""
    detail: str = ""  # what the client does not read: the network's own words


class Journal:
    """An observer of calls."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kinds: dict[tuple[object, ...], Entry] = {}  # by what their names are taken from

    def ended(self, sight: Sight) -> None:
        how = sight.how
        level = how.level if how is not None else "debug" if sight.call.operation in PROBES else "info"
        if LEVELS[level] >= self._log.least:
            entry = self._entry(sight, level)
            if how is not None and sight.error is not None:
                self._explain(entry, sight, how, sight.error)
            self._log.tell(entry)

    def _explain(self, entry: Entry, sight: Sight, how: Outcome, error: BaseException) -> None:
        """What went wrong."""
        call, clean = sight.call, self._log.clean
        entry.status = sight.status or how.status
        entry.error, entry.code = how.kind, clean(how.code)
        entry.ended_by = how.by if sight.status or how.by == "client" else ""
        entry.model = clean(call.model, LONGEST_NAME)  # who knows what was put there
        if call.target is not None:
            entry.model_sent = clean(call.target.model, LONGEST_NAME)
        if isinstance(error, GatewayError):
            entry.param, entry.message = clean(error.param or ""), clean(error.logged)
        if isinstance(error, UpstreamError) and error.detail:
            entry.detail = clean(error.detail)
        if call.booked is not None and any(counts := astuple(call.booked.whole)[: len(BUCKETS)]):
            entry.tokens = Tokens(*counts)
            if call.is_estimated:
                entry.estimated = True

    def _entry(self, sight: Sight, level: str) -> Entry:
        call = sight.call
        waited, head = int(call.waited * 1e6), int(sight.head * 1e6)  # microseconds
        delayed = int(call.delayed * 1e6)
        key = (call.operation, call.client, call.dialect, call.target, call.model, call.answered_model)
        entry = replace(
            self._kinds.get(key) or self._kind(call, key),
            time=stamp(),
            level=level,
            id=call.id,
            stream=call.stream,
            status=sight.status,
            attempts=call.attempts,
            duration_ms=int(sight.taken * 1e6) / 1e3,
            bytes_in=len(call.envelope.body) if call.model else 0,
            bytes_out=sight.bytes_out,
        )
        if sight.status:
            entry.first_byte_ms = head / 1e3
        if waited:
            entry.upstream_ms = waited / 1e3
        if delayed:
            entry.delayed_ms = delayed / 1e3
        if head > waited + delayed:
            entry.overhead_ms = (head - waited - delayed) / 1e3
        if call.cached:
            entry.cache = call.cached
        if call.upstream_id:
            entry.upstream_id = visible(call.upstream_id, LONGEST_NAME)
        if call.dropped:
            entry.dropped = [self._log.clean(name, LONGEST_NAME) for name in shortened(call.dropped)]
        if call.usage is not None and any(counts := astuple(call.usage.whole)[: len(BUCKETS)]):
            entry.tokens = Tokens(*counts)
        return entry

    def _kind(self, call: Call, key: tuple[object, ...]) -> Entry:
        """What all calls with these names have in common, made once: most calls have the same few."""
        clean = self._log.clean
        place = ("", "") if call.target is None else (call.target.adapter.name, call.target.model)
        names = (call.operation, call.client, call.dialect.name, *place, call.model, call.answered_model)
        operation, client, dialect, provider, sent, asked, answered = (clean(name, LONGEST_NAME) for name in names)
        entry = Entry(
            time="",
            level="",
            event="request",
            id="",
            operation=operation,
            client=client,
            dialect=dialect,
            provider=provider,
            model=asked,
            model_sent=sent,
            model_answered=answered,
            status=0,
            duration_ms=0.0,
        )
        if len(self._kinds) >= KINDS_KEPT:  # clients choose models
            self._kinds.clear()
        if max(map(len, names)) <= LONGEST_NAME:
            self._kinds[key] = entry
        return entry
