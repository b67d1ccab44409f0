"""How often is each target asked for one call, and what becomes of the call when it fails?

The candidates one after the other. Each is asked again as often as its error allows, and while the first one is silent
another one is asked beside it. A target of a route that would have it wait, for a limit or because its provider is busy
or asks for a pause, is waited for only when nobody is left who may be free.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from time import monotonic, time
from typing import Protocol

from proxy.config import Retry
from proxy.errors import Busy, Down, GatewayError, OverBudget, Resting, Unrepresentable, UpstreamError, unwound
from proxy.failover.candidates import Candidates, Known, lacks
from proxy.failover.failures import Failures
from proxy.failover.hedging import Hedging
from proxy.failover.later import Later
from proxy.failover.pacing import Backoff, RetryBudget
from proxy.failover.plan import Plan
from proxy.failover.race import Asking, Race
from proxy.failover.retries import WAITED, Verdict, verdict
from proxy.failover.standing import RESTS, Standing
from proxy.failover.trial import Trial
from proxy.ports import Attempt, Call, Handler, Reply, Target

_SOONER_ELSEWHERE = WAITED | {Resting.code}


class Rules(Known, Protocol):
    """What all ways have in common: the middleware, as far as it is needed here."""

    retry: Retry
    deadline: float  # seconds after which no attempt is begun
    is_well: Callable[[str], bool]  # what the health checks say of a provider
    sleep: Callable[[float], Awaitable[None]]
    hedging: Hedging | None
    budget: RetryBudget
    backoff: Backoff

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
        self._is_route = len(plan.targets) > 1  # so that nobody is waited for while another one may be free
        self._later = Later()
        self._candidates = Candidates(rules, call, plan, met)

    async def go(self, failed: GatewayError | None) -> Reply:
        """`failed`: how the only target has failed already. Raises what `Failures.final` says, where nobody answers."""
        try:
            if failed is not None:
                self._candidates.only_has_failed = True
                if reply := await self._answer(self._plan.targets[0], failed):
                    return reply
            while target := self._candidates.next() or self._later.soonest():
                if reply := await self._answer(target):
                    return reply
            raise self._final_error()
        finally:
            self._call.may_wait = True
            self.hand_over()

    def hand_over(self) -> Iterator[Target]:
        """Those that are left, for somebody else to ask."""
        return self._candidates.hand_over()

    def rehearse(self) -> None:
        """Go through the targets as if each failed in a way that lets another one answer."""
        for number, target in enumerate(iter(self._candidates.next, None), start=1):
            self._call.history.append(Attempt(target, number))
            self._failures.add(Down("No provider was asked."), target)

    async def _answer(self, target: Target, failed: GatewayError | None = None) -> Reply | None:
        """None where the next target is to be asked. Raises GatewayError where none is."""
        try:
            return await self._ask(target, self._rules.standings.of(target), failed)
        except GatewayError as error:
            self._note(unwound(error), target)
            if isinstance(error, Resting):
                self._call.history.append(Attempt(target, skipped=RESTS))
            else:
                self._failures.keep_attempt(error)
            if not self._may_go_on(error):
                raise self._final_error() from None
            if isinstance(error, OverBudget) and error.cheaper:
                self._candidates.keep_cheaper(target, self._later.all())
        return None

    def _note(self, error: GatewayError, target: Target) -> None:
        if self._later.due(target) is not None:
            self._failures.replace(error, target)
            return
        self._failures.add(error, target)
        if error.ahead is not None:
            self._later.put_off(target, error)

    def _may_go_on(self, error: GatewayError) -> bool:
        """May another target be asked after this?"""
        if isinstance(error, OverBudget):  # once one has failed, whoever can be afforded may stand in for it
            return error.cheaper or len(self._failures) > 1
        if isinstance(error, Unrepresentable):
            return not self._candidates.is_only(self._call.target) or len(self._failures) > 1
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
            call.target, call.is_named = target, self._plan.is_named and self._candidates.is_only(target)
            if failed is None:
                try:
                    return await self._once(standing, again=tries > 0 and self._candidates.is_alone(target))
                except GatewayError as error:
                    failed = unwound(error)
            if failed.ahead is not None:
                raise failed
            if self._may_go_on(failed):
                await call.timed(self._load_others())
            if isinstance(failed, Resting):
                self._candidates.defer(target)
            pause = self._pause(failed, target, tries)
            if pause is None:
                raise failed
            await call.timed(rules.sleep(pause))
            failed, tries = None, tries + 1

    async def _once(self, standing: Standing, again: bool) -> Reply:
        """Ask `call.target`; if this is the first attempt, and it is silent for long, another one beside it."""
        call, rules = self._call, self._rules
        after = None if rules.hedging is None or call.attempts else rules.hedging.after(call, standing)
        asking = rules.attempt(call, self._handler, standing, call.target in self._candidates.deferred, again)
        if after is None or rules.hedging is None:
            return await asking
        race = Race(call, self._load_others, self._hedge, self._may_go_on, rules.hedging.counts)
        return await race.run(asking, after)

    async def _load_others(self) -> None:
        with suppress(TimeoutError):  # whoever has not answered by then is not asked
            await self._call.in_time(self._rules.planner.load_others(self._plan, self._rules.is_well))

    def _hedge(self) -> tuple[Trial, Asking] | None:
        """The next target, if it may be asked now."""
        hedging, target = self._rules.hedging, self._candidates.next()
        if hedging is None or target is None:
            return None
        trial = Trial(self._call, target)
        has_time = monotonic() < self._until and trial.call.has_time()
        is_able = not (self._candidates.is_only(target) and lacks(self._call, self._plan))
        if has_time and is_able and self._rules.may_ask(target) and hedging.take(trial.call):
            return trial, self._beside(trial.call, target)
        self._candidates.put_back(target)
        return None

    async def _beside(self, call: Call, target: Target) -> Reply:
        """Raises GatewayError. A target that was not sent anything still has its turn when the first one fails."""
        try:
            return await self._rules.attempt(call, self._handler, self._rules.standings.of(target))
        except GatewayError:
            if not call.asked:
                self._candidates.put_back(target)
            raise

    def _pause(self, error: GatewayError, target: Target, tries: int) -> float | None:
        """Seconds until the same target may be asked again; None where it is not to be."""
        if not isinstance(error, UpstreamError) or self._rules.standings.of(target).breaker.rest:
            return None
        if error.code in _SOONER_ELSEWHERE and self._candidates.has_next():
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
        return pause if rules.budget.take() else None

    def _may_come_later(self, target: Target) -> bool:
        """Is it one of a route's that has not been put off yet, and is there somebody to ask before it?"""
        return self._is_route and self._later.due(target) is None and (self._candidates.has_next() or bool(self._later))

    def _final_error(self) -> GatewayError:
        return self._failures.final(self._plan.targets[0], self._rules.standings)
