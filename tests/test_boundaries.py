"""Is a recorded stream the same for its client, and in the books, wherever its provider's bytes break? (U3)

Over real sockets and through the whole of pillion: each byte in an HTTP chunk of its own, each in a write of its own,
and in pieces by a seed, to a client of either wire. What decoders make of each split, and an exchange, is in the tests
of the dialects and in test_wire.py.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence

import pytest

from tests import laws, recordings
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Speech, ask, chat
from tests.evil import Scenario
from tests.gateway import Gateway
from tests.replay import CHAT, MESSAGES, Json, Row, stage
from tests.waiting import soon

LONGEST = 4000  # bytes of a stream that is taken
RECORDED = [(OPENAI, CHAT), (ANTHROPIC, MESSAGES)]
# What is made anew for each answer.
_MADE = re.compile(rb'"(?:id|created)": ?(?:"[^"]*"|\d+)')
_TOKENS = re.compile(rb'"\w+_tokens": ?\d+')
# Of one read that is translated, a text is one delta, however many it came in.
_PIECE = re.compile(rb'"(text|content|partial_json|arguments|thinking|reasoning_content)": ?"((?:[^"\\]|\\.)*)"')


def streams(rows: Sequence[Row], name: str) -> list[Row]:
    """Some of them, and under soak all that are not long."""
    live = [row for row in rows if row["framing"] == "sse" and row["status"] == 200]
    short = [row for row in live if len(recordings.body(row)) <= LONGEST]
    count = laws.share(f"recorded streams of {name}'s wire that come byte by byte", min(len(short), 60), 3)
    return random.Random(3).sample(short, count)


def ways(row: Row) -> Iterator[Scenario]:
    whole = Scenario.from_recording(row)
    yield whole
    yield Scenario.from_recording(row, split="bytes")
    yield Scenario(raw=whole.wire(), split="bytes")
    yield Scenario(raw=whole.wire(), split=len(row["id"]))


async def booked(gateway: Gateway) -> Json:
    """What was used until now."""
    await soon(lambda: gateway.app.upstream.in_use == 0 and gateway.app.accounting.ledger.pending == 0)
    total: Json = json.loads((await ask(gateway, "GET", "/v1/usage")).body)["total"]
    return total


def used(before: Json, after: Json) -> dict[str, int] | None:
    """The tokens between the two, unless they are a guess: that one goes by the pieces as well."""
    if after["estimated"] > before["estimated"]:
        return None
    return {name: count - before["tokens"][name] for name, count in after["tokens"].items()}


def said(body: bytes, is_guess: bool) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The events: each without its texts, and with those of itself and of what is like it and follows."""
    out: list[tuple[bytes, dict[bytes, bytes]]] = []
    for event in _MADE.sub(b"", body).split(b"\n\n"):
        bare, texts = _PIECE.sub(rb"\1", _TOKENS.sub(b"", event) if is_guess else event), _PIECE.findall(event)
        if not out or out[-1][0] != bare:
            out.append((bare, {}))
        for name, text in texts:
            out[-1][1][name] = out[-1][1].get(name, b"") + text
    return out


@pytest.mark.parametrize("client", SPEECHES, ids=lambda speech: speech.name)
@pytest.mark.parametrize(("provider", "rows"), RECORDED, ids=["openai", "anthropic"])
async def test_a_stream_is_the_same_wherever_its_bytes_break(client: Speech, provider: Speech, rows: list[Row]) -> None:
    async with stage(provider) as acting:
        before = await booked(acting.gateway)
        for row in streams(rows, provider.provider):
            heard: list[tuple[object, ...]] = []
            for acting.plays in ways(row):
                got = await chat(acting.gateway, client, client.request(True, f"{provider.provider}/m"))
                after = await booked(acting.gateway)
                told, before = used(before, after), after
                events = got.body if client is provider else said(got.body, told is None)
                heard.append((got.status, got.whole, events, told))
            assert heard[0] == heard[1] == heard[2] == heard[3], row["id"]
            recordings.replayed(row)
