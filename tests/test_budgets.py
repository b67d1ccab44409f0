"""Is no more spent than may be, and does whoever must know of it hear of it?"""

import pytest

from proxy.budgets import Budgets, Spent, reservations
from proxy.budgets.counter import Terms
from proxy.config import Budget
from proxy.errors import OverBudget
from proxy.spending.money import NANOS
from tests.till import ME, NOON, Till, Who

# --- whom a budget is about ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "mine", "others"),
    [
        (Budget(usd=1), ME, None),
        (Budget(usd=1, client="me"), ME, ("you", "openai", "gpt-5")),
        (Budget(usd=1, provider="openai"), ME, ("me", "groq", "gpt-5")),
        (Budget(usd=1, model="openai/gpt-5"), ME, ("me", "openai", "gpt-5-mini")),
        (Budget(usd=1, model="hf/org/m"), ("me", "hf", "org/m"), ("me", "hf/org", "m2")),
        (Budget(usd=1, client="*"), ME, ("you", "openai", "gpt-5")),
        (Budget(usd=1, client="me", provider="openai"), ME, ("me", "groq", "gpt-5")),
    ],
)
def test_a_budget_is_about_whom_it_says(row: Budget, mine: Who, others: Who | None) -> None:
    till = Till(it=row)
    till.pay(NANOS, mine)
    assert not till.admits(1, mine)
    assert others is None or till.admits(NANOS, others)


def test_what_one_budget_refuses_no_other_sets_aside() -> None:
    till = Till(wide=Budget(usd=10), narrow=Budget(usd=1, model="openai/gpt-5"))
    with pytest.raises(OverBudget, match="narrow"):
        till.budgets.reserve(*ME, 2 * NANOS)
    assert till.reserved == 0


def test_clients_beyond_the_many_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "PURSES", 3)
    monkeypatch.setattr(reservations, "FOUND", 2)
    till = Till(each=Budget(usd=1, client="*"))
    for n in range(5):
        till.pay(NANOS // 2, (f"client-{n}", "openai", "gpt-5"))
    assert {(row.client, row.spent) for row in till.budgets.statements()} == {
        ("client-0", NANOS // 2), ("client-1", NANOS // 2), ("client-2", NANOS // 2), ("*", NANOS)
    }  # fmt: skip
    assert len(till.budgets._found) <= 2
    assert till.admits(1, ("client-0", "openai", "gpt-5"))
    assert not till.admits(1, ("client-9", "openai", "gpt-5"))


def test_a_client_is_not_compared_with_the_budgets_of_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be ten thousand clients with a budget each."""
    asked, cover = list[str](), Terms.cover

    def seen(terms: Terms, *place: str) -> bool:
        asked.append(terms.name)
        return cover(terms, *place)

    monkeypatch.setattr(Terms, "cover", seen)
    own = {f"key-{n}": Budget(usd=2, client=f"client-{n}") for n in range(100)}
    till = Till(all=Budget(usd=9), **own, each=Budget(usd=1, client="*"), other=Budget(usd=1, provider="cohere"))
    till.pay(NANOS, ("client-7", "openai", "gpt-5"))
    assert asked == ["all", "key-7", "each", "other"]
    assert [till.spent("all"), till.spent("key-7", "client-7"), till.spent("each", "client-7")] == [NANOS] * 3


def test_budgets_of_named_clients_take_no_room_from_those_that_each_client_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reservations, "PURSES", 2)
    own = {f"key-{n}": Budget(usd=2, client=f"client-{n}") for n in range(4)}
    till = Till(**own, each=Budget(usd=1, client="*"))
    for n in range(2):
        till.pay(NANOS, (f"client-{n}", "openai", "gpt-5"))
    assert [till.spent("each", f"client-{n}") for n in range(2)] == [NANOS] * 2


def test_a_models_budget_is_for_all_names_of_the_model() -> None:
    till = Till(it=Budget(usd=9, model="bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0"))
    for model in ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"):
        till.pay(NANOS, ("me", "bedrock", model))
    for place in (("me", "bedrock", "anthropic.claude-opus-4-5"), ("me", "other", "anthropic.claude-sonnet-4-5")):
        till.pay(NANOS, place)
    assert till.spent("it") == 2 * NANOS


# --- strict and lenient ----------------------------------------------------------------------------------------------


def test_strict_counts_what_is_under_way_and_spends_the_last_nano_dollar() -> None:
    till = Till(it=Budget(usd=1))
    held = till.budgets.reserve(*ME, NANOS - 1)
    assert not till.admits(2)
    assert till.admits(1)
    till.budgets.settle(held, NANOS // 2)
    assert till.admits(NANOS // 2)
    assert not till.admits(NANOS // 2 + 1)


def test_lenient_serves_the_one_that_crosses_and_none_beside_it() -> None:
    till = Till(it=Budget(usd=1, mode="lenient"))
    first = till.budgets.reserve(*ME, NANOS - 1)
    crossing = till.budgets.reserve(*ME, 5 * NANOS)
    assert not till.admits(1)
    till.budgets.settle(first, 0)
    assert not till.admits(1)
    till.budgets.settle(crossing, NANOS // 2)
    assert till.admits(5 * NANOS)


def test_a_free_model_is_never_refused() -> None:
    till = Till(strict=Budget(usd=0), lenient=Budget(usd=0, mode="lenient"))
    assert till.admits(0)
    assert not till.admits(1)
    assert till.told[1:] == []


def test_without_a_bound_strict_refuses_and_says_what_to_set() -> None:
    till = Till(it=Budget(usd=10))
    with pytest.raises(OverBudget, match=r"the cost of this request has no known bound.*`unbounded_usd`") as caught:
        till.budgets.reserve(*ME, None)
    assert caught.value.headers == [("x-should-retry", "false")]


def test_without_a_bound_the_configured_one_is_set_aside() -> None:
    till = Till(it=Budget(usd=1, unbounded_usd=0.6), slack=Budget(usd=1, mode="lenient", unbounded_usd=0.6))
    held = till.budgets.reserve(*ME, None)
    assert till.reserved == 2 * 600_000_000
    assert not till.admits(None)
    till.budgets.settle(held, 100_000_000)
    assert till.admits(None)
    assert till.reserved == 0


def test_who_is_refused_for_others_is_told_which_others() -> None:
    till = Till(it=Budget(usd=1, mode="lenient"))
    one = till.budgets.reserve(*ME, NANOS)
    with pytest.raises(OverBudget, match="Try again when requests in progress have ended"):
        till.budgets.reserve(*ME, None)
    till.budgets.settle(one, 0)
    till.budgets.reserve(*ME, None)
    till.budgets.reserve(*ME, NANOS)
    with pytest.raises(OverBudget, match="Try again when requests in progress have ended"):
        till.budgets.reserve(*ME, 1)


@pytest.mark.parametrize("bound", [None, NANOS])
def test_a_mark_that_is_just_reached_is_told_of(bound: int | None) -> None:
    till = Till(it=Budget(usd=1, mode="lenient", alert=0.5))
    till.budgets.settle(till.budgets.reserve(*ME, bound), NANOS // 2 - 1)
    assert till.told == []
    till.budgets.settle(till.budgets.reserve(*ME, bound), 1)
    assert [alert.kind for alert in till.told] == ["threshold"]


def test_without_any_bound_lenient_takes_one_at_a_time_and_others_within_the_rest() -> None:
    till = Till(it=Budget(usd=1, mode="lenient"))
    held = till.budgets.reserve(*ME, None)
    with pytest.raises(OverBudget, match="Another such request is in progress"):
        till.budgets.reserve(*ME, None)
    assert till.admits(NANOS)
    assert not till.admits(NANOS + 1)
    till.budgets.settle(held, 3 * NANOS)
    assert not till.admits(1)
    assert not till.admits(None)
    assert {alert.kind for alert in till.told} == {"threshold", "exhausted"}  # there was no bound to be wrong


# --- at the end of an attempt ----------------------------------------------------------------------------------------


def test_to_settle_twice_is_an_error_and_counts_once() -> None:
    till = Till(it=Budget(usd=1))
    held = till.budgets.reserve(*ME, 10)
    till.budgets.settle(held, 7)
    with pytest.raises(RuntimeError, match="settled before"):
        till.budgets.settle(held, 7)
    assert (till.spent("it"), till.reserved) == (7, 0)


def test_nothing_costs_less_than_nothing() -> None:
    till = Till(it=Budget(usd=1))
    held = till.budgets.reserve(*ME, 10)
    with pytest.raises(ValueError, match="negative cost"):
        till.budgets.settle(held, -1)
    till.budgets.settle(held, 10)
    with pytest.raises(ValueError, match="negative bound"):
        till.budgets.reserve(*ME, -1)
    with pytest.raises(ValueError, match="negative sum"):
        till.budgets.restore([Spent(NOON, *ME, -5)])
    assert (till.spent("it"), till.reserved) == (10, 0)


@pytest.mark.parametrize("bound", [0, 5, None])
def test_a_bound_that_was_wrong_is_counted_in_full_and_told_of_once(bound: int | None) -> None:
    till = Till(it=Budget(usd=1, unbounded_usd=0.000000005))
    for _ in range(2):
        till.budgets.settle(till.budgets.reserve(*ME, bound), 9)
    assert [(alert.kind, alert.spent) for alert in till.told] == [("overrun", 9)]
    (row,) = till.budgets.statements()
    assert (row.spent, row.reserved, row.overruns) == (18, 0, 2)


@pytest.mark.parametrize(("bound", "at"), [(50, 50), (0, None), (None, 20_000_000)])
def test_a_stream_is_stopped_where_a_budget_wants_that(bound: int | None, at: int | None) -> None:
    till = Till(
        no=Budget(usd=1, unbounded_usd=0.01),
        nothing=Budget(usd=1, mode="lenient", stop_streams=True),
        slack=Budget(usd=1, mode="lenient", unbounded_usd=0.05, stop_streams=True),
        it=Budget(usd=1, unbounded_usd=0.02, stop_streams=True),
    )
    assert till.budgets.reserve(*ME, bound).stop_at == at


# --- what is told ----------------------------------------------------------------------------------------------------

STRICT, LENIENT = Budget(usd=10, window="day"), Budget(usd=10, window="day", mode="lenient")
CALLS = "this request may cost up to"


@pytest.mark.parametrize(
    ("row", "spent", "aside", "bound", "message", "wait"),
    [
        (STRICT, 9.5, 0, 0.75, f"Budget `it` has 0.5 of its 10 dollars left today, but {CALLS} 0.75."
         " It resets at 2026-10-16T00:00:00Z.", "43200"),
        (STRICT, 5, 4, 2, f"Budget `it` has 1 of its 10 dollars left today (4 more are reserved for requests in"
         f" progress), but {CALLS} 2. Try again when requests in progress have ended. It resets at"
         " 2026-10-16T00:00:00Z.", "1"),
        (STRICT, 0, 0, 12, f"Budget `it` has 10 of its 10 dollars left today, but {CALLS} 12. That is more than the"
         " whole budget.", None),
        (LENIENT, 10.25, 0, 1, f"Budget `it` has 0 of its 10 dollars left today, but {CALLS} 1. It resets at"
         " 2026-10-16T00:00:00Z.", "43200"),
        (LENIENT, 9, 1, 1, f"Budget `it` has 0 of its 10 dollars left today (1 more are reserved for requests in"
         f" progress), but {CALLS} 1. Try again when requests in progress have ended. It resets at"
         " 2026-10-16T00:00:00Z.", "1"),
        (LENIENT, 9, 1, 12, f"Budget `it` has 0 of its 10 dollars left today (1 more are reserved for requests in"
         f" progress), but {CALLS} 12. Try again when requests in progress have ended. It resets at"
         " 2026-10-16T00:00:00Z.", "1"),
        (LENIENT, 10, 0, None, "Budget `it` has 0 of its 10 dollars left today, but the cost of this request has no"
         " known bound. It resets at 2026-10-16T00:00:00Z.", "43200"),
        (Budget(usd=1), 1, 0, 1, f"Budget `it` has 0 of its 1 dollars left this month, but {CALLS} 1. It resets"
         " at 2026-11-01T00:00:00Z.", str(16 * 86400 + 43200)),
        (Budget(usd=1, window="total", client="*"), 1, 0, 1, "Budget `it` of client me has 0 of its 1 dollars left in"
         f" total, but {CALLS} 1. It does not reset.", None),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_left_and_whether_it_helps_to_wait(
    row: Budget, spent: float, aside: float, bound: float | None, message: str, wait: str | None
) -> None:
    till = Till(it=row)
    till.pay(int(spent * NANOS))
    held = till.budgets.reserve(*ME, int(aside * NANOS))
    with pytest.raises(OverBudget) as caught:
        till.budgets.reserve(*ME, None if bound is None else int(bound * NANOS))
    till.budgets.settle(held, 0)
    assert caught.value.message == message
    waits = {} if wait is None else {"retry-after": wait}
    passes = {} if "in progress have ended" in message else {"x-should-retry": "false"}
    assert dict(caught.value.headers) == waits | passes
    assert (caught.value.status, caught.value.code, caught.value.kind) == (429, "insufficient_quota", "quota_exceeded")


def test_who_may_ask_again_within_a_minute_is_told_when() -> None:
    till = Till(it=STRICT)
    till.pay(10 * NANOS)
    till.now += 43200 - 60
    with pytest.raises(OverBudget) as caught:
        till.budgets.reserve(*ME, NANOS)
    assert dict(caught.value.headers) == {"retry-after": "60"}


def test_a_refusal_says_whether_a_cheaper_target_may_be_asked() -> None:
    for at_end in ("refuse", "cheaper"):
        till = Till(it=Budget(usd=0, at_end=at_end))
        with pytest.raises(OverBudget) as caught:
            till.budgets.reserve(*ME, 1)
        assert caught.value.cheaper is (at_end == "cheaper")


def test_each_mark_is_told_of_once_in_a_window() -> None:
    till = Till(it=Budget(usd=1, window="day", client="*"))
    for _ in range(12):
        if till.admits(NANOS // 10):
            till.pay(NANOS // 10)
    assert [(alert.kind, alert.budget, alert.client, alert.window, alert.spent) for alert in till.told] == [
        ("threshold", "it", "me", "day", 800_000_000),
        ("exhausted", "it", "me", "day", NANOS),
    ]
    assert {(alert.limit, alert.resets_at) for alert in till.told} == {(NANOS, NOON + 43200)}
    till.now += 86400
    till.pay(NANOS)
    assert [alert.kind for alert in till.told[2:]] == ["threshold", "exhausted"]


def test_a_strict_budget_is_exhausted_by_the_first_request_that_it_cannot_pay() -> None:
    till = Till(it=Budget(usd=1, alert=1))
    till.pay(NANOS - 5)
    held = till.budgets.reserve(*ME, 5)
    till.admits(5)
    till.admits(2 * NANOS)
    assert till.told == []  # the one is refused for now, the other for ever
    till.budgets.settle(held, 0)
    for _ in range(3):
        till.admits(6)
    assert [(alert.kind, alert.spent) for alert in till.told] == [("exhausted", NANOS - 5)]


def test_all_is_settled_before_anybody_is_told() -> None:
    def tell(_: object) -> None:
        raise OSError

    budgets = Budgets({"one": Budget(usd=1), "two": Budget(usd=1)}, lambda: NOON, tell)
    with pytest.raises(OSError):
        budgets.settle(budgets.reserve(*ME, NANOS), NANOS)
    assert [(row.spent, row.reserved) for row in budgets.statements()] == [(NANOS, 0)] * 2


def test_a_statement_tells_all_that_there_is() -> None:
    till = Till(all=Budget(usd=1), each=Budget(usd=2, window="total", client="*", mode="lenient"))
    held = till.budgets.reserve(*ME, 300)
    till.pay(200)
    assert till.budgets.statements() == [
        ("all", "", "month", NANOS, 200, 300, NANOS - 500, 1_793_491_200.0, 0),
        ("each", "me", "total", 2 * NANOS, 200, 300, 2 * NANOS - 500, None, 0),
    ]
    assert repr(held.counters[1]) == "<Counter each of me: 0.0000002 of 2 dollars spent, 0.0000003 set aside>"
    assert repr(held) == "<Reservation of 0.0000003 dollars in 2 budgets, open>"
    assert repr(till.budgets) == "<Budgets all each>"
    till.budgets.settle(held, 0)


@pytest.mark.parametrize(
    ("rows", "is_there", "is_hard"),
    [
        ({}, False, False),
        ({"a": LENIENT}, True, False),
        ({"a": LENIENT, "b": STRICT}, True, True),
    ],
)
def test_a_ledger_must_know_whether_a_budget_depends_on_it(
    rows: dict[str, Budget], is_there: bool, is_hard: bool
) -> None:
    budgets = Till(**rows).budgets
    assert (budgets.is_there, budgets.is_hard) == (is_there, is_hard)
