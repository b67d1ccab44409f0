"""What writes the rows, and what happens if they cannot be written?

One thread has the database. Rows gather for a moment and are written together; where they are many they gather for
longer, because a thread that wants the interpreter's lock back from a busy loop costs the loop as well. A question is
answered after all rows that came before it. If a write fails, the rows stay and are tried again after a pause, with a
new connection where the error calls for one; `failed` says why until it works. At most HELD rows are kept.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, Protocol, TypeVar

from proxy.store.aging import Young
from proxy.store.database import Database
from proxy.store.reasons import reason, told
from proxy.store.row import Row, read

log = logging.getLogger("pillion")
T = TypeVar("T")
Question = Callable[[sqlite3.Connection], T]

GATHER = 0.1  # seconds
MANY = 64  # rows; if more came by then, it waits
LONGER = 0.4  # seconds more, or until there are
ENOUGH = 1024  # rows
PAUSE = 0.25  # seconds until what failed is tried again
FAREWELL = 5.0  # seconds that the last rows have to be written
HELD = 10_000  # rows
AT_ONCE = 2048  # rows in a transaction
PRUNE_EVERY = 60.0  # seconds
PRUNED = 1000  # rows at once


class Upkeep(Protocol):
    """What the writer's thread calls while it works."""

    def written(self, slots: Sequence[int]) -> None: ...
    def mend(self, error: Exception) -> None:
        """Make the database usable again, after this error. Raises where it is not."""
        ...

    def prepare(self) -> None:
        """Called before rows are written. Raises where they cannot be."""
        ...

    def prunable(self) -> tuple[Young | None, int | None]:
        """Which rows must stay (None: all), and from which id on none may be deleted. Raises sqlite3.Error."""
        ...


class Writer:
    """The thread. It runs from `start` on, and from then on only it uses the database."""

    def __init__(self, database: Database, upkeep: Upkeep) -> None:
        self.failed = ""  # why nothing can be written now
        self.lost = 0  # rows
        self.database = database
        self._upkeep = upkeep
        self._held: list[tuple[int, bytes]] = []  # slots and rows, as row.py spells them
        self._put = self._written = 0  # rows, so far
        self._recent: list[bytes] | None = None  # rows that were put since `reckoned` was called
        self._asked: list[tuple[Question[Any], Future[Any]]] = []
        self._error: Exception | None = None
        self._prune_at = monotonic() + PRUNE_EVERY
        self._news = threading.Event()
        self._hurry = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def __repr__(self) -> str:
        return f"<Writer, {self.pending} rows held, {self.failed or 'well'}>"

    @property
    def pending(self) -> int:
        return len(self._held)

    def start(self) -> None:
        self._thread.start()

    def put(self, slot: int, said: bytes) -> bool:
        """Never waits. False: too many are held, and this row is lost."""
        if len(self._held) >= HELD:
            self.lost += 1
            return False
        self._held.append((slot, said))
        self._put += 1
        if self._recent is not None:
            self._recent.append(said)
        held = len(self._held)  # behind the append: the thread may have taken those before it meanwhile, and sleep
        if held == 1:
            self._news.set()
        elif held == ENOUGH:
            self._hurry.set()
        return True

    async def ask(self, question: Question[T]) -> T:
        """Raises what the question raises."""
        if self._closing.is_set() or not self._thread.is_alive():
            raise sqlite3.OperationalError("the ledger is closed")
        answer: Future[T] = Future()
        self._asked.append((question, answer))
        self._hurry.set()
        self._news.set()
        return await asyncio.wrap_future(answer)

    async def reckoned(self, question: Question[T]) -> tuple[T, list[Row]]:
        """The answer, and the rows that it does not include, up to the moment of the return.

        Of all rows that were put, the answer includes the first, which are written. The thread holds the next ones, and
        those behind them are the end of `recent`. One such question at a time. Raises as `ask` does.
        """

        def ask(connection: sqlite3.Connection) -> tuple[T, list[bytes], int]:
            answer = question(connection)
            held = [said for _, said in self._held]
            return answer, held, self._written + len(held)

        recent: list[bytes] = []
        self._recent, before = recent, self._put
        try:
            answer, held, known = await self.ask(ask)
        finally:
            self._recent = None
        return answer, [read(said) for said in (*held, *recent[known - before :])]

    def close(self) -> bool:
        """Write what is held, as far as that works in FAREWELL seconds; has the thread ended?"""
        self._closing.set()
        self._hurry.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(FAREWELL)
        return not self._thread.is_alive()

    # --- in the thread ---

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.wait(self._patience())
            self._news.clear()
            self._gather()
            self._turn()
        self._turn()
        self.database.close()
        self._answer(len(self._asked))  # what was asked at the last moment

    def _gather(self) -> None:
        is_hurried = self._hurry.wait(PAUSE if self._error is not None else GATHER)
        if not is_hurried and self._error is None and MANY < self.pending < ENOUGH:
            self._hurry.wait(LONGER)
        self._hurry.clear()

    def _patience(self) -> float:
        return 0 if self._held or self._error is not None else max(0.0, self._prune_at - monotonic())

    def _turn(self) -> None:
        """Write all that is held, then answer what was asked before that: later questions may have put further rows."""
        asked = len(self._asked)
        try:
            self._write()
        except Exception as error:
            self._fail(error)
        else:
            self._recover()
        self._answer(asked)

    def _write(self) -> None:
        if self._error is not None:
            self._upkeep.mend(self._error)
            self.database.insert([])  # shows that it works again, even if no row waits
        self._upkeep.prepare()
        end = self._written + len(self._held)  # what comes from now on gathers for the next turn
        while batch := self._held[: min(AT_ONCE, end - self._written)]:
            self.database.insert([said for _, said in batch])
            del self._held[: len(batch)]  # the loop goes on appending; this step is atomic
            self._written += len(batch)
            self._upkeep.written([slot for slot, _ in batch])
        if monotonic() >= self._prune_at:
            self._prune()

    def _prune(self) -> None:
        """One small step; the next follows soon if there is more."""
        young, unwritten = self._upkeep.prunable()
        gone = self.database.prune(young, unwritten, PRUNED) if young is not None else 0
        self._prune_at = monotonic() + (GATHER if gone >= PRUNED else PRUNE_EVERY)

    def _answer(self, count: int) -> None:
        for _ in range(count):
            question, answer = self._asked.pop(0)
            if not answer.set_running_or_notify_cancel():  # nobody waits for it any more
                continue
            try:
                answer.set_result(self.database.ask(question))
            except Exception as error:
                answer.set_exception(error)

    def _fail(self, error: Exception) -> None:
        self._error = error
        if self.failed != (why := reason(error)):
            words = "the ledger cannot be written: %s"
            log.error(words, told(error, self.database.path), extra={"event": "ledger_failed"})
            self.failed = why  # behind the line: whoever is refused for it finds it in the log

    def _recover(self) -> None:
        self._error = None
        if self.failed:
            self.failed = ""
            log.warning("the ledger can be written again: %s", self.database.path, extra={"event": "ledger_recovered"})
