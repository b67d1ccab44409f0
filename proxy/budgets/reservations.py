"""What is set aside for an attempt, and in which budgets?

In all that it falls under, or in none: nothing is awaited between the look and the taking, and all of it happens on
one loop. An attempt is counted in the windows in which it began, even if it ends in later ones: so each budget counts
it once, and in the same window as the ledger, whose row has the time at which it began. So what is read back from there
after a restart is what was counted here.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import nlargest
from math import inf
from typing import NamedTuple

from msgspec import Struct

from proxy.budgets.counter import Alert, Counter, News, Statement, Terms, terms_of
from proxy.budgets.purse import KEPT, Make, Purse
from proxy.budgets.refusal import refusal
from proxy.budgets.windows import WINDOWS
from proxy.config import Budget
from proxy.errors import OverBudget
from proxy.spending.money import dollars

PURSES = 10_000  # budgets of single clients; clients beyond that share one
FOUND = 4096  # clients with targets whose budgets are remembered
OTHERS = "*"  # no client is called that


Place = tuple[str, str, str]  # client, provider, model


class Spent(NamedTuple):
    """A sum from the ledger. `at`: any time in the day that it is about, in seconds since 1970."""

    at: float
    client: str
    provider: str
    model: str
    nanos: int


class Reservation(Struct, eq=False):
    """What is set aside for one attempt, in all the budgets that it falls under."""

    place: Place
    at: float
    bound: int | None
    counters: list[Counter]
    is_open: bool = True

    def __repr__(self) -> str:
        what = "something" if self.bound is None else f"{dollars(self.bound)} dollars"
        return f"<Reservation of {what} in {len(self.counters)} budgets, {'open' if self.is_open else 'settled'}>"

    @property
    def uncounted(self) -> int | None:
        """Nano-dollars to book if nobody learns what it cost: the whole bound, where one of the budgets is strict."""
        for counter in self.counters:
            if counter.strict:
                return self.bound
        return None

    @property
    def stop_at(self) -> int | None:
        """Nano-dollars at which a live stream is to be stopped, if one of its budgets wants that."""
        least = None
        for counter in self.counters:
            if counter.terms.stops and (amount := counter.amount(self.bound)) and (least is None or amount < least):
                least = amount
        return least


class Budgets:
    """All budgets. `is_there`: is there any?

    `clock`: seconds since 1970, the ledger's clock. `tell` hears the alerts. `make` makes the counter of one budget in
    one window.
    """

    def __init__(
        self,
        rows: Mapping[str, Budget],
        clock: Callable[[], float],
        tell: Callable[[Alert], None],
        make: Make = Counter,
    ) -> None:
        self.is_there = False
        self._terms: Sequence[Terms] = ()
        self._by_client: dict[str, list[tuple[int, Terms]]] = {}  # "*": whoever asks; with their places in _terms
        self._abouts: frozenset[tuple[str | None, ...]] = frozenset()
        self._clock = clock
        self._tell = tell
        self._make = make
        self._named = 0  # budgets that have one purse each
        self._purses: dict[tuple[str, str], Purse] = {}
        self._found: dict[Place, tuple[Purse, ...]] = {}
        self._open: set[Reservation] = set()
        self._begin([terms_of(name, row) for name, row in rows.items()])

    def __repr__(self) -> str:
        return f"<Budgets {' '.join(terms.name for terms in self._terms) or 'none'}>"

    @property
    def is_hard(self) -> bool:
        """Is there one that must never be overrun?"""
        return any(terms.strict for terms in self._terms)

    def restore(self, spent: Iterable[Spent]) -> None:
        """Count what was spent before we began; once, before the first attempt. Raises ValueError: a negative sum."""
        self._restore(spent, frozenset())

    def lacks(self, rows: Mapping[str, Budget]) -> bool:
        """Is one of these new here, so that it has not counted what was spent?"""
        return any(not self._has(terms_of(name, row)) for name, row in rows.items())

    def become(self, rows: Mapping[str, Budget], spent: Iterable[Spent]) -> None:
        """Have these budgets from now on. One that is about the same goes on, even with another amount or mode.

        `spent`: what was spent up to now, for those that are new here. What is under way is set aside in all.
        """
        terms = [terms_of(name, row) for name, row in rows.items()]
        stay = {each.name: each for each in terms if self._has(each)}
        self._set_aside(Counter.give_back)
        self._purses = {key: purse for key, purse in self._purses.items() if key[0] in stay}
        for purse in self._purses.values():
            purse.become(stay[purse.terms.name])
        self._begin(terms)
        self._restore(spent, stay.keys())
        for held in self._open:
            held.counters = [counter for counter in held.counters if counter.terms.name in stay]
            held.counters += [each for each in self.counters(*held.place, held.at) if each.terms.name not in stay]
        self._set_aside(Counter.take)

    def reserve(
        self, client: str, provider: str, model: str, bound: int | None, at: float | None = None
    ) -> Reservation:
        """Set aside the nano-dollars that an attempt may cost at most; None: nobody can say. Raises OverBudget.

        `at`: when it began, as its row says; None: now.
        """
        if bound is not None and bound < 0:
            raise ValueError(f"a negative bound: {bound}")
        at = self._clock() if at is None else at
        counters = self.counters(client, provider, model, at)
        for counter in counters:
            if not counter.admits(bound):
                cause = counter.cause(bound)
                self._tell_all((counter, kind) for kind in counter.refused(cause))
                raise refusal(counter, bound, cause, self._clock())
        for counter in counters:
            counter.take(bound)
        held = Reservation((client, provider, model), at, bound, counters)
        self._open.add(held)
        return held

    def refusal(self, client: str, provider: str, model: str, bound: int | None, at: float) -> OverBudget | None:
        """Why this could not be set aside by now; None where it could. Nothing is, and no alert goes out."""
        for counter in self.counters(client, provider, model, at):
            if not counter.affords(bound):
                return refusal(counter, bound, counter.cause(bound), self._clock())
        return None

    def settle(self, held: Reservation, nanos: int) -> None:
        """Count what the attempt cost. Raises RuntimeError the second time, and ValueError: a negative cost."""
        if not held.is_open:
            raise RuntimeError(f"{held!r} was settled before")
        if nanos < 0:
            raise ValueError(f"a negative cost: {nanos}")
        held.is_open = False
        self._open.discard(held)
        bound, news = held.bound, []
        for counter in held.counters:
            if kinds := counter.settle(bound, nanos):
                news += [(counter, kind) for kind in kinds]
        if news:  # all are settled before anybody is told
            self._tell_all(news)

    def count(self, client: str, provider: str, model: str, nanos: int, at: float | None = None) -> None:
        """Count what an attempt cost that began when there was no budget to set anything aside in."""
        counters = self.counters(client, provider, model, at)
        for counter in counters:
            counter.take(nanos)
        self._tell_all([(counter, kind) for counter in counters for kind in counter.settle(nanos, nanos)])

    def statements(self) -> list[Statement]:
        now = self._clock()
        return [purse.turn(now).statement() for purse in self._purses.values()]

    def counters(self, client: str, provider: str, model: str, at: float | None = None) -> list[Counter]:
        """The counters that an attempt falls under, `at` that time; None: now."""
        now = self._clock() if at is None else at
        counters: list[Counter] = []
        for purse in self._of(client, provider, model):
            counter = purse.current
            counters.append(counter if counter.start <= now < counter.end else purse.turn(now))
        return counters

    def _begin(self, terms: Sequence[Terms]) -> None:
        self._terms = terms
        self._abouts = frozenset(map(_about, terms))
        self._named = sum(each.client != "*" for each in terms)
        self._by_client = {}
        for place, each in enumerate(terms):
            self._by_client.setdefault(each.client or "*", []).append((place, each))
        self.is_there = bool(terms)
        self._found.clear()
        for each in terms:
            if each.client != "*":
                self._purse(each, "")

    def _has(self, terms: Terms) -> bool:
        """Is there a budget of this name that is about the same?"""
        return _about(terms) in self._abouts

    def _restore(self, spent: Iterable[Spent], but: Collection[str]) -> None:
        """`but`: budgets that have counted it already. Raises ValueError: a negative sum."""
        spent = list(spent)
        oldest = self._oldest({at for at, *_ in spent})
        for at, client, provider, model, nanos in spent:
            if nanos < 0:
                raise ValueError(f"a negative sum for {provider}/{model}: {nanos}")
            for purse in self._of(client, provider, model):
                if purse.terms.name not in but and at >= oldest[purse.terms.window]:
                    purse.at(at).restore(nanos)

    def _oldest(self, moments: Collection[float]) -> Mapping[str, float]:
        """When the oldest window begins that is to be kept, by kind, of those in which something was spent.

        Counted in windows that were met, and not by the calendar: if the clock is far ahead now and is put right later,
        the true present is still among them.
        """
        now, oldest = self._clock(), {}
        for kind, window in WINDOWS.items():
            starts = {window(at).start for at in moments if at <= now}
            oldest[kind] = min(nlargest(KEPT + 1, starts), default=-inf)
        return oldest

    def _set_aside(self, how: Callable[[Counter, int | None], None]) -> None:
        for held in self._open:
            for counter in held.counters:
                how(counter, held.bound)

    def _of(self, client: str, provider: str, model: str) -> tuple[Purse, ...]:
        key = (client, provider, model)
        purses = self._found.get(key)
        if purses is None:
            if len(self._found) >= FOUND:
                self._found.clear()
            near = sorted([*self._by_client.get(client, ()), *self._by_client.get("*", ())])
            purses = self._found[key] = tuple(self._purse(terms, client) for _, terms in near if terms.cover(*key))
        return purses

    def _purse(self, terms: Terms, client: str) -> Purse:
        key = (terms.name, client if terms.client == "*" else terms.client or "")
        if key not in self._purses and terms.client == "*" and self._many:
            key = (terms.name, OTHERS)
        if key not in self._purses:
            self._purses[key] = Purse(terms, key[1], self._clock(), self._make)
        return self._purses[key]

    @property
    def _many(self) -> bool:
        """Have as many clients a purse of a budget that each of them has?"""
        return len(self._purses) - self._named >= PURSES

    def _tell_all(self, news: Iterable[tuple[Counter, News]]) -> None:
        for counter, kind in news:
            self._tell(counter.alert(kind))


def _about(terms: Terms) -> tuple[str | None, ...]:
    return terms.name, terms.window, terms.client, terms.provider, terms.model
