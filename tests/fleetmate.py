"""How many does one sidecar of a fleet let pass?

    python -m tests.fleetmate URL LIMIT OFFERED

A process of its own, as sidecars are: it offers so many requests to the limit that the fleet shares, from sixteen
tasks, and prints how many passed, the first and the last tick of the store's clock that it heard of, and how many
requests were decided without the store.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic_ns

from proxy.access.allowance import Limits
from proxy.config import Queue, Secret
from proxy.errors import OverLimit
from proxy.fleet import Answer, Fleet, Word
from proxy.limits.fleet import Claims, Denied, FleetAdmission, Taken
from proxy.limits.need import NO_TOKENS, Need
from proxy.limits.rate import SCRIPTS
from proxy.limits.scope import Held
from proxy.limits.shared import Shared
from proxy.store import redis

TASKS = 16
PATIENCE = 10.0  # seconds: a machine that has more to do than to run this is no store that is away


def asked(fleet: Fleet, script: str, *keys: str, args: Sequence[Word] = ()) -> asyncio.Future[Answer]:
    """What the store says; None where it is away, or goes away meanwhile."""
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    fleet.tell(script, keys, args, lambda said: None if answer.done() else answer.set_result(said))
    return answer


class Mate:
    """A sidecar, as far as limits go."""

    def __init__(self, fleet: Fleet, limits: Limits, queue: Queue = Queue()) -> None:  # noqa: B008  it is frozen
        self.fleet = fleet
        self.admission = Admission(queue, fleet)
        self.scope = Shared("client", "client one", limits, fleet, monotonic_ns())
        fleet.beats.append(self._tell)
        fleet.gone.append(lambda: self.scope.divide(monotonic_ns()))

    async def ask(self, need: Need = NO_TOKENS, left: float | None = None) -> Held:
        return self.admission.admit((self.scope,), need) or await self.admission.enter((self.scope,), need, left)

    def _tell(self) -> None:
        for script, keys, words in self.scope.due(monotonic_ns()):
            self.fleet.tell(script, keys, words, lambda _: None)


class Admission(FleetAdmission):
    """Notes when the store decided."""

    def __init__(self, queue: Queue, fleet: Fleet) -> None:
        super().__init__(queue, monotonic_ns, fleet)
        self.ticks: list[int] = []

    def _read(
        self, claims: Claims, need: Need, own: Held, scopes: Sequence[Shared], answer: Sequence[int]
    ) -> Taken | Denied:
        self.ticks.append(answer[1])
        return super()._read(claims, need, own, scopes, answer)


@asynccontextmanager
async def joined(url: str) -> AsyncIterator[Fleet]:
    """A member of the fleet that shares the store there."""
    fleet = Fleet()
    fleet.scripts |= SCRIPTS  # as a sidecar has them: all is made before the store is opened
    carrier = redis.Redis(Secret(url), fleet)
    await carrier.open()
    try:
        yield fleet
    finally:
        await carrier.close()


async def offer(mate: Mate, count: int) -> int:
    """How many of so many pass."""
    passed = 0
    for _ in range(count):
        try:
            await mate.ask()
        except OverLimit:
            continue
        passed += 1
    return passed


async def main(url: str, limit: int, offered: int) -> None:
    async with joined(url) as fleet:
        mate = Mate(fleet, Limits(requests_per_minute=limit))
        passed = sum(await asyncio.gather(*(offer(mate, offered // TASKS) for _ in range(TASKS))))
        print(passed, min(mate.admission.ticks), max(mate.admission.ticks), fleet.fallbacks)


if __name__ == "__main__":
    redis.PATIENCE = PATIENCE
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
