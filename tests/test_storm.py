"""Does everything hold at once: streams, clients that leave, faults of the provider, reloads, keys that change?

And is all quiet after it, with nothing held, and the ledger equal to the provider's own log? `make soak` has a thousand
streams at a time, `make test` some of them.
"""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.app import App
from proxy.config import load
from proxy.store import ESTIMATED
from tests import laws
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Client, Speech, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import DEFAULTS, Gateway, config_file, opened
from tests.waiting import soon

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
        what = self._dice.choices(["well", "fin", "rst", "busy", "down"], [80, 6, 6, 4, 4])[0]
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
    """Each asks, and asks again. `told` counts what became of that; `left` has the names of what nobody waited for."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.told: Counter[str] = Counter()
        self.left: set[str] = set()
        self.most = 0  # under way at once

    async def one(self, number: int) -> None:
        dice = random.Random(number)
        for turn in range(ROUNDS):
            await self._ask(dice, f"{number}, {turn}")

    async def _ask(self, dice: random.Random, name: str) -> None:
        speech, streaming = dice.choice([OPENAI, ANTHROPIC]), dice.random() < 0.8
        body = speech.request(streaming, "openai/m", messages=[{"role": "user", "content": name}])
        async with client(self.gateway) as asking:
            await asking.send(spell("POST", speech.path, body, speech.headers))
            if dice.random() < 0.2:
                self.left.add(name)
                await asyncio.sleep(dice.uniform(0, 10 * PACE))
                asking.leave(dice.choice(["fin", "rst"]))
                self.told["left"] += 1
            else:
                self.told[await heard(asking, speech, streaming)] += 1
        self.most = max(self.most, self.gateway.app.upstream.in_use)


async def heard(asking: Client, speech: Speech, streaming: bool) -> str:
    """How it ended; never as if it were whole when it is not."""
    got = await asking.answer()
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


async def changing(gateway: Gateway, config: Path, said: dict[str, str], clients: "asyncio.Future[Any]") -> int:
    """Other configurations, and other keys, until the clients are done; how many there were."""
    dice, key, count = random.Random(11), Path(said["OPENAI_API_KEY_FILE"]), 0
    while not clients.done():
        await asyncio.sleep(dice.uniform(PACE, 10 * PACE))
        write(key, f"sk-key-number-{count}-of-many")
        write(config, text(count))
        await gateway.app.become(load(config, said))
        count += 1
    return count


async def test_a_storm_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.client.PATIENCE", PATIENCE)
    config, key = tmp_path / "config.yaml", tmp_path / "key"
    key.write_text("sk-first-of-many-keys")
    provider = Provider(random.Random(12))
    async with Evil(answering=provider.answer) as evil:
        said = {
            **DEFAULTS,
            **config_file(text(0), tmp_path),
            "OPENAI_API_KEY_FILE": str(key),
            "PILLION_OPENAI_BASE_URL": f"{evil.url}/v1",
            "PILLION_OPENAI_TIMERS_HEADERS": str(PATIENCE),
            "PILLION_RETRY_MAX_RETRIES": "2",
            "PILLION_RETRY_INITIAL_DELAY": "0.001",
        }
        async with opened(App(load(environ=said))) as gateway:
            app, clients = gateway.app, Clients(gateway)
            asking = asyncio.gather(*(clients.one(number) for number in range(STREAMS)))
            reloads = await changing(gateway, config, said, asking)
            await asking
            await soon(lambda: app.upstream.in_use == 0)
            assert {standing.reserved for standing in app.accounting.budgets.standing()} == {0}
            assert {standing.latency.in_flight for standing in app.lasting.standings} <= {0}
            assert (len(app.lasting.active), app.server.connections) == (0, 0)
    laws.figures["calls of the storm under way at once"] = (clients.most, STREAMS)
    check_books(provider, clients, tmp_path / "state" / "ledger.db")
    told = clients.told
    assert told.total() == STREAMS * ROUNDS
    assert min(told[how] for how in ("whole", "left", "broken")) > 0, told
    assert min(provider.did.values()) > 0
    assert min(reloads, len(provider.keys)) > 3


def check_books(provider: Provider, clients: Clients, ledger: Path) -> None:
    """A row for each request that the provider has seen; of who left before that there may be one, for nobody knows."""
    with closing(sqlite3.connect(ledger)) as database:
        rows = database.execute("SELECT nanos, flags, error FROM attempts").fetchall()
    seen, errors = provider.seen.total(), Counter(error for _, _, error in rows)
    assert len(rows) - errors["client_gone"] <= seen <= len(rows), errors
    assert errors["client_gone"] <= len(clients.left)
    exact = sum(nanos == ELEVEN and not flags & ESTIMATED for nanos, flags, _ in rows)
    assert clients.told["whole"] <= exact <= seen - provider.did["busy"] - provider.did["down"]


def write(file: Path, said: str) -> None:
    file.write_text(said)


def text(n: int) -> str:
    """A configuration that is another each time."""
    return (
        "prices: {openai/m: {input: 1, output: 3}}\n"
        f"budgets: {{all: {{usd: {1000 + n}, window: day, unbounded_usd: 0.01}}}}\nledger: {{create: true}}\n"
        "providers: {openai: {models: [{name: m, max_output: 100}]}}\n"
    )
