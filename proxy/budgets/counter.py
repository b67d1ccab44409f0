"""What may still be spent of one budget, in one window?

`spent` is what settled requests have cost, `reserved` what those under way may cost at most. As long as no bound is
wrong:

- strict: a request is admitted where spent + reserved + its bound <= limit. To settle moves a request's share from
  `reserved` to `spent` and never makes the sum larger, so spent + reserved <= limit always, and spent with it.
- lenient: a request is admitted where spent + reserved < limit, whatever its bound. So the one that crosses the line
  comes last: nothing follows it until the sum is below the limit again. At every moment all requests but the one that
  was admitted last come to less than the limit: at most one request is over, under any concurrency.
- A request without a known bound has `unbounded_usd` for its bound, if that is configured. If not, strict refuses it.
  Lenient takes it for the one that may cross: while it is under way there is no second one, and others are admitted by
  the rule of strict, within what is left. So again all but one come to no more than the limit.
- What is known to cost nothing is always admitted.

A cost above its bound counts in full, and is reported. Nothing here waits, looks at a clock, or knows other budgets.
"""

from decimal import ROUND_CEILING, Decimal
from math import inf, isinf
from typing import Literal, NamedTuple

from proxy.budgets.windows import Window
from proxy.config import Budget
from proxy.spending.money import dollars, nanos_of
from proxy.spending.names import plain, plain_path

# threshold: so much is spent that somebody should know. exhausted: all of it is spent, or a request was refused because
# of what is. overrun: an attempt cost more than was set aside for it. Each is told once in a window.
News = Literal["threshold", "exhausted", "overrun"]

# Why a request is refused: it has no bound, and needs one; it has none, and another such request is under way; it may
# cost more than the whole budget; more than is unspent; more than is neither spent nor set aside.
Cause = Literal["unbounded", "alone", "too_dear", "spent", "reserved"]


class Terms(NamedTuple):
    """What the operator says of a budget; money in nano-dollars."""

    name: str
    window: Literal["day", "month", "total"]
    client: str | None  # `*`: each has its own
    provider: str | None
    model: str | None  # PROVIDER/MODEL, in the form that all names of the model share
    limit: int
    strict: bool
    threshold: int
    cap: int | None  # for a request that has no bound
    cheaper: bool  # a request that it refuses may go to a cheaper target
    stops: bool  # a live stream is stopped when it has spent its reservation

    def cover(self, client: str, provider: str, model: str) -> bool:
        return (
            self.client in (None, "*", client)
            and self.provider in (None, provider)
            and (self.model is None or self.model == f"{provider}/{plain(model)}")
        )


def terms_of(name: str, row: Budget) -> Terms:
    limit = nanos_of(repr(row.usd))
    share = (Decimal(repr(row.alert)) * limit).to_integral_value(ROUND_CEILING)
    return Terms(
        name=name,
        window=row.window,
        client=row.client,
        provider=row.provider,
        model=None if row.model is None else plain_path(row.model),
        limit=limit,
        strict=row.mode == "strict",
        threshold=int(share),
        cap=None if row.unbounded_usd is None else nanos_of(repr(row.unbounded_usd)),
        cheaper=row.at_end == "cheaper",
        stops=row.stop_streams,
    )


class Alert(NamedTuple):
    """What somebody should know of a budget; money in nano-dollars."""

    kind: News
    budget: str
    client: str  # empty: it is no client's own
    window: str  # day, month or total
    spent: int
    limit: int
    resets_at: float | None = None  # seconds since 1970; None: never


class Statement(NamedTuple):
    """What is spent of a budget, and what is left; money in nano-dollars."""

    name: str
    client: str
    window: str
    limit: int
    spent: int
    reserved: int
    remaining: int
    resets_at: float | None
    overruns: int  # attempts that cost more than was set aside for them


class Counter:
    """One budget, of one client if each has its own, in one window. A bound of None: nobody knows one."""

    __slots__ = (
        "_quiet", "_told", "alone", "cap", "client", "end", "limit", "overruns", "reserved", "spent", "start",
        "strict", "terms",
    )  # fmt: skip

    def __init__(self, terms: Terms, client: str, window: Window) -> None:
        self.terms = terms
        self.client = client
        self.start, self.end = window
        self.limit = terms.limit
        self.strict = terms.strict
        self.cap = terms.cap
        self.spent = 0
        self.reserved = 0
        self.alone = 0  # requests under way without any bound: one, or more if a change of terms took away their bound
        self.overruns = 0
        self._told: set[News] = set()
        self._quiet: float = max(terms.threshold, 1)  # below this there is nothing to tell

    def __repr__(self) -> str:
        whose = f" of {self.client}" if self.client else ""
        spent, limit, reserved = map(dollars, (self.spent, self.limit, self.reserved))
        return f"<Counter {self.terms.name}{whose}: {spent} of {limit} dollars spent, {reserved} set aside>"

    def become(self, terms: Terms) -> None:
        """Go on counting, by these terms. The caller has given back what was set aside, and takes it anew."""
        if (terms.limit, terms.threshold) != (self.limit, self.terms.threshold):
            self._told.clear()
            self._quiet = max(terms.threshold, 1)
        self.terms, self.limit, self.strict, self.cap = terms, terms.limit, terms.strict, terms.cap

    def amount(self, bound: int | None) -> int | None:
        """What is set aside for a request of this bound; None: it runs without one."""
        return self.cap if bound is None else bound

    def admits(self, bound: int | None) -> bool:
        if bound == 0:
            return True
        if bound is None and (bound := self.cap) is None:  # `amount`, which each request would call three times
            return not self.strict and not self.alone and self.spent + self.reserved < self.limit
        if self.strict or self.alone:
            return self.spent + self.reserved + bound <= self.limit
        return self.spent + self.reserved < self.limit

    def affords(self, bound: int | None) -> bool:
        """Would it be admitted, as far as is known here?"""
        return self.admits(bound)

    def take(self, bound: int | None) -> None:
        """Set aside an amount for a request that was admitted."""
        if bound is None and (bound := self.cap) is None:
            self.alone += 1
        else:
            self.reserved += bound

    def give_back(self, bound: int | None) -> None:
        """As if `take` had not been called."""
        amount = self.amount(bound)
        if amount is None:
            self.alone -= 1
        else:
            self.reserved -= amount

    def settle(self, bound: int | None, nanos: int) -> list[News]:
        """Count what it cost, in place of what was set aside; returns what there is to tell."""
        self.spent += nanos
        if bound is None and (bound := self.cap) is None:
            self.alone -= 1
            return self._news() if self.spent >= self._quiet else _NONE
        self.reserved -= bound
        if nanos > bound:
            self.overruns += 1
            return [*self._once("overrun"), *self._news()]
        return self._news() if self.spent >= self._quiet else _NONE

    def restore(self, nanos: int) -> None:
        """Count what was spent before we began, and was told of then."""
        self.spent += nanos
        if self.spent >= self._quiet:
            self._news()

    def cause(self, bound: int | None) -> Cause:
        """Why it is not admitted."""
        amount = self.amount(bound)
        if self.strict and amount is None:
            return "unbounded"
        need = amount if self.strict and amount is not None else 1  # the last nano-dollar is enough for lenient
        if need > self.limit:
            return "too_dear"
        if self.spent + need > self.limit:
            return "spent"
        return "alone" if self.alone and amount is None else "reserved"

    def refused(self, cause: Cause) -> list[News]:
        """What there is to tell of a refusal: a strict budget may never spend its last nano-dollar."""
        return self._once("exhausted") if cause == "spent" else _NONE

    @property
    def remaining(self) -> int:
        return max(self.limit - self.spent - self.reserved, 0)

    @property
    def resets_at(self) -> float | None:
        return None if isinf(self.end) else self.end

    def statement(self) -> Statement:
        name, window = self.terms.name, self.terms.window
        return Statement(
            name, self.client, window, self.limit, self.spent, self.reserved, self.remaining, self.resets_at,
            self.overruns,
        )  # fmt: skip

    def alert(self, kind: News) -> Alert:
        return Alert(kind, self.terms.name, self.client, self.terms.window, self.spent, self.limit, self.resets_at)

    def _news(self) -> list[News]:
        """The marks that are reached, and were not told of yet."""
        marks: tuple[tuple[News, int], ...] = (
            ("threshold", max(self.terms.threshold, 1)),
            ("exhausted", max(self.limit, 1)),
        )
        self._quiet = min((mark for _, mark in marks if mark > self.spent), default=inf)
        return [news for kind, mark in marks if self.spent >= mark for news in self._once(kind)]

    def _once(self, kind: News) -> list[News]:
        if kind in self._told:
            return _NONE
        self._told.add(kind)
        return [kind]


_NONE: list[News] = []
