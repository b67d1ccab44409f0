"""When does every intent survive a power cut? Many attempts wait for one sync of the slots.

Only under `synchronous: full`.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from proxy.store.intents import Intents


class Sync:
    """It has a thread of its own: a locked database must not delay it."""

    def __init__(self, intents: Intents) -> None:
        self._intents = intents
        self._thread = ThreadPoolExecutor(1, "ledger-sync")
        self._next: Future[None] | None = None  # a sync that has not begun: it will cover all that is written by now

    async def done(self) -> None:
        """Raises OSError."""
        if (waited := self._next) is None:
            waited = self._next = Future()
            self._thread.submit(self._run, waited)
        await asyncio.shield(asyncio.wrap_future(waited))

    def close(self) -> None:
        self._thread.shutdown()

    def _run(self, waited: Future[None]) -> None:
        self._next = None
        try:
            self._put()
        except Exception as error:
            waited.set_exception(error)
        else:
            waited.set_result(None)

    def _put(self) -> None:
        try:
            self._intents.sync()
        except OSError:
            self._intents.renew()
