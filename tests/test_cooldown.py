"""Is a key that the provider refuses left alone for as long as it should be, and the last one never for good?"""

from collections import Counter
from collections.abc import Sequence
from math import inf, nan
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from proxy.errors import Busy, Down, Refused, Timeout, UpstreamError
from proxy.failover.cooldown import ABOUT, LONGEST_HINT, MODELS, Cooldown, Saved
from tests.clock import Clock

BUSY = Busy("x")
SPENT = Busy("x", kind="quota_exceeded")
SPENT_ON_MODEL = Busy("x", kind="quota_exceeded", code="model_quota_exceeded")
FORBIDDEN = Refused("x", status=403, kind="authentication")
FAILED = Refused("x", status=401, kind="authentication")

# What the key is left out for (None: nothing), for how long at first, and at most.
CAUSES: dict[str, tuple[UpstreamError, bool, float, float]] = {
    "busy": (BUSY, True, 1, 60),
    "spent": (SPENT, True, 60, 3600),
    "spent on a model": (SPENT_ON_MODEL, False, 60, 3600),
    "forbidden": (FORBIDDEN, False, 60, 3600),
    "failed": (FAILED, True, inf, inf),
}
WALL = 1_800_000_000.0


def keys(count: int = 3, weights: Sequence[float] | None = None) -> tuple[Cooldown, Clock]:
    clock = Clock()
    return Cooldown([f"key {n}" for n in range(count)], weights or [1] * count, clock), clock


def refuse(
    cooldown: Cooldown, index: int, clock: Clock, error: UpstreamError = BUSY, hint: float | None = None
) -> None:
    cooldown.failed(index, error, "m", hint, clock())


class Known(NamedTuple):
    """What the model knows of a key that is left out."""

    since: float
    until: float
    gap: float
    times: int


class Attempt(NamedTuple):
    key: int
    model: str
    began: float


class Beside(RuleBasedStateMachine):
    """Beside the keys a naive record, which asks of each key whether anything speaks against it."""

    COUNT = 3

    def __init__(self) -> None:
        super().__init__()
        self.cooldown, self.clock = keys(self.COUNT)
        self.known: dict[tuple[int, str], Known] = {}
        self.asked: dict[tuple[int, str], float] = {}
        self.under_way: list[Attempt] = []

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 4, 64, 4096]))
    def pass_by(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(model=st.sampled_from("mn"))
    def pick(self, model: str) -> None:
        index = self.cooldown.pick(model)
        free = [n for n in range(self.COUNT) if self.is_free(n, model)]
        if index is None:
            assert not free
            assert not self.may_be_tried(self.soonest(model), model)
            return
        assert index in free or (not free and index == self.soonest(model) and self.may_be_tried(index, model))
        self.ask(index, model)

    @rule(model=st.sampled_from("mn"))
    def insist(self, model: str) -> None:
        index = self.cooldown.last_resort(model)
        assert index == self.soonest(model)
        self.ask(index, model)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        index, model, began = self.heard(data)
        self.cooldown.succeeded(index, model, began)
        for scope in ("", model):
            known = self.known.get((index, scope))
            if known and began >= known.since:
                del self.known[index, scope]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), cause=st.sampled_from([*CAUSES]), hint=st.sampled_from([None, 0.0, 7.0, 300.0]))
    def fail(self, data: st.DataObject, cause: str, hint: float | None) -> None:
        index, model, began = self.heard(data)
        error, of_key, first, longest = CAUSES[cause]
        self.cooldown.failed(index, error, model, hint, began)
        scope, now = "" if of_key else model, self.clock()
        old = self.known.get((index, scope))
        times = 1 if old is None else old.times if began < old.since else old.times + 1
        pause = max(min(longest, first * 2.0 ** (times - 1)), hint or 0)
        until = max(now + pause, old.until if old else 0)
        self.known[index, scope] = Known(now, until, min(60, max(1, pause / 10)), times)
        self.asked[index, scope] = now

    @rule()
    def restart(self) -> None:
        """Those that are out stay out for as long; who is on trial is no longer."""
        saved = msgspec.json.decode(msgspec.json.encode(self.cooldown.state(WALL)), type=list[Saved])
        later = self.clock() + 5
        self.cooldown = Cooldown([f"key {n}" for n in range(self.COUNT)], [1] * self.COUNT, self.clock)
        self.known = {where: known for where, known in self.known.items() if known.until > self.clock()}
        self.clock.now = later
        self.cooldown.restore(saved, WALL + 5)
        self.known = {where: known for where, known in self.known.items() if known.until > later}
        self.asked = dict.fromkeys(self.known, later)

    def heard(self, data: st.DataObject) -> Attempt:
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    def ask(self, index: int, model: str) -> None:
        if (where := self.against(index, model)) is not None:
            self.asked[where] = self.clock()
        self.under_way.append(Attempt(index, model, self.clock()))

    def against(self, index: int, model: str) -> tuple[int, str] | None:
        there = [where for where in ((index, ""), (index, model)) if where in self.known]
        return max(there, key=lambda where: self.known[where].until, default=None)

    def until(self, index: int, model: str) -> float:
        where = self.against(index, model)
        return self.known[where].until if where else 0

    def may_be_tried(self, index: int, model: str) -> bool:
        where = self.against(index, model)
        return where is None or self.clock() >= self.asked[where] + self.known[where].gap

    def is_free(self, index: int, model: str) -> bool:
        return self.clock() >= self.until(index, model) and self.may_be_tried(index, model)

    def soonest(self, model: str) -> int:
        """Of those that are back at one time, the one that was asked longest ago."""
        return min(range(self.COUNT), key=lambda index: (self.until(index, model), self.last(index, model)))

    def last(self, index: int, model: str) -> float:
        where = self.against(index, model)
        return self.asked[where] if where else 0


TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=100, stateful_step_count=50)


# --- turns -----------------------------------------------------------------------------------------------------------


def test_keys_take_turns() -> None:
    cooldown, _ = keys(3)
    assert [cooldown.pick("m") for _ in range(6)] == [0, 1, 2, 0, 1, 2]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_each_is_asked_as_often_as_its_weight_says_and_not_in_one_go(weights: list[int]) -> None:
    cooldown, _ = keys(len(weights), weights)
    for _ in range(3):
        assert Counter(cooldown.pick("m") for _ in range(sum(weights))) == Counter(dict(enumerate(weights)))


@pytest.mark.parametrize("weights", [[0.7, 0.3], [0.1] * 10, [1e-6, 1e-7], [1e9, 3e8], [2.5, 0.5, 1]])
def test_weights_need_not_be_whole(weights: list[float]) -> None:
    cooldown, _ = keys(len(weights), weights)
    for _ in range(100):
        counts = Counter(cooldown.pick("m") for _ in range(260))
        shares = {index: 260 * weight / sum(weights) for index, weight in enumerate(weights)}
        assert all(abs(counts[index] - share) < len(weights) for index, share in shares.items())


def test_a_weight_is_spread_over_the_turns() -> None:
    cooldown, _ = keys(3, [5, 1, 1])
    assert [cooldown.pick("m") for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


def test_the_others_take_the_turns_of_one_that_is_left_out() -> None:
    cooldown, clock = keys(3, [2, 1, 1])
    refuse(cooldown, 0, clock, hint=60)
    assert Counter(cooldown.pick("m") for _ in range(10)) == {1: 5, 2: 5}


# --- causes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["busy", "spent", "forbidden"])
def test_each_cause_has_its_pause_which_doubles_up_to_its_longest(cause: str) -> None:
    error, of_key, first, longest = CAUSES[cause]
    cooldown, clock = keys(2)
    for n in range(14):
        refuse(cooldown, 0, clock, error)
        pause, model = min(first * 2**n, longest), "" if of_key else "m"
        saved = Saved(key="key 0", model=model, until=WALL + pause, pause=pause, times=n + 1, since=WALL)
        assert cooldown.state(WALL) == [saved]
        clock.sleep(pause)


@pytest.mark.parametrize(
    "error",
    [Busy("x", status=529), Busy("x", status=503), Down("x"), Timeout("x"), Refused("x"), Refused("x", status=404)],
)
def test_what_is_not_the_keys_fault_leaves_none_out(error: UpstreamError) -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, error, hint=60)
    assert cooldown.state(WALL) == []


@pytest.mark.parametrize(("hint", "pause"), [(None, 1), (0.5, 1), (7.0, 7), (3600.0, 3600), (1e9, LONGEST_HINT)])
def test_the_longer_of_the_providers_word_and_ours_counts(hint: float | None, pause: float) -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, hint=hint)
    assert cooldown.state(WALL)[0].until == WALL + pause


def test_a_key_may_be_left_out_for_one_model_and_asked_for_another() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, FORBIDDEN)
    assert {cooldown.pick("m") for _ in range(10)} == {1}
    assert {cooldown.pick("another") for _ in range(10)} == {0, 1}
    cooldown.succeeded(0, "another", clock())
    assert {cooldown.pick("m") for _ in range(10)} == {1}
    cooldown.succeeded(0, "m", clock())
    assert {cooldown.pick("m") for _ in range(10)} == {0, 1}


def test_where_the_key_is_out_and_for_the_model_as_well_the_longer_counts() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock)
    refuse(cooldown, 0, clock, FORBIDDEN)
    clock.sleep(30)
    assert {cooldown.pick("m") for _ in range(10)} == {1}
    assert {cooldown.pick("another") for _ in range(10)} == {0, 1}


def test_a_key_that_is_out_in_two_ways_counts_once_and_as_the_longer_one() -> None:
    cooldown, clock = keys()
    refuse(cooldown, 0, clock, FORBIDDEN)
    assert cooldown.counts() == (1, 0)
    refuse(cooldown, 0, clock, FAILED)
    refuse(cooldown, 1, clock, BUSY)
    refuse(cooldown, 1, clock, FORBIDDEN)
    clock.sleep(2)
    assert cooldown.counts() == (1, 1)


@pytest.mark.parametrize("status", [400, 401])
def test_a_failed_key_is_out_until_it_is_found_to_work(status: int) -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, Refused("x", status=status, kind="authentication"), hint=1)
    clock.sleep(1e6)
    assert {cooldown.pick("m") for _ in range(100)} == {1}
    assert repr(cooldown) == "<Cooldown 2 keys, 0 cooling, 1 failed>"
    cooldown.succeeded(0, "", clock())  # a probe
    assert {cooldown.pick("m") for _ in range(100)} == {0, 1}


def test_a_hundred_refusals_at_once_are_one() -> None:
    cooldown, clock = keys(2)
    began = clock()
    clock.sleep(1)
    for _ in range(100):
        cooldown.failed(0, BUSY, "m", None, began)
    [saved] = cooldown.state(WALL)
    assert (saved.times, saved.until) == (1, WALL + 1)


def test_a_late_refusal_of_another_sort_still_counts() -> None:
    cooldown, clock = keys(2)
    began = clock()
    clock.sleep(1)
    refuse(cooldown, 0, clock)
    cooldown.failed(0, FAILED, "m", None, began)
    assert cooldown.state(WALL)[0].until is None


def test_an_answer_to_what_was_asked_before_does_not_bring_a_key_back() -> None:
    cooldown, clock = keys(2)
    began = clock()
    clock.sleep(1)
    refuse(cooldown, 0, clock, hint=20)
    cooldown.succeeded(0, "m", began)
    assert {cooldown.pick("m") for _ in range(10)} == {1}
    cooldown.succeeded(0, "m", clock())
    assert {cooldown.pick("m") for _ in range(10)} == {0, 1}


# --- coming back -----------------------------------------------------------------------------------------------------


def test_its_time_over_a_key_is_tried_once_in_its_gap_until_it_works() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, hint=30)  # a gap of 3 s
    clock.sleep(30)
    assert cooldown.state(WALL) == []
    assert Counter(cooldown.pick("m") for _ in range(100)) == {0: 1, 1: 99}
    clock.sleep(3)
    assert Counter(cooldown.pick("m") for _ in range(100)) == {0: 1, 1: 99}
    cooldown.succeeded(0, "m", clock())
    assert Counter(cooldown.pick("m") for _ in range(100)) == {0: 50, 1: 50}
    assert repr(cooldown) == "<Cooldown 2 keys, 0 cooling, 0 failed>"


@pytest.mark.parametrize(
    ("error", "hint", "gap"), [(BUSY, None, 1), (BUSY, 200, 20), (SPENT, None, 6), (FAILED, None, 60)]
)
def test_the_last_key_is_asked_more_rarely_and_never_left_out(
    error: UpstreamError, hint: float | None, gap: float
) -> None:
    cooldown, clock = keys(1)
    refuse(cooldown, 0, clock, error, hint)
    picked = 0
    for _ in range(100):  # ten gaps
        clock.sleep(gap / 10)
        picked += cooldown.pick("m") is not None
    assert picked in (9, 10)
    assert cooldown.pick("m") is None
    assert cooldown.last_resort("m") == 0


def test_of_several_the_one_that_is_back_first_is_the_last_resort() -> None:
    cooldown, clock = keys(3)
    refuse(cooldown, 0, clock, FAILED)
    refuse(cooldown, 1, clock, hint=50)
    refuse(cooldown, 2, clock, hint=40)
    clock.sleep(5)
    assert [cooldown.pick("m"), cooldown.pick("m"), cooldown.last_resort("m")] == [2, None, 2]
    assert repr(cooldown) == "<Cooldown 3 keys, 2 cooling, 1 failed>"


def test_where_all_have_failed_each_has_its_turn_so_that_one_that_works_again_is_found() -> None:
    cooldown, clock = keys(3)
    for index in range(3):
        refuse(cooldown, index, clock, FAILED)
    asked = []
    for _ in range(6):
        clock.sleep(1)
        asked.append(cooldown.last_resort("m"))
    assert asked == [0, 1, 2, 0, 1, 2]


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_after_a_restart_the_first_request_goes_to_a_key_that_works() -> None:
    cooldown, clock = keys(3)
    refuse(cooldown, 0, clock, SPENT, hint=7200)
    refuse(cooldown, 1, clock, FAILED)
    saved = msgspec.json.encode(cooldown.state(WALL))
    after, _ = keys(3)
    after.restore(msgspec.json.decode(saved, type=list[Saved]), WALL + 7000)
    assert {after.pick("m") for _ in range(10)} == {2}
    assert [(row.key, row.until, row.times) for row in after.state(WALL + 7000)] == [
        ("key 0", pytest.approx(WALL + 7200), 1),
        ("key 1", None, 1),
    ]


@pytest.mark.parametrize("behind", [0.0, 3600.0, 3e9])
def test_a_clock_that_is_behind_after_a_restart_makes_no_pause_longer(behind: float) -> None:
    before, clock = keys(2)
    refuse(before, 0, clock, hint=30)
    clock.now += 10
    after, _ = keys(2)
    after.restore(before.state(WALL), WALL - behind)
    assert after.seconds_out(0, "m") == pytest.approx(30 if behind else 20)


def test_a_key_that_has_failed_is_tried_as_soon_after_a_restart_as_before() -> None:
    before, clock = keys(1)
    refuse(before, 0, clock, FAILED)
    refuse(before, 0, clock)  # which it was under way with
    after, later = keys(1)
    after.restore(before.state(WALL), WALL)
    assert (before.pick("m"), after.pick("m")) == (None, None)
    clock.now, later.now = clock() + 1, later() + 1
    assert (before.pick("m"), after.pick("m")) == (0, 0)


def test_what_is_over_meanwhile_is_forgotten() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, hint=10)
    after, _ = keys(2)
    after.restore(cooldown.state(WALL), WALL + 10)
    assert {after.pick("m") for _ in range(10)} == {0, 1}


def test_a_key_of_another_value_begins_anew_wherever_it_stands() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, FAILED)
    after = Cooldown(["key 1", "new"], [1, 1], clock)
    after.restore(cooldown.state(WALL), WALL)
    assert after.state(WALL) == []


def test_of_what_two_know_the_longer_counts() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, hint=30)
    neighbour, _ = keys(2)
    refuse(neighbour, 0, clock, hint=20)
    refuse(neighbour, 1, clock, hint=5)
    cooldown.restore(neighbour.state(WALL), WALL)
    assert [row.until for row in cooldown.state(WALL)] == [WALL + 30, WALL + 5]


def test_what_a_neighbour_repeats_after_us_is_no_news() -> None:
    """On its way there and back a pause becomes a little longer."""
    cooldown, clock = keys()
    refuse(cooldown, 0, clock, SPENT)
    (told,) = cooldown.state(WALL)
    assert told.until is not None
    assert not cooldown.restore([msgspec.structs.replace(told, until=told.until + ABOUT / 2)], WALL)
    assert cooldown.restore([msgspec.structs.replace(told, until=told.until + 2 * ABOUT)], WALL)


def test_what_a_neighbour_found_to_work_is_back_unless_it_was_refused_since() -> None:
    cooldown, clock = keys(2)
    refuse(cooldown, 0, clock, FAILED)
    works = Saved(key="key 0", model="", until=0.0, pause=0.0, times=0, since=WALL + 5)
    clock.sleep(9)
    refuse(cooldown, 1, clock, FAILED)
    assert cooldown.restore([works, msgspec.structs.replace(works, key="key 1")], WALL + 9)
    assert {cooldown.pick("m") for _ in range(4)} == {0}
    assert not cooldown.restore([works, msgspec.structs.replace(works, key="key 1")], WALL + 9)  # no news


def test_what_a_neighbour_was_refused_with_is_not_found_to_work_by_what_was_asked_before() -> None:
    cooldown, clock = keys(1)
    began = clock()
    clock.sleep(5)
    cooldown.restore([Saved(key="key 0", model="", until=None, pause=1.0, times=1, since=WALL + 3)], WALL + 5)
    assert cooldown.succeeded(0, "m", began) == []
    assert cooldown.succeeded(0, "m", began + 4) == [""]


@given(
    st.builds(
        Saved,
        key=st.sampled_from(["key 0", "other"]),
        model=st.sampled_from(["", "m"]),
        until=st.none() | st.floats(),
        pause=st.floats(),
        times=st.integers(),
        since=st.floats(),
    ),
    st.floats(0, 1e12),
)
@example(Saved(key="key 0", model="", until=WALL + 100, pause=nan, times=1), WALL)
@example(Saved(key="key 0", model="", until=WALL + 100, pause=1.0, times=-(10**400)), WALL)
@example(Saved(key="key 0", model="", until=WALL + 100, pause=1.0, times=10**400), WALL)
def test_whatever_was_kept_a_key_is_left(saved: Saved, wall: float) -> None:
    cooldown, clock = keys(1)
    cooldown.restore([saved], wall)
    clock.sleep(60)
    assert cooldown.pick("m") == 0
    refuse(cooldown, 0, clock)
    assert all(row.until is None or row.until <= wall + LONGEST_HINT for row in cooldown.state(wall))


def test_no_more_is_kept_than_so_many_models_and_the_key_itself_stays_out() -> None:
    cooldown, clock = keys(1)
    refuse(cooldown, 0, clock, FAILED)
    for n in range(MODELS * 2):
        cooldown.failed(0, FORBIDDEN, f"model {n}", None, clock())
    saved = cooldown.state(WALL)
    assert len(saved) == MODELS
    assert saved[0].until is None
    assert saved[-1].model == f"model {MODELS * 2 - 1}"
