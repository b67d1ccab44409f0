"""May the request go on now, where a whole fleet has but one limit?

The store is asked once for all that a request takes, and gives it of each limit or of none. A request that is refused
may wait here, as with a sidecar's own limits: in the order in which they came to this sidecar; between sidecars there
is no order. While the store is away, each scope is this sidecar's share, and all goes as it does without a fleet.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from proxy.config import Queue
from proxy.fleet import Answer, Asker, Fleet, heard
from proxy.limits.admission import SHORTEST, Admission, length_of, undo
from proxy.limits.gcra import SECOND
from proxy.limits.need import Need
from proxy.limits.rate import SCRIPTS, TAKE, Mark
from proxy.limits.scope import Held, Scope, What
from proxy.limits.shared import Claim, Shared

LOOK_AGAIN = 0.05  # seconds, while too many are under way: nobody tells us when one ends on another sidecar


class Taken(Held, eq=False):
    """What a request holds that the store has let pass: `told` of each scope, and its `own` of limits not shared."""

    told: Sequence[Mark | None]
    own: Held


class Denied(NamedTuple):
    """By the limit with the longest `wait`, in nanoseconds; None: nobody knows."""

    scope: Shared
    what: What
    wait: int | None


Verdict = Taken | Denied | None  # None: the store is away
Claims = Sequence[tuple[Shared, Claim]]


class FleetAdmission(Admission):
    """`clock`: nanoseconds, and it never goes back."""

    def __init__(self, queue: Queue, clock: Callable[[], int], fleet: Fleet) -> None:
        super().__init__(queue, clock)
        self._fleet = fleet
        self._gone = asyncio.Event()  # the store is, and another one stands for the next time
        fleet.scripts |= SCRIPTS
        fleet.gone.append(self._went)

    def admit(self, scopes: Sequence[Scope], need: Need) -> Held | None:
        """None also where the store must be asked."""
        if any(isinstance(scope, Shared) for scope in scopes):
            if self._fleet.is_up:
                return None
            self._fleet.fallbacks += 1
        return super().admit(scopes, need)

    async def enter(
        self, scopes: Sequence[Scope], need: Need, left: float | None = None, asker: Asker | None = None
    ) -> Held:
        shared = [scope for scope in scopes if isinstance(scope, Shared)]
        if not shared or not self._fleet.is_up:
            return await super().enter(scopes, need, left, asker)
        self._check_size(scopes, need)
        began = self._clock()
        others = [scope for scope in scopes if not isinstance(scope, Shared)]
        own = super().admit(others, need) or await super().enter(others, need, left, asker)
        held = None
        try:
            held = await self._decided(shared, need, own, left, asker)
        finally:
            if held is None:
                undo(own.scopes, need)
                self.advance(own.scopes)  # others may wait for what it held
        if held is not None:
            return held
        return super().admit(scopes, need) or await super().enter(scopes, need, self._rest(left, began), asker)

    def _rest(self, left: float | None, began: int) -> float | None:
        """The seconds that it may go on waiting."""
        patience = self._patience(left)
        return max(patience - (self._clock() - began) / SECOND, SHORTEST) if patience else left

    def leave(self, held: Held, used: int | None) -> None:
        if not isinstance(held, Taken):
            super().leave(held, used)
            return
        scopes, held.scopes = held.scopes, ()
        for scope, mark in zip(scopes, held.told, strict=False):  # strictly, there is none the second time
            assert isinstance(scope, Shared)
            scope.give_back(mark, held.need, used, self._clock())
        super().leave(held.own, used)
        self.advance(scopes)  # while the store is away, others wait for a share of what it held

    async def _decided(
        self, shared: Sequence[Shared], need: Need, own: Held, left: float | None, asker: Asker | None
    ) -> Taken | None:
        """None: the store is away, or too slow for this request. Raises OverLimit."""
        first = shared[0]
        verdict: Verdict = self._worst(_claims(shared, need))
        if not first.waiting:
            verdict = await self._asked(shared, need, own, asker)
        if isinstance(verdict, Denied) and self._patience(left):
            if first.waiting < self._queue.length:
                verdict = await self._queued(verdict, need, own, shared, left)
            else:
                verdict = self._worst(_claims(shared, need), first.waiting)
        if isinstance(verdict, Denied):
            raise self._counted(*verdict, need, left)
        return verdict

    async def _queued(
        self, denied: Denied, need: Need, own: Held, shared: Sequence[Shared], left: float | None
    ) -> Verdict:
        """In the queue of the first of its scopes."""
        first = shared[0]
        self.queued += 1
        first.waiting += 1
        try:
            async with asyncio.timeout(self._patience(left)), first.turns:
                while True:
                    await self._pause(LOOK_AGAIN if denied.wait is None else max(denied.wait / SECOND, SHORTEST))
                    verdict = await self._asked(shared, need, own)
                    if not isinstance(verdict, Denied):
                        return verdict
                    denied = verdict
        except TimeoutError:
            return denied
        finally:
            self.queued -= 1
            first.waiting -= 1

    async def _pause(self, seconds: float) -> None:
        """Not while the store is away: then there is nothing to wait for."""
        if not self._fleet.is_up:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        except TimeoutError:
            pass

    def _went(self) -> None:
        self._gone.set()
        self._gone = asyncio.Event()

    async def _asked(self, shared: Sequence[Shared], need: Need, own: Held, asker: Asker | None = None) -> Verdict:
        claims = _claims(shared, need)
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        for scope in shared:
            scope.ask()
        words = [word for _, claim in claims for word in claim.words()]
        hear = partial(self._hear, claims, need, own, verdict)
        self._fleet.tell(TAKE, [claim.key for _, claim in claims], [self._fleet.id, "may", *words], hear)
        try:
            if await heard(verdict, asker):
                return verdict.result()
            self._too_late(shared)
            return None
        except asyncio.CancelledError:
            if verdict.done() and not verdict.cancelled():  # it came in the same moment
                self._unwanted(verdict.result())
            raise

    def _too_late(self, shared: Sequence[Shared]) -> None:
        """For this request the store is as good as away."""
        self._fleet.fallbacks += 1
        now = self._clock()
        for scope in shared:
            scope.divide(now)

    def _hear(self, claims: Claims, need: Need, own: Held, waits: "asyncio.Future[Verdict]", answer: Answer) -> None:
        scopes = list(dict.fromkeys(scope for scope, _ in claims))
        for scope in scopes:
            scope.asking -= 1
        verdict = None if answer is None else self._read(claims, need, own, scopes, answer)
        if answer is None:
            self._fleet.fallbacks += 1
        if waits.done():  # whoever asked has left
            self._unwanted(verdict)
        else:
            waits.set_result(verdict)

    def _read(
        self, claims: Claims, need: Need, own: Held, scopes: Sequence[Shared], answer: Sequence[int]
    ) -> Taken | Denied:
        now, (passes, tick, *numbers) = self._clock(), answer
        marks: dict[Shared, Mark] = {}
        for (scope, claim), value, given in zip(claims, numbers[::2], numbers[1::2], strict=True):
            if claim.rate is None:
                scope.with_others = value
            else:
                claim.rate.hear(value, now)
                if claim.what == "tokens":
                    marks[scope] = Mark(value, tick, given)
        if not passes:
            return self._worst(claims)
        for scope in scopes:
            scope.enter(need, now)
        return Taken(scopes, (), need, [marks.get(scope) for scope in scopes], own)

    def _worst(self, claims: Claims, ahead: int = 0) -> Denied:
        """The limit with the longest wait, as last heard."""
        denied = [Denied(scope, claim.what, scope.wait(claim, ahead)) for scope, claim in claims]
        return max(denied, key=lambda each: length_of(each.wait))

    def _unwanted(self, verdict: Verdict) -> None:
        """Whoever asked has left: what the store has let pass is given back."""
        if isinstance(verdict, Taken):
            verdict.own = Held((), (), verdict.need)  # `enter` undoes that
            self.leave(verdict, 0)


def _claims(shared: Iterable[Shared], need: Need) -> Claims:
    return [(scope, claim) for scope in shared for claim in scope.claims(need)]
