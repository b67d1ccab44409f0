"""How do a client and we slow each other down, and for how long at most?

We stop writing to a client that reads slowly, and what it sends waits in the kernel while nobody asks for it. Built on
aiohttp's base class, so that aiohttp's own responses can be written through it.
"""

import asyncio

from aiohttp.base_protocol import BaseProtocol

from proxy.edge import kernel
from proxy.edge.outbox import Outbox
from proxy.edge.patience import Patience

LOOKS = 20  # at a client that does not read, within its patience


class Flow(BaseProtocol):
    """A connection: reading and writing with backpressure."""

    __slots__ = ("_outbox",)

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        super().__init__(loop)
        self._outbox = outbox

    @property
    def patience(self) -> Patience:
        """A subclass says how long a client is waited for."""
        raise NotImplementedError

    def connection_lost(self, exc: BaseException | None) -> None:
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)  # not an exception: `drained` sees that there is no transport
        super().connection_lost(exc)

    def write(self, data: bytes) -> None:
        """Raises ConnectionResetError where the client has left."""
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        self._outbox.write(self, data)

    def flush(self) -> None:
        """What was written goes out now: something else is about to be done to the connection."""
        self._outbox.flush()

    async def drained(self) -> None:
        """Wait for a client that reads slowly. Raises ConnectionAbortedError where it has stopped reading."""
        self.flush()
        left, moved = self.unsent, self._loop.time()
        while self._paused and self.transport is not None:
            if (waiter := self._drain_waiter) is None:
                waiter = self._drain_waiter = self._loop.create_future()
            # Unlike a timeout, wait() does not cancel the future, which is waited for again.
            await asyncio.wait([waiter], timeout=self.patience.write_stall / LOOKS)
            # At first the client's kernel takes some without anybody reading: what counts is when it last took any.
            if (unsent := self.unsent) < left:
                left, moved = unsent, self._loop.time()
            elif not waiter.done() and self._loop.time() - moved >= self.patience.write_stall:
                self.abort()
                raise ConnectionAbortedError("the client does not read its answer")
        if self.transport is None:
            raise ConnectionResetError("the client has left")

    async def _drain_helper(self) -> None:
        """Where aiohttp's responses wait: they must not wait longer than ours."""
        await self.drained()

    @property
    def unsent(self) -> int:
        """Bytes of our answers that the client has not received yet."""
        return 0 if self.transport is None else kernel.unsent(self.transport)

    def hold(self) -> None:
        """Let the client's bytes wait in the kernel."""
        self._reading_paused = True
        self._pause_transport_reading()

    def read_on(self) -> None:
        """Let the client's bytes come again."""
        if self._reading_paused:
            self._reading_paused = False
            self._resume_transport_reading()

    def abort(self) -> None:
        """Close now, even if the client has not read all that was written."""
        self.flush()
        if self.transport is not None:
            self.transport.abort()
