"""Do budgets that change while requests are under way lose nothing of what was spent, and count nothing twice?"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.budgets import Reservation, Spent
from proxy.config import Budget
from proxy.config import Ledger as LedgerRow
from proxy.errors import OverBudget
from proxy.spending.money import NANOS
from proxy.store import Ledger
from tests.crash import row
from tests.till import ME, NOON, Till, Who

YOU: Who = ("you", "openai", "gpt-5")


def spent(nanos: int, who: Who = ME) -> Spent:
    return Spent(NOON, *who, nanos)


# --- one that is about the same goes on ------------------------------------------------------------------------------


def test_what_was_spent_and_is_set_aside_counts_on_by_the_new_amount() -> None:
    till = Till(it=Budget(usd=10))
    till.pay(4 * NANOS)
    held = till.budgets.reserve(*ME, 2 * NANOS)
    assert not till.budgets.lacks({"it": Budget(usd=7)})
    till.budgets.become({"it": Budget(usd=7)}, [])
    assert (till.spent("it"), till.reserved) == (4 * NANOS, 2 * NANOS)
    assert not till.admits(NANOS + 1)
    assert till.admits(NANOS)
    till.budgets.settle(held, NANOS)
    assert (till.spent("it"), till.reserved) == (5 * NANOS, 0)


def test_less_than_was_spent_pays_for_nothing_more() -> None:
    till = Till(it=Budget(usd=10))
    till.pay(4 * NANOS)
    till.budgets.become({"it": Budget(usd=3)}, [])
    assert not till.admits(1)
    till.budgets.become({"it": Budget(usd=5)}, [])
    assert till.admits(NANOS)


def test_a_budget_of_each_client_goes_on_for_each() -> None:
    till = Till(it=Budget(usd=2, client="*"))
    till.pay(NANOS, ME)
    till.pay(2 * NANOS, YOU)
    till.budgets.become({"it": Budget(usd=3, client="*")}, [])
    assert till.admits(2 * NANOS, ME)
    assert not till.admits(NANOS + 1, YOU)


@pytest.mark.parametrize("caps", [(1.0, None), (None, 1.0), (1.0, 2.0), (None, None)])
def test_what_is_set_aside_for_who_knows_what_follows_the_new_cap(caps: tuple[float | None, float | None]) -> None:
    before, later = caps
    till = Till(it=Budget(usd=10, mode="lenient", unbounded_usd=before))
    held = till.budgets.reserve(*ME, None)
    till.budgets.become({"it": Budget(usd=10, mode="lenient", unbounded_usd=later)}, [])
    assert till.reserved == int((later or 0) * NANOS)
    till.budgets.settle(held, 0)
    assert till.reserved == 0
    assert till.admits(None)


def test_two_whose_cap_was_taken_away_are_both_waited_for() -> None:
    till = Till(it=Budget(usd=10, mode="lenient", unbounded_usd=1))
    one, other = (till.budgets.reserve(*ME, None) for _ in range(2))
    till.budgets.become({"it": Budget(usd=10, mode="lenient")}, [])
    till.budgets.settle(one, 0)
    assert not till.admits(None)
    till.budgets.settle(other, 0)
    assert till.admits(None)


def test_nobody_is_told_twice_unless_the_marks_have_moved() -> None:
    till = Till(it=Budget(usd=10, alert=0.5))
    till.pay(6 * NANOS)
    till.budgets.become({"it": Budget(usd=10, alert=0.5, mode="lenient")}, [])
    till.pay(NANOS)
    assert [alert.kind for alert in till.told] == ["threshold"]
    till.budgets.become({"it": Budget(usd=12, alert=0.5)}, [])
    till.pay(0)
    assert [alert.kind for alert in till.told] == ["threshold", "threshold"]


# --- others begin with what was spent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [Budget(usd=3, window="total"), Budget(usd=3, client="me"), Budget(usd=3, client="*"), Budget(usd=3)],
)
@pytest.mark.parametrize("name", ["it", "another"])
def test_a_new_one_knows_what_was_spent_and_what_is_under_way(row: Budget, name: str) -> None:
    till = Till(it=Budget(usd=10, provider="openai"))
    till.pay(NANOS)
    held = till.budgets.reserve(*ME, NANOS)
    assert till.budgets.lacks({name: row})
    till.budgets.become({name: row}, [spent(NANOS)])
    assert (till.spent(name, "me" if row.client else ""), till.reserved) == (NANOS, NANOS)
    assert till.admits(NANOS)
    assert not till.admits(NANOS + 1)
    till.budgets.settle(held, NANOS // 2)
    assert till.spent(name, "me" if row.client else "") == NANOS * 3 // 2


def test_one_that_goes_on_hears_nothing_of_what_others_begin_with() -> None:
    till = Till(it=Budget(usd=10))
    till.pay(NANOS)
    till.budgets.become({"it": Budget(usd=10), "new": Budget(usd=10)}, [spent(NANOS)])
    assert (till.spent("it"), till.spent("new")) == (NANOS, NANOS)


def test_one_that_is_gone_is_gone_and_comes_back_with_all_that_was_spent() -> None:
    till = Till(it=Budget(usd=1))
    held = till.budgets.reserve(*ME, NANOS)
    till.budgets.become({}, [])
    assert till.admits(5 * NANOS)
    till.budgets.settle(held, NANOS)
    till.budgets.become({"it": Budget(usd=1)}, [spent(NANOS)])
    assert not till.admits(1)


def test_nobody_is_told_of_a_budget_that_is_gone() -> None:
    till = Till(it=Budget(usd=1, stop_streams=True))
    held = till.budgets.reserve(*ME, NANOS)
    till.budgets.become({}, [])
    till.budgets.settle(held, NANOS)
    assert (till.told, held.stop_at) == ([], None)


def test_what_began_without_a_budget_counts_when_it_ends() -> None:
    till = Till()
    till.budgets.become({"it": Budget(usd=1)}, [])
    till.budgets.count(*ME, NANOS)
    assert (till.spent("it"), till.reserved) == (NANOS, 0)
    assert "exhausted" in {alert.kind for alert in till.told}
    assert "overrun" not in {alert.kind for alert in till.told}


ROWS = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.builds(
        Budget,
        usd=st.sampled_from([1, 5]),
        client=st.sampled_from([None, "*", "me"]),
        provider=st.sampled_from([None, "openai"]),
        window=st.sampled_from(["day", "total"]),
        mode=st.sampled_from(["strict", "lenient"]),
    ),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from([ME, YOU]), st.integers(0, NANOS)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.floats(0, 1)),
        st.tuples(st.just("become"), ROWS, st.none()),
    ),
    max_size=30,
)


@given(ROWS, STEPS)
def test_whatever_changes_each_budget_has_all_that_was_spent_and_is_set_aside(
    rows: Mapping[str, Budget], steps: list[tuple[str, object, object]]
) -> None:
    """Against a list of what was paid, and of what is under way."""
    till, paid, under_way = Till(**rows), list[tuple[Who, int]](), list[Reservation]()
    for kind, what, how in steps:
        match kind, what, how:
            case "reserve", (str() as client, str() as provider, str() as model), int() as bound:
                try:
                    under_way.append(till.budgets.reserve(client, provider, model, bound))
                except OverBudget:
                    continue
            case "settle", int() as index, float() as share if under_way:
                held = under_way.pop(index % len(under_way))
                nanos = int((held.bound or 0) * share)
                till.budgets.settle(held, nanos)
                paid.append((held.place, nanos))
            case "become", dict() as later, None:
                till.budgets.become(later, [spent(nanos, who) for who, nanos in paid])
                rows = later
            case _:
                continue
        for statement in till.budgets.statements():
            row = rows[statement.name]
            clients = {row.client} - {None, "*"} or ({statement.client} if row.client == "*" else {"me", "you"})
            assert statement.spent == sum(nanos for who, nanos in paid if who[0] in clients)
            assert statement.reserved == sum(held.bound or 0 for held in under_way if held.place[0] in clients)


# --- what the ledger says of it --------------------------------------------------------------------------------------


async def test_the_ledger_says_all_that_was_settled_up_to_the_moment_it_answers(tmp_path: Path) -> None:
    """And each row once, however many are written while it is asked."""
    ledger = Ledger(tmp_path, LedgerRow(), is_hard=False)
    await ledger.open()
    count = 0

    def settle() -> None:
        nonlocal count
        count += 1
        one = row("r", 1)
        ledger.settle(ledger.intend(one), one)

    async def go_on() -> None:
        while True:
            settle()
            await asyncio.sleep(0)

    going = asyncio.create_task(go_on())
    try:
        for _ in range(100):
            settle()
            told = await ledger.reckoned()
            assert sum(total.nanos for total in told) == count
    finally:
        going.cancel()
        await ledger.close()
