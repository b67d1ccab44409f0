"""Does the ledger know after any start what was spent, and does a lost one never look like an unspent budget?"""

import asyncio
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import proxy.store.comeback
from proxy.config import Ledger as Wish
from proxy.errors import ConfigError, LedgerUnavailable
from proxy.store import CRASHED, ESTIMATED, Ledger, Query, Total, aging, begin, beyond, intents, writer
from proxy.store.database import Database
from proxy.store.files import Files
from proxy.store.intents import NO_SLOT
from proxy.store.remains import remains
from proxy.store.row import spelled
from tests.crash import NOW, row
from tests.waiting import soon

DAY = 86400


@asynccontextmanager
async def ledger(folder: Path | None, is_hard: bool = False, **wish: Any) -> AsyncIterator[Ledger]:
    made = Ledger(folder, Wish(**wish), is_hard, clock=lambda: NOW)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


def spend(book: Ledger, count: int = 1, nanos: int = 7, age: float = 0.0) -> None:
    for n in range(count):
        this = row(f"r{n}", 1000, age)
        slot = book.intend(this)
        this.nanos = nanos
        book.settle(slot, this)


async def spent(book: Ledger) -> int:
    return sum(total.nanos for total in await book.totals())


def rows(folder: Path) -> list[tuple[int, int, int]]:
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        return db.execute("SELECT id, nanos, flags FROM attempts ORDER BY id").fetchall()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("ledger.[di]*")}


def aside(folder: Path) -> int:
    """How many were set aside."""
    return len(list(folder.glob("ledger.db.corrupt-*")))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER", 0.001)
    monkeypatch.setattr(writer, "PAUSE", 0.005)
    monkeypatch.setattr(aging, "PROBATION", 0.0)  # tests/test_store_aging.py


# --- a life ----------------------------------------------------------------------------------------------------------


async def test_what_was_spent_is_known_after_a_restart(tmp_path: Path) -> None:
    async with ledger(tmp_path) as book:
        spend(book, 3)
        book.forget(book.intend(row("never", 1000)))
        assert await spent(book) == 21
    async with ledger(tmp_path, is_hard=True) as book:
        assert await spent(book) == 21
        assert (book.failed, book.lost, book.pending) == ("", 0, 0)
    assert [nanos for _, nanos, _ in rows(tmp_path)] == [7, 7, 7]


async def test_ids_grow_and_are_never_given_twice(tmp_path: Path) -> None:
    seen: list[int] = []
    for _ in range(3):
        async with ledger(tmp_path) as book:
            spend(book, 2)
        seen = [number for number, _, _ in rows(tmp_path)]
    assert seen == sorted(set(seen))
    assert len(seen) == 6


async def test_what_was_under_way_is_booked_at_its_estimate_and_its_id_not_given_again(tmp_path: Path) -> None:
    book = Ledger(tmp_path, Wish(), False, clock=lambda: NOW)
    await book.open()
    open_one = row("open", 1000)
    book.intend(open_one)
    await book.close()
    async with ledger(tmp_path) as book:
        assert await spent(book) == 1000
        (group,) = await book.usage(Query())
        assert group.estimated == 1
        spend(book)
    assert rows(tmp_path) == [(1, 1000, ESTIMATED | CRASHED), (2, 7, 0)]


async def test_a_question_is_answered_behind_all_that_was_settled_before_it(tmp_path: Path) -> None:
    async with ledger(tmp_path) as book:
        for n in range(1, 20):
            spend(book)
            assert await spent(book) == 7 * n


async def test_who_asks_when_all_is_just_written_has_their_own_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, go_on = threading.Event(), threading.Event()

    def recover(self: writer.Writer) -> None:
        written.set()
        go_on.wait()

    async with ledger(tmp_path) as book:
        monkeypatch.setattr(writer.Writer, "_recover", recover)
        spend(book)
        before = asyncio.create_task(spent(book))
        await asyncio.to_thread(written.wait)
        spend(book)
        behind = asyncio.create_task(spent(book))
        await asyncio.sleep(0)
        go_on.set()
        assert await behind == 14
        assert await before in (7, 14)


async def test_what_comes_while_rows_are_written_gathers_for_the_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a busy pillion would be writing without end, a few rows at a time."""
    written: list[int] = []
    insert = Database.insert

    def busy(database: Database, said: Sequence[bytes]) -> None:
        written.append(len(said))
        insert(database, said)
        if len(written) < 9:
            book._writer.put(NO_SLOT, spelled(row("r", 7)))

    async with ledger(tmp_path) as book:
        monkeypatch.setattr(Database, "insert", busy)
        monkeypatch.setattr(writer, "GATHER", 60.0)
        spend(book, 3)
        await book.totals()
        assert (written, book.pending) == ([3], 1)


class Taken(list[tuple[int, bytes]]):
    """Whose rows the thread takes in the middle of a `put`."""

    def append(self, row: tuple[int, bytes]) -> None:
        self.clear()
        super().append(row)


async def test_a_row_that_comes_when_the_thread_has_just_taken_the_others_wakes_it() -> None:
    async with ledger(None) as book:
        idle = writer.Writer(book._writer.database, book)  # whose thread never starts
        idle._held = Taken([(NO_SLOT, b"one")])
        idle.put(NO_SLOT, b"another")
        assert idle._news.is_set()


class Recorded(threading.Event):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


async def test_many_rows_gather_for_longer_but_no_more_than_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LONGER": 60.0, "MANY": 3, "ENOUGH": 8}.items():
        monkeypatch.setattr(writer, name, value)
    async with ledger(tmp_path) as book:
        hurry = book._writer._hurry = Recorded()
        spend(book, 3)
        await soon(lambda: not book.pending)
        assert {*hurry.waits} == {writer.GATHER}
        monkeypatch.setattr(writer, "MANY", 0)
        spend(book, 5)
        await soon(lambda: 60.0 in hurry.waits)
        assert book.pending == 5
        spend(book, 4)
        await soon(lambda: not book.pending)
        assert await spent(book) == 12 * 7


async def test_totals_are_of_days_and_of_whom(tmp_path: Path) -> None:
    async with ledger(tmp_path) as book:
        spend(book, 2)
        spend(book, 1, age=DAY)
        today = NOW // DAY * DAY
        assert sorted(await book.totals()) == [
            (today - DAY, "app", "openai", "m", 7),
            (today, "app", "openai", "m", 14),
        ]


async def test_a_row_that_cannot_be_spelled_is_written_all_the_same(tmp_path: Path) -> None:
    async with ledger(tmp_path) as book:
        this = row("\ud800", 1000)
        slot = book.intend(this)
        this.model, this.input, this.nanos = "x" * 5000, -5, 2**90
        book.settle(slot, this)
        assert await spent(book) == 10**15


async def test_it_says_how_it_is(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "s", Wish(), False)
    assert repr(book) == "<Ledger in memory, well>"
    await book.close()  # whoever opens closes, also where it never came to that
    async with ledger(tmp_path / "s") as book:
        assert repr(book) == f"<Ledger in {tmp_path / 's'}, well>"


async def test_after_its_end_a_question_is_refused(tmp_path: Path) -> None:
    async with ledger(tmp_path) as book:
        pass
    with pytest.raises(LedgerUnavailable, match="cannot be read now"):
        await book.totals()


async def test_nobody_else_may_read_its_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with ledger(tmp_path / "a" / "state") as book:
            spend(book)
            await book.totals()
            there = modes(tmp_path / "a" / "state")
    finally:
        os.umask(before)
    assert (modes(tmp_path)["a"], modes(tmp_path / "a")) == (0o700, {"state": 0o700})
    assert there == dict.fromkeys(
        ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.intents", "ledger.lock"], 0o600
    )


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    async with ledger(tmp_path):
        pass
    for name in modes(tmp_path):
        (tmp_path / name).chmod(0o644)
    async with ledger(tmp_path):
        assert {*modes(tmp_path).values()} == {0o600}


# --- old rows --------------------------------------------------------------------------------------------------------


async def test_old_rows_go_and_sums_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PRUNE_EVERY", 0.0)
    monkeypatch.setattr(writer, "PRUNED", 4)
    async with ledger(tmp_path, keep_days=30) as book:
        spend(book, 10, age=31 * DAY)
        spend(book, 2, age=29 * DAY)
        assert await spent(book) == 84
        while len(rows(tmp_path)) > 2:
            await book.totals()
        assert await spent(book) == 84
    async with ledger(tmp_path) as book:
        spend(book)
    assert [number for number, _, _ in rows(tmp_path)] == [11, 12, 13]


async def test_no_row_goes_before_an_older_one_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would pass for one that was written and pruned, if pillion were killed."""
    monkeypatch.setattr(writer, "PRUNE_EVERY", 0.0)
    async with ledger(tmp_path, keep_days=30) as book:
        long_one = row("long", 1000, 40 * DAY)
        slot = book.intend(long_one)
        spend(book, 3, age=31 * DAY)
        await book.totals()
        await book.totals()
        assert len(rows(tmp_path)) == 3
        book.settle(slot, long_one)
        await book.totals()
        while rows(tmp_path):
            await book.totals()


async def test_a_slot_whose_row_was_pruned_is_not_booked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PRUNE_EVERY", 0.0)
    async with ledger(tmp_path, keep_days=30) as book:
        spend(book, 3, age=31 * DAY)
        await book.totals()
        while rows(tmp_path):
            await book.totals()
        left = (tmp_path / "ledger.intents").read_bytes()
    (tmp_path / "ledger.intents").write_bytes(left)
    async with ledger(tmp_path) as book:
        assert await spent(book) == 21


# --- where there is nowhere to write ---------------------------------------------------------------------------------


async def test_in_memory_it_counts_and_forgets(caplog: pytest.LogCaptureFixture) -> None:
    async with ledger(None) as book:
        spend(book, 100)
        assert (await spent(book), book.failed, book.pending) == (700, "", 0)
        await book.durable(NO_SLOT)
        book.forget(book.intend(row("never", 1)))
    assert "and is lost when pillion stops: there is no folder" in caplog.text
    async with ledger(None) as book:
        assert await spent(book) == 0


async def test_a_strict_budget_wants_a_place() -> None:
    with pytest.raises(ConfigError, match="strict budget needs the ledger, but there is no folder"):
        async with ledger(None, is_hard=True):
            pass
    async with ledger(None, is_hard=True, create=True) as book:
        spend(book)
        assert await spent(book) == 7


def spoil(folder: Path) -> None:
    folder.mkdir()
    (folder / "ledger.db").mkdir()


def occupy(folder: Path) -> None:
    folder.write_text("")


@pytest.mark.parametrize("hinder", [spoil, occupy])
async def test_where_it_cannot_be_it_is_in_memory_and_a_strict_budget_refuses(
    tmp_path: Path, hinder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hinder(tmp_path / "s")
    async with ledger(tmp_path / "s") as book:
        spend(book)
        assert await spent(book) == 7
        assert book.failed
        assert book.failed in caplog.text
    with pytest.raises(ConfigError, match="the ledger cannot be used"):
        async with ledger(tmp_path / "s", is_hard=True, create=True):
            pass


async def test_there_is_one_pillion_to_a_ledger(tmp_path: Path) -> None:
    async with ledger(tmp_path):
        async with ledger(tmp_path) as other:
            assert "another pillion" in other.failed
        with pytest.raises(ConfigError, match="another pillion"):
            async with ledger(tmp_path, is_hard=True):
                pass
    async with ledger(tmp_path, is_hard=True) as book:
        assert not book.failed


async def test_a_time_before_or_behind_the_calendar_spoils_no_ledger(tmp_path: Path) -> None:
    """The ledger's own checks took it for corrupt, as SQL's division cuts towards zero; and no day had a name."""
    for age, day in ((NOW + 5 * DAY + 3600, "1970-01-01"), (-1e12, "9999-01-01")):
        async with ledger(tmp_path / day) as book:
            spend(book, age=age)
            await book.totals()
        async with ledger(tmp_path / day, is_hard=True) as book:
            assert await spent(book) == 7
            for by in ("day", "hour"):
                (group,) = await book.usage(Query(by=(by,)))
                assert (group.keys[0][:10], group.nanos) == (day, 7)


async def test_of_what_cannot_be_used_is_known_what_can_be_read(tmp_path: Path) -> None:
    """With what a crash has left in the slots, once; and without what may be spoilt."""
    async with ledger(tmp_path) as book:
        assert book.known == ()
        spend(book, 3, nanos=100)
        await book.totals()
        assert book.intend(row("open", 1000)) != NO_SLOT
    files = Files(tmp_path)
    for is_taken, nanos in ((True, 300), (False, 1300)):
        assert sum(total.nanos for total in remains(files, is_taken)) == nanos
    (tmp_path / "ledger.intents.new").mkdir()  # no slots can be made; what was in them is booked
    async with ledger(tmp_path) as book:
        assert (await spent(book), sum(total.nanos for total in book.known)) == (0, 1300)
        assert sum(total.nanos for total in await book.reckoned()) == 1300
    for spoil in ("nanos = -1", "nanos = 'x'", "model = x'ff'", "nanos = 300.5"):
        with closing(sqlite3.connect(files.database)) as db, db:
            db.execute(f"UPDATE days SET nanos = 300, model = 'm', {spoil}")
        assert remains(files, is_taken=False) == []
    files.database.unlink()
    assert remains(files, is_taken=False) == []


def test_what_was_known_is_heard_once() -> None:
    at, known = NOW // 86400 * 86400, Total(0.0, "c", "p", "m", 5)
    before = [known._replace(nanos=7), known._replace(at=at), known._replace(model="n", nanos=0)]
    assert beyond(before, [known]) == [known._replace(nanos=2), known._replace(at=at)]
    assert beyond([known], [known._replace(nanos=9)]) == []


# --- back from memory ------------------------------------------------------------------------------------------------


async def back(book: Ledger) -> None:
    """Until it is on its disk, which it tries with each row."""
    for _ in range(100):
        if not book.failed and book._intents is not None:
            return
        spend(book, nanos=0)
        await book.totals()
    pytest.fail(f"still {book!r}")


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_it_comes_back_from_memory_with_all_that_it_has_counted(
    tmp_path: Path, synchronous: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What another pillion had written, what was counted meanwhile, and what was under way: each is there once."""
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    monkeypatch.setattr(proxy.store.comeback, "REST", 0.0)
    heard: list[int] = []
    first = ledger(tmp_path)
    spend(await first.__aenter__(), 3, nanos=100)
    async with ledger(tmp_path, synchronous=synchronous) as book:
        book.regained = lambda before: heard.append(sum(total.nanos for total in before))
        spend(book, 5)
        under_way = row("u", 1000)
        slot = book.intend(under_way)
        assert (await spent(book), slot) == (35, NO_SLOT)
        await first.__aexit__(None, None, None)
        await back(book)
        assert "on the disk again" in caplog.text
        assert await spent(book) == 335
        under_way.nanos = 1000
        book.settle(slot, under_way)
        spend(book, 2, nanos=10_000)
        await book.durable(book.intend(row("open", 50_000)))
        assert await spent(book) == 21_335
        assert heard == [300]
        ids = [number for number, *_ in rows(tmp_path)]
        assert ids == sorted({*ids})
    async with ledger(tmp_path, is_hard=True) as book:
        assert await spent(book) == 71_335  # with what was open


async def test_who_stands_beside_another_pillion_leaves_it_the_ledger_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one with a strict budget could not start again, because of one that has none."""
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    first = ledger(tmp_path, is_hard=True, create=True)
    await first.__aenter__()
    async with ledger(tmp_path) as beside:
        await first.__aexit__(None, None, None)
        for _ in range(3):
            spend(beside)
            assert await spent(beside)
        async with ledger(tmp_path, is_hard=True) as again:
            assert not again.failed
            spend(beside)
            assert await spent(beside) == 28
        monkeypatch.setattr(proxy.store.comeback, "REST", 0.01)
        await asyncio.sleep(0.02)  # nobody has looked meanwhile
        spend(beside)
        await beside.totals()
        assert beside.failed
        await asyncio.sleep(0.02)
        await back(beside)


async def test_what_was_counted_beside_another_pillion_is_kept_where_that_ended_first(tmp_path: Path) -> None:
    first = ledger(tmp_path)
    await first.__aenter__()
    async with ledger(tmp_path) as beside:
        spend(beside, 3)
        assert await spent(beside) == 21
        await first.__aexit__(None, None, None)
    async with ledger(tmp_path, is_hard=True) as again:
        assert await spent(again) == 21


@pytest.mark.parametrize("hinder", [spoil, occupy])
async def test_it_comes_back_once_what_was_in_its_way_is_gone(
    tmp_path: Path, hinder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    hinder(folder := tmp_path / "s")
    async with ledger(folder) as book:
        spend(book, 2)
        assert await spent(book) == 14
        assert book.failed
        if folder.is_dir():
            (folder / "ledger.db").rmdir()
        else:
            folder.unlink()
        await back(book)
    async with ledger(folder) as book:
        assert await spent(book) == 14


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
async def test_nothing_is_added_twice_where_the_disk_fails_meanwhile(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk has taken nothing. After any other error nobody knows, and it stays in memory."""
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    spoil(folder := tmp_path / "s")
    add, tries = Database.add, 0

    def fail(self: Database, sums: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            error = sqlite3.OperationalError("the disk fails")
            error.sqlite_errorcode = code
            raise error
        add(self, sums)

    monkeypatch.setattr(Database, "add", fail)
    async with ledger(folder) as book:
        (folder / "ledger.db").rmdir()
        spend(book, 2)
        await soon(lambda: tries)
        if code == sqlite3.SQLITE_FULL:
            await back(book)
        else:
            spend(book, 0)
            await book.totals()
            assert (tries, bool(book.failed)) == (1, True)
        assert await spent(book) == 14


async def test_where_the_clock_went_back_it_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ids might be there already."""
    monkeypatch.setattr(proxy.store.comeback, "AGAIN", 0.0)
    first = ledger(tmp_path)
    earlier = await first.__aenter__()
    earlier._next = int((NOW + 1000) * 10**6)
    spend(earlier)
    async with ledger(tmp_path) as book:
        await first.__aexit__(None, None, None)
        spend(book, 5)
        assert await spent(book) == 35
        assert book.failed
    async with ledger(tmp_path) as book:
        assert await spent(book) == 7


@pytest.mark.parametrize("spoilt", ["db", "intents"])
async def test_a_newer_pillions_ledger_is_not_touched(tmp_path: Path, spoilt: str) -> None:
    async with ledger(tmp_path) as book:
        spend(book)
        book.intend(row("open", 1000))
    if spoilt == "db":
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            db.execute("PRAGMA user_version = 2")
    else:
        data = bytearray((tmp_path / "ledger.intents").read_bytes())
        data[512 + 6] = 2
        (tmp_path / "ledger.intents").write_bytes(data)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="newer pillion"):
        async with ledger(tmp_path, is_hard=True, create=True):
            pass
    async with ledger(tmp_path) as book:
        assert "newer pillion" in book.failed
    assert contents(tmp_path) == before


# --- a lost ledger ---------------------------------------------------------------------------------------------------


async def test_where_none_was_ever_a_strict_budget_wants_a_word(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist, but a strict budget .*pillion ledger init.*ledger.create"):
        async with ledger(tmp_path / "s", is_hard=True):
            pass
    assert not (tmp_path / "s" / "ledger.db").exists()
    async with ledger(tmp_path / "s", is_hard=True, create=True) as book:
        spend(book)
    async with ledger(tmp_path / "s", is_hard=True) as book:
        assert await spent(book) == 7


async def test_a_lost_one_is_not_replaced_for_a_strict_budget(tmp_path: Path) -> None:
    async with ledger(tmp_path):
        pass
    (tmp_path / "ledger.db").unlink()
    with pytest.raises(ConfigError, match="was lost, but a strict budget"):
        async with ledger(tmp_path, is_hard=True):
            pass


@pytest.mark.parametrize("data", [None, b"", b"no database at all" * 400])
async def test_what_began_after_a_loss_is_not_trusted_by_a_strict_budget(
    tmp_path: Path, data: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with ledger(tmp_path) as book:
        spend(book)
    if data is None:
        (tmp_path / "ledger.db").unlink()
    else:
        (tmp_path / "ledger.db").write_bytes(data)
    async with ledger(tmp_path) as book:
        spend(book)
        assert (await spent(book), book.failed) == (7, "")
        with pytest.raises(ConfigError, match="was lost on 2026-09-21, and a new one was created"):
            await book.check()
    assert "was lost, and a new one was created" in caplog.text
    assert aside(tmp_path) == (1 if data else 0)
    with pytest.raises(ConfigError, match="was lost on 2026-09-21, and a new one was created"):
        async with ledger(tmp_path, is_hard=True):
            pass
    async with ledger(tmp_path, is_hard=True, create=True):
        pass
    assert caplog.text.count("was lost on 2026-09-21: earlier spending is unknown, and budgets count without it") == 1
    async with ledger(tmp_path, is_hard=True) as book:
        assert await spent(book) == 7


async def test_a_strict_budget_that_comes_later_is_told_what_one_at_the_start_is(tmp_path: Path) -> None:
    async with ledger(None) as book:
        with pytest.raises(ConfigError, match="there is no folder"):
            await book.check()
    async with ledger(tmp_path) as book:
        await book.check()
        async with ledger(tmp_path) as other:
            with pytest.raises(ConfigError, match="another pillion is using the ledger"):
                await other.check()
    (tmp_path / "ledger.db").unlink()
    async with ledger(tmp_path):
        pass
    async with ledger(tmp_path, create=True) as book:
        await book.check()
    async with ledger(tmp_path, is_hard=True):  # what was accepted then stays so
        pass
    async with ledger(None, create=True) as book:
        await book.check()


async def test_init_begins_one_and_accepts_one_that_began_after_a_loss(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert begin(folder, NOW) == f"the ledger in {folder} was created"
    async with ledger(folder, is_hard=True) as book:
        spend(book)
        with pytest.raises(ConfigError, match="another pillion"):
            begin(folder, NOW)
    assert begin(folder, NOW) == f"the ledger in {folder} is ready"
    async with ledger(folder, is_hard=True) as book:
        assert await spent(book) == 7
    (folder / "ledger.db").unlink()
    async with ledger(folder):
        pass
    begin(folder, NOW)
    async with ledger(folder, is_hard=True):
        pass


async def test_a_ledger_that_was_cut_short_while_it_was_begun_is_begun_again(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
    async with ledger(tmp_path, is_hard=True, create=True) as book:
        spend(book)
    assert aside(tmp_path) == 0


async def test_two_that_are_set_aside_in_a_second_have_two_names(tmp_path: Path) -> None:
    for _ in range(2):
        async with ledger(tmp_path):
            pass
        (tmp_path / "ledger.db").write_bytes(b"rubbish" * 1000)
    async with ledger(tmp_path):
        pass
    assert aside(tmp_path) == 2


async def test_a_slot_that_is_there_twice_is_booked_once(tmp_path: Path) -> None:
    async with ledger(tmp_path) as book:
        book.intend(row("open", 1000))
    data = (tmp_path / "ledger.intents").read_bytes()
    (tmp_path / "ledger.intents").write_bytes(data[:512] * 2)
    async with ledger(tmp_path) as book:
        assert await spent(book) == 1000


async def test_slots_that_cannot_be_read_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with ledger(tmp_path) as book:
        book.intend(row("open", 1000))
    data = bytearray((tmp_path / "ledger.intents").read_bytes())
    data[20] ^= 1
    (tmp_path / "ledger.intents").write_bytes(data)
    async with ledger(tmp_path) as book:
        assert await spent(book) == 0
    assert "1 slots of" in caplog.text


# --- what outlives a power cut ---------------------------------------------------------------------------------------


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many intents were there at each sync."""
    seen: list[int] = []
    sync = intents.Intents.sync

    def counted(self: intents.Intents) -> None:
        seen.append(self.held)
        sync(self)

    monkeypatch.setattr(intents.Intents, "sync", counted)
    return seen


async def test_normally_nobody_waits_for_the_disk(tmp_path: Path, syncs: list[int]) -> None:
    async with ledger(tmp_path) as book:
        await book.durable(book.intend(row("a", 1)))
    assert syncs == []


async def test_in_full_each_waits_for_a_sync_that_began_after_its_intent(tmp_path: Path, syncs: list[int]) -> None:
    async with ledger(tmp_path, synchronous="full") as book:
        for n in range(3):
            await book.durable(book.intend(row("a", 1)))
            assert syncs[-1] == n + 1


async def test_many_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syncs: list[int]) -> None:
    began, gate, counted = threading.Event(), threading.Event(), intents.Intents.sync

    def slow(self: intents.Intents) -> None:
        began.set()
        gate.wait(5)
        counted(self)

    monkeypatch.setattr(intents.Intents, "sync", slow)
    async with ledger(tmp_path, synchronous="full") as book:
        first = asyncio.create_task(book.durable(book.intend(row("a", 1))))
        assert await asyncio.to_thread(began.wait, 5)
        others = [asyncio.create_task(book.durable(book.intend(row("b", 1)))) for _ in range(50)]
        await asyncio.sleep(0)
        others[0].cancel()  # its going does not take the others' sync away
        gate.set()
        await asyncio.gather(first, *others[1:])
    assert len(syncs) == 2
    assert syncs[1] == 51


async def test_a_sync_that_fails_is_not_tried_again_but_all_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger(tmp_path, is_hard=True, create=True, synchronous="full") as book:
        before = (tmp_path / "ledger.intents").stat().st_ino
        with monkeypatch.context() as broken:
            broken.setattr(intents.Intents, "sync", fail)
            await book.durable(book.intend(row("a", 1)))
        assert (tmp_path / "ledger.intents").stat().st_ino != before
        spend(book)
        assert (await spent(book), book.failed) == (7, "")


def fail(*_: object) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_hard", [True, False])
async def test_where_no_sync_works_a_strict_budget_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_hard: bool
) -> None:
    async with ledger(tmp_path, is_hard=is_hard, create=True, synchronous="full") as book:
        slot = book.intend(row("a", 1))
        with monkeypatch.context() as broken:
            broken.setattr(intents.Intents, "sync", fail)
            broken.setattr(intents.Intents, "renew", fail)
            if is_hard:
                with pytest.raises(LedgerUnavailable, match="input/output error"):
                    await book.durable(slot)
            else:
                await book.durable(slot)
                assert book.uncovered == 1
        assert book.failed == "input/output error"
        book.forget(slot)
        spend(book)
        book.flush()
        assert book.failed == ""


def test_nothing_of_it_is_logged_under_another_name() -> None:
    assert writer.log is logging.getLogger("pillion")
