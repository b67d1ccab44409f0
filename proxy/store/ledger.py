"""What was spent, and is it recorded?

    intend   before a provider is asked: from now on the most that it may cost is kept, whatever happens
    settle   when the attempt has ended, with what it cost; or `forget`, where no provider was reached
    flush    before anybody is told: from now on a kill loses nothing of it

Where it cannot be opened it is in memory, until what is in its way is gone: then its sums are added to those on the
disk (`comeback`), and `regained` hears what these had.

Nothing here waits for a disk, except `durable` under `synchronous: full`, and the questions. What one turn of the loop
intends and settles is written down together: whoever lets bytes go calls `flush` first, and the next turn does.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TypeVar

from proxy import config
from proxy.errors import ConfigError, LedgerUnavailable
from proxy.store.aging import Aging, Young
from proxy.store.beginning import NOWHERE, begun, check_memory
from proxy.store.comeback import Comeback, Regained
from proxy.store.database import Database
from proxy.store.files import Files
from proxy.store.intents import NO_SLOT, Intents
from proxy.store.opening import CONSENT, Terms, check, mended, missing, put_back
from proxy.store.reasons import Unusable, reason, told
from proxy.store.row import Row, spelled
from proxy.store.sync import Sync
from proxy.store.usage import Group, Query, Total, totals, usage
from proxy.store.writer import Writer

log = logging.getLogger("pillion")
T = TypeVar("T")

_AWAY = "Spending cannot be recorded now ({}), but a budget depends on it: try again later."


class Ledger:
    """The one ledger of a pillion. Opened and closed in a running loop."""

    def __init__(
        self, folder: Path | None, config: config.Ledger, is_hard: bool, clock: Callable[[], float] = time
    ) -> None:
        """`folder`: None for memory only. `is_hard`: a strict budget counts on it. `clock`: seconds since 1970."""
        self._config = config
        self.is_hard = is_hard
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop  # from `open` on
        self._aging = Aging(config.keep_days, clock)
        self._files = Files(folder) if folder is not None else None
        self._intents: Intents | None = None
        self._writer = Writer(Database(None), self)  # replaced by `open`
        self._sync: Sync | None = None
        self._fallen = ""  # why it is in memory only, although it has a folder
        self._comeback: Comeback | None = None  # from there
        self.known: Sequence[Total] = ()  # what its folder has, as far as it could be read, while it is in memory
        self.regained: Callable[[Sequence[Total]], None] = nobody_asks  # hears what the disk had, where it comes back
        self._unsound = ""  # why the last intent could not be written
        self._next = 1  # id of the next row
        self._fresh: set[int] = set()  # slots of intents that wait for `flush`
        self._is_due = False  # the loop will flush
        self.uncovered = 0  # attempts without an intent, whose rows a crash would lose

    def __repr__(self) -> str:
        where = self._files.folder if self._intents is not None and self._files is not None else "memory"
        return f"<Ledger in {where}, {self.failed or 'well'}>"

    # --- its life ---

    async def open(self) -> None:
        """Raises ConfigError where it cannot be used and a strict budget counts on it; else it is then in memory."""
        self._loop = asyncio.get_running_loop()
        self._writer = await asyncio.to_thread(self._opened)
        self._sync = Sync(self._intents) if self._intents and self._config.synchronous == "full" else None
        self._writer.start()

    @property
    def missing(self) -> str:
        """Why `open` would refuse, where that can be seen without touching anything; else ""."""
        if not self.is_hard or self._config.create or self._files is None:
            return ""
        with suppress(OSError):
            if not self._files.database.exists():
                return str(missing(self._files))
        return ""

    async def check(self) -> None:
        """May a strict budget begin to count on it? Raises ConfigError, LedgerUnavailable."""
        if self._files is None or self._intents is None:
            check_memory(self._fallen or NOWHERE, self._config.create)
            return
        if self.lost and not self._config.create:
            raise ConfigError(f"{self.lost} rows of the ledger were lost, but a strict budget needs them; {CONSENT}")
        database, files, terms = self._writer.database, self._files, self._terms()._replace(is_hard=True)
        try:
            await self._heard(self._writer.ask(lambda _: check(database, files, terms)))
        except Unusable as error:
            raise ConfigError(str(error)) from None

    async def close(self) -> None:
        """Within a few seconds every settled row is written, or stays in its slot."""
        self.flush()
        await asyncio.to_thread(self._close)

    def _opened(self) -> Writer:
        """Raises ConfigError."""
        beginning = begun(self._files, self._terms())
        self._intents, self._next, self._fallen = beginning.intents, beginning.next_id, beginning.fallen
        self.known = beginning.known
        if self._files is not None and self._fallen:
            self._comeback = Comeback(self._files, self._next, beginning.is_taken)
        return Writer(beginning.database, self)

    def _close(self) -> None:
        if self._comeback is not None:
            self._comeback.is_last = True
        is_done = self._writer.close()
        if self._sync is not None:
            self._sync.close()
        if self._intents is not None:
            self._intents.close(is_done and not self.pending)
        if self.pending:
            where = self._files and self._intents and f"the next start reads them from {self._files.intents}"
            words = "%d rows could not be written to the ledger (%s): %s"
            log.error(words, self.pending, self.failed, where or "they are lost", extra={"event": "ledger_failed"})
        if self._files is not None and is_done:  # a writer that hangs may still write
            self._files.unlock()

    def _terms(self) -> Terms:
        return Terms(self._config.synchronous, self.is_hard, self._config.create, self._clock())

    def _came_back(self, regained: Regained) -> None:
        self._intents = regained.intents
        self._sync = Sync(regained.intents) if self._config.synchronous == "full" else None
        self.regained(regained.before)
        self.known = ()

    # --- for each attempt ---

    def intend(self, row: Row) -> int:
        """Give the row its id and make the intent; its slot. Raises LedgerUnavailable if a strict budget needs it."""
        row.id, self._next = self._next, self._next + 1
        if self._intents is None:
            return NO_SLOT
        if self.is_hard and self._writer.failed:
            raise LedgerUnavailable(_AWAY.format(self._writer.failed))
        try:
            slot = self._intents.put(spelled(row))
        except OSError as error:
            self.flush()  # of those before it, which have found room
            self._uncover(error)
            return NO_SLOT
        if self.is_hard:
            self._insist(self._intents, slot)
        else:
            self._fresh.add(slot)
            self._soon()
        return slot

    def settle(self, slot: int, row: Row) -> None:
        """Never raises. The row has the id that `intend` gave it."""
        said = spelled(row)
        if slot != NO_SLOT and self._intents is not None:
            self._intents.settle(slot, said)
            self._soon()
        if not self._writer.put(slot, said):
            self.written([slot])

    def forget(self, slot: int) -> None:
        """The attempt never reached a provider, so there is no row."""
        if slot != NO_SLOT and self._intents is not None:
            self._intents.forget(slot)
            self._soon()

    def flush(self) -> None:
        """Write down what waits. Never raises: an intent that cannot be written is counted, and a settlement that
        cannot be leaves the estimate in its slot.
        """
        if self._intents is None or not self._intents.is_waiting:
            return
        fresh, self._fresh = self._fresh, set()
        failed = self._intents.flush()
        self.uncovered += len(fresh & failed.keys())
        for error in failed.values():
            self._doubt(error)
        if fresh and not failed:
            self._trust()

    def _insist(self, intents: Intents, slot: int) -> None:
        """Write the intent now. Raises LedgerUnavailable where it cannot be written."""
        try:
            intents.write(slot)
        except OSError as error:
            intents.forget(slot)
            self._uncover(error)
        else:
            self._trust()

    def _soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._due)

    def _due(self) -> None:
        self._is_due = False
        self.flush()

    async def durable(self, slot: int) -> None:
        """Wait until the intent would survive a power cut, if the operator wants that. Raises as `intend` does."""
        if self._sync is None or slot == NO_SLOT:
            return
        self.flush()
        try:
            await self._sync.done()
        except OSError as error:
            self._uncover(error)

    def _uncover(self, error: OSError) -> None:
        self._doubt(error)
        if self.is_hard:
            raise LedgerUnavailable(_AWAY.format(self._unsound)) from None
        self.uncovered += 1

    def _doubt(self, error: OSError) -> None:
        if self._unsound != (why := reason(error)):
            self._unsound = why
            words = "a crash would lose what is being spent, as its intents cannot be written: %s"
            path = self._files.intents if self._files is not None else None
            log.error(words, told(error, path), extra={"event": "ledger_failed"})

    def _trust(self) -> None:
        if self._unsound:
            self._unsound = ""
            log.warning("a crash loses nothing again: intents are written", extra={"event": "ledger_recovered"})

    # --- questions ---

    async def usage(self, query: Query) -> list[Group]:
        """Raises LedgerUnavailable, and ValueError where `behind` is no group's keys."""
        return await self._heard(self._writer.ask(usage(query)))

    async def totals(self) -> list[Total]:
        """What was ever spent, by day, with what a crash cut short; without `known`. Raises LedgerUnavailable."""
        return await self._heard(self._writer.ask(totals))

    async def reckoned(self) -> list[Total]:
        """The same up to the moment of the return, with `known`, and the rows that still wait to be written."""
        found, rows = await self._heard(self._writer.reckoned(totals))
        return [*self.known, *found, *(Total(row.at, row.client, row.provider, row.model, row.nanos) for row in rows)]

    async def _heard(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"The ledger cannot be read now: {reason(error)}.") from None

    @property
    def failed(self) -> str:
        """Why it cannot be written now, or nothing."""
        return self._fallen or self._writer.failed or self._unsound

    @property
    def lost(self) -> int:
        """Rows that were never written, and never will be."""
        return self._writer.lost

    @property
    def pending(self) -> int:
        """Rows that the database does not have yet."""
        return self._writer.pending

    # --- for the writer, in its thread ---

    def written(self, slots: Sequence[int]) -> None:
        if self._intents is not None:
            self._intents.release(slots)

    def mend(self, error: Exception) -> None:
        """Raises Unusable, OSError, sqlite3.Error."""
        if self._files is not None and self._intents is not None:
            mended(self._writer.database, self._files, self._terms(), error)

    def prepare(self) -> None:
        """A full disk is for the intent to report that finds no room. Raises Unusable, OSError, sqlite3.Error."""
        if self._comeback is not None and (regained := self._comeback.tried(self._writer.database, self._terms())):
            is_last = self._comeback.is_last
            self._comeback, self._fallen = None, ""
            memory, self._writer.database = self._writer.database, regained.database
            memory.close()
            if is_last:
                regained.intents.close(is_done=True)
                return
            self._loop.call_soon_threadsafe(self._came_back, regained)
        if self._files is None or self._intents is None:
            return
        put_back(self._writer.database, self._files)
        if self._intents.is_gone:
            self._intents.renew()
        with suppress(OSError):
            if self._intents.grow():
                self._trust()

    def prunable(self) -> tuple[Young | None, int | None]:
        oldest = self._intents.oldest() if self._intents is not None else None
        return self._aging.young(self._writer.database.first_of_the_last), oldest


def nobody_asks(before: Sequence[Total]) -> None:
    """`Ledger.regained` where there are no budgets."""
