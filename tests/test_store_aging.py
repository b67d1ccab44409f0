"""Is a row that is not old still there, whatever the clock said meanwhile?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config import Ledger as Wish
from proxy.store import Ledger, writer
from proxy.store.aging import Aging
from tests.clock import Clock
from tests.crash import NOW, row
from tests.test_store_ledger import rows

MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86400.0, 365.25 * 86400


class Machine:
    """One whose clock may be put; `runs` lets time pass."""

    def __init__(self, folder: Path, keep_days: int = 400) -> None:
        self.folder = folder
        self.wall = Clock(NOW)
        self.ticks = Clock()
        self._wish = Wish(keep_days=keep_days)
        self._asked = 0

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Ledger]:
        book = Ledger(self.folder, self._wish, False, clock=self.wall)
        book._aging = Aging(self._wish.keep_days, self.wall, self.ticks)
        await book.open()
        try:
            yield book
        finally:
            await book.close()

    def runs(self, seconds: float) -> None:
        self.wall.now += seconds
        self.ticks.now += seconds

    async def asks(self, book: Ledger, times: int = 1) -> None:
        for _ in range(times):
            self._asked += 1
            this = row(f"r{self._asked}", 1000, NOW - self.wall.now)
            book.settle(book.intend(this), this)
        await self.prunes(book)

    async def prunes(self, book: Ledger) -> None:
        """Once what is answered is told, all before it was done."""
        for _ in range(4):
            await book.totals()

    @property
    def kept(self) -> int:
        return len(rows(self.folder))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER", 0.001)
    monkeypatch.setattr(writer, "PRUNE_EVERY", 0.0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("years", [1.2, 10, -1.2, -56])
async def test_a_boot_by_a_wrong_clock_that_is_put_right_loses_nothing(machine: Machine, years: float) -> None:
    """Each morning anew, and pillion is started twice by it."""
    for _ in range(40):
        machine.wall.now += years * YEAR
        for _ in range(2):
            async with machine.started() as book:
                await machine.asks(book)
                machine.runs(HOUR)
                await machine.asks(book)
        async with machine.started() as book:
            machine.wall.now -= years * YEAR
            await machine.asks(book)
            machine.runs(HOUR)
            await machine.asks(book)
        machine.runs(21 * HOUR)
    assert machine.kept == 40 * 6


@pytest.mark.parametrize("years", [1.2, 10, -1.2])
async def test_a_clock_that_leaps_while_pillion_runs_loses_nothing(machine: Machine, years: float) -> None:
    machine.wall.now += 2 * YEAR
    async with machine.started() as book:
        for _ in range(3):
            await machine.asks(book)
            machine.runs(DAY)
        machine.wall.now += years * YEAR
        await machine.asks(book)
        machine.runs(HOUR)
        await machine.asks(book)
        machine.wall.now -= years * YEAR
        for _ in range(2):
            machine.runs(2 * DAY)
            await machine.asks(book)
    assert machine.kept == 7


async def test_a_clock_that_was_put_right_prunes_what_is_old_and_what_was_written_between(machine: Machine) -> None:
    async with machine.started() as book:
        await machine.asks(book)
        for years in (10, -56):
            machine.wall.now += years * YEAR
            await machine.asks(book, 2)
            machine.wall.now -= years * YEAR
        await machine.asks(book)
        for _ in range(14):
            machine.runs(30 * DAY)
            await machine.asks(book)
    assert machine.kept == 14


@pytest.mark.parametrize("pause", [HOUR, DAY, 7 * DAY, 29 * DAY])
async def test_rows_go_where_pillion_never_runs_for_long(machine: Machine, pause: float) -> None:
    """However seldom it is started, up to once a month."""
    async with machine.started() as book:
        await machine.asks(book, 3)
    machine.wall.now += 500 * DAY
    for _ in range(2 + int(DAY // pause)):
        async with machine.started() as book:
            machine.runs(MINUTE)
            await machine.asks(book)
        machine.runs(pause)
    assert min(number for number, *_ in rows(machine.folder)) == 4


async def test_rows_go_where_nobody_asks_anything_any_more(machine: Machine) -> None:
    async with machine.started() as book:
        await machine.asks(book, 3)
    machine.wall.now += 500 * DAY
    async with machine.started() as book:
        await machine.prunes(book)
        assert machine.kept == 3
        machine.runs(DAY)
        await machine.prunes(book)
    assert machine.kept == 0


async def test_a_day_is_kept_as_long_as_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, keep_days=1)
    for _ in range(10):
        async with machine.started() as book:
            await machine.asks(book)
        machine.runs(7 * HOUR)
    assert machine.kept == 4
