"""Is a provider let go of at once when the client leaves, whatever it was about?

Over TLS and uvloop, where a polite close would read on for up to thirty seconds what the provider goes on generating.
Figures D1 (what it takes in time is told by tests/bench/figures.py) and B1. Of D1's phases one does not exist: no call
ever waits for a connection of the pool, since there is no limit to them. B1's readers are as many as column C has.
"""

import asyncio
import contextlib
import fcntl
import random
import socket
import sqlite3
import struct
import termios
from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from proxy.edge.door import Door
from proxy.edge.exchange import Exchange
from proxy.edge.kernel import WATCHED
from proxy.edge.wire import Wire
from proxy.store import ESTIMATED
from tests import laws
from tests.client import ANTHROPIC, LANES, OPENAI, Client, Speech, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.test_drain import half
from tests.waiting import PATIENCE, soon

SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]
PAUSE = 2 * PATIENCE  # seconds for which a provider asks before it is asked again
BUSY = Scenario(
    status=429,
    body=b'{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":null}}',
    headers=[*JSON, ("Retry-After", f"{PAUSE:g}")],
)
BOTH_WAYS = pytest.mark.parametrize("how", ["fin", "rst"])


@asynccontextmanager
async def reached(evil: Evil, provider: Speech, **more: str) -> Any:
    """A pillion that trusts the evil one."""
    ca = {f"PILLION_{provider.provider.upper()}_CA": str(evil.ca_pem)} if evil.tls else {}
    async with pillion(**provider.environ(evil.url), **ca, **more) as gateway:
        yield gateway


async def ask(one: Client, speech: Speech, provider: Speech, stream: bool = True) -> None:
    body = speech.request(stream, f"{provider.provider}/m")
    await one.send(spell("POST", speech.path, body, speech.headers))


async def let_go(evil: Evil, gateway: Gateway) -> None:
    """Until the connection to the provider is closed, by an abort: a close_notify would have us wait for theirs."""
    await evil.closed()
    await soon(lambda: gateway.app.upstream.in_use == 0)
    assert gateway.app.upstream.pooled == 0
    assert [one._tls.left for one in evil._connections if one._tls] == [False] * evil.connections


# Phase: what the provider does, and is a stream asked for?
PHASES = {
    "before the head": (Scenario(cut_at=0, cut_of="wire", how="stall"), True),
    "in the head": (Scenario(headers=SSE, cut_at=30, cut_of="wire", how="stall"), True),
    "before the first token": (
        Scenario(body=b": wait\n\n" * 9, headers=SSE, framing="chunked", cut_at=20, how="stall"), True,
    ),
    "before the head of a whole answer": (Scenario(cut_at=0, cut_of="wire", how="stall"), False),
    "in a whole answer": (Scenario(body=b'{"a":"bcdef"}', headers=JSON, cut_at=5, how="stall"), False),
}  # fmt: skip


@BOTH_WAYS
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_a_client_that_leaves_a_silent_provider(speech: Speech, provider: Speech, phase: str, how: Any) -> None:
    scenario, stream = PHASES[phase]
    async with (
        Evil(scenario, tls=True) as evil,
        reached(evil, provider) as gateway,
        client(gateway) as one,
    ):
        await ask(one, speech, provider, stream)
        await evil.pushed_all()
        one.leave(how)
        await let_go(evil, gateway)


@BOTH_WAYS
async def test_a_client_that_leaves_in_the_middle_of_a_count(how: Any) -> None:
    stalls = Scenario(body=b'{"input_tokens": 11}', headers=JSON, cut_at=5, how="stall")
    async with Evil(stalls, tls=True) as evil, reached(evil, ANTHROPIC) as gateway, client(gateway) as one:
        body = ANTHROPIC.request(model="anthropic/m")
        await one.send(spell("POST", "/v1/messages/count_tokens", body, ANTHROPIC.headers))
        await evil.pushed_all()
        one.leave(how)
        await let_go(evil, gateway)


@BOTH_WAYS
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_a_client_that_leaves_in_the_middle_of_a_stream(speech: Speech, provider: Speech, how: Any) -> None:
    async with Evil(half(provider), tls=True) as evil, reached(evil, provider) as gateway, client(gateway) as one:
        await ask(one, speech, provider)
        await one.head()
        await one.until("ü".encode())
        one.leave(how)
        await let_go(evil, gateway)


BUDGET = "budgets: {all: {usd: 9, window: day, unbounded_usd: 1}}\nledger: {create: true}\n"
TURNS = 12  # of the loop, from when it hears that a client has left


@BOTH_WAYS
@pytest.mark.parametrize("phase", [*PHASES, "in the middle of a stream"])
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_what_was_set_aside_is_back_at_once(
    speech: Speech, provider: Speech, phase: str, how: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2, by the turns of the loop: no timer runs, and nothing else is waited for."""
    gone, lost = asyncio.Event(), Door.connection_lost

    def hear(door: Door, exc: BaseException | None) -> None:
        lost(door, exc)
        gone.set()

    monkeypatch.setattr(Door, "connection_lost", hear)
    scenario, stream = PHASES.get(phase) or (half(provider), True)
    more = {**config_file(BUDGET, tmp_path), "PILLION_OVERLOAD_MAX_REQUESTS": "1"}
    async with Evil(scenario, tls=True) as evil, reached(evil, provider, **more) as gateway, client(gateway) as one:
        budgets, lasting = gateway.app.accounting.budgets, gateway.app.lasting
        await ask(one, speech, provider, stream)
        await evil.pushed_all()
        if phase not in PHASES:
            await one.until("ü".encode())
        assert [row.reserved for row in budgets.statements()] != [0]
        one.leave(how)
        await gone.wait()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert [row.reserved for row in budgets.statements()] == [0]
        assert (len(lasting.active), lasting.overload.under_way) == (0, 0)


@BOTH_WAYS
async def test_a_client_that_leaves_during_the_tls_handshake(how: Any) -> None:
    async with (
        Evil(tls=True, welcome="stall") as evil,
        reached(evil, OPENAI) as gateway,
        client(gateway) as one,
    ):
        await ask(one, OPENAI, OPENAI)
        await evil.connected()
        one.leave(how)
        await evil.closed()
        await soon(lambda: gateway.app.upstream.in_use == 0)


@contextmanager
def full() -> Iterator[str]:
    """The URL of a listener whose queue is full: who knocks there gets no answer at all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@BOTH_WAYS
async def test_a_client_that_leaves_during_the_connect(how: Any) -> None:
    with full() as url:
        async with pillion(**OPENAI.environ(url)) as gateway, client(gateway) as one:
            await ask(one, OPENAI, OPENAI)
            await soon(lambda: gateway.app.upstream.in_use == 1)
            one.leave(how)
            await soon(lambda: gateway.app.upstream.in_use == 0)


@BOTH_WAYS
async def test_a_client_that_leaves_during_its_own_upload_never_reaches_the_provider(how: Any) -> None:
    async with Evil(tls=True) as evil, reached(evil, OPENAI) as gateway, client(gateway) as one:
        request = spell("POST", OPENAI.path, OPENAI.request(model="gpt"))
        await one.send(request[:-5])
        await soon(lambda: any(door.busy for door in gateway.app.server._doors))
        one.leave(how)
        await soon(lambda: not gateway.app.server._doors)
        assert evil.connections == 0


@BOTH_WAYS
async def test_a_client_that_leaves_while_the_provider_does_not_read(how: Any) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with pillion(**OPENAI.environ(url)) as gateway, client(gateway) as one:
            body = OPENAI.request(model="gpt", padding="x" * 16_000_000)
            await one.send(spell("POST", OPENAI.path, body))
            there, _ = await loop.sock_accept(listener)
            with there:
                await soon(lambda: gateway.app.upstream.in_use == 1)
                one.leave(how)
                await soon(lambda: gateway.app.upstream.in_use == 0)
                read = 0
                with contextlib.suppress(ConnectionError):
                    while some := await loop.sock_recv(there, 1_000_000):
                        read += len(some)
        assert read < len(body)  # the rest was thrown away, and not sent to a provider that nobody listens to


@BOTH_WAYS
async def test_a_client_that_leaves_in_the_pause_before_a_retry_has_nothing_asked_again(how: Any) -> None:
    """Of D1's phases the retry back-off. The pause is longer than this test would wait for its end."""
    patient = {"PILLION_RETRY_MAX_RETRIES": "2", "PILLION_RETRY_MAX_DELAY": str(2 * PAUSE)}
    async with Evil(BUSY, tls=True) as evil, reached(evil, OPENAI, **patient) as gateway, client(gateway) as one:
        await ask(one, OPENAI, OPENAI)
        await evil.pushed_all()
        await soon(lambda: gateway.app.upstream.in_use == 0)
        assert len(gateway.app.lasting.active) == 1  # it waits
        one.leave(how)
        await soon(lambda: not gateway.app.lasting.active and not gateway.app.server._doors)
        assert {standing.latency.in_flight for standing in gateway.app.lasting.standings} == {0}
    assert (len(evil.requests), evil.connections) == (1, 1)


# --- many at once ----------------------------------------------------------------------------------------------------

ABORTS = 200
STALL = 0.3  # seconds in which a client that reads nothing is cut
READERS = 50
HELD = 256 * 1024  # bytes of one stream that may wait in our own memory
TAKEN = 1024 * 1024  # bytes of one that we may take out of the kernel on the provider's side
PUSHED = 4 * 1024 * 1024  # bytes that a provider may get rid of for each, the kernel's among them


async def test_two_hundred_that_leave_at_random_leave_nothing_behind() -> None:
    """In whichever phase each of them is by then: of its upload, of the handshake, or of the answer."""
    ways: list[Literal["fin", "rst"]] = ["fin", "rst"]
    dice = random.Random(7)
    plays = [scenario for scenario, _ in PHASES.values()] + [half(ANTHROPIC)] * 3
    async with (
        Evil(answering=lambda _: dice.choice(plays), tls=True) as evil,
        reached(evil, ANTHROPIC) as gateway,
        AsyncExitStack() as stack,
    ):
        ones = [await stack.enter_async_context(client(gateway)) for _ in range(ABORTS)]
        for number, one in enumerate(ones):
            request = spell("POST", ANTHROPIC.path, ANTHROPIC.request(number % 3 != 0, "anthropic/m"))
            await one.send(request[: -dice.randrange(1, 40)] if number % 4 == 0 else request)
            if number % 2:
                ones[number // 2].leave(dice.choice(ways))
        await evil.received(ABORTS // 4)
        for one in dice.sample(ones[ABORTS // 2 :], ABORTS // 2):
            one.leave(dice.choice(ways))
            await asyncio.sleep(0)
        await soon(lambda: not gateway.app.server._doors)
        await soon(lambda: gateway.app.upstream.in_use == 0)
        await soon(lambda: len(evil.closings) == evil.connections)
        assert gateway.app.upstream.pooled == 0


async def still(evil: Evil) -> None:
    """Until no provider has got rid of a byte for a while."""
    pushed = -1
    while pushed != (now := sum(answer.pushed for answer in evil.answers)):
        pushed = now
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("size", "speech"),
    [
        *((size, OPENAI) for size in (1, 1_000, 200_000)),
        *((size, ANTHROPIC) for size in (1_000, 200_000)),  # of the smallest, many are translated into one
    ],
    ids=lambda value: value.provider if isinstance(value, Speech) else None,
)
async def test_readers_that_do_not_read_fill_no_memory_of_ours(size: int, speech: Speech) -> None:
    """But for one event, which is kept together however long it is."""
    event = b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    event %= b"x" * size
    long = Scenario(body=event * (2 * PUSHED // len(event)), headers=SSE, framing="chunked")
    async with Evil(answering=lambda _: long, tls=True) as evil, reached(evil, OPENAI) as gateway:
        for sock in evil._server.sockets:  # what has left it is to be with us, and not in its own kernel
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        async with AsyncExitStack() as stack:
            for _ in range(READERS):
                one = await stack.enter_async_context(client(gateway, receive_buffer=4096))
                await ask(one, speech, OPENAI)
                await one.head()
            await still(evil)
            assert [answer.state for answer in evil.answers] == ["going"] * READERS
            most = max(answer.pushed for answer in evil.answers)
            assert most <= PUSHED
            told = f"that a provider gets rid of for one that does not read, {size:,} bytes an event, {speech.name}"
            laws.measured[told] = f"{most / 1024**2:.1f} MiB"
            assert sum(answer.pushed for answer in evil.answers) - sum(unread(gateway)) <= TAKEN * READERS
            assert max(held(gateway)) <= HELD + len(event)
            assert not any(undecrypted(gateway))
        await soon(lambda: gateway.app.upstream.in_use == 0)


def wires(gateway: Gateway) -> list[Wire]:
    return [wire for wire in gateway.app.upstream._connector._acquired if isinstance(wire, Wire)]


def unread(gateway: Gateway) -> list[int]:
    """Bytes of each stream that wait in the kernel until we take them (net.ipv4.tcp_rmem)."""
    socks = [wire.transport.get_extra_info("socket") for wire in wires(gateway) if wire.transport]
    return [struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))[0] for sock in socks]


def undecrypted(gateway: Gateway) -> list[int]:
    """Bytes of each stream that TLS has taken out of the kernel, and keeps until we read."""
    return [cast(Any, wire.transport).get_read_buffer_size() for wire in wires(gateway) if wire.transport]


def held(gateway: Gateway) -> list[int]:
    """Bytes of each stream that came and are not gone: on the provider's side, and on the client's."""
    came = sorted(wire.exchange._held for wire in wires(gateway) if isinstance(wire.exchange, Exchange))
    gone = sorted(door.transport.get_write_buffer_size() for door in gateway.app.server._doors if door.transport)
    return [one + other for one, other in zip(came, gone, strict=True)]


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lane_name)
async def test_a_client_that_stops_reading_is_cut_and_booked_so(speech: Speech, tmp_path: Path) -> None:
    """B2: its provider is let go of as well, and what it was sent until then is paid for."""
    event = b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    event %= b"word " * 2000
    long = Scenario(body=event * (4 * PUSHED // len(event)), headers=SSE, framing="chunked")
    kept = config_file("ledger: {create: true}\nprices: {openai/m: {input: 1, output: 3}}\n", tmp_path)
    async with (
        Evil(long, tls=True) as evil,
        reached(evil, OPENAI, **kept, PILLION_CLIENT_WRITE_STALL=str(STALL)) as gateway,
        client(gateway, receive_buffer=4096) as one,
    ):
        began = asyncio.get_running_loop().time()
        await ask(one, speech, OPENAI)
        await one.head()
        await let_go(evil, gateway)
        assert asyncio.get_running_loop().time() - began >= STALL
        await soon(lambda: not gateway.app.server._doors and gateway.app.accounting.ledger.pending == 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as database:
        rows = database.execute("SELECT error, flags, output, nanos > 0 FROM attempts").fetchall()
    assert len(rows) == 1
    error, flags, output, was_paid = rows[0]
    assert (error, bool(flags & ESTIMATED), was_paid) == ("client_stalled", True, True)
    assert output >= 2000


@pytest.mark.parametrize(("stall", "watched"), [("1", 60_000), ("60", 80_000), ("100", 130_000)])
async def test_the_kernel_watches_for_a_client_that_vanishes(stall: str, watched: int) -> None:
    """B4: it sends no FIN, and a stream that says little fills no buffer whose stalling would tell."""
    async with pillion(PILLION_CLIENT_WRITE_STALL=stall) as gateway, client(gateway) as one:
        await one.send(spell("POST", OPENAI.path, OPENAI.request(True, "echo/text+stall-2")))
        await soon(lambda: len(gateway.app.server._doors) == 1)
        (door,) = gateway.app.server._doors
        assert door.transport is not None
        there = door.transport.get_extra_info("socket")
        assert there.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = {name: there.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in WATCHED}
        assert options == WATCHED | {"TCP_USER_TIMEOUT": watched}
        server = gateway.app.server
        server.become([], server.patience._replace(write_stall=200.0), 1, [])  # as a reload has it
        async with client(gateway):
            await soon(lambda: len(server._doors) == 2)
            (other,) = server._doors - {door}
            assert other.transport is not None
            later = other.transport.get_extra_info("socket")
            assert later.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 255_000
