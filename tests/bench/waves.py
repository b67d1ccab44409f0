"""How is a question asked so and so often, each answer heard to its end?

wrk asks for some seconds, and what is under way at their end was paid for and is not counted: of streams that begin
together and last half a second that is up to one in seven. So here a slice is a number of requests and not a time, and
what it cost is all that they cost.

Of two servers that are asked at once, each connection of the one is followed by one of the other: what else the machine
does meets both alike. What keeps a processor busy cannot be asked so, for they would be in each other's way.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import cast

import uvloop

from tests.bench.traffic import Exchange, NotMeasured

PATIENCE = 60.0  # seconds for all of them
CHUNKS_END = b"\r\n0\r\n\r\n"


def ask(exchange: Exchange, ports: Sequence[int], connections: int, times: int) -> int:
    """Over each connection to each port so often, one behind the other; how many answers a port gave.

    Raises NotMeasured.
    """
    uvloop.run(_all_of(_spelled(exchange), ports, connections, times))
    return connections * times


async def _all_of(request: bytes, ports: Sequence[int], connections: int, times: int) -> None:
    loop = asyncio.get_running_loop()
    turns = [[*ports[first:], *ports[:first]] for first in range(len(ports))]  # each is the first once
    askers = [
        (_Asker(request, times, loop.create_future()), port)
        for number in range(connections)
        for port in turns[number % len(ports)]
    ]
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                *(loop.create_connection(partial(_itself, asker), "127.0.0.1", port) for asker, port in askers)
            )
            await asyncio.gather(*(asker.done for asker, _ in askers))
    except TimeoutError:
        raise NotMeasured(f"answers are missing after {PATIENCE:g} s") from None
    finally:
        for asker, _ in askers:
            asker.close()


def _itself(asker: "_Asker") -> "_Asker":
    return asker


def _spelled(exchange: Exchange) -> bytes:
    body = exchange.body.encode()
    lines = [f"{exchange.method} {exchange.path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in exchange.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Asker(asyncio.Protocol):
    def __init__(self, request: bytes, times: int, done: "asyncio.Future[None]") -> None:
        self.done = done
        self._request = request
        self._left = times
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""  # until it has come whole
        self._tail = b""  # of the body
        self._wanted: int | None = 0  # bytes of the body that are to come; None: chunks

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no kin of asyncio's
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._tail:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head, self._tail, self._wanted = b"", end, _length(head)
            if not head.startswith(b"HTTP/1.1 200"):
                self._fail(f"an answer was {head[:200]!r}")
                return
        if self._wanted is None:
            self._tail = (self._tail + data)[-len(CHUNKS_END) :]
            is_whole = self._tail == CHUNKS_END
        else:
            self._wanted -= len(data)
            is_whole = self._wanted <= 0
        if is_whole:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("a connection was closed")

    def _next(self) -> None:
        self._tail = b""
        self._left -= 1
        if self._left and self._transport is not None:
            self._transport.write(self._request)
        elif not self.done.done():
            self.done.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(NotMeasured(why))


def _length(head: bytes) -> int | None:
    """Of the body; None where it comes in chunks."""
    lines: Sequence[bytes] = head.lower().split(b"\r\n")
    told = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
    return int(told[0]) if told else None
