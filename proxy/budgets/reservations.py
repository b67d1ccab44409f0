"""What is set aside for an attempt, and in which budgets?

In all that it falls under, or in none: nothing is awaited between the look and the taking, and all of it happens on
one loop. An attempt is counted in the windows in which it began, even if it ends in later ones: so it is once in each
budget, and where the ledger has it, whose row bears the time of its beginning. What is read back from there after a
restart is what was counted here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from proxy.budgets.counter import Alert, Counter, News, Standing, Terms, terms_of
from proxy.budgets.refusal import refusal
from proxy.budgets.windows import WINDOWS, some_before
from proxy.config import Budget
from proxy.money import dollars

KEPT = 7  # windows before the present one: that many a clock may go back and find what was spent
PURSES = 10_000  # budgets that are a client's own; clients beyond that share one
FOUND = 4096  # clients and models whose budgets are known without a search
OTHERS = "*"  # no client is called that


class Spent(NamedTuple):
    """A sum of the ledger: `at` is any time in the day it is about, seconds since 1970."""

    at: float
    client: str
    provider: str
    model: str
    nanos: int


class Purse:
    """One budget of one client, from window to window."""

    __slots__ = ("_client", "_counters", "current", "terms")

    def __init__(self, terms: Terms, client: str, now: float) -> None:
        self.terms = terms
        self._client = client
        self._counters: dict[float, Counter] = {}
        self.current = self._counter(now)

    def at(self, when: float) -> Counter:
        """The window of this time is the present one."""
        if not self.current.start <= when < self.current.end:
            self.current = self._counter(when)
        return self.current

    def turn(self, now: float) -> Counter:
        """Likewise; and of earlier windows only a few stay. Of later ones, which only a clock that was wrong has seen,
        all do: what was spent in them counts when they come."""
        self.at(now)
        earlier = sorted(start for start in self._counters if start < self.current.start)
        for start in earlier[:-KEPT]:
            del self._counters[start]
        return self.current

    def _counter(self, when: float) -> Counter:
        window = WINDOWS[self.terms.window](when)
        if window.start not in self._counters:
            self._counters[window.start] = Counter(self.terms, self._client, window)
        return self._counters[window.start]


class Reservation:
    """What is set aside for one attempt, in all the budgets that it falls under."""

    __slots__ = ("bound", "counters", "is_open")

    def __init__(self, bound: int | None, counters: list[Counter]) -> None:
        self.bound = bound
        self.counters = counters
        self.is_open = True

    def __repr__(self) -> str:
        what = "something" if self.bound is None else f"{dollars(self.bound)} dollars"
        return f"<Reservation of {what} in {len(self.counters)} budgets, {'open' if self.is_open else 'settled'}>"

    @property
    def stop_at(self) -> int | None:
        """Nano-dollars with which a live stream is to be stopped, where one of its budgets wants that."""
        amounts = (
            counter.cap if self.bound is None else self.bound for counter in self.counters if counter.terms.stops
        )
        return min((amount for amount in amounts if amount), default=None)


class Budgets:
    """All of them. `clock`: seconds since 1970, as the ledger has it. `tell` hears what somebody should know."""

    def __init__(self, rows: Mapping[str, Budget], clock: Callable[[], float], tell: Callable[[Alert], None]) -> None:
        self._terms = [terms_of(name, row) for name, row in rows.items()]
        self._clock = clock
        self._tell = tell
        self._purses: dict[tuple[str, str], Purse] = {}
        self._found: dict[tuple[str, str, str], tuple[Purse, ...]] = {}
        for terms in self._terms:
            if terms.client != "*":
                self._purse(terms, "")

    def __repr__(self) -> str:
        return f"<Budgets {' '.join(terms.name for terms in self._terms) or 'none'}>"

    @property
    def is_there(self) -> bool:
        return bool(self._terms)

    @property
    def is_hard(self) -> bool:
        """Is there one that must never be overrun?"""
        return any(terms.strict for terms in self._terms)

    def restore(self, spent: Iterable[Spent]) -> None:
        """Count what was spent before we began: once, before the first attempt. Raises ValueError: a negative sum."""
        now = self._clock()
        oldest = {kind: some_before(kind, now, KEPT) for kind in WINDOWS}
        for at, client, provider, model, nanos in spent:
            if nanos < 0:
                raise ValueError(f"a negative sum for {provider}/{model}: {nanos}")
            for purse in self._of(client, provider, model):
                if at >= oldest[purse.terms.window]:
                    purse.at(at).restore(nanos)

    def reserve(self, client: str, provider: str, model: str, bound: int | None) -> Reservation:
        """Set aside the nano-dollars that an attempt may cost at most; None: nobody can say. Raises OverBudget."""
        if bound is not None and bound < 0:
            raise ValueError(f"a negative bound: {bound}")
        counters = self._counters(client, provider, model)
        for counter in counters:
            if not counter.admits(bound):
                cause = counter.cause(bound)
                self._tell_all((counter, kind) for kind in counter.refused(cause))
                raise refusal(counter, bound, cause, self._clock())
        for counter in counters:
            counter.take(bound)
        return Reservation(bound, counters)

    def settle(self, held: Reservation, nanos: int) -> None:
        """Count what the attempt cost. Raises RuntimeError the second time, and ValueError: a negative cost."""
        if not held.is_open:
            raise RuntimeError(f"{held!r} was settled before")
        if nanos < 0:
            raise ValueError(f"a negative cost: {nanos}")
        held.is_open = False
        bound, news = held.bound, []
        for counter in held.counters:
            if kinds := counter.settle(bound, nanos):
                news += [(counter, kind) for kind in kinds]
        if news:  # all are settled before anybody is told
            self._tell_all(news)

    def affords(self, client: str, provider: str, model: str, bound: int | None) -> bool:
        """Would it be set aside, if somebody asked for it now?"""
        return all(counter.admits(bound) for counter in self._counters(client, provider, model))

    def standing(self) -> list[Standing]:
        now = self._clock()
        return [purse.turn(now).standing() for purse in self._purses.values()]

    def _counters(self, client: str, provider: str, model: str) -> list[Counter]:
        """Of this moment."""
        now, counters = self._clock(), []
        for purse in self._of(client, provider, model):
            counter = purse.current
            counters.append(counter if counter.start <= now < counter.end else purse.turn(now))
        return counters

    def _of(self, client: str, provider: str, model: str) -> tuple[Purse, ...]:
        key = (client, provider, model)
        purses = self._found.get(key)
        if purses is None:
            if len(self._found) >= FOUND:
                self._found.clear()
            found = (self._purse(terms, client) for terms in self._terms if terms.cover(*key))
            purses = self._found[key] = tuple(found)
        return purses

    def _purse(self, terms: Terms, client: str) -> Purse:
        key = (terms.name, client if terms.client == "*" else terms.client or "")
        if key not in self._purses and terms.client == "*" and len(self._purses) >= PURSES:
            key = (terms.name, OTHERS)
        if key not in self._purses:
            self._purses[key] = Purse(terms, key[1], self._clock())
        return self._purses[key]

    def _tell_all(self, news: Iterable[tuple[Counter, News]]) -> None:
        for counter, kind in news:
            self._tell(counter.alert(kind))
