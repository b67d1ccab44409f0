"""What if the ledger is locked (figure L4), its disk fails (L3), or a page of it is broken (L5)?"""

import asyncio
import os
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Ledger as Wish
from proxy.errors import ConfigError, LedgerUnavailable
from proxy.store import Group, Ledger, Query, Total, database, intents, writer
from proxy.store.database import Database
from proxy.store.intents import NO_SLOT
from proxy.store.row import spelled
from tests.crash import NOW, row
from tests.laws import SOAK, share

PAGE = 4096


@asynccontextmanager
async def ledger(folder: Path, is_hard: bool = True, create: bool = True) -> AsyncIterator[Ledger]:
    made = Ledger(folder, Wish(create=create), is_hard, clock=lambda: NOW)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


def spend(book: Ledger, count: int = 1) -> None:
    under_way = [(book.intend(this), this) for this in (row(f"r{n}", 1000) for n in range(count))]
    for slot, this in under_way:
        this.nanos = 7
        book.settle(slot, this)


async def spent(book: Ledger) -> int:
    return sum(total.nanos for total in await book.totals())


async def until(is_so: Callable[[], bool]) -> None:
    """What the writer's thread does, the loop is not told."""
    while not is_so():  # noqa: ASYNC110  nobody sets an event
        await asyncio.sleep(0)


async def fails(book: Ledger) -> None:
    await until(lambda: bool(book.failed))


async def recovers(book: Ledger) -> None:
    await until(lambda: not book.pending and not book.failed)


def aside(folder: Path) -> int:
    """How many were set aside."""
    return len(list(folder.glob("ledger.db.corrupt-*")))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER", 0.001)
    monkeypatch.setattr(writer, "PAUSE", 0.005)
    monkeypatch.setattr(database, "PATIENCE", 0.05)


# --- L4: locked ------------------------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """By somebody else; as the loop holds the lock, a loop that waited for it would wait for ever."""
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_short_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 30.0)
    async with ledger(tmp_path) as book:
        with locked(tmp_path):
            spend(book, 3)
            asked = asyncio.create_task(book.totals())
            await asyncio.sleep(0.02)
            spend(book, 3)
            assert (book.failed, book.pending) == ("", 6)
        await asked
        assert (await spent(book), book.lost) == (42, 0)


@pytest.mark.parametrize("is_hard", [True, False])
async def test_a_long_lock_is_told_of_refuses_a_strict_budgets_spend_and_loses_nothing(
    tmp_path: Path, is_hard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with ledger(tmp_path, is_hard) as book:
        under_way = row("u", 1000)
        slot = book.intend(under_way)
        with locked(tmp_path):
            spend(book, 3)
            await fails(book)
            assert book.failed == "locked by another process"
            if is_hard:
                with pytest.raises(LedgerUnavailable, match=r"\(locked by another process\)") as refused:
                    spend(book)
                assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")
            else:
                spend(book)
            under_way.nanos = 7
            book.settle(slot, under_way)
        await recovers(book)
        spend(book)
        assert await spent(book) == 7 * (5 if is_hard else 6)
        assert (book.lost, book.pending) == (0, 0)
    file = tmp_path / "ledger.db"
    assert caplog.text.count(f"cannot be written: {file}: locked by another process; release it there") == 1
    assert caplog.text.count(f"can be written again: {file}") == 1


async def test_what_cannot_be_written_before_the_end_is_there_after_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Ledger(tmp_path, Wish(), False)
    await book.open()
    with locked(tmp_path):
        spend(book, 3)
        await book.close()
        assert book.pending == 3
    assert "3 rows could not be written to the ledger (locked by another process)" in caplog.text
    assert f"the next start reads them from {tmp_path / 'ledger.intents'}" in caplog.text
    async with ledger(tmp_path) as book:
        assert await spent(book) == 21


async def test_a_ledger_that_is_locked_at_the_start_is_not_counted_on(tmp_path: Path) -> None:
    async with ledger(tmp_path):
        pass
    with locked(tmp_path):
        with pytest.raises(ConfigError, match="locked by another process"):
            async with ledger(tmp_path):
                pass
        async with ledger(tmp_path, is_hard=False) as book:
            assert "locked by another process" in book.failed
            spend(book)


async def test_what_is_more_than_can_be_held_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "HELD", 10)
    async with ledger(tmp_path, is_hard=False, create=False) as book:
        with locked(tmp_path):
            spend(book, 12)
            assert (book.pending, book.lost) == (10, 2)
        assert await spent(book) == 70
        with pytest.raises(ConfigError, match="2 rows of the ledger were lost"):
            await book.check()


@pytest.mark.parametrize("is_hard", [True, False])
async def test_where_no_slot_is_left_a_strict_budget_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_hard: bool
) -> None:
    monkeypatch.setattr(intents, "MOST", 2)
    async with ledger(tmp_path, is_hard) as book:
        held = [book.intend(row("a", 1)) for _ in range(2)]
        if is_hard:
            with pytest.raises(LedgerUnavailable, match="the disk is full"):
                book.intend(row("a", 1))
        else:
            spend(book)
            assert (book.uncovered, await spent(book)) == (1, 7)
        assert book.failed == "the disk is full"
        book.forget(held[0])
        book.intend(row("a", 1))
        book.flush()
        assert book.failed == ""
    failed, recovered = caplog.records
    assert (failed.event, recovered.event) == ("ledger_failed", "ledger_recovered")  # type: ignore[attr-defined]
    assert f"{tmp_path}/ledger.intents: the disk is full" in failed.getMessage()


async def test_a_ledger_that_has_room_for_slots_again_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nobody asks anything any more."""

    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    async with ledger(tmp_path, is_hard=False) as book:
        with monkeypatch.context() as broken:
            broken.setattr("os.posix_fallocate", full)
            held = [book.intend(row("a", 1)) for _ in range(intents.FIRST * intents.BLOCK)]
            book.flush()
            broken.setattr("os.pwrite", full)
            this = row("u", 7)
            book.settle(book.intend(this), this)
            assert await spent(book) == 7
            assert (book.failed, book.uncovered, NO_SLOT in held) == ("the disk is full", 1, False)
        assert await spent(book) == 7
        assert book.failed == ""


async def test_a_slot_that_cannot_be_written_at_the_end_of_an_attempt_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    async with ledger(tmp_path) as book:
        settled, forgotten = row("s", 1000), row("f", 1000)
        slots = book.intend(settled), book.intend(forgotten)
        for end in (partial(book.settle, slots[0], settled), partial(book.forget, slots[1])):
            with monkeypatch.context() as broken:
                broken.setattr("os.pwrite", fail)
                end()
                book.flush()
            assert book.failed == "input/output error"
            book.forget(book.intend(row("n", 1000)))
            assert book.failed == ""
        assert await spent(book) == 1000


async def test_a_strict_budget_is_not_refused_for_anothers_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite

    def worn(descriptor: int, data: bytes, at: int) -> int:
        if at == 0:
            raise OSError(5, "Input/output error")
        return pwrite(descriptor, data, at)

    async with ledger(tmp_path) as book:
        this = row("s", 7)
        slot = book.intend(this)
        assert slot == 0
        with monkeypatch.context() as broken:
            broken.setattr("os.pwrite", worn)
            book.settle(slot, this)
            book.forget(book.intend(row("n", 1000)))
            assert (book.failed, book.uncovered) == ("", 0)
            book.flush()
            assert (book.failed, book.uncovered) == ("input/output error", 0)
        assert await spent(book) == 7


# --- L3: a disk that fails -------------------------------------------------------------------------------------------

CODES = {
    "disk error": sqlite3.SQLITE_IOERR_FSYNC,
    "the disk is full": sqlite3.SQLITE_FULL,
    "not writable": sqlite3.SQLITE_READONLY,
    "cannot be opened": sqlite3.SQLITE_CANTOPEN,
}


class Faulty:
    """The n-th statement from now on fails, and so do all for a while; `late`: it was done all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int, code: int, late: bool) -> None:
        self.left, self.times = nth, 3
        run, run_all = Database._run, Database._run_all
        monkeypatch.setattr(Database, "_run", lambda *words: self.run(code, late, run, *words))
        monkeypatch.setattr(Database, "_run_all", lambda *words: self.run(code, late, run_all, *words))

    def run(self, code: int, late: bool, really: Callable[..., Any], *words: Any) -> Any:
        self.left -= 1
        if self.left > 0 or not self.times:
            return really(*words)
        self.times -= 1
        if late and self.times == 2:
            really(*words)
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = code
        raise error


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("why", "code"), CODES.items())
async def test_whichever_statement_fails_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str, code: int, late: bool
) -> None:
    async with ledger(tmp_path) as book:
        expected = 0
        for nth in range(1, 7):
            with monkeypatch.context() as broken:
                faulty = Faulty(broken, nth, code, late)
                spend(book, 9)
                expected += 63
                await recovers(book)
                assert faulty.times in (0, 3)  # with the last numbers it took fewer statements than that
                assert (await spent(book), book.lost) == (expected, 0), nth
    async with ledger(tmp_path) as book:
        assert await spent(book) == expected


async def test_after_an_error_of_the_disk_the_connection_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Database] = []
    original = Database.open

    def counted(self: Database) -> None:
        opened.append(self)
        original(self)

    monkeypatch.setattr(Database, "open", counted)
    async with ledger(tmp_path) as book:
        for code, connections in [(sqlite3.SQLITE_FULL, 0), (sqlite3.SQLITE_IOERR_FSYNC, 1)]:
            await book.totals()
            opened.clear()
            with monkeypatch.context() as broken:
                faulty = Faulty(broken, 5, code, False)
                faulty.times = 1
                spend(book)
                await recovers(book)
            assert faulty.times == 0
            assert len(opened) == connections


async def test_a_fault_of_our_own_is_told_of_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("oh")

    async with ledger(tmp_path, is_hard=False) as book:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "_insert", broken)
            spend(book)
            await fails(book)
            assert book.failed == "a bug in pillion (RuntimeError)"
        await recovers(book)
        assert await spent(book) == 7


# --- L5: broken pages ------------------------------------------------------------------------------------------------

Sums = tuple[list[Total], list[Group]]
CLOSE = ("day", "client", "provider", "model")


async def sums(book: Ledger) -> Sums:
    return sorted(await book.totals()), await book.usage(Query(by=CLOSE))


def filled(folder: Path) -> None:
    """Some pages of each table."""
    made = Database(folder / "ledger.db")
    made.open()
    made.begin()
    for first in range(0, 1500, 500):
        rows = []
        for n in range(first + 1, first + 501):
            rows.append(row(f"r{n}", n, age=n * 3600.0))
            rows[-1].id, rows[-1].client, rows[-1].model = n, f"client-{n % 7}", f"model-{n % 5}"
        made.insert([*map(spelled, rows)])
    made.close()


def damaged(data: bytes, page: int, how: str, dice: random.Random) -> bytes:
    at = page * PAGE
    if how == "cut off":
        return data[:at]
    if how == "zeroed":
        return data[:at] + bytes(PAGE) + data[at + PAGE :]
    spoilt = bytearray(data)
    spoilt[at + dice.randrange(PAGE)] ^= 1 << dice.randrange(8)
    return bytes(spoilt)


async def test_a_broken_page_is_found_or_harmless(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    filled(whole)
    async with ledger(whole) as book:
        expected = await sums(book)
    data = (whole / "ledger.db").read_bytes()
    cases = [(page, how) for page in range(len(data) // PAGE) for how in ("cut off", "zeroed", *["flipped"] * 8)]
    dice = random.Random(None if SOAK else 5)
    for n, (page, how) in enumerate(dice.sample(cases, share("L5: broken pages", len(cases), 25))):
        folder = tmp_path / str(n)
        folder.mkdir()
        shutil.copy(whole / "ledger.lock", folder)
        (folder / "ledger.db").write_bytes(damaged(data, page, how, dice))
        assert await harm_of(folder, expected) == "", (page, how)
        shutil.rmtree(folder)


async def test_a_ledger_whose_names_are_no_text_is_a_broken_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite repeats such a name in what it says of it, and Python cannot read that."""
    filled(tmp_path)
    path = tmp_path / "ledger.db"
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE attempts", b"CREATE T\xccBLE attempts"))
    async with ledger(tmp_path) as book:
        assert await spent(book) == 0
    assert "the ledger was corrupt (corrupt), and was moved to" in caplog.text


async def harm_of(folder: Path, expected: Sums) -> str:
    """Nothing, where a strict budget that counts on it is told, or what was spent by day is still right.

    An hour that goes by another name is not found: docs/decisions/0016-ledger.md
    """
    try:
        async with ledger(folder, create=False) as book:
            by_day, _ = await sums(book)
            if by_day != expected[0]:
                return f"{by_day} by day"
            spend(book)
            await book.totals()
            said, due = await spent(book), sum(expected_nanos(expected)) + 7
            return "" if book.failed or said == due else f"{said} and not {due}"
    except (ConfigError, LedgerUnavailable):
        return ""


def expected_nanos(expected: Sums) -> Iterator[int]:
    return (total.nanos for total in expected[0])


async def test_a_key_out_of_its_order_is_found(tmp_path: Path) -> None:
    """It would be summed, and not be found where it is to be added to."""
    filled(tmp_path)
    data = bytearray((tmp_path / "ledger.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()
    cells = (root - 1) * PAGE + 8  # behind the head of a leaf: https://www.sqlite.org/fileformat2.html#b_tree_pages
    data[cells : cells + 4] = data[cells + 2 : cells + 4] + data[cells : cells + 2]
    (tmp_path / "ledger.db").write_bytes(data)
    with pytest.raises(ConfigError, match="strict budget"):
        async with ledger(tmp_path, create=False):
            pass


async def test_a_flip_in_either_table_of_sums_is_found(tmp_path: Path) -> None:
    changes = [("hours", "nanos = nanos + 1"), ("days", "client = client || 'x'"), ("hours", "input = 1 << 62")]
    for n, (table, change) in enumerate(changes):
        folder = tmp_path / str(n)
        folder.mkdir()
        filled(folder)
        with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as db:
            db.execute(f"UPDATE {table} SET {change}")
        with pytest.raises(ConfigError, match="strict budget"):
            async with ledger(folder, create=False):
                pass


@pytest.mark.parametrize("is_hard", [True, False])
async def test_one_that_breaks_while_pillion_runs_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_hard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with ledger(tmp_path):
        pass
    async with ledger(tmp_path, is_hard, create=False) as book:
        spend(book)
        await book.totals()
        with monkeypatch.context() as broken:
            faulty = Faulty(broken, 3, sqlite3.SQLITE_CORRUPT, False)
            faulty.times = 1
            spend(book)
            await until(lambda: not faulty.times)
        await until(lambda: aside(tmp_path) == 1)
        if is_hard:
            await until(lambda: "needs it" in book.failed)
            with pytest.raises(LedgerUnavailable, match="was lost"):
                spend(book)
        else:
            await recovers(book)
            assert await spent(book) == 7
    assert "the ledger was corrupt (corrupt), and was moved to" in caplog.text
    with pytest.raises(ConfigError, match="was lost"):
        async with ledger(tmp_path, create=False):
            pass
