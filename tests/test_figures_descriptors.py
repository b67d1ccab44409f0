"""Does pillion stand, and answer, while there are more clients than it has descriptors for?

Figure C4: 256 descriptors and 1,000 clients. tests/bench/figures.py tells what CPU it takes meanwhile, and how soon it
has recovered.
"""

import asyncio
import json
import os
import resource
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest

from proxy.edge import listening
from proxy.edge import room as room_
from proxy.edge.address import Address
from proxy.edge.room import OURS, SPARE, Room, descriptors
from proxy.errors import GatewayError
from tests.client import OPENAI, SPEECHES, Client, Place, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil
from tests.gateway import Gateway, pillion
from tests.test_cli import environ
from tests.test_drain import half
from tests.waiting import soon

NOFILE = 256
CLIENTS = 1000
LIMIT = (NOFILE - OURS - SPARE) // 2
LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({NOFILE // 2}, {NOFILE}))
from proxy.cli import main
sys.exit(main(["serve"]))
"""

# --- a process of which there are more clients than descriptors -----------------------------------------------------


@dataclass
class Limited:
    pid: int
    at: Address
    cluster: Address
    complaints: asyncio.StreamReader

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def metric(self, name: str) -> float:
        got = await ask(self.cluster, "GET", "/metrics")
        return next(float(line.split()[1]) for line in got.body.decode().splitlines() if line.startswith(f"{name} "))

    async def warnings(self) -> list[dict[str, str]]:
        """Of its log, so far."""
        os.kill(self.pid, signal.SIGTERM)
        lines = [json.loads(line) for line in (await self.complaints.read()).splitlines()]
        return [line for line in lines if line["level"] == "warning"]


@asynccontextmanager
async def limited(**more: str) -> AsyncIterator[Limited]:
    """A pillion that may have NOFILE descriptors, and begins with half as many."""
    environment = environ(PILLION_METRICS_ADDRESS="127.0.0.1:0", PILLION_LOG_FORMAT="json", **more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIMITED, env=environment, stdout=PIPE, stderr=PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            started = json.loads(await process.stderr.readline())
        at, cluster = (Address("127.0.0.1", int(started[name].rpartition(":")[2])) for name in ("listen", "metrics"))
        yield Limited(process.pid, at, cluster, process.stderr)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(at: Place) -> bool:
    return (await ask(at, "GET", "/readiness")).status == 200


async def test_a_thousand_clients_that_say_nothing_keep_nobody_out() -> None:
    async with limited() as gateway, AsyncExitStack() as stack:
        for _ in range(CLIENTS):
            await stack.enter_async_context(client(gateway.at))
        assert await ready(gateway.at)
        assert await ready(gateway.cluster)
        assert (await chat(gateway.at, OPENAI, OPENAI.request(model="echo/text"))).status == 200
        assert gateway.descriptors() <= NOFILE - LIMIT  # as many are left for providers
        assert await gateway.metric("pillion_client_connections_turned_away_total") >= CLIENTS - LIMIT - SPARE


async def test_of_a_thousand_streams_some_are_served_and_the_others_told_to_come_again() -> None:
    async with Evil(answering=lambda _: half(OPENAI)) as evil, limited(**OPENAI.environ(evil.url)) as gateway:
        async with AsyncExitStack() as stack:
            ones = [await asking(gateway.at, stack) for _ in range(CLIENTS)]
            heads = await asyncio.gather(*(one.head() for one in ones))
            assert sorted(status for status, _ in heads) == [200] * LIMIT + [503] * (CLIENTS - LIMIT)
            told = [{name.lower(): value for name, value in headers} for status, headers in heads if status == 503]
            assert {(each["retry-after"], each["connection"]) for each in told} == {("1", "close")}
            assert await ready(gateway.at)
            assert await ready(gateway.cluster)
            assert gateway.descriptors() <= NOFILE
            assert await gateway.metric("pillion_client_connections_limit") == LIMIT
            assert await gateway.metric("pillion_client_connections_turned_away_total") == CLIENTS - LIMIT
        await served_again(gateway)
        assert [line["event"] for line in await gateway.warnings()] == ["crowded"]


async def asking(at: Place, stack: AsyncExitStack) -> Client:
    """Somebody who comes, and asks for a stream at once."""
    one = await stack.enter_async_context(client(at))
    await one.send(spell("POST", OPENAI.path, OPENAI.request(stream=True, model="gpt")))
    return one


async def served_again(gateway: Limited) -> None:
    """Everybody has left; it takes pillion a moment to see it."""

    async def is_served() -> bool:
        return (await chat(gateway.at, OPENAI, OPENAI.request(model="echo/text"))).status == 200

    await soon(is_served)


# --- who goes, and who stays ----------------------------------------------------------------------------------------


@asynccontextmanager
async def narrow(limit: int, **environ: str) -> AsyncIterator[Gateway]:
    """A pillion with room for so many."""
    async with pillion(**environ) as gateway:
        gateway.app.room.limit = limit
        yield gateway


async def served(one: Client, path: str = "/v1/models") -> int:
    await one.send(spell("GET", path))
    return (await one.answer()).status


async def streaming(one: Client) -> None:
    """From now on it is busy."""
    await one.send(spell("POST", OPENAI.path, OPENAI.request(True, "gpt")))
    assert (await one.head())[0] == 200


@asynccontextmanager
async def crowded(limit: int = 1) -> AsyncIterator[tuple[Gateway, list[Client]]]:
    """As many clients as there is room for, and all of them busy."""
    async with (
        Evil(answering=lambda _: half(OPENAI)) as evil,
        narrow(limit, **OPENAI.environ(evil.url)) as gateway,
        AsyncExitStack() as stack,
    ):
        busy = [await stack.enter_async_context(client(gateway)) for _ in range(limit)]
        for one in busy:
            await streaming(one)
        yield gateway, busy


async def test_who_has_been_idle_for_longest_goes_in_good_order() -> None:
    async with narrow(2) as gateway, client(gateway) as first, client(gateway) as second:
        for one in (first, second, first):
            assert await served(one) == 200
            await later()
        async with client(gateway) as third:
            assert await served(third) == 200
            assert await second.some() == b""  # an end, and no reset
            assert [await served(one) for one in (first, third)] == [200] * 2
        assert gateway.app.room.turned_away == 1


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_who_is_being_answered_stays_and_who_comes_is_refused_on_his_own_wire(speech: Speech) -> None:
    async with crowded() as (gateway, busy), client(gateway) as late:
        await late.send(spell("POST", speech.path, speech.request(model="echo/text"), speech.headers))
        got = await late.answer()
        assert (got.status, got.header("retry-after"), got.header("connection")) == (503, "1", "close")
        assert "no room" in speech.error(got.body)["message"]
        assert await late.rest() == b""
        assert await busy[0].some()


@pytest.mark.parametrize("path", ["/liveness", "/readiness", "/startup", "/metrics"])
async def test_a_probe_is_answered_however_many_there_are(path: str) -> None:
    async with crowded() as (gateway, _):
        assert (await ask(gateway, "GET", path)).status == 200
        assert (await ask(gateway, "GET", "/v1/models")).status == 503


async def test_who_came_late_is_served_once_there_is_room() -> None:
    async with crowded() as (gateway, busy), client(gateway) as late:
        assert await served(late, "/liveness") == 200
        busy[0].leave("fin")
        await soon(lambda: gateway.app.server.connections == 1)
        assert [await served(late) for _ in range(2)] == [200] * 2


async def test_who_was_there_before_is_served_though_others_came_late() -> None:
    async with crowded() as (gateway, _), client(gateway) as late:
        assert await served(late, "/liveness") == 200
        room = gateway.app.room
        (first,) = room._inside - room.late
        for _ in range(2):
            room.check(first)
        assert len(room.late) == 1
        with pytest.raises(GatewayError, match="no room"):
            room.check(next(iter(room.late)))


async def later() -> None:
    """Until the loop's clock, which counts milliseconds, shows another time."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    await soon(lambda: loop.time() > now)


@dataclass(eq=False)
class Somebody:
    idle_since: float
    speaks: bool = False
    busy: bool = False
    is_aborted: bool = False

    def abort(self) -> None:
        self.is_aborted = True


def test_who_has_asked_and_was_not_heard_yet_is_not_sent_away() -> None:
    room = Room(OURS + SPARE + 4)
    silent, speaking = Somebody(2), Somebody(1, speaks=True)
    for each in (silent, speaking, Somebody(3)):
        room.came(each)
    assert (silent.is_aborted, speaking.is_aborted) == (True, False)


async def test_what_a_client_has_said_shows_before_it_is_read() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await soon(lambda: gateway.app.server.connections == 1)
        (door,) = gateway.app.server._doors
        assert not door.speaks
        door.hold()
        await one.send(b"GET")
        await soon(lambda: door.speaks)
        door.read_on()
        await soon(lambda: not door.speaks)


async def test_who_would_be_one_too_many_waits_to_be_accepted_and_nothing_turns_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room_, "SPARE", 1)
    looks = counted(monkeypatch)
    async with crowded(limit=2) as (gateway, busy):
        gateway.app.room.limit = 1
        before = len(looks)
        async with client(gateway) as waiting:
            await waiting.send(spell("GET", "/liveness"))
            await soon(lambda: len(looks) > before)
            for _ in range(50):
                await asyncio.sleep(0)
            assert (len(looks) - before, gateway.app.server.connections) == (1, 2)
            busy[0].leave("fin")
            assert (await waiting.answer()).status == 200


def counted(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Where a listener has looked who is there, time after time."""
    looks: list[socket.socket] = []
    accept = listening.Listener._accept

    def look(listener: listening.Listener, sock: socket.socket) -> None:
        looks.append(sock)
        accept(listener, sock)

    monkeypatch.setattr(listening.Listener, "_accept", look)
    return looks


async def test_without_a_descriptor_it_waits_and_goes_on_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = counted(monkeypatch)
    async with pillion() as gateway, client(gateway) as one:
        assert await served(one) == 200
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex((gateway.host, gateway.port))
            before = len(looks)
            with no_descriptors():
                await soon(lambda: len(looks) > before)
                for _ in range(50):
                    await asyncio.sleep(0)
                assert len(looks) - before == 1
                assert await served(one) == 200
            await soon(lambda: gateway.app.server.connections == 2)


@contextmanager
def no_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_all_listeners_share_one_room() -> None:
    apart = {"PILLION_METRICS_ADDRESS": "127.0.0.1:0", "PILLION_ADMIN_ADDRESS": "127.0.0.1:0"}
    async with narrow(1, **apart) as gateway, AsyncExitStack() as stack:
        for where in gateway.app.addresses:
            one = await stack.enter_async_context(client(where))
            assert await served(one, "/liveness") == 200
        assert gateway.app.room.turned_away == 2


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
    try:
        assert descriptors() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
