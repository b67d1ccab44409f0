"""Is this target to be asked at all, or left alone until it is well?

    closed --`failures` in a row, or a `share` of the last `window` seconds--> open
    open --its time is over--> half_open: one probe, and another each time that the pause has passed again; where nobody
        else can be asked, the pause is no longer than the first one
    half_open --the probe fails--> open, for twice as long, up to `longest`
    half_open --the probe succeeds--> ramp: a share of the requests that grows from nothing to all over `ramp` seconds
    ramp --its time is over--> closed;  --as from closed--> open, for twice as long

An attempt that is let in gets a ticket, and hands it back once, with its outcome. An outcome counts only in the state
that let it in: an attempt that began before the breaker opened, and fails a minute later, says nothing about now.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from proxy.failover.recent import Recent

NEXT = 1.0  # seconds, at least, from one probe to the next
State = Literal["closed", "open", "half_open", "ramp"]


class Rules(NamedTuple):
    """When a breaker opens, and for how long."""

    failures: int = 5  # in a row
    share: float = 0.5  # of the last `window` seconds' outcomes
    least: int = 20  # outcomes that must be known before a share says anything
    window: float = 10.0  # seconds
    cool: float = 10.0  # seconds that it is open for the first time
    longest: float = 300.0  # seconds that it is open at most
    ramp: float = 10.0  # seconds; 0: everybody comes back at once


class Breaker:
    """One target's. `clock`: seconds, never going back."""

    __slots__ = (
        "_clock",
        "_credit",
        "_generation",
        "_in_a_row",
        "_opened",
        "_outcomes",
        "_pause",
        "_rested",
        "_rules",
        "_sooner",
        "_state",
        "_until",
    )

    def __init__(self, rules: Rules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._outcomes = Recent(2, rules.window, clock)
        self._state: State = "closed"
        self._generation = 1  # the ticket of all that this state lets in; each change of state has its own
        self._in_a_row = 0  # failures
        self._opened = 0  # times since it was closed
        self._until = 0.0  # open: when its probe may go; half_open: when another may; ramp: when it is closed again
        self._sooner = 0.0  # when a probe may go where nobody else can be asked: no later than `_until`
        self._rested = 0.0  # when its whole pause is over, whoever is let in before
        self._pause = 0.0  # seconds that it was open for the last time
        self._credit = 0.0  # ramp: shares that have added up; a whole one lets a request in

    def __repr__(self) -> str:
        return f"<Breaker {self.state}>"

    def become(self, rules: Rules) -> None:
        """Go by these rules. A pause or ramp under way lasts no longer than they allow."""
        self._rules = rules
        self._pause = min(self._pause, rules.longest)
        most = rules.ramp if self._state == "ramp" else rules.longest
        self._until = min(self._until, self._clock() + most)
        self._sooner = min(self._sooner, self._clock() + min(rules.cool, most))
        self._rested = min(self._rested, self._clock() + rules.longest)

    @property
    def state(self) -> State:
        """As operators read it: open to its pause's end, though a probe may be let in before."""
        if self._state == "half_open" and self._clock() < self._rested:
            return "open"
        if self._state in ("open", "ramp") and self._clock() >= self._until:
            return "half_open" if self._state == "open" else "closed"
        return self._state

    @property
    def rest(self) -> float:
        """Seconds until it lets its probe in; 0 where it is not open."""
        return max(self._until - self._clock(), 0.0) if self._state == "open" else 0.0

    @property
    def wait(self) -> float:
        """Seconds until it lets its probe in, or the next one; 0 where others are let in, too."""
        return max(self._until - self._clock(), 0.0) if self._state in ("open", "half_open") else 0.0

    @property
    def wait_of_last(self) -> float:
        """The same where nobody else can be asked."""
        return max(self._sooner - self._clock(), 0.0) if self._state in ("open", "half_open") else 0.0

    def allow(self, is_last: bool = False) -> int:
        """A ticket, for one attempt; 0: leave it alone. Each ticket is handed back to one of the three below, once.

        `is_last`: nobody else can be asked, so that a ramp or a pause that has grown would only refuse.
        """
        if self._state == "closed":
            return self._generation
        if self._state == "ramp":
            return self._allow_in_ramp() or (self._generation if is_last else 0)
        return self._allow_probe(is_last)

    def succeeded(self, ticket: int) -> bool:
        """The target answered; a refusal of the request is an answer too. Has that brought it back?"""
        if ticket != self._generation:
            return False
        if self._state == "half_open":
            self._start_ramp()
            return True
        self._in_a_row = 0
        self._outcomes.add(_GOOD)
        return False

    def begun(self, ticket: int) -> bool:
        """The target has begun a stream, which may last for minutes. If it is the probe, has that brought it back?"""
        return self._state == "half_open" and self.succeeded(ticket)

    def failed(self, ticket: int, again: bool = False) -> bool:
        """The target did not answer as it should: a 5xx, a timeout, no connection. Is it left alone now?

        `again`: so it did when the same request came before, and one request is one failure. A probe has failed anyway.
        """
        if ticket != self._generation:
            return False
        if self._state != "half_open":
            self._end_ramp()
            if again:
                return False
            self._in_a_row += 1
            self._outcomes.add(_BAD)
            if self._in_a_row < self._rules.failures and not self._fails_too_often():
                return False
        self._open()
        return True

    def let_go(self, ticket: int) -> None:
        """Nobody knows how it would have ended: the client has left, say. If it was the probe, the next request is."""
        if ticket == self._generation and self._state == "half_open":
            self._sooner = self._clock()
            self._until = max(self._sooner, self._rested)

    def _allow_probe(self, is_last: bool) -> int:
        """A whole answer may take minutes too, so in time the next one is a probe as well. Any of them decides."""
        now = self._clock()
        if now < (self._sooner if is_last else self._until):
            return 0
        self._until = now + max(self._pause, NEXT)
        self._sooner = now + max(min(self._pause, self._rules.cool), NEXT)
        if self._state == "open":
            self._change("half_open")
        return self._generation

    def _end_ramp(self) -> None:
        """If the ramp is over. That makes no new generation: those that it let in count in the state that follows."""
        if self._state == "ramp" and self._clock() >= self._until:
            self._state = "closed"
            self._opened = 0

    def _allow_in_ramp(self) -> int:
        self._end_ramp()
        if self._state == "closed":
            return self._generation
        self._credit += 1 - (self._until - self._clock()) / self._rules.ramp
        if self._credit < 1:
            return 0
        self._credit -= 1
        return self._generation

    def _fails_too_often(self) -> bool:
        good, bad = self._outcomes.counts()
        return good + bad >= self._rules.least and bad >= self._rules.share * (good + bad)

    def _open(self) -> None:
        self._change("open")
        self._pause = min(self._rules.cool * 2 ** min(self._opened, 32), self._rules.longest)
        self._until = self._rested = self._clock() + self._pause
        self._sooner = self._clock() + min(self._pause, self._rules.cool)
        self._opened += 1

    def _start_ramp(self) -> None:
        self._change("ramp")
        self._until = self._clock() + self._rules.ramp
        self._credit = 1.0  # the first to come is let in
        self._in_a_row = 0
        self._outcomes.clear()

    def _change(self, state: State) -> None:
        self._state = state
        self._generation += 1


_GOOD, _BAD = 0, 1
