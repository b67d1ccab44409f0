"""When has a provider kept us waiting for too long?

There is a time for its answer to begin, one for it to say something, one for each silence after that, and one for the
whole answer. A silence counts only while somebody waits for the provider's bytes. A stream may also send nothing but
signs of life. Whether a piece is more than that is only checked when a timer is looked at, so for few of them.
"""

import asyncio
import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from proxy.edge.failures import within
from proxy.edge.wire import Wire
from proxy.errors import Timeout, UpstreamError

LINGER = 0.5  # seconds that an answer may go on after its last event
PARTS = 10  # of `quiet`, after each of which is looked whether it has been broken: so exactly is it timed
SHORTEST = 16  # bytes of an event: a frame of AWS's with nothing in it. One of any other wire has an end of a line


class Allowed(NamedTuple):
    """Seconds; 0: for ever."""

    headers: float = 0.0  # to the head
    first_event: float = 0.0  # to the first event that says something, which is when `begun` is called
    idle: float = 0.0  # from then on between chunks
    quiet: float = 0.0  # and between chunks that are more than a sign of life
    total: float = 0.0
    client: float = 0.0  # the client's own limit, of which `total` is what was left


class Said(Enum):
    """What an answer has sent since its silence was last looked at."""

    NOTHING = "nothing"  # or signs of life
    PART = "part"  # of an event, and too little to be one
    EVENT = "event"  # or as much as one


EVENT = Said.EVENT  # asked for with every piece, and found twice as fast by a name of its own


class Timed:
    """The timers of an exchange, its subclass. The wire looks at them when it was asked to."""

    _wire: Wire
    _clock: asyncio.AbstractEventLoop
    _waiter: asyncio.Future[bool] | None = None  # its result: may the sink have more?
    status = 0  # of the answer; 0: its head has not come
    _done = False  # its end has come, or nothing more will
    _watched = False  # the answer has said something, and its silences are timed
    _concluded = False  # the answer has said its last
    _said = Said.NOTHING
    _began = 0.0  # seconds, by the loop's clock
    _allowed = Allowed()
    _last = 0.0  # when a byte came, or somebody began to wait for one; seconds, by the loop's clock
    _spoke = 0.0  # when a look last found that it had said an event; seconds, by the loop's clock

    def begun(self) -> None:
        """The answer has said something: from now on its silences are timed."""
        if not self._watched and not self._done:
            self._watched = True
            self._last = self._spoke = self._clock.time()
            allowed = self._allowed
            if allowed.idle or allowed.quiet:
                self._wire.wake_at(self._last + soonest(allowed.idle, allowed.quiet / PARTS))

    def concluded(self) -> None:
        """The answer has said its last. Its end has to come for the connection to be used again, but not much later."""
        if not (self._done or self._concluded):
            self._concluded = True
            self._allowed = Allowed(total=self._clock.time() - self._began + LINGER)
            self._wire.wake_at(self._began + self._allowed.total)

    def look(self) -> float:
        """Fail if a timer has run out. Else: when to look again, by the loop's clock; 0: there is nothing to time."""
        if self._done:
            return 0.0
        now, allowed = self._clock.time(), self._allowed
        if allowed.total and now >= self._began + allowed.total:
            words = f"The provider's answer did not end {within(allowed.total, allowed.client)}."
            self._fail(Timeout(words, code="total_timeout"))
        elif allowed.headers and not self.status and now >= self._began + allowed.headers:
            self._late("headers_timeout", "did not begin", allowed.headers)
        elif allowed.first_event and not self._watched and now >= self._began + allowed.first_event:
            self._late("first_event_timeout", "sent no event", allowed.first_event)
        elif self._watched and allowed.idle and self._silence(now) >= allowed.idle:
            self._fail(Timeout(f"The provider's stream was silent for {allowed.idle:g} s.", code="idle_timeout"))
        elif self._watched and allowed.quiet and self._since_it_spoke(now) >= allowed.quiet:
            words = f"The provider's stream sent only keep-alives for {allowed.quiet:g} s."
            self._fail(Timeout(words, code="quiet_timeout"))
        else:
            return self._next_look(now)
        return 0.0

    def _next_look(self, now: float) -> float:
        allowed = self._allowed
        times = [self._began + allowed.total] if allowed.total else []
        if self._watched and allowed.idle:
            times.append(now + allowed.idle - self._silence(now))
        if self._watched and allowed.quiet:
            times.append(min(self._spoke + allowed.quiet, now + allowed.quiet / PARTS))
        elif not self._watched:
            times += [self._began + allowed.first_event] if allowed.first_event else []
            times += [self._began + allowed.headers] if allowed.headers and not self.status else []
        return min(times, default=0.0)

    def _silence(self, now: float) -> float:
        """Seconds without a byte; time in which nobody waits does not count."""
        return now - self._last if self._waiter is not None else 0.0

    def _listen(self, data: bytes) -> None:
        """Is this more than a sign of life? Who sends byte after byte, and never an event, has not spoken either."""
        if self._said is Said.PART or not is_quiet(data):
            is_part = len(data) < SHORTEST and b"\n" not in data and b"\r" not in data
            self._said = Said.PART if is_part else EVENT

    def _since_it_spoke(self, now: float) -> float:
        """Seconds without an event, as far as looks can tell; from this look on, what is said counts anew."""
        if self._said is EVENT or self._waiter is None:
            self._said, self._spoke = Said.NOTHING, now
        return now - self._spoke

    def _late(self, code: str, what: str, seconds: float) -> None:
        self._fail(Timeout(f"The provider's answer {what} within {seconds:g} s.", code=code))

    def _fail(self, error: UpstreamError) -> None:
        raise NotImplementedError


# Comments, and events of two vendors that say as little:
# https://docs.anthropic.com/en/docs/build-with-claude/streaming#ping-events
is_quiet = re.compile(
    rb'(?:\s++|:[^\r\n]*+|event: ?(?:ping|keepalive)\b|data: ?\{"type": ?"(?:ping|keepalive)"[^\r\n]*+)*+'
).fullmatch


@lru_cache(maxsize=64)  # a provider's timers are the same for all its calls
def soonest(*timers: float) -> float:
    """The shortest of these that is set (not 0), in seconds; at least one is."""
    return min(filter(None, timers))
