"""Is each target in front as often as its strategy says, and none ever left out?"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.failover.balance import Option, PeakEWMA, order
from tests.clock import Clock

STRATEGIES = ("order", "weighted", "least_latency", "least_cost", "sticky")
DRAWS = 6000


def options_of(*weights: float) -> list[Option[int]]:
    return [Option(n, f"p{n}/m", weight) for n, weight in enumerate(weights)]


def loaded(*seconds: float, clock: Callable[[], float] = Clock()) -> list[Option[int]]:  # noqa: B008  it stands still
    options = [Option(n, f"p{n}/m", latency=PeakEWMA(clock)) for n in range(len(seconds))]
    for option, latency in zip(options, seconds, strict=True):
        assert option.latency is not None
        option.latency.observe(latency)
    return options


def ordered(strategy: str, options: Sequence[Option[int]], key: str = "", seed: int = 7) -> list[int]:
    return [option.target for option in order(strategy, options, key, random.Random(seed).random)]


def drawn(strategy: str, options: Sequence[Option[int]]) -> Counter[tuple[int, ...]]:
    dice = random.Random(7)
    return Counter(tuple(option.target for option in order(strategy, options, "", dice.random)) for _ in range(DRAWS))


def share(count: int) -> float:
    return count / DRAWS


ANY_OPTIONS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 100.0]), st.none() | st.floats(0, 9), st.none() | st.floats(0, 9)),
    min_size=1,
    max_size=6,
)


@given(st.sampled_from(STRATEGIES), ANY_OPTIONS, st.text(max_size=5), st.integers(0, 99))
def test_none_is_left_out(
    strategy: str, rows: list[tuple[float, float | None, float | None]], key: str, seed: int
) -> None:
    options = []
    for n, (weight, cost, seconds) in enumerate(rows):
        latency = None if seconds is None else PeakEWMA(Clock())
        if latency is not None and seconds:
            latency.observe(seconds)
        options.append(Option(n, f"p{n}/m", weight, cost, latency))
    assert sorted(ordered(strategy, options, key, seed)) == list(range(len(rows)))


def test_an_order_stays_as_it_was_written() -> None:
    assert ordered("order", options_of(1, 9, 4)) == [0, 1, 2]


def test_the_cheapest_is_first_and_what_has_no_price_is_last() -> None:
    options = [Option(n, f"p{n}/m", cost=cost) for n, cost in enumerate([None, 3.0, 1.0, 3.0, 0.0, None])]
    assert ordered("least_cost", options) == [4, 2, 1, 3, 0, 5]


# --- by lot ----------------------------------------------------------------------------------------------------------


def test_each_is_first_as_often_as_its_weight_says_and_second_likewise() -> None:
    weights = (1.0, 2.0, 5.0)
    counts = drawn("weighted", options_of(*weights))
    for first, second, third in permutations(range(3)):
        rest = weights[second] + weights[third]
        due = weights[first] / sum(weights) * weights[second] / rest
        assert share(counts[first, second, third]) == pytest.approx(due, abs=0.02)


def test_what_has_no_weight_is_asked_when_all_else_fails() -> None:
    assert {drawn[-1] for drawn in drawn("weighted", options_of(1, 0, 1))} == {1}


@given(st.text(min_size=1), st.lists(st.sampled_from([1.0, 2.0, 7.0]), min_size=2, max_size=6), st.data())
def test_a_target_that_goes_moves_no_others_conversations(key: str, weights: list[float], data: st.DataObject) -> None:
    options = options_of(*weights)
    whole = ordered("sticky", options, key)
    gone = data.draw(st.integers(0, len(options) - 1))
    left = data.draw(st.permutations([option for option in options if option.target != gone]))
    assert ordered("sticky", left, key, seed=8) == [target for target in whole if target != gone]


def test_conversations_are_spread_as_the_weights_say() -> None:
    options = options_of(1, 3)
    firsts = Counter(ordered("sticky", options, f"conversation {n}")[0] for n in range(DRAWS))
    assert share(firsts[1]) == pytest.approx(0.75, abs=0.02)


def test_a_conversation_stays_where_it_was_after_a_restart() -> None:
    """Nothing of the process is in the lot: these stand for any other one's."""
    assert [ordered("sticky", options_of(1, 1, 1), key)[0] for key in "abcdefgh"] == [2, 1, 1, 2, 1, 0, 0, 0]


def test_a_name_and_a_key_are_not_run_together() -> None:
    one, other = Option(0, "p/m", 1), Option(1, "p/ma", 1)
    orders = {tuple(ordered("sticky", [one, other], key)) for key in ("a" + "x" * n for n in range(20))}
    assert len(orders) == 2


def test_without_a_conversation_sticky_is_weighted() -> None:
    options = options_of(1, 2, 5)
    assert [ordered("sticky", options, "", seed) for seed in range(50)] == [
        ordered("weighted", options, "", seed) for seed in range(50)
    ]


@pytest.mark.parametrize("key", ["\ud800", "a\0b", "é" * 10_000])
def test_any_text_may_be_a_key(key: str) -> None:
    assert len(ordered("sticky", options_of(1, 1), key)) == 2


# --- by latency ------------------------------------------------------------------------------------------------------


def test_the_quicker_of_two_is_first_and_the_rest_stand_by_their_speed() -> None:
    counts = drawn("least_latency", loaded(0.3, 0.1, 0.4, 0.2))
    # Of six pairs the quickest wins three, the next two, the third one; the slowest is never first.
    due = {(1, 3, 0, 2): 3 / 6, (3, 1, 0, 2): 2 / 6, (0, 1, 3, 2): 1 / 6}
    assert counts.keys() == due.keys()
    for targets, chance in due.items():
        assert share(counts[targets]) == pytest.approx(chance, abs=0.02)


def test_equals_share_alike() -> None:
    assert share(drawn("least_latency", loaded(0.2, 0.2))[0, 1]) == pytest.approx(0.5, abs=0.02)


def test_who_is_busy_is_slower_than_who_is_not() -> None:
    options = loaded(0.1, 0.3)
    assert ordered("least_latency", options) == [0, 1]
    assert options[0].latency is not None
    options[0].latency.in_flight = 3
    assert ordered("least_latency", options) == [1, 0]


def test_who_was_never_asked_is_asked_and_no_second_time_before_it_answers() -> None:
    options = [*loaded(0.1), Option(1, "new", latency=(new := PeakEWMA(Clock())))]
    assert ordered("least_latency", options) == [1, 0]
    new.in_flight = 1
    assert ordered("least_latency", options) == [0, 1]


def test_bad_news_is_believed_at_once_and_good_news_by_and_by() -> None:
    clock = Clock()
    mean = PeakEWMA(clock, fading=30.0)
    for _ in range(100):
        mean.observe(0.2)
        clock.sleep(1.0)
    mean.observe(9.0)
    assert mean.value == 9.0
    clock.sleep(30.0)
    assert mean.value == pytest.approx(9.0 / 2.718, rel=0.01)
    mean.observe(0.2)
    assert 3.0 < mean.value < 4.0
    assert repr(mean) == "<PeakEWMA 3.437 s, 0 in flight>"


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=20))
def test_a_mean_is_that_of_the_naive_one(heard: list[tuple[float, float]]) -> None:
    clock = Clock()
    mean, value = PeakEWMA(clock, fading=10.0), 0.0
    for pause, seconds in heard:
        clock.sleep(pause)
        old = exp(-pause / 10)
        value = max(seconds, value * old + seconds * (1 - old))
        mean.observe(seconds)
        assert mean.value == pytest.approx(value, abs=1e-9)
        assert seconds <= mean.value <= max(seconds for _, seconds in heard) + 1e-9


def test_a_slow_target_gets_little_and_is_not_forgotten() -> None:
    """In a world where one of three takes ten times as long, for as long as it does."""
    clock, dice, asked = Clock(), random.Random(7), Counter[int]()
    options, latencies = loaded(0.3, 0.3, 0.3, clock=clock), [0.3, 3.0, 0.3]

    def ask_often() -> None:
        asked.clear()
        for _ in range(3000):
            clock.sleep(0.1)
            first = order("least_latency", options, "", dice.random)[0]
            assert first.latency is not None
            first.latency.observe(latencies[first.target])
            asked[first.target] += 1

    ask_often()
    assert 0 < asked[1] < 100
    latencies[1] = 0.1
    ask_often()
    assert asked[1] > 1200
