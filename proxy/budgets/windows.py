"""From when until when does a budget's money last?

A window is worked out from the time, by UTC's calendar; no timer and no first request moves it on. So windows that
nobody looked at make no difference, and a clock that goes back finds the window that it had left.
"""

from calendar import timegm
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple

DAY = 86400  # seconds; UTC as Unix counts it has neither leap seconds nor summer time
LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()  # the calendar ends soon after


class Window(NamedTuple):
    """Seconds since 1970; the end is not in it."""

    start: float
    end: float


def day(at: float) -> Window:
    start = at // DAY * DAY
    return Window(start, start + DAY)


def month(at: float) -> Window:
    when = _date(at)
    return Window(_first(when.year, when.month), _first(when.year + when.month // 12, when.month % 12 + 1))


def total(_at: float) -> Window:
    return Window(-inf, inf)


WINDOWS: Mapping[str, Callable[[float], Window]] = {"day": day, "month": month, "total": total}
SPANS: Mapping[str, str] = {"day": "today", "month": "this month", "total": "in total"}  # for sentences


def rfc3339(at: float) -> str:
    """Such as "2026-11-01T00:00:00Z"."""
    return f"{_date(at):%Y-%m-%dT%H:%M:%SZ}"


def _date(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), LAST), UTC)


def _first(year: int, number: int) -> float:
    return float(timegm((year, number, 1, 0, 0, 0)))
