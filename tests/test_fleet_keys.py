"""Does a fleet leave out the keys that one of its sidecars was refused with, and have back those that work again?"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations
from math import inf
from time import time

import pytest

from proxy.adapters.keys import Asked, Keys
from proxy.config import Secret
from proxy.errors import Refused
from proxy.failover.cooldown import Saved
from proxy.failover.keyshare import EXCHANGE, PIECE, SHORTEST, KeyShare, _saved, shared_name
from proxy.failover.keystate import KeyStates
from proxy.fleet import Fleet
from proxy.store import redis as store
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion
from tests.redisserver import Server, redis
from tests.test_api_keys import ONE, TWO, Play, Stage, plays, refusal
from tests.waiting import soon

DAY = "86400"
FORBIDDEN = Refused("no", status=403, kind="authentication")
WEAK = "hunter2"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many beats a second; and a machine that has more to do is no store that is away."""
    monkeypatch.setattr("proxy.store.redis.BEAT", 0.02)
    monkeypatch.setattr("proxy.store.redis.AGAIN", 0.02)
    monkeypatch.setattr("proxy.store.redis.PATIENCE", 10.0)


@asynccontextmanager
async def fleet(play: Play, url: str, keys: str = f"{ONE},{TWO}") -> AsyncIterator[tuple[Stage, Stage]]:
    """Two gateways before one provider, of which each keeps what it knows in a place of its own."""
    async with Evil(answering=play) as evil, AsyncExitStack() as stack:
        environ = {
            "PILLION_OPENAI_BASE_URL": f"{evil.url}/v1",
            "PILLION_OPENAI_API_KEYS": keys,
            "PILLION_STORE": url,
        }
        one, other = [Stage(await stack.enter_async_context(pillion(**environ)), evil) for _ in range(2)]
        yield one, other


class Host:
    """A provider that changes its mind: what it answers to each key."""

    def __init__(self, **by_key: Scenario) -> None:
        self.play = plays(**by_key)

    def __call__(self, request: Received) -> Scenario:
        return self.play(request)


def works(stage: Stage, value: str) -> None:
    """As a health check finds it."""
    [found] = [key for key in keys_of(stage)._keys if key.value == value]
    keys_of(stage).answered(Asked(found, "", keys_of(stage)._clock()))


def keys_of(stage: Stage) -> Keys:
    keys: Keys = stage.gateway.app.now.adapters["openai"].keys
    return keys


def is_away(stage: Stage) -> bool:
    assert stage.gateway.app.fleet is not None
    return not stage.gateway.app.fleet.is_up


async def knows(stage: Stage, **state: int) -> None:
    await soon(lambda: stage.state().items() >= state.items())


# --- through pillion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "found"),
    [
        (401, "invalid_api_key", "failed"),
        (429, "rate_limit_exceeded", "cooling"),
        (429, "insufficient_quota", "cooling"),
    ],
)
async def test_a_key_that_one_is_refused_with_is_left_out_by_all(status: int, code: str, found: str) -> None:
    play = plays(one=refusal(status, code, retry_after=DAY))
    async with redis() as server, fleet(play, server.url) as (one, other):
        assert await one.ask(2) == [200] * 2
        await knows(other, **{found: 1})
        one.asked()
        assert await other.ask(4) == [200] * 4
        assert other.asked() == {TWO: 4}


async def test_one_that_may_not_use_a_model_may_use_others_everywhere() -> None:
    async with redis() as server, fleet(plays(one=refusal(403)), server.url) as (one, other):
        assert await one.ask(2, "openai/gpt-\u00e4/1") == [200] * 2
        await soon(lambda: keys_of(other).saved())
        assert {keys_of(other).pick("gpt-\u00e4/1").value for _ in range(4)} == {TWO}
        assert {keys_of(other).pick("m").value for _ in range(4)} == {ONE, TWO}


async def test_one_that_works_again_for_one_is_back_for_all() -> None:
    host = Host(one=refusal(401))
    async with redis() as server, fleet(host, server.url) as (one, other):
        assert await one.ask(2) == [200] * 2
        await knows(other, failed=1)
        host.play = plays()
        works(other, ONE)
        await knows(one, failed=0)
        one.asked()
        assert await one.ask(4) == [200] * 4
        assert one.asked() == {ONE: 2, TWO: 2}


async def test_who_joins_later_hears_of_it() -> None:
    play = plays(one=refusal(401))
    async with redis() as server:
        async with fleet(play, server.url) as (one, _):
            assert await one.ask(2) == [200] * 2
            await knows(one, failed=1)
            await soon(lambda: server.do("HLEN", "pillion:1:keys"))
        async with fleet(play, server.url) as (one, other):
            await knows(one, failed=1)
            await knows(other, failed=1)
            assert await other.ask(2) == [200] * 2
            assert other.asked() == {TWO: 2}


async def test_without_the_store_each_is_on_its_own_and_tells_when_it_is_back() -> None:
    host = Host(one=refusal(401))
    async with redis() as server, fleet(host, server.url) as (one, other):
        assert await one.ask(2) == [200] * 2
        await knows(other, failed=1)
        await server.kill()
        await soon(lambda: is_away(one) and is_away(other))
        host.play = plays(two=refusal(429, "insufficient_quota", retry_after=DAY))
        works(one, ONE)
        assert await one.ask(4) == [200] * 4
        assert (one.state()["failed"], one.state()["cooling"]) == (0, 1)
        assert (other.state()["failed"], other.state()["cooling"]) == (1, 0)  # it has heard of none of that
        await server.start()  # and knows nothing any more
        await knows(other, failed=0, cooling=1)
        await knows(one, failed=0, cooling=1)
        one.asked()
        assert await other.ask(4) == [200] * 4
        assert other.asked() == {ONE: 4}


async def test_what_the_store_forgets_while_it_is_there_it_is_told_again() -> None:
    async with redis() as server, fleet(plays(one=refusal(401)), server.url) as (one, other):
        assert await one.ask(2) == [200] * 2
        await knows(other, failed=1)
        await server.do("FLUSHALL")
        await soon(lambda: server.do("HLEN", "pillion:1:keys"))
        assert other.state()["failed"] == 1


# --- what the store is told -------------------------------------------------------------------------------------------


async def test_no_key_stands_there_and_nothing_of_one_that_can_be_guessed() -> None:
    async with redis() as server, fleet(lambda _: refusal(401), server.url, f"{ONE},{WEAK}") as (one, other):
        await one.ask(4)
        await knows(one, failed=2)
        await knows(other, failed=1)
        rows = await server.do("HGETALL", "pillion:1:keys")
        assert list(rows) == [f"openai/{shared_name(ONE)}/"]
        assert len(WEAK) < SHORTEST <= len(ONE)
        assert ONE not in f"{rows} {one.gateway.app.lasting.keystates._share!r}"


@asynccontextmanager
async def carried(server: Server) -> AsyncIterator[Fleet]:
    shared = Fleet()
    shared.scripts.add(EXCHANGE)
    carrier = store.Redis(Secret(server.url), shared)
    await carrier.open()
    try:
        await soon(lambda: shared.is_up)
        yield shared
    finally:
        await carrier.close()


class Mate:
    """A sidecar, as far as keys go. `rows`: what it was told."""

    def __init__(self, shared: Fleet, before: Callable[[], dict[str, list[Saved]]] = dict) -> None:
        self.rows: list[Saved] = []
        self.share = KeyShare(shared, before, lambda heard: self.rows.extend(heard.get("it", ())))
        self.share.follow("mine", ONE)

    async def tells(self, said: Saved) -> None:
        self.share._has_told = False
        self.share.tell("it", [said])
        await soon(lambda: not self.share._is_asking and not self.share._untold)


def row(since: float, pause: float | None) -> Saved:
    """Found so many seconds ago; left out for so long, for ever (None), or not at all (0)."""
    now = time()
    until = None if pause is None else now + pause
    return Saved(key="mine", model="", until=until, pause=1.0, times=int(pause != 0), since=now - since)


REFUSED, WORKED, LIMITED, LONGER = (30.0, None), (20.0, 0.0), (10.0, 500.0), (12.0, 900.0)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ((REFUSED, WORKED), 0),
        ((REFUSED, WORKED, LIMITED), 500),
        ((LONGER, LIMITED), 900),  # the longer, whoever was later
        ((REFUSED, LIMITED), inf),
        ((WORKED, LONGER, LIMITED), 900),
    ],
)
async def test_who_was_last_to_find_something_out_is_right_in_whichever_order_it_comes(
    found: tuple[tuple[float, float | None], ...], left: float
) -> None:
    """In their own order exactly so; else it may be left out for longer than was said last."""
    async with redis() as server, carried(server) as shared:
        for order in permutations(found):
            await server.do("FLUSHALL")
            mate = Mate(shared)
            for since, pause in (*order, order[-1]):  # and one of them twice
                await mate.tells(row(since, pause))
            last = mate.rows[-1]
            heard = inf if last.until is None else last.until - time() if last.times else 0
            assert heard >= left - 15
            assert left or heard == 0
            assert order != found or heard == pytest.approx(left, abs=15)
            assert last.pause == 1.0
            shared.beats.remove(mate.share._beat)


async def test_what_others_put_there_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async with redis() as server, carried(server) as shared:
        for n, (name, said) in enumerate(
            [("nothing", "1 2 3 4"), ("it/x", "1 2 3 4"), ("a/b/c", "x"), ("a/b/d", "1 9e300 nan inf"), ("", "")]
        ):
            await server.do("HSET", "pillion:1:keys", name, said)
            await server.do("ZADD", "pillion:1:keys:order", n + 1, name)
        mate = Mate(shared)
        await mate.tells(row(0.0, None))
        assert [each.until for each in mate.rows] == [None]
        assert shared.is_up
    assert not caplog.records


@pytest.mark.parametrize(("model", "is_ours"), [("gpt-\u00e4/1", True), ("\udcff", False)], ids=ascii)
def test_a_model_that_no_file_could_hold_is_passed_over(model: str, is_ours: bool) -> None:
    name = f"openai/key/{model}".encode("utf-8", "surrogatepass")
    found = _saved([name, b"0", b"1000", b"1000", b"1"], 0.0)
    assert (found is not None and found[1].model == model) == is_ours


async def test_many_are_told_and_heard_in_pieces_and_all_with_one_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.store.redis.BEAT", 3600.0)
    count = 2 * PIECE + 50
    async with redis() as server, carried(server) as first, carried(server) as second:
        here, there = [Keys("it", [(Secret(ONE), 1), (Secret(TWO), 1)], str.encode) for _ in range(2)]
        for shared, keys in ((first, here), (second, there)):
            KeyStates(None, shared).become({"it": keys})
        key = here.pick("m")
        for n in range(count):
            here.refused(Asked(key, f"model {n}", 1e9), FORBIDDEN)
        await soon(lambda: _counts(server, count))
        second.beat()
        await soon(lambda: len(there.saved()) == count)


async def test_what_worked_while_the_store_went_away_is_told_when_it_is_back() -> None:
    async with redis() as server, carried(server) as shared:
        mate = Mate(shared)
        await server.kill()
        mate.share.tell("it", [row(0.0, 0.0)])  # nobody knows yet that it has gone
        await soon(lambda: not shared.is_up)
        await server.start()
        await soon(lambda: _counts(server, 1))


async def test_a_store_that_has_forgotten_and_heard_others_first_is_asked_for_all() -> None:
    async with redis() as server, carried(server) as shared, carried(server) as others:
        mate, other = Mate(shared), Mate(others)
        await mate.tells(row(1.0, 5.0))
        shared.went()
        await server.do("FLUSHALL")
        await other.tells(row(0.0, None))
        shared.came()
        await soon(lambda: mate.rows and mate.rows[-1].until is None)


async def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.failover.keyshare.KEPT", 5)
    async with redis() as server, carried(server) as shared:
        states, keys = KeyStates(None, shared), Keys("it", [(Secret(ONE), 1)], str.encode)
        states.become({"it": keys})
        for n in range(9):
            keys.refused(Asked(keys.pick("m"), f"model {n}", 1e9), FORBIDDEN)
        models = [f"model {n}" for n in range(4, 9)]
        name = f"it/{shared_name(ONE)}/"
        await soon(lambda: _has(server, [name + model for model in models]))
        assert await server.do("TTL", "pillion:1:keys") > 86400


async def _counts(server: Server, count: int) -> bool:
    return bool(await server.do("ZCARD", "pillion:1:keys:order") == count)


async def _has(server: Server, names: list[str]) -> bool:
    rows = [
        list(await server.do("HGETALL", "pillion:1:keys")),
        await server.do("ZRANGE", "pillion:1:keys:order", 0, -1),
    ]
    return [sorted(each) for each in rows] == [names, names]
