"""How is a request ended at one place where it waits, and at no other?

`cutting` puts itself between the loop and the tasks of a request: its own, and those that it begins (a hedge, a shared
answer, a login), and counts their waits. At the one that a Cut names, it ends the request.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest

from proxy.edge.door import Door
from proxy.edge.inbound import Inbound

T = TypeVar("T")

End = Callable[[Door], bool]  # ends what is under way at a door; False: there was nothing that it could end


def leave(door: Door) -> bool:
    """As if its client had left."""
    assert door._task is not None
    return door._task.cancel()


def break_off(door: Door) -> bool:
    """The connection to its client breaks, which the request hears of a little later."""
    assert door.transport is not None
    door.transport.abort()
    return True


class Cut:
    """Ends a request at the `at`-th wait, if it has as many: while what is waited for is still to come, or, if `late`,
    in the very turn in which it has come, so that the result reaches nobody.
    """

    def __init__(self, at: int, end: End, late: bool = False) -> None:
        self.at = at
        self.waits = 0
        self.is_made = False
        self._late = late
        self._end = end
        self.door: Door | None = None  # while the request is under way

    def __repr__(self) -> str:
        return f"<Cut at {self.at} of {self.waits}{'' if self.is_made else ', not made'}>"

    def see(self, waits: "asyncio.Future[Any] | None") -> None:
        """The request, or a task of its own, waits for this."""
        self.waits += 1
        if self.waits != self.at:
            return
        if self._late and waits is not None:
            waits.add_done_callback(lambda _: self._make())  # before whoever waits hears of it
        else:
            self._make()

    def _make(self) -> None:
        if self.door is not None:
            self.is_made = self._end(self.door)


class Led(Coroutine[Any, Any, T]):
    """A task's coroutine, whose waits a Cut sees. A task that is cancelled before it begins never begins it, either."""

    def __init__(self, cut: Cut, doing: Coroutine[Any, Any, T]) -> None:
        self._cut = cut
        self._doing = doing

    def send(self, turn: Any) -> Any:
        return self._seen(self._doing.send(turn))

    def throw(self, *error: Any) -> Any:
        return self._seen(self._doing.throw(*error))

    def close(self) -> None:
        self._doing.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._doing.__await__()  # nobody does: it is the task's

    def _seen(self, waits: Any) -> Any:
        self._cut.see(waits)
        return waits


_cut: ContextVar[Cut | None] = ContextVar("cut", default=None)  # which tasks have from whoever begins them

Cuts = deque[Cut | None]


@contextmanager
def cutting(monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> Iterator[Cuts]:
    """What becomes of the next requests, one after the other; those for which there is None, or nothing, are let be."""
    cuts, answer = Cuts(), Door._answer

    async def under(cut: Cut, door: Door, inbound: Inbound) -> None:
        cut.door = door
        _cut.set(cut)
        try:
            await answer(door, inbound)
        finally:
            cut.door = None

    def answering(door: Door, inbound: Inbound) -> Coroutine[Any, Any, None]:
        cut = cuts.popleft() if cuts else None
        return answer(door, inbound) if cut is None else Led(cut, under(cut, door, inbound))

    def task(loop: Any, doing: Coroutine[Any, Any, T], **named: Any) -> asyncio.Task[T]:
        cut = _cut.get()
        return asyncio.Task(doing if cut is None else Led(cut, doing), loop=loop, **named)

    monkeypatch.setattr(Door, "_answer", answering)
    loop.set_task_factory(task)  # type: ignore[arg-type]
    try:
        yield cuts
    finally:
        loop.set_task_factory(None)
