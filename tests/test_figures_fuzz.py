"""Is there a request, however it is spoilt, that pillion answers with a 500, with a traceback, or not at all?

Figure F1: requests of every wire, spoilt as tests/spoilt.py has it, over real sockets against a pillion in this
process. Every one is answered, by what is no fault of ours, or its connection is closed; and whoever asks next is
served.
"""

import asyncio
import json
import logging
import random
import re
from collections.abc import Iterator
from typing import cast

import pytest

from tests.client import ANTHROPIC, OPENAI, Place, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion
from tests.laws import SOAK, share
from tests.spoilt import ASKED, SEEDS, spoilt

HANG = 15.0  # seconds
PARTS = 10 if SOAK else 1  # in which they are asked, so that no worker is left with all of them
AT_ONCE = 32  # connections

# --- how it is taken -------------------------------------------------------------------------------------------------


class Asking(asyncio.Protocol):
    """Sends, says that this was all, and keeps what comes until the end."""

    def __init__(self, data: bytes) -> None:
        self.got = bytearray()
        self.over = asyncio.get_running_loop().create_future()
        self._data = data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        way = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        way.write(self._data)
        way.write_eof()

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, error: Exception | None) -> None:
        self.over.set_result(None)


async def answer(at: Place, data: bytes) -> bytes:
    """All of it. Raises TimeoutError."""
    transport, asking = await asyncio.get_running_loop().create_connection(lambda: Asking(data), at.host, at.port)
    try:
        async with asyncio.timeout(HANG):
            await asking.over
    finally:
        transport.abort()
    return bytes(asking.got)


_statuses = re.compile(rb"(?m)^HTTP/1\.[01] (\d{3}) ").findall


def fault(got: bytes) -> str:
    """What is wrong with an answer. A 502 would be the provider's, who does nothing wrong here."""
    statuses = [int(status) for status in _statuses(got)]
    if got and not got.startswith(b"HTTP/1.1 "):
        return "no HTTP"
    wrong = [status for status in statuses if status >= 500 and status != 501]
    if b"Traceback" in got:
        wrong.append(500)
    return f"{wrong}" if wrong else ""


class Heard(logging.Handler):
    """Tracebacks that nobody but the log was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.traces.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


def answering(request: Received) -> Scenario:
    """As a provider of either wire does, whole or as a stream."""
    speech = ANTHROPIC if "messages" in request.target else OPENAI
    if request.method == "GET":
        return Scenario(headers=[("Content-Type", "application/json")], body=b'{"data":[]}')
    if "count_tokens" in request.target:
        return Scenario(headers=[("Content-Type", "application/json")], body=b'{"input_tokens":3}')
    live = json.loads(request.body.decode("utf-8", "replace")).get("stream") is True
    kind = "text/event-stream" if live else "application/json"
    return Scenario(headers=[("Content-Type", kind)], body=speech.stream if live else speech.whole)


async def take(at: Place, cases: Iterator[bytes], wrong: list[str]) -> None:
    for case in cases:
        try:
            found = fault(await answer(at, case))
        except TimeoutError:
            found = "no end"
        if found:
            wrong.append(f"{found}: {case!r}")


def cases(part: int) -> Iterator[bytes]:
    dice = random.Random(7 + part)
    for _ in range(share("F1, spoilt requests", 1_000_000, 2_500) // PARTS):
        yield spoilt(dice)


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    logging.getLogger("pillion").addHandler(handler)
    yield handler
    logging.getLogger("pillion").removeHandler(handler)


async def test_before_they_are_spoilt_they_are_answered_well() -> None:
    asked = [spell("POST", path, json.dumps(request).encode()) for path, request in SEEDS]
    asked += [spell("GET", path) for path in ASKED]
    async with Evil(answering=answering) as evil, pillion(**both(evil.url)) as gateway:
        wrong = [each for each in asked if b"200" not in _statuses(await answer(gateway, each))]
        assert wrong == []


@pytest.mark.parametrize("part", range(PARTS))
async def test_however_a_request_is_spoilt_it_is_answered_and_not_with_a_fault_of_ours(part: int, heard: Heard) -> None:
    wrong: list[str] = []
    async with Evil(answering=answering) as evil, pillion(**both(evil.url)) as gateway:
        shared = cases(part)
        await asyncio.gather(*(take(gateway, shared, wrong) for _ in range(AT_ONCE)))
        assert wrong + heard.traces == []
        assert _statuses(await answer(gateway, spell("GET", "/readiness"))) == [b"200"]
        assert gateway.app.upstream.in_use == 0


def both(url: str) -> dict[str, str]:
    return OPENAI.environ(url) | ANTHROPIC.environ(url)


@pytest.mark.parametrize(
    ("got", "found"),
    [
        (b"", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n", ""),
        (b"HTTP/1.1 501 Not Implemented\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Internal Server Error\r\n\r\n", "[500]"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "[502]"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nTraceback (most recent call last)", "[500]"),
        (b"<html>", "no HTTP"),
    ],
)
def test_a_fault_is_seen(got: bytes, found: str) -> None:
    assert fault(got) == found
