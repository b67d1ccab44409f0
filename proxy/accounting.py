"""Who counts the money, and how do they hang together?

The prices, the budgets, the ledger and whoever is alerted: made together, opened before the first request, closed after
the last.
"""

import time

from proxy.alerts import Alerts, Post
from proxy.budgets import Budgets, Spent
from proxy.config import Config
from proxy.middleware.cost import Cost, Paid, about
from proxy.ports import Call, Target
from proxy.prices import Prices, UnknownPrice
from proxy.store import Ledger


def prices_of(config: Config) -> Prices:
    """Raises ConfigError."""
    providers = config.providers
    lists = {name: provider.prices for name, provider in providers.items()} | {"echo": ""}
    free = {"echo", *(name for name, provider in providers.items() if provider.free)}
    return Prices(lists, config.prices, free, config.unknown_price)


class Accounting:
    """`post`: how a webhook is told; `paid`: who hears what each attempt cost."""

    def __init__(self, config: Config, prices: Prices, post: Post, paid: Paid) -> None:
        self.prices = prices
        self.alerts = Alerts(config.webhook, post)
        self.budgets = Budgets(config.budgets, time.time, self.alerts.tell)
        self.ledger = Ledger(config.state_dir, config.ledger, self.budgets.is_hard)
        self.cost = Cost(self.prices, self.budgets, self.ledger, paid)

    async def open(self) -> None:
        """Raises ConfigError."""
        await self.ledger.open()
        if self.budgets.is_there:
            self.budgets.restore(Spent(*total) for total in await self.ledger.totals())

    async def close(self) -> None:
        await self.alerts.close()
        await self.ledger.close()

    def estimate(self, call: Call, target: Target) -> int | None:
        """What a call would cost there, in nano-dollars, to compare targets by; None where nobody knows."""
        try:
            price = self.prices.of(target.adapter.name, target.model, time.time())
        except UnknownPrice:
            return None
        return about(call, price) if price.is_known else None
