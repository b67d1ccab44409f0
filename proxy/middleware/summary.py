"""What did it take, for a client that wants to know?

Like cache and failover it may put another body in a reply's place, and does so only for clients that ask for it
(docs/decisions/0021-unified.md). It stands outside cost, which must have settled a whole answer, and outside cache,
which keeps answers as providers gave them.
"""

import re
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Any

from proxy.ports import Bill, Call, Coda, Handler, Reply, Wishing
from proxy.spending.money import dollars
from proxy.wishes import wishing

_is_object = re.compile(rb"\s*\{").match


def summary(call: Call, handler: Handler) -> Awaitable[Reply]:
    """The middleware. An error has no summary: its headers say who was asked."""
    dialect = wishing(call.dialect) if call.wishes.summary else None
    return handler(call) if dialect is None else _summarised(call, handler, dialect)


async def _summarised(call: Call, handler: Handler, dialect: Wishing) -> Reply:
    reply = await handler(call)
    reply.body = _with_summary(call, dialect, reply.body)
    return reply


def _with_summary(call: Call, dialect: Wishing, body: bytes | AsyncGenerator[bytes]) -> bytes | AsyncGenerator[bytes]:
    tell = partial(what_it_took, call)
    if not isinstance(body, bytes):
        return _live(body, dialect.coda(tell))
    if _is_object(body):
        return dialect.summarised(body, tell())
    coda = dialect.coda(tell)  # a stream that has come whole
    return b"".join(coda.feed(body)) + coda.close()


async def _live(body: AsyncGenerator[bytes], coda: Coda) -> AsyncGenerator[bytes]:
    async with aclosing(body):
        async for chunk in body:
            for piece in coda.feed(chunk):
                yield piece
    if last := coda.close():
        yield last


def what_it_took(call: Call) -> dict[str, Any]:
    """By now. What nobody knows is null; an answer for which no provider was asked costs nothing."""
    bill = Bill(0, False) if not call.attempts else call.bill(call) if call.bill is not None else None
    provider, model = (None, None) if call.target is None else (call.target.adapter.name, call.target.model)
    return {
        "cost_usd": None if bill is None else dollars(bill.nanos),
        "cost_estimated": None if bill is None else bill.is_guess,
        "duration_ms": round((monotonic() - call.started) * 1000, 2),
        "provider": provider,
        "model": model,
        "attempts": call.attempts,
        "dropped": list(call.dropped),
    }
