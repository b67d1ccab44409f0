"""Does a ledger begin in its files, with what a crash has left there, or in memory?

In memory where there is no folder for it, or where it cannot be used: then the log says so, and why. What a strict
budget counts on is never in memory by accident: that is a ConfigError.
"""

import logging
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from proxy.errors import ConfigError
from proxy.store import intents
from proxy.store.database import Database
from proxy.store.files import Files
from proxy.store.intents import Intents
from proxy.store.opening import Terms, opened
from proxy.store.reasons import Taken, Unusable, told
from proxy.store.remains import remains
from proxy.store.row import spelled
from proxy.store.usage import Total

log = logging.getLogger("pillion")

MICROSECONDS = 10**6  # in a second
NOWHERE = "there is no folder to keep it in: set state_dir (PILLION_STATE_DIR)"


class Beginning(NamedTuple):
    """`intents`: None where it is in memory. `fallen`: why it is, although it has files.

    `is_taken`: because another pillion has them. `known`: what was spent by them, as far as they can be read.

    `next_id`: of a row. Where it has fallen that is the time, so that it is above all ids that the files may have.
    """

    database: Database
    intents: Intents | None = None
    next_id: int = 1
    fallen: str = ""
    is_taken: bool = False
    known: Sequence[Total] = ()


def begun(files: Files | None, terms: Terms) -> Beginning:
    """Its files are locked from now on, where it is in them. Raises ConfigError where a strict budget counts on it."""
    if files is None:
        if terms.is_hard:
            check_memory(NOWHERE, terms.create)
        return Beginning(_in_memory(NOWHERE))
    try:
        files.lock()
        return _on_disk(files, terms)
    except (Unusable, OSError, sqlite3.Error) as error:
        files.unlock()
        why = told(error, files.database)
        if terms.is_hard:
            raise ConfigError(f"the ledger cannot be used: {why}") from None
        first, is_taken = max(1, int(terms.now * MICROSECONDS)), isinstance(error, Taken)
        return Beginning(_in_memory(why), None, first, why, is_taken, remains(files, is_taken))


def check_memory(why: str, create: bool) -> None:
    """May a strict budget count on a ledger in memory? `why`: why it is there. Raises ConfigError."""
    if not create:
        raise ConfigError(f"a strict budget needs the ledger, but {why}")


def _on_disk(files: Files, terms: Terms) -> Beginning:
    """Raises Unusable, OSError, sqlite3.Error."""
    database = opened(files, terms)
    try:
        next_id = 1 + max(replayed(files, database), database.highest)
        return Beginning(database, Intents(files.intents), next_id)
    except BaseException:
        database.close()
        raise


def replayed(files: Files, database: Database) -> int:
    """Book what was under way when pillion was killed; the highest id among it. Raises Unusable, OSError."""
    left = intents.found(files.intents)
    if left.unreadable:
        words = "%d slots of %s cannot be read: their rows are lost"
        log.error(words, left.unreadable, files.intents, extra={"event": "ledger_corrupt"})
    floor = database.floor
    database.insert([*{row.id: spelled(row) for row in left.rows if row.id > floor}.values()])
    return max((row.id for row in left.rows), default=0)


def _in_memory(why: str) -> Database:
    words = "the ledger is kept only in memory, and is lost when pillion stops: %s"
    log.warning(words, why, extra={"event": "ledger_in_memory"})
    database = Database(None)
    database.open()
    database.begin()
    return database
