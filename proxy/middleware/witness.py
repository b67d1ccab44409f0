"""Who hears that a call has ended?

It is the outermost middleware, and sees each call twice: when the head of its answer is there, and when all of it is
over, however it went. Then each observer hears of it once, and all of them the same: what is shown of requests under
way at once; the log, the metrics and what is shown of those before in the next turn of the loop, together with all
others that have ended by then. What is done for a dozen calls in a row takes half the time that it takes for each
alone, between the many other things that are done for it (docs/decisions/0032-together.md).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic

from proxy.ports import Call, Handler, Reply
from proxy.reports.sight import Observer, Sight

log = logging.getLogger("pillion")

Said = Callable[[Call, BaseException], BaseException]


def _as_it_is(call: Call, error: BaseException) -> BaseException:
    return error


class Witness:
    """The middleware. `at_once`: an observer that does not wait for the next turn. `said`: the error that the client,
    and everybody else, is to hear of in place of one.
    """

    def __init__(self, *observers: Observer, at_once: Sequence[Observer] = (), said: Said = _as_it_is) -> None:
        self._observers = observers
        self._at_once = at_once
        self._said = said
        self._over: list[Sight] = []  # of calls that ended in this turn

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises what the handler does."""
        try:
            reply = call.reply = await handler(call)
        except BaseException as error:
            said = self._said(call, error)
            try:
                self._tell(Sight(call, monotonic() - call.started), said)
                if said is error:
                    raise
                raise said from None
            finally:
                del said  # or its frames would hold it, and it them: see errors.unwound
        sight = Sight(call, monotonic() - call.started, reply.status)
        reply.endings.append(lambda error: self._tell(sight, error))
        return reply

    def _tell(self, sight: Sight, error: BaseException | None) -> None:
        sight.over(error)
        sight.call.reply = None  # which holds us, and so the call
        for observe in self._at_once:
            _show(observe, sight)
        if not self._over:
            asyncio.get_running_loop().call_soon(self._tell_of_all)
        self._over.append(sight)

    def _tell_of_all(self) -> None:
        over, self._over = self._over, []
        for observe in self._observers:
            for sight in over:
                _show(observe, sight)
        for sight in over:
            sight.error = None  # which may hold us likewise


def _show(observe: Observer, sight: Sight) -> None:
    """An observer that fails costs nobody anything."""
    try:
        observe(sight)
    except Exception:
        log.exception("an observer failed", extra={"id": sight.call.id})
