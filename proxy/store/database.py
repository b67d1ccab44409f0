"""How do rows and their sums get into one SQLite file, and what can be asked of it?

One connection in one process writes: SQLite before 3.51.3 may corrupt a WAL that two connections write and reset at
once (https://www.sqlite.org/wal.html#walresetbug). Everything raises sqlite3.Error.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TypeVar

from msgspec.structs import astuple

from proxy.files import give_to_owner
from proxy.store.aging import BEGAN, SPAN, Young
from proxy.store.files import BESIDE, leads_to
from proxy.store.reasons import Unusable
from proxy.store.row import fit, read
from proxy.store.schema import CREATE, DISAGREEMENTS, FLOOR, KEYS, LOST, addition, insertion
from proxy.store.sums import Key, Sums

T = TypeVar("T")

PATIENCE = 2.0  # seconds that a lock is waited for
# The kernel caches what is read as well, so a tenth of a megabyte is enough for SQLite's own cache.
_PRAGMAS = ("cell_size_check = ON", "cache_size = -96", "journal_mode = WAL")

# How many rows go into one statement. Each statement releases the interpreter's lock twice, and while the loop is busy
# it takes a millisecond to get it back, in which each thread wakes the other many times in vain.
_STEPS = (128, 16, 4, 1)
_INSERTIONS = {count: insertion(count) for count in _STEPS}
_ADDITIONS = {table: {count: addition(table, count) for count in _STEPS} for table in KEYS}


class Database:
    """The one connection. Not for two threads at once."""

    def __init__(self, path: Path | None, synchronous: str = "normal") -> None:
        """Not open yet. Without a path it is in memory. `synchronous`: as in config.Ledger."""
        self.path = path
        self._synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        self._inodes: dict[Path, int] = {}  # of its files, as far as they have been seen

    def __repr__(self) -> str:
        return f"<Database {self.path or 'in memory'}, {'open' if self._connection is not None else 'closed'}>"

    def open(self) -> None:
        """Open the file, and make it where there is none. Raises OSError as well."""
        self.close()
        self._inodes = {}
        if self.path is not None:
            _make_private(self.path)
            self._inodes[self.path] = self.path.stat().st_ino
        self._connection = sqlite3.connect(
            self.path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        for pragma in (*_PRAGMAS, f"synchronous = {self._synchronous}"):
            self._run(f"PRAGMA {pragma}")

    def begin(self, lost: int = 0) -> None:
        """Begin a ledger in an empty file. `lost`: the second in which the one before it was lost, or 0."""
        with self._transaction():
            for statement in CREATE:
                self._run(statement)
            self._say(LOST, lost)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def reopen(self) -> None:
        """After an error of the disk: what was committed, but may not have reached the disk, is written to it again."""
        self.close()
        self.open()
        is_busy, *_ = self._run("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        if is_busy:
            raise sqlite3.OperationalError("the write-ahead log cannot be written back while others read it")

    @property
    def is_gone(self) -> bool:
        """Has somebody removed one of its files? Their contents remain as long as the connection is open.

        Raises Unusable where the database file was replaced by another, and OSError.
        """
        if self.path is None or self._connection is None:
            return False
        for path in (self.path, *self._beside):
            inode = self._inodes.get(path)
            if inode is None and path.exists():
                self._inodes[path] = path.stat().st_ino
            elif inode is not None and not leads_to(path, inode):
                if path == self.path and path.exists():
                    what = "is not the file that was opened"
                    raise Unusable(f"{path} {what}: restart pillion", f"it {what}")
                return True
        return False

    def put_back(self) -> None:
        """Write all that the connection still has into a new file, and use that one. Raises OSError as well."""
        assert self.path is not None
        new = self.path.with_name(f"{self.path.name}.new")
        new.unlink(missing_ok=True)
        _make_private(new)
        with closing(sqlite3.connect(new)) as copy:
            self.ask(lambda db: db.backup(copy))
        self.close()
        for path in self._beside:  # these belong to the old file, and must not be taken for the new one's
            path.unlink(missing_ok=True)
        new.rename(self.path)
        self.open()

    @property
    def _beside(self) -> tuple[Path, ...]:
        """The files that SQLite keeps beside the database."""
        return () if self.path is None else tuple(self.path.with_name(self.path.name + end) for end in BESIDE)

    # --- questions ---

    @property
    def version(self) -> int:
        """0 where nothing is in it."""
        return int(self._run("PRAGMA user_version")[0][0])

    @property
    def has_tables(self) -> bool:
        return bool(self._run("SELECT 1 FROM sqlite_master LIMIT 1"))

    @property
    def fault(self) -> str:
        """Why the sums cannot be trusted, or nothing. Single rows are not looked at: there may be millions.

        SQLite's quick_check would not notice a key that is out of order, and so is no longer found.
        """
        for table in ("meta", "hours", "days"):
            if (said := str(self._run(f"PRAGMA integrity_check({table})")[0][0])) != "ok":
                return said
        if any(self._run(question)[0][0] for question in DISAGREEMENTS):
            return "its sums do not match"
        return ""

    @property
    def lost(self) -> int:
        """The second in which a ledger before this one was lost, together with its sums; or 0."""
        return self._told(LOST)

    @lost.setter
    def lost(self, second: int) -> None:
        with self._transaction():
            self._say(LOST, second)

    @property
    def floor(self) -> int:
        """All rows up to this id were written, and may have been pruned since."""
        return self._told(FLOOR)

    @property
    def highest(self) -> int:
        """The highest id that was ever written."""
        return max(self.floor, self._run("SELECT ifnull(max(id), 0) FROM attempts")[0][0])

    # --- writing ---

    def insert(self, said: Sequence[bytes]) -> None:
        """All of these rows or none, with their sums. `said`: as row.py spells them.

        A row whose id is there already is not counted again.
        """
        try:
            self._insert(said)
        except sqlite3.IntegrityError:  # a commit only seemed to fail, or the row comes from a slot of an earlier run
            there = "SELECT 1 FROM attempts WHERE id = ?"
            self._insert([each for each in said if not self._run(there, (read(each).id,))])

    def _insert(self, said: Sequence[bytes]) -> None:
        sums = Sums()

        def values(part: Sequence[bytes]) -> tuple[object, ...]:
            rows = [fit(read(each)) for each in part]
            sums.add(rows)
            return _flat(map(astuple, rows))

        with self._transaction():
            if self.path is not None:
                self._put(_INSERTIONS, said, values)
            else:  # in memory nobody will ever read a row once it is summed
                sums.add(fit(read(each)) for each in said)
            for table, rows in sums.tables.items():
                self._put(_ADDITIONS[table], rows, _flat)

    def _put(
        self, statements: Mapping[int, str], rows: Sequence[T], values: Callable[[Sequence[T]], tuple[object, ...]]
    ) -> None:
        at = 0
        for count in _STEPS:
            parts = [rows[first : first + count] for first in range(at, len(rows) - count + 1, count)]
            at += count * len(parts)
            if parts:
                self._run_all(statements[count], map(values, parts))

    @property
    def sums(self) -> Mapping[str, Sequence[Key]]:
        """Of each table: keys and sums."""
        return {table: self._run(f"SELECT * FROM {table}") for table in KEYS}  # noqa: S608  ours

    def add(self, sums: Mapping[str, Sequence[Key]]) -> None:
        """All of these, of another database, or none."""
        with self._transaction():
            for table, rows in sums.items():
                self._put(_ADDITIONS[table], rows, _flat)

    def prune(self, young: Young, below: int | None, most: int) -> int:
        """Of the `most` oldest rows with a sound time, delete those that are not `young`; how many there were.

        What stands among them goes as well. `below`: rows from this id on may not all be written yet, so they stay.
        """
        begin, end = young
        timed = "SELECT id, at, max(at) OVER (ORDER BY id) AS latest FROM attempts WHERE id < ? AND at BETWEEN ? AND ?"
        high = (1 << 62) if below is None else below
        with self._transaction():
            last = f"SELECT max(id) FROM ({timed} ORDER BY id LIMIT ?) WHERE at < ? AND at > latest - ?"  # noqa: S608  ours
            ((newest,),) = self._run(last, (high, BEGAN, end, most, begin, SPAN))
            if newest is None:
                return 0
            self._say(FLOOR, max(newest, self.floor))
            old = "DELETE FROM attempts WHERE id <= ? AND at NOT BETWEEN ? AND ?"
            return self.ask(lambda db: db.execute(old, (newest, begin, end))).rowcount

    def first_of_the_last(self, begin: float, end: float) -> float | None:
        """When the first of those rows was written that are all of this time, up to the last row there is."""
        other = "SELECT id FROM attempts WHERE at NOT BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
        first = f"SELECT at FROM attempts WHERE id > ifnull(({other}), 0) ORDER BY id LIMIT 1"  # noqa: S608  ours
        return next((at for (at,) in self._run(first, (begin, end))), None)

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise sqlite3.OperationalError("the database is closed")
        try:
            return question(self._connection)
        except UnicodeDecodeError:  # SQLite's message repeats bytes of a broken page, such as the name of a table
            error = sqlite3.DatabaseError("the database has names that are not text")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error from None

    def _run(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[int, ...]]:
        return self.ask(lambda db: db.execute(statement, values).fetchall())

    def _run_all(self, statement: str, values: Iterable[tuple[object, ...]]) -> None:
        self.ask(lambda db: db.executemany(statement, values))

    def _told(self, name: str) -> int:
        return int(self._run("SELECT value FROM meta WHERE name = ?", (name,))[0][0])

    def _say(self, name: str, value: int) -> None:
        self._run("UPDATE meta SET value = ? WHERE name = ?", (value, name))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._run("BEGIN IMMEDIATE")
            yield
            self._run("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.ask(lambda db: db.rollback())
            raise


def _flat(rows: Iterable[tuple[object, ...]]) -> tuple[object, ...]:
    return tuple(chain.from_iterable(rows))


def _make_private(path: Path) -> None:
    """Make the file for us alone; SQLite gives its two other files the same mode and owner. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        give_to_owner(descriptor, path)
    finally:
        os.close(descriptor)
