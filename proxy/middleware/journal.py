"""What is there to say of a request, once it is over?

One line for each, at its end, whatever the end: who asked whom for which model, what came of it, what it took. Never a
body, never a header, never a query.
"""

from copy import copy
from time import monotonic

from msgspec import field
from msgspec.structs import astuple

from proxy.canon import Usage
from proxy.errors import GatewayError
from proxy.logs import LEVELS, Line, Log, stamp, visible
from proxy.outcome import Outcome, outcome
from proxy.ports import Call, Handler, Reply

DROPPED_TOLD = 50  # names
KINDS_KEPT = 256  # of calls
LONGEST_NAME = 200  # characters of a name that a client or a provider chose
PROBES = frozenset({"startup", "readiness", "liveness", "metrics"})  # asked every few seconds, by machines

_KINDS = tuple(name for name in Usage.__struct_fields__ if name != "extra")  # of tokens


class Entry(Line, kw_only=True):
    """A request's line. Names end in their unit; what is empty or nought is left out."""

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
    attempts: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    duration_ms: float
    first_byte_ms: float = 0.0  # to the head, with which the first bytes go out
    upstream_ms: float = 0.0  # of that, spent waiting for the provider
    overhead_ms: float = 0.0  # and the rest
    bytes_in: int = 0  # of the body
    bytes_out: int = 0
    message: str = ""


class Journal:
    """The middleware."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kinds: dict[tuple[str, ...], Entry] = {}  # by the names in them

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        try:
            reply = await handler(call)
        except BaseException as error:
            self.failed(call, error, _Watch(self, call))
            raise
        watch = _Watch(self, call, reply)
        reply.endings.append(watch.ended)
        if not isinstance(reply.body, bytes):
            reply.taps.append(watch.saw)
        return reply

    def went_well(self, call: Call, watch: "_Watch") -> None:
        level = "debug" if call.operation in PROBES else "info"
        if LEVELS[level] >= self._log.least:
            self._log.tell(self._entry(call, watch, level))

    def failed(self, call: Call, error: BaseException, watch: "_Watch") -> None:
        how = outcome(error)
        level = _level(how)
        if LEVELS[level] < self._log.least:
            return
        entry = self._entry(call, watch, level)
        clean = self._log.clean
        entry.status = watch.status or how.status
        entry.error, entry.code = how.kind, clean(how.code)
        entry.ended_by = how.by if watch.status or how.by == "client" else ""
        entry.model = clean(call.model, LONGEST_NAME)  # who knows what was put there
        if call.target is not None:
            entry.model_sent = clean(call.target.model, LONGEST_NAME)
        if isinstance(error, GatewayError):
            entry.param, entry.message = clean(error.param or ""), clean(error.message)
        self._log.tell(entry)

    def _entry(self, call: Call, watch: "_Watch", level: str) -> Entry:
        target, usage = call.target, call.usage
        place = ("", "") if target is None else (target.adapter.name, target.model)
        names = (call.operation, call.client, call.dialect.name, *place, call.model, call.answered_model)
        entry = copy(self._kinds.get(names) or self._kind(names))
        entry.time, entry.level, entry.id = stamp(), level, call.id
        entry.stream, entry.status, entry.attempts = call.stream, watch.status, call.attempts
        if call.upstream_id:
            entry.upstream_id = visible(call.upstream_id, LONGEST_NAME)
        if call.dropped:
            entry.dropped = [visible(name, LONGEST_NAME) for name in call.dropped[:DROPPED_TOLD]]
        if usage is not None:
            entry.tokens = {kind: n for kind, n in zip(_KINDS, astuple(usage), strict=False) if n}
        entry.duration_ms = _ms(monotonic() - call.started)
        entry.first_byte_ms, entry.upstream_ms = _ms(watch.first_byte), _ms(watch.waited)
        entry.overhead_ms = _ms(watch.first_byte - watch.waited)
        entry.bytes_in, entry.bytes_out = len(call.envelope.body) if call.model else 0, watch.bytes_out
        return entry

    def _kind(self, names: tuple[str, ...]) -> Entry:
        """What all calls of these names have in common, made once: most are of the same few."""
        operation, client, dialect, provider, sent, asked, answered = (visible(name, LONGEST_NAME) for name in names)
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
            self._kinds[names] = entry
        return entry


class _Watch:
    """Sees a reply on its way. One that never came has no status."""

    __slots__ = ("_call", "_journal", "bytes_out", "first_byte", "status", "waited")

    def __init__(self, journal: Journal, call: Call, reply: Reply | None = None) -> None:
        self._journal = journal
        self._call = call
        self.first_byte = self.waited = 0.0  # seconds
        self.status = self.bytes_out = 0
        if reply is not None:
            self.first_byte, self.waited = monotonic() - call.started, call.waited
            self.status = reply.status
            self.bytes_out = len(reply.body) if isinstance(reply.body, bytes) else 0

    def saw(self, chunk: bytes) -> None:
        self.bytes_out += len(chunk)

    def ended(self, error: BaseException | None) -> None:
        if error is None:
            self._journal.went_well(self._call, self)
        else:
            self._journal.failed(self._call, error, self)


def _level(how: Outcome) -> str:
    """A bug is an error; what a provider does to us, or we cannot do, is a warning; the client's own is neither."""
    if how.code == "internal_error":
        return "error"
    return "warning" if how.status >= 500 and how.kind != "invalid_request" else "info"


def _ms(seconds: float) -> float:
    return int(seconds * 1e6) / 1e3
