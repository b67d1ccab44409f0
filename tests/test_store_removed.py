"""What if somebody removes the ledger's files while pillion runs, as a cleaner of /tmp does?"""

import shutil
from pathlib import Path

import pytest

from proxy.errors import LedgerUnavailable
from proxy.store.files import Files
from proxy.store.intents import found
from proxy.store.reasons import Unusable
from tests.crash import row
from tests.test_store_failures import fails, ledger, quick, recovers, spend, spent

__all__ = ["quick"]  # a fixture, for each test here as well

FILES = "ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.intents", "ledger.lock"
REMOVED = ("the folder", *FILES, " ".join(FILES[:3]), " ".join(FILES))


def remove(folder: Path, what: str) -> None:
    if what == "the folder":
        shutil.rmtree(folder)
        return
    for name in what.split(" "):
        (folder / name).unlink()


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize("what", REMOVED)
@pytest.mark.parametrize("is_hard", [True, False])
async def test_what_was_taken_away_is_put_back_with_all_that_was_in_it(
    folder: Path, is_hard: bool, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with ledger(folder, is_hard) as book:
        spend(book, 3)
        await spent(book)
        under_way = row("u", 1000)
        book.intend(under_way)
        remove(folder, what)
        spend(book, 3)
        assert await spent(book) == 42
        await recovers(book)
        left = found(folder / "ledger.intents")
        assert (under_way.request in {this.request for this in left.rows}, left.unreadable) == (True, 0)
        with pytest.raises(Unusable, match="another pillion is using the ledger"):
            Files(folder).lock()
        assert modes(folder) == {0o600}
        shutil.copytree(folder, folder.with_name("killed"))
    for left_there in (folder, folder.with_name("killed")):  # only an orderly end writes the files once more
        async with ledger(left_there, is_hard, create=False) as book:
            assert await spent(book) == 42 + under_way.nanos
    is_ledgers = what != "ledger.intents"  # which holds nothing that was spent
    assert caplog.text.count(f"the ledger in {folder} was deleted, and has been restored completely") == is_ledgers


async def test_what_another_has_put_in_its_place_is_left_alone(folder: Path) -> None:
    async with ledger(folder) as book:
        spend(book)
        await spent(book)
        other = b"of somebody else"
        (folder / "new").write_bytes(other)
        (folder / "new").rename(folder / "ledger.db")
        spend(book)
        await fails(book)
        with pytest.raises(LedgerUnavailable, match="is not the file that was opened"):
            spend(book)
        assert (folder / "ledger.db").read_bytes() == other
