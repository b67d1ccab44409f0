"""Whom does one call ask, one after the other, and how often?

The targets of its plan in the order of their strategy, then the others, but none that rests or cannot serve it. Each is
asked again as often as its error allows, and while the first one is silent another one is asked beside it. A target of
a route that would have it wait, for a limit or because its provider is busy or asks for a pause, is waited for only
when nobody is left who may be free.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import chain, filterfalse
from operator import itemgetter
from time import monotonic, time
from typing import Protocol

from proxy.access.rights import allows
from proxy.config import Retry
from proxy.errors import Busy, Down, GatewayError, OverBudget, Unrepresentable, UpstreamError, unwound
from proxy.failover.balance import Option, order
from proxy.failover.failures import Failures
from proxy.failover.hedging import Hedging
from proxy.failover.later import Later
from proxy.failover.needs import lacking, unable
from proxy.failover.pacing import Backoff, RetryBudget
from proxy.failover.plan import Plan, Planner
from proxy.failover.race import Asking, Race
from proxy.failover.retries import WAITED, Verdict, verdict
from proxy.failover.standing import LAST, RESTING, RESTS, UNWELL, Standing, Standings, is_unasked
from proxy.failover.sticking import conversation
from proxy.failover.trial import Trial
from proxy.ports import Attempt, Call, Handler, Reply, Target
from proxy.reports.explain import NOT_ALLOWED

NO_MODEL = "no such model known"  # why it is not asked, as is the next one
_SOONER_ELSEWHERE = WAITED | {RESTING}
Estimate = Callable[[Call, Target], int | None]  # nano-dollars that it may take there; None: nobody knows


class Rules(Protocol):
    """What all ways have in common: the middleware, as far as it is needed here."""

    planner: Planner
    standings: Standings
    retry: Retry
    deadline: float  # seconds after which no attempt is begun
    estimate: Estimate
    is_well: Callable[[str], bool]  # what the health checks say of a provider
    sleep: Callable[[float], Awaitable[None]]
    hedging: Hedging | None
    budget: RetryBudget
    backoff: Backoff

    def may_ask(self, target: Target) -> bool:
        """As far as we know, is its provider up, and is there a key to ask it for this model with?"""
        ...

    async def attempt(
        self, call: Call, handler: Handler, standing: Standing, is_last: bool = False, again: bool = False
    ) -> Reply:
        """Ask `call.target` once. Raises GatewayError."""
        ...


class Way:
    """One call's way through its targets."""

    def __init__(
        self, rules: Rules, call: Call, handler: Handler, plan: Plan, met: frozenset[Target] = frozenset()
    ) -> None:
        self._rules = rules
        self._call = call
        self._handler = handler
        self._plan = plan
        self._until = call.started + rules.deadline
        self._failures = Failures(call)
        self._only_has_failed = False  # the only target of the plan, which was asked already
        self._deferred: list[Target] = []  # that a ramp did not let in: asked all the same when nobody is left
        self._is_route = len(plan.targets) > 1  # so that nobody is waited for while another one may be free
        self._later = Later()
        self._left = self._candidates(met)

    async def go(self, failed: GatewayError | None = None) -> Reply:
        """`failed`: how the only target has failed already. Raises what `Failures.final` says, where nobody answers."""
        try:
            if failed is not None:
                self._only_has_failed = True
                if reply := await self._answer(self._plan.targets[0], failed):
                    return reply
            while target := next(self._left, None) or self._later.soonest():
                if reply := await self._answer(target):
                    return reply
            raise self._final_error()
        finally:
            self._call.may_wait = True
            self.hand_over()

    def hand_over(self) -> Iterator[Target]:
        """Those that are left, for somebody else to ask. The generator holds us, so we must not go on holding it."""
        left, self._left = self._left, iter(())
        return left

    def rehearse(self) -> None:
        """Go through the targets as if each failed in a way that lets another one answer."""
        for number, target in enumerate(self._left, start=1):
            self._call.history.append(Attempt(target, number))
            self._failures.add(Down("No provider was asked."), target)

    async def _answer(self, target: Target, failed: GatewayError | None = None) -> Reply | None:
        """None where the next target is to be asked. Raises GatewayError where none is."""
        try:
            return await self._ask(target, self._rules.standings.of(target), failed)
        except GatewayError as error:
            self._note(unwound(error), target)
            if is_unasked(error):
                self._call.history.append(Attempt(target, skipped=RESTS))
            else:
                self._failures.keep_attempt(error)
            if not self._may_go_on(error):
                raise self._final_error() from None
            if isinstance(error, OverBudget) and error.cheaper:
                self._left = self._cheaper(target)
        return None

    def _note(self, error: GatewayError, target: Target) -> None:
        if self._later.due(target) is not None:
            self._failures.replace(error, target)
            return
        self._failures.add(error, target)
        if error.ahead is not None:
            self._later.put_off(target, error)

    def _cheaper(self, than: Target) -> Iterator[Target]:
        """Those that are left and known to cost less, the dearest of them first."""
        call, most = self._call, self._rules.estimate(self._call, than)
        found: list[tuple[int, Target]] = []
        for target in chain(self._left, self._later.all()):
            cost = self._rules.estimate(call, target)
            if cost is None or most is None or cost >= most:
                call.history.append(Attempt(target, skipped="not cheaper"))
            else:
                found.append((cost, target))
        return (target for _, target in sorted(found, key=itemgetter(0), reverse=True))

    def _candidates(self, met: frozenset[Target]) -> Iterator[Target]:
        """Those that can serve it and do not rest; then those that are unwell; then, once more, those that a ramp did
        not let in.
        """
        unwell = []
        for target in filterfalse(met.__contains__, self._all()):
            standing = self._rules.standings.of(target)
            if reason := self._why_not(target, standing):
                self._call.history.append(Attempt(target, skipped=reason))
            elif self._rules.may_ask(target):
                yield target
            else:
                unwell.append(target)
                self._call.history.append(Attempt(target, skipped=UNWELL))
        yield from unwell
        yield from self._deferred

    def _all(self) -> Iterator[Target]:
        """Those of the plan in the order of its strategy, then, when they have failed, the others."""
        plan, rules, before = self._plan, self._rules, list[Target]()
        if len(plan.targets) == 1:
            if not self._only_has_failed:
                yield from (before := self._abler())
                yield from plan.targets
        else:
            options = [self._option(target, weight) for target, weight in zip(plan.targets, plan.weights, strict=True)]
            key = conversation(self._call) if plan.strategy == "sticky" else ""
            weighed = [option.target for option in order(plan.strategy, options, key, random.random)]
            if not self._call.weighed:  # a stream that is resumed weighs them once more
                self._call.strategy, self._call.weighed = plan.strategy, weighed
            yield from weighed
        yield from filterfalse(before.__contains__, rules.planner.others(plan, self._pass_over))

    def _abler(self) -> list[Target]:
        """Those that have the model as well and can do what the one that its name means cannot."""
        plan, rules = self._plan, self._rules
        reason, only = lacks(self._call, plan), plan.targets[0]
        if not reason:
            return []
        same = [target for target in rules.planner.others(plan) if target.model == only.model]
        found = [target for target in same if not self._why_not(target, rules.standings.of(target))]
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
        rules, by_cost = self._rules, self._plan.strategy == "least_cost"
        cost = rules.estimate(self._call, target) if by_cost else None
        return Option(target, repr(target), weight, cost, rules.standings.of(target).latency)

    def _why_not(self, target: Target, standing: Standing) -> str:
        """Why a target is passed over; "" where it is not. The only one of a plan never is, unless it rests."""
        if standing.breaker.rest:
            return RESTS
        is_only = self._is_only(target)
        if not allows(self._call.key, target.adapter.name, target.model):
            return "" if is_only else NOT_ALLOWED
        if is_only:
            return ""
        return lacking(self._call.envelope, target.adapter.abilities(target.model))

    def _is_only(self, target: Target | None) -> bool:
        """Is it the one that the model's name means, and no target of a route, or one that stands in?"""
        return len(self._plan.targets) == 1 and target is self._plan.targets[0]

    def _may_go_on(self, error: GatewayError) -> bool:
        """May another target be asked after this?"""
        if isinstance(error, OverBudget):  # once one has failed, whoever can be afforded may stand in for it
            return error.cheaper or len(self._failures) > 1
        if isinstance(error, Unrepresentable):
            return not self._is_only(self._call.target) or len(self._failures) > 1
        return self._verdict(error).elsewhere and monotonic() < self._until and self._call.has_time()

    def _verdict(self, error: GatewayError) -> Verdict:
        return verdict(error, self._rules.retry.retryable_errors, time())

    async def _ask(self, target: Target, standing: Standing, failed: GatewayError | None) -> Reply:
        """One target, as often as is allowed. Raises GatewayError."""
        call, rules, tries = self._call, self._rules, 0
        said = self._later.due(target)
        call.may_wait = said is not None or not self._is_route
        if said is not None and said.ahead is None:
            failed = said  # the pause that it asks for is still to come
        while True:
            call.target, call.is_named = target, self._plan.is_named and self._is_only(target)
            if failed is None:
                try:
                    return await self._once(standing, again=tries > 0 and self._is_alone(target))
                except GatewayError as error:
                    failed = unwound(error)
            if failed.ahead is not None:
                raise failed
            if self._may_go_on(failed):
                await call.timed(self._load_others())
            if is_unasked(failed) and standing.breaker.state == "ramp":
                self._deferred.append(target)
            pause = self._pause(failed, target, tries)
            if pause is None:
                raise failed
            await call.timed(rules.sleep(pause))
            failed, tries = None, tries + 1

    def _is_alone(self, target: Target) -> bool:
        """Could nobody else be asked? Then two requests that are retried must not be enough for it to be left alone."""
        others = filterfalse(target.__eq__, chain(self._plan.targets, self._rules.planner.others(self._plan)))
        return all(self._why_not(one, self._rules.standings.of(one)) for one in others)

    async def _once(self, standing: Standing, again: bool) -> Reply:
        """Ask `call.target`; if this is the first attempt, and it is silent for long, another one beside it."""
        call, rules = self._call, self._rules
        after = None if rules.hedging is None or call.attempts else rules.hedging.after(call, standing)
        asking = rules.attempt(call, self._handler, standing, call.target in self._deferred, again)
        if after is None or rules.hedging is None:
            return await asking
        race = Race(call, self._load_others, self._hedge, self._may_go_on, rules.hedging.counts)
        return await race.run(asking, after)

    async def _load_others(self) -> None:
        with suppress(TimeoutError):  # whoever has not answered by then is not asked
            await self._call.in_time(self._rules.planner.load_others(self._plan, self._rules.is_well))

    def _hedge(self) -> tuple[Trial, Asking] | None:
        """The next target, if it may be asked now."""
        hedging, target = self._rules.hedging, next(self._left, None)
        if hedging is None or target is None:
            return None
        trial = Trial(self._call, target)
        has_time = monotonic() < self._until and trial.call.has_time()
        is_able = not (self._is_only(target) and lacks(self._call, self._plan))
        if has_time and is_able and self._rules.may_ask(target) and hedging.may(trial.call):
            return trial, self._beside(trial.call, target)
        self._left = chain((target,), self._left)
        return None

    async def _beside(self, call: Call, target: Target) -> Reply:
        """Raises GatewayError. A target that was not sent anything still has its turn when the first one fails."""
        try:
            return await self._rules.attempt(call, self._handler, self._rules.standings.of(target))
        except GatewayError:
            if not call.asked:
                self._left = chain((target,), self._left)
            raise

    def _pause(self, error: GatewayError, target: Target, tries: int) -> float | None:
        """Seconds until the same target may be asked again; None where it is not to be."""
        if not isinstance(error, UpstreamError) or self._rules.standings.of(target).breaker.rest:
            return None
        if error.code in _SOONER_ELSEWHERE and self._has_next():
            return None
        rules, call = self._rules, self._call
        said = self._verdict(error)
        if error.of_key and target.adapter.has_other_key(target.model):
            # Another key has none of this one's troubles: it is no retry, and each key is refused only once.
            return 0.0 if monotonic() < self._until and call.has_time() else None
        if not said.again or (said.wait or 0.0) > rules.retry.max_delay:
            return None
        pause = rules.backoff.wait(tries, said.wait)
        if tries >= rules.retry.max_retries or monotonic() + pause >= self._until or not call.has_time(pause):
            return None
        if (said.wait or isinstance(error, Busy)) and self._may_come_later(target):
            self._later.put_off(target, error)  # first whoever may be free
            return None
        return pause if rules.budget.may_retry() else None

    def _may_come_later(self, target: Target) -> bool:
        """Is it one of a route's that has not been put off yet, and is there somebody to ask before it?"""
        return self._is_route and self._later.due(target) is None and (self._has_next() or bool(self._later))

    def _has_next(self) -> bool:
        target = next(self._left, None)
        if target is not None:
            self._left = chain((target,), self._left)
        return target is not None

    def _final_error(self) -> GatewayError:
        return self._failures.final(self._plan.targets[0], self._rules.standings)


def lacks(call: Call, plan: Plan) -> str:
    """What the only target of a plan is known to be unable to do for this call, where others may have the model."""
    target = plan.targets[0]
    return unable(call.envelope, target.adapter.abilities(target.model)) if plan.may_lack else ""
