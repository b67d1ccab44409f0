"""Does a client that hangs up by a reset, wherever it is by then, leave an object behind, or memory? (B5)

A hundred thousand of them, of which `make test` takes some: who says nothing, half a head, or all, and leaves before an
answer or in the middle of it. What still lives is counted by the garbage collector, by the types that a connection and
its call are made of.
"""

import asyncio
import gc
import resource
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from proxy.edge.door import Door
from proxy.edge.exchange import Exchange
from proxy.edge.inbound import Inbound
from proxy.edge.wire import Wire
from proxy.ports import Call, Reply
from tests import laws
from tests.bench.parties import MIB
from tests.client import OPENAI, client, spell
from tests.gateway import Gateway, pillion
from tests.waiting import soon

AT_ONCE = 50
GROWTH = 8 * MIB  # that may be resident more after nine tenths of them: a kilobyte of each would be more
RST = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time (socket(7))
OF_A_CALL = (Door, Inbound, Exchange, Wire, Call, Reply)
STREAM = spell("POST", OPENAI.path, OPENAI.request(True, "openai/m"))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
HALF = OPENAI.stream[: OPENAI.stream.index("ße".encode())]
SAID = {"nothing": b"", "half a head": STREAM[:40], "a request": STREAM, "one, and some of its answer was read": STREAM}


class Provider(asyncio.Protocol):
    """Says half of its answer, and remembers nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(HEAD + b"%x\r\n%b\r\n" % (len(HALF), HALF))


@asynccontextmanager
async def reached(folder: Path) -> AsyncIterator[Gateway]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with pillion(**OPENAI.environ(url), PILLION_STATE_DIR=str(folder)) as gateway:
            yield gateway
    finally:
        server.close()
        await server.wait_closed()


async def reset(gateway: Gateway, said: bytes, reads: bool) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        await loop.sock_connect(sock, (gateway.host, gateway.port))
        await loop.sock_sendall(sock, said)
        if reads:
            assert await loop.sock_recv(sock, 65536)


async def many(gateway: Gateway, count: int) -> None:
    """So many resets, in all ways alike."""
    ways = [(said, how.startswith("one")) for how, said in SAID.items()]
    for number in range(0, count, AT_ONCE):
        ones = (ways[(number + n) % len(ways)] for n in range(AT_ONCE))
        await asyncio.gather(*(reset(gateway, said, reads) for said, reads in ones))
    await soon(lambda: (gateway.app.server.connections, gateway.app.upstream.in_use) == (0, 0))


class Living:
    """What has come since, and is still there.

    Of other tests somebody may hold some: they are held here as well, so that none can go and hide one of ours.
    """

    def __init__(self) -> None:
        self._before = self._all()

    def __call__(self) -> Counter[str]:
        known = {id(one) for one in self._before}
        return Counter(type(one).__name__ for one in self._all() if id(one) not in known)

    def _all(self) -> list[object]:
        gc.collect()
        return [one for one in gc.get_objects() if type(one) in OF_A_CALL]


def resident() -> int:
    """Bytes (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_what_a_call_is_made_of_is_counted_while_it_lives(tmp_path: Path) -> None:
    living = Living()
    async with reached(tmp_path) as gateway, client(gateway) as one:
        await one.send(STREAM)
        await one.head()
        assert living() == {kind.__name__: 1 for kind in OF_A_CALL}


async def test_who_resets_a_connection_leaves_nothing_behind(tmp_path: Path) -> None:
    count = laws.share("connections that were reset", 100_000, 4_000)
    living = Living()
    async with reached(tmp_path) as gateway:
        await many(gateway, count // 10)  # until what fills once is full
        await soon(lambda: not living())
        was = resident()
        await many(gateway, count - count // 10)
        await soon(lambda: not living())
        grown = resident() - was
    laws.measured["memory that grew by nine tenths of them"] = f"{grown / MIB:.1f} MiB"
    assert grown <= GROWTH
