"""Does a fleet keep one limit, to the last request, and each sidecar its share where it cannot ask?"""

import asyncio
import sys
from collections.abc import AsyncIterator
from time import monotonic, monotonic_ns

import pytest

from proxy.access.allowance import Limits
from proxy.budgets.counter import terms_of
from proxy.budgets.leases import Leases
from proxy.budgets.windows import Window
from proxy.config import Budget, LimitsRow, Queue
from proxy.errors import OverLimit
from proxy.fleet import SOON, TOGETHER, Fleet, StoreUnavailable, heard
from proxy.limits.announced import Announcements, rows_in
from proxy.limits.fleet import FleetAdmission
from proxy.limits.gcra import SECOND
from proxy.limits.need import Need
from proxy.limits.rate import LEAVE, TAKE, Rate
from proxy.limits.scope import Held, Scope
from proxy.limits.shared import Shared
from proxy.middleware.ratelimit import RateLimit
from tests import laws
from tests.fleetmate import PATIENCE, Mate, asked, joined, offer
from tests.redisserver import Server, redis
from tests.test_metrics import targeted
from tests.waiting import soon

PROCESSES = 4
SHORT = 0.035  # seconds, as in the field


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has more to do than to run this is no store that is away."""
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
    monkeypatch.setattr("proxy.store.redis.BEAT", 0.1)


@pytest.fixture
async def server(patient: None) -> AsyncIterator[Server]:
    async with redis() as server:
        yield server


async def test_four_processes_let_pass_what_one_would_to_the_last_request(server: Server) -> None:
    """Row M4 of the reliability table."""
    limit, offered = 1000, laws.share("requests offered to a fleet's limit", 100_000, 6_000)
    args = [sys.executable, "-m", "tests.fleetmate", server.url, str(limit), str(offered // PROCESSES)]
    mates = [await asyncio.create_subprocess_exec(*args, stdout=asyncio.subprocess.PIPE) for _ in range(PROCESSES)]
    told = [(await mate.communicate())[0].split() for mate in mates]
    passed, first, _, fallbacks = zip(*(map(int, words) for words in told), strict=True)
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(requests_per_minute=limit))
        more = await offer(mate, 50)  # the last of them is refused, and so nothing was left
        rate = Rate(limit, "")
        ticks = max(mate.admission.ticks) - min(first)
    assert sum(fallbacks) == 0
    assert sum(passed) + more == (rate.burst + rate.pace * ticks) // rate.step


async def held(mate: Mate, count: int, need: Need = Need()) -> list[Held]:  # noqa: B008  it is a tuple
    return [await mate.ask(need) for _ in range(count)]


async def test_requests_under_way_are_counted_over_the_whole_fleet(server: Server) -> None:
    async with joined(server.url) as one, joined(server.url) as two:
        first, second = Mate(one, Limits(concurrent=3)), Mate(two, Limits(concurrent=3))
        ours = await held(first, 2)
        theirs = await held(second, 1)
        for mate in (first, second):
            with pytest.raises(OverLimit, match="3 requests at the same time"):
                await mate.ask()
        first.admission.leave(ours[0], None)
        first.admission.leave(ours[0], None)  # the second time nothing is given back
        await held(first, 1)
        with pytest.raises(OverLimit):
            await second.ask()
        second.admission.leave(theirs[0], None)
        await held(second, 1)


async def test_whoever_leaves_while_the_store_is_asked_holds_nothing(server: Server) -> None:
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(concurrent=1))
        for turns in range(4):
            task = asyncio.ensure_future(mate.ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                mate.admission.leave(task.result(), None)
            await soon(lambda: not mate.scope.asking)
            mate.admission.leave(await mate.ask(), None)


async def test_tokens_that_were_not_used_are_given_back_to_all(server: Server) -> None:
    limits = Limits(tokens_per_minute=1000)
    async with joined(server.url) as one, joined(server.url) as two:
        first, second = Mate(one, limits), Mate(two, limits)
        ours = await first.ask(Need(500, 490))
        with pytest.raises(OverLimit, match="1000 tokens per minute"):
            await second.ask(Need(500, 0))
        first.admission.leave(ours, 100)
        await first.ask(Need(1, 0))  # behind which ours was carried
        await second.ask(Need(500, 300))
        with pytest.raises(OverLimit):
            await second.ask(Need(500, 0))


async def test_more_than_was_taken_is_taken_afterwards(server: Server) -> None:
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(tokens_per_minute=1000))
        mate.admission.leave(await mate.ask(Need(100, 0)), 950)
        with pytest.raises(OverLimit):
            await mate.ask(Need(100, 0))


async def test_a_request_takes_of_all_limits_or_of_none(server: Server) -> None:
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(requests_per_minute=10, tokens_per_minute=100))
        for _ in range(5):
            with pytest.raises(OverLimit, match="never pass"):
                await mate.ask(Need(200, 0))
        await mate.ask(Need(90, 0))
        for _ in range(5):
            with pytest.raises(OverLimit, match="tokens"):
                await mate.ask(Need(90, 0))
        assert mate.scope.levels(monotonic_ns())[0][2] == 9


def test_the_wait_for_a_fleets_limit_is_exact_as_last_heard() -> None:
    rate = Rate(60, "")
    rate.hear(rate.burst - rate.step, 0)
    assert [rate.wait(count) // SECOND for count in (1, 2, 60)] == [0, 1, 59]


async def test_a_refusal_names_the_limit_that_is_reached(server: Server) -> None:
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(requests_per_minute=1, concurrent=2))
        await mate.ask()
        with pytest.raises(OverLimit, match="1 request per minute") as refused:
            await mate.ask()
        assert "retry-after" in dict(refused.value.headers)
        assert mate.admission.refused == {("client", "requests"): 1}


async def test_who_may_wait_waits_in_turn(server: Server) -> None:
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(concurrent=1), Queue(seconds=5, length=3))
        order: list[int] = []
        first = await mate.ask()

        async def one(number: int) -> None:
            took = await mate.ask()
            order.append(number)
            mate.admission.leave(took, None)

        tasks = [asyncio.ensure_future(one(1)), asyncio.ensure_future(one(2))]
        await soon(lambda: mate.admission.queued == 2)
        mate.admission.leave(first, None)
        tasks.append(asyncio.ensure_future(one(3)))
        await asyncio.gather(*tasks)
        assert order == [1, 2, 3]


@pytest.mark.parametrize(("queue", "left"), [(0.1, None), (60, 0.1)])
async def test_who_has_waited_in_vain_is_refused(server: Server, queue: float, left: float | None) -> None:
    """For as long as the operator says, or the client."""
    async with joined(server.url) as fleet:
        mate = Mate(fleet, Limits(concurrent=1), Queue(seconds=queue, length=3))
        await mate.ask()
        with pytest.raises(OverLimit, match="when one of them has ended"):
            await mate.ask(left=left)
        assert mate.admission.queued == mate.scope.waiting == 0


async def test_a_limit_of_one_lets_one_pass(server: Server) -> None:
    async with joined(server.url) as fleet:
        assert await offer(Mate(fleet, Limits(requests_per_minute=1)), 3) == 1


async def test_while_the_store_is_away_each_keeps_to_its_share_and_tells_it_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(requests_per_minute=100)
    async with joined(server.url) as one, joined(server.url) as two:
        first, second = Mate(one, limits), Mate(two, limits)
        await soon(lambda: one.members == 2)
        await held(first, 10)
        await soon(lambda: two.members == 2)
        monkeypatch.setattr("proxy.store.redis.PATIENCE", SHORT)
        server.stop()
        await soon(lambda: not (one.is_up or two.is_up))
        assert 40 <= await offer(first, 100) <= 41
        assert 50 <= await offer(second, 100) <= 51
        assert one.fallbacks == 100
        monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
        monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
        server.go_on()
        await soon(lambda: one.is_up and two.is_up)
        assert await offer(first, 20) + await offer(second, 20) <= 4  # ten and ninety have passed, a few were regained


async def test_what_ended_while_the_store_was_away_is_not_under_way(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(server.url) as one:
        mate = Mate(one, Limits(concurrent=3))
        ours = await held(mate, 3)
        monkeypatch.setattr("proxy.store.redis.PATIENCE", SHORT)
        server.stop()
        await soon(lambda: not one.is_up)
        for took in ours[:2]:
            mate.admission.leave(took, None)
        ours += await held(mate, 1)
        monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
        monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
        server.go_on()
        await soon(lambda: one.is_up)
        ours += await held(mate, 1)
        with pytest.raises(OverLimit):
            await mate.ask()
        for took in ours[2:]:
            mate.admission.leave(took, None)
        await held(mate, 3)


async def test_while_the_store_is_away_each_has_its_share_of_those_under_way_at_once() -> None:
    fleet = Fleet()
    fleet.members = 2
    mate = Mate(fleet, Limits(concurrent=5))
    await held(mate, 2)
    with pytest.raises(OverLimit, match="5 requests at the same time"):
        await mate.ask()


async def test_a_share_is_one_at_least(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(server.url) as one, joined(server.url) as two:
        mate = Mate(one, Limits(requests_per_minute=1, concurrent=1))
        await soon(lambda: one.members == two.members == 2)
        monkeypatch.setattr("proxy.store.redis.PATIENCE", SHORT)
        server.stop()
        await soon(lambda: not one.is_up)
        assert await offer(mate, 3) == 1
        monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
        monkeypatch.setattr("proxy.fleet.TOGETHER", PATIENCE)
        server.go_on()
        await soon(lambda: one.is_up)
        with pytest.raises(OverLimit):
            await mate.ask()


# --- a store that is slow, and there --------------------------------------------------------------------------------


class Slow(Fleet):
    """One that is up, and whose store says nothing of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.is_up = True
        self.members = 2


class Call:
    """What a request has waited already."""

    def __init__(self, waited: float) -> None:
        self.store_waited = waited


async def test_what_a_request_waits_for_is_counted_over_all_that_it_asks() -> None:
    fleet, call = Slow(), Call(0.0)
    for wait in (0.020, 0.010):
        answer = asked(fleet, "x")
        asyncio.get_running_loop().call_later(wait, fleet.line[-1].heard, [1])
        assert await heard(answer, call)
    waited, last = call.store_waited, asked(fleet, "x")
    assert not await heard(last, call)
    assert last.cancelled()
    assert waited < call.store_waited  # a little for this one too
    assert TOGETHER - SOON < call.store_waited < TOGETHER + 2 * SOON


async def test_what_the_store_takes_is_pillions_own_time_and_no_turn() -> None:
    limits = RateLimit(LimitsRow(), {"echo": Limits(requests_per_minute=4)}, fleet=Slow())
    call, began = targeted(), monotonic()
    call.store_waited = SOON  # for another question, so that this one does not wait for ever
    await limits.reserve(call)
    asked = call.store_waited - SOON
    assert asked >= TOGETHER - 2 * SOON
    assert call.delayed <= monotonic() - began - asked


async def test_whose_time_is_up_is_let_pass_within_its_sidecars_share_and_others_go_on_asking() -> None:
    mate = Mate(fleet := Slow(), Limits(requests_per_minute=4, concurrent=100))
    late = [await mate.admission.enter((mate.scope,), Need(), None, Call(1.0)) for _ in range(2)]
    assert fleet.fallbacks == 2
    with pytest.raises(OverLimit):
        await mate.admission.enter((mate.scope,), Need(), None, Call(1.0))
    assert fleet.is_up
    for ask in [*fleet.line]:  # what the store lets pass too late is given back, and what passed without it is told
        if ask.script == TAKE:
            ask.heard([1, 0, 0, 1, 0, 0])
    assert not mate.scope.asking
    due = [words for script, _, words in mate.scope.due(monotonic_ns()) if script == TAKE]
    assert len(due) == 1
    for one in late:
        mate.admission.leave(one, 0)


async def asking(fleet: Fleet, admission: FleetAdmission, *scopes: Scope) -> asyncio.Task[Held]:
    """One that has asked the store, and waits."""
    task, before = asyncio.ensure_future(admission.enter(scopes, Need())), len(fleet.line)
    await soon(lambda: len(fleet.line) > before)
    return task


PASSES = [1, 0, 0, 1]  # what the store says of one limit of requests under way


async def test_whoever_leaves_in_the_moment_in_which_the_store_lets_him_pass_holds_nothing() -> None:
    mate = Mate(fleet := Slow(), Limits(concurrent=1))
    task = await asking(fleet, mate.admission, mate.scope)
    fleet.line.pop().heard(PASSES)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [ask.script for ask in fleet.line] == [LEAVE]
    assert mate.scope.is_idle(monotonic_ns())


async def test_where_the_store_goes_away_meanwhile_the_share_decides() -> None:
    mate = Mate(fleet := Slow(), Limits(concurrent=2))
    tasks = [await asking(fleet, mate.admission, mate.scope) for _ in range(2)]
    mate.scope.divide(monotonic_ns())
    for ask in list(fleet.line):
        ask.heard(None)
    assert fleet.fallbacks == 2
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, Held)
    assert isinstance(second, OverLimit)  # half of two is one


async def test_who_waits_for_a_share_has_his_turn_when_one_ends_that_the_store_had_let_pass() -> None:
    mate = Mate(fleet := Slow(), Limits(concurrent=2), Queue(seconds=60, length=3))
    task = await asking(fleet, mate.admission, mate.scope)
    fleet.line.pop().heard(PASSES)
    held = await task
    fleet.went()
    waits = asyncio.ensure_future(mate.ask())
    await soon(lambda: bool(mate.scope.queue))  # half of two is one
    mate.admission.leave(held, None)
    await soon(waits.done)


FULL = [0, 0, 2, 0]  # the same, where two are under way


async def test_who_waits_when_the_store_goes_away_waits_no_longer_for_it() -> None:
    """What it has waited by then counts, for the share as well."""
    clock = [0]
    admission = FleetAdmission(Queue(seconds=60, length=3), lambda: clock[0], fleet := Slow())
    scope = Shared("client", "client one", Limits(concurrent=2), fleet, 0)
    first = [await asking(fleet, admission, scope) for _ in range(2)]
    for _ in range(2):
        fleet.line.popleft().heard(PASSES)
    await asyncio.wait(first)
    waits = await asking(fleet, admission, scope)
    fleet.line.popleft().heard(FULL)
    await soon(lambda: scope.waiting)
    fleet.gone.append(lambda: scope.divide(0))
    clock[0] = 60 * SECOND
    fleet.went()
    with pytest.raises(OverLimit):
        await asyncio.wait_for(waits, PATIENCE)


async def test_who_waits_when_the_store_goes_away_hears_so_at_once() -> None:
    fleet, hour = Slow(), 36_000_000  # in the store's ticks
    mate = Mate(fleet, Limits(requests_per_minute=4), Queue(seconds=7200, length=5))
    passed: list[int] = []

    async def one(number: int) -> None:
        await mate.ask()
        passed.append(number)

    tasks = [asyncio.ensure_future(one(1))]
    await soon(lambda: fleet.line)
    fleet.line.popleft().heard([0, 0, hour, 0])  # owed, so that it sleeps for an hour
    await soon(lambda: mate.scope.waiting == 1)
    tasks += [asyncio.ensure_future(one(number)) for number in (2, 3)]
    await soon(lambda: mate.scope.waiting == 3)
    fleet.went()
    await soon(lambda: len(passed) == 2)  # half of four
    assert passed == [1, 2]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_who_finds_the_queue_full_is_told_when_its_turn_would_be() -> None:
    """As without a fleet: those ahead of it here count, and those elsewhere nobody knows."""
    mate = Mate(fleet := Slow(), Limits(requests_per_minute=60), Queue(seconds=600, length=2))
    tasks = [await asking(fleet, mate.admission, mate.scope)]
    fleet.line.popleft().heard([0, 0, 600_000, 0])  # all is owed, and one is paid for in a second
    await soon(lambda: mate.scope.waiting == 1)
    tasks.append(asyncio.ensure_future(mate.ask()))
    await soon(lambda: mate.scope.waiting == 2)
    with pytest.raises(OverLimit) as caught:
        await mate.ask()
    assert dict(caught.value.headers)["retry-after"] == "3"
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def announced(left: int) -> Announcements:
    """A provider says that so many requests are left of ten, and that all will be again in an hour."""
    scope = Announcements("p", "m")
    said = {"x-ratelimit-remaining-requests": str(left), "x-ratelimit-reset-requests": "1h"}
    scope.hear(rows_in(said), said, monotonic_ns(), 0.0)
    return scope


async def test_what_a_provider_has_left_is_not_taken_by_whom_the_store_refuses() -> None:
    mate, provider = Mate(fleet := Slow(), Limits(concurrent=1)), announced(1)
    task = await asking(fleet, mate.admission, provider, mate.scope)
    assert provider.waits(Need(), monotonic_ns())[0][1] != 0
    fleet.line.pop().heard([0, 0, 1, 0])
    with pytest.raises(OverLimit, match="client one"):
        await task
    assert provider.waits(Need(), monotonic_ns()) == [("requests", 0)]


async def test_who_waits_for_what_a_provider_has_left_has_his_turn_when_another_leaves() -> None:
    mate, provider = Mate(fleet := Slow(), Limits(concurrent=1), Queue(seconds=5, length=3)), announced(1)
    task = await asking(fleet, mate.admission, provider, mate.scope)
    other = asyncio.ensure_future(mate.admission.enter((provider, mate.scope), Need()))
    await soon(lambda: bool(provider.queue))
    fleet.line.clear()
    task.cancel()
    await soon(lambda: bool(fleet.line))
    fleet.line.pop().heard(PASSES)
    mate.admission.leave(await other, None)


async def test_who_waits_for_what_a_provider_has_left_has_his_turn_when_another_finds_the_queue_full() -> None:
    """The store goes away while it decides, and the one that asked has to queue like the others."""
    mate, provider = Mate(fleet := Slow(), Limits(concurrent=2), Queue(seconds=5, length=1)), announced(1)
    task = await asking(fleet, mate.admission, provider, mate.scope)
    other = asyncio.ensure_future(mate.admission.enter((provider, mate.scope), Need()))
    await soon(lambda: bool(provider.queue))
    fleet.line.pop().heard(None)
    await soon(lambda: bool(fleet.line))
    fleet.line.pop().heard(PASSES)
    mate.admission.leave(await other, None)
    task.cancel()
    await asyncio.wait([task])


# --- a store that is away --------------------------------------------------------------------------------------------


def away() -> Fleet:
    fleet = Slow()
    fleet.is_up = False
    return fleet


def told(scope: Shared) -> list[object]:
    """The units of each limit that the store will be told of."""
    return [words[-1] for script, _, words in scope.due(monotonic_ns()) if script == TAKE]


async def test_what_one_limit_refuses_counts_for_no_other() -> None:
    mate = Mate(fleet := away(), Limits(requests_per_minute=10, tokens_per_minute=1000))
    full = Shared("provider", "provider p", Limits(concurrent=2), fleet, monotonic_ns())  # half of two is one
    need = Need(100, 100)
    first = mate.admission.admit((mate.scope, full), need)
    assert first is not None
    left = [(what, count) for what, _, count, _ in mate.scope.levels(monotonic_ns())]
    assert left == [("requests", 4), ("tokens", 300)]  # of half of each
    assert mate.admission.admit((mate.scope, full), need) is None
    assert [(what, count) for what, _, count, _ in mate.scope.levels(monotonic_ns())] == left
    rates = mate.scope.rates
    assert told(mate.scope) == [rates["requests"].step, 200 * rates["tokens"].step]
    mate.admission.leave(first, None)


async def test_what_was_used_beyond_the_estimate_is_told_later() -> None:
    mate = Mate(fleet := Slow(), Limits(tokens_per_minute=1000))
    tasks = [asyncio.ensure_future(mate.admission.enter((mate.scope,), Need(100, 0))) for _ in range(2)]
    await soon(lambda: len(fleet.line) == 2)
    for ask in list(fleet.line):
        ask.heard([1, 7, 100, 0])
    fleet.is_up = False
    for task, used in zip(tasks, (150, 50), strict=True):
        mate.admission.leave(await task, used)
    assert told(mate.scope) == [50 * mate.scope.rates["tokens"].step]  # and what was not used is given to nobody
    assert told(mate.scope) == []


def test_a_scope_is_idle_once_the_store_has_forgotten_it_as_well() -> None:
    scope = Shared("client", "client one", Limits(requests_per_minute=60), away(), 0)
    assert scope.is_idle(0)
    assert scope.take(Need(), 0) is not None
    scope.settle(0, Need(), None, 0)
    assert [scope.is_idle(second * SECOND) for second in (0, 30, 60, 61)] == [False, False, False, True]
    scope.waiting += 1
    assert not scope.is_idle(61 * SECOND)


async def test_whose_time_is_up_spends_no_lease_that_he_has_not() -> None:
    fleet = Slow()
    leases = Leases(fleet)
    counter = leases.counter(terms_of("all", Budget(usd=1.0)), "", Window(0, 10**10))
    with pytest.raises(StoreUnavailable, match="is slow to answer"):
        await leases.provide([counter], 1000, Call(1.0))
    fleet.line[-1].heard([5000, 0, 5000, 1, 0])
    await leases.provide([counter], 1000, Call(1.0))  # what was leased too late for one is there for the next
