"""What do rows add up to, by the hour and by the day?"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from proxy.store.row import ESTIMATED, UNPRICED, Row
from proxy.store.schema import HOURS_OF_DAY, SECONDS, SUMS

Key = tuple[int | str, ...]
Counts = tuple[int, ...]  # in the order of SUMS
NOTHING: Counts = (0,) * len(SUMS)
LAST = 253_370_764_800.0  # 9999-01-01: the calendar ends soon after; it begins in 1970


class Sums:
    """Of rows that are added in parts."""

    def __init__(self) -> None:
        self._of_hours: dict[Key, Counts] = {}

    def __repr__(self) -> str:
        return f"<Sums of {len(self._of_hours)} kinds of rows>"

    def add(self, rows: Iterable[Row]) -> None:
        parts: dict[Key, list[Counts]] = defaultdict(list)
        for row in rows:
            hour = int(min(max(row.at, 0.0), LAST) // SECONDS["hours"])
            parts[hour, row.client, row.provider, row.model, row.dialect].append(_counts(row))
        for key, counts in parts.items():
            self._of_hours[key] = total([*counts, self._of_hours.get(key, NOTHING)])

    @property
    def tables(self) -> dict[str, list[Key]]:
        """What to add to each: keys and sums, in the order of its columns."""
        of_days: dict[Key, list[Counts]] = defaultdict(list)
        for key, counts in self._of_hours.items():
            of_days[int(key[0]) // HOURS_OF_DAY, *key[1:4]].append(counts)
        hours = [key + counts for key, counts in self._of_hours.items()]
        return {"hours": hours, "days": [key + total(counts) for key, counts in of_days.items()]}


def _counts(row: Row) -> Counts:
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


def total(counts: Sequence[Counts]) -> Counts:
    """Column by column."""
    return tuple(map(sum, zip(*counts, strict=True))) or NOTHING
