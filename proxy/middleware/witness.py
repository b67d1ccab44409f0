"""Who hears that a call has ended?

It is the outermost middleware, and sees each call twice: when the head of its answer is there, and when all of it is
over, however it went. Then each observer hears of it once, and all of them the same: the log, the metrics, and what is
shown of requests under way and of those before.
"""

import logging
from collections.abc import Callable
from time import monotonic

from proxy.ports import Call, Handler, Reply
from proxy.reports.sight import Observer, Sight

log = logging.getLogger("pillion")

Said = Callable[[Call, BaseException], BaseException]


def _as_it_is(call: Call, error: BaseException) -> BaseException:
    return error


class Witness:
    """The middleware. `said`: the error that the client, and everybody else, is to hear of in place of one."""

    def __init__(self, *observers: Observer, said: Said = _as_it_is) -> None:
        self._observers = observers
        self._said = said

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
        """An observer that fails costs nobody anything."""
        sight.over(error)
        sight.call.reply = None  # which holds us, and so the call
        for observe in self._observers:
            try:
                observe(sight)
            except Exception:
                log.exception("an observer failed", extra={"id": sight.call.id})
        sight.error = None  # which may hold us likewise
