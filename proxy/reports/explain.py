"""Why was a request answered as it was: who was asked, who was not, what was changed on the way, what did it cost?

When a call to a model has ended, a few facts of it stay in a ring: no body, no header, and nothing that refers to them.
They are put into words when somebody asks.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from time import monotonic, time
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple, replace

from proxy.access.rights import LONGEST_NAME, Whose
from proxy.budgets.windows import rfc3339
from proxy.canon import Usage
from proxy.errors import GatewayError
from proxy.grammar.receipts import shortened
from proxy.logs import SEARCHED, visible
from proxy.ports import Attempt, Call, Reply
from proxy.reports.outcome import Outcome
from proxy.reports.replies import reply_of
from proxy.reports.sight import Sight
from proxy.spending.money import dollars

COUNTS = Usage.__struct_fields__[: Usage.__struct_fields__.index("tier")]  # the fields before `tier` are counts
NOT_ALLOWED = "not allowed"  # why a target was skipped that the client's key may not ask


class Record(Struct, gc=False):
    """What stays of a call. Times are measured as `Call.started`."""

    id: str
    client: str
    operation: str
    model: str  # as it was asked for
    how: str
    answered_model: str
    stream: bool
    started: float
    began: float  # the last attempt
    waited: float
    delayed: float
    attempts: int
    history: Sequence[Attempt]
    dropped: tuple[str, ...]
    cached: str
    spent: int
    is_guess: bool
    price_source: str
    upstream_id: str
    # The fields up to here are copied from the call, under the same names.
    dialect: str
    provider: str
    sent: str  # the model's name, as it was sent to the provider
    ended: float
    usage: tuple[int, ...]
    status: int
    broke: Outcome | None


_OF_CALL = Record.__struct_fields__[: Record.__struct_fields__.index("dialect")]
_facts: Callable[[Call], tuple[Any, ...]] = attrgetter(*_OF_CALL)


class Explain:
    """The ring, and the route. `most`: calls that are remembered. `hide` takes secrets out of a text."""

    def __init__(self, most: int, hide: Callable[[str], str]) -> None:
        self._ring: deque[Record] = deque(maxlen=most)
        self._hide = hide

    def __repr__(self) -> str:
        return f"<Explain: {len(self._ring)} of {self._ring.maxlen} requests>"

    def become(self, most: int) -> None:
        """Remember so many from now on."""
        if most != self._ring.maxlen:
            self._ring = deque(self._ring, most)

    def keep(self, sight: Sight) -> None:
        """The call has ended."""
        if self._ring.maxlen:
            record = record_of(sight)
            names = len(record.model) + len(record.answered_model) + len(record.upstream_id)
            if names > LONGEST_NAME or record.dropped or record.broke is not None or record.attempts > 1:
                _shorten(record, self._hide)
            self._ring.append(record)

    async def tell(self, whose: Whose, call: Call) -> Reply:
        """Raises GatewayError, 404, where no request of that id is known that the caller may see."""
        client = whose(call)
        for record in reversed(self._ring):  # most callers ask for one that has just ended
            if record.id == call.rest and client in (None, record.client):
                return reply_of(self._said(record, client is None))
        raise GatewayError(
            f"There is no request with that id among the last {self._ring.maxlen} (a number that `explain` sets).",
            status=404,
            kind="invalid_request",
            code="request_not_found",
        )

    def _said(self, record: Record, is_whole: bool) -> dict[str, Any]:
        """`is_whole`: for operators, who also see the targets that the client may not ask."""
        at = time() - (monotonic() - record.started)
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
            "attempts": [
                row
                for one in _as_they_began(_ended(record))
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


def record_of(sight: Sight) -> Record:
    """Copies only, so that nothing keeps a whole request alive; the targets in the history outlive it anyway."""
    call, how = sight.call, sight.how
    target, usage = call.target, call.usage
    beside = (
        call.dialect.name,
        "" if target is None else target.adapter.name,
        "" if target is None else target.model,
        call.started + sight.taken,
        () if usage is None else astuple(usage.whole)[: len(COUNTS)],
        sight.status or (0 if how is None else how.status),
        how,
    )
    return Record(*(_facts(call) + beside))


def _shorten(record: Record, hide: Callable[[str], str]) -> None:
    """Clients choose names, and must not choose how much we remember. Secrets go first: half of one is not found."""

    def cut(name: str) -> str:
        return hide(name[:SEARCHED])[:LONGEST_NAME]

    record.model, record.sent, record.answered_model = cut(record.model), cut(record.sent), cut(record.answered_model)
    record.upstream_id = cut(record.upstream_id)
    record.dropped = tuple(map(cut, shortened(record.dropped)))
    record.history = [
        replace(one, target=one.target._replace(model=cut(one.target.model)), code=cut(one.code))
        for one in record.history
    ]
    if record.broke is not None:
        record.broke = record.broke._replace(code=cut(record.broke.code))


def told(attempt: Attempt, dialect: str, name: Callable[[str], str]) -> Mapping[str, Any]:
    """One attempt, as JSON. `dialect`: the client's."""
    row: dict[str, Any] = {"target": f"{attempt.target.adapter.name}/{name(attempt.target.model)}"}
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


def _ended(record: Record) -> list[Attempt]:
    """The history, with the end of the attempt that answered: the record was made when only its head was known."""
    broke = record.broke if record.broke is not None and record.broke.by == "upstream" else None
    return [
        replace(
            one,
            seconds=record.ended - record.began,
            kind=broke.kind if broke is not None else "",
            code=broke.code if broke is not None else "",
        )
        if one.number and not one.code
        else one
        for one in record.history
    ]


def _as_they_began(history: Sequence[Attempt]) -> list[Attempt]:
    """In the order in which they were asked. Of two that were asked at once, the history has first who ended first."""
    asked = iter(sorted((one for one in history if one.number), key=attrgetter("number")))
    return [next(asked) if one.number else one for one in history]


def _lane(attempt: Attempt) -> str | None:
    """None where the attempt ended before a lane was chosen."""
    return ("translated" if attempt.is_translated else "passed_through") if attempt.wire else None


def _error(broke: Outcome | None) -> Mapping[str, str] | None:
    return None if broke is None else {"kind": broke.kind, "code": broke.code, "ended_by": broke.by}


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
