"""What does a client hear when its answer is cut after any one byte: by FIN, by RST, or by silence? (U1)

Six shapes of an answer, each cut in its head, in its framing and in its body. One that stands alone is an error on the
client's own wire, and never looks as if it were whole; where a route has a second target, the client gets all of its
answer from that one, unless something of the first had been said by then. `make soak` takes every byte.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Text, Usage
from tests import laws
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Got, Speech, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion

AT_A_TIME = 128
TIMERS = {"connect": 5, "headers": 0.25, "first_event": 0.25, "idle": 0.25, "total": 0.25}
SAMPLED = 8  # `make test` takes one of so many cuts
SAID = "Grüße"
SENTENCE: list[Event] = [
    Start(id="a1", model="real"),
    Open(index=0, part=Text()),
    Delta(index=0, text="Grü"),
    Delta(index=0, text="ße"),
    Close(index=0),
    Usage(input=5, output=2),
    Finish(),
]

How = Literal["fin", "rst", "stall"]


def told(wire: str) -> bytes:
    """The stream of a wire that says it."""
    renderer = registry.dialect(wire).renderer(Request(wire=wire, model="m", turns=[], stream=True))
    return b"".join(map(renderer.feed, SENTENCE))


def live(body: bytes, media_type: str, framing: Literal["chunked", "eof"] = "chunked") -> Scenario:
    return Scenario(body=body, headers=[("Content-Type", media_type)], framing=framing, split=[len(body) // 2])


# By the provider whose it is. Gemini's ends with its connection.
SHAPES = {
    "openai": Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")]),
    "groq": live(OPENAI.stream, "text/event-stream"),
    "anthropic": live(ANTHROPIC.stream, "text/event-stream"),
    "gemini": live(told("gemini"), "text/event-stream", "eof"),
    "bedrock": live(told("bedrock"), "application/vnd.amazon.eventstream"),
    "ollama": live(told("ollama"), "application/x-ndjson"),
}
WHOLE = "openai"  # whose is no stream


class Cut(NamedTuple):
    at: int
    how: How

    @property
    def text(self) -> str:
        return f"cut after {self.at} by {self.how}"


def cuts(shape: str) -> list[Cut]:
    every = [Cut(at, how) for at in range(len(SHAPES[shape].wire())) for how in ("fin", "rst", "stall")]
    count = laws.share(f"cuts of an answer of {shape}'s", len(every), len(every) // SAMPLED)
    return random.Random(9).sample(every, count)


def answer(request: Received) -> Scenario:
    """As its words have it."""
    found = re.search(rb"cut after (\d+) by (\w+) of (\w+)", request.body)
    if found is None:
        return Scenario(status=404)
    at, how, shape = (word.decode() for word in found.groups())
    return Scenario(**{**vars(SHAPES[shape]), "cut_at": int(at), "cut_of": "wire", "how": how})


def spare(request: Received) -> Scenario:
    return live(OPENAI.stream, "text/event-stream") if json.loads(request.body).get("stream") else SHAPES[WHOLE]


# --- what a client hears ---------------------------------------------------------------------------------------------

# Who has heard less than this has not heard all: the reason why it ended comes last, but for what merely says so again.
LAST = {
    "openai": b'"total_tokens":7}}',
    "groq": b'"finish_reason": "stop"}]}',
    "anthropic": b'{"type": "message_stop"}',
    "gemini": b'"finishReason":"STOP"',
    "bedrock": b"end_turn",
    "ollama": b'"done":true',
}
# And up to here nothing has been said, so that another may say it.
FIRST = dict.fromkeys(SHAPES, b"Gr") | {"anthropic": b"content_block_start", WHOLE: LAST[WHOLE]}


def needed(shape: str) -> int:
    """Bytes of the wire."""
    return SHAPES[shape].wire().rindex(LAST[shape]) + len(LAST[shape])


def silent(shape: str) -> int:
    """Bytes of the wire."""
    return SHAPES[shape].wire().index(FIRST[shape])


def text(got: Got) -> str:
    """What was said, as a client puts it together."""
    found = re.findall(r'"(?:content|text)": ?"((?:[^"\\]|\\.)*)"', got.body.decode())
    return "".join(found).replace("\\u00fc", "ü").replace("\\u00df", "ß")


def looks_whole(got: Got, speech: Speech, stream: bool) -> bool:
    return got.status == 200 and got.whole and (not stream or speech.ends_whole(got.body))


def check_error(got: Got, speech: Speech) -> None:
    """As a status, or as the last event of what is not whole."""
    if got.status == 200:
        assert not got.whole
        speech.error(speech.last_event(got.body))
    else:
        assert (got.whole, got.status) in [(True, 502), (True, 504)]
        speech.error(got.body)


def check_alone(got: Got, speech: Speech, shape: str, cut: Cut) -> None:
    """Who has heard its end has heard all of it, whatever came behind it."""
    if got.status == 200 and (got.whole or speech.ends_whole(got.body)):
        assert cut.at >= needed(shape)
        assert text(got) == SAID
    if not looks_whole(got, speech, shape != WHOLE):
        check_error(got, speech)


def check_with_another(got: Got, speech: Speech, shape: str, cut: Cut) -> None:
    """Until something has been said it is as if nothing had happened."""
    assert got.status == 200
    if got.header("x-pillion-provider") == "spare":
        assert looks_whole(got, speech, shape != WHOLE)
        assert text(got) == SAID
    else:
        assert cut.at > silent(shape)
        check_alone(got, speech, shape, cut)


@asynccontextmanager
async def staged(folder: Path, timers: Mapping[str, float] = TIMERS) -> AsyncIterator[Gateway]:
    """Each provider by itself, and a route of each with a spare one behind it."""
    async with Evil(answering=answer) as evil, Evil(answering=spare) as other:
        row = {"api_key": "sk-of-nobody", "timers": timers}
        rows = {name: {**row, "base_url": evil.url + "/v1" * (name in ("openai", "groq"))} for name in SHAPES}
        rows["spare"] = {"kind": "openai", "base_url": f"{other.url}/v1", "api_key": "sk-of-nobody"}
        routes = {f"{name}-or-another": {"targets": [f"{name}/m", "spare/m"]} for name in SHAPES}
        file = folder / "config.json"
        never = {"failures": 1_000_000, "cooldown": 0.001, "ramp": 0}  # each cut is to be met by the first target
        file.write_text(json.dumps({"providers": rows, "routes": routes, "breaker": never}))
        async with pillion(PILLION_CONFIG=str(file), AWS_REGION="us-east-1") as gateway:
            yield gateway


@pytest.mark.parametrize(("model", "check"), [("{}/m", check_alone), ("{}-or-another", check_with_another)])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_cut_answer_is_an_error_or_another_ones(
    shape: str, model: str, check: Callable[[Got, Speech, str, Cut], None], tmp_path: Path
) -> None:
    heard = Counter[tuple[int, bool]]()

    async def one(cut: Cut, speech: Speech) -> None:
        said = [{"role": "user", "content": f"{cut.text} of {shape}"}]
        body = speech.request(shape != WHOLE, model.format(shape), messages=said)
        got = await chat(gateway, speech, body)
        try:
            check(got, speech, shape, cut)
        except AssertionError as error:
            raise AssertionError(f"{speech.name}, {cut.text}: {got}") from error
        heard[got.status, got.header("x-pillion-provider") == "spare"] += 1

    async with staged(tmp_path) as gateway:
        for some in batched(cuts(shape)):
            await asyncio.gather(*(one(cut, SPEECHES[cut.at % 2]) for cut in some))
    assert len(heard) > 1 or shape == WHOLE  # of those that were cut early, and of those that were cut late


CONCLUDED = ("groq", "anthropic", "bedrock", "ollama")  # whose stream has a last event of its own
FRAMING = b"\r\n0\r\n\r\n"  # behind it


@pytest.mark.parametrize("how", ["fin", "rst", "stall"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speech", SPEECHES, ids=lambda speech: speech.name)
@pytest.mark.parametrize("shape", CONCLUDED)
async def test_what_breaks_the_connection_behind_the_last_event_breaks_no_answer(
    shape: str, speech: Speech, stream: bool, how: How, tmp_path: Path
) -> None:
    """A provider that is silent then is not waited for until a timer rings."""
    wire = SHAPES[shape].wire()
    cut = Cut(random.Random(5).randrange(len(wire) - len(FRAMING), len(wire)), how)
    async with staged(tmp_path, {}) as gateway:
        said = [{"role": "user", "content": f"{cut.text} of {shape}"}]
        got = await chat(gateway, speech, speech.request(stream, f"{shape}/m", messages=said))
    assert looks_whole(got, speech, stream), got
    assert text(got) == SAID


def batched(every: Sequence[Cut]) -> Iterator[Sequence[Cut]]:
    return (every[at : at + AT_A_TIME] for at in range(0, len(every), AT_A_TIME))
