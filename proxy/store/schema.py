"""Which tables does the ledger have, and which SQL writes and reads them?

`attempts` has a row for each attempt. `hours` and `days` have their sums, added up in the same transaction. These two
must agree, and that is how a broken page is found: SQLite has no checksums.
"""

# ruff: noqa: S608  (only names of ours are put into these statements; every value is bound)

from collections.abc import Mapping, Sequence

from proxy.store.row import TOKENS, Row

VERSION = 1

SUMS = ("requests", "errors", *TOKENS, "nanos", "estimated", "unpriced")
KEYS = {
    "hours": ("hour", "client", "provider", "model", "dialect"),
    "days": ("day", "client", "provider", "model"),
}
SECONDS = {"hours": 3600, "days": 86400}  # hours and days are numbered since 1970
HOURS_OF_DAY = 24

# The names in `meta`, each with a number: see database.py.
FLOOR, LOST = "floor", "lost"

_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}


def _columns(types: Mapping[str, type]) -> str:
    return ", ".join(f"{name} {_TYPES[kind]} NOT NULL" for name, kind in types.items() if name != "id")


def _sums_table(table: str) -> str:
    names = KEYS[table]
    types = {names[0]: int, **dict.fromkeys(names[1:], str), **dict.fromkeys(SUMS, int)}
    return f"CREATE TABLE {table} ({_columns(types)}, PRIMARY KEY ({', '.join(names)})) WITHOUT ROWID"


CREATE = (
    f"CREATE TABLE attempts (id INTEGER PRIMARY KEY, {_columns(Row.__annotations__)})",
    *(_sums_table(table) for table in KEYS),
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    f"INSERT INTO meta VALUES ('{FLOOR}', 0), ('{LOST}', 0)",
    f"PRAGMA user_version = {VERSION}",
)


def insertion(count: int) -> str:
    """The statement that inserts so many rows."""
    return f"INSERT INTO attempts VALUES {_values(len(Row.__struct_fields__), count)}"


def addition(table: str, count: int) -> str:
    """The statement that adds so many sums to a table."""
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    values = _values(len(KEYS[table]) + len(SUMS), count)
    return f"INSERT INTO {table} VALUES {values} ON CONFLICT DO UPDATE SET {sums}"


def _values(columns: int, count: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * count)


def _added_up() -> str:
    """The sums of each day, from its hours."""
    sums = ", ".join(f"sum({name})" for name in SUMS)
    return f"SELECT hour / 24, client, provider, model, {sums} FROM hours GROUP BY 1, 2, 3, 4"


# True of no sound ledger: days that differ from the sum of their hours, or that only one of the two tables has.
DISAGREEMENTS = (
    f"SELECT EXISTS ({_added_up()} EXCEPT SELECT * FROM days)",
    f"SELECT EXISTS (SELECT * FROM days EXCEPT {_added_up()})",
    "SELECT count(*) <> 2 FROM meta WHERE typeof(value) = 'integer'",
)


def grouping(table: str, by: Sequence[str], is_of_one: bool, is_behind: bool) -> str:
    """The query for a table's sums in a period, grouped by these columns, with a limit on the groups.

    `is_of_one`: only one client's. `is_behind`: only groups whose keys come after given ones. For days, the hours
    before the first and after the last whole day are added: two more periods.
    """
    keys, sums = ", ".join(by), ", ".join(f"sum({name})" for name in SUMS)
    said = _slice("hours", "hour, hour / 24 AS day", is_of_one)
    if table == "days":
        edge = _slice("hours", "hour / 24 AS day", is_of_one)
        said = f"{_slice('days', 'day', is_of_one)} UNION ALL {edge} UNION ALL {edge}"
    end = f"GROUP BY {keys} ORDER BY {keys}" if by else "HAVING count(*) > 0"
    behind = f"WHERE ({keys}) > ({', '.join('?' * len(by))}) " if is_behind else ""
    return f"SELECT {', '.join([*by, sums])} FROM ({said}) {behind}{end} LIMIT ?"


def _slice(table: str, unit: str, is_of_one: bool) -> str:
    """A period of a table, for one client or for all."""
    where = f"{KEYS[table][0]} >= ? AND {KEYS[table][0]} < ?" + (" AND client = ?" if is_of_one else "")
    return f"SELECT {unit}, client, provider, model, {', '.join(SUMS)} FROM {table} WHERE {where}"
