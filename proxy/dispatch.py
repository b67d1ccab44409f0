"""How does a call get to its target and back: as it is, or translated?

`chain` puts the middlewares in front of a handler, in the order of the list. `Dispatch` is the innermost handler, and
the fork into the two lanes. Where the target's provider takes the client's own dialect, the bytes pass through;
otherwise one dialect parses, the other encodes, and the answer comes back the same way. Nobody above can tell which it
was.
"""

from collections.abc import Callable, Sequence

from proxy.lanes.counting import count
from proxy.lanes.passing import pass_through
from proxy.lanes.translating import Translation
from proxy.ports import Call, Dialect, Handler, Middleware, Reply
from proxy.seals import is_marked
from proxy.vault import Vault


def chain(middlewares: Sequence[Middleware], handler: Handler) -> Handler:
    """The first of the list is the outermost."""
    for middleware in reversed(middlewares):
        handler = _before(middleware, handler)
    return handler


def _before(middleware: Middleware, handler: Handler) -> Handler:
    return lambda call: middleware(call, handler)


class Dispatch:
    """The innermost handler. `dialect` finds a dialect by its name; `strict` refuses what would be dropped."""

    def __init__(self, dialect: Callable[[str], Dialect], vault: Vault, strict: bool = False) -> None:
        self._dialect = dialect
        self._translate = Translation(vault, strict)

    async def __call__(self, call: Call) -> Reply:
        """Raises GatewayError before the first byte; after it, the body raises."""
        assert call.target is not None  # failover chose it
        taken = call.target.adapter.takes(call.target.model)
        is_own = call.dialect.name in taken
        if call.operation == "count_tokens":
            return await count(call, call.target, call.dialect if is_own else self._dialect(taken[0]))
        if not is_own:
            return await self._translate(call, call.target, self._dialect(taken[0]))
        if is_marked(call.envelope.body):  # seals that only a parser can put back as their provider made them
            return await self._translate(call, call.target, call.dialect)
        return await pass_through(call, call.target)
