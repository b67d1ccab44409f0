"""What happened?

Counts every call at its end, however it ends, and every attempt at a provider. Base units, prefix `pillion_`. Labels
are bounded. Operations, providers and statuses are our own words. A code or a dropped field has its own name while
fewer than NAMES were met, and is "other" after that. A model that the operator has configured always has its own name;
any other must first be listed by its provider, or have answered, and there is room for NAMES of those: so nobody can
fill the room with names that mean nothing. A name that holds a secret is "other" as well.

The counts are plain numbers here, and become Prometheus's families when it asks for them (`reports/families.py`): one
loop needs none of the locks and copies of prometheus-client's own counters, at ten of them per call.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Any

from msgspec.structs import astuple

from proxy.canon import BUCKETS, Usage
from proxy.errors import GatewayError, UpstreamError
from proxy.ports import PROBES, Call, Target
from proxy.reports.gauges import Place, Spread, Tallied, Told, Watched
from proxy.reports.outcome import Outcome
from proxy.reports.sight import Sight
from proxy.spending.money import NANOS

NAMES = 100  # of models that are not configured, of codes, of fields
LONGEST_NAME = 100  # characters
OVERHEAD = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
PLACE = ("provider", "model")
OTHER = "other"
# The timers that we have, by the code of the error that each ends in. `upstream_timeout` is the provider's own.
TIMERS = {
    "connect_timeout": "connect",
    "tls_timeout": "tls",
    "headers_timeout": "headers",
    "first_event_timeout": "first_event",
    "idle_timeout": "idle",
    "quiet_timeout": "quiet",
    "total_timeout": "total",
    "body_timeout": "body",
    "client_stalled": "write",
}
OF_CLIENTS = ("body", "write")  # timers that no provider is asked to keep
ABORTS = ("before_head", "after_head")
CALLS = frozenset({"chat", "generate", "count_tokens"})  # operations that ask a model


class Metrics:
    """An observer of calls, which tells what it has counted to whoever asks."""

    def __init__(
        self, configured: Mapping[str, Collection[str]] | None = None, hide: Callable[[str], str] = str
    ) -> None:
        """`configured`: models, by provider. `hide` takes secrets out of a text."""
        self._hide = hide
        self._places: dict[tuple[str, str], Place] = {}
        self._models = 0  # that are not configured and have a place
        self._codes: set[str] = set()
        self._fields: set[str] = set()
        self._overhead = Spread(OVERHEAD)
        self._errors: Counter[tuple[str, str]] = Counter()  # by kind and code
        self._attempts: Counter[str] = Counter()  # by provider
        self._blamed: Counter[tuple[str, str, str]] = Counter()  # errors of attempts by provider, kind and code
        self._broken: Counter[tuple[str, str]] = Counter()  # answers by provider and code
        self._timeouts: Counter[tuple[str, str]] = Counter()  # by timer and provider
        self._aborts = dict.fromkeys(ABORTS, 0)
        self._dropped: Counter[str] = Counter()  # by field
        self._watched: list[Watched | Tallied] = []
        self._facts: list[Told] = []
        self.become(configured or {})

    def become(self, configured: Mapping[str, Collection[str]]) -> None:
        """These are the models that the operator names."""
        self._configured = configured
        self._timeouts.update(dict.fromkeys(_timers(configured), 0))

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Show a number that somebody else keeps."""
        self._watched.append(Watched(name, about, read))

    def tally(
        self, name: str, about: str, labels: Sequence[str], read: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        """Show numbers that somebody else keeps, by their labels."""
        self._watched.append(Tallied(name, about, labels, read))

    def has_place(self, provider: str, model: str) -> bool:
        """Does it count under its own name? What the operator names does before a call has ended there."""
        return (provider, model) in self._places or model in self._configured.get(provider, ())

    def paid(self, target: Target, nanos: int, is_guess: bool, is_answered: bool, usage: Usage | None) -> None:
        """An attempt has cost so much, and its provider has counted these tokens. This comes before its call's end."""
        place = self._place(target, is_answered)
        place.nanos += nanos
        place.guessed += is_guess
        if usage is not None:
            place.tokens = list(map(add, place.tokens, astuple(usage.whole)))  # whose other fields are no tokens

    def state(self, name: str, about: str, **facts: str) -> None:
        """Show facts that do not change."""
        self._facts.append(Told("info", name, about, (), [((), facts)]))

    def ended(self, sight: Sight) -> None:
        """A call has ended. What asks no model, such as a list of them, counts where it fails."""
        call, status = sight.call, sight.status
        if sight.how is not None and call.operation not in PROBES:
            status = self._failed(sight, sight.how)
        if call.operation not in CALLS:
            return
        place = self._place(call.target, is_answered=sight.status > 0 and call.operation != "count_tokens")
        if sight.status:
            self._overhead.observe(sight.head - call.waited - call.delayed)
            place.first_byte.observe(sight.head)
        place.ended[call.operation, status] += 1
        place.duration.observe(sight.taken)
        if call.dropped:
            self._dropped.update(self._bounded(name, self._fields) for name in call.dropped)

    def attempted(self, call: Call, error: BaseException | None) -> None:
        """Once for each target that was asked: the head of its answer is there, or none will come."""
        assert call.target is not None  # failover chose it
        self._attempts[call.target.adapter.name] += 1
        if isinstance(error, UpstreamError):
            self._blame(call.target, error)

    def told(self) -> Iterator[Told]:
        """Family by family, and row by row where they are many. Anything may happen between two."""
        yield from self._facts
        yield from (watched.told() for watched in self._watched)
        about = "Time that pillion itself took until the answer's head."
        yield _histograms("overhead_seconds", about, (), [((), *self._overhead.told())])
        yield from self._of_places(list(self._places.items()))
        for name, about, labels, counts in (
            ("errors", "Requests that reached a route and failed, by kind.", ("kind", "code"), self._errors),
            ("upstream_attempts", "Attempts, by provider.", ("provider",), _single(self._attempts)),
            ("upstream_errors", "Attempts that failed.", ("provider", "kind", "code"), self._blamed),
            (
                "broken_answers",
                "Answers that broke off after their head, by the provider's fault.",
                ("provider", "code"),
                self._broken,
            ),
            ("timeouts", "Timeouts, by timer.", ("timer", "provider"), self._timeouts),
            ("client_aborts", "Clients that disconnected early, by phase.", ("when",), _single(self._aborts)),
            (
                "dropped_fields",
                "Fields dropped because the target's API lacks them.",
                ("field",),
                _single(self._dropped),
            ),
        ):
            yield _counters(name, about, labels, list(counts.items()))

    def _of_places(self, places: Sequence[tuple[tuple[str, str], Place]]) -> Iterator[Told]:
        ended = (
            ([operation, *where, str(status)], count)
            for where, place in places
            for (operation, status), count in list(place.ended.items())
        )
        yield _counters("requests", "Calls that ended, by status.", ["operation", *PLACE, "status"], ended)
        tokens = (
            ([*where, kind], count)
            for where, place in places
            for kind, count in zip(BUCKETS, place.tokens, strict=True)
            if count
        )
        yield _counters("tokens", "Tokens, by kind.", [*PLACE, "kind"], tokens)
        cost = ((where, place.nanos / NANOS) for where, place in places if place.nanos)
        yield _counters("cost_usd", "Cost of attempts in dollars.", PLACE, cost)
        guessed = ((where, place.guessed) for where, place in places if place.guessed)
        yield _counters("guessed_prices", "Attempts whose price is not known.", PLACE, guessed)
        durations = ((where, *place.duration.told()) for where, place in places)
        about = "Time from the request to the end of the answer."
        yield _histograms("request_duration_seconds", about, PLACE, durations)
        firsts = ((where, *place.first_byte.told()) for where, place in places)
        about = "Time from the request to the answer's head."
        yield _histograms("time_to_first_byte_seconds", about, PLACE, firsts)

    def _failed(self, sight: Sight, how: Outcome) -> int:
        """The status that the call counts under."""
        call, error = sight.call, sight.error
        self._errors[how.kind, self._bounded(how.code, self._codes)] += 1
        if how.code in TIMERS and not isinstance(error, UpstreamError):  # those are counted with their attempt
            timer, target = TIMERS[how.code], call.target
            provider = "" if target is None or timer in OF_CLIENTS else target.adapter.name
            self._timeouts[timer, provider] += 1
        if how.by == "client":
            self._aborts["after_head" if sight.status else "before_head"] += 1
        if sight.status and isinstance(error, UpstreamError) and call.target is not None:  # else it was `attempted`
            self._blame(call.target, error)
            self._broken[call.target.adapter.name, self._bounded(how.code, self._codes)] += 1
        return sight.status or how.status

    def _blame(self, target: Target, error: GatewayError) -> None:
        self._blamed[target.adapter.name, error.kind, self._bounded(error.code, self._codes)] += 1
        if error.code in TIMERS:
            self._timeouts[TIMERS[error.code], target.adapter.name] += 1

    def broke(self, target: Target, error: GatewayError) -> None:
        """The stream of an attempt broke, and another attempt is counted as its call's."""
        self._blame(target, error)

    def _place(self, target: Target | None, is_answered: bool = False) -> Place:
        where = ("", "") if target is None else (target.adapter.name, target.model)
        place = self._places.get(where)
        if place is None:
            if target is not None and not self._takes_room(target, is_answered):
                where = (target.adapter.name, OTHER)
            place = self._places.setdefault(where, Place())
        return place

    def _takes_room(self, target: Target, is_answered: bool) -> bool:
        """May a model that is met for the first time count under its own name? If nobody has configured it, that takes
        one of the NAMES.
        """
        if target.model in self._configured.get(target.adapter.name, ()):
            return True
        is_real = is_answered or target.adapter.has(target.model)
        if self._models >= NAMES or not is_real or not self._is_label(target.model):
            return False
        self._models += 1
        return True

    def _bounded(self, name: str, met: set[str]) -> str:
        if name not in met:
            if len(met) >= NAMES or not self._is_label(name):
                return OTHER
            met.add(name)
        return name

    def _is_label(self, name: str) -> bool:
        return len(name) <= LONGEST_NAME and name.isprintable() and self._hide(name) == name


def _timers(providers: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each timer of each provider: one that has not run out yet is shown as 0, so that its rate can be asked for.

    A client's own time may also be over before anybody is chosen to be asked.
    """
    for timer in TIMERS.values():
        yield from ((timer, name) for name in ([""] if timer in OF_CLIENTS else providers))
    yield "total", ""


def _single(counts: Mapping[str, int]) -> Mapping[tuple[str, ...], int]:
    """Counts by one label, as counts by several."""
    return {(name,): count for name, count in counts.items()}


def _counters(name: str, about: str, labels: Sequence[str], rows: Iterable[Sequence[Any]]) -> Told:
    return Told("counter", f"pillion_{name}", about, labels, rows)


def _histograms(name: str, about: str, labels: Sequence[str], rows: Iterable[Sequence[Any]]) -> Told:
    return Told("histogram", f"pillion_{name}", about, labels, rows)
