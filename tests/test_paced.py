"""Does each of a thousand live streams come as it was sent, every byte of it and in its order? (C1)

Over TLS and uvloop, an event a second from each for a minute; `make test` takes some of them, which speak faster. The
provider, pillion and the clients share one loop, so what a client waited for is told, and held to no bar: the row C1 of
tests/bench/holding.py has a pillion of its own.
"""

import asyncio
import random
import re
from collections.abc import Sequence
from hashlib import sha256
from statistics import quantiles
from typing import NamedTuple

import pytest

from proxy.edge.address import Address
from tests import laws
from tests.client import OPENAI, Client, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.test_crosstalk import environ
from tests.waiting import soon

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS, PACE = (60, 1.0) if laws.SOAK else (40, 0.05)  # of a stream, and seconds between two
PATIENCE = 300.0  # seconds; a thousand of each share a core, and shake hands at once
FIRST, SAID, REST = (event + b"\n\n" for event in OPENAI.stream.removesuffix(b"\n\n").split(b"\n\n", 2))

_number = re.compile(rb"stream (\d+)").search


def pieces(number: int, events: int = EVENTS) -> list[bytes]:
    """The events of this stream, no two of which are alike, and some of which are long."""
    dice = random.Random(number)
    texts = (f"{number}, {turn}: " + "ß🌍x"[: dice.randrange(4)] * dice.randrange(60) for turn in range(events))
    return [FIRST, *(SAID.replace("Grü".encode(), text.encode()) for text in texts), REST]


def answer(request: Received, events: int = EVENTS, pace: float = PACE) -> Scenario:
    found = _number(request.body)
    assert found is not None
    said = pieces(int(found[1]), events)
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in said]
    chunks[-1] += b"0\r\n\r\n"  # with its last event an answer ends: pillion does not wait for a second
    raw = [HEAD, *chunks]
    return Scenario(body=b"".join(said), raw=b"".join(raw), split=[*map(len, raw)], gap=pace)


class Heard(NamedTuple):
    """A stream as its client read it. `at`: when each of its events had come, by the loop's clock."""

    digest: str
    at: list[float]


async def hear(one: Client) -> Heard:
    """Raises IncompleteReadError, ConnectionError: it was cut, or reset."""
    assert (await one.head())[0] == 200
    digest, at, loop = sha256(), list[float](), asyncio.get_running_loop()
    while size := int(await one.until(b"\r\n"), 16):
        data = (await one.reader.readexactly(size + 2))[:-2]
        digest.update(data)
        at += [loop.time()] * data.count(b"\n\n")
    assert await one.until(b"\r\n") == b"\r\n"
    return Heard(digest.hexdigest(), at)


async def listen(gateway: Gateway | Address, number: int) -> Heard:
    said = [{"role": "user", "content": f"stream {number}"}]
    body = OPENAI.request(True, "openai/m", messages=said)
    async with client(gateway) as one:
        await one.send(spell("POST", OPENAI.path, body))
        return await hear(one)


def delays(evil: Evil, heard: Sequence[Heard]) -> list[float]:
    """Seconds from each event's leaving the provider to its coming to the client.

    But for the first, which says nothing and is held until the next one does; and the last piece is of several.
    """
    sent = {sha256(one.scenario.body).hexdigest(): one.at[2:] for one in evil.answers}  # less head
    return [came - went for one in heard for went, came in zip(sent[one.digest], one.at[1:], strict=False)]


async def test_every_stream_comes_as_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.client.PATIENCE", PATIENCE)
    count = laws.share("live streams at a time, each of one event a second for a minute", 1000, 40)
    waits = {f"PILLION_OPENAI_TIMERS_{name}": str(PATIENCE) for name in ("CONNECT", "HEADERS", "FIRST_EVENT")}
    async with Evil(answering=answer, tls=True) as evil, pillion(**environ(OPENAI, evil), **waits) as gateway:
        heard = await asyncio.gather(*(listen(gateway, number) for number in range(count)))
        await soon(lambda: gateway.app.upstream.in_use == 0)
        assert {one.state for one in evil.answers} == {"whole"}
        assert {one.how for one in evil.closings} <= {"fin"}  # nobody was reset; what is old is closed at its end
    assert [one.digest for one in heard] == [sha256(b"".join(pieces(number))).hexdigest() for number in range(count)]
    assert (evil.connections, len(evil.answers)) == (count, count)  # all at a time
    late = sorted(1000 * late for late in delays(evil, heard))
    assert len(late) == count * (EVENTS + 1)
    told = f"{quantiles(late, n=100)[98]:.1f} ms p99 of {len(late):,}, {late[-1]:.1f} ms at most"
    laws.measured["an event's way through the provider's TLS, pillion and one loop for all"] = told
