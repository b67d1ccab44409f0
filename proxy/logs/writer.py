"""How do lines get to a descriptor without keeping the one who logs waiting?

A thread of its own writes them, many at once: where nobody reads (a full pipe, a stopped terminal), the thread stalls
and no request.
"""

import os
import select
import threading
from collections.abc import Callable

GATHER = 0.05  # seconds in which lines gather before they are written together
LINES_HELD = 8192  # any more are lost, and counted
FAREWELL = 1.0  # seconds for the last lines to be written when we end


class Writer:
    """Writes lines to a descriptor, many at once. `lost` counts those that could not be held or written."""

    def __init__(self, descriptor: int, lost_line: Callable[[int], bytes]) -> None:
        """`lost_line` makes the line that says how many were lost; it is written once lines flow again."""
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._lines: list[bytes] = []
        self._refused = 0  # lost lines, counted by those who log
        self._unwritten = 0  # lost lines, counted by the thread
        self._told = 0  # lost lines that were reported
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Writer on {self._descriptor}, {len(self._lines)} lines held, {self.lost} lost>"

    @property
    def lost(self) -> int:
        return self._refused + self._unwritten

    def write(self, line: bytes) -> None:
        """Never waits."""
        if len(self._lines) >= LINES_HELD:
            self._refused += 1
            return
        self._lines.append(line)
        if not self._news.is_set():
            self._news.set()

    def close(self) -> None:
        """Write what is held, as far as it can be written in time."""
        self._closing.set()
        self._news.set()
        self._thread.join(FAREWELL)

    def _run(self) -> None:
        while not self._closing.is_set() or self._lines:
            self._news.wait()
            self._news.clear()
            self._closing.wait(GATHER)
            self._put()

    def _put(self) -> None:
        """All that is held, in one write."""
        count, lost = len(self._lines), self.lost
        lines = self._lines[:count]  # others go on appending; each of these two steps is atomic
        del self._lines[:count]
        if lost > self._told:
            lines.append(self._lost_line(lost - self._told))
        try:
            self._write(b"".join(lines))
            self._told = lost
        except OSError:  # nobody reads any more, or the disk is full
            self._unwritten += count

    def _write(self, data: bytes) -> None:
        """Raises OSError."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # somebody who shares the descriptor has set it non-blocking
                writable = select.poll()
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll()
