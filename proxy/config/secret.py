"""How is a value kept that nobody may see, and that may change under us?

A secret in a file of its own (`OPENAI_API_KEY_FILE`) is rotated by writing that file: we look at the file when the
secret is used, at most ten times a second, and read it again when it has changed. A token that is lent to us for an
hour gets its new value by `become`.
"""

import logging
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import NamedTuple

LIMIT = 64 * 1024  # bytes; a longer file is no key
LOOK_AGAIN = 0.1  # seconds: a key that was replaced is used no longer than that
SHORTEST_KEY = 16  # characters of a client key that strangers may guess at
WRITTEN_IN = 5.0  # seconds after which nobody is writing a file any more

_SENDABLE = re.compile(r"[\t -~]*")

log = logging.getLogger("pillion")


class Item(NamedTuple):
    """Which of the values in a file it is, and how many there were when the configuration was read."""

    number: int
    of: int


class Secret:
    """A value that must not be seen: only `reveal` shows it. With a file, `reveal` shows what the file says now.

    `item`: where the file holds several values. `shortest`: characters of a value that may replace one as long.
    """

    __slots__ = ("_clock", "_count", "_file", "_item", "_look_at", "_lost_since", "_seen", "_shortest", "_value")

    def __init__(
        self,
        value: str,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        item: Item | None = None,
        shortest: int = 0,
    ) -> None:
        self._shortest = shortest
        self._value = value
        self._file = file
        self._item = item
        self._count = item.of if item is not None else 0  # of the values in the file, as it was last seen
        self._clock = clock
        self._look_at = -1.0
        self._seen: tuple[int, int, int] | None = None
        self._lost_since = inf  # when its file was first found without a value; -inf once that was told

    def __repr__(self) -> str:
        return "***" if self._value else "(none)"

    def __bool__(self) -> bool:
        return bool(self._value)

    @property
    def is_nothing(self) -> bool:
        """Is there no value, and no file that could ever hold one?"""
        return self._file is None and not self._value

    def __eq__(self, other: object) -> bool:
        """Is it the same now, and will it be?"""
        return isinstance(other, Secret) and self._shown() == other._shown()

    __hash__ = None  # type: ignore[assignment]  # it may change

    def _shown(self) -> tuple[Path | None, Item | None, str]:
        return self._file, self._item, self.reveal()

    def reveal(self) -> str:
        if self._file is not None and self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_AGAIN
            self._look(self._file)
        return self._value

    def look(self) -> str:
        """What the file says at this very moment, for use after the last value was refused."""
        self._look_at = -1.0
        return self.reveal()

    def become(self, value: str) -> None:
        """Another value from now on, for a token that expires and is replaced."""
        self._value = value

    def _look(self, file: Path) -> None:
        """Read the file if it has changed. One that is gone, empty or broken is being written: the last value stays.

        So is one with a client's key that has become so short that strangers might guess at it: a start where they
        can come in would not allow it.
        """
        try:
            found = file.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen == self._seen:
                return
            value = secret_text(file)
            if self._item is not None:
                value = self._own(items(value), self._item, file)
        except (OSError, ValueError):
            value, seen = "", None
        if value and sendable(value) and not len(value) < self._shortest <= len(self._value):
            self._value, self._seen, self._lost_since = value, seen, inf
        else:
            self._lost(file)

    def _own(self, found: Sequence[str], item: Item, file: Path) -> str:
        """Its own value of several; its last one where there are fewer than there were, and "" where there are none."""
        if item.number == 0 and found and len(found) not in (item.of, self._count):  # the first one says it for all
            words = "%s holds %d keys now and not %d: send SIGHUP to use all of them, and no others"
            log.warning(words, file, len(found), item.of, extra={"event": "key_count_changed"})
        self._count = len(found)
        return found[item.number] if item.number < len(found) else self._value if found else ""

    def _lost(self, file: Path) -> None:
        """Say once that it is not being written, but gone: the last value is lost when pillion ends."""
        now = self._clock()
        self._lost_since = min(self._lost_since, now)
        if -inf < self._lost_since <= now - WRITTEN_IN:
            self._lost_since = -inf
            words = "%s holds no key any more, or too short a one: its last one is used until pillion stops"
            log.warning(words, file, extra={"event": "key_file_lost"})


def secret_text(file: Path, limit: int = LIMIT) -> str:
    """The file's text, without the blanks and line ends around it. Raises OSError, and ValueError where it is no text.

    `limit`: the bytes that it may have. Only a regular file can be read again; at a pipe we would wait for ever.
    """
    with open(file, "rb", opener=_unhurried) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        data = opened.read(limit + 1)
    if len(data) > limit:
        raise OSError(0, f"longer than {limit} bytes")
    return data.decode("utf-8-sig").strip()


def items(text: str) -> list[str]:
    """The items of a list in a variable or a file."""
    return [item for each in text.split(",") if (item := each.strip())]


def digest_of(key: str) -> bytes:
    """SHA-256, which is kept in place of a client's key."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def sendable(value: str) -> bool:
    """May it stand in a header?"""
    return _SENDABLE.fullmatch(value) is not None


def why_unreadable(error: OSError | ValueError) -> str:
    """In words, without the contents that a decoding error carries."""
    if isinstance(error, PermissionError):
        return f"permission denied to user {os.geteuid()}, as whom this runs"
    return (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else "not UTF-8"


def _unhurried(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
