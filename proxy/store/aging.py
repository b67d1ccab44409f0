"""Which rows are old, where the clock may be wrong?

A machine may start by a clock that is years ahead, or behind, and has it put right later; what was pruned by then is
gone for good. So

- a clock is believed once it has been as it is for a while: by the rows that stand at the ledger's end, of which none
  was written by another, or by how long pillion has run;
- one that leaps while pillion runs is not believed any more;
- a row has no time that says one before pillion was written, one that is still to come, or one long before that of the
  rows before it. It is as old as the next row that has one.
"""

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

DAY = 86400  # seconds
SPAN = 30 * DAY  # rows that are further apart vouch for no clock; so far behind another one, a row has no time
PROBATION = DAY  # seconds until a clock is believed
LEAP = DAY  # seconds that it moves at once: more than the night that a machine sleeps
BEGAN = 1_767_225_600.0  # 2026-01-01: pillion is no older


class Young(NamedTuple):
    """Seconds since 1970. What was written between them stays; what comes after the end has no time."""

    begin: float
    end: float


class Aging:
    """`clock`: seconds since 1970. `ticks`: seconds that run as they are."""

    def __init__(self, keep_days: int, clock: Callable[[], float], ticks: Callable[[], float] = monotonic) -> None:
        self._keep = float(keep_days * DAY)
        self._span = min(SPAN, self._keep)
        self._probation = min(PROBATION, self._span / 2)
        self._clock = clock
        self._ticks = ticks
        self._offset = clock() - ticks()  # moves where the clock is put, or the machine sleeps
        self._since = ticks()  # the clock has not leapt
        self._is_believed = False

    def __repr__(self) -> str:
        return f"<Aging after {self._keep / DAY:.0f} days, the clock is{'' if self._is_believed else ' not'} believed>"

    def young(self, first_of_the_last: Callable[[float, float], float | None]) -> Young | None:
        """None while nothing is to be pruned by this clock. Raises what the question does, which is Database's."""
        now, ticks = self._clock(), self._ticks()
        before, self._offset = self._offset, now - ticks
        if abs(self._offset - before) > LEAP:
            self._is_believed, self._since = False, ticks
        if not self._is_believed:
            first = first_of_the_last(now - self._span, now)
            vouched = 0.0 if first is None else now - first
            self._is_believed = max(ticks - self._since, vouched) >= self._probation
        return Young(now - self._keep, now) if self._is_believed else None
