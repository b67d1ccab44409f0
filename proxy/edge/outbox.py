"""Which bytes go out together?

A write wakes whoever waits for it, and on a busy machine that costs more than the write itself. So what one turn of the
loop has to say waits for the next: the first write wakes the app, and the others find it awake
(docs/decisions/0031-outbox.md). What would wait alone goes out at once. Before any bytes go, what was spent on them is
written down.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

FULL = 256 * 1024  # bytes that may wait
BIG = 16 * 1024  # bytes of a write that does not wait: whether its reader keeps up must be known at once
ALONE = 16  # writes that go out at once after one that waited in vain

Bytes = bytes | memoryview


class Line(Protocol):
    """A connection."""

    @property
    def transport(self) -> asyncio.Transport | None: ...


def nothing() -> None:
    pass


class Outbox:
    """What is about to be written on the connections of one side. On each, bytes keep their order. `before` is called
    before any go, and raises nothing.

    Whoever does more to a connection's writing side than write flushes first.
    """

    __slots__ = ("_alone", "_is_due", "_loop", "_size", "_waiting", "before")

    def __init__(self, loop: asyncio.AbstractEventLoop, before: Callable[[], None] = nothing) -> None:
        self.before = before
        self._loop = loop
        self._waiting: deque[tuple[Line, Bytes]] = deque()
        self._size = 0  # bytes in it
        self._is_due = False  # the loop will flush it
        self._alone = 0  # writes that do not try whether others come; then nothing waits

    def __repr__(self) -> str:
        return f"<Outbox of {self._size} bytes>"

    def write(self, line: Line, data: Bytes) -> None:
        """Now or soon. Bytes for a connection that has closed by then are dropped, as its transport would do."""
        if self._alone:
            self._alone -= 1
            self.before()
            _write(line, data)
            return
        self._waiting.append((line, data))
        self._size += len(data)
        if self._size > FULL or len(data) > BIG:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._due)

    def flush(self) -> None:
        """Write all that waits, now. Raises nothing: a bug in one write is no fault of whoever flushes."""
        self.before()
        self._size = 0
        while self._waiting:
            line, data = self._waiting.popleft()
            try:
                _write(line, data)
            except Exception as error:
                self._loop.call_exception_handler({"message": "a write failed", "exception": error})

    def _due(self) -> None:
        self._is_due = False
        if len(self._waiting) == 1:
            self._alone = ALONE
        self.flush()


def _write(line: Line, data: Bytes) -> None:
    transport = line.transport
    if transport is not None:
        transport.write(data)
