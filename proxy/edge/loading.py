"""How is a library loaded while answers are under way?

In a thread, the first time: it takes tens of milliseconds, in which everybody else would wait.
"""

import asyncio
from typing import Any

from proxy.late import load

_loaded: dict[str, Any] = {}


async def loaded(place: str) -> Any:
    """`place`: one of `late`."""
    if place not in _loaded:
        _loaded[place] = await asyncio.to_thread(load, place)
    return _loaded[place]
