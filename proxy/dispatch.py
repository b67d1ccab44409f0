"""How does a call get to its target and back: as it is, or translated?

`chain` puts the middlewares in front of a handler, in the order of the list. `Dispatch` is the innermost handler, and
the fork into the two lanes. Where the target's provider takes the client's own dialect, the bytes pass through;
otherwise one dialect parses, the other encodes, and the answer comes back the same way. Nobody above can tell which it
was.
"""

import re
from collections.abc import Callable, Sequence

from proxy.errors import UpstreamError
from proxy.lanes.counting import count
from proxy.lanes.fetching import Fetching
from proxy.lanes.passing import PassThrough
from proxy.lanes.translating import Translation
from proxy.ports import Call, Dialect, Handler, Middleware, Reply
from proxy.remote import Fetcher
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
    """The innermost handler. `dialect` finds a dialect by its name; `strict` refuses what would be dropped.

    `fetcher`: who fetches what a provider will not; None where the operator has not switched it on.
    """

    def __init__(
        self, dialect: Callable[[str], Dialect], vault: Vault, strict: bool = False, fetcher: Fetcher | None = None
    ) -> None:
        self._dialect = dialect
        self._fetching = Fetching(fetcher)
        self._translate = Translation(vault, strict, self._fetching)
        self._pass_through = PassThrough(self._translate)

    async def __call__(self, call: Call) -> Reply:
        """Raises GatewayError before the first byte; after it, the body raises."""
        assert call.target is not None  # failover chose it
        target, client = call.target, call.dialect
        taken = target.adapter.takes(target.model)
        own = client.name in taken
        if call.operation == "count_tokens":
            return await count(call, target, client if own else self._dialect(taken[0]), self._fetching)
        preferred = client if own else self._dialect(taken[0])
        others = [self._dialect(name) for name in taken if name != preferred.name] if len(taken) > 1 else []
        if not own or is_marked(call.envelope.body):  # marked seals: only a parser can put them back as they were
            return await self._translate(call, target, preferred, others)
        try:
            return await self._pass_through(call, target, others)
        except UpstreamError as error:
            if client.sign is None or client.name == taken[0] or not _is_endpoint_missing(error, target.model):
                raise
            target.adapter.lacks(client.name)
            return await self._translate(call, target, others[0], ())


def _is_endpoint_missing(error: UpstreamError, model: str) -> bool:
    """Does the host know no such endpoint, rather than no such model? (The dialect that comes first, each host has.)"""
    if error.upstream_status not in (404, 405, 501):
        return False
    body = error.body or b""
    return model.encode() not in body and _CODE.search(body) is None


_CODE = re.compile(rb'"code"\s*:\s*"[A-Za-z_]*[a-z]')  # an error that has a name is about what was asked for
