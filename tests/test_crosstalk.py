"""Does anybody ever get a byte of another's answer, however many leave in the middle of theirs? (X1)

Over TLS and uvloop, where connections to the provider are used again. Each request has a nonce, which the provider says
in every piece of its answer and in a header; whoever stays must hear it and no other, and so must whoever leaves, as
far as they hear.
"""

import asyncio
import json
import random
import re
from collections import Counter
from pathlib import Path

from tests import laws
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Client, Speech, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.waiting import soon

CLIENTS = 40  # at a time
LEAVE = 0.5  # of them
BUDGET = "budgets: {all: {usd: 1000000, window: day, unbounded_usd: 1, mode: lenient}}\n"
SSE, JSON = "text/event-stream", "application/json"

_nonces = re.compile(rb"nonce-[0-9a-f]{16}").findall


def nonce(dice: random.Random) -> bytes:
    return b"nonce-%016x" % dice.getrandbits(64)


def answer(request: Received) -> Scenario:
    """In both wires' words, with the nonce of the request in place of what they say."""
    (said,) = set(_nonces(request.body))
    provider = ANTHROPIC if request.target == ANTHROPIC.path else OPENAI
    live = json.loads(request.body).get("stream", False)
    body = _saying(provider.stream if live else provider.whole, said)
    headers = [("Content-Type", SSE if live else JSON), ("x-request-id", said.decode())]
    return Scenario(body=body, headers=headers, framing="chunked", split=int(said[-4:], 16) + 1, gap=0.001)


def _saying(body: bytes, said: bytes) -> bytes:
    """Each of the three places where they say something says this."""
    for word in ("Grüße", "Grü", "ße"):
        body = body.replace(word.encode(), said)
    return body


class Visit:
    """One client, who asks again and again on one connection, until leaving it."""

    def __init__(self, gateway: Gateway, dice: random.Random) -> None:
        self.gateway = gateway
        self.dice = dice

    async def ask(self, count: int, told: Counter[str]) -> None:
        """Until so many have been asked, whoever did."""
        while told["asked"] < count:
            async with client(self.gateway) as one:
                while told["asked"] < count and await self._stayed(one, told):
                    pass

    async def _stayed(self, one: Client, told: Counter[str]) -> bool:
        dice = self.dice
        told["asked"] += 1
        speech, provider, own = dice.choice(SPEECHES), dice.choice(SPEECHES), nonce(dice)
        body = speech.request(dice.random() < 0.8, f"{provider.provider}/m", messages=_question(own))
        await one.send(spell("POST", speech.path, body, speech.headers))
        if dice.random() < LEAVE:
            await self._leave(one, own)
            told["left"] += 1
            return False
        await self._hear(one, own, told)
        return True

    async def _leave(self, one: Client, own: bytes) -> None:
        """At once, after a while, or with something heard."""
        when = self.dice.choice(["at once", "later", "amid it"])
        if when == "later":
            await asyncio.sleep(self.dice.uniform(0, 0.01))
        elif when == "amid it":
            assert set(_nonces(await one.some())) <= {own}
        one.leave(self.dice.choice(["fin", "rst"]))

    async def _hear(self, one: Client, own: bytes, told: Counter[str]) -> None:
        got = await one.answer()
        assert (got.status, got.whole) == (200, True)
        assert set(_nonces(got.body)) == {own}
        assert got.header("x-request-id") == own.decode()
        told["stayed"] += 1


def _question(own: bytes) -> list[dict[str, str]]:
    return [{"role": "user", "content": own.decode()}]


def environ(provider: Speech, evil: Evil) -> dict[str, str]:
    return {**provider.environ(evil.url), f"PILLION_{provider.provider.upper()}_CA": str(evil.ca_pem)}


async def test_nobody_hears_a_byte_of_anothers_answer(tmp_path: Path) -> None:
    """And of what was set aside for them nothing stays so (D2)."""
    count = laws.share("requests with a nonce of their own", 20_000, 1_000)
    told = Counter[str]()
    async with Evil(answering=answer, tls=True) as evil:
        asked_of = {**environ(OPENAI, evil), **environ(ANTHROPIC, evil)}
        there = {**config_file(BUDGET, tmp_path), "PILLION_STATE_DIR": ""}  # with no disk to wait for
        async with pillion(**asked_of, **there) as gateway:
            visits = [Visit(gateway, random.Random(number)) for number in range(CLIENTS)]
            await asyncio.gather(*(visit.ask(count, told) for visit in visits))
            await soon(lambda: gateway.app.upstream.in_use == 0)
            assert [row.reserved for row in gateway.app.accounting.budgets.statements()] == [0]
        asked = len(evil.requests)
        assert evil.connections < asked  # else none of them was used again
    assert told["asked"] == told["left"] + told["stayed"] >= count
    assert min(told["left"], told["stayed"]) > 0.45 * count
