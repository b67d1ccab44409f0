"""Does a client ever notice that a provider closes a connection which nobody used, as somebody begins to? (U11)

Where the close crosses a request on its way, with no byte back, the request goes out once more, on a connection of its
own; never a second time.
"""

import asyncio
import random
import re
from collections import Counter

from tests import laws
from tests.client import OPENAI, Client, client, spell
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion

CLIENTS = 20  # at a time
JSON = [("Content-Type", "application/json")]
ANSWER = Scenario(body=OPENAI.whole, headers=JSON)
CROSSED = [Scenario(cut_at=0, cut_of="wire", how="fin"), Scenario(cut_at=0, cut_of="wire", how="rst")]


class Fickle:
    """Answers what comes first on a connection. What comes later may find it closed, which is closed by then or soon.

    `seen`: how often each question came.
    """

    def __init__(self) -> None:
        self.evil = Evil(answering=self.answer)
        self.seen = Counter[bytes]()
        self._used = set[int]()
        self._dice = random.Random(5)

    def answer(self, request: Received) -> Scenario:
        self.seen[re.findall(rb"question \d+", request.body)[0]] += 1
        if request.connection in self._used and self._dice.random() < 0.3:
            return CROSSED[self._dice.randrange(2)]
        self._used.add(request.connection)
        if self._dice.random() < 0.3:
            asyncio.get_running_loop().call_later(0.001, self._close, request.connection)
        return ANSWER

    def _close(self, number: int) -> None:
        """Unless something is under way there, as far as a provider can know."""
        connection = self.evil._connections[number]
        if not connection._inbox and connection._answers[-1].state == "whole":
            self.evil.hang_up(number, self._dice.choice(["close", "rst"]))


async def asking(one: Client, numbers: range) -> Counter[tuple[int, bool]]:
    heard, dice = Counter[tuple[int, bool]](), random.Random(numbers.start)
    for number in numbers:
        body = OPENAI.request(model="openai/m", messages=[{"role": "user", "content": f"question {number}"}])
        await one.send(spell("POST", OPENAI.path, body))
        got = await one.answer()
        heard[got.status, got.whole] += 1
        await asyncio.sleep(dice.uniform(0, 0.004))
    return heard


async def test_nobody_notices_that_idle_connections_are_closed() -> None:
    count = laws.share("requests to a provider that closes at random", 10_000, 400)
    each, fickle, heard = count // CLIENTS, Fickle(), Counter[tuple[int, bool]]()
    async with fickle.evil as evil, pillion(**OPENAI.environ(evil.url)) as gateway:

        async def one(number: int) -> None:
            async with client(gateway) as here:
                heard.update(await asking(here, range(number * each, (number + 1) * each)))

        await asyncio.gather(*map(one, range(CLIENTS)))
    assert heard == {(200, True): count}
    assert set(fickle.seen.values()) == {1, 2}
