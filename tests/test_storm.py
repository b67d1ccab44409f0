"""Does everything hold at once: streams, clients that leave, faults of the provider, reloads, keys that change?

And is all quiet after it, with nothing held, and the ledger equal to the provider's own log? `make soak` has a thousand
streams at a time, `make test` some of them.
"""

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

from proxy.app import App
from proxy.config import load
from tests import laws
from tests.client import ANTHROPIC, OPENAI, USAGE_CHUNK, Client, Speech, ask, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import DEFAULTS, Gateway
from tests.test_door import soon

STREAMS = 1000 if laws.SOAK else 60  # at a time
ROUNDS = 10 if laws.SOAK else 2  # requests of each client
RELOADS = 20 if laws.SOAK else 4
SSE = [("Content-Type", "text/event-stream")]
JSON = [("Content-Type", "application/json")]
WHOLE_STREAM = OPENAI.stream[:-14] + USAGE_CHUNK + OPENAI.stream[-14:]
BUSY = b'{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":null}}'
DOWN = b'{"error":{"message":"oh no","type":"server_error","param":null,"code":null}}'
REFUSALS = {
    "busy": Scenario(status=429, body=BUSY, headers=[*JSON, ("Retry-After", "0")]),
    "down": Scenario(status=500, body=DOWN, headers=JSON),
}


class Provider:
    """Answers as the dice fall; `did` counts what it has done."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.did: Counter[str] = Counter()

    def answer(self, request: Received) -> Scenario:
        what = self._dice.choices(["well", "fin", "rst", "busy", "down"], [80, 6, 6, 4, 4])[0]
        self.did[what] += 1
        if what in REFUSALS:
            return REFUSALS[what]
        streaming = json.loads(request.body).get("stream", False)
        body, headers = (WHOLE_STREAM, SSE) if streaming else (OPENAI.whole, JSON)
        well = Scenario(body=body, headers=headers, framing="chunked", split=self._dice.randrange(9), gap=0.002)
        if what == "well":
            return well
        return replace(well, cut_at=self._dice.randrange(len(body)), how="fin" if what == "fin" else "rst")


async def one_client(gateway: Gateway, dice: random.Random, told: Counter[str]) -> None:
    for _ in range(ROUNDS):
        speech = dice.choice([OPENAI, ANTHROPIC])
        streaming, leaves = dice.random() < 0.8, dice.random() < 0.2
        async with client(gateway) as asking:
            await asking.send(spell("POST", speech.path, speech.request(streaming, "openai/m"), speech.headers))
            if leaves:
                await asyncio.sleep(dice.uniform(0, 0.02))
                asking.leave(dice.choice(["fin", "rst"]))
                told["left"] += 1
            else:
                told[await heard(asking, speech, streaming)] += 1


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


async def test_a_storm_leaves_nothing_behind(tmp_path: Path) -> None:
    laws.figures["streams of the storm at a time"] = (STREAMS, 1000)
    dice, told = random.Random(11), Counter[str]()
    config, key = tmp_path / "config.yaml", tmp_path / "key"
    key.write_text("sk-first-of-many-keys")
    provider = Provider(random.Random(12))
    async with Evil(answering=provider.answer) as evil:
        said = {
            **DEFAULTS,
            "OPENAI_API_KEY_FILE": str(key),
            "PILLION_OPENAI_BASE_URL": f"{evil.url}/v1",
            "PILLION_STATE_DIR": str(tmp_path / "state"),
            "PILLION_RETRY_MAX_RETRIES": "2",
            "PILLION_RETRY_INITIAL_DELAY": "0.001",
        }
        config.write_text(text(0))
        app = App(load(config, said))
        try:
            await app.open()
            gateway = Gateway(app)
            clients = [asyncio.create_task(one_client(gateway, random.Random(n), told)) for n in range(STREAMS)]
            for n in range(RELOADS):
                await asyncio.sleep(dice.uniform(0.01, 0.05))
                key.write_text(f"sk-key-number-{n}-of-many")
                config.write_text(text(n))
                await app.become(load(config, said))
            await asyncio.gather(*clients)
            await soon(lambda: app.upstream.in_use == 0)
            assert {standing.reserved for standing in app.accounting.budgets.standing()} == {0}
            assert {standing.latency.in_flight for standing in app.lasting.standings} == {0}
            usage = json.loads((await ask(gateway, "GET", "/v1/usage?group_by=provider")).body)["total"]
            asked = len(evil.requests)
        finally:
            await app.close()
    assert told.total() == STREAMS * ROUNDS
    assert min(told[how] for how in ("whole", "left", "broken")) > 0, told
    assert min(provider.did.values()) > 0
    # One row for each request that the provider has seen, and for those that left before it saw a whole one.
    assert asked <= usage["requests"] <= asked + told["left"]


def text(n: int) -> str:
    """A configuration that is another each time."""
    return (
        "prices: {openai/m: {input: 1, output: 3}}\n"
        f"budgets: {{all: {{usd: {1000 + n}, window: day, unbounded_usd: 0.01}}}}\nledger: {{create: true}}\n"
        "providers: {openai: {models: [{name: m, max_output: 100}]}}\n"
    )
