"""Whom do we ask, and whom next?

    first target --answered--> its reply
          |  `again`: after a pause, as often as may be, the same one once more
          |  `elsewhere`: the next one that can serve it and is not resting
          +--nobody left--> what the first one said

All of it before the first byte has reached the client: a stream counts as answered with its first event that says
something, and what breaks after that is told in the client's own words. Which error means what `retries` says, whom
there is to ask `plan`, in which order `balance`, and who is resting each target's own breaker.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from math import ceil
from time import monotonic, time

from proxy.attempts import attempt
from proxy.balance import Option, order
from proxy.config import Retry
from proxy.errors import Down, GatewayError, OverBudget, Unrepresentable, UpstreamError
from proxy.lanes.asking import timed
from proxy.needs import lacking
from proxy.plan import Plan, Planner
from proxy.ports import Attempt, Call, Handler, Reply, Target
from proxy.retries import Backoff, RetryBudget, Verdict, verdict
from proxy.rights import allows
from proxy.standing import Standing, Standings
from proxy.sticking import conversation

RESTING = "target_resting"
SICK = frozenset({"server_error", "network_error", "timeout"})  # kinds of error that say that a target is not well

Cost = Callable[[Call, Target], int | None]  # nano-dollars that it may take there; None: nobody knows


class Failover:
    """`deadline`: seconds after which no attempt is begun. `is_well`: what the health checks say of a provider."""

    def __init__(
        self,
        planner: Planner,
        standings: Standings,
        retry: Retry,
        deadline: float,
        cost: Cost,
        is_well: Callable[[str], bool],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.planner = planner
        self.standings = standings
        self.retry = retry
        self.deadline = deadline
        self.cost = cost
        self.is_well = is_well
        self.sleep = sleep
        self.budget = RetryBudget(retry.budget, clock=monotonic)
        self.backoff = Backoff(retry.initial_delay, retry.backoff_factor, retry.max_delay, random.random)

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises UnknownModel, and what the targets raise."""
        self.budget.asked()
        plan = self.planner.known(call.model)
        if plan is None:
            plan = await timed(call, self.planner.first(call.model))
        if len(plan.targets) > 1 or not self.is_well(plan.targets[0].adapter.name):
            return await _Way(self, call, handler, plan).go()
        call.target = plan.targets[0]  # nearly every call's way is no longer than this
        standing = self.standings.of(call.target)
        try:
            return await self.attempt(call, handler, standing)
        except GatewayError as error:
            failed = error
        return await _Way(self, call, handler, plan).go(failed)

    async def attempt(self, call: Call, handler: Handler, standing: Standing) -> Reply:
        """Ask `call.target` once, and learn from it how it stands. Raises GatewayError."""
        ticket = standing.breaker.allow()
        if not ticket:
            raise _resting(standing)
        latency = standing.latency
        latency.in_flight += 1
        try:
            reply = await attempt(call, handler)
        except BaseException as error:
            _ended(standing, ticket, error)
            call.history.append(_note(call, standing.target, error))
            raise
        latency.observe(call.headed - call.began)
        call.history.append(_note(call, standing.target, None))
        if isinstance(reply.body, bytes):
            _ended(standing, ticket, None)
        else:
            reply.endings.append(partial(_ended, standing, ticket))
        return reply


class _Way:
    """One call's way through its targets."""

    def __init__(self, rules: Failover, call: Call, handler: Handler, plan: Plan) -> None:
        self._rules = rules
        self._call = call
        self._handler = handler
        self._plan = plan
        self._until = call.started + rules.deadline
        self._timeout = call.timeout
        self._errors: list[tuple[GatewayError, Target]] = []
        self._is_begun = False  # the only target has failed before

    async def go(self, failed: GatewayError | None = None) -> Reply:
        """`failed`: how the only target has failed already. Raises what the first one did, where nobody answers."""
        if failed is not None and failed.code != RESTING:
            self._is_begun = True
            if reply := await self._answer(self._plan.targets[0], failed):
                return reply
        for target in self._candidates():
            if reply := await self._answer(target):
                return reply
        raise self._said()

    async def _answer(self, target: Target, failed: GatewayError | None = None) -> Reply | None:
        """None where the next one is to be asked. Raises GatewayError where nobody is."""
        try:
            return await self._ask(target, self._rules.standings.of(target), failed)
        except GatewayError as error:
            self._errors.append((error, target))
            if not self._may_go_on(error):
                raise self._said() from None
        return None

    def _candidates(self) -> Iterator[Target]:
        """Those that can serve it and do not rest, the ones that are unwell behind the others."""
        unwell = []
        for target in self._all():
            standing = self._rules.standings.of(target)
            if reason := self._why_not(target, standing):
                self._call.history.append(Attempt(target, skipped=reason))
            elif self._rules.is_well(target.adapter.name):
                yield target
            else:
                unwell.append(target)
        yield from unwell

    def _all(self) -> Iterator[Target]:
        """Those of the plan in the order of its strategy, then, when they have failed, the others."""
        plan, rules = self._plan, self._rules
        if len(plan.targets) == 1:
            yield from [] if self._is_begun else plan.targets
        else:
            options = [self._option(target, weight) for target, weight in zip(plan.targets, plan.weights, strict=True)]
            key = conversation(self._call) if plan.strategy == "sticky" else ""
            yield from (option.target for option in order(plan.strategy, options, key, random.random))
        yield from rules.planner.others(plan)

    def _option(self, target: Target, weight: int) -> Option[Target]:
        rules, by_cost = self._rules, self._plan.strategy == "least_cost"
        cost = rules.cost(self._call, target) if by_cost else None
        return Option(target, repr(target), weight, cost, rules.standings.of(target).latency)

    def _why_not(self, target: Target, standing: Standing) -> str:
        """Why a target is passed over; "" where it is not. The only one that there is must do."""
        if standing.breaker.retry_at is not None:
            return "resting"
        if not allows(self._call.key, target.adapter.name, target.model):
            return "not allowed" if self._errors or len(self._plan.targets) > 1 else ""
        if not self._errors and len(self._plan.targets) == 1:
            return ""
        return lacking(self._call.envelope, target.adapter.abilities(target.model))

    def _may_go_on(self, error: GatewayError) -> bool:
        """May another target be asked after this?"""
        if isinstance(error, OverBudget):
            return error.cheaper
        if isinstance(error, Unrepresentable):
            return len(self._plan.targets) > 1 or len(self._errors) > 1
        return self._verdict(error).elsewhere and monotonic() < self._until

    def _verdict(self, error: GatewayError) -> Verdict:
        return verdict(error, self._rules.retry.retryable_errors, time())

    async def _ask(self, target: Target, standing: Standing, failed: GatewayError | None) -> Reply:
        """One target, as often as may be. Raises GatewayError."""
        call, rules, tries = self._call, self._rules, 0
        while True:
            call.target = target
            if failed is None:
                try:
                    return await rules.attempt(call, self._handler, standing)
                except GatewayError as error:
                    failed = error
            pause = self._pause(failed, target, tries)
            if pause is None:
                raise failed
            await timed(call, rules.sleep(pause))
            failed, tries = None, tries + 1

    def _pause(self, error: GatewayError, target: Target, tries: int) -> float | None:
        """Seconds until the same target may be asked again; None where it is not to be."""
        if not isinstance(error, UpstreamError) or self._rules.standings.of(target).breaker.retry_at is not None:
            return None
        rules, call = self._rules, self._call
        said = self._verdict(error)
        if target.adapter.has_other_key(target.model) and error.kind in (
            "authentication",
            "rate_limit",
            "quota_exceeded",
        ):
            pause = 0.0  # another key of the provider's knows nothing of this one's troubles
        elif not said.again or (said.wait or 0.0) > rules.retry.max_delay:
            return None
        else:
            pause = rules.backoff.wait(tries, said.wait)
        if tries >= rules.retry.max_retries or monotonic() + pause >= self._until or not self._has_time(call, pause):
            return None
        return pause if rules.budget.may_retry() else None

    def _has_time(self, call: Call, pause: float) -> bool:
        """Is there any left of what the client gave us, after such a pause? Then the next attempt has as much."""
        if self._timeout is None:
            return True
        call.timeout = self._timeout - (monotonic() + pause - call.started)
        return call.timeout > 0

    def _said(self) -> GatewayError:
        if not self._errors:
            self._call.target = self._plan.targets[0]
            return _resting(self._rules.standings.of(self._call.target))
        error, self._call.target = self._errors[0]
        return error


def _ended(standing: Standing, ticket: int, error: BaseException | None) -> None:
    """What a provider refuses it has answered; of what we broke off nobody knows."""
    standing.latency.in_flight -= 1
    if error is None or (isinstance(error, UpstreamError) and error.kind not in SICK):
        standing.breaker.succeeded(ticket)
    elif isinstance(error, UpstreamError):
        standing.breaker.failed(ticket)
    else:
        standing.breaker.let_go(ticket)


def _note(call: Call, target: Target, error: BaseException | None) -> Attempt:
    first_byte = call.headed - call.began if call.headed else 0.0
    code = error.code if isinstance(error, GatewayError) else type(error).__name__ if error else ""
    return Attempt(target, call.attempts, monotonic() - call.began, first_byte, code)


def _resting(standing: Standing) -> Down:
    """Nobody was asked: it counts as no attempt."""
    name = standing.target.adapter.name
    wait = max(1, ceil((standing.breaker.retry_at or 0.0) - monotonic()))
    return Down(
        f"{name} has failed too often, and is left alone for {wait} s.",
        status=503,
        code=RESTING,
        provider=name,
        headers=[("retry-after", str(wait))],
    )
