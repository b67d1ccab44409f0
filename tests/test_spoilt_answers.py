"""Is there an answer of a provider, however it is spoilt, that pillion breaks on, or makes a lie of?

Recorded answers of every wire, spoilt as tests/spoilt_answers.py has it, go through the whole of pillion to clients of
every wire. No client hears of a bug of ours, waits for ever, or reads as whole what was cut; each translated answer is
of its SDK's own types; and no count, and so no cost, is below nought.
"""

import asyncio
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy import registry
from proxy.canon import BUCKETS, Usage
from tests import recordings
from tests.client import Got, ask
from tests.conformance import understood
from tests.conformance.scene import PROVIDERS, config_file, is_live, played
from tests.conformance.sending import Request, addressed
from tests.conformance.told import BESIDE, CLAUDES, Json, Wire
from tests.evil import Evil, Received, Scenario
from tests.framed import Framing, frames, name_of, said
from tests.gateway import Gateway, pillion
from tests.laws import listen, share
from tests.recordings import Row, needs_recordings
from tests.spoilt_answers import Spoilt, cases, spoilt
from tests.test_figures_fuzz import Heard

HANG = 20.0  # seconds
AT_ONCE = 16
SHOWN = 40
SAMPLED = 12  # `make test` takes one of so many
SPEAKING: list[Wire] = [
    "openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "bedrock_invoke", "ollama", "cohere",
]  # fmt: skip

_SAID = [{"role": "user", "content": "Hi"}]
ASKED: dict[Wire, Json] = {
    "openai_chat": {"messages": _SAID, "stream_options": {"include_usage": True}, "logprobs": True},
    "openai_responses": {"input": "Hi", "include": ["message.output_text.logprobs"]},
    "anthropic": {"messages": _SAID, "max_tokens": 100},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "bedrock": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "ollama": {"messages": _SAID, "logprobs": True},
    "ollama_generate": {"prompt": "Hi"},
    "cohere": {"messages": _SAID},
}
ASKING = [*ASKED]
FRAMINGS: dict[Wire, Framing] = {"bedrock": "aws-eventstream", "ollama": "ndjson", "ollama_generate": "ndjson"}


# --- what an answer must be ------------------------------------------------------------------------------------------


def faults(client: Wire, provider: Wire, case: Spoilt, got: Got) -> list[str]:
    """What is wrong with what the client got, a line each."""
    if b"pillion failed because of a bug" in got.body:
        return ["a bug"]
    if got.status != 200:
        return [] if isinstance(read(got.body), dict) else ["an error that is no JSON object"]
    if own(client) == provider or {client, provider} <= CLAUDES:  # it is as it came
        return ["whole, though it was cut"] if case.cut_at is not None and got.whole else []
    live = is_live(case.row) and "json" not in (got.header("content-type") or "").replace("ndjson", "")
    if live:
        return streamed(client, case, got)
    if case.is_cut or not got.whole:
        return ["whole, though it was cut" if case.is_cut else "a broken answer"]
    return [*understood.misread(client, read(got.body)), *below_nought(client, got.body, stream=False)]


def streamed(client: Wire, case: Spoilt, got: Got) -> list[str]:
    framing = FRAMINGS.get(client, "sse")
    *before, last = frames(framing, got.body) or [b""]
    is_whole = looks_whole(client, before, last)
    wrong = ["whole, though it was cut"] if is_whole and case.is_cut else []
    if is_whole != got.whole:
        wrong.append(f"the stream looks {'whole' if is_whole else 'broken'}, and the HTTP message does not")
    for frame in [*before, last] if is_whole else before:  # the last may be an error
        if not frame.startswith((b":", b"data: [DONE]")):
            wrong += understood.event_misread(client, read(payload(framing, frame)), name_of(frame))
    return wrong + below_nought(client, got.body, stream=True)


def looks_whole(client: Wire, before: list[bytes], last: bytes) -> bool:
    """Would an app say that the stream has come to its end?"""
    match client:
        case "openai_chat":
            return last.startswith(b"data: [DONE]")
        case "openai_responses":
            return re.match(rb"event: response\.(?:completed|incomplete)\s", last) is not None
        case "anthropic":
            return last.startswith(b"event: message_stop")
        case "gemini":
            ends = (re.search(rb'"(?:finishReason|blockReason)": ?"', frame) for frame in (*before, last))
            return any(ends) and b'{"error":' not in last
        case "bedrock":
            return "messageStop" in map(name_of, (*before, last)) and b":exception-type" not in last
        case "cohere":  # an answer that was withheld ends with ERROR as well, and is whole
            end = before[-1] if last.startswith(b"data: [DONE]") else last
            is_broken = b'"error":' in end and b"The provider ended the answer" not in end
            return end.startswith(b"event: message-end") and not is_broken
        case _:
            return re.search(rb'"done": ?true', last) is not None


def own(client: Wire) -> Wire:
    """The wire that the client speaks, and with it its provider."""
    return BESIDE.get(client, client)


def payload(framing: Framing, frame: bytes) -> bytes:
    return json.dumps(said(framing, frame)).encode()


def read(body: bytes) -> Json:
    """As JSON is, with no NaN and no half of a character in it."""
    value: Json = msgspec.json.decode(body)
    return value


def below_nought(client: Wire, body: bytes, stream: bool) -> list[str]:
    events, _ = listen(registry.dialect(own(client)).decoder(stream), [body])
    used = [event for event in events if isinstance(event, Usage)]
    return ["a count makes no sense" for usage in used if usage.is_odd or min(getattr(usage, n) for n in BUCKETS) < 0]


# --- how it is asked -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def staged(folder: Path, plays: dict[int, Scenario]) -> AsyncIterator[Gateway]:
    """Each request names the answer that it gets in its model."""

    def answer(request: Received) -> Scenario:
        found = re.search(rb"case-(\d+)", request.target.encode() + request.body)
        assert found is not None
        return plays.pop(int(found[1]))

    async with (
        Evil(answering=answer) as evil,
        pillion(PILLION_CONFIG=str(config_file(folder, evil.url)), PILLION_STATE_DIR=str(folder)) as gateway,
    ):
        yield gateway


def scenario(case: Spoilt, dice: random.Random) -> Scenario:
    split = dice.choice([None, None, dice.randrange(1000)])
    plan = vars(played(case.row)) | {"body": case.body, "split": split}
    return Scenario(**plan | {"cut_at": case.cut_at, "how": dice.choice(["fin", "rst"])})


async def asked(gateway: Gateway, client: Wire, provider: Wire, number: int, live: bool) -> Got:
    """Raises TimeoutError."""
    model = f"{PROVIDERS[provider][0]}/case-{number}"
    path, body = addressed(client, model, Request(model, ASKED[client], live))
    headers = [("anthropic-version", "2023-06-01")] if client == "anthropic" else []
    async with asyncio.timeout(HANG):
        return await ask(gateway, "POST", path, json.dumps(body).encode(), headers)


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    logging.getLogger("pillion").addHandler(handler)
    yield handler
    logging.getLogger("pillion").removeHandler(handler)


@needs_recordings
@pytest.mark.parametrize("provider", SPEAKING)
async def test_however_an_answer_is_spoilt_no_client_is_told_a_lie(
    provider: Wire, tmp_path: Path, heard: Heard
) -> None:
    dice, plays, wrong = random.Random(provider), dict[int, Scenario](), list[str]()
    every = cases(provider)
    taken = dice.sample(every, share(f"spoilt answers of {provider}", len(every), len(every) // SAMPLED))

    async def take(left: Iterator[tuple[int, Spoilt]]) -> None:
        for number, case in left:
            own_dice = random.Random(f"{provider} {number}")  # nobody throws who happens to be first
            client, plays[number] = own_dice.choice(ASKING), scenario(case, own_dice)
            try:
                got = await asked(gateway, client, provider, number, is_live(case.row))
                found = faults(client, provider, case, got)
            except Exception as error:
                found = [repr(error)]
            recordings.replayed(case.row)
            wrong.extend(f"{case.row['id']} to {client}, {case.how}: {each}" for each in found)

    async with staged(tmp_path, plays) as gateway:
        left = enumerate(spoilt(provider, case, dice) for case in taken)
        await asyncio.gather(*(take(left) for _ in range(AT_ONCE)))
        metrics = (await ask(gateway, "GET", "/metrics")).body.decode()
        assert (await ask(gateway, "GET", "/readiness")).status == 200
        assert gateway.app.upstream.in_use == 0
    assert not wrong + heard.traces, f"{len(wrong)} of {len(taken)}:\n" + "\n".join((wrong + heard.traces)[:SHOWN])
    assert not re.findall(r"(?m)^pillion_\S+ (?:-|NaN).*", metrics)


# --- the judge itself: it must see what is wrong ---------------------------------------------------------------------


def heard_whole(usage: int = 1, status: int = 200, **changes: Any) -> Got:
    said = {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "unheard of"}],
        "usage": {"prompt_tokens": usage, "completion_tokens": 1, "total_tokens": usage + 1},
        **changes,
    }
    return Got(status, [("content-type", "application/json")], json.dumps(said).encode(), whole=True)


def heard_live(*frames: bytes, whole: bool = True) -> Got:
    return Got(200, [("content-type", "text/event-stream")], b"".join(frames), whole=whole)


CHUNK = (
    b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
)
DONE = b"data: [DONE]\n\n"
WHOLE: Row = {"id": "w", "framing": "json"}
LIVE: Row = {"id": "l", "framing": "sse"}


@pytest.mark.parametrize(
    ("row", "is_cut", "got", "found"),
    [
        (WHOLE, False, heard_whole(), ""),
        (WHOLE, True, heard_whole(), "though it was cut"),
        (WHOLE, False, heard_whole(usage=-5), "count"),
        (WHOLE, False, heard_whole(model=7), "model: "),
        (WHOLE, False, heard_whole(choices=None), "choices: "),
        (WHOLE, False, heard_whole(status=502), ""),
        (WHOLE, False, heard_whole(status=500, error="pillion failed because of a bug: ..."), "bug"),
        (LIVE, False, heard_live(CHUNK, DONE), ""),
        (LIVE, True, heard_live(CHUNK, DONE), "though it was cut"),
        (LIVE, True, heard_live(CHUNK, whole=False), ""),
        (LIVE, False, heard_live(CHUNK, whole=True), "looks broken"),
        (LIVE, False, heard_live(CHUNK, DONE, whole=False), "looks whole"),
        (LIVE, False, heard_live(CHUNK.replace(b'"index":0,', b""), DONE), "index: "),
    ],
)
def test_a_fault_is_seen(row: Row, is_cut: bool, got: Got, found: str) -> None:
    seen = faults("openai_chat", "anthropic", Spoilt(row, "somehow", b"", is_cut), got)
    assert found in "".join(seen)
    assert bool(seen) is bool(found)


@pytest.mark.parametrize("body", [b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":"\xff"}'])
def test_what_is_no_json_is_seen(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        read(body)
