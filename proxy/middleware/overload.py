"""How many requests to models are taken on at once, and what becomes of the others?

As many are under way as the operator allows. A few more wait for a place, in the order of their arrival and for a
bounded time; any others are refused at once and told when to come again. What cannot be served must cost next to
nothing, or it takes the time of what can. It stands behind auth, so that a stranger gets no place in the queue, and
before intake, so that no body is read, let alone kept, before its turn has come.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from math import ceil
from time import monotonic

from proxy import config
from proxy.errors import GatewayError
from proxy.ports import Call, Handler, Reply
from proxy.wishes import patience

CODE = "overloaded"
MEMORY = 16  # requests over which the mean of their duration is taken, about
SHORTEST, LONGEST = 1, 60  # seconds that a client is told to wait; SDKs do not believe more than a minute


class Overload:
    """The middleware. `clock`: seconds, and it never goes back."""

    def __init__(self, most: int, rules: config.Overload, clock: Callable[[], float] = monotonic) -> None:
        """`most`: requests under way at once."""
        self.most = most
        self.under_way = 0
        self._rules = rules
        self._clock = clock
        self._duration = 0.0  # seconds that a request takes: a moving mean
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()  # who gives up may stand anywhere in it

    def __repr__(self) -> str:
        return f"<Overload {self.under_way} of {self.most} under way, {self.queued} wait>"

    def become(self, most: int, rules: config.Overload) -> None:
        """Go by these rules from now on. Whoever is in stays, and whoever waits keeps their turn."""
        self.most = most
        self._rules = rules
        self._let_in()

    @property
    def queued(self) -> int:
        """How many wait now."""
        return len(self._queue)

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises GatewayError, 503, and what the handler raises. The place is held until the answer has ended."""
        if self.under_way >= self.most:  # else nobody waits
            asked = monotonic()
            try:
                await self._turn(call)
            finally:
                call.held_up(asked)
        else:
            self.under_way += 1
        began = self._clock()
        try:
            reply = await handler(call)
        except BaseException as error:
            self._ended(began, error)
            raise
        reply.endings.append(partial(self._ended, began))
        return reply

    async def _turn(self, call: Call) -> None:
        """Wait for a place: a request that ends hands over its own. Raises GatewayError."""
        rules = self._rules
        wait = min(rules.wait, patience(call.headers))
        if len(self._queue) >= rules.max_queue:
            raise self._refusal(f"{rules.max_queue} more are waiting" if rules.max_queue else "no more may wait")
        turn = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        call.is_queued = True
        try:
            await asyncio.wait((turn,), timeout=wait)
        except asyncio.CancelledError:
            if turn.done():  # the place came in the same moment
                self._leave()
            raise
        finally:
            self._queue.pop(turn, None)
            call.is_queued = False
        if not turn.done():
            raise self._refusal(f"none of them ended within {wait:g} s")

    def _ended(self, began: float, error: BaseException | None) -> None:
        self._duration += (self._clock() - began - self._duration) / MEMORY
        self._leave()

    def _leave(self) -> None:
        self.under_way -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._queue and self.under_way < self.most:
            turn, _ = self._queue.popitem(last=False)
            self.under_way += 1
            turn.set_result(None)

    def _refusal(self, why: str) -> GatewayError:
        """With the time after which all who wait now will have had their turn."""
        wait = ceil(self._duration * (len(self._queue) + 1) / self.most)
        return GatewayError(
            f"pillion is at its limit of {self.most} requests in progress, and {why}: try again.",
            status=503,
            code=CODE,
            headers=[("retry-after", str(min(max(wait, SHORTEST), LONGEST)))],
        )
