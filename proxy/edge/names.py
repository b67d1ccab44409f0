"""Where is a provider's host, and what if nobody says?

The system's resolver says it, from a thread. It may take half a minute to find out that its name servers are gone; so
it is waited for a few seconds, while it goes on, and until it is done nobody begins another lookup of the same name: a
resolver that hangs takes one thread for each host. While it cannot say, a host is taken to be where it was; one that it
says is none, is none. Names are the operator's: there are as many as providers and proxies.
"""

import asyncio
import socket
from contextlib import suppress
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

KNOWN_FOR = 10  # seconds in which nobody asks again
PATIENCE = 4.0  # seconds that the resolver has

_FOR_NOW = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM})  # it does not say that there is none

Asked: TypeAlias = tuple[str, int, socket.AddressFamily]
Found: TypeAlias = list[ResolveResult]


class Names(AbstractResolver):
    """Used and closed inside a running loop. `resolver` is the one that knows."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver
        self._known: dict[Asked, Found] = {}
        self._asking: dict[Asked, asyncio.Task[Found]] = {}

    def __repr__(self) -> str:
        return f"<Names of {len(self._known)} hosts, {len(self._asking)} asked for>"

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Found:
        """Raises OSError."""
        asked = host, port, family
        task = self._asking.get(asked) or self._begin(asked)
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        failed = task.exception() if done else socket.gaierror(socket.EAI_AGAIN, f"no answer within {PATIENCE:g} s")
        if failed is None:
            return task.result()
        if asked in self._known and isinstance(failed, OSError) and failed.errno in _FOR_NOW:
            return self._known[asked]
        raise failed

    def _begin(self, asked: Asked) -> asyncio.Task[Found]:
        host, port, family = asked
        task = self._asking[asked] = asyncio.create_task(self._resolver.resolve(host, port, family), name="resolver")
        task.add_done_callback(lambda _: self._heard(asked, task))
        return task

    def _heard(self, asked: Asked, task: asyncio.Task[Found]) -> None:
        """Perhaps by nobody else: whoever asked may have gone."""
        del self._asking[asked]
        if not task.cancelled() and task.exception() is None:
            self._known[asked] = task.result()

    async def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await task
        await self._resolver.close()
