"""Whose limits are they, how much of them is left, and who waits for them?

A scope is a client, a provider or a model, with the operator's limits for it; or a model, with the limits that its
provider has announced. Nothing here waits. All times are in nanoseconds.
"""

from abc import ABC, abstractmethod
from asyncio import Future, TimerHandle
from collections import deque
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from proxy.access.allowance import Limits
from proxy.limits.gcra import Bucket
from proxy.limits.need import Need
from proxy.limits.ratelimits import Level

Kind = Literal["client", "provider", "model", "announced"]
What = Literal["concurrent", "requests", "tokens"]
Waits = Sequence[tuple[What, int | None]]  # for each limit, until it would let a request pass; None: nobody knows


class Scope(ABC):
    """`name` is for messages."""

    __slots__ = ("counts_tokens", "kind", "name", "queue", "timer")

    def __init__(self, kind: Kind, name: str, counts_tokens: bool) -> None:
        self.kind = kind
        self.name = name
        self.counts_tokens = counts_tokens  # so that a request must be estimated
        self.queue: deque[Ticket] = deque()
        self.timer: TimerHandle | None = None  # when the first of the queue may pass

    @property
    def crowd(self) -> int:
        """How many wait for it."""
        return len(self.queue)

    @abstractmethod
    def take(self, need: Need, now: int) -> int | None:
        """Let a request pass, if it may. What it returns goes to `settle`; None: it may not."""

    @abstractmethod
    def undo(self, need: Need) -> None:
        """Take back a `take` of this very moment."""

    @abstractmethod
    def settle(self, mark: int, need: Need, used: int | None, now: int) -> None:
        """The request has ended. `used`: tokens; None where nobody knows better than the need."""

    @abstractmethod
    def waits(self, need: Need, now: int, ahead: Sequence[Need] = ()) -> Waits:
        """For a request that stands behind those that are ahead of it."""

    @abstractmethod
    def exceeded(self, need: Need) -> What | None:
        """The limit that this request exceeds all by itself, so that it could never pass."""

    @abstractmethod
    def sentence(self, what: What, need: Need) -> str:
        """For a message: what the limit is, and what the request asks of it."""


class Limited(Scope):
    """A scope with the operator's limits."""

    __slots__ = ("_concurrent", "_requests", "_tokens", "_under_way", "limits")

    def __init__(self, kind: Kind, name: str, limits: Limits) -> None:
        super().__init__(kind, name, limits.tokens_per_minute is not None)
        self.limits = limits
        self._concurrent = limits.concurrent
        self._under_way = 0
        self._requests = None if limits.requests_per_minute is None else Bucket(limits.requests_per_minute)
        self._tokens = None if limits.tokens_per_minute is None else Bucket(limits.tokens_per_minute)

    def __repr__(self) -> str:
        return f"<Limited {self.kind} {self.name}: {self._under_way} under way, {len(self.queue)} wait>"

    def take(self, need: Need, now: int) -> int | None:
        if self._concurrent is not None and self._under_way >= self._concurrent:
            return None
        if self._requests is not None and self._requests.take(1, now) is None:
            return None
        mark: int | None = 0
        if self._tokens is not None:
            mark = self._tokens.take(need.within(self._tokens.limit), now)
            if mark is None:
                if self._requests is not None:
                    self._requests.undo(1)
                return None
        self._under_way += 1
        return mark

    def undo(self, need: Need) -> None:
        self._under_way -= 1
        if self._requests is not None:
            self._requests.undo(1)
        if self._tokens is not None:
            self._tokens.undo(need.within(self._tokens.limit))

    def settle(self, mark: int, need: Need, used: int | None, now: int) -> None:
        """The request itself stays counted; of its tokens only those that it used."""
        self._leave()
        if self._tokens is not None and used is not None:
            self._tokens.settle(mark, need.within(self._tokens.limit) - used, now)

    def _leave(self) -> None:
        """One request fewer is under way."""
        self._under_way -= 1

    def waits(self, need: Need, now: int, ahead: Sequence[Need] = ()) -> Waits:
        waits: list[tuple[What, int | None]] = []
        if self._concurrent is not None:
            waits.append(("concurrent", 0 if self._under_way + len(ahead) < self._concurrent else None))
        if self._requests is not None:
            waits.append(("requests", self._requests.wait(1 + len(ahead), now)))
        if self._tokens is not None:
            count = sum(each.within(self._tokens.limit) for each in (need, *ahead))
            waits.append(("tokens", self._tokens.wait(count, now)))
        return waits

    def exceeded(self, need: Need) -> What | None:
        return "tokens" if self._tokens is not None and need.within(self._tokens.limit) > self._tokens.limit else None

    def sentence(self, what: What, need: Need) -> str:
        if what == "concurrent":
            assert self._concurrent is not None
            return f"The limit of {self.name} is {_counted(self._concurrent, 'request')} at the same time"
        bucket = self._requests if what == "requests" else self._tokens
        assert bucket is not None
        limit = f"The limit of {self.name} is {_counted(bucket.limit, what[:-1])} per minute"
        if what == "requests":
            return limit
        length = "with an answer of the length it allows" if need.says else "its answer included"
        return f"{limit}, but this request may take {need.within(bucket.limit)}, {length}"

    def levels(self, now: int) -> list[Level]:
        """What its client is told."""
        levels: list[Level] = []
        if self._requests is not None:
            levels.append(("requests", self._requests.limit, *self._requests.state(now)))
        if self._tokens is not None:
            levels.append(("tokens", self._tokens.limit, *self._tokens.state(now)))
        return levels

    def is_idle(self, now: int) -> bool:
        """Is it as good as new?"""
        return not (self._under_way or self.queue or any(full_in for *_, full_in in self.levels(now)))


class Held(Struct, eq=False):
    """What a request has taken: `marks` has one for each scope."""

    scopes: Sequence[Scope]
    marks: Sequence[int]
    need: Need

    def __repr__(self) -> str:
        return f"<Held of {', '.join(scope.name for scope in self.scopes) or 'nobody'}>"


class Ticket:
    """A request that waits for its turn. It stands in the queues of its first scopes, as many as it has `reached`."""

    __slots__ = ("need", "reached", "scopes", "turn")

    def __init__(self, scopes: Sequence[Scope], need: Need, turn: "Future[Held]") -> None:
        self.scopes = scopes
        self.need = need
        self.turn = turn
        self.reached = 0

    def stand(self, index: int) -> bool:
        """Join the queue of this scope, unless it has. Is it the first there?"""
        queue = self.scopes[index].queue
        if index == self.reached:
            queue.append(self)
            self.reached += 1
        return queue[0] is self

    def step_out(self) -> Sequence[Scope]:
        """Leave all queues; returns their scopes."""
        stood = self.scopes[: self.reached]
        self.reached = 0
        for scope in stood:
            scope.queue.remove(self)
            if scope.timer is not None:  # whichever is first now has another one set
                scope.timer.cancel()
                scope.timer = None
        return stood


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
