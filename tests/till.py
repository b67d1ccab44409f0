"""What do budgets do, with a clock that is set by hand?"""

from calendar import timegm

from proxy.budgets import Alert, Budgets
from proxy.config import Budget
from proxy.errors import OverBudget

NOON = float(timegm((2026, 10, 15, 12, 0, 0)))
Who = tuple[str, str, str]  # client, provider, model
ME: Who = ("me", "openai", "gpt-5")


class Till:
    """Budgets, and what they told."""

    def __init__(self, at: float = NOON, /, **rows: Budget) -> None:
        self.now = at
        self.told: list[Alert] = []
        self.rows = rows
        self.budgets = Budgets(rows, self.clock, self.told.append)

    def clock(self) -> float:
        return self.now

    def pay(self, nanos: int, who: Who = ME) -> None:
        self.budgets.settle(self.budgets.reserve(*who, nanos), nanos)

    def admits(self, bound: int | None, who: Who = ME) -> bool:
        """Would it be admitted, and is it?"""
        says = affords(self.budgets, who, bound)
        try:
            held = self.budgets.reserve(*who, bound)
        except OverBudget:
            assert not says
            return False
        self.budgets.settle(held, 0)
        assert says
        return True

    def spent(self, name: str, client: str = "") -> int:
        return next(row.spent for row in self.budgets.statements() if (row.name, row.client) == (name, client))

    @property
    def reserved(self) -> int:
        return sum(row.reserved for row in self.budgets.statements())


def affords(budgets: Budgets, who: Who, bound: int | None) -> bool:
    """Would it be set aside, if somebody asked for it now?"""
    return all(counter.admits(bound) for counter in budgets.counters(*who))
