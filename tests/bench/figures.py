"""What do the rows of the figure sheet come to that no test asserts, since they are times, CPU and memory?

    python tests/bench/figures.py [J1 J2 C4 B3 D1]

J1: how long the loop stands still, and a probe waits, while one large body is read. J2: what memory one long event
takes, or one long answer. C4: what it costs that more clients knock than there are descriptors for. B3: how long five
thousand are borne that dribble their heads, or their bodies, and what others notice of them. D1: how soon a provider is
let go of when a client leaves. Each figure stands beside its bar. The exit code: 0, 1 where a bar does not hold, 2
where nothing could be measured.
"""

import argparse
import asyncio
import resource
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

import uvloop

from proxy.edge.address import Address
from tests.bench.parties import MIB, Pillion, Probing, Provider, pillion, post, spelled
from tests.bench.traffic import NotMeasured
from tests.client import OPENAI, client, spell
from tests.evil import Evil
from tests.test_cancel import PHASES
from tests.test_drain import half

BROKEN, UNMEASURED = 1, 2  # exit codes
ROUNDS = 3  # of each body; the median counts


class Figure(NamedTuple):
    row: str
    what: str
    value: float
    bar: float  # the most that it may be
    unit: str

    @property
    def holds(self) -> bool:
        return self.value <= self.bar

    def __str__(self) -> str:
        mark = "" if self.holds else "  <- over"
        return f"{self.row}  {self.what:70} {self.value:7.1f} {self.unit:3}  bar {self.bar:6.1f}{mark}"


# --- J1: large bodies ------------------------------------------------------------------------------------------------

TURN = b'{"role":"user","content":"x"},{"role":"assistant","content":"y"},'
WAYS = {"passed through": "/v1/chat/completions", "translated": "/v1/messages"}


class Body(NamedTuple):
    name: str
    make: Callable[[int], bytes]  # of about so many bytes
    status: int = 200


def said(content: bytes, before: bytes = b"") -> bytes:
    return b'{"model":"openai/m","max_tokens":9,"messages":[%b{"role":"user","content":"%b"}]}' % (before, content)


def keys(size: int) -> bytes:
    return b"{" + b",".join(b'"k%d":1' % number for number in range(size // 12)) + b"}"


TEXT = Body("one text", lambda size: said(b"lorem ipsum " * (size // 12)))
EMOJI = Body("one text with an emoji", lambda size: said(b"lorem ipsum " * (size // 12) + "🌍".encode()))
MANY = Body("as many messages as may be", lambda size: said(b"lorem " * ((size - MIB) // 6), TURN * 16_000))
SMALL = Body("small messages, too many", lambda size: said(b"x", TURN * (size // len(TURN))), 400)
BODIES = [
    TEXT, EMOJI, MANY, SMALL,
    Body("one text of short lines", lambda size: said(rb"lorem\n" * (size // 7))),
    Body("one text of quotes", lambda size: said(rb"\"" * (size // 2))),
    Body("top-level keys", keys, 400),
    Body("numbers", lambda size: b'{"a":[%b1]}' % (b"1," * (size // 2)), 400),
    Body("a text without an end", lambda size: said(b"lorem ipsum " * (size // 12))[:-3], 400),
]  # fmt: skip


def j1(folder: Path) -> Iterator[Figure]:
    with pillion(folder, Provider().url, {}) as gateway:
        for way, path in WAYS.items():
            for body in BODIES:
                stalls, waits, _ = zip(*(read(gateway, path, body, 10 * MIB) for _ in range(ROUNDS)), strict=True)
                yield Figure("J1", f"10 MiB {way}, {body.name}: the loop stood still", median(stalls), 50, "ms")
                yield Figure("J1", f"10 MiB {way}, {body.name}: a probe waited", median(waits), 50, "ms")
        for body in (TEXT, EMOJI, MANY, SMALL):
            _, _, memory = read(gateway, WAYS["translated"], body, 60 * MIB)
            yield Figure("J1", f"60 MiB translated, {body.name}: memory, as times the body", memory, 10, "")


def read(gateway: Pillion, path: str, body: Body, size: int) -> tuple[float, float, float]:
    """Milliseconds for which the loop stands still and a probe waits, and memory as a multiple of the body."""
    data = body.make(size)
    before = gateway.server.rss()
    gateway.server.peak()
    gateway.stall()
    with Probing(gateway.cluster) as probing:
        status = post(gateway.server.port, path, data)
    if status != body.status:
        raise NotMeasured(f"{body.name} got {status} at {path}")
    return gateway.stall(), max(probing.took), (gateway.server.peak() - before) * MIB / len(data)


# --- J2: long answers ------------------------------------------------------------------------------------------------

EVENT = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,%b}]}'
WHOLE = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%b"},"finish_reason":"stop"}]}'
)
TEXTS = {"one text": b"", "with an emoji": "🌍".encode()}


def j2(folder: Path) -> Iterator[Figure]:
    for name, end in TEXTS.items():
        for what, mib, spell_it in (("30 MiB event", 30, streamed), ("60 MiB answer", 60, whole)):
            said = b"lorem ipsum " * (mib * MIB // 12) + end
            with pillion(folder, Provider(spell_it(said)).url, {}) as gateway:
                for way, path in WAYS.items():
                    times = max(heard(gateway, path, spell_it is streamed, len(said)) for _ in range(ROUNDS))
                    yield Figure("J2", f"{what} {way}, {name}: memory, as times it", times, 11, "")
    said = b"lorem ipsum " * (64 * MIB // 12)
    with pillion(folder, Provider(streamed(said)).url, {}) as gateway:
        took = [heard(gateway, OPENAI.path, True, len(said)) * len(said) / MIB for _ in range(5)]
        yield Figure("J2", "64 MiB event passed through: memory, median", median(took), 2, "MiB")


def streamed(text: bytes) -> bytes:
    """An answer of three events, the second of which says it all."""
    deltas = [b'"delta":{"role":"assistant"}', b'"delta":{"content":"%b"}' % text, b'"delta":{},"finish_reason":"stop"']
    events = [b"data: %b\n\n" % (EVENT % delta) for delta in deltas]
    return spelled("text/event-stream", b"".join([*events, b"data: [DONE]\n\n"]))


def whole(text: bytes) -> bytes:
    return spelled("application/json", WHOLE % text)


def heard(gateway: Pillion, path: str, stream: bool, size: int) -> float:
    """Memory as a multiple of the text."""
    before = gateway.server.rss()
    gateway.server.peak()
    status = post(gateway.server.port, path, OPENAI.request(stream, "openai/m", max_tokens=9))
    if status != 200:
        raise NotMeasured(f"a long answer came with {status} at {path}")
    return (gateway.server.peak() - before) * MIB / size


# --- C4: more clients than descriptors ----------------------------------------------------------------------------

DESCRIPTORS, CLIENTS, WHILE = 256, 1000, 3.0  # seconds


def c4(folder: Path) -> Iterator[Figure]:
    with pillion(folder, Provider(b"").url, {}, DESCRIPTORS) as gateway, ExitStack() as stack:
        port = gateway.server.port
        knocking(stack, port, spell("POST", OPENAI.path, OPENAI.request(True, "openai/m")), CLIENTS)
        knocking(stack, port, b"", CLIENTS)
        time.sleep(1)  # until most have been told
        spent = gateway.server.cpu()
        with Probing(gateway.cluster) as probing:
            time.sleep(WHILE)
        cpu = 100 * (gateway.server.cpu() - spent) / WHILE
        yield Figure("C4", f"{CLIENTS} streams and {CLIENTS} that say nothing: CPU", cpu, 20, "%")
        yield Figure("C4", "meanwhile a probe waited", max(probing.took), 50, "ms")
        stack.close()
        left = time.perf_counter()
        body = OPENAI.request(model="echo/text")
        while not answered(port, body):
            time.sleep(0.005)
        yield Figure("C4", "served again after they left", time.perf_counter() - left, 1, "s")


def knocking(stack: ExitStack, port: int, data: bytes, count: int) -> list[socket.socket]:
    """So many clients, each of which has said this."""
    made = []
    for _ in range(count):
        made.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
        made[-1].sendall(data)
    return made


def answered(port: int, body: bytes) -> bool:
    with suppress(OSError):
        return post(port, OPENAI.path, body) == 200
    return False


# --- B3: those who dribble -------------------------------------------------------------------------------------------

DRIBBLING = 5000
EVERY = 4.0  # seconds between two bytes of each; the row has ten, which is as long as a whole head may take
BODY_TIME = 45.0  # seconds for a whole body in place of 300, so that those who dribble on are borne less long
SHORT = 6000  # answers from each; all of them come before the first of those who dribble is closed
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nX-Dribbled: "
BODY = spell("POST", OPENAI.path, OPENAI.request(model="echo/text", dribbled="x" * 100))[:-100]


def b3(folder: Path) -> Iterator[Figure]:
    yield from dribbled(folder, "heads", HEAD, 11.0)
    yield from dribbled(folder, "bodies", BODY, BODY_TIME + 1)
    with pillion(folder, Provider().url, {}) as gateway, ExitStack() as stack:
        silent = knocking(stack, gateway.server.port, BODY, DRIBBLING)
        took = began_to_end(silent, time.perf_counter())
        yield Figure("B3", f"{DRIBBLING} bodies that do not go on: the last was given up", took, 31.0, "s")


def dribbled(folder: Path, what: str, data: bytes, bar: float) -> Iterator[Figure]:
    with ExitStack() as stack:
        environ = {"PILLION_CLIENT_BODY": f"{BODY_TIME:g}"}
        at_peace, beset = (stack.enter_context(pillion(folder, Provider().url, environ)) for _ in range(2))
        dribbling = knocking(stack, beset.server.port, data, DRIBBLING)
        began = time.perf_counter()
        with going_on(dribbling), ThreadPoolExecutor(1) as meanwhile:  # the answers may take longer than a head may
            ending = meanwhile.submit(began_to_end, dribbling, began)
            share = 100 * beside(beset, at_peace)
            took = ending.result()
        yield Figure("B3", f"{DRIBBLING} {what}, a byte every {EVERY:g} s: the last was given up", took, bar, "s")
        yield Figure("B3", "meanwhile others' p99, of what it is without them", share, 110, "%")


@contextmanager
def going_on(socks: Sequence[socket.socket]) -> Iterator[None]:
    """Each sends a byte now and then, also when it was told to go."""
    over = threading.Event()
    thread = threading.Thread(target=dribble, args=[socks, over])
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def dribble(socks: Sequence[socket.socket], over: threading.Event) -> None:
    """One after the other, so that nobody waits for all of them."""
    began = time.perf_counter()
    for number, sock in enumerate(cycle(socks)):
        if over.wait(max(0.0, began + number * EVERY / len(socks) - time.perf_counter())):
            return
        with suppress(OSError):
            sock.send(b"x")


def beside(one: Pillion, other: Pillion) -> float:
    """The 99th percentile of short answers, as a share of the other's: asked in turn, the machine is one to both."""
    took: tuple[list[float], list[float]] = ([], [])
    body = OPENAI.request(model="openai/m")
    for _ in range(SHORT):
        for gateway, times in zip((one, other), took, strict=True):
            began = time.perf_counter()
            post(gateway.server.port, OPENAI.path, body)
            times.append(time.perf_counter() - began)
    mine, others = (sorted(times)[len(times) * 99 // 100] for times in took)
    return mine / others


def began_to_end(socks: Sequence[socket.socket], began: float) -> float:
    """Seconds until each was answered, or hung up on. What it sends behind that is thrown away for ten more."""
    waiting = {sock.fileno(): sock for sock in socks}
    with select.epoll() as poll:
        for number in waiting:
            poll.register(number, select.EPOLLIN)
        while waiting:
            for number, _ in poll.poll(60):
                poll.unregister(number)
                del waiting[number]
    return time.perf_counter() - began


# --- D1: clients that leave ------------------------------------------------------------------------------------------

LEAVING = 40  # in each phase


def d1(folder: Path) -> Iterator[Figure]:
    took = sorted(uvloop.run(leavings(folder)))
    yield Figure("D1", f"{len(took)} clients left, the provider's connection was closed: p99", took[-3], 100, "ms")
    yield Figure("D1", "at the latest", took[-1], 250, "ms")


async def leavings(folder: Path) -> list[float]:
    """Milliseconds until the provider saw its connection closed, phase by phase."""
    plays = [*PHASES.values(), (half(OPENAI), True)]
    queue = [play for play in plays for _ in range(LEAVING)]
    scenarios = iter(queue)
    async with Evil(answering=lambda _: next(scenarios)[0], tls=True) as evil:
        environ = {"PILLION_OPENAI_CA": str(evil.ca_pem), "PILLION_HEALTH_INTERVAL": "0"}  # a check would take a play
        with pillion(folder, evil.url, environ) as gateway:
            return [await leaving(gateway, evil, stream) for _, stream in queue]


async def leaving(gateway: Pillion, evil: Evil, stream: bool) -> float:
    loop, number = asyncio.get_running_loop(), len(evil.requests)
    async with client(Address("127.0.0.1", gateway.server.port)) as one:
        await one.send(spell("POST", OPENAI.path, OPENAI.request(stream, "openai/m")))
        request = await evil.received(number + 1)
        await evil.pushed_all()
        left = loop.time()
        one.leave("rst" if number % 2 else "fin")
        closed = await evil.closed(request.connection)
    return 1000 * (closed.at - left)


Rows = Mapping[str, Callable[[Path], Iterator[Figure]]]
ROWS: Rows = {"J1": j1, "J2": j2, "C4": c4, "B3": b3, "D1": d1}


def tell(about: str, there: Rows) -> int:
    """Measure those that are asked for, and print each: the exit code."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(there)} (all)")
    rows = parser.parse_args().rows or list(there)
    if wrong := [row for row in rows if row not in there]:
        parser.error(f"there is no {', '.join(wrong)}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    over = 0
    with tempfile.TemporaryDirectory(prefix="pillion-figures-") as folder:
        try:
            for figure in (figure for row in rows for figure in there[row](Path(folder))):
                print(figure, flush=True)
                over += not figure.holds
        except (NotMeasured, OSError) as error:
            print(f"figures: {error}", file=sys.stderr)
            return UNMEASURED
    return BROKEN if over else 0


if __name__ == "__main__":
    sys.exit(tell(__doc__ or "", ROWS))
