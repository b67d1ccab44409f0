"""Is every request that a client got an answer to in the ledger, when pillion is killed at any moment? (L0)

The oracle: what the clients heard, what the provider was asked, and the rows, reconciled after each kill.
"""

import asyncio
import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from proxy.store import CRASHED, ESTIMATED
from tests import laws
from tests.client import OPENAI, Place, ask
from tests.evil import Evil, Scenario
from tests.test_cli import address, serving
from tests.waiting import soon

KILLS = 200 if laws.SOAK else 3
CLIENTS = 8
HEARD = 10, 100  # answers before a kill: at least, and less than
PRICES = "prices: {openai/m: {input: 1, output: 3}}\n"
ELEVEN = 11_000  # nano-dollars: five tokens in, two out
NOT_YET = Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")], delay_body=0.002)


async def test_no_request_that_was_answered_is_lost_by_a_kill(tmp_path: Path) -> None:
    laws.figures["random kills of a pillion under load"] = (KILLS, 200)
    dice, config, state = random.Random(7), tmp_path / "config.yaml", tmp_path / "state"
    config.write_text(PRICES)
    heard: set[str] = set()
    async with Evil(answering=lambda _: NOT_YET) as evil:
        said = {"PILLION_STATE_DIR": str(state), **OPENAI.environ(evil.url)}
        for _ in range(KILLS):
            async with serving("serve", "--config", str(config), **said) as (process, greeting):
                where = address(greeting)
                asking = [asyncio.create_task(asked(where, heard)) for _ in range(CLIENTS)]
                enough = len(heard) + dice.randrange(*HEARD)
                await soon(lambda enough=enough: len(heard) >= enough)  # type: ignore[misc]
                await asyncio.sleep(dice.uniform(0, 0.005))  # any moment of the requests that are under way
                process.kill()
                await asyncio.gather(*asking)
        async with serving("serve", "--config", str(config), **said):  # what was under way at the last one is booked
            pass
        rows = read(state)
        asked_of_provider = len(evil.requests)
    ids = Counter(request for request, _, _ in rows)
    booked = {request: (nanos, flags) for request, nanos, flags in rows}
    assert max(ids.values()) == 1
    assert heard <= ids.keys()
    assert {booked[request] for request in heard} == {(ELEVEN, 0)}  # not even an estimate is lost on them
    crashed = [request for request, (_, flags) in booked.items() if flags & CRASHED]
    assert len(crashed) <= KILLS * CLIENTS
    assert all(booked[request][1] & ESTIMATED for request in crashed)
    assert len(heard) <= asked_of_provider <= len(rows)
    assert len(heard) >= HEARD[0] * KILLS


async def asked(where: Place, heard: set[str]) -> None:
    """Ask until nobody answers any more."""
    with suppress(OSError, AssertionError, asyncio.IncompleteReadError):
        while True:
            got = await ask(where, "POST", OPENAI.path, OPENAI.request(model="openai/m"))
            if not got.whole:
                return
            assert got.status == 200
            request = got.header("x-pillion-request-id")
            assert request is not None
            heard.add(request)


def read(state: Path) -> list[tuple[str, int, int]]:
    with closing(sqlite3.connect(f"{(state / 'ledger.db').as_uri()}?mode=ro", uri=True)) as database:
        return list(database.execute("SELECT request, nanos, flags FROM attempts"))
