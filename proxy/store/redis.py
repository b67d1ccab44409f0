"""What carries a fleet's questions to Redis, and notices when it is away?

One task on one connection that nobody else touches, so that no answer is read by the wrong one, even if whoever asked
is gone. All that stands in the line goes out together, and answers come in the order of the questions. Anything but an
answer within `PATIENCE` means that Redis is away: slow, stopped, loading, read-only, full or unreachable makes no
difference. Then the connection is closed, and new ones are tried until a script that writes is answered.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from hashlib import sha1
from time import monotonic
from typing import Any, TypeVar

from proxy.config import Secret
from proxy.fleet import PREFIX, TOGETHER, TURNS, Ask, Fleet
from proxy.store.connection import CONNECT, Client, NoScriptError, RedisError, ResponseError, Way, reason

PATIENCE = TOGETHER  # seconds to wait for an answer; the rest of a request's 50 ms is for everything else
LEAST = 0.005  # seconds that a question gets at least, even if it stood in the line for long; also the length of a look
LATE = 0.010  # seconds beyond them that our own lag may take
AGAIN = 0.25  # seconds between two attempts to reach it again
BEAT = 1.0  # seconds
LIVES = 10_000  # milliseconds without news of a sidecar after which it no longer counts
MOST = 128  # questions that go out together

log = logging.getLogger("pillion")
T = TypeVar("T")

# Counts the members, and shows that Redis can be written.
MEMBERS = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {redis.call('ZCARD', KEYS[1])}
"""
LEAVE = "return {redis.call('ZREM', KEYS[1], ARGV[1])}"


class Redis:
    """`url`: as for `Way`. Raises ConfigError."""

    def __init__(self, url: Secret, fleet: Fleet) -> None:
        self._way = Way(url)
        self._fleet = fleet
        self._client = self._made()
        self._task: asyncio.Task[None] | None = None
        self._why = ""
        self._digests: dict[str, str] = {}
        self._flight = asyncio.Lock()  # held while questions are on their way

    def __repr__(self) -> str:
        return f"<Redis {'up' if self._fleet.is_up else self._why or 'not yet open'}>"

    async def open(self) -> None:
        """Never fails: if Redis is not there, pillion goes on without it as far as it can."""
        await self._try()
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="redis")

    async def close(self) -> None:
        """First send what is still in the line, if Redis is there."""
        if self._task is None:
            return
        async with self._flight:  # questions whose answers were not read would be asked again
            await _ended(self._task)
        if self._fleet.is_up:
            self._fleet.tell(LEAVE, [_MEMBERS], [self._fleet.id], _nobody)
            while self._fleet.line and await self._carried():
                pass
        self._fleet.went()
        await self._drop()

    async def _serve(self) -> None:
        while True:
            if await self._try():
                await self._carry()
            await asyncio.sleep(AGAIN)

    async def _carry(self) -> None:
        """Carry questions until Redis is away."""
        due = monotonic() + BEAT
        while True:
            if monotonic() >= due:
                due = monotonic() + BEAT
                self._beat()
            if not self._fleet.line:
                await self._idle(due - monotonic())
            elif not await self._carried():
                return

    async def _idle(self, seconds: float) -> None:
        self._fleet.is_asked.clear()
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._fleet.is_asked.wait()
        except TimeoutError:
            pass

    async def _try(self) -> bool:
        """Is Redis there? If it has just come back, everybody is told."""
        if self._fleet.is_up:
            return True
        try:
            async with asyncio.timeout(CONNECT):
                for script in {MEMBERS, LEAVE, *self._fleet.scripts}:
                    await self._client.script_load(script)
            (answer,) = await self._asked([self._members()])
        except Exception as error:  # whatever it is, we try again later
            await self._lost(error)
            return False
        self._count(answer)
        self._why = ""
        log.info("store: connected to redis; %d in the fleet", self._fleet.members, extra={"event": "store_up"})
        self._fleet.came()
        return True

    def _beat(self) -> None:
        self._fleet.line.append(self._members())
        self._fleet.beat()

    def _members(self) -> Ask:
        return Ask(MEMBERS, [_MEMBERS], [self._fleet.id, LIVES], self._count)

    def _count(self, answer: Sequence[int] | None) -> None:
        if answer:
            self._fleet.members = max(answer[0], 1)

    async def _carried(self) -> bool:
        """Ask what stands at the head of the line. False: Redis is away."""
        async with self._flight:
            return await self._asked_first(self._fleet.line)

    async def _asked_first(self, line: deque[Ask]) -> bool:
        asks = deque(line.popleft() for _ in range(min(len(line), MOST)))
        try:
            for answer in await self._asked(asks):
                asks[0].heard(answer)  # if this raises, it and all behind it hear that Redis is away
                asks.popleft()
        except BaseException as error:
            line.extendleft(reversed(asks))
            if not isinstance(error, Exception):  # we are cancelled
                raise
            await self._lost(error)
            return False
        return True

    async def _asked(self, asks: Sequence[Ask]) -> list[Any]:
        """Raises TimeoutError, and what redis-py raises."""
        seconds = min(PATIENCE, asks[0].at + PATIENCE - monotonic())
        return await _within(max(seconds, LEAST), self._answers(asks))

    async def _answers(self, asks: Sequence[Ask]) -> list[Any]:
        answers = await self._sent(asks)
        if unknown := [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]:
            for script in {asks[n].script for n in unknown}:
                await self._client.script_load(script)
            for n, answer in zip(unknown, await self._sent([asks[n] for n in unknown]), strict=True):
                answers[n] = answer
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if not isinstance(answer, list) or not all(type(each) is ask.says for each in answer):
                raise ResponseError
        return answers

    async def _sent(self, asks: Iterable[Ask]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for ask in asks:
            pipeline.evalsha(self._digest(ask.script), len(ask.keys), *ask.keys, *ask.args)
        return await pipeline.execute(raise_on_error=False)

    def _digest(self, script: str) -> str:
        """The SHA-1 by which Redis knows a script."""
        if script not in self._digests:
            self._digests[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
        return self._digests[script]

    async def _lost(self, error: BaseException) -> None:
        """Tell those who wait at once, and log each change of the reason once."""
        self._fleet.went()
        why, detail = reason(error), self._way.detail(error)
        if why != self._why:
            self._why = why
            log.warning(
                "store: redis %s: limits fall back to an equal share each, and budgets to what they have leased", why,
                extra={"event": "store_away", "detail": detail},
            )  # fmt: skip
        await self._drop()
        self._client = self._made()

    async def _drop(self) -> None:
        """Close the connection: what may still come on it answers no question."""
        try:
            async with asyncio.timeout(CONNECT):
                await self._client.aclose()
        except (RedisError, OSError, TimeoutError):  # it is closed
            pass

    def _made(self) -> Client:
        return self._way.client()


_MEMBERS = f"{PREFIX}members"


def _nobody(_answer: Sequence[int] | None) -> None:
    """Nobody waits for this answer."""


async def _within(seconds: float, asking: Awaitable[T]) -> T:
    """The result, if Redis takes no longer than this; our loop's own lag does not count. Raises TimeoutError.

    We look every `LEAST` seconds. A look from which the loop returns late counts as one on time: perhaps the question
    went out only at its end. Once `LATE` seconds more than allowed have passed, the first look on time is the last. An
    answer that has come by then, but was not read yet, is in time.
    """
    task, left, until = asyncio.ensure_future(asking), seconds, monotonic() + seconds + LATE
    try:
        while left > 0 and not task.done():
            began, look = monotonic(), min(left, LEAST)
            await asyncio.wait({task}, timeout=look)
            left -= look
            if (now := monotonic()) >= until and now - began < 2 * look:
                break
        for _ in range(TURNS):
            if not task.done():
                await asyncio.sleep(0)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        await _ended(task)


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Cancel as often as it takes: a timer of redis-py's that runs out in the same moment swallows a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN)
    if not task.cancelled():
        task.exception()  # nobody wants it any more, but asyncio would log one that was never read
