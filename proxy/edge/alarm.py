"""When does a connection have to be looked at again?

One that carries a thousand short exchanges moves its deadline a thousand times and sets its timer once: a timer that
rings too early costs less than one that is set anew each time.
"""

import asyncio
from collections.abc import Callable


def _nothing() -> None:
    """What rings where nobody is."""


class Alarm:
    """Calls `ring` at a time at the latest, once for each time that it was set."""

    __slots__ = ("_handle", "_loop", "_ring", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.Handle | None = None
        self._when = 0.0  # kept here: of a time that is as good as now, uvloop's handle does not know it

    def __repr__(self) -> str:
        return "<Alarm>" if self._handle is None else f"<Alarm in {self._when - self._loop.time():.3f} s>"

    def set(self, when: float) -> None:
        """`when`: by the loop's clock. One that is set already, and early enough, stays."""
        if self._handle is None or self._when > when:
            self.stop()
            self._when = when
            self._handle = self._loop.call_at(when, self._rings)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def end(self) -> None:
        """Stop for good, and hold on to nobody: it is held by whom it would ring."""
        self.stop()
        self._ring = _nothing

    def _rings(self) -> None:
        self._handle = None
        self._ring()
