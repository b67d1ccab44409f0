"""What was used, by whom, where, and when?

Whole days are read from the sums of days; parts of days, and what is asked by the hour, from those of hours.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from math import ceil, floor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from proxy.config.secret import why_unreadable
from proxy.errors import ConfigError
from proxy.store.database import PATIENCE
from proxy.store.files import BESIDE, Files
from proxy.store.reasons import is_corruption, reason, told, wants_files_beside
from proxy.store.schema import HOURS_OF_DAY, SECONDS, VERSION, grouping

T = TypeVar("T")

GROUPINGS = ("day", "hour", "provider", "model", "client", "key")

_FOR_EVER = 1 << 40  # in hours
_ALL = -1  # SQLite's LIMIT for no limit


class Query(NamedTuple):
    """Which sums to read. Every hour that the period touches counts as a whole."""

    since: float = 0.0  # seconds since 1970
    until: float | None = None  # seconds since 1970; not included
    by: tuple[str, ...] = ()  # of GROUPINGS, each at most once
    client: str | None = None  # only this client's
    behind: tuple[str, ...] = ()  # only groups behind the one with these keys
    most: int | None = None  # groups


class Group(NamedTuple):
    """The sums for these keys, which are in the order of the query's `by`."""

    keys: tuple[str, ...]
    requests: int
    errors: int
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    output: int
    reasoning: int
    audio_output: int
    nanos: int
    estimated: int  # requests whose usage or cost is an estimate
    unpriced: int  # requests whose price nobody knows


class Total(NamedTuple):
    at: float  # seconds since 1970: when the day begins, UTC
    client: str
    provider: str
    model: str
    nanos: int


def usage(query: Query) -> Callable[[sqlite3.Connection], list[Group]]:
    """The question to ask a database. Raises ValueError where `behind` cannot be a group's keys."""
    periods, table = _periods(query)
    bounds = [value for period in periods for value in (*period, *([] if query.client is None else [query.client]))]
    bounds += [*unspelled(query.by, query.behind), _ALL if query.most is None else query.most]
    columns = [_COLUMNS.get(name, name) for name in query.by]
    statement, keys = grouping(table, columns, query.client is not None, bool(query.behind)), len(columns)
    spellings = [_SPELLINGS.get(name, str) for name in query.by]

    def group(row: tuple[Any, ...]) -> Group:
        return Group(tuple([spell(key) for spell, key in zip(spellings, row, strict=False)]), *row[keys:])

    def ask(database: sqlite3.Connection) -> list[Group]:
        return list(map(group, database.execute(statement, bounds)))

    return ask


def unspelled(by: Sequence[str], keys: Sequence[str]) -> list[int | str]:
    """Keys as the tables have them. Raises ValueError where they cannot be the keys of such a group."""
    if keys and len(keys) != len(by):
        raise ValueError(keys)
    return [_NUMBERS.get(name, str)(key) for name, key in zip(by, keys, strict=False)]


def _periods(query: Query) -> tuple[list[tuple[int, int]], str]:
    """The periods for `grouping`, each in the unit of its table, and the main table."""
    since = floor(query.since / SECONDS["hours"])
    until = _FOR_EVER if query.until is None else max(since, ceil(query.until / SECONDS["hours"]))
    if "hour" in query.by:
        return [(since, until)], "hours"
    first, last = ceil(since / HOURS_OF_DAY), until // HOURS_OF_DAY
    if first > last:  # within a day
        return [(0, 0), (since, until), (0, 0)], "days"
    return [(first, last), (since, first * HOURS_OF_DAY), (last * HOURS_OF_DAY, until)], "days"


def _day(number: int) -> str:
    return date.fromordinal(_EPOCH + number).isoformat()


def _hour(number: int) -> str:
    day, hour = divmod(number, HOURS_OF_DAY)
    return f"{_day(day)}T{hour:02}:00Z"


def _day_number(text: str) -> int:
    return date.fromisoformat(text).toordinal() - _EPOCH


def _hour_number(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:00Z").replace(tzinfo=UTC).timestamp()) // SECONDS["hours"]


_EPOCH = date(1970, 1, 1).toordinal()
_COLUMNS: Mapping[str, str] = {"key": "client"}  # a client is known by the name of its key
_SPELLINGS: Mapping[str, Callable[[Any], str]] = {"day": _day, "hour": _hour}
_NUMBERS: Mapping[str, Callable[[str], int | str]] = {"day": _day_number, "hour": _hour_number}


def totals(database: sqlite3.Connection) -> list[Total]:
    """What was ever spent, by day."""
    found = database.execute("SELECT day * 86400, client, provider, model, nanos FROM days")
    return [Total(*row) for row in found]


def read_usage(folder: Path, query: Query) -> list[Group]:
    """For commands, also while pillion runs: what has been written so far. Raises ConfigError."""
    path = Files(folder).database
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"there is no ledger in {folder}: nothing has been spent yet, or state_dir is wrong"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}") from None
    try:
        return read_only(path, usage(query))
    except sqlite3.Error as error:
        if is_corruption(error):
            then = "the next start of pillion moves it aside, and says how to continue"
            raise ConfigError(f"{path}: {reason(error)}; {then}") from None
        raise ConfigError(told(error, path)) from None


def read_only(path: Path, question: Callable[[sqlite3.Connection], T]) -> T:
    """The answer, of a ledger that this process does not write. Raises ConfigError, sqlite3.Error."""
    try:
        return _asked(path, question, "mode=ro")
    except sqlite3.Error as error:
        if not (wants_files_beside(error) and os.access(path, os.R_OK)):
            raise
    newest = path.with_name(path.name + BESIDE[0])
    if newest.exists() and newest.stat().st_size:
        raise ConfigError(
            f"{path}: its newest rows are in {newest.name}, which cannot be read where nothing can be written: copy"
            " both to a folder that can, and let PILLION_STATE_DIR name that"
        )
    return _asked(path, question, "mode=ro&immutable=1")  # a copy, mounted read-only: nobody writes it


def _asked(path: Path, question: Callable[[sqlite3.Connection], T], how: str) -> T:
    """Raises ConfigError, sqlite3.Error."""
    where = f"{path.absolute().as_uri()}?{how}"
    with closing(sqlite3.connect(where, uri=True, timeout=PATIENCE)) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            raise ConfigError(f"there is no ledger in {path.parent} yet: start pillion")
        if version != VERSION:
            raise ConfigError(
                f"{path}: has version {version}, but this pillion reads version {VERSION}: use the one that wrote it"
            )
        return question(database)
