"""What do connections cost that are held, in time and memory, and how soon are those let go of that nobody uses?

    python tests/bench/holding.py [C1 C2 C3]

C1: how late the events of a thousand live streams come, at one a second from each, over TLS. C2: five hundred live
streams, an event a second from each, whose provider speaks TLS or does not. C3: a thousand clients that ask once and
then no more, with a `client.keep_alive` of ten seconds in place of 75; and what others notice of them. Each figure
stands beside its bar, and the exit code is that of figures.py.
"""

import asyncio
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

import uvloop

from proxy.edge.address import Address
from tests.bench.figures import Figure, Rows, beside, knocking, tell
from tests.bench.outages import LONG, at, p99
from tests.bench.parties import PATIENCE, Pillion, Provider, pillion
from tests.bench.traffic import NotMeasured
from tests.client import OPENAI, client, spell
from tests.evil import Evil
from tests.test_paced import Heard, answer, delays, listen, pieces

KIB = 1024  # of them in a MiB, which is what Server tells
FIRST = 50  # that come and go before, so that what is made once is there

# --- C1: how late events come ----------------------------------------------------------------------------------------

PACED, EVENTS, PACE = 1000, 60, 1.0  # streams, events of each, seconds between two
APART = 0.0101  # seconds between two beginnings, so that their events come at all times of a second


def c1(folder: Path) -> Iterator[Figure]:
    yield from uvloop.run(paced(folder))


async def paced(folder: Path) -> list[Figure]:
    """Provider and readers share this process and its clock, so what they make each other wait for counts as late."""
    async with Evil(answering=lambda request: answer(request, EVENTS, PACE), tls=True) as evil:
        environ = {"PILLION_OPENAI_CA": str(evil.ca_pem), "PILLION_HEALTH_INTERVAL": "0"}  # a check is no stream
        with pillion(folder, evil.url, environ) as gateway:
            asked = [begun(at(gateway), number) for number in range(PACED)]
            ended = await asyncio.gather(*asked, return_exceptions=True)
        whole = [one for number, one in enumerate(ended) if isinstance(one, Heard) and one.digest == due(number)]
        late = [1000 * seconds for seconds in delays(evil, whole)]
    if not late:
        raise NotMeasured("no stream was given whole")
    return [
        Figure("C1", f"{PACED} live streams over TLS: not given whole, every byte in order", PACED - len(whole), 0, ""),
        Figure("C1", f"how late each of {len(late)} events came: p99", p99(late), 50, "ms"),
    ]


def due(number: int) -> str:
    """The digest of a whole stream."""
    return sha256(b"".join(pieces(number, EVENTS))).hexdigest()


async def begun(where: Address, number: int) -> Heard:
    await asyncio.sleep(number * APART)
    return await listen(where, number)


# --- C2: live streams ------------------------------------------------------------------------------------------------

STREAMS, LOOKS = 500, 5  # a second apart
ASKED = spell("POST", OPENAI.path, OPENAI.request(True, "openai/m"))


def c2(folder: Path) -> Iterator[Figure]:
    for tls, bar in ((True, 150.0), (False, 60.0)):
        each = uvloop.run(streamed(folder, tls))
        yield Figure("C2", f"{STREAMS} live streams{' over TLS' if tls else ''}: memory of each", each, bar, "KiB")


async def streamed(folder: Path, tls: bool) -> float:
    async with Evil(answering=lambda _: LONG, tls=tls) as evil:
        with pillion(folder, evil.url, {"PILLION_OPENAI_CA": str(evil.ca_pem)} if tls else {}) as gateway:
            await resident(gateway, FIRST)
            before = gateway.server.rss()
            return KIB * (await resident(gateway, STREAMS) - before) / STREAMS


async def resident(gateway: Pillion, count: int) -> float:
    """The most MiB, at any look, while so many are live."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            one = await stack.enter_async_context(client(at(gateway)))
            await one.send(ASKED)
            await one.until("ü".encode())
        most = 0.0
        for _ in range(LOOKS):
            await asyncio.sleep(1)
            most = max(most, gateway.server.rss())
        return most


# --- C3: clients that ask no more ------------------------------------------------------------------------------------

IDLE, KEPT = 1000, 10.0  # seconds
ONCE = spell("POST", OPENAI.path, OPENAI.request(model="echo/text"))


def c3(folder: Path) -> Iterator[Figure]:
    with ExitStack() as both:
        environ = {"PILLION_CLIENT_KEEP_ALIVE": str(KEPT)}
        gateway, at_peace = (both.enter_context(pillion(folder, Provider().url, environ)) for _ in range(2))
        with ExitStack() as stack:
            asked(stack, gateway, FIRST)
            beside(gateway, at_peace)
        before = gateway.server.rss()
        with ExitStack() as stack:
            idle = asked(stack, gateway, IDLE)
            each = KIB * (gateway.server.rss() - before) / IDLE
            share = 100 * beside(gateway, at_peace)
            off = let_go(idle)
        yield Figure("C3", f"{IDLE} clients that ask no more: memory of each", each, 20, "KiB")
        yield Figure("C3", "meanwhile others' p99, of what it is without them", share, 110, "%")
        yield Figure("C3", f"closed sooner or later than after {KEPT:g} s, by at most", off, 5, "s")


def asked(stack: ExitStack, gateway: Pillion, count: int) -> Mapping[socket.socket, float]:
    """So many connections on which a question was answered, and when."""
    idle = {}
    for sock in knocking(stack, gateway.server.port, ONCE, count):
        if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
            raise NotMeasured("a client that asks once got no answer")
        idle[sock] = time.perf_counter()
    return idle


def let_go(idle: Mapping[socket.socket, float]) -> float:
    """Seconds by which the time was missed the most, of all."""
    since, off = {sock.fileno(): began for sock, began in idle.items()}, 0.0
    with select.epoll() as poll:
        for number in since:
            poll.register(number, select.EPOLLIN)
        while since:
            if not (closed := poll.poll(PATIENCE)):
                raise NotMeasured(f"{len(since)} clients that ask no more are still there")
            for number, _ in closed:
                poll.unregister(number)
                off = max(off, abs(time.perf_counter() - since.pop(number) - KEPT))
    return off


ROWS: Rows = {"C1": c1, "C2": c2, "C3": c3}


if __name__ == "__main__":
    sys.exit(tell(__doc__ or "", ROWS))
