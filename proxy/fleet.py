"""What does one sidecar of a fleet ask of all the others?

Sidecars know nothing of each other. They count together in one store, which each asks by short scripts, in order and on
one connection: an `Ask` waits in a line until store/redis.py has its answer. Nobody waits long: a store that does not
answer at once counts as away. Then everything in the line is told so, and nothing is asked until the store is back
(docs/decisions/0025-fleet.md).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from secrets import token_hex
from time import monotonic
from typing import Any, Protocol

from proxy.errors import LedgerUnavailable

TOGETHER = 0.035  # seconds that a request waits for all its questions together
SOON = 0.005  # seconds of these that each question gets
TURNS = 3  # turns of the loop that it takes to read an answer which has come

PREFIX = "pillion:1:"  # of each key; the number changes with the meaning of what is stored

Answer = Sequence[int] | None  # of a script; None: the store is away
Words = Sequence[bytes] | None  # of a script that returns texts, likewise
Word = str | bytes | int


class Asker(Protocol):
    """A request that asks one thing after the other."""

    store_waited: float  # seconds


class FirstTime:
    """Stands for the call of one that has not asked before."""

    store_waited = 0.0


class StoreUnavailable(LedgerUnavailable):
    """The store cannot say what the fleet has spent, and a budget depends on it."""

    code = "store_unavailable"


class Ask:
    """A script, and who hears its answer. `at`: when it was asked, in seconds of the monotonic clock. `says`: the type
    of the items in its answer.
    """

    __slots__ = ("args", "at", "heard", "keys", "says", "script")

    def __init__(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[Word],
        heard: Callable[[Any], None],
        says: type[int | bytes] = int,
    ) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.heard = heard
        self.says = says
        self.at = monotonic()


class Fleet:
    """`id`: this sidecar's. `members`: how many sidecars there were when we last heard. `run`: which life of the store.

    `beats` are called once a second while the store is there, and first when it comes back, to ask what is due.
    """

    def __init__(self) -> None:
        self.id = token_hex(8)
        self.members = 1
        self.run = 0
        self.is_up = False
        self.scripts: set[str] = set()  # loaded into the store in advance, so that no request waits for that
        self.fallbacks = 0  # requests that were decided without the store
        self.beats: list[Callable[[], None]] = []
        self.gone: list[Callable[[], None]] = []  # are called when the store goes away
        self.line: deque[Ask] = deque()
        self.is_asked = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Fleet of {self.members}, store {'up' if self.is_up else 'away'}, {len(self.line)} asked>"

    def tell(self, script: str, keys: Sequence[str], args: Sequence[Word], heard: Callable[[Answer], None]) -> None:
        """Have the store run a script. Its answer is None where the store is away, or goes away meanwhile."""
        self._put(Ask(script, keys, args, heard))

    def read(self, script: str, keys: Sequence[str], args: Sequence[Word], heard: Callable[[Words], None]) -> None:
        """The same, for a script that returns texts."""
        self._put(Ask(script, keys, args, heard, bytes))

    def _put(self, ask: Ask) -> None:
        if not self.is_up:
            ask.heard(None)
            return
        self.line.append(ask)
        self.is_asked.set()

    def came(self) -> None:
        """The store is there. First it is told what it has missed."""
        self.is_up = True
        self.beat()

    def beat(self) -> None:
        for each in self.beats:
            each()

    def went(self) -> None:
        """The store is away, and all who wait hear so."""
        was_up, self.is_up = self.is_up, False
        while self.line:
            self.line.popleft().heard(None)
        if was_up:
            for each in self.gone:
                each()


async def heard(answer: "asyncio.Future[Any]", asker: Asker | None) -> bool:
    """Is it there as long as this request still waits? Else it is cancelled, and the store no less there than before.

    A first question waits for whoever carries it, who sees to it that the answer is in time. What is counted is the
    store's time: a look from which our own loop comes back late counts as one that was on time.
    """
    asker = asker or FirstTime()
    left = inf if asker.store_waited < SOON else max(TOGETHER - asker.store_waited, SOON)
    try:
        while left > 0 and not answer.done():
            began, look = monotonic(), min(left, SOON)
            await asyncio.wait((answer,), timeout=look)
            spent = min(monotonic() - began, look)
            asker.store_waited += spent
            left -= look
        for _ in range(TURNS):
            if not answer.done():
                await asyncio.sleep(0)
        return answer.done()
    finally:
        if not answer.done():
            answer.cancel()
