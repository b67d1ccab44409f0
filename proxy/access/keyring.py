"""Which keys were minted here, and where are they kept?

In `keys.json` in the state directory: the SHA-256 of each key and what it may do, and never the key. A minted key has
256 random bits, which nobody finds by trying, so its plain digest tells nothing; a slow hash would protect passwords,
and there are none. Whoever writes holds a lock, and puts a whole new file in the old one's place. A running pillion
checks once a second whether the file has changed (`Keyring`); a key with a budget of its own counts only once the
budget is in force.
"""

import fcntl
import logging
import os
from asyncio import Task
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from proxy.access.allowance import NO_LIMITS, ClientKey, Limits
from proxy.config import KeyBudget
from proxy.config.checks import MINTED
from proxy.config.secret import secret_text, why_unreadable
from proxy.config.spending import CLIENT_NAME
from proxy.errors import ConfigError
from proxy.files import give_to_owner, replace_file
from proxy.folders import make_private

FILE, LOCK, NEW = MINTED, "keys.lock", "keys.json.new"
VERSION = 1
LARGEST = 16 * 1024 * 1024  # bytes: some fifty thousand keys

_AND_NOW = "put a good copy back, or remove it and make its keys anew (pillion keys add)"

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]

log = logging.getLogger("pillion")


class Minted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All about a minted key but the key. An unknown field is refused, as it might take away a right."""

    name: Annotated[str, Meta(pattern=rf"^(?:{CLIENT_NAME.pattern})\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    created: Moment
    expires: Moment | None = None
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS
    budget: KeyBudget | None = None

    def client(self, limits: Limits) -> ClientKey:
        """`limits`: those of a key that has none of its own."""
        expires = self.expires.timestamp() if self.expires is not None else None
        return ClientKey(
            name=self.name,
            models=self.models,
            providers=self.providers,
            limits=self.limits or limits,
            expires=expires,
        )


Rows: TypeAlias = tuple[Minted, ...]


class _Version(Struct):
    version: int


class _File(Struct, forbid_unknown_fields=True):
    version: int
    keys: Rows


def read(path: Path) -> Rows:
    """Raises ConfigError where it makes no sense, and OSError where it cannot be read."""
    try:
        text = secret_text(path, LARGEST)
        version = msgspec.json.decode(text, type=_Version).version
        if version != VERSION:
            raise ConfigError(f"{path}: has version {version}, but this pillion reads version {VERSION}: upgrade it")
        rows = msgspec.json.decode(text, type=_File).keys
    except (msgspec.DecodeError, RecursionError) as error:  # its message has places and types, and no values
        raise ConfigError(f"{path}: {error}: {_AND_NOW}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}: {_AND_NOW}") from None
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise ConfigError(f"{path}: contains two keys named {twice[0]}")
    return rows


class Keyring:
    """The minted keys, as a running pillion knows them. If the file cannot be read, they stay as they were."""

    def __init__(self, folder: Path | None) -> None:
        """Raises ConfigError where the file cannot be read, as there is no earlier state to keep."""
        self._path = folder / FILE if folder is not None else None
        self._seen: tuple[int, int, int] | None = None
        self._told = ""  # why it cannot be read, as last logged
        self._lock = Lock()  # a reload looks in a thread of its own
        self._wanted = self._in_force = frozenset[tuple[str, KeyBudget]]()
        self.found: Rows = ()
        self.rows: Rows = ()  # those of them that count
        self.exists = False  # also where no key is left in it
        self.adopt: Callable[[], Task[None] | None] = nobody_adopts
        if self._path is not None:
            self._look(self._path)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self.rows)} minted keys>"

    @property
    def is_due(self) -> bool:
        """Does the file say other budgets than those in force?"""
        return self._wanted != self._in_force

    def agree(self, rows: Rows) -> None:
        """The budgets of these keys, and no others, are in force now."""
        with self._lock:
            self._in_force = _budgets(rows)
            self.rows = self._counting()

    def look(self) -> None:
        """Read the file again if it has changed. Each reason why it cannot be read is logged once."""
        if self._path is None:
            return
        try:
            self._look(self._path)
        except ConfigError as error:
            if self._told != str(error):
                self._told = str(error)
                log.error("%s; keeping the minted keys that were read last", error, extra={"event": "keys_unreadable"})

    def _look(self, path: Path) -> None:
        """Raises ConfigError."""
        try:
            there = path.stat()
            seen = (there.st_mtime_ns, there.st_ino, there.st_size)
            if seen != self._seen:
                try:
                    found = read(path)
                finally:
                    self._seen = seen  # even if it makes no sense, so that it is not read every second
                self._know(found)
        except (FileNotFoundError, NotADirectoryError):
            if self.exists:
                self._seen = None
                raise ConfigError(f"{path}: no longer exists") from None
        except OSError as error:
            if error.errno:  # the system's no: a want of descriptors or rights passes, and the file stays the same
                self._seen = None
            raise ConfigError(f"{path}: {why_unreadable(error)}") from None

    def _know(self, found: Rows) -> None:
        with self._lock:
            self.found, self.exists, self._told = found, True, ""
            self._wanted = _budgets(found)
            self.rows = self._counting()

    def _counting(self) -> Rows:
        return tuple(row for row in self.found if row.budget is None or (row.name, row.budget) in self._in_force)


def nobody_adopts() -> None:
    """`Keyring.adopt` where nobody keeps budgets."""


def _budgets(rows: Rows) -> frozenset[tuple[str, KeyBudget]]:
    return frozenset((row.name, row.budget) for row in rows if row.budget is not None)


# --- changing it -----------------------------------------------------------------------------------------------------


def change(folder: Path, edited: Callable[[Rows], Rows]) -> None:
    """Replace the rows by what `edited` makes of them. Raises ConfigError, and what `edited` raises."""
    path = folder / FILE
    try:
        make_private(folder)
        with _locked(folder / LOCK):
            try:
                rows = read(path)
            except FileNotFoundError:
                rows = ()
            data = msgspec.json.format(msgspec.json.encode(_File(VERSION, edited(rows)))) + b"\n"
            replace_file(path, data, folder / NEW, is_durable=True)
    except OSError as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time. The lock is a file of its own: the other one is replaced, and a lock on it would hold nothing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        give_to_owner(descriptor, path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
