"""Is a file replaced whole or not at all, and is nothing left beside it?"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.access import keyring
from proxy.files import give_to_owner, replace_file
from proxy.store import begin

SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")


@pytest.mark.parametrize("is_durable", [True, False])
def test_it_is_the_new_one_and_private(tmp_path: Path, is_durable: bool) -> None:
    path, new = tmp_path / "rows", tmp_path / "rows.new"
    for data in (b"old", b"new"):
        replace_file(path, data, new, is_durable)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_put_there_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(path, b"data", tmp_path / "rows.new", is_durable=True)
    assert list(tmp_path.iterdir()) == [path]


@as_root
def test_what_root_makes_in_anothers_folder_is_that_ones(tmp_path: Path) -> None:
    """Root types `pillion keys add` and `pillion ledger init`; pillion runs as somebody else."""
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    keyring.change(tmp_path, lambda rows: rows)
    begin(tmp_path, 0.0)
    made = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    assert {"keys.json", "keys.lock", "ledger.db", "ledger.lock"} <= made.keys()
    assert set(made.values()) == {(SOMEBODY, SOMEBODY)}


@as_root
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_what_only_has_a_link_there_is_not(link: Callable[[Path, Path], None], tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "theirs", tmp_path / "roots"
    folder.mkdir()
    os.chown(folder, SOMEBODY, SOMEBODY)
    elsewhere.write_text("secret")
    link(elsewhere, folder / "keys.lock")
    with elsewhere.open() as opened:
        give_to_owner(opened.fileno(), folder / "keys.lock")
    assert elsewhere.stat().st_uid == 0


@as_root
@pytest.mark.parametrize("why", [errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP])
def test_what_cannot_be_given_away_is_kept(why: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root without its rights; a namespace that does not know the owner; a file system that has no owners."""

    def refuse(*_: object) -> None:
        raise OSError(why, os.strerror(why))

    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    monkeypatch.setattr(os, "fchown", refuse)
    replace_file(tmp_path / "rows", b"new", tmp_path / "rows.new", is_durable=False)
    assert (tmp_path / "rows").read_bytes() == b"new"


@as_root
def test_in_a_folder_of_its_own_root_keeps_it(tmp_path: Path) -> None:
    replace_file(tmp_path / "rows", b"new", tmp_path / "rows.new", is_durable=False)
    assert (tmp_path / "rows").stat().st_uid == 0
