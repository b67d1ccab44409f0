"""May so many more pass now, and if not, when?

The generic cell rate algorithm (ITU-T I.371, annex A): a leaky bucket that remembers one moment, when all that has
passed so far will have been paid for, at the limit's own pace. Whatever passes puts that moment off, and it may lie at
most a minute ahead. So a limit of 1,000 a minute admits

- 1,000 at once after a minute of rest, and not one more at that instant;
- in any stretch of time T at most 1,000 + floor(1,000 * T / minute), exactly so many where more are offered, and hence
  1,000 in each further minute: the burst is let in once, and not again with every minute.

OpenAI and Anthropic do the same ("continuously replenished up to your maximum limit"), so a client that keeps to their
limits in the right way keeps to ours. All numbers are whole: nanoseconds, and units in which a request costs so many
and a nanosecond pays for so many. Waits are rounded up, and nothing else is rounded. The clock never goes back
(time.monotonic does not); if it leaps ahead, the bucket is full, and no more than that.

What has passed may turn out to be less, or more (`settle`). More is taken now, and may put the moment off beyond a
minute. Less is given back, but only as far as time has not paid for it already, or the limit would be passed. So the
bucket is never kinder than one that had known from the beginning what each would take.
"""

from math import gcd

SECOND = 10**9  # nanoseconds, in which all clocks of limits count
MINUTE = 60 * SECOND


class Bucket:
    """`limit` in a minute. Times are nanoseconds of one clock, whichever it is."""

    __slots__ = ("_burst", "_due", "_given", "_pace", "_step", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        common = gcd(limit, MINUTE)
        self._pace = limit // common  # units that are paid for in a nanosecond
        self._step = MINUTE // common  # units that one costs
        self._burst = limit * self._step
        self._due = 0  # when all is paid for, in units since the clock began
        self._given = 0  # back, in units

    def take(self, count: int, now: int) -> int | None:
        """Let so many pass, if they may. What it returns goes to `settle`; None: they may not."""
        at = self._pace * now
        due = (self._due if self._due > at else at) + count * self._step
        if due - at > self._burst:
            return None
        self._due = due
        return due + self._given

    def charge(self, count: int, now: int) -> None:
        """So many have passed elsewhere, allowed or not: at worst, nothing is left."""
        at = self._pace * now
        self._due = min(max(at, self._due) + count * self._step, at + self._burst)

    def undo(self, count: int) -> None:
        """Take back a `take` of this very moment."""
        self._due -= count * self._step

    def settle(self, mark: int, less: int, now: int) -> None:
        """It was so many less than was taken; if negative, so many more. `mark`: what `take` returned."""
        at = self._pace * now
        if less <= 0:
            self._due = max(self._due, at) - less * self._step
            return
        # Of what was due at `mark`, time has paid for all up to now, and some was given back to others since.
        less, most = less * self._step, mark - self._given - at
        back = less if less < most else most
        if back > 0:
            self._due -= back
            self._given += back

    def wait(self, count: int, now: int) -> int:
        """Nanoseconds until so many may pass; 0: now. For more than the limit, until they would be paid for."""
        at = self._pace * now
        short = max(self._due, at) - at + count * self._step - self._burst
        return -(-short // self._pace) if short > 0 else 0

    def state(self, now: int) -> tuple[int, int]:
        """How many may pass now, and the nanoseconds until all may again."""
        owed = self._due - self._pace * now
        if owed <= 0:
            return self.limit, 0
        return max(0, (self._burst - owed) // self._step), -(-owed // self._pace)
