"""How does a ledger that began in memory come to its disk, as soon as what was in its way is gone?

Where another pillion has it, this one may come after that one, or may stand beside it by mistake. The other one keeps
it over a restart: only when nobody has had it for a while is it taken over.

Its sums are added to those on the disk, in one transaction. Its ids meanwhile are the time in microseconds, so that
they are above all that the disk has; where they are not, because a clock went back, it stays in memory.
"""

import logging
import sqlite3
from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import NamedTuple

from proxy.store.beginning import replayed
from proxy.store.database import Database
from proxy.store.files import Files
from proxy.store.intents import Intents
from proxy.store.opening import Terms, opened
from proxy.store.reasons import Taken, Unusable, loses_the_connection
from proxy.store.usage import Total, totals

log = logging.getLogger("pillion")

AGAIN = 5.0  # seconds between two tries, at least
REST = 60.0  # seconds for which another pillion must have ended: a supervisor starts it anew within that


class Regained(NamedTuple):
    """`before`: what the disk had already."""

    database: Database
    intents: Intents
    before: Sequence[Total]


class Comeback:
    """`first`: id of the first row in memory. `is_taken`: another pillion has it.

    Everything here is done in the writer's thread.
    """

    def __init__(self, files: Files, first: int, is_taken: bool) -> None:
        self._files = files
        self._first = first
        self._try_at = 0.0  # as monotonic counts
        self._is_taken = is_taken
        self.is_last = False  # pillion ends, so that nothing is taken from anybody: a last try waits for nothing
        self._free_since = inf  # as far as was seen

    def tried(self, memory: Database, terms: Terms) -> Regained | None:
        """Add what was counted in memory to the disk, and lock it; None where that cannot be done yet."""
        if monotonic() < self._try_at and not (self.is_last and self._try_at < inf):
            return None
        self._try_at = monotonic() + AGAIN
        database = None
        try:
            self._files.lock()
            if self._is_taken and not (self.is_last or self._is_over(monotonic())):
                self._files.unlock()
                return None
            database = opened(self._files, terms)
            regained = self._added(memory, database)
        except (Unusable, OSError, sqlite3.Error) as error:
            if isinstance(error, Taken):
                self._is_taken, self._free_since = True, inf
            if database is not None:
                database.close()
            self._files.unlock()
            return None
        words = "the ledger is on the disk again, with all that was counted in memory: %s"
        log.warning(words, self._files.database, extra={"event": "ledger_recovered"})
        return regained

    def _is_over(self, now: float) -> bool:
        """Has nobody had it for long enough?"""
        self._free_since = min(self._free_since, now)
        return now - self._free_since >= REST

    def _added(self, memory: Database, database: Database) -> Regained:
        """Raises Unusable, OSError, sqlite3.Error."""
        highest = max(replayed(self._files, database), database.highest)
        if highest >= self._first:
            self._try_at = inf
            raise Unusable(f"the clock went back, so that {database.path} may have rows of the same ids", "clock")
        before, slots = database.ask(totals), Intents(self._files.intents)
        try:
            database.add(memory.sums)
        except sqlite3.Error as error:
            slots.close(is_done=True)
            if loses_the_connection(error):  # then nobody knows whether they were added, and they must not be twice
                self._try_at = inf
            raise
        return Regained(database, slots, before)
