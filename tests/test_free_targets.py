"""Does a request of a route go to a target that is free at once, and wait only where none is?"""

import asyncio
from contextlib import suppress
from time import monotonic

import pytest

from proxy.access.allowance import Limits
from proxy.config import LimitsRow, Queue, Retry
from proxy.errors import Busy, OverBudget, OverLimit
from proxy.limits.gcra import SECOND
from proxy.limits.need import NO_TOKENS
from proxy.limits.scope import Held
from proxy.middleware.ratelimit import RateLimit
from proxy.ports import Call
from tests.fleetmate import PATIENCE, joined
from tests.redisserver import redis
from tests.test_failover import Provider, Upstreams, World, busy, course, down, route
from tests.waiting import soon

ONE = Limits(concurrent=1)


class Limited:
    """A route to `a` and `b`, each of which takes one request at a time. `queue`: seconds that a request may wait."""

    def __init__(self, upstreams: Upstreams, limit: RateLimit | None = None, queue: float = 30.0) -> None:
        row = LimitsRow(queue=Queue(seconds=queue))
        self.limit = limit or RateLimit(row, {"a": ONE, "b": ONE})
        self.upstreams = upstreams
        self.world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m", "b/m"))

    async def ask(self, model: str = "smart", timeout: float | None = None) -> Call:
        call = self.world.call(model, timeout=timeout)
        await self.limit(call, lambda call: self.world.failover(call, self.upstreams))
        return call

    def fill(self, provider: str) -> Held:
        """Its one place is taken."""
        held = self.limit._admission.admit([self.limit._providers[provider]], NO_TOKENS)
        assert held is not None
        return held

    def leave(self, held: Held) -> None:
        self.limit._admission.leave(held, None)

    def announce(self, provider: str, seconds: float) -> None:
        """It says that nothing is left, and for how long."""
        told = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{seconds}s"}
        self.limit.learn(provider, "m", told, self.limit._clock() / SECOND)


async def waiting(limited: Limited, model: str = "smart") -> "asyncio.Task[Call]":
    """A request that stands in a queue."""
    task = asyncio.create_task(limited.ask(model))
    await soon(lambda: limited.limit.queued == 1)
    return task


async def test_who_is_free_is_asked_and_nobody_waited_for() -> None:
    limited = Limited(upstreams := Upstreams())
    limited.fill("a")
    call = await limited.ask()
    assert (upstreams.asked, call.attempts, limited.limit.queued) == (["b/m"], 1, 0)
    assert [(one.target.adapter.name, one.number, one.code) for one in course(call)] == [
        ("a", 0, "rate_limit_exceeded"),
        ("b", 1, ""),
    ]
    assert limited.limit.refused == {("provider", "concurrent"): 1}


async def test_nor_is_a_provider_that_says_that_its_limit_is_used_up() -> None:
    for queue in (0.0, 30.0):
        limited = Limited(upstreams := Upstreams(), queue=queue)
        limited.announce("a", 2.0)
        await limited.ask()
        assert (upstreams.asked, upstreams.slept) == (["b/m"], [])


async def test_where_none_is_free_the_one_that_is_so_first_is_waited_for() -> None:
    limited = Limited(upstreams := Upstreams())
    limited.announce("a", 20.0)
    limited.announce("b", 0.05)
    began = monotonic()
    call = await limited.ask()
    assert (upstreams.asked, call.attempts) == (["b/m"], 1)
    assert 0.03 < monotonic() - began < 5


async def test_of_two_of_which_nobody_knows_it_is_the_first() -> None:
    limited = Limited(upstreams := Upstreams())
    first, _ = limited.fill("a"), limited.fill("b")
    task = await waiting(limited)
    limited.leave(first)
    await task
    assert upstreams.asked == ["a/m"]


async def test_those_who_wait_share_themselves_out() -> None:
    limited = Limited(upstreams := Upstreams())
    held = [limited.fill("a"), limited.fill("b")]
    first = await waiting(limited)
    second = asyncio.create_task(limited.ask())
    await soon(lambda: limited.limit.queued == 2)
    limited.leave(held[1])
    await second
    assert (upstreams.asked, first.done()) == (["b/m"], False)
    limited.leave(held[0])
    await first
    assert upstreams.asked == ["b/m", "a/m"]


async def test_where_the_free_one_fails_it_is_waited_for_after_all() -> None:
    limited = Limited(upstreams := Upstreams(b=[down() for _ in range(3)]))
    limited.world.failover.retry = Retry(max_retries=0)
    first = limited.fill("a")
    task = await waiting(limited)
    limited.leave(first)
    call = await task
    assert (upstreams.asked, call.attempts) == (["b/m", "a/m"], 2)
    assert call.target is not None
    assert call.target.adapter.name == "a"


async def test_who_waits_in_vain_is_told_what_the_first_one_said_last() -> None:
    limited = Limited(Upstreams(), queue=0.05)
    limited.fill("a")
    limited.fill("b")
    with pytest.raises(OverLimit) as caught:
        await limited.ask()
    assert "a is 1 request at the same time" in caught.value.message
    assert caught.value.ahead is None  # it is the second one, after the wait


async def test_a_name_that_is_no_route_waits_as_ever() -> None:
    limited = Limited(upstreams := Upstreams())
    first = limited.fill("a")
    task = await waiting(limited, "a/m")
    limited.leave(first)
    await task
    assert upstreams.asked == ["a/m"]


async def test_a_clients_own_limit_has_it_wait_before_any_target_is_asked() -> None:
    limits = LimitsRow(client=Limits(concurrent=1), queue=Queue(seconds=30))
    limited = Limited(upstreams := Upstreams(), RateLimit(limits, {}))
    own = limited.limit._client(limited.world.call("smart"), Limits(concurrent=1))
    held = limited.limit._admission.admit([own], NO_TOKENS)
    assert held is not None
    task = await waiting(limited)
    assert upstreams.asked == []
    limited.leave(held)
    await task
    assert upstreams.asked == ["a/m"]


async def test_what_is_larger_than_the_limit_is_not_asked_for_again() -> None:
    small = {"a": Limits(tokens_per_minute=1), "b": Limits(tokens_per_minute=1)}
    limited = Limited(Upstreams(), RateLimit(LimitsRow(queue=Queue(seconds=30)), small))
    call = limited.world.call("smart", body=b'{"max_tokens":9}')
    with pytest.raises(OverLimit, match="never pass"):
        await limited.limit(call, lambda call: limited.world.failover(call, limited.upstreams))
    assert len(call.history) == 2


async def test_a_fleets_limit_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.store.redis.PATIENCE", PATIENCE)
    async with redis() as server, joined(server.url) as fleet:
        limit = RateLimit(LimitsRow(queue=Queue(seconds=30)), {"a": ONE}, fleet=fleet)
        limited = Limited(upstreams := Upstreams(), limit)
        held = await limit._admission.enter([limit._providers["a"]], NO_TOKENS)
        await limited.ask()
        assert upstreams.asked == ["b/m"]
        limited.leave(held)
        await limited.ask()
        assert upstreams.asked == ["b/m", "a/m"]


# --- a provider that asks us to wait ---------------------------------------------------------------------------------


async def test_whoever_asks_us_to_wait_is_left_for_one_who_does_not() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "3"))])
    call = await Limited(upstreams).ask()
    assert (upstreams.asked, upstreams.slept, call.attempts) == (["a/m", "b/m"], [], 2)


@pytest.mark.parametrize("status", [429, 529])
async def test_whoever_is_busy_is_left_for_one_who_is_not_though_it_does_not_say_for_how_long(status: int) -> None:
    upstreams = Upstreams(a=[Busy("busy", status=status, upstream_status=status)])
    call = await Limited(upstreams).ask()
    assert (upstreams.asked, upstreams.slept, call.attempts) == (["a/m", "b/m"], [], 2)


async def test_and_has_its_short_pause_before_those_who_say_how_long_where_nobody_else_can() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "1"))], b=[busy(), busy()])
    call = await Limited(upstreams).ask()
    assert (upstreams.asked, call.attempts) == (["a/m", "b/m", "b/m", "b/m"], 4)
    assert all(slept <= bound for slept, bound in zip(upstreams.slept, (0.5, 1.0), strict=True))


async def test_and_is_asked_again_when_its_time_has_come_where_nobody_else_can() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "3"))], b=[busy(("retry-after", "30"))])
    call = await Limited(upstreams).ask()
    assert (upstreams.asked, call.attempts) == (["a/m", "b/m", "a/m"], 3)
    (slept,) = upstreams.slept
    assert 3 <= slept <= 3.5


async def test_of_those_who_ask_us_to_wait_the_soonest_is_asked_first() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "5"))], b=[busy(("retry-after", "2"))])
    await Limited(upstreams).ask()
    assert upstreams.asked == ["a/m", "b/m", "b/m"]
    (slept,) = upstreams.slept
    assert 2 <= slept <= 2.5


async def test_behind_a_spent_budget_a_cheaper_one_is_waited_for_and_no_dearer_one() -> None:
    error = OverBudget("spent")
    error.cheaper = True
    for cost, asked in ((1, ["b/m", "a/m"]), (100, ["b/m"])):
        limited = Limited(upstreams := Upstreams(b=[error]))
        limited.announce("a", 0.05)
        limited.world.failover.estimate = lambda _, target, cost=cost: cost if target.adapter.name == "a" else 50  # type: ignore[misc]
        with suppress(Busy):  # which the first one has said
            await limited.ask()
        assert upstreams.asked == asked


async def test_a_route_of_one_waits_as_ever() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "3"))])
    world = World([Provider("a"), Provider("b")], upstreams, routes=route("a/m"))
    await world.ask("smart")
    assert upstreams.asked == ["a/m", "a/m"]


async def test_where_nobody_can_the_client_is_told_the_shortest_wait() -> None:
    upstreams = Upstreams(a=[busy(("retry-after", "5"))] * 9, b=[busy(("retry-after", "2"))] * 9)
    limited = Limited(upstreams)
    limited.world.failover.retry = Retry(max_retries=1)
    with pytest.raises(Busy) as caught:
        await limited.ask()
    assert caught.value.headers == [("retry-after", "2")]
    assert upstreams.asked == ["a/m", "b/m", "b/m", "a/m"]  # each as often as ever
