"""When is a second target asked while the first one is still silent, and what becomes of the one that loses?

    first   |--------- after -------------------> x   cancelled: `hedge_lost`
    second                  |-------> answers         its reply is the call's

The first that answers wins; as the lanes hold a stream back until it says something, that is the first that says
something. An attempt writes what it learns into its Call, so two at once need two: the first one has the client's own,
and the hedge a copy (Trial). If the hedge wins, what it has written is copied back to the client's call; what it has
spent is added there in any case.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from copy import copy
from time import monotonic
from typing import Any

from msgspec.structs import replace

from proxy.config import Hedge
from proxy.edge.onlookers import conclude
from proxy.errors import BadRequest, GatewayError
from proxy.failover.standing import Standing
from proxy.ports import Call, Reply, Target
from proxy.reports.outcome import outcome
from proxy.spending.extent import Longest, extent

LOST = "hedge_lost"
HEDGED = frozenset({"chat", "generate"})  # operations; who counts tokens is asked once
SAVED = 10  # hedges that may come at once after a quiet time
LOOK = 0.1  # seconds, at least, between two looks at whether a target has been asked
# The fields of a Call that are about one attempt, whoever writes them.
ATTEMPT_FIELDS = (
    "target", "began", "headed", "stop_at", "is_settled", "price_source", "heard", "asked", "wire", "is_translated",
    "answer_head", "upstream_id", "dropped", "usage", "answered_model", "booked",
)  # fmt: skip

_ONE = 10**6  # hedge; shares are counted in whole parts of it, as a sum of fractions goes astray

Asking = Coroutine[Any, Any, Reply]  # an attempt


class Hedging:
    """Which calls may have a hedge, and when. `counts`: hedges, by provider and by what came of them."""

    def __init__(self, hedge: Hedge, counts: Counter[tuple[str, str]]) -> None:
        self._after = hedge.after
        self._share = round(hedge.share * _ONE)
        self._saved = 0
        self.counts = counts

    def __repr__(self) -> str:
        return f"<Hedging, {self._saved / _ONE:g} saved>"

    def asked(self) -> None:
        """A request has come, and adds its share of a hedge to what is saved: so no more than that share have one."""
        self._saved = min(self._saved + self._share, SAVED * _ONE)

    def after(self, call: Call, standing: Standing) -> float | None:
        """Seconds of silence after which a second target is asked; None where none is to be.

        A client that limits what a call may cost has not agreed to two attempts at once.
        """
        if self._saved < _ONE or call.operation not in HEDGED or call.wishes.cost_limit is not None:
            return None
        return self._after or standing.first_bytes[call.stream].value

    def may(self, call: Call) -> bool:
        """Is there a hedge left for it? A yes takes one, which must be used."""
        if self._saved < _ONE or not is_bounded(call):
            return False
        self._saved -= _ONE
        return True

    def heard(self, call: Call, standing: Standing, error: BaseException | None) -> None:
        """An attempt has come to its answer's head, or has failed.

        One that lost was still silent. It counts where it was silent for longer than most are, or else each hedge would
        make the next one come sooner.
        """
        times, seconds = standing.first_bytes[call.stream], (call.headed or monotonic()) - call.began
        if error is None or (is_lost(error) and times.value is not None and seconds >= times.value):
            times.add(seconds)


def is_lost(error: BaseException) -> bool:
    return _is_cancellation(error) and outcome(error).code == LOST


def is_bounded(call: Call) -> bool:
    """May two targets be asked? Not where a request has no bound to its cost, or effects besides its answer."""
    try:
        return not extent(call.envelope, call.dialect.bounds, Longest()).is_open
    except BadRequest:  # the first target may say so itself
        return False


class Trial:
    """Another attempt at a client's call, with a Call of its own. `client`: the client's."""

    def __init__(self, client: Call, target: Target) -> None:
        self._client = client
        self.provider = target.adapter.name
        self.call = copy(client)  # the history, and the accounts, are the client's own
        self.call.target, self.call.spent = target, 0
        self.call.asked = False  # the copied one is of the client's attempt

    def book(self) -> None:
        """Add what it has cost to the client's call, whether it has won or lost."""
        self._client.attempts = max(self._client.attempts, self.call.attempts)
        self._client.spent += self.call.spent
        self._client.is_guess |= self.call.is_guess
        self.call.spent = 0

    def won(self, reply: Reply) -> Reply:
        """From now on the client's call tells of this attempt."""
        self._bring_back()
        if not isinstance(reply.body, bytes):
            reply.body = self._told(reply.body)
            reply.endings.append(lambda error: self._bring_back())  # settled by now, and nobody else has looked yet
        return reply

    def _bring_back(self) -> None:
        copy_attempt(self._client, self.call)
        self.book()

    async def _told(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The same chunks. Before each one, the client's call learns what this attempt knows by then."""
        async with aclosing(body):
            async for chunk in body:
                self._bring_back()
                yield chunk


def copy_attempt(call: Call, attempt: Call) -> None:
    """Copy to a call what belongs to this attempt."""
    for name in ATTEMPT_FIELDS:
        setattr(call, name, getattr(attempt, name))


class Race:
    """One call's two attempts.

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
            try:
                await self._let_go(list(self._running), *(error.args[:1] if _is_cancellation(error) else ()))
            except asyncio.CancelledError:
                if not _is_cancellation(error):
                    raise
            raise error
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
        while not (ahead.done() or self._call.asked):  # it waits for a limit or a budget of ours: nobody is silent
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


def _is_cancellation(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)


def _failure(task: asyncio.Task[Reply]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _lost() -> GatewayError:
    return GatewayError("Another target has answered first.", status=499, kind="unknown", code=LOST)


async def _drop(call: Call, reply: Reply, error: asyncio.CancelledError) -> None:
    """Let go of an answer that nobody is to hear."""
    if reply.abort is not None:
        reply.abort()
    if not isinstance(reply.body, bytes):
        await reply.body.aclose()
    conclude(reply, error, call.id)
    how = outcome(error)
    for at, one in enumerate(call.history):
        if one.number == call.attempts:
            call.history[at] = replace(one, code=how.code, kind=how.kind)
