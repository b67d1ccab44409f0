"""Where is a provider's host, and what if nobody says?

We ask the system's resolver, in a thread. It may need half a minute to find out that its name servers are gone, so we
wait a few seconds only, while it goes on. Nobody begins another lookup of a name until the last one is done: a resolver
that hangs takes one thread for each host. While it cannot answer, a host is taken to be where it last was; if it says
that there is no such host, there is none. Names come from the operator: there are as many as providers and proxies.
"""

import asyncio
import socket
from contextlib import suppress
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

KNOWN_FOR = 10  # seconds in which a name is not asked for again
PATIENCE = 4.0  # seconds that we wait for the resolver

_FOR_NOW = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM})  # these do not mean that there is no host

Asked: TypeAlias = tuple[str, int, socket.AddressFamily]
Found: TypeAlias = list[ResolveResult]


class Names(AbstractResolver):
    """Used and closed inside a running loop. `resolver` does the lookups."""

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
        """The answer is kept even if whoever asked has gone."""
        del self._asking[asked]
        if not task.cancelled() and task.exception() is None:
            self._known[asked] = task.result()

    async def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await task
        await self._resolver.close()
