"""What do rows add up to, by the hour and by the day?"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from proxy.store.row import ESTIMATED, UNPRICED, Row
from proxy.store.schema import HOURS_OF_DAY, SECONDS, SUMS

Key = tuple[int | str, ...]
Sums = tuple[int, ...]


def added_up(rows: Iterable[Row]) -> dict[str, list[Key]]:
    """What to add to each table: keys and sums, in the order of its columns."""
    of_hours: dict[Key, list[Sums]] = defaultdict(list)
    for row in rows:
        hour = int(row.at // SECONDS["hours"])
        of_hours[hour, row.client, row.provider, row.model, row.dialect].append(_counts(row))
    of_days: dict[Key, list[Sums]] = defaultdict(list)
    for key, counts in of_hours.items():
        of_days[int(key[0]) // HOURS_OF_DAY, *key[1:4]].extend(counts)
    return {"hours": _summed(of_hours), "days": _summed(of_days)}


def _counts(row: Row) -> Sums:
    """In the order of SUMS."""
    return (
        1,
        1 if row.error else 0,
        row.input,
        row.cache_read,
        row.cache_write,
        row.cache_write_1h,
        row.audio_input,
        row.output,
        row.reasoning,
        row.audio_output,
        row.nanos,
        1 if row.flags & ESTIMATED else 0,
        1 if row.flags & UNPRICED else 0,
    )


def _summed(groups: dict[Key, list[Sums]]) -> list[Key]:
    return [key + total(counts) for key, counts in groups.items()]


def total(counts: Sequence[Sums]) -> Sums:
    """Column by column."""
    return tuple(map(sum, zip(*counts, strict=True))) or (0,) * len(SUMS)
