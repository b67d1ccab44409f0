"""What can be read of a ledger that cannot be used?

Where its disk is full, or may only be read, or another pillion has it, this one begins in memory. No strict budget is
kept so, but a lenient one is: it goes on from what was spent before, and not from nothing.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable

from proxy.errors import ConfigError
from proxy.store.files import Files
from proxy.store.intents import found
from proxy.store.reasons import Unusable
from proxy.store.row import Row
from proxy.store.schema import FLOOR, SECONDS
from proxy.store.usage import Total, read_only, totals

_Sums = Counter[tuple[float, str, str, str]]  # nano-dollars by day, client, provider and model


def remains(files: Files, is_taken: bool) -> list[Total]:
    """By day, with what a crash left in the slots; nothing where it cannot be read. `is_taken`: the slots are another
    pillion's.
    """
    try:
        written = read_only(files.database, totals)
        left = [] if is_taken else _unwritten(files)
    except (ConfigError, OSError, sqlite3.Error, Unusable, ValueError):  # the last, where a name is no text
        return []
    sums = _sums(total for total in written if _is_sound(total))
    for row in left:
        sums[row.at // SECONDS["days"] * SECONDS["days"], row.client, row.provider, row.model] += max(0, row.nanos)
    return [Total(*key, nanos) for key, nanos in sums.items()]


def beyond(before: Iterable[Total], known: Iterable[Total]) -> list[Total]:
    """What these sums have that was not known. None is negative."""
    return [Total(*key, nanos) for key, nanos in (_sums(before) - _sums(known)).items()]


def _is_sound(total: Total) -> bool:
    """Of a file that may be spoilt."""
    at, *names, nanos = total
    return type(at) is int and all(type(name) is str for name in names) and type(nanos) is int and nanos >= 0


def _sums(those: Iterable[Total]) -> _Sums:
    sums = _Sums()
    for at, client, provider, model, nanos in those:
        sums[at, client, provider, model] += nanos
    return sums


def _unwritten(files: Files) -> list[Row]:
    """Raises OSError, Unusable, ConfigError, sqlite3.Error."""
    rows = {row.id: row for row in found(files.intents).rows}

    def lacking(database: sqlite3.Connection) -> list[Row]:
        ((floor,),) = database.execute("SELECT value FROM meta WHERE name = ?", (FLOOR,))
        there = "SELECT 1 FROM attempts WHERE id = ?"
        return [row for row in rows.values() if row.id > floor and not database.execute(there, (row.id,)).fetchone()]

    return read_only(files.database, lacking) if rows else []
