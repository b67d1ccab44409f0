"""Does the operator read which file is meant, and what to do; and does a client read of no file?"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from proxy.errors import ConfigError, LedgerUnavailable
from proxy.store.schema import VERSION
from tests.test_store_failures import fails, ledger, quick, spend

__all__ = ["quick"]  # a fixture, for each test here as well


def _missing(folder: Path) -> None:
    """A link that leads nowhere."""
    (folder / "ledger.db").symlink_to(folder / "away" / "ledger.db")


def _a_folder(folder: Path) -> None:
    (folder / "ledger.db").mkdir()


def _no_lock(folder: Path) -> None:
    (folder / "ledger.lock").mkdir()


def _newer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")


@pytest.mark.parametrize(
    ("hinder", "file"),
    [(_missing, "ledger.db"), (_a_folder, "ledger.db"), (_no_lock, "ledger.lock"), (_newer, "ledger.db")],
)
@pytest.mark.parametrize("is_hard", [True, False])
async def test_what_cannot_be_opened_is_named_and_so_is_what_to_do(
    tmp_path: Path, hinder: Callable[[Path], None], file: str, is_hard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hinder(tmp_path)
    said = ""
    try:
        async with ledger(tmp_path, is_hard):
            said = caplog.text
    except ConfigError as error:
        said = str(error)
    assert f"{tmp_path / file}" in said
    assert "another state_dir" in said


async def test_what_cannot_be_written_is_named_to_the_operator_and_to_no_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with ledger(tmp_path) as book:
        (tmp_path / "new").write_bytes(b"of somebody else")
        (tmp_path / "new").rename(tmp_path / "ledger.db")
        spend(book)
        await fails(book)
        with pytest.raises(LedgerUnavailable, match="not the file that was opened") as refused:
            spend(book)
        assert f"{tmp_path / 'ledger.db'} is not the file that was opened: restart pillion" in caplog.text
        assert str(tmp_path) not in str(refused.value)
