"""What was under way when we were killed?

Before a provider is asked, the most that the attempt may cost is written into a slot of a file, that is into the
kernel's cache, which outlives the process. When the attempt has ended, its row takes the place of the intent, and once
the database has the row the slot is free again:

    free --put--> open --settle--> settled --release--> free        (what is written stays until it is written over)
                    +----forget-----------------------> free        (written over as well)

All that is put, settled and forgotten waits for `flush`, which is due before anybody is told: before bytes go to a
provider or to a client. Slots are given out one after the other, round and round, so that those of one turn of the loop
lie side by side, and are written by one `pwrite` or two.

A slot is as large as a disk's sector and stands in one, so that it is never half written:

    CRC-32 of the row and the state (4 bytes)   length (2)   version (1)   state (1)   row, as row.py spells it

The file is allocated ahead of need, so that a full disk refuses no intent. The loop calls `put`, `settle`, `forget` and
`flush`, the writer's thread `release`, `grow` and `renew`, and the thread that syncs `renew` too. Only that needs a
lock: a dict's `pop` and `copy` are one step each under the interpreter's.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from proxy.files import sync_folder
from proxy.store import row as rows
from proxy.store.files import leads_to
from proxy.store.reasons import NEWER, Unusable
from proxy.store.row import CRASHED, ESTIMATED, Row

SLOT = 512  # bytes
BLOCK = 1024  # slots that are allocated at once
FIRST = 2  # blocks
MOST = 32 * BLOCK  # slots
VERSION = 1
NO_SLOT = -1
OPEN, SETTLED = 1, 2

_HEAD = Struct("<IHBB")
_NOTHING = bytes(_HEAD.size)


class Found(NamedTuple):
    """What a file of slots holds. Rows of open slots are marked as crashed."""

    rows: list[Row]
    unreadable: int  # slots


class Intents:
    """The file of slots."""

    def __init__(self, path: Path) -> None:
        """Makes a new file in place of the one that is there. Raises OSError."""
        self._path = path
        self._held: dict[int, bytes] = {}  # the contents of the slots that are not free
        self._waiting: dict[int, bytes] = {}  # what is not in the file yet
        self._next = 0  # where a free slot is looked for
        self._renewing = threading.Lock()
        self._allocated = FIRST * BLOCK
        self._fd = self._made({})

    def __repr__(self) -> str:
        return f"<Intents {self._path}, {len(self._held)} of {self._allocated} slots in use>"

    @property
    def held(self) -> int:
        return len(self._held)

    def put(self, said: bytes) -> int:
        """The slot of an intent. Raises OSError where none is free."""
        slot = self._take()
        self._hold(slot, OPEN, said)
        return slot

    def settle(self, slot: int, said: bytes) -> None:
        self._hold(slot, SETTLED, said)

    def forget(self, slot: int) -> None:
        self._waiting[slot] = _NOTHING
        self.release([slot])

    def release(self, slots: Iterable[int]) -> None:
        """The database has these rows. If one is read again all the same, its id keeps it from being booked twice."""
        for slot in slots:
            self._held.pop(slot, None)

    def write(self, slot: int) -> None:
        """One that waits, and no other. Raises OSError."""
        self._write(slot, self._waiting.pop(slot).ljust(SLOT, b"\0"))

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def flush(self) -> dict[int, OSError]:
        """Write what waits; which slots could not be written, and why. They are not tried again."""
        waiting, self._waiting = self._waiting, {}
        failed: dict[int, OSError] = {}
        for run in _runs(sorted(waiting)):
            data = [waiting[slot].ljust(SLOT, b"\0") for slot in run]
            try:
                self._write(run[0], b"".join(data))
            except OSError:
                for slot, its in zip(run, data, strict=True):  # its neighbours must not suffer
                    try:
                        self._write(slot, its)
                    except OSError as error:
                        failed[slot] = error
        return failed

    @property
    def is_gone(self) -> bool:
        """Has somebody removed the file? Then `renew` puts it back."""
        return not leads_to(self._path, os.fstat(self._fd).st_ino)

    def grow(self) -> bool:
        """Allocate ahead of need; was there any? Raises OSError."""
        before = self._allocated
        while self._allocated - len(self._held) < BLOCK and self._allocated < MOST:
            os.posix_fallocate(self._fd, self._allocated * SLOT, BLOCK * SLOT)
            self._allocated += BLOCK
        return self._allocated > before

    def oldest(self) -> int | None:
        """The lowest id that the database may not have yet."""
        ids = [rows.read(said[_HEAD.size :]).id for said in self._held.copy().values()]
        return min(ids, default=None)

    def sync(self) -> None:
        """Raises OSError."""
        os.fdatasync(self._fd)

    def renew(self) -> None:
        """Move everything into a new file: after a failed sync the kernel takes the old file's pages for written.

        The descriptor stays the same and changes files in one step; what the loop wrote into the old file meanwhile is
        written once more. Raises OSError.
        """
        with self._renewing:
            before = self._held.copy()
            made = self._made(before)
            os.dup2(made, self._fd, inheritable=False)
            os.close(made)
            for slot in before.keys() | self._held.copy().keys():
                written = before.get(slot)
                while written is not (now := self._held.get(slot)):  # the loop goes on
                    os.pwrite(self._fd, _NOTHING if now is None else now, slot * SLOT)
                    written = now
            os.fdatasync(self._fd)

    def close(self, is_done: bool) -> None:
        """`is_done`: the database has all that was ever in the file, which may go."""
        descriptor, self._fd = self._fd, -1  # a thread that was hanging must not write to another file of that number
        os.close(descriptor)
        if is_done and not self._held:
            with suppress(OSError):
                self._path.unlink()

    def _take(self) -> int:
        if (count := len(self._held)) >= MOST:
            raise OSError(ENOSPC, "no free slot")
        size = max(self._allocated, (count // BLOCK + 1) * BLOCK)  # in a burst, beyond what is allocated
        slot = self._next
        while slot >= size or slot in self._held:
            slot = slot + 1 if slot + 1 < size else 0
        self._next = slot + 1
        return slot

    def _hold(self, slot: int, state: int, said: bytes) -> None:
        data = _HEAD.pack(crc32(said, state), len(said), VERSION, state) + said
        self._held[slot] = self._waiting[slot] = data

    def _write(self, slot: int, data: bytes) -> None:
        """Write this slot, and those behind it that are in the data."""
        if os.pwrite(self._fd, data, slot * SLOT) < len(data):
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    def _made(self, held: dict[int, bytes]) -> int:
        """The descriptor of a new file, allocated and with these slots in it, that has replaced the old one."""
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.posix_fallocate(descriptor, 0, self._allocated * SLOT)
            for slot, data in held.items():
                os.pwrite(descriptor, data, slot * SLOT)
            os.fsync(descriptor)
            new.rename(self._path)
            sync_folder(self._path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _runs(slots: Iterable[int]) -> Iterator[list[int]]:
    """Those that lie side by side. `slots`: sorted."""
    run: list[int] = []
    for slot in slots:
        if run and slot != run[-1] + 1:
            yield run
            run = []
        run.append(slot)
    if run:
        yield run


def found(path: Path) -> Found:
    """What is left in the file; nothing where there is no such file. Raises OSError, Unusable."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Found([], 0)
    said: list[Row] = []
    unreadable = 0
    for at in range(0, len(data) - SLOT + 1, SLOT):
        crc, length, version, state = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if not (crc or length or version or state):
            continue
        if crc != crc32(body, state) or length > rows.LONGEST:
            unreadable += 1
        elif version > VERSION:
            raise Unusable(f"{path} {NEWER}: run that version, or use another state_dir", f"it {NEWER}")
        elif (row := _row(state, body)) is not None:
            said.append(row)
        else:
            unreadable += 1
    return Found(said, unreadable)


def _row(state: int, body: bytes) -> Row | None:
    try:
        row = rows.read(body)
    except ValueError:
        return None
    if state == OPEN:
        row.flags |= ESTIMATED | CRASHED
    return row
