"""Is everything that was written down still there, once, after a kill -9 at any moment?

    python -m tests.crash kills FOLDER COUNT SEED     COUNT kills at random moments
    python -m tests.crash points FOLDER               one at every named point
    python -m tests.crash full FOLDER                 a disk that fills up, and is emptied again

Each kill hits a child of this process that keeps a ledger as pillion does and says in a log of its own, before it goes
on, what it was told: that an intent is kept, that a row is settled, that an attempt is forgotten. The next child opens
what the last one left behind, and every now and then it is compared with that log. What differs is printed, a line
each, and last how many kills there were; the exit code is 1 where anything differs. A child is forked, so that a kill
takes a few milliseconds.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

from proxy.config import Ledger as Wish
from proxy.errors import LedgerUnavailable
from proxy.store import CRASHED, ESTIMATED, Ledger, Query, Row, aging, begin, beginning, database, intents, writer
from proxy.store.database import Database
from proxy.store.intents import Intents

NOW = 1_790_000_000.0  # unix seconds
ESTIMATE, COST = 1000, 7  # nano-dollars
AT_ONCE = 8  # attempts under way
LONGEST = 0.04  # seconds that a child lives, where it is killed at random


class Point(NamedTuple):
    """Where a child kills itself: before or after a function's n-th call."""

    owner: Any
    name: str
    when: str
    nth: int = 1


POINTS = {
    "before an intent": Point(Intents, "put", "before", 5),
    "an intent that waits": Point(Intents, "put", "after", 5),
    "after an intent": Point(Intents, "_write", "after", 5),
    "before a settlement": Point(Intents, "settle", "before", 5),
    "a settlement that waits": Point(Intents, "settle", "after", 5),
    "after a settlement": Point(Intents, "_write", "after", 20),
    "after an attempt is forgotten": Point(Intents, "forget", "after"),
    "before a transaction": Point(Database, "_insert", "before", 3),
    "rows without sums": Point(Database, "_put", "after", 4),
    "rows and hours without days": Point(Database, "_put", "after", 5),
    "rows and sums without a commit": Point(Database, "_put", "after", 6),
    "after a commit": Point(Intents, "release", "before", 3),
    "after slots are free again": Point(Intents, "release", "after", 3),
    "rows pruned, not committed": Point(Database, "_say", "after", 2),
    "after pruning": Point(Database, "prune", "after", 2),
    "when the slots are read": Point(intents, "found", "after"),
    "when the slots are replayed": Point(Database, "_insert", "after"),
    "before there is a new file": Point(Path, "rename", "before"),
    "when there is a new file": Point(Path, "rename", "after"),
    "while it is opened": Point(beginning, "opened", "after"),
    "while it is closed": Point(Intents, "close", "before"),
    "after the database is closed": Point(Database, "close", "after", 2),
}


# --- the child -------------------------------------------------------------------------------------------------------


def arm(point: Point) -> None:
    """From now on this process dies there."""
    original, calls = getattr(point.owner, point.name), [0]

    @wraps(original)
    def deadly(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == point.nth and point.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        returned = original(*arguments, **named)
        if calls[0] == point.nth and point.when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return returned

    setattr(point.owner, point.name, deadly)


def row(request: str, nanos: int, age: float = 0.0) -> Row:
    numbers = dict.fromkeys(("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "reasoning"), 0)
    return Row(
        id=0,
        at=NOW - age,
        request=request,
        attempt=1,
        client="app",
        dialect="openai_chat",
        operation="chat",
        provider="openai",
        model="m",
        output=nanos,
        audio_output=0,
        nanos=nanos,
        source="config",
        duration=0.5,
        first_byte=0.1,
        status=200,
        error="",
        flags=0,
        **numbers,
    )


async def keep(folder: Path, name: str, say: Callable[[str], None], is_full: bool) -> None:
    """A ledger in use: attempts that end in another order than they began in."""
    dice = random.Random(name)
    wish = Wish(synchronous="full" if is_full else "normal", keep_days=1)
    aging.PROBATION = 0
    book = Ledger(folder, wish, False, clock=lambda: NOW)
    await book.open()
    under_way: list[tuple[int, Row]] = []
    for n in range(600):
        # Every third is old enough to be pruned as soon as it is written.
        this = row(f"{name}-{n}", ESTIMATE, 3 * 86400 if n % 3 == 0 else 0)
        slot = book.intend(this)
        await book.durable(slot)
        book.flush()
        say(f"intended {this.request}")
        under_way.append((slot, this))
        if len(under_way) == AT_ONCE:
            end(book, under_way.pop(dice.randrange(AT_ONCE)), dice.random() < 0.1, say)
        if n % 20 == 0:
            await book.usage(Query())
    for slot, this in under_way:
        end(book, (slot, this), False, say)
    await book.close()


def end(book: Ledger, attempt: tuple[int, Row], is_forgotten: bool, say: Callable[[str], None]) -> None:
    slot, this = attempt
    if is_forgotten:
        say(f"forgotten {this.request}")  # said before: from here on it may be gone
        book.forget(slot)
    else:
        this.nanos = this.output = COST
        book.settle(slot, this)
        book.flush()
        say(f"settled {this.request}")


# --- its parent ------------------------------------------------------------------------------------------------------


def child(do: Callable[[], Coroutine[Any, Any, None]], life: float | None = None) -> int:
    """How it ended, as os.waitpid says. `life`: seconds until it is killed."""
    if (pid := os.fork()) == 0:
        try:
            asyncio.run(do())
            os._exit(0)
        except BaseException as error:
            print(f"the child failed: {error!r}", flush=True)
            os._exit(1)
    if life is not None:
        time.sleep(life)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def killed(folder: Path, name: str, point: Point | None, life: float | None, is_full: bool) -> bool:
    """One child; did it die by the kill?"""
    log = os.open(folder.parent / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def do() -> None:
        if point is not None:
            arm(point)
        await keep(folder, name, lambda text: void(os.write(log, f"{text}\n".encode())), is_full)

    how = child(do, life)
    os.close(log)
    return os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGKILL


def void(_: object) -> None:
    pass


def faults(folder: Path) -> Iterator[str]:
    """What the ledger says, once it was opened again, and the log does not; or the other way round."""

    async def open_and_close() -> None:
        book = Ledger(folder, Wish(keep_days=1), True, clock=lambda: NOW)
        await book.open()
        await book.close()

    if child(open_and_close):
        yield "the ledger cannot be opened again"
        return
    told = [line.split() for line in (folder.parent / "told").read_text().splitlines()]
    said = {what: {request for word, request in told if word == what} for what in ("intended", "settled", "forgotten")}
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        there = dict(db.execute("SELECT request, count(*) FROM attempts GROUP BY request").fetchall())
        rows = {
            request: (nanos, flags)
            for request, nanos, flags in db.execute("SELECT request, nanos, flags FROM attempts")
        }
        yield from _of_rows(said, there, rows)
        yield from _of_sums(db, said)


def _of_rows(said: dict[str, set[str]], there: dict[str, int], rows: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Of those that are not old enough to be pruned."""
    for request in said["intended"] - said["forgotten"]:
        if not _is_old(request) and request not in rows:
            yield f"missing: {request}"
    yield from (f"twice: {request}" for request, count in there.items() if count > 1)
    for request, (nanos, flags) in rows.items():
        exact, estimate = (COST, 0), (ESTIMATE, ESTIMATED | CRASHED)
        if (nanos, flags) != exact and (request in said["settled"] or (nanos, flags) != estimate):
            yield f"wrong: {request} cost {nanos}, flags {flags}"


def _of_sums(db: sqlite3.Connection, said: dict[str, set[str]]) -> Iterator[str]:
    hours, days = (
        db.execute(f"SELECT sum(requests), sum(nanos) FROM {table}").fetchone() for table in ("hours", "days")
    )
    if hours != days:
        yield f"the sums differ: {hours} and {days}"
    sure = len(said["intended"] - said["forgotten"])
    # Between a deed and its line in the log there is a moment, once for each kill: `at least` and `at most`.
    kills = len({request.partition("-")[0] for request in said["intended"]}) + 1
    count = hours[0] or 0
    if not sure <= count <= sure + kills:
        yield f"{count} attempts are summed up, and {sure} were told of"


def _is_old(request: str) -> bool:
    return int(request.partition("-")[2]) % 3 == 0


def at_random(folder: Path, count: int, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    for n in range(count):
        killed(folder, f"{seed}_{n}", None, dice.random() * LONGEST, is_full=n % 5 == 4)
        if n % 5 == 0 or n == count - 1:
            yield from (f"kill {n}: {fault}" for fault in faults(folder))


def at_points(folder: Path) -> Iterator[str]:
    for n, (name, point) in enumerate(POINTS.items()):
        if not killed(folder, str(n), point, None, is_full=n % 2 == 1):
            yield f"{name}: nobody came by"
        yield from (f"{name}: {fault}" for fault in faults(folder))


# --- a disk that fills up --------------------------------------------------------------------------------------------


async def fill_up(folder: Path) -> dict[str, Any]:
    """What came of it. The folder is on a disk of a few megabytes."""
    book = Ledger(folder / "state", Wish(create=True), True)
    await book.open()
    under_way = [(book.intend(this), this) for this in (row(f"a-{n}", COST) for n in range(100))]
    ballast = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(ballast, bytes(4096))
    except OSError:
        os.close(ballast)
    kept, failed = len(under_way), ""
    while not failed:
        for slot, this in under_way:
            book.settle(slot, this)
        under_way = []
        for n in range(50):
            this = row(f"b-{kept}-{n}-{'x' * 80}", COST)
            try:
                under_way.append((book.intend(this), this))
            except LedgerUnavailable as error:
                failed = error.message
                break
        kept += len(under_way)
        await asyncio.sleep(0.005)
    for slot, this in under_way:  # what is under way finishes
        book.settle(slot, this)
    pending = book.pending
    (folder / "ballast").unlink()
    while book.failed:  # each question is answered behind another try
        await book.usage(Query())
    written = (await book.usage(Query()))[0].requests
    await book.close()
    return {"failed": failed, "pending": pending > 0, "kept": kept, "written": written, "lost": book.lost}


def main(what: str, folder: Path, words: list[str]) -> int:
    writer.GATHER, writer.PRUNE_EVERY, writer.PAUSE, database.PATIENCE = 0.002, 0.005, 0.02, 0.5
    if what == "full":
        print(json.dumps(asyncio.run(fill_up(folder))))
        return 0
    state = folder / "state"
    begin(state, NOW)  # from here on it must never be missing
    found = list(at_points(state) if what == "points" else at_random(state, int(words[0]), int(words[1])))
    print(*found, f"{words[0] if words else len(POINTS)} kills", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
