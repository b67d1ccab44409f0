"""What does an outage, a reload, a restart or ten times the load come to, in seconds, for those who ask meanwhile?

    python tests/bench/outages.py [U12 O1 R3 K1 R4]

U12: how soon another target answers where the first is dead, black-holed or silent. O1: what is served at ten times
the load, and how soon the others are refused. R3: a hundred reloads under a thousand live streams. K1: keys that are
changed under them. R4: a hundred restarts with a socket that is handed over, at five hundred requests a second. Each
figure stands beside its bar, and the exit code is that of figures.py.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

import uvloop

from proxy.edge.address import Address
from tests import client as clients
from tests.bench.figures import Figure, Rows, tell
from tests.bench.parties import Pillion, Probing, pillion
from tests.bench.traffic import NotMeasured
from tests.client import OPENAI, Client, ask, client, spell
from tests.evil import Evil, Received, Scenario
from tests.nowhere import refusing
from tests.test_cancel import full
from tests.test_handover import bound, event, place, started
from tests.test_serving import code
from tests.waiting import soon

RELOADED = "pillion_config_last_reload_success_timestamp_seconds"
JSON = [("Content-Type", "application/json")]
SSE = [("Content-Type", "text/event-stream")]
ANSWER = Scenario(body=OPENAI.whole, headers=JSON)
clients.PATIENCE = 300.0  # seconds; an answer may be meant to take long here
MUTE = Scenario(cut_at=0, cut_of="wire", how="stall")


def at(gateway: Pillion) -> Address:
    return Address("127.0.0.1", gateway.server.port)


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98] if len(values) > 1 else values[0]


def configured(folder: Path, **settings: Any) -> dict[str, str]:
    """The environment of a pillion with this file."""
    file = folder / "config.yaml"
    file.write_text(json.dumps(settings))
    return {"PILLION_CONFIG": str(file), "PILLION_STATE_DIR": str(folder / "state"), "PILLION_RELOAD": "false"}


# --- U12: the first target is gone -----------------------------------------------------------------------------------

CONNECT, FIRST_WORD = 2.0, 1.0  # seconds; as in the row's own timers
LATE = 0.1  # seconds that failing over itself may take


def u12(folder: Path) -> Iterator[Figure]:
    yield from uvloop.run(outages(folder))


async def outages(folder: Path) -> list[Figure]:
    async with Evil(answering=lambda _: ANSWER) as well, Evil(answering=lambda _: MUTE) as mute, refusing() as dead:
        with full() as hole:
            rows = [("dead", dead, 2.0), ("black-holed", hole, CONNECT + LATE), ("silent", mute.url, FIRST_WORD + LATE)]
            figures = []
            for what, url, bar in rows:
                took = await outage(folder, url, well.url)
                figures.append(Figure("U12", f"the first target is {what}: another has answered", took, bar, "s"))
            return figures


async def outage(folder: Path, url: str, well: str) -> float:
    timers = {"connect": CONNECT, "headers": FIRST_WORD, "first_event": FIRST_WORD, "total": FIRST_WORD}
    spare = {"kind": "openai", "base_url": f"{well}/v1", "api_key": "sk-bench"}
    environ = configured(
        folder,
        providers={"openai": {"timers": timers}, "spare": spare},
        routes={"r": {"targets": ["openai/m", "spare/m"]}},
    )
    with pillion(folder, url, environ) as gateway:
        await ask(at(gateway), "POST", OPENAI.path, OPENAI.request(model="spare/m"))
        began = time.perf_counter()
        got = await ask(at(gateway), "POST", OPENAI.path, OPENAI.request(model="r"))
        if (got.status, got.header("x-pillion-provider")) != (200, "spare"):
            raise NotMeasured(f"{url}: {got}")
        return time.perf_counter() - began


# --- O1: ten times the load ------------------------------------------------------------------------------------------

PLACES, QUEUE = 4, 2  # requests at once, and in the queue
WORK, WHILE = 0.1, 5.0  # seconds that each takes, and that each load lasts
SATURATION = PLACES / WORK  # requests a second


class Load:
    """Requests at a steady pace, each on a connection that is there already; how soon each was served, or refused."""

    def __init__(self, place: Address) -> None:
        self.served: list[float] = []  # seconds
        self.refused: list[float] = []
        self.other: Counter[int] = Counter()
        self._place = place
        self._idle: list[Client] = []

    async def run(self, per_second: float, seconds: float) -> "Load":
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                one = self._idle.pop() if self._idle else await stack.enter_async_context(client(self._place))
                group.create_task(self._ask(one))
        return self

    async def _ask(self, one: Client) -> None:
        began = time.perf_counter()
        await one.send(spell("POST", OPENAI.path, OPENAI.request(model="openai/m")))
        got = await one.answer()
        took = time.perf_counter() - began
        if got.status == 200:
            self.served.append(took)
        elif got.status == 503 and got.header("retry-after"):
            self.refused.append(took)
        else:
            self.other[got.status] += 1
        self._idle.append(one)


def o1(folder: Path) -> Iterator[Figure]:
    yield from uvloop.run(overloaded(folder))


async def overloaded(folder: Path) -> list[Figure]:
    slow = Scenario(body=OPENAI.whole, headers=JSON, delay_head=WORK)
    environ = {"PILLION_OVERLOAD_MAX_REQUESTS": str(PLACES), "PILLION_OVERLOAD_MAX_QUEUE": str(QUEUE)}
    async with Evil(answering=lambda _: slow) as evil:
        with pillion(folder, evil.url, environ) as gateway:
            most = await Load(at(gateway)).run(SATURATION, WHILE)
            figures = []
            for times in (2, 10):
                with Probing(gateway.cluster) as probing:
                    load = await Load(at(gateway)).run(times * SATURATION, WHILE)
                figures += told(times, load, most, probing)
            return figures


def told(times: int, load: Load, most: Load, probing: Probing) -> list[Figure]:
    what = f"{times} times the load:"
    lost = 100 - 100 * len(load.served) / len(most.served)
    slower = p99(load.served) / p99(most.served)
    return [
        Figure("O1", f"{what} served less than at the load it can bear, by", lost, 10, "%"),
        Figure("O1", f"{what} p99 of what is served, as times that at the load it can bear", slower, 2, ""),
        Figure(
            "O1",
            f"{what} p99 until {len(load.refused)} were refused with Retry-After",
            1000 * p99(load.refused),
            5,
            "ms",
        ),
        Figure("O1", f"{what} a probe waited at most", max(probing.took), 50, "ms"),
        Figure("O1", f"{what} answered otherwise", load.other.total(), 0, ""),
    ]


# --- R3 and K1: reloads and other keys under a thousand streams ------------------------------------------------------

STREAMS, RELOADS, KEYS, AFTER_EACH = 1000, 100, 20, 10
PIECES, GAP = 40, 1.0  # of a stream, and the seconds between two
SETTLED = 0.1  # seconds after which nobody is asked with a key that was replaced
FIRST, SAID, REST = (event + b"\n\n" for event in OPENAI.stream.split(b"\n\n", 2))
LONG = Scenario(
    body=FIRST + SAID * PIECES + REST,
    headers=SSE,
    framing="chunked",
    split=[len(FIRST + SAID), *[len(SAID)] * PIECES],
    gap=GAP,
)


def live_or_whole(request: Received) -> Scenario:
    return LONG if b'"stream": true' in request.body else ANSWER


@asynccontextmanager
async def under_way(gateway: Pillion, evil: Evil) -> AsyncIterator[Counter[bool]]:
    """A thousand live streams, all of them begun, and in the end how many of them were given whole."""
    whole = Counter[bool]()

    async def one(here: Client) -> None:
        got = await here.answer()
        whole[got.status == 200 and got.whole and OPENAI.ends_whole(got.body)] += 1

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            here = await stack.enter_async_context(client(at(gateway)))
            await here.send(spell("POST", OPENAI.path, OPENAI.request(True, "openai/m")))
            group.create_task(one(here))
        # What else is asked meanwhile would stand behind a thousand beginnings.
        await soon(lambda: len(evil.requests) >= STREAMS)
        yield whole


def r3(folder: Path) -> Iterator[Figure]:
    yield from uvloop.run(reloaded(folder))


async def reloaded(folder: Path) -> list[Figure]:
    """Each reload lets a name mean another model, which an answer then tells of.

    When it came into force pillion says itself: an answer has to come through this process, which is busy with streams.
    """
    took: list[float] = []
    async with Evil(answering=live_or_whole) as evil:
        with pillion(folder, evil.url, configured(folder, aliases={"now": "openai/m"})) as gateway:
            async with under_way(gateway, evil) as whole:
                for number in range(RELOADS):
                    configured(folder, aliases={"now": f"openai/m{number}"})
                    began = time.time()
                    gateway.server.signal(signal.SIGHUP)
                    while await meant(gateway) != f"m{number}":
                        pass
                    took.append(1000 * (gateway.metric(RELOADED) - began))
                live = STREAMS - whole.total()
    return [
        Figure("R3", f"{RELOADS} reloads under {live} streams: not given whole", STREAMS - whole[True], 0, ""),
        Figure("R3", "a reload was in force after: p99", p99(took), 100, "ms"),
    ]


async def meant(gateway: Pillion) -> str | None:
    got = await ask(at(gateway), "POST", OPENAI.path, OPENAI.request(model="now"))
    if got.status != 200:
        raise NotMeasured(f"during a reload: {got}")
    return got.header("x-pillion-model")


def k1(folder: Path) -> Iterator[Figure]:
    yield from uvloop.run(rotated(folder))


async def rotated(folder: Path) -> list[Figure]:
    file, failed, stale = folder / "key", 0, 0
    file.write_text("sk-the-first-of-many")
    environ = {**configured(folder, providers={"openai": {"keys": ["BENCH_KEY"]}}), "BENCH_KEY_FILE": str(file)}
    async with Evil(answering=live_or_whole) as evil:
        with pillion(folder, evil.url, environ) as gateway:
            async with under_way(gateway, evil) as whole:
                for number in range(KEYS):
                    file.write_text(f"sk-number-{number}-of-many")
                    await asyncio.sleep(SETTLED)
                    for _ in range(AFTER_EACH):
                        got = await ask(at(gateway), "POST", OPENAI.path, OPENAI.request(model="openai/m"))
                        failed += got.status != 200
                        stale += evil.requests[-1].header("authorization") != f"Bearer sk-number-{number}-of-many"
                live = STREAMS - whole.total()
    return [
        Figure("K1", f"{KEYS} keys under {live} streams: not given whole", STREAMS - whole[True] + failed, 0, ""),
        Figure("K1", f"asked with the old key {SETTLED:g} s later, of {KEYS * AFTER_EACH}", stale, 0, ""),
    ]


# --- R4: restarts ----------------------------------------------------------------------------------------------------

RESTARTS, PER_SECOND = 100, 500
BACKLOG = 4096  # connections that wait while none runs
BETWEEN = 0.2  # seconds for which each runs at least


def r4(folder: Path) -> Iterator[Figure]:
    yield from uvloop.run(restarted(folder))


async def restarted(folder: Path) -> list[Figure]:
    failed = Counter[str]()
    took: list[float] = []

    async def one(where: Address) -> None:
        began = time.perf_counter()
        try:
            got = await ask(where, "POST", OPENAI.path, OPENAI.request(model="echo/text"))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            failed[type(error).__name__] += 1
        else:
            took.append(time.perf_counter() - began)
            failed[str(got.status)] += got.status != 200

    async def keep_asking(where: Address) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in count():
                await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
                group.create_task(one(where))
                if over.is_set():
                    return

    over = asyncio.Event()
    with bound() as sock:
        sock.listen(BACKLOG)
        async with asyncio.TaskGroup() as group:
            for number in range(RESTARTS + 1):
                async with started(sock, PILLION_STATE_DIR=str(folder / "r4")) as process:
                    await event(process, "started")
                    if number == 0:
                        group.create_task(keep_asking(place(sock)))
                    await asyncio.sleep(BETWEEN)
                    if number == RESTARTS:
                        over.set()
                        await asyncio.sleep(1)
                    process.terminate()
                    if await code(process):
                        raise NotMeasured(f"restart {number}: it ended with {process.returncode}")
    what = f"{RESTARTS} restarts, {len(took) + failed.total()} requests: refused, reset or failed"
    return [
        Figure("R4", what, failed.total(), 0, ""),
        Figure("R4", "the longest that one of them waited", max(took), 5, "s"),
    ]


ROWS: Rows = {"U12": u12, "O1": o1, "R3": r3, "K1": k1, "R4": r4}


if __name__ == "__main__":
    sys.exit(tell(__doc__ or "", ROWS))
