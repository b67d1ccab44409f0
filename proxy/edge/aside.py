"""How is a large body read and written while everybody else is served on?

In a thread. It holds the interpreter's lock as the loop does, and must hand it over when the loop has waited for TURN
seconds; but not within a single call of C, such as the reading of one long string: that long the loop waits, and no
longer. There is one thread for the process, as there is one lock: a second one would only take its turn from the loop,
and have more megabytes in memory at once. What comes meanwhile waits its turn.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

LARGE = 256 * 1024  # bytes; less than that is read in a millisecond or two, and a thread would cost more
SKIMMED = 1024 * 1024  # bytes of a body of which the first level alone is read: as much in half a millisecond
TURN = 0.001  # seconds; Python's own 5 ms would pass again and again, whenever the loop has slept for a moment

# It starts when it is first wanted.
_thread = ThreadPoolExecutor(1, "large-bodies", initializer=sys.setswitchinterval, initargs=(TURN,))


async def aside(size: int, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    """What the work returns, or raises. `size`, in bytes, of the body that it is about: a small one is done at once.

    Who is cancelled does not wait for the end of what has begun, and what has not begun is never done.
    """
    if size <= LARGE:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_thread, work, *arguments)
