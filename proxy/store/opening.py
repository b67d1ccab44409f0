"""Is there a ledger that budgets can count on, and what happens if there is none?

    there, sound                           used
    there, sound, but begun after a loss   used *
    there, corrupt                         set aside, and then lost
    none, but there was one                lost: begun, and marked as begun after a loss *
    none, and never was one                begun *
    a newer pillion's, or locked by another pillion, or the disk fails: not touched, not used

    * where a strict budget counts on it, only if the operator says `create`

So a lost ledger never looks like a budget of which nothing is spent.
"""

import logging
import sqlite3
from pathlib import Path
from time import gmtime, strftime
from typing import NamedTuple

from proxy.errors import ConfigError
from proxy.store.database import Database
from proxy.store.files import Files
from proxy.store.reasons import NEWER, Unusable, is_corruption, is_senseless, loses_the_connection, reason, told
from proxy.store.schema import VERSION

log = logging.getLogger("pillion")

CONSENT = "to start with an empty ledger, run `pillion ledger init`, or set ledger.create: true (PILLION_LEDGER_CREATE)"


class Terms(NamedTuple):
    """`is_hard`: a strict budget counts on it. `create`: the operator wants a new one where there is none."""

    synchronous: str
    is_hard: bool
    create: bool
    now: float  # seconds since 1970


def opened(files: Files, terms: Terms) -> Database:
    """Open the ledger in these files, which are locked. Raises Unusable, OSError, sqlite3.Error."""
    database = Database(files.database, terms.synchronous)
    try:
        if not _is_sound(database, files, terms):
            _begin(database, files, terms)
        elif terms.is_hard:
            check(database, files, terms)
    except BaseException:
        database.close()
        raise
    files.mark_begun()
    return database


def check(database: Database, files: Files, terms: Terms) -> None:
    """May a strict budget count on this database, which is open and sound? Raises Unusable."""
    if database.lost:
        _accept(database, files, terms)


def mended(database: Database, files: Files, terms: Terms, error: Exception) -> None:
    """Mend it after an error, while pillion runs. Raises as `opened` does where it is not mended yet."""
    if isinstance(error, Unusable):
        raise error
    if put_back(database, files):
        return
    if is_corruption(error):
        _set_aside(database, files, terms, reason(error))
        _begin(database, files, terms)
    elif loses_the_connection(error):
        database.reopen()


def put_back(database: Database, files: Files) -> bool:
    """Put back what somebody has removed; was there anything? Raises Unusable, OSError, sqlite3.Error."""
    is_gone = files.lock_again()
    if database.is_gone:
        database.put_back()
        is_gone = True
    if is_gone:
        words = "the ledger in %s was deleted, and has been restored completely: find out what deletes files there"
        log.error(words, files.folder, extra={"event": "ledger_recovered"})
    return is_gone


def begin(folder: Path, now: float) -> str:
    """What `pillion ledger init` does, and a sentence about it. Raises ConfigError."""
    files = Files(folder)
    try:
        files.lock()
        was_there = files.database.exists()
        opened(files, Terms("normal", True, True, now)).close()
    except (Unusable, OSError, sqlite3.Error) as error:
        raise ConfigError(f"cannot create the ledger in {folder}: {told(error, files.database)}") from None
    finally:
        files.unlock()
    return f"the ledger in {folder} {'is ready' if was_there else 'was created'}"


def _is_sound(database: Database, files: Files, terms: Terms) -> bool:
    """Is there a sound ledger? Then it is open now. A corrupt one is set aside. Raises Unusable."""
    if not files.database.exists() or not files.database.stat().st_size:
        return False
    try:
        database.open()
        if not database.version and not database.has_tables:
            return False
        fault = _fault(database, files)
    except sqlite3.Error as error:
        if not is_senseless(error):
            raise
        fault = reason(error)
    if fault:
        _set_aside(database, files, terms, fault)
    return not fault


def _fault(database: Database, files: Files) -> str:
    """What is wrong with it, or nothing. Raises Unusable where it is a newer pillion's."""
    if database.version > VERSION:
        raise Unusable(
            f"{files.database} {NEWER} (its version is {database.version}, this one reads {VERSION}): run that version,"
            " or use another state_dir",
            f"it {NEWER}",
        )
    return database.fault if database.version == VERSION else f"its version is {database.version}"


def _set_aside(database: Database, files: Files, terms: Terms, fault: str) -> None:
    database.close()
    aside = files.set_aside(terms.now)
    log.error("the ledger was corrupt (%s), and was moved to %s", fault, aside, extra={"event": "ledger_corrupt"})


def missing(files: Files) -> Unusable:
    """The error where there is no ledger, and a strict budget counts on one."""
    what = f"{'was lost' if files.was_begun else 'does not exist'}, but a strict budget needs it"
    return Unusable(f"the ledger in {files.folder} {what}; {CONSENT}", f"it {what}")


def _begin(database: Database, files: Files, terms: Terms) -> None:
    """Raises Unusable."""
    if terms.is_hard and not terms.create:
        raise missing(files)
    was_lost = files.was_begun
    database.open()
    database.begin(0 if terms.is_hard or not was_lost else int(terms.now))
    if was_lost:
        words = "the ledger in %s was lost, and a new one was created: earlier spending is unknown"
        log.error(words, files.folder, extra={"event": "ledger_lost"})


def _accept(database: Database, files: Files, terms: Terms) -> None:
    """Raises Unusable."""
    when = strftime("%Y-%m-%d", gmtime(database.lost))
    if not terms.create:
        raise Unusable(
            f"the ledger in {files.folder} was lost on {when}, and a new one was created: earlier spending is unknown,"
            f" but a strict budget needs it; {CONSENT}",
            "it was lost, but a strict budget needs it",
        )
    database.lost = 0
    words = "the ledger in %s was lost on %s: earlier spending is unknown, and budgets count without it"
    log.warning(words, files.folder, when, extra={"event": "ledger_lost"})
