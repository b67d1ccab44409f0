"""Which answers are kept, for how long, and how many?

As many as there is room for: when it is full, the one that was asked for longest ago goes. An answer that is still
coming counts already, and so does one that is only in a file. One answer may have a quarter of the room. One whose time
is over is swept out within seconds, with its file, whether anybody asks for it or not: a little at a time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import islice, takewhile
from time import monotonic
from typing import NamedTuple

from proxy.answers.answer import Answer
from proxy.answers.shelf import Shelf

SWEPT = 100  # answers at a time: some tens of microseconds
EVERY = 1.0  # seconds between two looks at what is too old, at least
SOON = 0.01  # seconds, where more is too old than may be swept at once


class Found(NamedTuple):
    """`age` is in seconds."""

    answer: Answer
    age: float


class _Entry:
    """`answer`: None while it is only in its file. `since`: by the clock; `weight`: bytes."""

    __slots__ = ("answer", "since", "weight")

    def __init__(self, answer: Answer | None, since: float, weight: int) -> None:
        self.answer = answer
        self.since = since
        self.weight = weight


class Answers:
    """`size`: bytes that all may take. `ttl`: seconds for which one is good. `clock`: seconds, and never goes back."""

    def __init__(
        self, size: int, ttl: float, shelf: Shelf | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.evictions = 0
        self._shelf = shelf
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # by question, the one asked for last at the end
        self._by_age: OrderedDict[str, None] = OrderedDict()  # the same questions, the oldest answer's first
        self._timer: asyncio.TimerHandle | None = None  # of the next sweep
        self._kept = self._coming = 0  # bytes
        self.become(size, ttl)

    def become(self, size: int, ttl: float) -> None:
        """Go by these from now on, for what is kept already as well."""
        self.longest = size // 4
        self._size = size
        self._ttl = ttl
        self._make_room()
        self._plan_sweep()

    def __repr__(self) -> str:
        return f"<Answers: {len(self._entries)}, {self.bytes} of {self._size} bytes>"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        return self._kept + self._coming

    async def open(self) -> None:
        """Find out what was kept in files."""
        if self._shelf is None:
            return
        now = self._clock()
        for key, size, age in await self._shelf.look():
            if 0 <= age < self._ttl and size <= self.longest:
                self._put(key, _Entry(None, now - age, size))
            else:
                self._shelf.remove([key])

    async def close(self) -> None:
        self._stop_sweeps()
        if self._shelf is not None:
            await self._shelf.close()

    async def find(self, key: str) -> Found | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._clock() - entry.since
        if age >= self._ttl:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        answer = entry.answer or await self._fetch(key, entry)
        return None if answer is None else Found(answer, age)

    def keep(self, key: str, answer: Answer) -> None:
        """Keep it, unless it is too long."""
        if answer.weight > self.longest:
            return
        self._put(key, _Entry(answer, self._clock(), answer.weight))
        if self._shelf is not None:
            self._shelf.write(key, answer)

    def claim(self, size: int) -> bool:
        """Take room for so many bytes of an answer that is coming. False: there is none."""
        if self._coming + size > self._size:
            return False
        self._coming += size
        self._make_room()
        return True

    def release(self, size: int) -> None:
        self._coming -= size

    async def _fetch(self, key: str, entry: _Entry) -> Answer | None:
        """From its file. One that is gone or broken is forgotten."""
        assert self._shelf is not None
        entry.answer = await self._shelf.read(key)
        if entry.answer is None and self._entries.get(key) is entry:
            self._remove(key)
        return entry.answer

    def _put(self, key: str, entry: _Entry) -> None:
        if (old := self._entries.pop(key, None)) is not None:
            self._kept -= old.weight
        self._entries[key] = entry
        self._by_age[key] = None
        self._by_age.move_to_end(key)
        self._kept += entry.weight
        self._make_room()
        if self._timer is None:
            self._plan_sweep()

    def _make_room(self) -> None:
        while self._entries and self.bytes > self._size:
            self._remove(next(iter(self._entries)))
            self.evictions += 1

    def _remove(self, *keys: str) -> None:
        for key in keys:
            self._kept -= self._entries.pop(key).weight
            del self._by_age[key]
        if self._shelf is not None:
            self._shelf.remove(keys)

    # --- what is too old ---

    def sweep(self) -> None:
        """Remove some of it; the rest soon."""
        before = self._clock() - self._ttl
        old = list(takewhile(lambda key: self._entries[key].since <= before, islice(self._by_age, SWEPT)))
        if old:
            self._remove(*old)
        self._plan_sweep(SOON if len(old) == SWEPT else EVERY)

    def _plan_sweep(self, least: float = EVERY) -> None:
        self._stop_sweeps()
        if oldest := next(iter(self._by_age), None):
            wait = self._entries[oldest].since + self._ttl - self._clock()
            self._timer = asyncio.get_running_loop().call_later(max(wait, least), self.sweep)

    def _stop_sweeps(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Gathering:
    """A stream while it comes, as nobody knows yet whether it may be kept."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._chunks: list[bytes] | None = []
        self._size = 0

    async def over(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The same body; what passes is gathered."""
        async with aclosing(body):
            async for chunk in body:
                self._add(chunk)
                yield chunk

    def take(self) -> Sequence[bytes] | None:
        """What has come, which is given up here; None where it was too much."""
        chunks, self._chunks = self._chunks, None
        self._answers.release(self._size)
        self._size = 0
        return chunks

    def _add(self, chunk: bytes) -> None:
        if self._chunks is None:
            return
        size = len(chunk)
        if self._size + size > self._answers.longest or not self._answers.claim(size):
            self.take()
            return
        self._size += size
        self._chunks.append(chunk)
