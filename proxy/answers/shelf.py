"""How do answers outlive the process?

Each has a file, named by its question's digest, in a folder that nobody else may look into. A file is written under
another name and put in place whole; its modification time tells its age. One thread does all of this, in the order in
which it was asked to, so that the loop waits for no disk.
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import time
from typing import NamedTuple, TypeVar, TypeVarTuple

from proxy.answers.answer import OVERHEAD, Answer, from_file, to_file
from proxy.files import replace_file
from proxy.folders import make_private

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

FOLDER = "answers"
BACKLOG = 16 * 1024 * 1024  # bytes that may wait for the disk; an answer beyond that gets no file
FORGOTTEN = 60.0  # seconds after which an unfinished file is nobody's any more

_is_key = re.compile(r"[0-9a-f]{64}").fullmatch
_is_unfinished = re.compile(r"[0-9a-f]{64}\.[0-9]+\.new").fullmatch

log = logging.getLogger("pillion")


class Kept(NamedTuple):
    """A file. `age` is in seconds, and negative where the clock was set back."""

    key: str
    size: int
    age: float


class Shelf:
    """`state`: the state directory. `takes`: may more be written? `wall`: seconds since 1970."""

    def __init__(self, state: Path, wall: Callable[[], float] = time, takes: bool = True) -> None:
        self._folder = state / FOLDER
        self._takes = takes
        self._wall = wall
        self._thread = ThreadPoolExecutor(1, "answers")  # it starts when it is first wanted
        self._jobs: set[asyncio.Future[None]] = set()
        self._backlog = 0
        self._is_told = False  # that it cannot be written
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Shelf {self._folder}>"

    async def look(self) -> list[Kept]:
        """What is there, the oldest first."""
        return await self._aside(self._look)

    async def read(self, key: str) -> Answer | None:
        return None if self._is_closed else await self._aside(self._read, key)

    def write(self, key: str, answer: Answer) -> None:
        """Later, and only if the disk keeps up."""
        if self._takes and self._backlog + answer.weight <= BACKLOG:
            self._backlog += answer.weight
            self._later(answer.weight, self._write, key, answer)

    def remove(self, keys: Sequence[str]) -> None:
        self._later(0, self._remove, keys)

    async def close(self) -> None:
        """Once all is done that was asked for."""
        self._is_closed = True
        if self._jobs:
            await asyncio.wait(self._jobs)
        self._thread.shutdown()

    def _aside(self, work: Callable[[*Arguments], T], *arguments: *Arguments) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _later(self, weight: int, work: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        if self._is_closed:
            return

        def done(job: asyncio.Future[None]) -> None:
            self._jobs.discard(job)
            self._backlog -= weight

        job = self._aside(work, *arguments)
        self._jobs.add(job)
        job.add_done_callback(done)

    # --- in the thread: it raises nothing ---

    def _look(self) -> list[Kept]:
        found: list[Kept] = []
        try:
            make_private(self._folder)
            with os.scandir(self._folder) as files:
                for file in files:
                    self._note(file, found)
        except OSError as error:
            self._tell(error)
        return sorted(found, key=lambda kept: -kept.age)

    def _note(self, file: os.DirEntry[str], found: list[Kept]) -> None:
        """Files with other names than ours are somebody else's."""
        if not file.is_file(follow_symlinks=False):
            return
        with suppress(FileNotFoundError):  # another pillion has removed it meanwhile
            stat = file.stat(follow_symlinks=False)
            age = self._wall() - stat.st_mtime
            if _is_key(file.name):
                found.append(Kept(file.name, stat.st_size + OVERHEAD, age))
            elif _is_unfinished(file.name) and age > FORGOTTEN:
                os.unlink(file.path)

    def _read(self, key: str) -> Answer | None:
        try:
            with open(self._folder / key, "rb", opener=_unfollowed) as file:
                return from_file(file.read())
        except OSError:
            return None

    def _write(self, key: str, answer: Answer) -> None:
        unfinished = self._folder / f"{key}.{os.getpid()}.new"
        try:
            replace_file(self._folder / key, to_file(answer), unfinished, is_durable=False)
        except UnicodeEncodeError:
            return
        except OSError as error:
            self._tell(error)
        else:
            self._is_told = False

    def _remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(OSError):  # it is not there, or will be too old at the next start
                (self._folder / key).unlink()

    def _tell(self, error: OSError) -> None:
        """Once, until it can be written again."""
        if not self._is_told:
            self._is_told = True
            why = error.strerror or "cannot be used"
            log.warning("%s: %s; answers are cached only in memory", self._folder, why, extra={"event": "cache_unkept"})


def left_in(state: Path) -> Shelf | None:
    """What is left from when answers were written to files; None where there is nothing."""
    return Shelf(state, takes=False) if os.path.isdir(state / FOLDER) else None


def _unfollowed(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
