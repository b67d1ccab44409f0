"""Is a file replaced whole or not at all, and is nothing left beside it?"""

from pathlib import Path

import pytest

from proxy.files import replace_file


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
