"""May so many more pass now, and if not, when?

The generic cell rate algorithm (ITU-T I.371, annex A), which is a leaky bucket that remembers one moment: when all that
has passed so far will have been paid for, at the limit's own pace. Whatever passes puts that moment off, and it may lie
a minute ahead, no more. So a limit of 1,000 a minute admits

- 1,000 at once after a minute of rest, and not one more at that instant;
- in any stretch of time T at most 1,000 + floor(1,000 * T / minute), exactly so many where more are offered, and hence
  1,000 in each further minute: the burst is let in once and not anew with every minute.

It is what OpenAI and Anthropic do ("continuously replenished up to your maximum limit"), so that a client that reckons
with theirs reckons rightly with ours. All is whole numbers: nanoseconds, and units of which one request costs so many
and a nanosecond pays for so many; what is waited is rounded up, and nothing else is rounded. The clock never goes back
(time.monotonic does not); where it leaps ahead, one bucket is full, and no more than that.

What has passed may turn out to be less, or more (`settle`). More is taken now, and may put the moment off beyond a
minute. Less is given back as far as time has not forgiven it already: whoever gets back what was long paid for would
pass the limit. So the bucket is never kinder than one that had known from the beginning what each would take.
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
        """So many have passed elsewhere, whether they might or not: then nothing is left at worst."""
        at = self._pace * now
        self._due = min(max(at, self._due) + count * self._step, at + self._burst)

    def undo(self, count: int) -> None:
        """As if so many had not been taken in this very moment."""
        self._due -= count * self._step

    def settle(self, mark: int, less: int, now: int) -> None:
        """It was so many less than was taken, or more where that is negative. `mark`: what `take` returned."""
        at = self._pace * now
        if less <= 0:
            self._due = max(self._due, at) - less * self._step
            return
        # Of what stood before `mark`, time has forgiven all up to now, and some was given back to others since.
        less, most = less * self._step, mark - self._given - at
        back = less if less < most else most
        if back > 0:
            self._due -= back
            self._given += back

    def wait(self, count: int, now: int) -> int:
        """Nanoseconds until so many may pass; 0: now. Of more than the limit it is when they would be paid for."""
        at = self._pace * now
        short = max(self._due, at) - at + count * self._step - self._burst
        return -(-short // self._pace) if short > 0 else 0

    def state(self, now: int) -> tuple[int, int]:
        """How many may pass now, and the nanoseconds until all may again."""
        owed = self._due - self._pace * now
        if owed <= 0:
            return self.limit, 0
        return max(0, (self._burst - owed) // self._step), -(-owed // self._pace)
