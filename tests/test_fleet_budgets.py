"""Does a fleet never spend more than its budgets, whatever becomes of the store, and does what is left come back?"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import time
from time import time as time_of_day
from typing import Any

import pytest

from proxy.budgets import Alert, Budgets, Leases, Reservation
from proxy.budgets.leased import Leased
from proxy.config import Budget, Secret
from proxy.errors import OverBudget
from proxy.fleet import Fleet, StoreUnavailable
from proxy.store import redis as store
from tests import laws
from tests.redisserver import Server, redis
from tests.waiting import soon

NANOS = 10**9
ME = ("ann", "echo", "m")
PATIENCE = 10.0  # seconds: a machine that has more to do than to run this is no store that is away
SHORT = 0.035  # seconds, as in the field
KEY = "pillion:1:budget:b:total::"


class Sidecar:
    """As far as budgets go."""

    def __init__(self, server: Server, rows: Mapping[str, Budget]) -> None:
        self.fleet = Fleet()
        self.leases = Leases(self.fleet)
        self.told: list[Any] = []
        self.budgets = Budgets(rows, lambda: time(), self.told.append, self.leases.counter)
        self.store = store.Redis(Secret(server.url), self.fleet)
        self.spent = 0

    @property
    def counter(self) -> Leased:
        counter = self.budgets.counters(*ME)[0]
        assert isinstance(counter, Leased)
        return counter

    async def reserve(self, bound: int | None) -> Reservation:
        await self.leases.provide(self.budgets.counters(*ME), bound)
        return self.budgets.reserve(*ME, bound)

    async def spend(self, bound: int, cost: int) -> None:
        held = await self.reserve(bound)
        await asyncio.sleep(0)
        self.budgets.settle(held, cost)
        self.spent += cost

    async def die(self) -> None:
        """Without a word, as one does that is killed."""
        self.fleet.line.clear()
        self.fleet.is_up = False
        await self.store.close()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
    monkeypatch.setattr("proxy.store.redis.BEAT", 0.2)
    async with redis() as server:
        yield server


@asynccontextmanager
async def sidecar(server: Server, usd: float = 1, mode: Any = "strict", **terms: Any) -> AsyncIterator[Sidecar]:
    one = Sidecar(server, {"b": Budget(usd=usd, mode=mode, window=terms.pop("window", "total"), **terms)})
    await one.store.open()
    try:
        yield one
    finally:
        one.leases.give_back()
        await one.store.close()


async def numbers(server: Server) -> tuple[int, int]:
    """What the store says that all have spent, and own."""
    spent, owned = await server.do("HMGET", KEY, "spent", "owned")
    return int(spent), int(owned)


@pytest.mark.parametrize("seed", range(laws.share("fleets that spend a budget", 40, 1)))
@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_a_fleet_spends_what_there_is_and_no_more(server: Server, seed: int, mode: str) -> None:
    dice = random.Random(seed)
    dearest = 30 * 10**6
    async with sidecar(server, mode=mode) as one, sidecar(server, mode=mode) as two, sidecar(server, mode=mode) as six:
        fleet = [one, two, six]

        async def run(mate: Sidecar) -> None:
            for _ in range(60):
                bound = dice.randrange(1, dearest)
                try:
                    await mate.spend(bound, dice.randrange(bound + 1))
                except OverBudget:
                    await asyncio.sleep(0)

        await asyncio.gather(*(run(mate) for mate in fleet for _ in range(4)))
        for mate in fleet:
            mate.leases.report()
            mate.leases.report()
        spent = sum(mate.spent for mate in fleet)
        assert spent <= NANOS + (dearest if mode == "lenient" else 0)
        assert spent > NANOS - 4 * 3 * dearest  # nor is much refused that could be paid
    assert await numbers(server) == (spent, spent)


async def test_what_one_needs_another_can_have_once_it_is_given_back(server: Server) -> None:
    async with sidecar(server) as one, sidecar(server) as two:
        held = await one.reserve(NANOS)
        with pytest.raises(OverBudget, match="Other sidecars of the fleet hold"):
            await two.reserve(NANOS // 2)
        one.budgets.settle(held, NANOS // 4)
        one.leases.report()
        one.leases.report()
        await soon(lambda: one.counter.told == (NANOS // 4, 0))  # the store has the rest back
        await two.spend(NANOS // 2, NANOS // 2)
        with pytest.raises(OverBudget):
            await one.reserve(NANOS // 2)
    assert await numbers(server) == (NANOS * 3 // 4, NANOS * 3 // 4)


async def test_who_comes_later_counts_what_was_spent_before(server: Server) -> None:
    async with sidecar(server) as one:
        await one.spend(NANOS, 7 * NANOS // 10)
    assert await server.do("PTTL", KEY) == -1  # a total is kept for ever
    async with sidecar(server) as two:
        await soon(lambda: two.budgets.statements()[0].spent == 7 * NANOS // 10)
        with pytest.raises(OverBudget, match=r"0\.3 of its 1 dollars left"):
            await two.reserve(NANOS // 2)
        await two.spend(3 * NANOS // 10, 0)


async def test_lenient_lets_one_request_cross_the_line_in_the_whole_fleet(server: Server) -> None:
    async with sidecar(server, mode="lenient") as one, sidecar(server, mode="lenient") as two:
        await one.spend(NANOS, 9 * NANOS // 10)
        one.leases.report()
        one.leases.report()
        held = await two.reserve(NANOS)
        for mate in (one, two):
            with pytest.raises(OverBudget):
                await mate.reserve(NANOS)
        two.budgets.settle(held, NANOS)
        assert one.spent + NANOS == 19 * NANOS // 10


async def test_lenient_refuses_nothing_for_what_the_one_that_asks_holds_itself(server: Server) -> None:
    async with sidecar(server, mode="lenient") as one, sidecar(server, mode="lenient") as two:
        for _ in range(4):  # each may cost more than all that there is, and costs a fifth
            await one.spend(2 * NANOS, NANOS // 5)
        with pytest.raises(OverBudget):  # for what the other one may still spend
            await two.reserve(2 * NANOS)
        await one.spend(2 * NANOS, NANOS // 5)
        for mate in (one, two):
            with pytest.raises(OverBudget):
                await mate.reserve(1)


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_what_others_spend_while_one_waits_for_another_budgets_lease_is_leased_anew(
    server: Server, mode: Any
) -> None:
    rows = {
        "all": Budget(usd=1, window="total", mode=mode),
        "each": Budget(usd=1, window="total", mode=mode, client="*"),
    }
    one = Sidecar(server, rows)
    await one.store.open()

    async def reserve(client: str, bound: int) -> Reservation:
        await one.leases.provide(one.budgets.counters(client, "echo", "m"), bound)
        return one.budgets.reserve(client, "echo", "m", bound)

    try:
        one.budgets.settle(await reserve("ann", NANOS // 10), 0)  # so that there is enough for each of Bob's, by itself
        await asyncio.gather(*(reserve("bob", NANOS // 20) for _ in range(12)))
    finally:
        await one.die()


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_a_no_is_for_all_that_waited_for_it(server: Server, mode: Any) -> None:
    async with sidecar(server, mode=mode) as one, sidecar(server, mode=mode) as two:
        await two.spend(1, 1)
        held = await one.reserve(NANOS - 1)
        asked = two.counter.number
        heard = await asyncio.gather(*(two.reserve(NANOS // 2) for _ in range(20)), return_exceptions=True)
        assert [type(each) for each in heard] == [OverBudget] * 20
        assert two.counter.number - asked <= 3  # beats may come between
        one.budgets.settle(held, 0)
        one.leases.report()
        one.leases.report()
        await soon(lambda: one.counter.told == (0, 0))  # the store has it back
        await two.reserve(NANOS // 2)  # it is asked again


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_what_has_no_bound_wants_a_cap(server: Server, mode: str) -> None:
    async with sidecar(server, mode=mode) as one:
        with pytest.raises(OverBudget, match="one that a fleet shares, refuses such a request unless `unbounded_usd`"):
            await one.reserve(None)
    async with sidecar(server, mode=mode, unbounded_usd=0.4) as two:
        await two.reserve(None)
        await two.reserve(None)


async def test_what_costs_nothing_goes_on_also_where_more_was_spent_than_leased() -> None:
    """Nobody asks for a lease of nothing, and so nobody waits for a store that is away."""
    leases = Leases(Fleet())
    told: list[Alert] = []
    budgets = Budgets({"b": Budget(usd=1)}, time, told.append, leases.counter)
    budgets.count(*ME, 20)  # of which nothing was leased
    counters = budgets.counters(*ME)
    with pytest.raises(StoreUnavailable):
        await leases.provide(counters, 1)
    await leases.provide(counters, 0)
    budgets.settle(budgets.reserve(*ME, 0), 0)


async def test_what_a_strict_budget_can_never_pay_no_store_is_asked_for() -> None:
    """The client hears that it is too dear also while the store is away, and not that it is to come again."""
    leases = Leases(Fleet())
    budgets = Budgets({"b": Budget(usd=1)}, time, lambda _: None, leases.counter)
    await leases.provide(budgets.counters(*ME), NANOS + 1)
    with pytest.raises(OverBudget, match="more than the whole budget"):
        budgets.reserve(*ME, NANOS + 1)


async def test_what_one_held_when_it_was_killed_nobody_spends(server: Server) -> None:
    async with sidecar(server) as one, sidecar(server) as two:
        await two.reserve(NANOS // 10)
        await two.die()
        stranded = (await numbers(server))[1]
        assert NANOS // 10 <= stranded <= NANOS // 4 + NANOS // 10
        await one.spend(NANOS - stranded, NANOS - stranded)
        with pytest.raises(OverBudget):
            await one.reserve(1)


async def test_without_the_store_a_sidecar_spends_its_lease_and_then_says_why_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sidecar(server) as one:
        held = await one.reserve(NANOS // 2)
        one.budgets.settle(held, NANOS // 10)
        monkeypatch.setattr("proxy.store.redis.PATIENCE", SHORT)
        server.stop()
        lease = one.counter
        await soon(lambda: not one.fleet.is_up)
        left = lease.lease - NANOS // 10
        assert left > 0
        await one.spend(left, left)
        with pytest.raises(StoreUnavailable, match="`store`, which cannot be reached") as caught:
            await one.reserve(1)
        assert caught.value.status == 503
        assert dict(caught.value.headers)["retry-after"] == "1"
        await one.reserve(0)  # what costs nothing goes on
        monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
        monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
        server.go_on()
        await soon(lambda: one.fleet.is_up)
        await one.spend(NANOS // 10, NANOS // 10)
        spent = one.spent + NANOS // 10
    assert await numbers(server) == (spent, spent)


@pytest.mark.parametrize("how", ["emptied", "another"])
async def test_who_has_nothing_to_report_tells_a_store_again_that_has_lost_all(
    server: Server, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was emptied is the same, on the same connection, and two has no reason of its own to write to it."""
    monkeypatch.setattr("proxy.budgets.leases.QUIET", 1000)
    async with sidecar(server) as one, sidecar(server) as two:
        await one.spend(NANOS // 4, NANOS // 4)
        await two.spend(NANOS // 2, NANOS // 2)

        async def is_told() -> bool:
            told = [each.counter.told == (each.counter.used, 0) for each in (one, two)]
            return all(told) and await numbers(server) == (NANOS * 3 // 4, NANOS * 3 // 4)

        await soon(is_told)
        await asyncio.sleep(0.5)  # for two beats, after which both have met the store
        if how == "emptied":
            await server.do("FLUSHALL")
        else:
            await server.kill()
            await soon(lambda: not one.fleet.is_up and not two.fleet.is_up)
            await server.start()
            await soon(lambda: one.fleet.is_up and two.fleet.is_up)
        with pytest.raises(StoreUnavailable, match="has restarted"):
            await one.reserve(NANOS // 5)
        await soon(is_told)
        await asyncio.sleep(1)
        with pytest.raises(OverBudget):
            await one.reserve(NANOS // 2)
        one.budgets.settle(await one.reserve(NANOS // 5), 0)
    told = [record for record in caplog.records if getattr(record, "event", "") == "store_anew"]
    assert len(told) == 2


async def test_a_store_that_has_lost_all_learns_it_again_before_it_leases(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.budgets.leases.QUIET", 1000)
    async with sidecar(server) as one, sidecar(server) as two:
        await one.spend(NANOS // 2, NANOS // 2)
        held = await two.reserve(NANOS // 4)
        await soon(lambda: not one.fleet.line and one.fleet.run and two.fleet.run)
        await server.kill()
        await soon(lambda: not one.fleet.is_up and not two.fleet.is_up)
        await server.start()
        await soon(lambda: one.fleet.is_up)
        with pytest.raises(StoreUnavailable, match="has restarted"):
            await one.reserve(NANOS // 2)
        await soon(lambda: two.fleet.is_up)
        two.budgets.settle(held, NANOS // 4)

        async def may() -> bool:
            try:
                one.budgets.settle(await one.reserve(NANOS // 5), 0)
            except StoreUnavailable:
                return False
            return True

        await soon(may)
        with pytest.raises(OverBudget):
            await one.reserve(NANOS // 2)
        await soon(lambda: not one.fleet.line and not two.fleet.line)
    assert await numbers(server) == (3 * NANOS // 4, 3 * NANOS // 4)


async def test_an_older_report_that_comes_late_changes_nothing(server: Server) -> None:
    async with sidecar(server) as one:
        await one.spend(NANOS // 2, NANOS // 2)
        one.leases.report()
        await soon(lambda: one.counter.told is not None and one.counter.told[0] == NANOS // 2)
        told = one.counter
        told.number -= 2
        told.used -= NANOS // 4
        one.leases.report()
        assert (await numbers(server))[0] == NANOS // 2
        told.number += 2
        told.used += NANOS // 4


async def test_a_lease_that_a_report_has_overtaken_is_none(server: Server) -> None:
    async with sidecar(server) as one:
        await one.spend(NANOS // 10, NANOS // 20)
        await soon(lambda: not one.fleet.line)
        task = asyncio.ensure_future(one.reserve(NANOS // 2))
        await asyncio.sleep(0)
        assert one.fleet.line
        one.leases.report()
        held = await task
        counter = one.counter
        assert (await numbers(server))[1] == counter.lease
        one.budgets.settle(held, 0)


async def test_who_leaves_while_more_is_leased_takes_nothing_along(server: Server) -> None:
    async with sidecar(server) as one:
        for turns in range(4):
            task = asyncio.ensure_future(one.reserve(NANOS))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                one.budgets.settle(task.result(), 0)
            one.budgets.settle(await one.reserve(NANOS), 0)
    assert await numbers(server) == (0, 0)


async def test_a_budget_that_goes_and_comes_back_counts_on(server: Server) -> None:
    async with sidecar(server) as one:
        await one.spend(NANOS // 2, NANOS // 2)
        one.budgets.become({}, ())
        one.budgets.become({"b": Budget(usd=2, mode="strict", window="total")}, ())
        await one.spend(3 * NANOS // 2, 3 * NANOS // 2)
        with pytest.raises(OverBudget):
            await one.reserve(1)


async def test_a_last_word_that_is_on_its_way_when_the_store_is_closed_is_said_once(server: Server) -> None:
    async with sidecar(server) as one:
        await one.spend(NANOS // 2, NANOS // 4)
        one.leases.give_back()
        while one.fleet.line:  # noqa: ASYNC110  (any longer, and the answer is there)
            await asyncio.sleep(0)
    assert await server.do("HGETALL", KEY) == {"spent": str(NANOS // 4), "owned": str(NANOS // 4)}


# --- clocks that are wrong -------------------------------------------------------------------------------------------


def set_clocks(patch: pytest.MonkeyPatch, offset: float) -> None:
    for module in (__name__, "proxy.budgets.leases"):
        patch.setattr(f"{module}.time", lambda: time_of_day() + offset)


async def test_a_window_of_a_clock_that_is_years_late_is_one_for_the_fleet(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clocks are that nobody has set yet: what they call today is long over for the store."""
    set_clocks(monkeypatch, -time_of_day() + 100_000)
    async with sidecar(server, window="day") as one, sidecar(server, window="day") as other:
        await one.spend(7 * NANOS // 10, 7 * NANOS // 10)
        with pytest.raises(OverBudget):
            await other.spend(7 * NANOS // 10, 7 * NANOS // 10)


async def test_what_was_spent_before_a_clock_went_forth_and_back_counts_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sidecar(server, window="day") as one, sidecar(server, window="day") as other:
        await one.spend(NANOS // 10, NANOS // 10)
        before = one.counter
        set_clocks(monkeypatch, 3 * 86400)
        await soon(lambda: before not in one.leases._counters.values())
        set_clocks(monkeypatch, 0)
        assert one.counter is before
        await one.spend(2 * NANOS // 10, NANOS // 10)
        assert before.spent == 2 * NANOS // 10
        await soon(lambda: before.told == (before.used, 0))  # what was not used is given back
        await other.spend(NANOS // 10, 0)
        assert other.counter.spent == 2 * NANOS // 10
        await other.spend(8 * NANOS // 10, 0)
