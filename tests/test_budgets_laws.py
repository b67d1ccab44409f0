"""Do budgets keep their law, whatever happens at once and whatever the clock does?

The figures M1 and M2 at full count; and the law of one budget, told over lists of all that was ever asked, beside the
real ones.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

from proxy.budgets import Budgets, Reservation, Spent
from proxy.config import Budget
from proxy.errors import OverBudget
from proxy.spending.money import NANOS, nanos_of
from tests.laws import SOAK
from tests.till import ME, NOON, Till, Who, affords

# --- M1 and M2 -------------------------------------------------------------------------------------------------------

ROWS = {
    "hard": Budget(usd=0.002, provider="p"),
    "tight": Budget(usd=0.0004, model="p/m-1"),
    "soft": Budget(usd=0.0006, mode="lenient", client="*", provider="q"),
}


async def test_ten_thousand_requests_500_at_a_time_are_never_over() -> None:
    chance = random.Random(5)
    till = Till(**ROWS)
    paid: defaultdict[str, list[int]] = defaultdict(list)
    requests, refused = iter(range(10_000)), 0

    async def worker() -> None:
        nonlocal refused
        for n in requests:
            bound = chance.randint(1, 3000)
            try:
                held = till.budgets.reserve(f"client-{n % 2}", "pq"[n // 2 % 2], f"m-{n // 4 % 4}", bound)
            except OverBudget:
                refused += 1
                held = None
            for _ in range(chance.randint(1, 9)):
                await asyncio.sleep(0)
            if held is not None:
                cost = chance.choice((0, chance.randint(0, bound), bound))
                till.budgets.settle(held, cost)
                for counter in held.counters:
                    paid[counter.terms.name + counter.client].append(cost)

    async with asyncio.TaskGroup() as group:
        for _ in range(500):
            group.create_task(worker())
    assert till.reserved == 0
    assert 1000 < refused < 9000
    for name, most in (("hard", 2_000_000), ("tight", 400_000)):  # and all but the last 3000 was spent
        assert most - 3000 <= sum(paid[name]) <= most
    for name in ("softclient-0", "softclient-1"):
        assert sum(paid[name]) - max(paid[name]) < 600_000 <= sum(paid[name])


def test_lenient_is_over_by_one_request_whatever_it_costs() -> None:
    for seed in range(20):
        chance, till = random.Random(seed), Till(it=Budget(usd=1, mode="lenient"))
        under_way: list[Reservation] = []
        costs: list[int] = []
        for _ in range(2000):
            bound = chance.choice((NANOS // 300, NANOS // 10, 2 * NANOS, None))
            if len(under_way) < 500 and affords(till.budgets, ME, bound):
                under_way.append(till.budgets.reserve(*ME, bound))
            elif under_way:
                costs.append(_settled(till, under_way, chance, chance.choice((0.01, 0.5, 1))))
        while under_way:
            costs.append(_settled(till, under_way, chance, 1))
        assert sum(costs) - max(costs) <= NANOS <= sum(costs)
        assert till.reserved == 0


def _settled(till: Till, under_way: list[Reservation], chance: random.Random, share: float) -> int:
    held = under_way.pop(chance.randrange(len(under_way)))
    cost = int((5 * NANOS if held.bound is None else held.bound) * share)
    till.budgets.settle(held, cost)
    return cost


def test_with_half_of_it_left_nobody_of_a_hundred_thousand_is_refused() -> None:
    chance = random.Random(7)
    till = Till(hard=Budget(usd=100), soft=Budget(usd=100, mode="lenient", client="*", window="day"))
    under_way: list[Reservation] = []
    for n in range(100_000):
        under_way.append(till.budgets.reserve("me", "openai", f"m-{n % 50}", 1_000_000))
        if len(under_way) == 500:
            chance.shuffle(under_way)
            while len(under_way) > 250:
                till.budgets.settle(under_way.pop(), chance.choice((0, 300_000, 500_000, 1_000_000)))
    for held in under_way:
        till.budgets.settle(held, 0)
    assert till.reserved == 0
    assert 40 * NANOS < till.spent("hard") < 50 * NANOS


# --- the law, over lists ---------------------------------------------------------------------------------------------

LIMITED = {
    "strict": Budget(usd=4e-7, window="day", model="p/one"),
    "strict-each": Budget(usd=4e-7, client="*", model="p/two", unbounded_usd=5e-8),
    "lenient": Budget(usd=3e-7, window="day", mode="lenient", model="p/three", alert=0.5),
    "lenient-each": Budget(usd=3e-7, window="total", client="*", mode="lenient", model="p/four"),
    "lenient-capped": Budget(usd=2e-6, client="me", mode="lenient", unbounded_usd=1e-7),
}
MOVES = (1, 60, 3600, 86400, 3 * 86400)


class Asked:
    """One request, for ever."""

    def __init__(self, at: float, who: Who, bound: int | None) -> None:
        self.at = at
        self.who = who
        self.bound = bound
        self.cost: int | None = None  # once it is settled

    def share(self, row: Budget) -> float:
        """What of a budget is lost to it, as far as anybody knows."""
        if self.cost is not None:
            return self.cost
        return self.most(row)

    def most(self, row: Budget) -> float:
        if self.bound is not None:
            return self.bound
        return inf if row.unbounded_usd is None else nanos_of(str(row.unbounded_usd))

    def falls_under(self, row: Budget, client: str, window: str) -> bool:
        mine = row.client is None or self.who[0] == client
        return mine and row.model in (None, "/".join(self.who[1:])) and window_of(row, self.at) == window


def window_of(row: Budget, at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC)}"[: {"day": 10, "month": 7, "total": 0}[row.window]]


def may(row: Budget, bound: int | None, others: list[Asked]) -> bool:
    """The law."""
    limit, shares = nanos_of(str(row.usd)), [asked.share(row) for asked in others]
    amount = Asked(0, ME, bound).most(row)
    if bound == 0:
        return True
    if row.mode == "strict":
        return sum(shares) + amount <= limit
    if inf in shares:
        return sum(share for share in shares if share < inf) + amount <= limit
    return sum(shares) < limit


class Law(RuleBasedStateMachine):
    under_way = Bundle("under_way")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON + 16 * 86400  # the last of October
        self.asked: list[Asked] = []
        self.told: Counter[object] = Counter()
        self.wrong: set[object] = set()  # windows in which a bound did not hold
        self._begin()

    def _begin(self) -> None:
        self.held: dict[Asked, Reservation] = {}
        self.told.clear()
        self.budgets = Budgets(LIMITED, lambda: self.now, lambda alert: self.told.update([alert._replace(spent=0)]))

    def _of(self, name: str, client: str, at: float) -> list[Asked]:
        row = LIMITED[name]
        return [asked for asked in self.asked if asked.falls_under(row, client, window_of(row, at))]

    def _scopes(self, who: Who) -> Iterator[tuple[str, Budget, str]]:
        for name, row in LIMITED.items():
            client = who[0] if row.client == "*" else row.client or ""
            if Asked(0, who, 0).falls_under(row, client, window_of(row, 0)):
                yield name, row, client

    @rule(
        target=under_way,
        client=st.sampled_from(["me", "you"]),
        model=st.sampled_from(["one", "two", "three", "four"]),
        bounds=st.lists(st.sampled_from([0, 1, 50, 100, 300, 800, None]), min_size=1, max_size=4),
    )
    def reserve(self, client: str, model: str, bounds: list[int | None]) -> MultipleResults[Asked]:
        asked = (self._reserved((client, "p", model), bound) for bound in bounds)
        return multiple(*(each for each in asked if each is not None))

    def _reserved(self, who: Who, bound: int | None) -> Asked | None:
        expected = all(may(row, bound, self._of(name, whose, self.now)) for name, row, whose in self._scopes(who))
        assert affords(self.budgets, who, bound) == expected
        try:
            held = self.budgets.reserve(*who, bound)
        except OverBudget:
            assert not expected
            return None
        assert expected
        asked = Asked(self.now, who, bound)
        self.asked.append(asked)
        self.held[asked] = held
        return asked

    @rule(asked=under_way, share=st.sampled_from([0, 0.1, 0.5, 1, 1, 1, 1.5]))
    def settle(self, asked: Asked, share: float) -> None:
        if asked not in self.held:  # settled, or before a restart
            return
        asked.cost = int((100 if asked.bound is None else asked.bound) * share)
        for name, row, client in self._scopes(asked.who):
            if asked.cost > asked.most(row):
                self.wrong.add((name, client, window_of(row, asked.at)))
        self.budgets.settle(self.held.pop(asked), asked.cost)

    @rule(seconds=st.sampled_from([0, *MOVES, *(-move for move in MOVES)]))
    def move_the_clock(self, seconds: float) -> None:
        """0: until midnight."""
        seconds = seconds or 86400 - self.now % 86400
        if abs(self.now + seconds - NOON - 16 * 86400) < 4 * 86400:
            self.now += seconds

    @rule()
    def be_killed_and_begin_again(self) -> None:
        """The ledger books what was under way at what it might have cost, and has sums by the day."""
        sums: Counter[tuple[float, Who]] = Counter()
        for asked in self.asked:
            if asked.cost is None:
                asked.cost = asked.bound or 0
            sums[asked.at // 86400 * 86400, asked.who] += asked.cost
        self._begin()
        self.budgets.restore(Spent(day, *who, nanos) for (day, who), nanos in sums.items())

    @rule()
    def look(self) -> None:
        for statement in self.budgets.statements():
            row, asked = LIMITED[statement.name], self._of(statement.name, statement.client, self.now)
            reserved = [each.share(row) for each in asked if each.cost is None]
            assert statement.spent == sum(each.cost for each in asked if each.cost is not None)
            assert statement.reserved == sum(share for share in reserved if share < inf)
            if (statement.name, statement.client, window_of(row, self.now)) not in self.wrong:
                shares = [each.share(row) for each in asked]
                over = max(shares, default=0) if row.mode == "lenient" else 0
                assert sum(sorted(shares)[: -1 if over else None]) <= statement.limit

    @invariant()
    def is_told_once(self) -> None:
        assert set(self.told.values()) <= {1}

    def teardown(self) -> None:
        for asked in list(self.held):
            self.settle(asked, 1)
        self.look()
        assert all(statement.reserved == 0 for statement in self.budgets.statements())


Law.TestCase.settings = settings(max_examples=1000 if SOAK else 60, stateful_step_count=60, deadline=None)
TestLaw = Law.TestCase
