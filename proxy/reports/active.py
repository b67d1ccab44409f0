"""Which requests are under way now, and how is one of them ended?

Each call to a model is kept in a dict from the moment that we know its client until the end of its answer.

    queued for a place, where they are limited --> receiving --its body is here--> waiting
    waiting --its answer's head--> streaming, or sending what has come whole --> gone

Whoever may see a call may end it, whatever it is waiting for. The provider is let go at once, and the client gets an
error on its own wire: as the answer where none has begun, else as its stream's last event.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from proxy.access.rights import LONGEST_NAME, Whose
from proxy.errors import GatewayError
from proxy.ports import NO_BODY, Call, Handler, Heard, Reply
from proxy.reports.replies import list_reply, reply_of
from proxy.reports.sight import Sight
from proxy.spending.heard import tokens_of

SAMPLE = 4096  # bytes of a stream by which its tokens are estimated
TURN = 20  # requests that are listed before the loop has its turn


class Active:
    """A middleware, an observer of calls, and the routes that show them. `hide` takes secrets out of a text."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._live: dict[str, Call] = {}
        self._cancelled: dict[str, GatewayError] = {}  # by id, the error for the client
        self._hide = hide

    def __repr__(self) -> str:
        return f"<Active: {len(self._live)} requests>"

    def __len__(self) -> int:
        return len(self._live)

    def __call__(self, call: Call, handler: Handler) -> Awaitable[Reply]:
        self._live[call.id] = call
        return handler(call)

    def ended(self, sight: Sight) -> None:
        """Calls that were refused before they got here were not shown."""
        sight.was_shown = self._live.pop(sight.call.id, None) is not None
        if self._cancelled:
            self._cancelled.pop(sight.call.id, None)

    def said(self, call: Call, error: BaseException) -> BaseException:
        """The error for the client of a call that ends with this one: its own if somebody has cancelled the call."""
        said = self._cancelled.get(call.id)
        if said is None or not isinstance(error, asyncio.CancelledError):
            return error
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()  # the task goes on, to tell the client
        return said

    async def all(self, whose: Whose, call: Call) -> Reply:
        """The oldest first."""
        rows, client = [], whose(call)
        for live in list(self._live.values()):
            if client in (None, live.client):
                rows.append(self._row(live))
                if len(rows) % TURN == 0:
                    await asyncio.sleep(0)
        return list_reply(rows)

    async def cancel(self, whose: Whose, call: Call) -> Reply:
        """Raises GatewayError, 404, where there is no request of that id that the caller may see."""
        await call.receive()  # refuses the content types that a form of a web page can send
        name, client = call.rest.removesuffix("/cancel"), whose(call)
        live = self._live.get(name)
        if live is None or client not in (None, live.client):
            raise GatewayError(
                "There is no request with that id in progress.",
                status=404,
                kind="invalid_request",
                code="request_not_active",
            )
        if name not in self._cancelled:  # cancelling twice might cut off the error of the first time
            self._cancel(live)
        return reply_of({"id": name, "object": "request", "cancelled": True})

    def _cancel(self, call: Call) -> None:
        """Whatever it is waiting for: its body, a limit's queue, the provider, a client that reads slowly."""
        error = self._cancelled[call.id] = _cancelled()
        if call.reply is not None:
            call.reply.stop(error)
        if call.interrupt is not None:
            call.interrupt(error)

    def _row(self, call: Call) -> dict[str, Any]:
        target = call.target
        return {
            "id": call.id,
            "object": "request",
            "age_seconds": round(monotonic() - call.started, 3),
            "phase": _phase(call),
            "client": call.client or None,
            "operation": call.operation,
            "dialect": call.dialect.name,
            "model": self._hide(call.model)[:LONGEST_NAME] or None,
            "target": None if target is None else f"{target.adapter.name}/{self._hide(target.model)[:LONGEST_NAME]}",
            "attempts": call.attempts,
            "stream": call.stream,
            "bytes": call.heard.size if call.heard is not None else 0,
            "tokens": _tokens(call),
        }


def _phase(call: Call) -> str:
    if call.reply is not None:
        return "sending" if isinstance(call.reply.body, bytes) else "streaming"
    if call.is_queued:
        return "queued"
    return "receiving" if call.envelope is NO_BODY else "waiting"


def _tokens(call: Call) -> int:
    """Tokens of the answer so far: the provider's count, or an estimate by the answer's beginning if that is more.

    A count that came with the beginning, as Claude's does, says nothing of what was written since.
    """
    counted = call.usage.total_output if call.usage is not None else 0
    return max(counted, _estimated(call, call.heard) if call.heard is not None else 0)


def _estimated(call: Call, heard: Heard) -> int:
    beginning = Heard()
    beginning.tap(b"".join(heard.chunks)[:SAMPLE])
    beginning.size = heard.size
    tokens = tokens_of(beginning, call.dialect, call.stream)
    return tokens or tokens_of(heard, call.dialect, call.stream)  # its first event is longer than that


def _cancelled() -> GatewayError:
    """No SDK asks again after this status, which nginx uses for requests that were broken off."""
    return GatewayError(
        "This request was cancelled through pillion.", status=499, kind="unknown", code="request_cancelled"
    )
