"""When a key with a budget is minted or revoked while pillion runs, how does the change come into force?

    another keys.json --> do budgets agree? --> what was spent, by the ledger --> in force: the key counts
                                 |                          |
                                 +----- anything wrong -----+--> logged, and tried again; the key waits

So no key that has a budget is ever let in without it. A client that shows one meanwhile waits (middleware/auth).
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from proxy.access.budgeted import budgets_of
from proxy.access.keyring import Keyring
from proxy.config import Config
from proxy.errors import ConfigError, LedgerUnavailable
from proxy.spending.accounting import Accounting

AGAIN = 1.0  # seconds between two tries

log = logging.getLogger("pillion")


class Adoption:
    """`config`: the configuration in force."""

    def __init__(self, ring: Keyring, accounting: Accounting, config: Callable[[], Config]) -> None:
        self._ring = ring
        self._accounting = accounting
        self._config = config
        self._task: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._why = ""  # why the last try failed
        ring.adopt = self.begin

    def __repr__(self) -> str:
        return f"<Adoption by {self._ring!r}: {self._why or 'well'}>"

    def begin(self) -> "asyncio.Task[None] | None":
        """The try that is under way, or a new one; None where one has just failed."""
        if self._task is None and monotonic() >= self._not_before:
            self._task = asyncio.get_running_loop().create_task(self._adopt(), name="adoption")
        return self._task

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _adopt(self) -> None:
        try:
            async with self._accounting.turn:
                await self._bring_into_force()
            self._why = ""
        except (ConfigError, LedgerUnavailable) as error:
            self._not_before = monotonic() + AGAIN
            if self._why != str(error):
                self._why = str(error)
                words = "minted keys cannot be used, because their budgets cannot be put in force: %s"
                log.error(words, error, extra={"event": "key_waits"})
        finally:
            self._task = None

    async def _bring_into_force(self) -> None:
        """Raises ConfigError, LedgerUnavailable."""
        minted, config = self._ring.found, self._config()
        budgets = budgets_of(config, minted)
        spent = await self._accounting.reckoned(budgets)
        self._accounting.become(budgets, spent, config.webhook)
        self._ring.agree(minted)
