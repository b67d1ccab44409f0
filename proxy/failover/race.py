"""When two targets are asked at once, which one wins, and what becomes of the other?

The first that answers wins; as the lanes hold a stream back until it says something, that is the first that says
something. The other is cancelled, and settles its accounts before the answer goes out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from proxy.edge.onlookers import conclude
from proxy.errors import GatewayError
from proxy.failover.attempts import failed
from proxy.failover.trial import LOST, Trial
from proxy.ports import Call, Reply

LOOK = 0.1  # seconds, at least, between two looks at whether a target has been asked

Asking = Coroutine[Any, Any, Reply]  # an attempt


class Race:
    """Of one call's two attempts.

    `load`: finds out whom there is to ask. `begin`: the hedge, and its attempt; None where nobody is to be asked.
    `may_go_on`: may another target answer after the first one has failed like this? `counts`: as Hedging has them.
    """

    def __init__(
        self,
        call: Call,
        load: Callable[[], Coroutine[Any, Any, None]],
        begin: Callable[[], tuple[Trial, Asking] | None],
        may_go_on: Callable[[GatewayError], bool],
        counts: Counter[tuple[str, str]],
    ) -> None:
        self._call = call
        self._counts = counts
        self._load = load
        self._begin = begin
        self._may_go_on = may_go_on
        self._trial: Trial | None = None
        self._running: dict[asyncio.Task[Reply], Call] = {}

    async def run(self, first: Asking, after: float) -> Reply:
        """`first`: an attempt that writes to the client's own Call. Raises what that raises, where nobody answers."""
        ahead = self._start(first, self._call)
        winner = None
        try:
            winner = await self._winner(ahead, after)
            await self._let_go([task for task in self._running if task is not winner], _lost())
        except BaseException as error:  # the client has left, or somebody has ended the call and says why
            is_cancelled = isinstance(error, asyncio.CancelledError)
            with suppress(asyncio.CancelledError):  # that it ends has been said, and why
                await self._let_go(list(self._running), *(error.args[:1] if is_cancelled else ()))
            raise
        finally:
            self._count(has_won=winner not in (None, ahead))
        reply = winner.result()
        return reply if self._trial is None or winner is ahead else self._trial.won(reply)

    def _count(self, has_won: bool) -> None:
        """A hedge that was refused before it was sent does not count."""
        if self._trial is not None and self._trial.call.asked:
            self._counts[self._trial.provider, "won" if has_won else "lost"] += 1

    def _start(self, asking: Asking, call: Call) -> asyncio.Task[Reply]:
        task = asyncio.create_task(asking)
        self._running[task] = call
        return task

    async def _winner(self, ahead: asyncio.Task[Reply], after: float) -> asyncio.Task[Reply]:
        """Whose answer is the call's, or whose failure."""
        await asyncio.wait([ahead], timeout=after)
        call = self._call
        while not (ahead.done() or call.asked or call.is_slowed):  # it waits for a limit of ours: nobody is silent
            await asyncio.wait([ahead], timeout=max(after, LOOK))
        if not ahead.done():
            await self._loaded(ahead)
        if ahead.done():
            return ahead
        if (begun := self._begin()) is None:
            await asyncio.wait([ahead])
            return ahead
        self._trial, asking = begun
        behind = self._start(asking, self._trial.call)
        await asyncio.wait([ahead, behind], return_when=asyncio.FIRST_COMPLETED)
        if not ahead.done():
            if _failure(behind) is None:
                return behind
            await asyncio.wait([ahead])
            return ahead
        failed = _failure(ahead)
        if not isinstance(failed, GatewayError) or not self._may_go_on(failed):
            return ahead
        await self._call.timed(asyncio.wait([behind]))
        return behind if _failure(behind) is None else ahead

    async def _loaded(self, ahead: asyncio.Task[Reply]) -> None:
        """Until it is known whom there is to ask, or the first one is done."""
        loading = asyncio.create_task(self._load())
        try:
            await asyncio.wait([ahead, loading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            loading.cancel()

    async def _let_go(self, tasks: Sequence[asyncio.Task[Reply]], *reason: object) -> None:
        """Cancel them, and wait until each has settled its accounts, however often we are cancelled ourselves."""
        for task in tasks:
            task.cancel(*reason)
        try:
            if tasks:
                await _to_its_end(self._settled(tasks, asyncio.CancelledError(*reason)))
        finally:
            if self._trial is not None:
                self._trial.book()

    async def _settled(self, tasks: Sequence[asyncio.Task[Reply]], error: asyncio.CancelledError) -> None:
        for task in tasks:
            await asyncio.wait([task])
            call = self._running.pop(task)
            if _failure(task) is None:  # it had come to its answer's head in the meantime
                await _drop(call, task.result(), error)


async def _to_its_end(settling: Coroutine[Any, Any, None]) -> None:
    """Wait, even if we are cancelled: CancelledError is raised only when it is done."""
    task, left = asyncio.create_task(settling), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            left = left or error  # the first one has the reason
    task.result()
    if left is not None:
        raise left


def _failure(task: asyncio.Task[Reply]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _lost() -> GatewayError:
    return GatewayError("Another target answered first.", status=499, kind="unknown", code=LOST)


async def _drop(call: Call, reply: Reply, error: asyncio.CancelledError) -> None:
    """Let go of an answer that nobody is to hear."""
    if reply.abort is not None:
        reply.abort()
    if not isinstance(reply.body, bytes):
        await reply.body.aclose()
    conclude(reply, error, call.id)
    if call.target is not None:
        call.history.append(failed(call, call.target, error, call.attempts, reply.status))
