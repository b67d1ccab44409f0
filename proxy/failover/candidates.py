"""Who may serve one call, one after the other?

The targets of its plan in the order of their strategy, then the others, but none that rests or cannot serve it. Why
somebody is passed over is written into the call's history.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, filterfalse
from operator import itemgetter
from typing import Protocol

from proxy.access.rights import allows
from proxy.failover.balance import Option, order
from proxy.failover.needs import lacking, unable
from proxy.failover.plan import Plan, Planner
from proxy.failover.standing import LAST, RESTS, UNWELL, Standing, Standings
from proxy.failover.sticking import conversation
from proxy.ports import Attempt, Call, Target
from proxy.reports.explain import NOT_ALLOWED

NO_MODEL = "no such model known"  # why it is not asked
Estimate = Callable[[Call, Target], int | None]  # nano-dollars that it may take there; None: nobody knows


class Known(Protocol):
    """What is known of all targets: the middleware, as far as it is needed here."""

    planner: Planner
    standings: Standings
    estimate: Estimate

    def may_ask(self, target: Target) -> bool:
        """As far as we know, is its provider up, and is there a key to ask it for this model with?"""
        ...


class Candidates:
    """Those of one call. `met`: whom it has asked already."""

    def __init__(self, known: Known, call: Call, plan: Plan, met: frozenset[Target] = frozenset()) -> None:
        self.only_has_failed = False  # the only target of the plan, which was asked already
        # Those that a ramp did not let in, or that have rested for the shortest pause: asked when nobody else is left.
        self.deferred: list[Target] = []
        self._known = known
        self._call = call
        self._plan = plan
        self._left = self._fit(met)

    def next(self) -> Target | None:
        return next(self._left, None)

    def put_back(self, target: Target) -> None:
        """It is still to come, before all others."""
        self._left = chain((target,), self._left)

    def has_next(self) -> bool:
        target = self.next()
        if target is not None:
            self.put_back(target)
        return target is not None

    def hand_over(self) -> Iterator[Target]:
        """Those that are left, for somebody else to ask. The generator holds us, so we must not go on holding it."""
        left, self._left = self._left, iter(())
        return left

    def defer(self, target: Target) -> None:
        """It is left alone, and asked only when nobody else is left, if it has been for long enough."""
        if not self._known.standings.of(target).breaker.wait_of_last and not self._unfit(target):
            self.deferred.append(target)

    def keep_cheaper(self, than: Target, besides: Iterable[Target]) -> None:
        """Only those that are left, or are `besides`, and known to cost less: the dearest of them first."""
        call, most = self._call, self._known.estimate(self._call, than)
        found: list[tuple[int, Target]] = []
        for target in chain(self._left, besides):
            cost = self._known.estimate(call, target)
            if cost is None or most is None or cost >= most:
                call.history.append(Attempt(target, skipped="not cheaper"))
            else:
                found.append((cost, target))
        self._left = (target for _, target in sorted(found, key=itemgetter(0), reverse=True))

    def is_only(self, target: Target | None) -> bool:
        """Is it the one that the model's name means, and no target of a route, or one that stands in?"""
        return len(self._plan.targets) == 1 and target is self._plan.targets[0]

    def is_alone(self, target: Target) -> bool:
        """Could nobody else be asked?"""
        others = filterfalse(target.__eq__, chain(self._plan.targets, self._known.planner.others(self._plan)))
        return all(self._why_not(one, self._known.standings.of(one)) for one in others)

    def _fit(self, met: frozenset[Target]) -> Iterator[Target]:
        """Those that can serve it and do not rest; then those that are unwell; then those that nobody would ask as long
        as there are others. Where no target of a route can ever serve it, all of them: the client is to read why.
        """
        unwell, unable, may_be_served = [], [], bool(met)
        for target in filterfalse(met.__contains__, self._all()):
            standing = self._known.standings.of(target)
            reason = self._why_not(target, standing)
            may_be_served |= reason in ("", RESTS)
            if reason:
                self._call.history.append(Attempt(target, skipped=reason))
                if reason == RESTS:
                    self.defer(target)
                elif reason != NOT_ALLOWED:
                    unable.append(target)
            elif self._known.may_ask(target):
                yield target
            else:
                unwell.append(target)
                self._call.history.append(Attempt(target, skipped=UNWELL))
        yield from unwell
        yield from self.deferred
        if self._plan.name and not may_be_served:
            yield from unable

    def _all(self) -> Iterator[Target]:
        """Those of the plan in the order of its strategy, then, when they have failed, the others."""
        plan, known, before = self._plan, self._known, list[Target]()
        if len(plan.targets) == 1:
            if not self.only_has_failed:
                yield from (before := self._abler())
                yield from plan.targets
        else:
            options = [self._option(target, weight) for target, weight in zip(plan.targets, plan.weights, strict=True)]
            key = conversation(self._call) if plan.strategy == "sticky" else ""
            weighed = [option.target for option in order(plan.strategy, options, key, random.random)]
            if not self._call.weighed:  # a stream that is resumed weighs them once more
                self._call.strategy, self._call.weighed = plan.strategy, weighed
            yield from weighed
        yield from filterfalse(before.__contains__, known.planner.others(plan, self._pass_over))

    def _abler(self) -> list[Target]:
        """Those that have the model as well and can do what the one that its name means cannot."""
        plan, known = self._plan, self._known
        reason, only = lacks(self._call, plan), plan.targets[0]
        if not reason:
            return []
        same = [target for target in known.planner.others(plan) if target.model == only.model]
        found = [target for target in same if not self._why_not(target, known.standings.of(target))]
        if found:
            self._tell(only, f"{reason}{LAST}")
        return found

    def _pass_over(self, target: Target) -> None:
        """It has neither that model nor a default one, as far as is known."""
        is_allowed = allows(self._call.key, target.adapter.name, target.model)
        self._tell(target, NO_MODEL if is_allowed else NOT_ALLOWED)

    def _tell(self, target: Target, reason: str) -> None:
        """Why it is not asked now; once, though a stream that is resumed asks again whom there is."""
        if all(one.target != target for one in self._call.history):
            self._call.history.append(Attempt(target, skipped=reason))

    def _option(self, target: Target, weight: float) -> Option[Target]:
        known, by_cost = self._known, self._plan.strategy == "least_cost"
        cost = known.estimate(self._call, target) if by_cost else None
        return Option(target, repr(target), weight, cost, known.standings.of(target).latency)

    def _why_not(self, target: Target, standing: Standing) -> str:
        """Why a target is passed over; "" where it is not. The only one of a plan never is, unless it rests.

        What will not pass comes before what will: one that could not serve it anyway is none to wait for.
        """
        return self._unfit(target) or (RESTS if standing.breaker.rest else "")

    def _unfit(self, target: Target) -> str:
        """The same, however it stands."""
        if self.is_only(target):
            return ""
        if not allows(self._call.key, target.adapter.name, target.model):
            return NOT_ALLOWED
        return lacking(self._call.envelope, target.adapter.abilities(target.model))


def lacks(call: Call, plan: Plan) -> str:
    """What the only target of a plan is known to be unable to do for this call, where others may have the model."""
    target = plan.targets[0]
    return unable(call.envelope, target.adapter.abilities(target.model)) if plan.may_lack else ""
