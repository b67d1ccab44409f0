"""How do a client and we keep each other waiting, and for how long at most?

Who reads its answer slowly has us wait before we write more; and what it sends waits in the kernel while nobody wants
it. aiohttp's base class, so that aiohttp's own responses can be written through it.
"""

import asyncio

from aiohttp.base_protocol import BaseProtocol

from proxy.edge import kernel
from proxy.edge.patience import Patience

LOOKS = 20  # at a client that does not read, within its patience


class Flow(BaseProtocol):
    """A connection, as far as bytes go over it."""

    __slots__ = ()

    @property
    def patience(self) -> Patience:
        """Whoever builds on this has some."""
        raise NotImplementedError

    def connection_lost(self, exc: BaseException | None) -> None:
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)  # and no exception: `drained` sees that there is no transport
        super().connection_lost(exc)

    def write(self, data: bytes) -> None:
        """Raises ConnectionResetError where the client has left."""
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        self.transport.write(data)

    async def drained(self) -> None:
        """Wait for a client that reads slowly. Raises ConnectionAbortedError where it has stopped to."""
        left, moved = self.unsent, self._loop.time()
        while self._paused and self.transport is not None:
            if (waiter := self._drain_waiter) is None:
                waiter = self._drain_waiter = self._loop.create_future()
            # Unlike a timeout, wait() does not cancel the future, so that it can be waited for again.
            await asyncio.wait([waiter], timeout=self.patience.reading / LOOKS)
            # At first its own kernel takes some without anybody reading: only the last time that any went counts.
            if (unsent := self.unsent) < left:
                left, moved = unsent, self._loop.time()
            elif not waiter.done() and self._loop.time() - moved >= self.patience.reading:
                self.abort()
                raise ConnectionAbortedError("the client does not read its answer")
        if self.transport is None:
            raise ConnectionResetError("the client has left")

    async def _drain_helper(self) -> None:
        """Here aiohttp's responses wait, and shall not wait longer than ours."""
        await self.drained()

    @property
    def unsent(self) -> int:
        """Bytes of our answers that the client has not got yet."""
        return 0 if self.transport is None else kernel.unsent(self.transport)

    def hold(self) -> None:
        """Let the client's bytes wait in the kernel."""
        self._reading_paused = True
        self._pause_transport_reading()

    def read_on(self) -> None:
        """Let them come again."""
        if self._reading_paused:
            self._reading_paused = False
            self._resume_transport_reading()

    def abort(self) -> None:
        """Close now, whatever is still to be written."""
        if self.transport is not None:
            self.transport.abort()
