"""Does a provider's stream come to the client alike, whether it is poured or asked for piece by piece?

Whole or broken, however it is cut, and however often the client has enough: the same bytes, the same end, the same
blame. test_wire.py asks the same of what is below, one exchange.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from proxy.canon import Usage
from proxy.errors import UpstreamError
from proxy.lanes.pouring import Pouring
from proxy.lanes.relaying import Relay
from proxy.ports import Adapter, Sink, Target
from tests import taking
from tests.client import ANTHROPIC, OPENAI, Speech
from tests.laws import splits
from tests.test_bedrock_answers import START, block_delta
from tests.test_wire import Talk, turn

PATIENCE = 5.0  # seconds
KEY = "sk-secret"
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
FIRST = {speech.name: speech.stream.index(b"\n\n") + 2 for speech in (OPENAI, ANTHROPIC)}  # bytes that were held
BEDROCK = Speech("bedrock", "bedrock", "", b"", START + block_delta(0, text="a"))
FIRST["bedrock"] = len(START)
FAULTS = {
    "openai_chat": b'data: {"error":{"message":"no more, %b","type":"server_error"}}\n\n' % KEY.encode(),
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"no, %b"}}\n\n'
    % KEY.encode(),
}
ENDS: dict[str, Callable[[Speech], bytes]] = {
    "whole": lambda speech: speech.stream,
    "cut": lambda speech: speech.stream[: len(speech.stream) // 2],
    "without its last line end": lambda speech: speech.stream[:-1],
    "its own error": lambda speech: (
        speech.stream[: len(speech.stream) // 2].rpartition(b"\n\n")[0] + b"\n\n" + FAULTS[speech.name]
    ),
    "its own error, without our key": lambda speech: (
        speech.stream[: FIRST[speech.name]] + FAULTS[speech.name].replace(KEY.encode(), b"x")
    ),
}


class Came(NamedTuple):
    """What a client has got of it, and what its call knows then."""

    said: bytes
    error: tuple[str, str, bool] | None
    usage: Usage | None
    model: str


async def poured(body: Pouring, sink: Sink) -> None:
    while not await body.pour(sink):
        await turn()


async def asked_for(body: Pouring, sink: Sink) -> None:
    async for piece in body:
        sink(piece)


Way = Callable[[Pouring, Sink], Awaitable[None]]
PACES = (1, 2, 1_000_000)


def paced(cuts: Iterable[list[bytes]]) -> Iterator[tuple[list[bytes], int]]:
    """Each cut, and how many pieces the client takes at a time: the first dozen at every pace, the others in turn."""
    for number, pieces in enumerate(cuts):
        for every in PACES if number < 12 else (PACES[number % len(PACES)],):
            yield pieces, every


async def came(speech: Speech, pieces: Sequence[bytes], way: Way, every: int, resumable: bool) -> Came:
    """`every`: the client has enough for now with each so many-th piece."""
    adapter = SimpleNamespace(name="p", whose_key="pillion's", hide=lambda text: text.replace(KEY, "***"))
    call = taking.call(dialect=speech.name, target=Target(cast(Adapter, adapter), "m"), resumable=resumable)
    talk, meter, out = Talk(), call.dialect.meter(stream=True), list[bytes]()
    held = speech.stream[: FIRST[speech.name]]
    meter.feed(held)
    talk.receive(HEAD)

    def sink(piece: bytes) -> bool:
        out.append(piece)
        return len(out) % every > 0

    relay = Relay(call, talk.exchange, meter, None, held)
    task = asyncio.ensure_future(way(relay, sink))
    await turn()
    for number, piece in enumerate(pieces):
        if talk.wire.exchange is not None:
            talk.receive(piece)
        if number % 2:
            await turn()
    talk.wire.connection_lost(None)
    error: Any = None
    try:
        async with asyncio.timeout(PATIENCE):
            await task
    except UpstreamError as broke:
        error = broke.code, broke.message, broke.told
    assert talk.released == [False]
    return Came(b"".join(out), error, call.usage, call.answered_model)


@pytest.mark.parametrize("way", [asked_for, poured])
async def test_bytes_that_are_no_stream_are_the_providers_fault_behind_what_was_whole(way: Way) -> None:
    rest = BEDROCK.stream[FIRST["bedrock"] :]
    got = await came(BEDROCK, [rest[:9], rest[9:], bytes(12), bytes(1)], way, 1, False)
    why = "The provider's answer could not be read: the checksum of a message's prelude is wrong."
    assert (got.said, got.error) == (BEDROCK.stream, ("upstream_protocol", why, False))


@pytest.mark.parametrize("resumable", [False, True], ids=["", "resumable"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lambda speech: speech.name)
async def test_a_stream_is_the_same_poured_as_piece_by_piece(speech: Speech, end: str, resumable: bool) -> None:
    rest = ENDS[end](speech)[FIRST[speech.name] :]
    expected = await came(speech, [rest], asked_for, 1, resumable)
    assert (expected.error is None) == (end in ("whole", "without its last line end"))
    assert KEY not in str(expected)
    for pieces, every in paced(splits(rest, count=10)):
        assert await came(speech, pieces, poured, every, resumable) == expected


@pytest.mark.parametrize(
    "said",
    [
        b'error: {"code":400,"message":"no more","type":"invalid_request_error"}\n\n',
        b'data: {"object":"error","message":"no more","type":"BadRequestError","code":400}\n\n',
    ],
    ids=["llama.cpp's", "vLLM's"],
)
async def test_an_error_that_sdks_would_not_take_for_one_is_not_handed_on(said: bytes) -> None:
    """Nor is the [DONE] behind it: pillion tells of the fault in its place."""
    start = FIRST["openai_chat"]
    text = OPENAI.stream[start : OPENAI.stream.index(b"\n\n", start) + 2]
    for pieces, every in paced(splits(text + said + b"data: [DONE]\n\n", count=10)):
        got = await came(OPENAI, pieces, poured, every, False)
        assert (got.said, got.error) == (OPENAI.stream[:start] + text, ("upstream_refused", "no more", False))
