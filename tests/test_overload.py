"""Is as much served under ten times the load, and does who is refused cost nothing, and hear of it at once?"""

import asyncio
import json
import random
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import openai
import pytest
from multidict import CIMultiDict

from proxy import config
from proxy.edge.room import FEW, MANY, OURS, SPARE, Room, descriptors
from proxy.errors import GatewayError
from proxy.middleware.overload import Overload
from proxy.ports import Call, Reply
from proxy.registry import dialect
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Client, Speech, ask, chat, client, lane_name, spell
from tests.clock import Clock
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.waiting import soon

KEY = "a-client-key-of-ours"
RULES = config.Overload(max_queue=4, wait=60)
NEVER = Scenario(
    headers=[("content-type", "text/event-stream")], body=b"data", framing="chunked", cut_at=0, how="stall"
)


# --- the middleware --------------------------------------------------------------------------------------------------


class World:
    """An Overload, and behind it work that lasts until it is told to end."""

    def __init__(self, most: int, rules: config.Overload = RULES) -> None:
        self.clock = Clock()
        self.overload = Overload(most, rules, self.clock)
        self.served: list[str] = []  # in the order in which they began
        self.read: list[str] = []  # whose body was
        self.busiest = 0
        self._under_way: dict[str, asyncio.Future[None]] = {}

    async def ask(self, name: str) -> Reply:
        reply = await self.overload(self.call(name), self.work)
        for ending in reply.endings:
            ending(None)
        return reply

    async def come(self, *names: str) -> list[asyncio.Task[Reply]]:
        tasks = [asyncio.create_task(self.ask(name), name=name) for name in names]
        await turns()
        return tasks

    def call(self, name: str) -> Call:
        async def receive() -> bytes:
            self.read.append(name)
            return b"{}"

        chats = dialect("openai_chat")
        return Call(
            id=name, operation="chat", dialect=chats, headers=CIMultiDict(), query={}, receive=receive, started=0.0
        )

    async def work(self, call: Call) -> Reply:
        await call.receive()
        self.served.append(call.id)
        self._under_way[call.id] = asyncio.get_running_loop().create_future()
        self.busiest = max(self.busiest, len(self._under_way))
        try:
            await self._under_way[call.id]
        finally:
            del self._under_way[call.id]
        return Reply(200, [], b"{}")

    def under_way(self) -> list[str]:
        return list(self._under_way)

    async def end(self, *names: str, error: Exception | None = None) -> None:
        for name in names:
            future = self._under_way[name]
            future.set_exception(error) if error else future.set_result(None)
        await turns()


async def turns(count: int = 5) -> None:
    """As many of the loop as anything here takes."""
    for _ in range(count):
        await asyncio.sleep(0)


def refusal(task: asyncio.Task[Reply]) -> GatewayError:
    error = task.exception()
    assert isinstance(error, GatewayError)
    return error


async def test_so_many_are_under_way_and_the_others_follow_in_the_order_of_their_arrival() -> None:
    world = World(most=2)
    tasks = await world.come("a", "b", "c", "d", "e")
    assert (world.served, world.overload.queued) == (["a", "b"], 3)
    await world.end("b")
    await world.end("c", "a")
    await world.end("d", "e")
    assert world.served == ["a", "b", "c", "d", "e"]
    assert [(await task).status for task in tasks] == [200] * 5
    assert (world.busiest, world.overload.under_way, world.overload.queued) == (2, 0, 0)


async def test_nobody_overtakes_who_waits() -> None:
    world = World(most=1)
    first, second = await world.come("a", "b")
    world._under_way["a"].set_result(None)
    late = asyncio.create_task(world.ask("c"))  # comes in the very turn in which the place is free
    await turns()
    assert world.served == ["a", "b"]
    await world.end("b")
    await world.end("c")
    assert [(await task).status for task in (first, second, late)] == [200] * 3


async def test_beyond_the_queue_one_is_refused_at_once_and_nothing_of_its_body_is_read() -> None:
    world = World(most=1)
    tasks = await world.come("a", *"bcde", "f")
    assert [task.get_name() for task in tasks if task.done()] == ["f"]
    error = refusal(tasks[-1])
    assert (error.status, error.code, error.headers) == (503, "overloaded", [("retry-after", "1")])
    assert error.message == ("pillion is at its limit of 1 requests in progress, and 4 more are waiting: try again.")
    assert world.read == ["a"]
    for name in "abcde":
        await world.end(name)


async def test_without_a_queue_one_is_refused_as_well() -> None:
    world = World(most=1, rules=config.Overload(max_queue=0))
    _, refused = await world.come("a", "b")
    assert "and no more may wait" in refusal(refused).message
    await world.end("a")


async def test_who_waits_too_long_is_refused_and_leaves_the_queue() -> None:
    world = World(most=1, rules=config.Overload(max_queue=1, wait=0.01))
    (first,) = await world.come("a")
    with pytest.raises(GatewayError, match=r"none of them ended within 0\.01 s: try again") as caught:
        await world.ask("b")
    assert (caught.value.status, world.overload.queued) == (503, 0)
    await world.end("a")
    assert (await first).status == 200
    assert world.served == ["a"]


async def test_who_leaves_the_queue_gives_up_the_place_in_it() -> None:
    world = World(most=1)
    _, second, _ = await world.come("a", "b", "c")
    second.cancel()
    await turns()
    assert world.overload.queued == 1
    await world.end("a")
    assert world.served == ["a", "c"]
    await world.end("c")


async def test_who_leaves_as_the_turn_comes_hands_it_on() -> None:
    world = World(most=1)
    _, second, _ = await world.come("a", "b", "c")
    world._under_way["a"].set_result(None)
    await asyncio.sleep(0)  # the work ends, and with it the turn of the next is set; who waits runs after us
    assert world.overload.queued == 1
    second.cancel()
    await turns()
    assert (second.cancelled(), world.served, world.overload.under_way) == (True, ["a", "c"], 1)
    await world.end("c")


async def test_a_place_is_held_until_the_answer_has_ended_and_freed_by_a_failure() -> None:
    world = World(most=1)
    begun = asyncio.create_task(world.overload(world.call("a"), world.work))
    await turns()
    await world.end("a")
    reply = await begun  # its head is there, and of its end nobody has heard
    failing, last = await world.come("b", "c")
    assert (world.served, world.overload.queued) == (["a"], 2)
    for ending in reply.endings:
        ending(ConnectionResetError())
    await turns()
    await world.end("b", error=ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await failing
    await world.end("c")
    assert (await last).status == 200
    assert world.overload.under_way == 0


async def test_other_limits_count_at_once_for_those_who_wait_as_well() -> None:
    world = World(most=1)
    tasks = await world.come("a", "b", "c", "d")
    world.overload.become(3, config.Overload(max_queue=1))
    await turns()
    assert (world.served, world.overload.queued) == (["a", "b", "c"], 1)
    world.overload.become(1, config.Overload(max_queue=0))
    tasks += await world.come("e")
    assert refusal(tasks.pop()).status == 503
    await world.end("a", "b")
    assert (world.under_way(), world.overload.queued) == (["c"], 1)
    await world.end("c")
    await world.end("d")
    assert [(await task).status for task in tasks] == [200] * 4


@pytest.mark.parametrize(("seconds", "said"), [(0.1, "1"), (4, "10"), (1000, "60")])
async def test_who_is_refused_is_told_when_all_who_wait_will_have_had_their_turn(seconds: float, said: str) -> None:
    world = World(most=2)
    for _ in range(200):
        task = asyncio.create_task(world.ask("long"))
        await turns()
        world.clock.sleep(seconds)
        await world.end("long")
        await task
    tasks = await world.come("a", "b", *"1234", "refused")
    assert dict(refusal(tasks[-1]).headers) == {"retry-after": said}
    for name in ("a", "b", *"1234"):
        await world.end(name)


async def test_ten_times_the_load_changes_nothing_of_what_is_served() -> None:
    world = World(most=4)
    done = 0
    for n in range(25):
        tasks = await world.come(*(f"{n}.{k}" for k in range(40)))
        refused = [refusal(task).status for task in tasks if task.done()]
        # All places are taken but at first, and the queue has room for as many as have moved up.
        assert refused == [503] * (40 - 8 if n == 0 else 40 - 4)
        ended = world.under_way()
        await world.end(*ended)
        done += len(ended)
    assert (done, world.busiest) == (100, 4)
    assert world.read == world.served == sorted(world.served, key=lambda name: [int(n) for n in name.split(".")])
    while left := world.under_way():
        await world.end(*left)


@pytest.mark.parametrize("seed", range(20))
async def test_any_history_goes_as_with_a_list_of_who_waits(seed: int) -> None:
    dice = random.Random(seed)
    world = World(most=dice.randint(1, 3))
    inside: list[str] = []
    waiting: list[str] = []
    tasks: dict[str, asyncio.Task[Reply]] = {}
    for n in range(200):
        match dice.choice(["come", "come", "end", "leave"]):
            case "come":
                name = str(n)
                (tasks[name],) = await world.come(name)
                fits = len(inside) < world.overload.most
                if fits or len(waiting) < RULES.max_queue:
                    (inside if fits else waiting).append(name)
                else:
                    assert refusal(tasks[name]).status == 503
            case "end" if inside:
                await world.end(inside.pop(dice.randrange(len(inside))))
            case "leave" if inside or waiting:
                among = dice.choice([group for group in (inside, waiting) if group])
                tasks[name := among.pop(dice.randrange(len(among)))].cancel()
                await turns()
        if waiting and len(inside) < world.overload.most:
            inside.append(waiting.pop(0))
        assert (sorted(world.under_way()), world.overload.queued) == (sorted(inside), len(waiting))
        assert world.overload.under_way == len(inside)
    for task in tasks.values():
        task.cancel()
    await turns()
    assert (world.overload.under_way, world.overload.queued) == (0, 0)
    await asyncio.gather(*tasks.values(), return_exceptions=True)


# --- the gateway -----------------------------------------------------------------------------------------------------


class Full:
    """A gateway whose places are taken by calls that its provider never answers."""

    def __init__(self, gateway: Gateway, evil: Evil, busy: list[Client]) -> None:
        self.gateway = gateway
        self.evil = evil
        self.busy = busy

    @property
    def overload(self) -> Overload:
        return self.gateway.app.lasting.overload

    def asked(self) -> list[str]:
        """What the provider was asked, by the models' names."""
        return [_model(request) for request in self.evil.requests]


def _model(request: Received) -> str:
    return request.body.decode().partition('"model": "')[2].partition('"')[0]


@asynccontextmanager
async def full(places: int = 1, **environ: str) -> AsyncIterator[Full]:
    environ = {"PILLION_OVERLOAD_MAX_REQUESTS": str(places), **environ}
    async with AsyncExitStack() as stack:
        evil = await stack.enter_async_context(Evil(answering=lambda request: NEVER))
        gateway = await stack.enter_async_context(pillion(**OPENAI.environ(evil.url), **environ))
        there = Full(gateway, evil, [])
        for n in range(places):
            there.busy.append(one := await stack.enter_async_context(client(gateway)))
            key = [("authorization", f"Bearer {environ['PILLION_CLIENT_KEY']}")] if KEY in environ.values() else []
            await one.send(spell("POST", OPENAI.path, OPENAI.request(model=f"openai/first-{n}", stream=True), key))
        await evil.received(places)
        yield there


@asynccontextmanager
async def waiting(there: Full, *names: str) -> AsyncIterator[list[Client]]:
    """Clients that wait, in this order."""
    async with AsyncExitStack() as stack:
        came = []
        for name in names:
            came.append(one := await stack.enter_async_context(client(there.gateway)))
            await one.send(spell("POST", OPENAI.path, OPENAI.request(model=f"openai/{name}", stream=True)))
            await soon(lambda: there.overload.queued == len(came))
        yield came


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_who_is_refused_hears_it_on_his_own_wire_and_the_provider_hears_nothing(speech: Speech) -> None:
    async with full(PILLION_OVERLOAD_MAX_QUEUE="0") as there:
        got = await chat(there.gateway, speech, speech.request(model="openai/m"))
        assert (got.status, got.header("retry-after")) == (503, "1")
        assert "limit of 1 requests in progress, and no more may wait" in speech.error(got.body)["message"]
        assert there.asked() == ["first-0"]


@pytest.mark.parametrize("path", ["/liveness", "/readiness", "/startup", "/metrics", "/v1/usage"])
async def test_what_asks_no_model_is_always_answered(path: str) -> None:
    async with full(PILLION_OVERLOAD_MAX_QUEUE="0") as there:
        assert (await ask(there.gateway, "GET", path)).status == 200


async def test_the_metrics_tell_who_waits_and_who_was_refused() -> None:
    async with full(PILLION_OVERLOAD_MAX_QUEUE="1") as there, waiting(there, "a"):
        assert (await chat(there.gateway, ANTHROPIC, ANTHROPIC.request(model="openai/m"))).status == 503
        told = (await ask(there.gateway, "GET", "/metrics")).body.decode()
    assert "\npillion_requests_queued 1.0\n" in told
    assert "\npillion_requests_limit 1.0\n" in told
    assert '\npillion_errors_total{code="overloaded",kind="server_error"} 1.0\n' in told


async def test_who_waits_is_listed_as_who_waits() -> None:
    async def phases() -> list[str]:
        got = await ask(there.gateway, "GET", "/v1/requests/active")
        return [row["phase"] for row in json.loads(got.body)["data"]]

    async with full() as there, waiting(there, "a"):
        assert await phases() == ["waiting", "queued"]
        there.busy[0].leave("rst")
        await there.evil.received(2)
        assert await phases() == ["waiting"]


async def test_they_are_served_in_the_order_in_which_they_came_and_who_left_is_not() -> None:
    async with full() as there, waiting(there, "a", "b", "c", "d") as came:
        came[1].leave("rst")
        await soon(lambda: there.overload.queued == 3)
        came[2].leave("fin")
        await soon(lambda: there.overload.queued == 2)
        there.busy[0].leave("rst")
        await there.evil.received(2)
        came[0].leave("rst")
        await there.evil.received(3)
        assert there.asked() == ["first-0", "a", "d"]


async def test_a_body_that_has_not_come_is_not_waited_for() -> None:
    async with full(PILLION_OVERLOAD_MAX_QUEUE="0") as there, client(there.gateway) as one:
        length = [("content-type", "application/json"), ("content-length", str(32 * 1024 * 1024))]
        await one.send(spell("POST", OPENAI.path, headers=length))
        got = await one.answer()
        assert (got.status, got.header("connection")) == (503, "close")


async def test_who_shows_no_key_gets_no_place() -> None:
    async with full(PILLION_CLIENT_KEY=KEY, PILLION_OVERLOAD_MAX_QUEUE="1") as there:
        body = OPENAI.request(model="openai/m")
        for _ in range(3):
            assert (await chat(there.gateway, OPENAI, body)).status == 401
            assert (await chat(there.gateway, OPENAI, body, [("authorization", "Bearer wrong")])).status == 401
        assert there.overload.queued == 0


async def test_ten_times_as_many_at_once_are_told_so_each_of_them() -> None:
    async with full(places=2, PILLION_OVERLOAD_MAX_QUEUE="2") as there, waiting(there, "a", "b"):
        for _ in range(2):
            asking = (chat(there.gateway, OPENAI, OPENAI.request(model="openai/m")) for _ in range(40))
            got = await asyncio.gather(*asking)
            assert {(each.status, each.header("retry-after"), each.whole) for each in got} == {(503, "1", True)}
        assert sorted(there.asked()) == ["first-0", "first-1"]
        for one in there.busy:
            one.leave("rst")
        await there.evil.received(4)
        assert sorted(there.asked()[2:]) == ["a", "b"]


async def test_openais_own_sdk_knows_what_it_was_told() -> None:
    async with full(PILLION_OVERLOAD_MAX_QUEUE="0") as there:
        sdk = openai.AsyncOpenAI(base_url=f"{there.gateway.url}/v1", api_key="unused", max_retries=0)
        async with sdk:
            with pytest.raises(openai.InternalServerError, match="pillion is at its limit of") as caught:
                await sdk.chat.completions.create(model="echo/text", messages=[])
    assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
    assert caught.value.response.headers["retry-after"] == "1"


async def test_without_a_limit_it_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Overload, "__call__")
    async with pillion() as gateway:
        assert (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"))).status == 200
        assert "\npillion_requests_limit " not in (await ask(gateway, "GET", "/metrics")).body.decode()


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "limit"),
    [(None, 100), (7, 7), (100, 100), (101, 100)],
)
def test_the_operator_may_allow_fewer_connections_than_the_descriptors_do(
    most: int | None, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room(OURS + SPARE + 200)
    room.allow(most)
    assert room.limit == limit
    told = "max_connections is 101, but 264 file descriptors allow only 100 (ulimit -n)"
    assert caplog.messages == ([told] if most == 101 else [])


@pytest.mark.parametrize(("most", "is_told"), [(None, True), (7, False)])
def test_descriptors_that_allow_hardly_any_connections_are_told_of(
    most: int | None, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    Room(OURS + SPARE + 2 * FEW).allow(None)
    assert not caplog.messages
    Room(OURS + SPARE + 2 * FEW - 2).allow(most)
    told = "190 file descriptors (ulimit -n) allow only 63 connections from clients"
    assert caplog.messages == ([told] if is_told else [])


@pytest.mark.parametrize(("limit", "told"), [(5000, 5000), (resource.RLIM_INFINITY, MANY)])
def test_descriptors_without_a_limit_are_many(limit: int, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, limit))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert descriptors() == told


def test_who_waits_to_be_accepted_is_let_in_where_more_are_allowed() -> None:
    room, called = Room(), []
    room.allow(1)
    room.coming = 1 + SPARE
    room.make_way(lambda: called.append(1))
    room.allow(2)
    assert called == [1]


async def test_one_connection_too_many_is_told_so_and_probes_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with full(PILLION_OVERLOAD_MAX_CONNECTIONS="1") as there:
        got = await chat(there.gateway, OPENAI, OPENAI.request(model="echo/text"))
        assert (got.status, got.header("retry-after"), got.header("connection")) == (503, "1", "close")
        assert OPENAI.error(got.body)["code"] == "too_many_connections"
        assert (await ask(there.gateway, "GET", "/liveness")).status == 200
        assert "\npillion_client_connections_limit 1.0\n" in (
            (await ask(there.gateway, "GET", "/metrics")).body.decode()
        )
    (told,) = [message for message in caplog.messages if message.startswith("clients have")]
    assert told.startswith(
        "clients have 1 connection, the most that max_connections allows: new ones take the place of idle ones"
    )
