"""Is the sum of the rows what the sums say, to the last unit (figure L6), and does each question get its part?"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from errno import EACCES
from math import ceil, floor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Ledger as Wish
from proxy.errors import ConfigError
from proxy.store import ESTIMATED, UNPRICED, Group, Ledger, Query, Row, read_usage
from proxy.store.database import Database
from proxy.store.row import TOKENS, fit, spelled
from proxy.store.schema import KEYS, SUMS
from proxy.store.usage import GROUPINGS, totals, usage
from tests.crash import NOW, row

HOUR = 3600

rows_ = st.lists(
    st.builds(
        Row,
        id=st.integers(1, 40),
        at=st.floats(NOW - 3 * 86400, NOW, allow_nan=False),
        request=st.just("r"),
        attempt=st.just(1),
        client=st.sampled_from(["", "a", "b"]),
        dialect=st.sampled_from(["openai_chat", "gemini"]),
        operation=st.just("chat"),
        provider=st.sampled_from(["openai", "google"]),
        model=st.sampled_from(["m", "n", "o'o\"%"]),
        nanos=st.integers(0, 10**15) | st.integers(),
        source=st.just(""),
        duration=st.just(0.1),
        first_byte=st.just(0.1),
        status=st.just(200),
        error=st.sampled_from(["", "timeout idle_timeout"]),
        flags=st.integers(0, 31),
        **{name: st.integers(0, 2**40 - 1) | st.integers(-5, 2**70) for name in TOKENS},
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sums")


def fresh(folder: Path) -> Database:
    for path in folder.glob("ledger.db*"):
        path.unlink()
    made = Database(folder / "ledger.db", "off")
    made.open()
    made.begin()
    return made


def sums_of(rows: Sequence[Row]) -> tuple[int, ...]:
    """The naive way."""
    counts = [len(rows), sum(row.error != "" for row in rows)]
    counts += [sum(getattr(row, name) for row in rows) for name in (*TOKENS, "nanos")]
    return *counts, sum(row.flags & ESTIMATED > 0 for row in rows), sum(row.flags & UNPRICED > 0 for row in rows)


@settings(max_examples=25)
@given(rows_, st.lists(st.integers(1, 12)))
def test_rows_hours_days_and_totals_agree_whatever_comes_twice(folder: Path, rows: list[Row], cuts: list[int]) -> None:
    with closing(fresh(folder)) as database:
        at = 0
        for cut in [*cuts, len(rows)]:
            batch = {row.id: row for row in rows[at : at + cut]}  # of one id there is one row in a batch
            database.insert([*map(spelled, batch.values())])
            at += cut
        first: dict[int, Row] = {}
        database_rows = database.ask(lambda db: db.execute("SELECT * FROM attempts").fetchall())
        for said in database_rows:
            first[said[0]] = Row(*said)
        expected = sums_of([*first.values()]) if first else (0,) * len(SUMS)
        for table in KEYS:
            assert summed(database, table) == expected
        assert sum(total.nanos for total in database.ask(totals)) == expected[10]
        assert {row.id for row in rows} == {*first}
        assert database.fault == ""


def summed(database: Database, table: str) -> tuple[int, ...]:
    columns = ", ".join(f"ifnull(sum({name}), 0)" for name in SUMS)
    said: tuple[int, ...] = database.ask(lambda db: db.execute(f"SELECT {columns} FROM {table}").fetchone())
    return said


@settings(max_examples=30)
@given(
    rows_,
    st.lists(st.sampled_from(GROUPINGS), unique=True, max_size=4),
    st.none() | st.sampled_from(["", "a", "nobody"]),
    st.floats(0, 4 * 86400),
    st.none() | st.floats(0, 4 * 86400),
)
def test_every_question_gets_its_part(
    folder: Path, rows: list[Row], by: list[str], client: str | None, since: float, until: float | None
) -> None:
    query = Query(NOW - since, None if until is None else NOW - until, tuple(by), client)
    rows = [*{row.id: fit(row) for row in rows}.values()]
    with closing(fresh(folder)) as database:
        database.insert([*map(spelled, rows)])
        assert database.ask(usage(query)) == [*naive(rows, query)]


@pytest.mark.parametrize(
    ("since", "until", "nanos"),
    [(-48, None, 1111), (-25, 10, 110), (-29, 6, 110), (-48, 5, 11), (5, 6, 100), (6, 20, 0), (-24, 24, 1110)],
)
def test_a_question_may_begin_and_end_within_a_day(folder: Path, since: int, until: int | None, nanos: int) -> None:
    midnight = NOW // 86400 * 86400
    rows = [row("r", 10**number) for number in range(4)]
    for number, (each, hour) in enumerate(zip(rows, (-30, -20, 5, 20), strict=True)):
        each.id, each.at = number + 1, midnight + hour * HOUR + 1
    with closing(fresh(folder)) as database:
        database.insert([*map(spelled, rows)])
        end = None if until is None else midnight + until * HOUR
        groups = database.ask(usage(Query(midnight + since * HOUR, end)))
        assert sum(group.nanos for group in groups) == nanos


@settings(max_examples=30)
@given(rows_, st.lists(st.sampled_from(GROUPINGS), unique=True, max_size=4), st.integers(1, 5))
def test_pages_come_to_the_whole(folder: Path, rows: list[Row], by: list[str], most: int) -> None:
    rows, query = [*{row.id: fit(row) for row in rows}.values()], Query(by=tuple(by))
    with closing(fresh(folder)) as database:
        database.insert([*map(spelled, rows)])
        said = page = database.ask(usage(query._replace(most=most)))
        while page and by and len(said) <= len(rows):
            page = database.ask(usage(query._replace(most=most, behind=page[-1].keys)))
            said += page
        assert said == [*naive(rows, query)]


def naive(rows: list[Row], query: Query) -> Iterator[Group]:
    first = floor(query.since / HOUR) * HOUR
    last = float("inf") if query.until is None else ceil(query.until / HOUR) * HOUR
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for each in rows:
        if first <= each.at < last and query.client in (None, each.client):
            groups[tuple(key(each, name) for name in query.by)].append(each)
    for keys in sorted(groups):
        yield Group(keys, *sums_of(groups[keys]))


def key(row: Row, name: str) -> str:
    when = datetime.fromtimestamp(row.at, UTC)
    match name:
        case "day":
            return when.date().isoformat()
        case "hour":
            return when.strftime("%Y-%m-%dT%H:00Z")
        case _:
            return str(getattr(row, "client" if name == "key" else name))


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200, 512])
def test_any_number_of_rows_is_written_at_once(folder: Path, rows: int) -> None:
    with closing(fresh(folder)) as database:
        made = [row("r", 3) for _ in range(rows)]
        for number, each in enumerate(made):
            each.id, each.model = number + 1, f"m{number % 100}"
        database.insert([*map(spelled, made)])
        assert summed(database, "hours")[0] == summed(database, "days")[0] == rows


# --- for commands ----------------------------------------------------------------------------------------------------


async def test_a_command_reads_what_a_running_pillion_has_written(tmp_path: Path) -> None:
    book = Ledger(tmp_path, Wish(), False, clock=lambda: NOW)
    await book.open()
    try:
        this = row("r", 1000)
        book.settle(book.intend(this), this)
        await book.totals()
        assert [(group.keys, group.nanos) for group in read_usage(tmp_path, Query(by=("client",)))] == [
            (("app",), 1000)
        ]
    finally:
        await book.close()
    assert read_usage(tmp_path, Query())[0].nanos == 1000


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder in which this process cannot write once it is shut: root becomes somebody else for as long."""
    whoever = os.geteuid()
    with TemporaryDirectory(prefix="pillion-") as folder:
        Path(folder).chmod(0o755)
        try:
            yield Path(folder) / "copy"
        finally:
            os.seteuid(whoever)
            (Path(folder) / "copy").chmod(0o755)


async def left(folder: Path, *names: str) -> dict[str, bytes]:
    """These files of a ledger of 1,000 nano-dollars: while it is in use, or, if its WAL is not wanted, behind that."""
    book = Ledger(folder, Wish(), False, clock=lambda: NOW)
    await book.open()
    try:
        this = row("r", 1000)
        book.settle(book.intend(this), this)
        await book.totals()
        found = {name: (folder / name).read_bytes() for name in names if len(names) > 1}
    finally:
        await book.close()
    return found or {name: (folder / name).read_bytes() for name in names}


def shut(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Put them into the folder, and make it read-only. What it then holds."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    folder.chmod(0o555)
    if not os.geteuid():
        os.seteuid(65534)
    return held(folder)


def held(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("names", [["ledger.db"], ["ledger.db", "ledger.db-wal", "ledger.db-shm"]])
async def test_a_copy_that_is_mounted_read_only_is_read(tmp_path: Path, nobodys: Path, names: Sequence[str]) -> None:
    there = shut(nobodys, await left(tmp_path, *names))
    assert [group.nanos for group in read_usage(nobodys, Query())] == [1000]
    assert held(nobodys) == there


async def test_rows_that_cannot_be_read_there_are_told_of(tmp_path: Path, nobodys: Path) -> None:
    shut(nobodys, await left(tmp_path, "ledger.db", "ledger.db-wal"))
    with pytest.raises(ConfigError, match=r"its newest rows are in ledger\.db-wal, .*: copy both to a folder that can"):
        read_usage(nobodys, Query())


def test_where_there_is_no_ledger_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no ledger in .*state_dir"):
        read_usage(tmp_path, Query())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_not_be_looked_into_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of another user is. A name that is too long is refused in the same way, also to root."""
    folder = tmp_path / ("x" * 300)
    with pytest.raises(ConfigError, match=r"ledger\.db: file name too long"):
        read_usage(folder, Query())
    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(ConfigError, match=rf"ledger\.db: permission denied to user {os.geteuid()}, as whom this runs"):
        read_usage(tmp_path, Query())


def denied(path: Path, **_: Any) -> None:
    raise PermissionError(EACCES, "Permission denied", str(path))


def version(number: int) -> Any:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA user_version = {number}")

    return make


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (version(0), "there is no ledger in .* yet"),
        (version(2), "has version 2, but this pillion reads version 1"),
        (
            lambda path: path.write_bytes(b"rubbish" * 1000),
            "not a ledger of pillion's; the next start of pillion moves it",
        ),
        (lambda path: path.mkdir(), "disk error"),
    ],
)
def test_what_is_no_ledger_is_told_of(tmp_path: Path, make: Any, why: str) -> None:
    make(tmp_path / "ledger.db")
    with pytest.raises(ConfigError, match=why):
        read_usage(tmp_path, Query())
