"""How is a large body read and written while everybody else is still served?

In a thread. It needs the interpreter's lock as the loop does, and hands it over after the loop has waited for TURN
seconds, except within a single call of C, such as the reading of one long string: for so long the loop has to wait.
There is one thread, as there is one lock: a second would only compete with the loop, and have more megabytes in memory
at once. Further bodies wait for their turn.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

LARGE = 256 * 1024  # bytes; less is read in a millisecond or two, and a thread would cost more
SKIMMED = 1024 * 1024  # bytes; as long as only the first level is read, this much takes half a millisecond
TURN = 0.001  # seconds; with Python's default of 5 ms the loop would lose those each time that it wakes up

# It starts with the first work.
_thread = ThreadPoolExecutor(1, "large-bodies", initializer=sys.setswitchinterval, initargs=(TURN,))


async def aside(size: int, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    """What the work returns, or raises. `size`: bytes of the body that it is about; a small one is done at once.

    A caller that is cancelled does not wait for work that has begun, and work that has not begun is never done.
    """
    if size <= LARGE:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_thread, work, *arguments)
