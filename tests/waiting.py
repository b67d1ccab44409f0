"""How does a test wait for something that sends no signal? It looks until it is there, for at most ten seconds."""

import asyncio
from collections.abc import Callable

PATIENCE = 10.0  # seconds
POLL = 0.001


async def soon(is_so: Callable[[], object]) -> None:
    """Until it is so. What must be awaited to be known, such as another process's answer, may be a coroutine."""
    async with asyncio.timeout(PATIENCE):
        while True:
            said = is_so()
            if await said if asyncio.iscoroutine(said) else said:
                return
            await asyncio.sleep(POLL)
