"""When does a budget begin anew, and what was spent before we began?"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.budgets import Spent
from proxy.budgets.purse import KEPT
from proxy.budgets.windows import WINDOWS
from proxy.config import Budget
from tests.till import ME, NOON, Till


@given(st.floats(0, 2**33), st.sampled_from(["day", "month", "total"]))
def test_windows_follow_one_another_without_a_gap(at: float, kind: str) -> None:
    start, end = WINDOWS[kind](at)
    assert start <= at < end
    if kind == "total":
        return
    first, following = (datetime.fromtimestamp(moment, UTC) for moment in (start, end))
    assert (first.hour, first.minute, first.second, first.microsecond) == (0, 0, 0, 0)
    assert kind == "day" or (first.day, following.day) == (1, 1)
    assert (following - first).days in ((1,) if kind == "day" else (28, 29, 30, 31))
    assert WINDOWS[kind](end).start == end
    assert WINDOWS[kind](start) == (start, end)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    "moments",
    [
        "2026-10-15T23:30 2026-10-16T00:30 2026-10-15T23:30 2026-10-16T00:30",  # an hour back over midnight
        "2026-10-15T12:00 2026-10-14T12:00 2026-10-15T12:00",  # a day back
        "2026-10-25T00:59 2026-10-25T01:01 2026-10-25T23:59 2026-10-26T00:00",  # the end of summer time
        "2038-01-19T03:14:07 2038-01-19T03:14:08 2038-01-20T00:00",  # the end of 32 bits
        "2026-12-31T23:59:59.999 2027-01-01T00:00 2026-12-31T23:59:59",  # a leap second is the second before, again
        "2026-10-15T12:00 2099-01-01T00:00 2026-10-15T13:00 2026-10-16T00:00",  # a wild clock, put right
        "1970-01-01T00:00 2026-10-15T12:00 1970-01-01T00:05 2026-10-15T12:05",  # none, until somebody tells it
    ],
)
@pytest.mark.parametrize("kind", ["day", "month"])
def test_whatever_the_clock_does_no_window_begins_twice_and_none_is_stuck(
    moments: str, kind: Literal["day", "month"]
) -> None:
    """Three requests may be paid in each; M5."""
    till = Till(it=Budget(usd=0.000000003, window=kind))
    admitted: dict[str, int] = {}
    for moment in moments.split():
        till.now = at(moment)
        name = moment[: 10 if kind == "day" else 7]
        for _ in range(5):
            if till.admits(1):
                till.pay(1)
                admitted[name] = admitted.get(name, 0) + 1
    assert set(admitted.values()) == {3}
    assert set(admitted) == {moment[: 10 if kind == "day" else 7] for moment in moments.split()}


def test_a_clock_beyond_all_calendars_is_no_error() -> None:
    for kind in ("day", "month", "total"):
        for moment in (-1e12, 1e12, 1e18):
            till = Till(moment, it=Budget(usd=1e-9, window=kind))
            till.pay(1)
            assert not till.admits(1)


# --- over midnight ---------------------------------------------------------------------------------------------------


def test_an_attempt_over_midnight_is_counted_once_and_where_it_began() -> None:
    till = Till(it=Budget(usd=1e-8, window="day"))
    held = till.budgets.reserve(*ME, 7)
    till.now += 86400
    assert till.admits(10)
    till.budgets.settle(held, 6)
    assert (till.spent("it"), till.reserved) == (0, 0)
    till.now -= 86400
    assert (till.spent("it"), till.reserved) == (6, 0)
    assert not till.admits(5)


def test_what_began_before_midnight_counts_there_for_a_budget_that_came_later() -> None:
    till, day = Till(other=Budget(usd=1)), {"it": Budget(usd=1e-8, window="day")}
    held, began = till.budgets.reserve(*ME, 7), till.now
    till.now += 86400
    till.budgets.become(day, ())
    assert (till.spent("it"), till.reserved) == (0, 0)
    till.budgets.settle(held, 6)
    till.budgets.count(*ME, 2, began)
    assert till.spent("it") == 0
    till.now = began
    assert till.spent("it") == 8


@pytest.mark.parametrize("kind", ["day", "month"])
def test_a_start_by_a_clock_that_is_far_ahead_forgets_nothing_of_the_present(kind: Literal["day", "month"]) -> None:
    """What was spent while it was wrong is there as well."""
    till, years = Till(it=Budget(usd=1e-8, window=kind)), 3 * 365 * 86400
    now, till.now = till.now, till.now + years
    till.budgets.restore([Spent(at, *ME, 9) for at in (now, till.now)])
    assert till.spent("it") == 9
    till.now = now
    assert till.spent("it") == 9
    assert not till.admits(2)


def test_of_what_was_spent_long_ago_nothing_is_kept() -> None:
    till = Till(it=Budget(usd=1, window="day"))
    till.budgets.restore([Spent(till.now - n * 86400, *ME, 9) for n in range(400)])
    (purse,) = till.budgets._purses.values()
    assert len(purse._counters) == KEPT + 1


def test_a_window_is_new_though_nobody_asks_for_anything() -> None:
    till = Till(it=Budget(usd=1e-8, window="day"))
    till.pay(10)
    till.now += 86400
    assert till.spent("it") == 0


def test_only_a_few_windows_are_kept_of_those_that_have_ended() -> None:
    till = Till(it=Budget(usd=1, window="day"))
    for _ in range(400):
        till.pay(5)
        till.now += 86400
    till.now -= 8 * 86400
    assert till.spent("it") == 5
    till.now -= 86400
    assert till.spent("it") == 0


# --- what the ledger tells -------------------------------------------------------------------------------------------


def test_what_was_spent_before_we_began_counts_in_its_window() -> None:
    till = Till(
        day=Budget(usd=1, window="day"), month=Budget(usd=1), all=Budget(usd=1, window="total"),
        each=Budget(usd=1, client="*", provider="openai"), other=Budget(usd=1, provider="groq"),
    )  # fmt: skip
    days = (0, 1, 14, 15, 300)
    till.budgets.restore(Spent(NOON - 43200 - days[n] * 86400, *ME, 10**n) for n in range(5))
    spent = {(row.name, row.client): row.spent for row in till.budgets.statements()}
    assert spent == {("day", ""): 1, ("month", ""): 111, ("all", ""): 11111, ("each", "me"): 111, ("other", ""): 0}


def test_what_a_ledger_has_of_later_days_counts_when_they_come() -> None:
    """The machine began in 1970, and is told the time only now."""
    till = Till(0.0, it=Budget(usd=1e-8, window="day"))
    till.budgets.restore(Spent(NOON + n * 86400, *ME, 10) for n in range(-20, 20))
    assert till.admits(10)
    till.now = NOON
    assert not till.admits(1)
    till.now += 20 * 86400
    assert till.admits(10)


def test_what_a_ledger_has_of_its_last_days_counts_if_the_clock_goes_back() -> None:
    till = Till(it=Budget(usd=1e-8, window="day"))
    till.budgets.restore(Spent(NOON - n * 86400, *ME, 10) for n in range(7, 20))
    till.now -= (7 + KEPT) * 86400
    assert not till.admits(1)
    till.now -= 86400
    assert till.admits(10)


def test_what_was_told_before_we_began_is_not_told_again() -> None:
    till = Till(it=Budget(usd=1e-8))
    till.budgets.restore([Spent(NOON, *ME, 9)])
    till.pay(1)
    assert [alert.kind for alert in till.told] == ["exhausted"]
