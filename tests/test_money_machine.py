"""Do ledger, budgets and limits agree with each other and with a plain list of all that was ever asked?

The real three, the ledger on a disk, beside a model that is no more than that list: whatever is asked, settled, let go
of, reloaded, cut short and begun anew, in whatever order.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

from proxy.access.allowance import Limits
from proxy.budgets import Budgets, Reservation, Spent
from proxy.config import Budget
from proxy.config import Ledger as Wish
from proxy.errors import OverBudget
from proxy.limits.need import Need
from proxy.limits.scope import Limited
from proxy.reports.usage_report import total
from proxy.spending.money import nanos_of
from proxy.store import Ledger, Query, Row
from tests.crash import row
from tests.laws import SOAK
from tests.till import NOON

LIMITS = Limits(concurrent=3, requests_per_minute=5)
NEED = Need()
# As one configuration has them, and another: some stay, with another amount, some come and some go.
ROWS = (
    {"all": Budget(usd=9e-7, window="day"), "ann": Budget(usd=5e-7, window="total", client="ann")},
    {"all": Budget(usd=6e-7, window="day"), "each": Budget(usd=4e-7, client="*"), "it": Budget(usd=3e-7, model="p/m")},
)


class Asked:
    """One attempt, for ever. `cost`: None while it is under way; 0 as well where nobody was asked in the end."""

    def __init__(self, at: float, client: str, model: str, bound: int) -> None:
        self.at, self.client, self.model, self.bound = at, client, model, bound
        self.cost: int | None = None
        self.is_row = True

    @property
    def sum(self) -> int:
        return self.bound if self.cost is None else self.cost

    def falls_under(self, budget: Budget, client: str, window: str) -> bool:
        mine = budget.client is None or self.client == client
        return mine and budget.model in (None, f"p/{self.model}") and window_of(budget, self.at) == window


def window_of(budget: Budget, at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC)}"[: {"day": 10, "month": 7, "total": 0}[budget.window]]


class Bill:
    """What the real ones hold of an attempt that is under way."""

    def __init__(self, mark: int, held: Reservation, slot: int, row: Row) -> None:
        self.mark, self.held, self.slot, self.row = mark, held, slot, row


class Money(RuleBasedStateMachine):
    under_way = Bundle("under_way")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.now = NOON
        self.asked: list[Asked] = []
        self.bills: dict[Asked, Bill] = {}
        self.rows = 0
        self.crashed = 0
        self._begin()

    def _begin(self) -> None:
        self.budgets = Budgets(ROWS[self.rows], lambda: self.now, lambda alert: None)
        self.ledger = Ledger(self.folder, Wish(create=True), is_hard=True, clock=lambda: self.now)
        self.runner.run(self.ledger.open())
        self.budgets.restore(Spent(*each) for each in self.runner.run(self.ledger.totals()))
        self.limit, self.passed, self.debt = Limited("client", "ann", LIMITS), self.now, Fraction(0)

    # --- what the list says ---

    def _room(self, budget: Budget, client: str) -> int:
        window = window_of(budget, self.now)
        taken = sum(each.sum for each in self.asked if each.falls_under(budget, client, window))
        return nanos_of(repr(budget.usd)) - taken

    def _is_paid(self, asked: Asked) -> bool:
        for budget in ROWS[self.rows].values():
            client = asked.client if budget.client == "*" else budget.client or ""
            if asked.falls_under(budget, client, window_of(budget, self.now)) and (
                asked.bound > self._room(budget, client)
            ):
                return False
        return True

    def _may(self) -> bool:
        """A bucket that empties all the time."""
        self.debt = max(Fraction(0), self.debt - Fraction(self.now - self.passed) * 5 / 60)
        self.passed = self.now
        return len(self.bills) < 3 and self.debt + 1 <= 5

    # --- what may happen ---

    @rule(
        target=under_way,
        client=st.sampled_from(["ann", "bob"]),
        model=st.sampled_from(["m", "n"]),
        bound=st.sampled_from([1, 50, 100, 300, 800]),
    )
    def ask(self, client: str, model: str, bound: int) -> MultipleResults[Asked]:
        asked = Asked(self.now, client, model, bound)
        mark = self.limit.take(NEED, self._clock())
        assert (mark is not None) == self._may()
        if mark is None:
            return multiple()
        self.debt += 1
        try:
            held = self.budgets.reserve(client, "p", model, bound)
        except OverBudget:
            assert not self._is_paid(asked)
            self.limit.settle(mark, NEED, None, self._clock())
            return multiple()
        assert self._is_paid(asked)
        intent = self._row(asked)
        self.bills[asked] = Bill(mark, held, self.ledger.intend(intent), intent)
        self.asked.append(asked)
        return multiple(asked)

    @rule(asked=under_way, share=st.sampled_from([0, 0.5, 1]))
    def settle(self, asked: Asked, share: float) -> None:
        if (bill := self._ended(asked)) is not None:
            asked.cost = int(asked.bound * share)
            bill.row.nanos = asked.cost
            self.ledger.settle(bill.slot, bill.row)
            self.budgets.settle(bill.held, asked.cost)

    @rule(asked=under_way)
    def reach_nobody(self, asked: Asked) -> None:
        if (bill := self._ended(asked)) is not None:
            asked.cost, asked.is_row = 0, False
            self.ledger.forget(bill.slot)
            self.budgets.settle(bill.held, 0)

    @rule(seconds=st.sampled_from([1, 7, 60, 3600, 86400]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def reload(self) -> None:
        """Budgets that are new begin with what the ledger says, and with what is under way."""
        self.rows = 1 - self.rows
        spent = [Spent(*each) for each in self.runner.run(self.ledger.reckoned())]
        self.budgets.become(ROWS[self.rows], spent)

    @rule()
    def be_cut_short_and_begin_again(self) -> None:
        """What was under way is booked at what it might have cost."""
        self.runner.run(self.ledger.close())
        for asked in self.bills:
            asked.cost = asked.bound
        self.crashed += len(self.bills)
        self.bills.clear()
        self._begin()

    # --- what must be so ---

    @invariant()
    def all_agree(self) -> None:
        for statement in self.budgets.statements():
            budget = ROWS[self.rows][statement.name]
            mine = [a for a in self.asked if a.falls_under(budget, statement.client, window_of(budget, self.now))]
            assert statement.spent == sum(asked.cost or 0 for asked in mine)
            assert statement.reserved == sum(asked.bound for asked in mine if asked.cost is None)

    @rule()
    def look_into_the_ledger(self) -> None:
        booked: Counter[tuple[str, str, str]] = Counter()
        for each in self.runner.run(self.ledger.reckoned()):
            booked[f"{datetime.fromtimestamp(each.at, UTC):%F}", each.client, each.model] += each.nanos
        expected: Counter[tuple[str, str, str]] = Counter()
        for asked in self.asked:
            expected[f"{datetime.fromtimestamp(asked.at, UTC):%F}", asked.client, asked.model] += asked.cost or 0
        assert +booked == +expected

    def teardown(self) -> None:
        for asked in list(self.bills):
            self.settle(asked, 1)
        self.all_agree()
        self.look_into_the_ledger()
        self.runner.run(self.ledger.close())
        self._begin()
        whole = total(self.runner.run(self.ledger.usage(Query(by=()))))
        assert whole.requests == sum(asked.is_row for asked in self.asked)
        assert whole.estimated == self.crashed
        self.runner.run(self.ledger.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def _ended(self, asked: Asked) -> Bill | None:
        """None: it has ended before, or was cut short."""
        bill = self.bills.pop(asked, None)
        if bill is not None:
            self.limit.settle(bill.mark, NEED, 0, self._clock())
        return bill

    def _row(self, asked: Asked) -> Row:
        made = row("r", asked.bound)
        made.at, made.client, made.provider, made.model = asked.at, asked.client, "p", asked.model
        return made

    def _clock(self) -> int:
        return int(self.now * 10**9)


# Each example opens files and threads, so that to look for a shorter one takes longer than a test may.
Money.TestCase.settings = settings(
    max_examples=300 if SOAK else 25, stateful_step_count=50, deadline=None, phases=[Phase.reuse, Phase.generate]
)
TestMoney = Money.TestCase
