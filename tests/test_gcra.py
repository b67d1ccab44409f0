"""Does the bucket let pass what the limit says, to the last one, and never more?"""

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.limits.gcra import MINUTE, Bucket
from tests.laws import examples

SECOND = 10**9
START = 46_000 * SECOND  # a machine that has run for half a day
LIMITS = st.sampled_from([1, 2, 3, 7, 60, 61, 1000, 999_983, 10**6, 10**9])


def drained(bucket: Bucket, now: int, offered: int) -> int:
    return sum(bucket.take(1, now) is not None for _ in range(offered))


@pytest.mark.parametrize("limit", [1, 7, 60, 1000])
def test_a_rested_bucket_lets_pass_its_limit_at_once_and_not_one_more(limit: int) -> None:
    assert drained(Bucket(limit), START, 3 * limit) == limit


@pytest.mark.parametrize("limit", [1, 7, 60, 1000, 999])
def test_each_further_minute_lets_pass_the_limit_again_and_the_burst_only_once(limit: int) -> None:
    bucket, passed = Bucket(limit), []
    for second in range(181):
        passed.append(drained(bucket, START + second * SECOND, 2 * limit))
        assert sum(passed) == limit + floor(Fraction(limit * second, 60))
    assert sum(passed[1:61]) == sum(passed[61:121]) == sum(passed[121:181]) == limit


@given(limit=LIMITS, counts=st.lists(st.integers(1, 50), max_size=20), then=st.integers(0, 3 * MINUTE), more=st.data())
def test_the_wait_is_exact(limit: int, counts: list[int], then: int, more: st.DataObject) -> None:
    bucket, now = Bucket(limit), START
    for count in counts:
        bucket.take(count, now)
    count = more.draw(st.integers(1, min(limit, 10**4)))
    now += then
    wait = bucket.wait(count, now)
    if wait:
        assert bucket.take(count, now + wait - 1) is None
    assert bucket.take(count, now + wait) is not None


@pytest.mark.parametrize("limit", [7, 61, 999, 999_983])
def test_the_wait_is_rounded_up_to_the_nanosecond(limit: int) -> None:
    bucket = Bucket(limit)
    assert bucket.take(limit, START) is not None
    wait = bucket.wait(1, START)
    assert wait == ceil(Fraction(MINUTE, limit))
    assert bucket.take(1, START + wait - 1) is None
    assert bucket.take(1, START + wait) is not None


@settings(max_examples=examples(200))
@given(limit=st.integers(1, 50), steps=st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 5)), max_size=60))
def test_no_stretch_of_time_lets_pass_more_than_the_limit_and_its_share(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    bucket, now, passed = Bucket(limit), START, []
    for pause, count in steps:
        now += pause
        if bucket.take(count, now) is not None:
            passed.append((now, count))
    for n, (since, _) in enumerate(passed):
        for until, _ in passed[n:]:
            there = sum(count for at, count in passed if since <= at <= until)
            assert there <= limit + floor(Fraction(limit * (until - since), MINUTE))


@pytest.mark.parametrize("jump", [10**8 * SECOND, 2**31 * SECOND, 3600 * SECOND, 27 * SECOND])
def test_a_clock_that_leaps_fills_the_bucket_once(jump: int) -> None:
    bucket = Bucket(1000)
    assert drained(bucket, START, 2000) == 1000
    assert drained(bucket, START + jump, 2000) == min(1000, 1000 * jump // MINUTE)
    assert drained(bucket, START + jump, 2000) == 0
    assert drained(bucket, START + jump + MINUTE, 2000) == 1000


def test_what_was_undone_was_never_there() -> None:
    bucket = Bucket(10)
    bucket.take(4, START)
    before = bucket.state(START), bucket.take(0, START)
    bucket.take(5, START)
    bucket.undo(5)
    assert (bucket.state(START), bucket.take(0, START)) == before


def test_what_was_not_used_is_given_back_at_once() -> None:
    bucket = Bucket(1000)
    mark = bucket.take(900, START)
    assert mark is not None
    bucket.settle(mark, 850, START)
    assert bucket.state(START) == (950, 3 * SECOND)


@pytest.mark.parametrize("less", [1, 1000])
def test_what_time_has_forgiven_is_not_given_back_as_well(less: int) -> None:
    bucket = Bucket(1000)
    mark = bucket.take(1000, START)
    assert mark is not None
    assert bucket.take(1000, START + MINUTE) is not None  # the first is paid for
    bucket.settle(mark, less, START + MINUTE)
    assert bucket.state(START + MINUTE)[0] == 0


def test_what_was_given_back_to_others_is_not_given_back_again() -> None:
    """The first stood before the second in what was to be paid for; without it, the second was paid for earlier."""
    bucket = Bucket(200)
    first, second = bucket.take(100, START), bucket.take(50, START)
    assert first is not None
    assert second is not None
    bucket.settle(first, 100, START)
    then = START + MINUTE // 2
    assert bucket.state(then) == (200, 0)
    assert bucket.take(100, then) is not None
    bucket.settle(second, 50, then)
    assert bucket.state(then)[0] == 100


def test_what_was_used_beyond_the_estimate_is_a_debt() -> None:
    bucket = Bucket(1000)
    mark = bucket.take(1000, START)
    assert mark is not None
    bucket.settle(mark, -1000, START)
    assert bucket.state(START) == (0, 2 * MINUTE)
    assert drained(bucket, START + MINUTE, 10) == 0
    assert drained(bucket, START + MINUTE + MINUTE // 1000, 10) == 1


class Taken(NamedTuple):
    tokens: int
    mark: int


class Naive:
    """The law itself: what each has taken, and when; the debt is summed up from the beginning every time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.charges: list[list[int]] = []

    def owed(self, now: int) -> Fraction:
        """How many are not yet paid for."""
        owed, last = Fraction(0), 0
        for at, count in sorted(self.charges, key=lambda charge: charge[0]):
            owed = max(Fraction(0), owed - Fraction(self.limit * (at - last), MINUTE)) + count
            last = at
        return max(Fraction(0), owed - Fraction(self.limit * (now - last), MINUTE))

    def full_in(self, now: int) -> int:
        return ceil(self.owed(now) * MINUTE / self.limit)


class BucketAgainstLaw(RuleBasedStateMachine):
    """`knowing` has known from the beginning what each would take; `patient` gives nothing back."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.limit = 60
        self.bucket = Bucket(self.limit)
        self.knowing, self.patient = Naive(self.limit), Naive(self.limit)
        self.open: list[tuple[Taken, list[int]]] = []
        self.settled = False

    @rule(pause=st.sampled_from([0, 1, SECOND // 3, SECOND, 7 * SECOND, 29 * SECOND, MINUTE]))
    def wait(self, pause: int) -> None:
        self.now += pause

    @rule(count=st.integers(1, 60))
    def take(self, count: int) -> None:
        may = self.patient.owed(self.now) + count <= self.limit
        mark = self.bucket.take(count, self.now)
        if not self.settled:
            assert (mark is not None) == may
        if mark is not None:
            charge = [self.now, count]
            self.knowing.charges.append(charge)
            self.patient.charges.append([self.now, count])
            self.open.append((Taken(count, mark), charge))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 10), used=st.integers(0, 90))
    def settle(self, which: int, used: int) -> None:
        taken, charge = self.open.pop(which % len(self.open))
        self.bucket.settle(taken.mark, taken.tokens - used, self.now)
        charge[1] = used
        if used > taken.tokens:
            self.patient.charges.append([self.now, used - taken.tokens])
        self.settled = True

    @invariant()
    def it_is_never_kinder_than_who_knew_and_never_harder_than_who_gives_nothing_back(self) -> None:
        left, full_in = self.bucket.state(self.now)
        assert self.knowing.full_in(self.now) <= full_in <= self.patient.full_in(self.now)
        assert 0 <= left <= self.limit


TestBucketAgainstLaw = BucketAgainstLaw.TestCase
TestBucketAgainstLaw.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
