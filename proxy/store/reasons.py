"""What does an error of SQLite's mean, to the operator and to us?

Clients hear the reason alone. The operator hears which file it is, and what to do, too.
"""

import sqlite3
from collections.abc import Mapping
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path

NEWER = "belongs to a newer pillion"
_LOCKED, _FULL, _UNWRITABLE = "locked by another process", "the disk is full", "not writable"
_ELSEWHERE = "make sure that pillion can create and write it, or use another state_dir (PILLION_STATE_DIR)"
_REMEDIES: Mapping[str, str] = {
    _LOCKED: "release it there",
    _FULL: "free some space",
    _UNWRITABLE: "make it writable for the user that pillion runs as, or use another state_dir (PILLION_STATE_DIR)",
}

# https://www.sqlite.org/rescode.html: an error's code is the low byte of the extended one.
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REASONS = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_IOERR: "disk error",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "not a ledger of pillion's",
}
_SYSTEM = {ENOSPC: _FULL, EDQUOT: _FULL, EACCES: _UNWRITABLE, EPERM: _UNWRITABLE, EROFS: _UNWRITABLE}
# After these a connection can still be used. After any other, neither it nor what is on the disk can be relied on.
_HARMLESS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


class Unusable(Exception):
    """The ledger cannot be used. `told`: where it is, why, and what to do. `brief`: why, without a place."""

    def __init__(self, told: str, brief: str) -> None:
        super().__init__(told)
        self.brief = brief


class Taken(Unusable):
    """Another pillion has it."""


def told(error: Exception, path: Path | None) -> str:
    """Which file it is, why it fails, and what to do. `path`: where the error names none."""
    if isinstance(error, Unusable):
        return str(error)
    why = reason(error)
    where = (isinstance(error, OSError) and error.filename) or path or "in memory"
    return f"{where}: {why}; {_REMEDIES.get(why, _ELSEWHERE)}"


def reason(error: Exception) -> str:
    """In a few words."""
    if isinstance(error, OSError):
        return _SYSTEM.get(error.errno or 0, (error.strerror or type(error).__name__).lower())
    if isinstance(error, sqlite3.Error):
        return _REASONS.get(_code(error), f"SQLite reports: {error}")
    return error.brief if isinstance(error, Unusable) else f"a bug in pillion ({type(error).__name__})"


def is_corruption(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in _CORRUPT


def is_senseless(error: sqlite3.Error) -> bool:
    """Does the disk work, but what is on it makes no sense to SQLite?"""
    return _code(error) in (0, sqlite3.SQLITE_ERROR, *_CORRUPT)


def wants_files_beside(error: sqlite3.Error) -> bool:
    """Can SQLite not make the files that it keeps beside a database, even to read it?"""
    return _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def loses_the_connection(error: Exception) -> bool:
    return not isinstance(error, sqlite3.Error) or _code(error) not in _HARMLESS


def _code(error: sqlite3.Error) -> int:
    """0 where the error is not SQLite's own, but the Python module's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
