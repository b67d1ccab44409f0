"""How is a value kept that nobody may see, and that may change under us?

A secret that stands in a file of its own (`OPENAI_API_KEY_FILE`) is rotated by writing that file: it is looked at
when the secret is used, at most ten times a second, and read again when it is another one. One that somebody lends us
for an hour is told its new value.
"""

import os
import re
import stat
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

LIMIT = 64 * 1024  # bytes; a longer file is no key
LOOK_AGAIN = 0.1  # seconds: a key that was replaced is shown no longer than that

_SENDABLE = re.compile(r"[\t -~]*")


class Secret:
    """A value that must not be seen: only `reveal` shows it. With a file, `reveal` shows what the file says now.

    `item`: which one of those that the file holds, where they are several.
    """

    __slots__ = ("_clock", "_file", "_item", "_look_at", "_seen", "_value")

    def __init__(
        self,
        value: str,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        item: int | None = None,
    ) -> None:
        self._value = value
        self._file = file
        self._item = item
        self._clock = clock
        self._look_at = -1.0
        self._seen: tuple[int, int, int] | None = None

    def __repr__(self) -> str:
        return "***" if self._value else "(none)"

    def __bool__(self) -> bool:
        return bool(self._value)

    @property
    def is_nothing(self) -> bool:
        """Is there none, and no file that could ever say one?"""
        return self._file is None and not self._value

    def __eq__(self, other: object) -> bool:
        """Is it the same now, and will it be?"""
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._file, self._item, self.reveal()) == (other._file, other._item, other.reveal())

    __hash__ = None  # type: ignore[assignment]  # it may change

    def reveal(self) -> str:
        if self._file is not None and self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_AGAIN
            self._look(self._file)
        return self._value

    def look(self) -> str:
        """What the file says at this moment: for whoever was refused with what it said a moment ago."""
        self._look_at = -1.0
        return self.reveal()

    def become(self, value: str) -> None:
        """Another value from now on: that of a token which somebody gives us, and which ends."""
        self._value = value

    def _look(self, file: Path) -> None:
        """A file that is gone, empty, too short or broken is being written: the last good value stays."""
        try:
            found = file.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen == self._seen:
                return
            value = secret_text(file)
            if self._item is not None:
                value = items(value)[self._item]
        except (OSError, ValueError, IndexError):
            return
        if value and sendable(value):
            self._value, self._seen = value, seen


def secret_text(file: Path, limit: int = LIMIT) -> str:
    """What the file holds, less the line end and blanks around it. Raises OSError, and ValueError where it is no text.

    `limit`: the bytes that it may have. Only a regular file can be read again; a pipe would have us wait for ever.
    """
    with open(file, "rb", opener=_unhurried) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        data = opened.read(limit + 1)
    if len(data) > limit:
        raise OSError(0, f"longer than {limit} bytes")
    return data.decode("utf-8-sig").strip()


def items(text: str) -> list[str]:
    """Of a list that a variable or a file holds."""
    return [item for each in text.split(",") if (item := each.strip())]


def digest_of(key: str) -> bytes:
    """SHA-256, by which a client's key is known where it is not kept itself."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def sendable(value: str) -> bool:
    """May it stand in a header?"""
    return _SENDABLE.fullmatch(value) is not None


def why_unreadable(error: OSError | ValueError) -> str:
    """In words, and without the contents that a decoding error carries along."""
    return (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else "not UTF-8"


def _unhurried(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
