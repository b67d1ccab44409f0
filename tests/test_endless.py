"""Does whatever a provider never ends, end by its own timer or cap, and is each told by a code of its own? (U6)

All of them at once, over real connections and through the whole of pillion. Timers are of about a second here; what
they say is looked at, and the time that has passed: a tenth more or less, and what the loop itself was late meanwhile.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.client import OPENAI, SPEECHES, Speech, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion

DRIBBLED, GAP = 400, 0.01  # pieces, and seconds between two: longer than any timer
TIMERS = {"headers": 0.4, "first_event": 0.6, "idle": 0.8, "quiet": 1.0, "total": 1.2}
TICK = 0.005  # seconds between two looks at how late the loop is

OK = b"HTTP/1.1 200 OK\r\n"
SSE = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
JSON = OK + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


BEGUN = chunk(b"".join(event + b"\n\n" for event in OPENAI.stream.split(b"\n\n")[:3]))
MUCH, MANY = 1024 * 1024, 2100  # bytes, and pieces of 64 KiB: more than an answer or an event may have


class Endless(NamedTuple):
    """`start`, and then `more` again and again: a little at a time, or as much as goes."""

    start: bytes
    more: bytes
    ended_by: str  # the code
    stream: bool = True
    slowly: bool = True

    def scenario(self) -> Scenario:
        if not self.more:
            return Scenario(raw=self.start or b" ", cut_at=len(self.start), how="stall")
        if self.slowly:
            sizes: Sequence[int] = [len(self.start), *[len(self.more)] * DRIBBLED]
            return Scenario(raw=self.start + self.more * DRIBBLED, split=sizes, gap=GAP, then="stall")
        return Scenario(raw=self.start + self.more * max(MANY, MUCH // len(self.more)), then="stall")


ANSWERS = {
    "nothing": Endless(b"", b"", "headers_timeout"),
    "a head by bytes": Endless(OK + b"X: ", b"x", "headers_timeout"),
    "interim answers, slowly": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", "headers_timeout"),
    "a head": Endless(SSE, b"", "first_event_timeout"),
    "an event by bytes": Endless(SSE + chunk(b"data: {"), chunk(b" "), "first_event_timeout"),
    "comments": Endless(SSE, chunk(b": x\n\n"), "first_event_timeout"),
    "first words": Endless(SSE + BEGUN, b"", "idle_timeout"),
    "comments behind the first words": Endless(SSE + BEGUN, chunk(b": x\n\n"), "quiet_timeout"),
    "an event by bytes behind the first words": Endless(SSE + BEGUN, chunk(b"x"), "quiet_timeout"),
    "a whole answer by bytes": Endless(JSON + chunk(b"{"), chunk(b" "), "total_timeout", stream=False),
    "interim answers": Endless(
        b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "upstream_protocol", slowly=False
    ),
    "one header": Endless(OK + b"X: ", b"x", "upstream_protocol", slowly=False),
    "headers": Endless(OK, b"X: y\r\n", "upstream_protocol", slowly=False),
    "trailers": Endless(JSON + chunk(OPENAI.whole) + b"0\r\n", b"X: y\r\n", "upstream_protocol", False, slowly=False),
    "a line behind the first words": Endless(
        SSE + BEGUN + chunk(b"data: "), chunk(b"x" * 65536), "upstream_protocol", slowly=False
    ),
    "a whole answer": Endless(JSON + chunk(b'{"a":"'), chunk(b"x" * 65536), "upstream_too_long", False, slowly=False),
}


class Lateness:
    """How many seconds the loop was late in all."""

    seconds = 0.0

    async def count(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.seconds += max(0.0, loop.time() - due)


@asynccontextmanager
async def counted() -> AsyncIterator[Lateness]:
    lateness = Lateness()
    counting = asyncio.create_task(lateness.count())
    try:
        yield lateness
    finally:
        counting.cancel()


def answering(request: Received) -> Scenario:
    found = re.search(rb"send ([^\"]+) without end", request.body)
    assert found is not None
    return ANSWERS[found[1].decode()].scenario()


async def test_each_ends_by_a_timer_or_a_cap_of_its_own() -> None:
    loop = asyncio.get_running_loop()
    timers = {f"PILLION_OPENAI_TIMERS_{name.upper()}": str(seconds) for name, seconds in TIMERS.items()}

    async def one(speech: Speech, what: str) -> None:
        due = ANSWERS[what]
        said = [{"role": "user", "content": f"send {what} without end"}]
        began, late = loop.time(), lateness.seconds
        got = await chat(gateway, speech, speech.request(due.stream, "openai/m", messages=said))
        took = loop.time() - began
        await asyncio.sleep(2 * TICK)  # until it is known how late the last turns were
        late = lateness.seconds - late
        error = speech.error(got.body if got.status != 200 else speech.last_event(got.body))
        timer = due.ended_by.removesuffix("_timeout")
        assert error.get("code", due.ended_by) == due.ended_by, what  # Anthropic's wire has no place for it
        assert got.status in ([200] if "first words" in what else [504] if timer in TIMERS else [502]), what
        assert got.whole == (got.status != 200), what
        if timer in TIMERS:
            assert f"{TIMERS[timer]:g} s" in error["message"], what
            assert 0.9 * TIMERS[timer] <= took <= 1.1 * TIMERS[timer] + late, what

    async with Evil(answering=answering) as evil, counted() as lateness:
        slow = [what for what, due in ANSWERS.items() if due.slowly]
        async with pillion(**OPENAI.environ(evil.url), **timers) as gateway:
            await asyncio.gather(*(one(speech, what) for what in slow for speech in SPEECHES))
            assert (gateway.app.upstream.in_use, gateway.app.upstream.pooled) == (0, 0)
        async with pillion(**OPENAI.environ(evil.url)) as gateway:  # by a cap, whatever the timers are
            for what in ANSWERS.keys() - slow:
                for speech in SPEECHES:
                    await one(speech, what)
            assert (gateway.app.upstream.in_use, gateway.app.upstream.pooled) == (0, 0)
        await asyncio.gather(*(evil.closed(number) for number in range(evil.connections)))
