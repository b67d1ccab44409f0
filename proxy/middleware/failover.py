"""Whom do we ask?

One target, as the catalog resolves the model's name, for which it may have to wait for providers' lists. Whom we ask
next when it fails comes in its own time.
"""

from collections.abc import Awaitable, Callable

from proxy.lanes.asking import timed
from proxy.ports import Call, Handler, Reply, Target


class Failover:
    def __init__(self, resolve: Callable[[str], Awaitable[Target]]) -> None:
        self._resolve = resolve

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises UnknownModel, and what the target raises."""
        call.target = await timed(call, self._resolve(call.model))
        call.attempts += 1
        return await handler(call)
