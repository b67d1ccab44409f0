"""Who writes the rows down, and what if they cannot be written?

One thread has the database. Rows gather for a moment and are written together; whoever asks something is answered
behind all rows that came before. Where a write fails the rows stay and are tried again, after a pause and with another
connection where the error says so; `failed` says why until it works. More than HELD rows are not kept.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, Protocol, TypeVar

from proxy.store.database import Database
from proxy.store.reasons import reason
from proxy.store.row import Row

log = logging.getLogger("pillion")
T = TypeVar("T")
Question = Callable[[sqlite3.Connection], T]

GATHER = 0.1  # seconds
PAUSE = 0.25  # seconds until what failed is tried again
FAREWELL = 5.0  # seconds that the last rows have to be written
HELD = 10_000  # rows
AT_ONCE = 512  # rows in a transaction
PRUNE_EVERY = 60.0  # seconds
PRUNED = 1000  # rows at once


class Upkeep(Protocol):
    """What the writer does for others, in its thread."""

    def written(self, slots: Sequence[int]) -> None: ...
    def mend(self, error: Exception) -> None:
        """Make the database usable again, after this error. Raises where it is not."""
        ...

    def prepare(self) -> None:
        """Before what is held is written. Raises where it cannot be."""
        ...

    def prunable(self) -> tuple[float, int | None]:
        """Until which time rows may be deleted, and the first id that may not."""
        ...


class Writer:
    """The thread. It begins with `start`, and has the database from then on."""

    def __init__(self, database: Database, upkeep: Upkeep) -> None:
        self.failed = ""  # why nothing can be written now
        self.lost = 0  # rows
        self.database = database
        self._upkeep = upkeep
        self._held: list[tuple[int, Row]] = []
        self._put = self._written = 0  # rows, so far
        self._recent: list[Row] | None = None  # those put since somebody asked what they come to
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

    def put(self, slot: int, row: Row) -> bool:
        """Never waits. False: there are too many, and this one is lost."""
        if len(self._held) >= HELD:
            self.lost += 1
            return False
        self._held.append((slot, row))
        self._put += 1
        if self._recent is not None:
            self._recent.append(row)
        if not self._news.is_set():
            self._news.set()
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
        """The answer, and the rows that it does not know of: of those that were put by the moment this returns.

        The thread has written the first so many of all, and holds the next ones; those behind them are the recent ones
        but for their beginning. One such question at a time. Raises as `ask` does.
        """

        def ask(connection: sqlite3.Connection) -> tuple[T, list[Row], int]:
            answer = question(connection)
            held = [row for _, row in self._held]
            return answer, held, self._written + len(held)

        recent: list[Row] = []
        self._recent, before = recent, self._put
        try:
            answer, held, known = await self.ask(ask)
        finally:
            self._recent = None
        return answer, [*held, *recent[known - before :]]

    def close(self) -> bool:
        """Write what is held, as far as it can be written within a time; is the thread done?"""
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
            self._hurry.wait(PAUSE if self._error else GATHER)
            self._hurry.clear()
            self._turn()
        self._turn()
        self.database.close()
        self._answer(len(self._asked))  # whoever asked at the last moment

    def _patience(self) -> float:
        return 0 if self._error is not None else max(0.0, self._prune_at - monotonic())

    def _turn(self) -> None:
        """All that is held, and all that was asked by now: who asks while it is written may have put rows before."""
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
            self.database.insert([])  # where no row waits this is the proof
        self._upkeep.prepare()
        while batch := self._held[:AT_ONCE]:
            self.database.insert([row for _, row in batch])
            del self._held[: len(batch)]  # the loop goes on appending: each of these steps is one
            self._written += len(batch)
            self._upkeep.written([slot for slot, _ in batch])
        if monotonic() >= self._prune_at:
            self._prune()

    def _prune(self) -> None:
        """In small steps: as long as there is more, one each time."""
        gone = self.database.prune(*self._upkeep.prunable(), PRUNED)
        self._prune_at = monotonic() + (GATHER if gone == PRUNED else PRUNE_EVERY)

    def _answer(self, count: int) -> None:
        for _ in range(count):
            question, answer = self._asked.pop(0)
            if not answer.set_running_or_notify_cancel():  # who asked has gone
                continue
            try:
                answer.set_result(self.database.ask(question))
            except Exception as error:
                answer.set_exception(error)

    def _fail(self, error: Exception) -> None:
        self._error = error
        if self.failed != (why := reason(error)):
            self.failed = why
            log.error("the ledger cannot be written: %s", why, extra={"event": "ledger_failed"})

    def _recover(self) -> None:
        self._error = None
        if self.failed:
            self.failed = ""
            log.warning("the ledger is written again", extra={"event": "ledger_recovered"})
