"""Whom do we ask, and whom next?

    first target --answered--> its reply
          |  `again`: the same one once more, after a pause, as often as is allowed
          |  `elsewhere`: the next one that can serve it and is not resting
          +--nobody left--> what the first one said

All of this happens before the first byte has reached the client: a stream counts as answered with the first event that
says something, and what breaks after that is told in the client's own words. Nearly every call is answered by its first
target; the others go a longer `way`. What an error means is in `retries`, whom there is to ask in `plan`, in which
order in `balance`, and whether a target rests in its own `breaker`. While the first one is silent, the next one may be
asked beside it: `hedging`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from time import monotonic

from proxy.config import Retry
from proxy.errors import GatewayError, unwound
from proxy.failover.attempts import Tell, attempt, failed, tell_nobody
from proxy.failover.candidates import Estimate, lacks
from proxy.failover.hedging import Hedging
from proxy.failover.pacing import Backoff, RetryBudget
from proxy.failover.plan import Plan, Planner
from proxy.failover.standing import Standing, Standings
from proxy.failover.way import Way
from proxy.ports import Call, Handler, Reply, Target
from proxy.wishes import in_time


class Failover:
    """`deadline`: seconds after which no attempt is begun. `is_well`: what the health checks say of a provider.

    `hedging`: None where nobody is asked beside a target that is silent. `tell`: who hears of each that was asked.
    """

    def __init__(
        self,
        planner: Planner,
        standings: Standings,
        retry: Retry,
        deadline: float,
        estimate: Estimate,
        is_well: Callable[[str], bool],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        hedging: Hedging | None = None,
        tell: Tell = tell_nobody,
    ) -> None:
        self.planner = planner
        self.standings = standings
        self.retry = retry
        self.deadline = deadline
        self.estimate = estimate
        self.is_well = is_well
        self.sleep = sleep
        self.hedging = hedging
        self.tell = tell
        self.budget = RetryBudget(retry.budget, clock=monotonic)
        self.backoff = Backoff(retry.initial_delay, retry.backoff_factor, retry.max_delay, random.random)

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises UnknownModel, and what the targets raise; GatewayError, 504, where the client's time is over first."""
        self.budget.asked()
        plan = self.planner.known_plan(call.model, call.key)
        if plan is None:
            plan = await call.timed(in_time(call, self.planner.plan(call.model, call.key)))
        call.how = plan.how
        targets, error = plan.targets, None
        if self.hedging is not None:
            self.hedging.asked()
        elif len(targets) == 1 and self.may_ask(targets[0]) and not (plan.may_lack and lacks(call, plan)):
            call.target, call.is_named = targets[0], plan.is_named  # nearly every call's way is no longer
            try:
                return await self.attempt(call, handler, self.standings.of(targets[0]))
            except GatewayError as raised:
                error = unwound(raised)
        return await Way(self, call, handler, plan).go(error)

    def may_ask(self, target: Target) -> bool:
        """As far as we know, is its provider up, and is there a key to ask it for this model with?"""
        adapter = target.adapter
        return self.is_well(adapter.name) and adapter.may_ask(target.model)

    async def rehearse(self, call: Call) -> Plan:
        """Write into the call's history whom it would ask one after the other, if each failed, and who would be passed
        over. Nobody is asked for more than a list of models. Raises UnknownModel.
        """
        plan = await self.planner.plan(call.model, call.key)
        call.how = plan.how
        await self.planner.load_others(plan, self.is_well)
        Way(self, call, _nobody, plan).rehearse()
        return plan

    async def rest(self, call: Call, handler: Handler, met: Iterable[Target]) -> Iterator[Target]:
        """Whom it could still ask, besides those that it has `met`. Raises UnknownModel."""
        plan = await self.planner.plan(call.model, call.key)
        with suppress(TimeoutError):  # whoever has not answered by then is not asked
            await call.in_time(self.planner.load_others(plan, self.is_well))
        return Way(self, call, handler, plan, frozenset(met)).hand_over()

    async def attempt(
        self, call: Call, handler: Handler, standing: Standing, is_last: bool = False, again: bool = False
    ) -> Reply:
        """Ask `call.target` once, and learn from it how it stands. Raises GatewayError.

        `is_last` and `again` are the breaker's.
        """
        ticket = standing.breaker.allow(is_last)
        if not ticket:
            raise standing.resting()
        latency, had = standing.latency, call.attempts
        latency.in_flight += 1
        try:
            reply = await attempt(call, handler, self.tell)
        except BaseException as error:
            standing.ended(call, ticket, error, again)
            call.history.append(failed(call, standing.target, error, call.attempts if call.attempts > had else 0))
            if self.hedging is not None:
                self.hedging.heard(call, standing, error)
            raise
        latency.observe(call.headed - call.began)
        if self.hedging is not None:
            self.hedging.heard(call, standing, None)
        if isinstance(reply.body, bytes):
            standing.ended(call, ticket, None)
        else:
            standing.begun(ticket)
            reply.endings.append(partial(standing.ended, call, ticket, again=again))
        return reply


async def _nobody(call: Call) -> Reply:
    raise NotImplementedError  # in a rehearsal nobody is asked
