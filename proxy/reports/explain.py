"""Why was a request answered as it was: who was asked, who was not, what was changed on the way, what did it cost?

When a call to a model has ended, a few facts of it stay in a ring: no body, no header, and nothing that refers to them.
They are kept as bytes, because as objects they take six times the memory, in scattered pieces. They are put into words
when somebody asks.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from time import monotonic, time
from typing import Any, NamedTuple

from msgspec import Struct, msgpack
from msgspec.structs import astuple

from proxy.access.allowance import ClientKey
from proxy.access.rights import LONGEST_NAME, Whose, allows
from proxy.budgets.windows import rfc3339
from proxy.canon import Usage
from proxy.errors import GatewayError
from proxy.grammar.receipts import shortened
from proxy.logs import SEARCHED, visible
from proxy.ports import Attempt, Call, Reply, answering
from proxy.reports.outcome import Outcome
from proxy.reports.replies import reply_of
from proxy.reports.sight import Sight
from proxy.spending.money import dollars

_COUNTED = Usage.__struct_fields__.index("tier")  # the fields before it are counts
COUNTS = Usage.__struct_fields__[:_COUNTED]
NOT_ALLOWED = "not allowed"  # why a target was skipped that the client's key may not ask


class Tried(NamedTuple):
    """What stays of an Attempt."""

    provider: str
    model: str  # its target's
    # The fields from here on are copied, under the same names.
    number: int
    seconds: float
    first_byte: float
    code: str
    skipped: str
    kind: str
    status: int
    head: float
    wire: str
    is_translated: bool


class Record(Struct, array_like=True, gc=False):
    """What stays of a call. Times are measured as `Call.started`."""

    id: str
    client: str
    operation: str
    model: str  # as it was asked for
    how: str
    strategy: str
    answered_model: str
    stream: bool
    started: float
    began: float  # the attempt that answered, or the last one, as are the next three
    headed: float
    wire: str
    is_translated: bool
    waited: float
    delayed: float
    attempts: int
    dropped: tuple[str, ...]
    cached: str
    spent: int
    is_guess: bool
    price_source: str
    upstream_id: str
    # The fields up to here are copied from the call, under the same names.
    dialect: str
    history: Sequence[Tried]  # those that failed or were skipped; plain tuples until it is read
    weighed: Sequence[tuple[str, str]]  # providers and models
    provider: str
    sent: str  # the model's name, as it was sent to the provider
    answer_head: float  # when the last provider's was there
    ended: float
    usage: tuple[int, ...]
    status: int
    broke: Outcome | None


_OF_CALL = Record.__struct_fields__[: Record.__struct_fields__.index("dialect")]
_facts: Callable[[Call], tuple[Any, ...]] = attrgetter(*_OF_CALL, "dialect.name")
_tried: Callable[[Attempt], tuple[Any, ...]] = attrgetter("target.adapter.name", "target.model", *Tried._fields[2:])
write: Callable[[Record | Sequence[Any]], bytes] = msgpack.Encoder().encode
read = msgpack.Decoder(Record).decode
BEFORE_ID = 3  # bytes of a record: as an array, of 16 fields or more
SHORT = 1024  # bytes of one that is kept as it is


class Explain:
    """The ring, and the route. `most`: calls that are remembered. `hide` takes secrets out of a text."""

    def __init__(self, most: int, hide: Callable[[str], str]) -> None:
        self._ring: deque[bytes] = deque(maxlen=most)
        self._hide = hide

    def __repr__(self) -> str:
        return f"<Explain: {len(self._ring)} of {self._ring.maxlen} requests>"

    def become(self, most: int) -> None:
        """Remember so many from now on."""
        if most != self._ring.maxlen:
            self._ring = deque(self._ring, most)

    def keep(self, sight: Sight) -> None:
        """The call has ended. One that was refused before it was under way is not kept."""
        if sight.was_shown and self._ring.maxlen:
            self._ring.append(_written(facts_of(sight), self._hide))

    async def tell(self, whose: Whose, call: Call) -> Reply:
        """Raises GatewayError, 404, where no request of that id is known that the caller may see."""
        client = whose(call)
        for record in self._kept(call.rest):
            if client in (None, record.client):
                return reply_of(self._said(record, client is None, call.key))
        raise GatewayError(
            f"There is no request with that id among the last {self._ring.maxlen} that have ended "
            "(a number that `explain` sets).",
            status=404,
            kind="invalid_request",
            code="request_not_found",
        )

    def _kept(self, name: str) -> Iterator[Record]:
        """Those of this id, the newest first. No others are read: a hundred thousand would take half a second."""
        if name.isascii():  # as ours are
            start = msgpack.encode(name)
            yield from (read(row) for row in reversed(self._ring) if row.startswith(start, BEFORE_ID))

    def _said(self, record: Record, is_whole: bool, key: ClientKey | None) -> dict[str, Any]:
        """`is_whole`: for operators, who also see the targets that the client may not ask. `key`: the client's."""
        at, tries = time() - (monotonic() - record.started), _tries(record)
        return {
            "id": record.id,
            "object": "explanation",
            "at": rfc3339(at),
            "client": record.client or None,
            "operation": record.operation,
            "dialect": record.dialect,
            "stream": record.stream,
            "status": record.status,
            "error": _error(record.broke),
            "model": {
                "asked": self._name(record.model),
                "understood_as": record.how or None,
                "target": f"{record.provider}/{self._name(record.sent)}" if record.provider else None,
                "answered": self._name(record.answered_model) or None,
            },
            "strategy": record.strategy or None,
            "targets": [
                {"target": f"{provider}/{self._name(model)}"}
                for provider, model in record.weighed or dict.fromkeys(one[:2] for one in tries)
                if is_whole or allows(key, provider, model)
            ],
            "attempts": [
                row
                for one in _as_they_began(tries)
                if is_whole or one.skipped != NOT_ALLOWED
                for row in [told(one, record.dialect, self._name)]
            ],
            "cache": record.cached or None,
            "dropped": list(map(self._name, record.dropped)),
            "usage": dict(zip(COUNTS, record.usage, strict=True)) if record.usage else None,
            "cost_usd": dollars(record.spent),
            "cost_estimated": record.is_guess,
            "price_source": record.price_source or None,
            "seconds": {
                "total": _rounded(record.ended - record.started),
                "waiting_for_providers": _rounded(record.waited),
                "delayed": _rounded(record.delayed),
            },
            "upstream_id": self._name(record.upstream_id) or None,
        }

    def _name(self, text: str) -> str:
        """A name that a client or a provider chose."""
        return short(self._hide(text))


def short(name: str) -> str:
    return visible(name, LONGEST_NAME)


def facts_of(sight: Sight) -> list[Any]:
    """The fields of a Record. Copies only, so that nothing keeps a whole request alive."""
    call, how = sight.call, sight.how
    target, usage = call.target, call.usage if call.booked is None else call.booked
    return [
        *_facts(call),
        list(map(_tried, call.history)) if call.history else (),
        [(one.adapter.name, one.model) for one in call.weighed] if call.weighed else (),
        "" if target is None else target.adapter.name,
        "" if target is None else target.model,
        call.answer_head[0],
        call.started + sight.taken,
        () if usage is None else astuple(usage.whole)[:_COUNTED],
        sight.status or (0 if how is None else how.status),
        how,
    ]


def _written(facts: Sequence[Any], hide: Callable[[str], str]) -> bytes:
    """As the Record of them would be written, which takes longer."""
    try:
        said = write(facts)
    except UnicodeEncodeError:  # half of a surrogate pair
        return write(_shortened(Record(*facts), hide))
    return said if len(said) <= SHORT else write(_shortened(Record(*facts), hide))


def _shortened(record: Record, hide: Callable[[str], str]) -> Record:
    """Clients choose names, and must not choose how much we remember. Secrets go first: half of one is not found."""

    def cut(name: str) -> str:
        return visible(hide(name[:SEARCHED])[:LONGEST_NAME])

    record.model, record.sent, record.answered_model = cut(record.model), cut(record.sent), cut(record.answered_model)
    record.upstream_id = cut(record.upstream_id)
    record.dropped = tuple(map(cut, shortened(record.dropped)))
    record.history = [
        one._replace(model=cut(one.model), code=cut(one.code)) for one in map(Tried._make, record.history)
    ]
    if record.broke is not None:
        record.broke = record.broke._replace(code=cut(record.broke.code))
    return record


def told(attempt: Tried, dialect: str, name: Callable[[str], str]) -> Mapping[str, Any]:
    """One attempt, as JSON. `dialect`: the client's."""
    row: dict[str, Any] = {"target": f"{attempt.provider}/{name(attempt.model)}"}
    if attempt.skipped:
        return row | {"skipped": attempt.skipped}
    return row | {
        "number": attempt.number,
        "lane": _lane(attempt),
        "from": dialect,
        "to": attempt.wire or None,
        "upstream_status": attempt.status or None,
        "error": {"kind": attempt.kind, "code": name(attempt.code)} if attempt.code else None,
        "seconds": {
            "head": _rounded(attempt.head),
            "first_event": _rounded(attempt.first_byte),
            "total": _rounded(attempt.seconds),
        },
    }


def _tries(record: Record) -> Sequence[Tried]:
    """The history, and the attempt that answered, which is not in there: of that the record itself tells."""
    number = answering(record.attempts, {one.number for one in record.history})
    return [*record.history, _answered(record, number)] if number else record.history


def _answered(record: Record, number: int) -> Tried:
    broke = record.broke if record.broke is not None and record.broke.by == "upstream" else None
    return Tried(
        record.provider,
        record.sent,
        number,
        seconds=record.ended - record.began,
        first_byte=max(0.0, record.headed - record.began),
        code=broke.code if broke is not None else "",
        skipped="",
        kind=broke.kind if broke is not None else "",
        status=record.status if record.status < 400 else 0,  # else the call failed behind it, by our own doing
        head=max(0.0, record.answer_head - record.began),
        wire=record.wire,
        is_translated=record.is_translated,
    )


def _as_they_began(history: Sequence[Tried]) -> list[Tried]:
    """In the order in which they were asked. Of two that were asked at once, the history has first who ended first."""
    asked = iter(sorted((one for one in history if one.number), key=attrgetter("number")))
    return [next(asked) if one.number else one for one in history]


def _lane(attempt: Tried) -> str | None:
    """None where the attempt ended before a lane was chosen."""
    return ("translated" if attempt.is_translated else "passed_through") if attempt.wire else None


def _error(broke: Outcome | None) -> Mapping[str, str] | None:
    return None if broke is None else {"kind": broke.kind, "code": broke.code, "ended_by": broke.by}


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
