"""Is a target that fails left alone, tried by one, and given its traffic back little by little?"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.failover.breaker import Breaker, Rules
from tests.clock import Clock

RULES = Rules(failures=3, share=0.5, least=6, window=10.0, cool=4.0, longest=16.0, ramp=10.0)


class Ticket:
    """What the model knows of an attempt: the era in which it was let in."""

    def __init__(self, number: int, era: object) -> None:
        self.number, self.era = number, era


class Beside(RuleBasedStateMachine):
    """Beside the breaker a naive one, which keeps every outcome it ever heard of, by the second."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(0.0)
        self.breaker = Breaker(RULES, self.clock)
        self.state, self.era = "closed", object()
        self.outcomes: list[tuple[float, bool]] = []
        self.openings, self.until, self.pause, self.credit = 0, 0.0, 0.0, 0.0
        self.out: list[Ticket] = []  # let in, and not yet heard of

    @rule(seconds=st.sampled_from([1, 2, 4, 10, 40]))
    def pass_by(self, seconds: int) -> None:
        self.clock.sleep(seconds)
        if self.state == "ramp" and self.clock() >= self.until:
            self.state, self.openings = "closed", 0

    @rule()
    def ask(self) -> None:
        number = self.breaker.allow()
        assert bool(number) == self.expected()
        if number:
            self.out.append(Ticket(number, self.era))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), good=st.booleans())
    def hear(self, data: st.DataObject, good: bool) -> None:
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        (self.breaker.succeeded if good else self.breaker.failed)(ticket.number)
        if ticket.era is self.era:
            self.heard(good)

    @precondition(lambda self: self.out)
    @rule()
    def leave(self) -> None:
        ticket = self.out.pop()
        self.breaker.let_go(ticket.number)
        if ticket.era is self.era and self.state == "half_open":
            self.until = self.clock()

    @invariant()
    def they_agree(self) -> None:
        waits, left = self.state == "open" and self.clock() < self.until, max(self.until - self.clock(), 0)
        assert self.breaker.rest == (left if waits else 0)
        assert self.breaker.wait == (left if self.state in ("open", "half_open") else 0)
        assert self.breaker.state == (self.state if waits or self.state != "open" else "half_open")
        assert repr(self.breaker) == f"<Breaker {self.breaker.state}>"

    def expected(self) -> bool:
        if self.state == "ramp":
            self.credit += 1 - (self.until - self.clock()) / RULES.ramp
            self.credit -= (allowed := self.credit >= 1)
            return allowed
        if self.state in ("open", "half_open") and self.clock() >= self.until:
            if self.state == "open":
                self.turn("half_open")
            self.until = self.clock() + self.pause
            return True
        return self.state == "closed"

    def heard(self, good: bool) -> None:
        if self.state == "half_open" and good:
            self.turn("ramp")
            self.until, self.credit, self.outcomes = self.clock() + RULES.ramp, 1.0, []
            return
        self.outcomes.append((self.clock(), good))
        recent = [good for when, good in self.outcomes if when >= self.clock() - 10]
        last = [good for _, good in self.outcomes[-RULES.failures :]]
        sick = len(recent) >= RULES.least and recent.count(False) * 2 >= len(recent)
        if not good and (self.state == "half_open" or last == [False] * RULES.failures or sick):
            self.turn("open")
            self.pause = min(RULES.longest, RULES.cool * 2**self.openings)
            self.until = self.clock() + self.pause
            self.openings += 1

    def turn(self, state: str) -> None:
        self.state, self.era = state, object()


TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=100, stateful_step_count=50)


def opened(clock: Clock, rules: Rules = RULES) -> Breaker:
    breaker = Breaker(rules, clock)
    for _ in range(rules.failures):
        breaker.failed(breaker.allow())
    assert breaker.state == "open"
    return breaker


def on_ramp(clock: Clock, rules: Rules = RULES) -> Breaker:
    breaker = opened(clock, rules)
    clock.sleep(rules.cool)
    breaker.succeeded(breaker.allow())
    return breaker


def test_it_opens_within_a_second_at_a_thousand_requests_that_all_fail() -> None:
    clock = Clock()
    breaker, asked = Breaker(Rules(), clock), 0
    for _ in range(1000):
        if ticket := breaker.allow():
            asked += 1
            breaker.failed(ticket)
        clock.sleep(0.001)
    assert asked == Rules().failures


def test_it_opens_where_half_of_the_answers_fail_and_never_five_in_a_row() -> None:
    breaker = Breaker(Rules(), Clock())
    for n in range(20):
        assert breaker.state == "closed", n
        (breaker.failed if n % 2 else breaker.succeeded)(breaker.allow())
    assert breaker.state == "open"


def test_now_and_then_a_failure_opens_nothing() -> None:
    clock = Clock()
    breaker = Breaker(Rules(), clock)
    for n in range(10_000):
        (breaker.succeeded if n % 3 else breaker.failed)(breaker.allow())
        clock.sleep(0.01)
    assert breaker.state == "closed"


def test_a_thousand_find_it_open_and_one_is_its_probe() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.sleep(RULES.cool)
    assert sum(bool(breaker.allow()) for _ in range(1000)) == 1


@pytest.mark.parametrize("good", [True, False])
def test_what_was_begun_before_it_opened_tells_nothing_of_the_probe(good: bool) -> None:
    clock = Clock()
    breaker = Breaker(RULES, clock)
    old = [breaker.allow() for _ in range(100)]
    for ticket in old[:3]:
        breaker.failed(ticket)
    clock.sleep(RULES.cool)
    probe = breaker.allow()
    for ticket in old[3:]:
        (breaker.succeeded if good else breaker.failed)(ticket)
    assert breaker.state == "half_open"
    assert not breaker.allow()
    breaker.succeeded(probe)
    assert repr(breaker) == "<Breaker ramp>"


def test_a_stream_that_begins_is_a_probe_that_succeeds() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert not breaker.begun(breaker.allow())
    clock.sleep(RULES.cool)
    assert breaker.begun(probe := breaker.allow())
    assert breaker.state == "ramp"
    assert not breaker.failed(probe)  # it broke off, minutes later
    assert breaker.state == "ramp"


def test_while_a_probe_lasts_there_is_another_each_time_that_it_was_open() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.sleep(RULES.cool)
    first = breaker.allow()
    clock.sleep(RULES.cool)
    assert [bool(breaker.allow()) for _ in range(3)] == [True, False, False]
    assert 0 < breaker.wait <= RULES.cool
    breaker.succeeded(first)
    assert breaker.state == "ramp"


def test_a_probe_that_is_let_go_takes_no_other_along() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.sleep(RULES.cool)
    one = breaker.allow()
    clock.sleep(RULES.cool)
    other = breaker.allow()
    breaker.let_go(one)
    breaker.succeeded(other)
    assert breaker.state == "ramp"


def test_the_next_probe_waits_no_longer_than_new_rules_allow() -> None:
    clock = Clock()
    breaker = opened(clock)
    breaker.become(RULES._replace(longest=1.5))
    assert breaker.rest == 1.5
    clock.sleep(1.5)
    assert breaker.allow()
    assert breaker.wait == 1.5


def test_rules_that_allow_more_make_no_pause_longer() -> None:
    breaker = opened(Clock())
    breaker.become(RULES._replace(longest=2 * RULES.longest))
    assert breaker.rest == RULES.cool


@pytest.mark.parametrize("ramp", [0.0, RULES.ramp / 2, 2 * RULES.ramp])
def test_a_ramp_lasts_no_longer_than_new_rules_allow(ramp: float) -> None:
    clock = Clock()
    breaker = on_ramp(clock)
    breaker.become(RULES._replace(ramp=ramp))
    for seconds, is_over in ((0.0, ramp == 0), (min(ramp, RULES.ramp), True)):
        clock.sleep(seconds)
        assert (breaker.state == "closed") == is_over


def test_a_probe_that_nobody_heard_of_makes_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.sleep(RULES.cool)
    breaker.let_go(breaker.allow())
    assert breaker.rest == 0
    assert breaker.allow()
    assert not breaker.allow()


def test_each_failed_probe_doubles_the_time_up_to_the_longest() -> None:
    clock = Clock(0.0)
    breaker, times = opened(clock), []
    for _ in range(5):
        times.append(breaker.rest)
        clock.sleep(breaker.rest)
        breaker.failed(breaker.allow())
    assert times == [4, 8, 16, 16, 16]


def test_traffic_comes_back_as_a_line() -> None:
    clock = Clock()
    breaker = on_ramp(clock)
    allowed = []
    for _ in range(10):  # a second each, of a hundred requests
        allowed.append(0)
        for _ in range(100):
            clock.sleep(0.01)
            allowed[-1] += bool(breaker.allow())
    assert allowed == [pytest.approx(5 + 10 * n, abs=2) for n in range(10)]
    clock.sleep(0.01)
    assert breaker.state == "closed"


def test_who_fails_on_the_ramp_is_left_alone_for_longer_and_who_ends_it_is_not() -> None:
    clock = Clock()
    breaker = on_ramp(clock)
    clock.sleep(9.0)
    for _ in range(3):
        breaker.failed(next(filter(None, (breaker.allow() for _ in range(10)))))
    assert breaker.rest == 8
    clock.sleep(8.0)
    breaker.succeeded(breaker.allow())
    clock.sleep(9.0)
    last = [next(filter(None, (breaker.allow() for _ in range(10)))) for _ in range(3)]
    clock.sleep(1.0)
    for ticket in last:  # let in by the ramp, heard of behind it
        breaker.failed(ticket)
    assert breaker.rest == 4


def test_what_opened_it_is_not_held_against_it_twice() -> None:
    breaker = on_ramp(clock := Clock())
    clock.sleep(1.0)
    tickets = list(filter(None, (breaker.allow() for _ in range(30))))
    for ticket in tickets[:2]:
        breaker.succeeded(ticket)
    breaker.failed(tickets[2])
    assert breaker.state == "ramp"


def test_a_ramp_refuses_nobody_who_can_ask_nobody_else() -> None:
    breaker = on_ramp(Clock())
    tickets = [breaker.allow(is_last=True) for _ in range(5)]
    assert len(set(tickets)) == 1
    assert all(tickets)
    breaker.failed(tickets[0])
    breaker.failed(tickets[1])
    breaker.failed(tickets[2])
    assert (breaker.state, breaker.allow(is_last=True)) == ("open", 0)


def test_nor_does_a_pause_that_has_grown() -> None:
    """An alert looks for the state open, and a probe may take minutes."""
    clock = Clock()
    breaker = opened(clock)
    for _ in range(2):
        clock.sleep(breaker.rest)
        breaker.failed(breaker.allow())
    clock.sleep(RULES.cool - 1)
    assert (breaker.allow(is_last=True), breaker.wait_of_last, breaker.wait) == (0, 1, 3 * RULES.cool + 1)
    clock.sleep(1)
    assert breaker.allow() == 0
    probe = breaker.allow(is_last=True)
    assert (probe > 0, breaker.allow(is_last=True), breaker.state) == (True, 0, "open")
    breaker.let_go(probe)
    assert (breaker.allow(), breaker.allow(is_last=True) > 0) == (0, True)
    clock.sleep(RULES.cool)
    assert breaker.allow(is_last=True)
    clock.sleep(2 * RULES.cool)
    assert (breaker.state, breaker.succeeded(probe), breaker.state) == ("half_open", True, "ramp")


def test_a_ramp_of_no_length_lets_all_in() -> None:
    breaker = on_ramp(Clock(), RULES._replace(ramp=0.0))
    assert all(breaker.allow() for _ in range(100))
    assert breaker.state == "closed"
