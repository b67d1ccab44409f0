"""Who counts the money, and how do they work together?

The budgets, the ledger and the alerts are made together, opened before the first request and closed after the last;
what an attempt is charged depends on the configuration in force.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping

from proxy.budgets import Budgets, Counter, Leases, Spent
from proxy.config import Budget, Config, Secret
from proxy.fleet import Fleet
from proxy.middleware.cost import Cost, Paid, tier_asked
from proxy.ports import Call, Target
from proxy.prices import Prices, UnknownPrice
from proxy.spending.alerts import Alerts, Post
from proxy.spending.tokens import BYTES_PER_TOKEN
from proxy.spending.used import unheard
from proxy.store import Ledger, Total, beyond


def prices_of(config: Config) -> Prices:
    """Raises ConfigError."""
    providers = config.providers
    lists = {name: provider.prices for name, provider in providers.items()} | {"echo": ""}
    free = {"echo", *(name for name, provider in providers.items() if provider.free)}
    alike = {(name, model): like for name, provider in providers.items() for model, like in provider.cards.alike()}
    return Prices(lists, config.prices, free, config.unknown_price, config.places, alike)


class Accounting:
    """What goes on counting for as long as pillion runs. `post` tells a webhook. `fleet`: who shares the budgets.
    `hurry`: as Alerts has it.

    `turn`: the lock that whoever changes the budgets holds from `reckoned` until `become`.
    """

    def __init__(
        self,
        config: Config,
        budgets: Mapping[str, Budget],
        post: Post,
        fleet: Fleet | None = None,
        hurry: asyncio.Event | None = None,
    ) -> None:
        self.turn = asyncio.Lock()
        self.alerts = Alerts(config.webhook, post, hurry=hurry)
        self.leases = None if fleet is None else Leases(fleet)
        make = Counter if self.leases is None else self.leases.counter
        self.budgets = Budgets(budgets, time.time, self.alerts.tell, make)
        self.ledger = Ledger(config.state_dir, config.ledger, self.budgets.is_hard)
        self.ledger.regained = self._regained

    async def open(self) -> None:
        """Raises ConfigError."""
        await self.ledger.open()
        if self.budgets.is_there and self.leases is None:  # a fleet's are in its store
            spent = [*self.ledger.known, *await self.ledger.totals()]
            self.budgets.restore(Spent(*total) for total in spent)

    def _regained(self, before: Iterable[Total]) -> None:
        """The ledger is on its disk again, which had this: what is counted here began with what could be read of it."""
        if self.budgets.is_there and self.leases is None:
            self.budgets.restore(Spent(*total) for total in beyond(before, self.ledger.known))

    async def reckoned(self, budgets: Mapping[str, Budget]) -> list[Spent]:
        """What was spent until now, for `become`; nothing if each of these budgets has counted that itself.

        Raises LedgerUnavailable, and ConfigError where the ledger is not fit for strict budgets.
        """
        if not self.ledger.is_hard and any(row.mode == "strict" for row in budgets.values()):
            await self.ledger.check()
        if self.leases is not None or not self.budgets.lacks(budgets):
            return []
        return [Spent(*total) for total in await self.ledger.reckoned()]

    def become(self, budgets: Mapping[str, Budget], spent: Iterable[Spent], webhook: Secret) -> None:
        """`spent`: what `reckoned` has just returned."""
        self.budgets.become(budgets, spent)
        self.ledger.is_hard = self.budgets.is_hard
        self.alerts.become(webhook)

    async def close(self) -> None:
        if self.leases is not None:
            self.leases.give_back()
        await self.alerts.close()
        await self.ledger.close()


class Charges:
    """What attempts cost, by one configuration's prices. `paid` hears what each has cost."""

    def __init__(self, accounting: Accounting, prices: Prices, paid: Paid) -> None:
        self.cost = Cost(prices, accounting.budgets, accounting.ledger, paid, accounting.leases)
        self._prices = prices

    def estimate(self, call: Call, target: Target) -> int | None:
        """Nano-dollars, to compare targets by: a guess at what the call would cost there. None where nobody knows.

        Raises BadRequest.
        """
        try:
            price = self._prices.of(target.adapter.name, target.model, time.time(), tier_asked(call, target))
        except UnknownPrice:
            return None
        if not price.is_known:
            return None
        return price.bound(len(call.envelope.body) // BYTES_PER_TOKEN, unheard(call, target))
