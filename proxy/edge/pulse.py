"""Is a client that sends no more still there?

A client that has closed and one that has only shut down its sending side (`printf ... | nc`) look the same until we
send them something: then the former resets the connection.
"""

import asyncio
from typing import Protocol

from proxy.edge.inbound import CONTINUE, Inbound
from proxy.edge.kernel import is_reset

GRACE = 0.01  # seconds between the client's last byte and our first question
RAREST = 1.0  # seconds between two looks, at most


class Answering(Protocol):
    """A connection whose client waits for an answer."""

    @property
    def answering(self) -> Inbound | None: ...
    @property
    def transport(self) -> asyncio.Transport | None: ...
    @property
    def writing_paused(self) -> bool: ...

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


class Pulse:
    """Looks ever more rarely, until the connection ends by itself or is closed because nobody is there."""

    __slots__ = ("_connection", "_inbound", "_loop", "_next")

    def __init__(self, connection: Answering, inbound: Inbound, loop: asyncio.AbstractEventLoop) -> None:
        """`inbound`: what was being answered when the client stopped sending."""
        self._connection = connection
        self._inbound = inbound
        self._loop = loop
        self._next = loop.call_later(GRACE, self._ask)

    def stop(self) -> None:
        self._next.cancel()

    def _ask(self) -> None:
        """Send something, but never in the middle of an answer."""
        connection, inbound = self._connection, self._inbound
        if connection.answering is inbound and not inbound.live and not connection.writing_paused:
            if inbound.http11:
                connection.write(CONTINUE)  # every client must accept that, at any time (RFC 9110, 15.2)
            else:
                connection.abort()  # HTTP/1.0 has no such status; it is most likely a proxy whose own client has left
                return
        self._feel(GRACE)

    def _feel(self, after: float) -> None:
        connection = self._connection
        if connection.transport is None or connection.transport.is_closing():
            return
        if is_reset(connection.transport):
            connection.abort()
        else:
            self._next = self._loop.call_later(after, self._feel, min(2 * after, RAREST))
