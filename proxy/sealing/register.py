"""How is it still known after a restart who made a seal?

The file `seals` in the state directory has a line for each: the seal's digest, its maker's name, and the host that went
by that name; no seal, and no word of a conversation. A line is written when its seal is first met, so that a kill loses
nothing. Once the file is long, a new one is begun, and the old one is kept as `seals.old`. This is best effort: what
cannot be read or written is logged once, and no request fails for it.

Several pillions may write into one folder. Each opens the file anew for each line, so that it writes into the current
one.
"""

import fcntl
import logging
import os
import re
import stat
from binascii import hexlify, unhexlify
from collections.abc import Iterable
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path

from proxy.folders import make_private

FILE, FORMER = "seals", "seals.old"
SEALS = 50_000  # lines in both files together; those that were written first are forgotten first
LARGEST = 32 * 1024 * 1024  # bytes of a file: more than we ever write

_VERSION = 1
_HEAD = b"pillion seals %d" % _VERSION
_version = re.compile(rb"pillion seals (\d{1,9})\n").match
_DIGEST = 32  # characters
_maker = re.compile(rb" (\S+ \S+)").fullmatch  # a line that was cut off, and runs into the next one, has more words
_END_OF_CUT = b" \n"  # the blank spoils the line, as half a host's name could be a whole one
_OURS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe of that name must not have us wait

log = logging.getLogger("pillion")

Makers = dict[bytes, tuple[str, ...]]  # by a seal's digest, of 16 bytes: two words each


class Register:
    """`folder`: the state directory."""

    def __init__(self, folder: Path, limit: int = SEALS) -> None:
        self._path = folder / FILE
        self._former = folder / FORMER
        self._limit = limit
        self._is_ours = True  # the file, and not a newer pillion's
        self._is_cut = False  # in the middle of its last line
        self._is_told = False  # that it cannot be written

    def __repr__(self) -> str:
        return f"<Register {self._path}>"

    def read(self) -> Makers:
        """What was written, the oldest first. For a thread; raises nothing."""
        found: Makers = {}
        for path in (self._former, self._path):
            self._read(path, found)
        return found

    def note(self, digest: bytes, maker: str) -> None:
        """Write a line, which takes four microseconds on the loop."""
        if not self._is_ours:
            return
        try:
            self._append(b"%b %b\n" % (hexlify(digest), maker.encode()))
        except OSError as error:
            self._tell(error)
        else:
            self._is_told = False

    # --- reading ---

    def _read(self, path: Path, found: Makers) -> None:
        self._is_cut = False
        try:
            data = _bytes_of(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            _complain(path, _why(error))
            return
        if (said := _version(data)) and int(said[1]) != _VERSION:
            self._is_ours = False
            _complain(path, "was written by a newer pillion, and is left as it is")
            return
        *lines, rest = data.split(b"\n")
        self._is_cut = bool(rest)
        heads = lines.count(_HEAD)  # two pillions that begin a file at once write one each
        if broken := len(lines) - heads - _learn(lines, found) + self._is_cut:
            _complain(path, f"is damaged: {broken} of its lines cannot be read")

    # --- writing ---

    def _append(self, line: bytes) -> None:
        """Raises OSError."""
        descriptor = self._opened()
        try:
            size = os.fstat(descriptor).st_size
            if size >= self._limit // 2 * len(line) and self._retired(descriptor):
                full, descriptor = descriptor, self._opened()
                os.close(full)
                size = os.fstat(descriptor).st_size  # another pillion may have begun it
            if not size:
                os.fchmod(descriptor, 0o600)  # a umask may have taken from us what is ours
            before = _END_OF_CUT * self._is_cut if size else _HEAD + b"\n"
            data = before + line
            self._is_cut = os.write(descriptor, data) < len(data)
        finally:
            os.close(descriptor)
        if self._is_cut:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _OURS
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            make_private(self._path.parent)
            return os.open(self._path, flags, 0o600)

    def _retired(self, descriptor: int) -> bool:
        """Put the full file aside. False: another pillion just does, and no new one is to be begun. Raises OSError."""
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                self._path.replace(self._former)
            self._is_cut = False
            return True
        return False

    def _tell(self, error: OSError) -> None:
        """Once, until it can be written again."""
        if not self._is_told:
            self._is_told = True
            words = "%s: %s; which provider made which seal will be forgotten when pillion ends"
            log.warning(words, self._path, _why(error), extra={"event": "seals_unkept"})


def _bytes_of(path: Path) -> bytes:
    """Raises OSError."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _OURS)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(0, f"longer than {LARGEST} bytes")
    return data


def _learn(lines: Iterable[bytes], found: Makers) -> int:
    """Add what the lines say; returns how many of them are good. Each maker's words are read once."""
    makers: dict[bytes, tuple[str, ...]] = {}
    learnt = 0
    for line in lines:
        words = line[_DIGEST:]
        if (maker := makers.get(words)) is None:
            said = _maker(words)
            maker = makers[words] = (said[1].decode("utf-8", "replace"),) if said else ()
        if not maker:
            continue
        try:
            digest = unhexlify(line[:_DIGEST])
        except ValueError:
            continue
        learnt += 1
        if found.setdefault(digest, maker) is not maker:
            found[digest] = tuple(dict.fromkeys(found[digest] + maker))
    return learnt


def _complain(path: Path, why: str) -> None:
    words = "%s: %s; of some earlier seals, it is not known which provider made them"
    log.warning(words, path, why, extra={"event": "seals_unreadable"})


def _why(error: OSError) -> str:
    return (error.strerror or "cannot be used").lower()
