"""Does everything hold at once: streams, clients that leave, faults of two providers, reloads, keys that change?

Over TLS, with a second provider behind the first. And is all quiet after it, with nothing held, and the ledger equal to
the providers' own logs? `make soak` has a thousand streams at a time, `make test` some of them.
"""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy.app import App
from proxy.config import load
from proxy.store import ESTIMATED
from tests import laws
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Got, Speech, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import DEFAULTS, Gateway, config_file, opened
from tests.waiting import soon

PROVIDERS = ["openai", "spare"]  # each is asked first as often, and where it fails, the other one
STREAMS = 1000 if laws.SOAK else 60  # at a time
ROUNDS = 5 if laws.SOAK else 2  # requests of each client
PACE = 0.4 if laws.SOAK else 0.002  # seconds between two pieces of an answer, of which there are ten at most
PATIENCE = 120.0  # seconds; a thousand clients, pillion and the provider share a core here
SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]
WHOLE_STREAM = OPENAI.stream[:-14] + USAGE_CHUNK + OPENAI.stream[-14:]
BUSY = b'{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":null}}'
DOWN = b'{"error":{"message":"oh no","type":"server_error","param":null,"code":null}}'
REFUSALS = {
    "busy": Scenario(status=429, body=BUSY, headers=[*JSON, ("Retry-After", "0")]),
    "down": Scenario(status=500, body=DOWN, headers=JSON),
}
ELEVEN = 11_000  # nano-dollars: five tokens in, two out


class Provider:
    """Answers as the dice fall; `did` counts what it has done, and `seen` who asked, and how often."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.did: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.keys: set[str] = set()

    def answer(self, request: Received) -> Scenario:
        asked = json.loads(request.body)
        self.seen[asked["messages"][0]["content"]] += 1
        self.keys.add(request.header("authorization") or "")
        what = self._dice.choices(["well", "fin", "rst", "busy", "down"], [68, 6, 6, 10, 10])[0]
        self.did[what] += 1
        if what in REFUSALS:
            return REFUSALS[what]
        body, headers = (WHOLE_STREAM, SSE) if asked.get("stream") else (OPENAI.whole, JSON)
        well = Scenario(body=body, headers=headers, framing="chunked", split=self._dice.randrange(9), gap=PACE)
        if what == "well":
            return well
        # Behind a head that has come: else the request would go out again on another connection, and be seen twice.
        cut = replace(well, cut_at=self._dice.randrange(1, len(body)), delay_body=PACE)
        return replace(cut, how="fin" if what == "fin" else "rst")


class Clients:
    """Each asks, and asks again. `told` counts what became of that; `left` has the names of what nobody waited for.

    `answered`: of all others, by the id that pillion gave the request, its name, and who gave it a whole answer.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.told: Counter[str] = Counter()
        self.left: set[str] = set()
        self.answered: dict[str, tuple[str, str]] = {}
        self.most = 0  # under way at once

    async def one(self, number: int) -> None:
        dice = random.Random(number)
        for turn in range(ROUNDS):
            await self._ask(dice, f"{number}, {turn}")

    async def _ask(self, dice: random.Random, name: str) -> None:
        speech, streaming = dice.choice([OPENAI, ANTHROPIC]), dice.random() < 0.8
        body = speech.request(streaming, "r", messages=[{"role": "user", "content": name}])
        async with client(self.gateway) as asking:
            await asking.send(spell("POST", speech.path, body, speech.headers))
            if dice.random() < 0.2:
                self.left.add(name)
                await asyncio.sleep(dice.uniform(0, 10 * PACE))
                asking.leave(dice.choice(["fin", "rst"]))
                self.told["left"] += 1
            else:
                got = await asking.answer()
                how = heard(got, speech, streaming)
                self.told[how] += 1
                by = got.header("x-pillion-provider") if how == "whole" else ""
                self.answered[got.header("x-pillion-request-id") or ""] = name, by or ""
        self.most = max(self.most, self.gateway.app.upstream.in_use)


def heard(got: Got, speech: Speech, streaming: bool) -> str:
    """How it ended; never as if it were whole when it is not."""
    if got.status != 200:
        assert got.whole
        speech.error(got.body)
        return "refused"
    if streaming and not speech.ends_whole(got.body):
        assert not got.whole
        speech.error(speech.last_event(got.body))
        return "broken"
    assert got.whole
    assert "ße".encode() in got.body
    return "whole"


async def changing(gateway: Gateway, said: dict[str, str], spare: Evil, clients: "asyncio.Future[Any]") -> int:
    """Other configurations, and other keys, until the clients are done; how many there were."""
    dice, config, keys = random.Random(11), Path(said["PILLION_CONFIG"]), [Path(said[name]) for name in KEY_FILES]
    for number in count():
        if clients.done():
            return number
        await asyncio.sleep(dice.uniform(PACE, 10 * PACE))
        write(dice.choice(keys), f"sk-key-number-{number}-of-many")
        write(config, text(number, spare))
        await gateway.app.become(load(config, said))
    raise AssertionError


KEY_FILES = ["OPENAI_API_KEY_FILE", "SPARE_KEY_FILE"]


def environ(folder: Path, first: Evil, spare: Evil) -> dict[str, str]:
    files = {name: str(folder / name) for name in KEY_FILES}
    for file in files.values():
        write(Path(file), "sk-first-of-many-keys")
    return {
        **DEFAULTS,
        **config_file(text(0, spare), folder),
        **files,
        "PILLION_OPENAI_BASE_URL": f"{first.url}/v1",
        "PILLION_OPENAI_CA": str(first.ca_pem),
        "PILLION_OPENAI_TIMERS_HEADERS": str(PATIENCE),
        "PILLION_RETRY_MAX_RETRIES": "1",
        "PILLION_RETRY_INITIAL_DELAY": "0.001",
    }


def text(number: int, spare: Evil) -> str:
    """A configuration that is another each time."""
    openai = {"models": [{"name": "m", "max_output": 100}]}
    other = {"base_url": f"{spare.url}/v1", "ca": str(spare.ca_pem), "keys": ["SPARE_KEY"]}
    return json.dumps(
        {
            "prices": {f"{name}/m": {"input": 1, "output": 3} for name in PROVIDERS},
            "budgets": {"all": {"usd": 1000 + number, "window": "day", "unbounded_usd": 0.01}},
            "ledger": {"create": True},
            "providers": {"openai": openai, "spare": {**openai, **other, "timers": {"headers": PATIENCE}}},
            "routes": {"r": {"targets": [f"{name}/m" for name in PROVIDERS], "strategy": "weighted"}},
        }
    )


def write(file: Path, said: str) -> None:
    file.write_text(said)


async def test_a_storm_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.client.PATIENCE", PATIENCE)
    providers = [Provider(random.Random(seed)) for seed in (12, 13)]
    first, spare = (Evil(answering=provider.answer, tls=True) for provider in providers)
    async with first, spare:
        said = environ(tmp_path, first, spare)
        async with opened(App(load(environ=said))) as gateway:
            app, clients = gateway.app, Clients(gateway)
            asking = asyncio.gather(*(clients.one(number) for number in range(STREAMS)))
            reloads = await changing(gateway, said, spare, asking)
            await asking
            await soon(lambda: app.upstream.in_use == 0)
            assert {standing.reserved for standing in app.accounting.budgets.statements()} == {0}
            assert {standing.latency.in_flight for standing in app.lasting.standings} <= {0}
            assert (len(app.lasting.active), app.server.connections) == (0, 0)
    laws.figures["calls of the storm under way at once"] = (clients.most, STREAMS)
    assert clients.most >= 0.9 * STREAMS  # some may be at their end before the last begins
    check_books(providers, clients, booked(tmp_path / "state" / "ledger.db"))
    told = clients.told
    assert told.total() == STREAMS * ROUNDS
    assert min(told[how] for how in ("whole", "left", "broken")) > 0, told
    assert min(provider.did[what] for provider in providers for what in ("well", "fin", "rst", "busy", "down")) > 0
    assert providers[0].seen.keys() & providers[1].seen.keys()  # one failed, and the other was asked
    assert min([reloads, *(len(provider.keys) for provider in providers)]) > 3


# --- the books -------------------------------------------------------------------------------------------------------


class Booked(NamedTuple):
    """A row of the ledger."""

    request: str
    provider: str
    nanos: int
    flags: int
    error: str


def booked(ledger: Path) -> list[Booked]:
    with closing(sqlite3.connect(ledger)) as database:
        rows = database.execute("SELECT request, provider, nanos, flags, error FROM attempts")
        return [Booked(*row) for row in rows]


def check_books(providers: Sequence[Provider], clients: Clients, rows: Sequence[Booked]) -> None:
    """Of each request that was waited for there is a row for each time that a provider has seen it, and no other.

    Of one that was not there may be one more: it was booked, and did not get out any more.
    """
    logs = dict(zip(PROVIDERS, providers, strict=True))
    known = [row for row in rows if row.request in clients.answered]
    laws.figures["rows of the storm that are the providers' own to one"] = (len(known), len(rows))
    counted = Counter((clients.answered[row.request][0], row.provider) for row in known)
    seen = {(name, by): times for by, log in logs.items() for name, times in log.seen.items()}
    assert counted == {key: times for key, times in seen.items() if key[0] not in clients.left}
    others = Counter(row.provider for row in rows if row.request not in clients.answered)
    least = {by: sum(log.seen[name] for name in clients.left) for by, log in logs.items()}
    assert all(least[by] <= others[by] for by in logs)
    assert others.total() - sum(least.values()) <= len(clients.left)
    check_costs(clients, known)


def check_costs(clients: Clients, known: Sequence[Booked]) -> None:
    """Who was given a whole answer pays for it what its provider has counted, and what failed before it was none."""
    paid = Counter((row.request, row.provider) for row in known if is_exact(row))
    whole = {(request, by) for request, (_, by) in clients.answered.items() if by}
    assert whole <= paid.keys()
    assert max(paid.values()) == 1
    assert {row.nanos for row in known if row.error == "rate_limit_exceeded"} == {0}


def is_exact(row: Booked) -> bool:
    return row.nanos == ELEVEN and not row.flags & ESTIMATED
