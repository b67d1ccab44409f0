"""Does a translated stream come to the client alike, whether it is poured or asked for piece by piece?

Whole or broken, however it is cut, and however often the client has enough: the same events and end, nothing twice.
test_relaying.py asks the same of a stream that passes through.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from msgspec.structs import replace

from proxy import registry
from proxy.canon import Completion, Request, Usage, fold
from proxy.errors import UpstreamError
from proxy.lanes.begun import Begun
from proxy.lanes.hearing import Hearing
from proxy.lanes.retelling import Retelling
from proxy.lanes.telling import Telling
from proxy.ports import Adapter, Target
from proxy.sealing.seals import Sealer
from proxy.sealing.vault import Vault
from tests import taking
from tests.client import ANTHROPIC, OPENAI, Speech
from tests.laws import listen, splits
from tests.test_relaying import Way, asked_for, paced, poured
from tests.test_wire import Talk, turn

PATIENCE = 60.0  # seconds: nothing here is waited for
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
BROKEN = {
    "openai_chat": b'data: {"error":{"message":"no more","type":"server_error"}}\n\n',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"no more"}}\n\n',
}
ENDS: dict[str, Callable[[Speech], bytes]] = {
    "whole": lambda speech: speech.stream,
    "cut": lambda speech: speech.stream[: len(speech.stream) // 2],
    "its own error": lambda speech: (
        speech.stream[: len(speech.stream) // 2].rpartition(b"\n\n")[0] + b"\n\n" + BROKEN[speech.name]
    ),
}
TOLD = b"told before"


class Came(NamedTuple):
    """What a client has got of it, and what its call knows then."""

    begins: bool  # with what was told before
    said: Completion | int  # the answer; of a broken one how much text
    error: str
    usage: Usage | None
    model: str


async def came(speech: Speech, client: str, pieces: Sequence[bytes], way: Way, every: int, begun: bytes = b"") -> Came:
    """`every`: the client has enough for now with each so many-th piece. `begun`: was read of the answer before."""
    adapter = SimpleNamespace(name="p", hide=lambda text: text)
    call = taking.call(dialect=client, target=Target(cast(Adapter, adapter), "m"), stream=True)
    request = Request(wire=client, model="m", turns=[], stream=True, include_usage=True)
    talk, out = Talk(), list[bytes]()
    hearing = Hearing(registry.dialect(speech.name).decoder(True), Vault().recall(request, "", "p"), Sealer("p"))
    telling = Telling(call, request, hearing, call.dialect.renderer(request))
    talk.receive(HEAD)

    def sink(piece: bytes) -> bool:
        out.append(piece)
        return len(out) % every > 0

    body = Retelling(Begun(talk.exchange, begun) if begun else talk.exchange, telling, TOLD)
    task = asyncio.ensure_future(way(body, sink))
    await turn()
    for number, piece in enumerate(filter(None, pieces)):  # an empty chunk would be the last
        talk.receive(b"%x\r\n%b\r\n" % (len(piece), piece))
        if number % 2:
            await turn()
    talk.receive(LAST)
    error = ""
    try:
        async with asyncio.timeout(PATIENCE):
            await task
    except UpstreamError as broke:
        error = broke.code
    await turn()
    assert len(talk.released) == 1
    begins, rest = out[:1] == [TOLD], b"".join(out[1:])
    assert TOLD not in rest
    events, fault = listen(call.dialect.decoder(True), [rest])
    said: Any = sum(len(getattr(event, "text", "")) for event in events)
    if fault is None:
        said = fold(events)
        said = replace(said, start=replace(said.start, created=None))  # the second in which it was told, and here how
        said = replace(said, usage=said.usage and replace(said.usage, extra={}))  # long it took (Ollama)
    return Came(begins, said, error, call.usage, call.answered_model)


@pytest.mark.parametrize("pours", [True, False], ids=["poured", "asked for"])
async def test_whoever_has_enough_of_it_lets_go_of_the_provider(pours: bool) -> None:
    call = taking.call(dialect="gemini", target=Target(cast(Adapter, SimpleNamespace(name="p")), "m"), stream=True)
    request = Request(wire="gemini", model="m", turns=[], stream=True)
    talk = Talk()
    hearing = Hearing(registry.dialect("openai_chat").decoder(True), Vault().recall(request, "", "p"), Sealer("p"))
    talk.receive(HEAD)
    body = Retelling(talk.exchange, Telling(call, request, hearing, call.dialect.renderer(request)), TOLD)

    def sink(piece: bytes) -> bool:
        raise ConnectionResetError

    if pours:
        with pytest.raises(ConnectionResetError):
            await body.pour(sink)
    else:
        assert await anext(body) == TOLD
        await body.aclose()
    assert talk.released == [False]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("client", ["anthropic", "openai_chat", "openai_responses", "gemini", "ollama", "cohere"])
@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lambda speech: speech.name)
async def test_a_stream_is_the_same_poured_as_piece_by_piece(speech: Speech, client: str, end: str) -> None:
    stream = ENDS[end](speech)
    expected = await came(speech, client, [stream], asked_for, 1)
    assert expected.begins
    assert (expected.error == "") == (end == "whole")
    for pieces, every in paced(splits(stream, count=5)):
        assert await came(speech, client, pieces, poured, every) == expected
    assert await came(speech, client, [stream[9:]], poured, 1, begun=stream[:9]) == expected
