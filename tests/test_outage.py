"""Is a provider that fails asked no more often than it was before, left alone soon, and then tried by one alone? (U13)

Over real connections and through the whole of pillion. test_retries.py and test_breaker.py have the same by a clock.
"""

import asyncio
import time
from collections import Counter

from tests.client import OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion

DOWN = Scenario(
    status=500,
    body=b'{"error":{"message":"oh no","type":"server_error","param":null,"code":null}}',
    headers=[("Content-Type", "application/json")],
)
REQUESTS, AT_A_TIME = 1000, 50
FLOOR = 3  # retries in ten seconds that are there for whoever rarely asks
COOL = 1.0  # seconds for which it is left alone; longer than all of them take
RETRIED = {"PILLION_RETRY_MAX_RETRIES": "2", "PILLION_RETRY_INITIAL_DELAY": "0.001"}
BROKEN_OFF = {**RETRIED, "PILLION_BREAKER_FAILURES": "5", "PILLION_BREAKER_COOLDOWN": str(COOL)}


async def asked(gateway: Gateway, count: int) -> Counter[int]:
    """The statuses of so many answers."""
    heard, left = Counter[int](), iter(range(count))

    async def one() -> None:
        for _ in left:
            heard[(await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status] += 1

    await asyncio.gather(*(one() for _ in range(AT_A_TIME)))
    return heard


async def test_a_thousand_requests_that_all_fail_are_twelve_hundred_at_most() -> None:
    async with Evil(answering=lambda _: DOWN) as evil, pillion(**OPENAI.environ(evil.url), **RETRIED) as gateway:
        began = time.monotonic()
        assert await asked(gateway, REQUESTS) == {500: REQUESTS}
        windows = 1 + (time.monotonic() - began) // 10
        assert REQUESTS < len(evil.requests) <= 1.2 * REQUESTS + FLOOR * windows


async def test_it_is_left_alone_before_anybody_comes_again_and_then_tried_by_one() -> None:
    """By their number, and not by the clock: those that were under way by then, of which few are tried again. That is
    within 50 ms at a thousand requests a second.
    """
    async with Evil(answering=lambda _: DOWN) as evil, pillion(**OPENAI.environ(evil.url), **BROKEN_OFF) as gateway:
        while 503 not in await asked(gateway, AT_A_TIME):
            pass
        opened = len(evil.requests)
        assert opened <= AT_A_TIME + FLOOR
        last = max(answer.at[-1] for answer in evil.answers)
        assert await asked(gateway, AT_A_TIME) == {503: AT_A_TIME}
        assert len(evil.requests) == opened
        await asyncio.sleep(last + COOL - asyncio.get_running_loop().time())
        assert (await asked(gateway, AT_A_TIME)).keys() <= {500, 503}
        assert len(evil.requests) == opened + 1
