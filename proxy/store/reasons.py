"""What does an error of SQLite's mean, to the operator and to us?"""

import sqlite3
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS

# https://www.sqlite.org/rescode.html: an error's code is the low byte of the extended one.
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REASONS = {
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_LOCKED: "locked by another process",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "may not be written",
    sqlite3.SQLITE_PERM: "may not be written",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "no ledger of pillion's",
}
_SYSTEM = {
    ENOSPC: "the disk is full",
    EDQUOT: "the disk is full",
    EACCES: "may not be written",
    EPERM: "may not be written",
    EROFS: "may not be written",
}
# After these a connection can still be used. After any other, neither it nor what is on the disk can be relied on.
_HARMLESS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


class Unusable(Exception):
    """The ledger cannot be used; the message says why."""


def reason(error: Exception) -> str:
    """In a few words."""
    if isinstance(error, OSError):
        return _SYSTEM.get(error.errno or 0, (error.strerror or type(error).__name__).lower())
    if isinstance(error, sqlite3.Error):
        return _REASONS.get(_code(error), f"SQLite says {error}")
    return str(error) if isinstance(error, Unusable) else f"a fault of pillion's own ({type(error).__name__})"


def is_corruption(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in _CORRUPT


def is_senseless(error: sqlite3.Error) -> bool:
    """Does the disk work, but what is on it makes no sense to SQLite?"""
    return _code(error) in (0, sqlite3.SQLITE_ERROR, *_CORRUPT)


def loses_the_connection(error: Exception) -> bool:
    return not isinstance(error, sqlite3.Error) or _code(error) not in _HARMLESS


def _code(error: sqlite3.Error) -> int:
    """0 where the error is not SQLite's own, but the Python module's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
