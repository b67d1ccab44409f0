"""When does a connection have to be looked at again?

A connection that carries a thousand short exchanges moves its deadline a thousand times, and sets its timer once: a
timer that rings too early costs less than one that is set anew each time.
"""

import asyncio
from collections.abc import Callable


def _nothing() -> None:
    """What an ended alarm rings."""


class Alarm:
    """Calls `ring` at the time that it was set to, or earlier; once each time that it was set."""

    __slots__ = ("_handle", "_loop", "_ring", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.Handle | None = None
        self._when = 0.0  # kept here, because uvloop's handle does not know a time that is nearly now

    def __repr__(self) -> str:
        return "<Alarm>" if self._handle is None else f"<Alarm in {self._when - self._loop.time():.3f} s>"

    def set(self, when: float) -> None:
        """`when`: by the loop's clock. An alarm that is already set to an earlier time stays as it is."""
        if self._handle is None or self._when > when:
            self.stop()
            self._when = when
            self._handle = self._loop.call_at(when, self._rings)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def end(self) -> None:
        """Stop for good, and let go of `ring`, whose owner holds us: a cycle would be left to the garbage collector."""
        self.stop()
        self._ring = _nothing

    def _rings(self) -> None:
        self._handle = None
        self._ring()
