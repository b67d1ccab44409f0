"""Where is a ledger, which process has it, and was there one before?

The folder is private (0700, where it is made here), and so is each file (0600), whatever the umask.
"""

import fcntl
import os
from pathlib import Path
from time import gmtime, strftime

from proxy.files import give_to_owner
from proxy.folders import make_private
from proxy.store.reasons import Taken

BESIDE = "-wal", "-shm"  # endings of the files that SQLite keeps beside the database

_BEGUN = b"pillion has begun a ledger here. Where there is none beside this file, it was lost.\n"


class Files:
    """The files of one ledger. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "ledger.db"
        self.intents = folder / "ledger.intents"
        self._lock = folder / "ledger.lock"
        self._descriptor: int | None = None

    def __repr__(self) -> str:
        return f"<Files {self.folder}, {'ours' if self._descriptor is not None else 'not ours'}>"

    def lock(self) -> None:
        """Keep others out for as long as this process lives. Raises Taken where another process has it."""
        make_private(self.folder)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            give_to_owner(descriptor, self._lock)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                what = f"another pillion is using the ledger in {self.folder}: stop that one, or use another state_dir"
                raise Taken(what, "another pillion is using it") from None
            raise
        self._descriptor = descriptor

    def lock_again(self) -> bool:
        """Lock anew where somebody has removed the lock, and perhaps the folder; was that so? Raises as `lock` does."""
        if (before := self._descriptor) is None or leads_to(self._lock, os.fstat(before).st_ino):
            return False
        self.lock()
        os.close(before)
        self.mark_begun()
        return True

    def unlock(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def was_begun(self) -> bool:
        """Was there ever a ledger here?"""
        return self._lock.exists() and self._lock.stat().st_size > 0

    def mark_begun(self) -> None:
        if not self.was_begun:
            self._lock.write_bytes(_BEGUN)

    def set_aside(self, now: float) -> Path:
        """Rename the database, and what SQLite keeps beside it; the new name."""
        self.mark_begun()
        stamp = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
        aside = self._unused(f"{self.database.name}.corrupt-{stamp}")
        for suffix in (*BESIDE, ""):
            there = self.database.with_name(self.database.name + suffix)
            if there.exists():
                there.rename(aside.with_name(aside.name + suffix))
        return aside

    def _unused(self, name: str) -> Path:
        paths = (self.folder / (f"{name}-{n}" if n else name) for n in range(1000))
        return next(path for path in paths if not path.exists())


def leads_to(path: Path, inode: int) -> bool:
    """Is this file the open one? Not where it was removed, or replaced by another."""
    try:
        return path.stat().st_ino == inode
    except (FileNotFoundError, NotADirectoryError):
        return False
