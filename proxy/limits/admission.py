"""May the request go on now, or must it wait for its turn?

A request passes when each of its scopes has room for it, and takes from all of them in one go: nothing is awaited
between the look and the taking, so limits are exact however many requests come at once.

Where the operator lets requests wait, each scope has a queue, and nobody overtakes in it: neither a small request a big
one, nor one that comes just when there is room again. A request joins the queue of its first scope, and when it is
first there and has room it joins that of the next one, too, without giving up its place. The scopes come in one order,
the narrow ones first: so a model whose limit is spent holds up no other model of its provider, and no two requests wait
for each other. Each queue has a timer for when its first request may pass; a request that ends, or leaves a queue, has
the queue looked at as well.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from proxy.config import Queue
from proxy.errors import GatewayError
from proxy.fleet import Asker
from proxy.limits.gcra import SECOND
from proxy.limits.need import Need
from proxy.limits.refusal import refusal, too_large
from proxy.limits.scope import Held, Scope, Ticket, What

SHORTEST = 0.001  # seconds: the loop's timers are no finer
NOBODY_KNOWS = float("inf")


class Admission:
    """`clock`: nanoseconds, and it never goes back."""

    def __init__(self, queue: Queue, clock: Callable[[], int]) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()  # by whose limit it was, and what it limits
        self.queued = 0  # now
        self._clock = clock
        self.become(queue)

    def become(self, queue: Queue) -> None:
        """For requests that come from now on; those that wait already wait as long as they were told."""
        self._queue = queue

    def admit(self, scopes: Sequence[Scope], need: Need) -> Held | None:
        """None where a limit stands in the way, or a request that came before."""
        now = self._clock()
        marks: list[int] = []
        for scope in scopes:
            if scope.queue or (mark := scope.take(need, now)) is None:
                undo(scopes[: len(marks)], need)
                return None
            marks.append(mark)
        return Held(scopes, marks, need)

    async def enter(
        self, scopes: Sequence[Scope], need: Need, left: float | None = None, asker: Asker | None = None
    ) -> Held:
        """Wait for a turn, if the operator allows it and the queues are not full. Raises OverLimit, Busy.

        `left`: seconds that the client still gives us; None: any number; 0: it is not to wait. `asker`: the request.
        """
        self._check_size(scopes, need)
        patience = self._patience(left)
        if not patience or any(len(scope.queue) >= self._queue.length for scope in scopes):
            raise self._refusal(scopes, need, left)
        ticket = Ticket(scopes, need, asyncio.get_running_loop().create_future())
        ticket.stand(0)
        self.advance(scopes)
        self.queued += 1
        try:
            await asyncio.wait((ticket.turn,), timeout=patience)
            if not ticket.turn.done():
                raise self._refusal(scopes, need, left, ticket)
        except asyncio.CancelledError:
            if ticket.turn.done():  # it came in the same moment
                self.leave(ticket.turn.result(), 0)
            raise
        finally:
            self.queued -= 1
            self.advance(ticket.step_out())
        return ticket.turn.result()

    def _patience(self, left: float | None) -> float:
        return self._queue.seconds if left is None else min(left, self._queue.seconds)

    def leave(self, held: Held, used: int | None) -> None:
        """The request has ended; a second call gives back nothing more. `used`: tokens; None: as many as were held."""
        scopes, held.scopes = held.scopes, ()
        if not scopes:
            return
        now, need, is_awaited = self._clock(), held.need, False
        for scope, mark in zip(scopes, held.marks, strict=True):
            scope.settle(mark, need, used, now)
            is_awaited = is_awaited or bool(scope.queue)
        if is_awaited:
            self.advance(scopes)

    def advance(self, scopes: Iterable[Scope]) -> None:
        """There may be room: let the first of each queue pass, if it can."""
        crowded = [scope for scope in scopes if scope.queue]
        while crowded:
            scope = crowded.pop()
            if scope.queue and (held := self._passed(ticket := scope.queue[0])) is not None:
                crowded.extend(ticket.step_out())
                ticket.turn.set_result(held)

    def _passed(self, ticket: Ticket) -> Held | None:
        """None where there is no room: it stays in the queue, and a timer is set."""
        now = self._clock()
        marks: list[int] = []
        for index, scope in enumerate(ticket.scopes):
            is_first = ticket.stand(index)
            mark = scope.take(ticket.need, now) if is_first else None
            if mark is None:
                undo(ticket.scopes[:index], ticket.need)
                if is_first:
                    self._set_timer(scope, max(length_of(wait) for _, wait in scope.waits(ticket.need, now)))
                return None
            marks.append(mark)
        return Held(ticket.scopes, marks, ticket.need)

    def _set_timer(self, scope: Scope, wait: float) -> None:
        if scope.timer is not None:
            scope.timer.cancel()
            scope.timer = None
        if wait < NOBODY_KNOWS:  # else a request that ends will look
            delay = max(wait / SECOND, SHORTEST)
            scope.timer = asyncio.get_running_loop().call_later(delay, self.advance, (scope,))

    def _check_size(self, scopes: Sequence[Scope], need: Need) -> None:
        """Raises OverLimit."""
        for scope in scopes:
            if (what := scope.exceeded(need)) is not None:
                self.refused[scope.kind, what] += 1
                raise too_large(scope, what, need)

    def _refusal(
        self, scopes: Sequence[Scope], need: Need, left: float | None, ticket: Ticket | None = None
    ) -> GatewayError:
        """In the words of the limit with the longest wait, those ahead included. `ticket`: the request's own."""
        now, waits = self._clock(), []
        ahead: dict[Ticket, None] = {}
        for scope in scopes:
            ahead |= dict.fromkeys(takewhile(lambda each: each is not ticket, scope.queue))
            needs = [each.need for each in ahead]
            waits += [(scope, *each) for each in scope.waits(need, now, needs)]
        return self._counted(*max(waits, key=lambda each: length_of(each[2])), need, left)

    def _counted(self, scope: Scope, what: What, wait: int | None, need: Need, left: float | None) -> GatewayError:
        self.refused[scope.kind, what] += 1
        error = refusal(scope, what, need, wait)
        error.ahead = scope.crowd if left == 0 and self._queue.seconds else None
        return error


def undo(scopes: Sequence[Scope], need: Need) -> None:
    for scope in scopes:
        scope.undo(need)


def length_of(wait: int | None) -> float:
    """A wait in nanoseconds, to compare by; one that nobody knows is the longest."""
    return NOBODY_KNOWS if wait is None else wait
