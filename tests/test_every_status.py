"""What does a client hear of each status that a provider may answer with, whatever stands in the body? (U2)

Every status from 100 to 599, of each provider, with an error of its own, a page, nothing, or what breaks off: always
an error on the client's own wire, with the provider's status where that is an error. test_retries.py has what each
means for failover, and every form of Retry-After.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import laws
from tests.client import SPEECHES, Got, Speech, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion

AT_A_TIME, FEW = 64, 8  # FEW: of the long ones
SAMPLED = 30  # `make test` takes one of so many
BIG = 10 * 1024 * 1024
JSON, HTML = [("Content-Type", "application/json")], [("Content-Type", "text/html")]
BODILESS = (204, 304)
PROVIDERS = ("openai", "anthropic", "gemini", "bedrock", "ollama", "cohere", "groq")
ERROR = b'{"type":"error","error":{"message":"no","type":"x","code":"x","param":null},"message":"no"}'


class Answer(NamedTuple):
    status: int
    what: str

    @property
    def text(self) -> str:
        return f"answer {self.status} with {self.what}"


BODIES = {
    "an_error": Scenario(body=ERROR, headers=JSON),
    "a_page": Scenario(body=b"<html><body>No</body></html>", headers=HTML),
    "nothing": Scenario(),
    "nonsense": Scenario(body=b'{"error":', headers=JSON),
    "what_breaks_off": Scenario(body=ERROR, headers=JSON, cut_at=20, how="rst"),
    "too_much": Scenario(body=b'{"error":"' + b"x" * BIG, headers=JSON),
}
LONG = "too_much"


def answer(request: Received) -> Scenario:
    """As its words have it."""
    found = re.search(rb"answer (\d+) with (\w+)", request.body)
    if found is None:
        return Scenario(status=400)
    status, what = int(found[1]), found[2].decode()
    plan = BODIES[what]
    if status in BODILESS:  # whoever sends a body with these has sent another answer
        plan = BODIES["nothing"]
    # Behind an interim answer nothing comes.
    return Scenario(**{**vars(plan), "status": status, "then": "close" if status < 200 else "keep_alive"})


def answers() -> list[Answer]:
    every = [Answer(status, what) for status in range(100, 600) for what in BODIES if what != LONG]
    some = random.Random(4).sample(
        every, laws.share("statuses and bodies, of each provider", len(every), len(every) // SAMPLED)
    )
    return [*some, *(Answer(status, LONG) for status in (range(100, 600) if laws.SOAK else (500,)))]


def check(got: Got, speech: Speech, asked: Answer) -> None:
    error = speech.error(got.body)
    assert got.whole
    assert "pillion failed because of a bug" not in error["message"]
    if asked.status < 400:
        assert got.status == 502
    else:
        assert got.status == asked.status


def batched(every: Sequence[tuple[int, Answer]]) -> Iterator[Sequence[tuple[int, Answer]]]:
    """So many at a time that a client which waits for its answer does not wait for too many others'."""
    long = [one for one in every if one[1].what == LONG]
    short = [one for one in every if one[1].what != LONG]
    for some, count in ((short, AT_A_TIME), (long, FEW)):
        yield from (some[at : at + count] for at in range(0, len(some), count))


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Gateway]:
    async with Evil(answering=answer) as evil:
        rows = {
            name: {"api_key": "sk-of-nobody", "base_url": evil.url + "/v1" * (name in ("openai", "groq"))}
            for name in PROVIDERS
        }
        file = folder / "config.json"
        file.write_text(json.dumps({"providers": rows}))
        async with pillion(PILLION_CONFIG=str(file), AWS_REGION="us-east-1") as gateway:
            yield gateway


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_status_is_an_error_on_the_clients_own_wire(provider: str, tmp_path: Path) -> None:
    wrong: list[str] = []

    async def one(number: int, asked: Answer) -> None:
        speech = SPEECHES[number % 2]
        said = [{"role": "user", "content": asked.text}]
        got = await chat(gateway, speech, speech.request(number % 4 > 1, f"{provider}/m", messages=said))
        try:
            check(got, speech, asked)
        except (AssertionError, ValueError) as error:
            wrong.append(f"{speech.name}, {asked.text}: {got.status} {got.body[:200]!r} {error!s:.80}")

    every = list(enumerate(answers()))
    async with staged(tmp_path) as gateway:
        for some in batched(every):
            await asyncio.gather(*(one(number, asked) for number, asked in some))
    assert not wrong, f"{len(wrong)} of {len(every)}:\n" + "\n".join(wrong[:20])
