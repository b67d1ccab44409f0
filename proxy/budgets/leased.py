"""What may one sidecar of a fleet spend of a budget that all of them share?

What it has leased. The store knows how much of a budget each sidecar owns: what it has spent, and what it holds beside
that.

- A lease is granted where all that sidecars own, and the lease, are no more than the limit; lenient: where all that
  they own is less than the limit, so that the one request that crosses it comes last, in the whole fleet. What the
  asking sidecar has leased and does not use is not counted then: it goes to that request.
- A sidecar admits what its own lease can pay, spent + reserved + bound <= lease. Lenient, it does so only while all
  have spent less than the limit, as last heard, since the lease for the last request may reach beyond the limit.

So a strict budget is never overrun, and a lenient one by one request, as long as no bound is wrong. Each report says
how much a sidecar has spent and how much it holds, and not what has changed: so reports may be lost, or come twice, and
as they are numbered, also late. A store that has lost what it knew learns it again with the next report of each.

What a sidecar held when it died is lost: it may have been spent, and nobody is left to say so. That is at most what it
spent in its last second and what was under way, as a sidecar gives back with the next beat what it does not use.
"""

from proxy.budgets.counter import Cause, Counter, News, Terms
from proxy.budgets.windows import Window


class Leased(Counter):
    """`others`: what the rest of the fleet has spent, as last heard. `spent` is the whole fleet's, `used` our own.

    `lease` is what we own since the window began, `used` included; `wanted`, the bounds of requests that wait for a
    lease; `told`, what the store knows; `denied`, when it was asked for how much and granted nothing.
    """

    __slots__ = ("_fresh", "_recent", "denied", "lease", "number", "others", "told", "used", "wanted")

    def __init__(self, terms: Terms, client: str, window: Window) -> None:
        super().__init__(terms, client, window)
        self.used = self.lease = self.others = self.wanted = 0
        self.number = 0  # of the last report
        self.told: tuple[int, int] | None = None
        self.denied = (0.0, 0)
        self._fresh = self._recent = 0  # what was set aside since the last beat, and between the two before it

    @property
    def free(self) -> int:
        """What of the lease is neither spent nor set aside; negative where a bound was wrong."""
        return self.lease - self.used - self.reserved

    @property
    def held(self) -> int:
        """What we own and have not spent."""
        return max(self.lease - self.used, 0)

    @property
    def ample(self) -> int:
        """How much to lease if there is as much: what waiting requests lack, and what the last second took."""
        return max(self.wanted - self.free, 0) + max(self._recent, self._fresh)

    def admits(self, bound: int | None) -> bool:
        amount = self.amount(bound)
        if not amount:
            return amount == 0
        return amount <= self.free and (self.strict or self.spent < self.limit)

    def affords(self, bound: int | None) -> bool:
        """By what the fleet has spent and we hold, lease or none: what the others hold, only the store can say."""
        return self.amount(bound) is not None and super().admits(bound)

    def cause(self, bound: int | None) -> Cause:
        return "unbounded" if self.amount(bound) is None else super().cause(bound)

    def take(self, bound: int | None) -> None:
        super().take(bound)
        self._fresh += self.amount(bound) or 0

    def settle(self, bound: int | None, nanos: int) -> list[News]:
        self.used += nanos
        return super().settle(bound, nanos)

    def was_denied(self, need: int, since: float) -> bool:
        """Has the store been asked for no more than this since then, in vain? Whoever waited meanwhile knows enough."""
        asked, least = self.denied
        return asked >= since and least <= need

    def hear(self, used: int, spent: int) -> None:
        """The fleet had spent so much when we had `used` so much of it."""
        self.others = max(spent - used, 0)
        self.spent = self.others + self.used

    def part(self, used: int) -> None:
        """From now on so much of what we have used counts as the others'."""
        self.used -= used
        self.lease -= used
        self.others += used

    def slacken(self) -> None:
        """With each beat: keep what is set aside, and as much again as the last second took."""
        self._recent, self._fresh = self._fresh, 0
        self.lease -= max(self.free - self._recent, 0)

    @property
    def is_over(self) -> bool:
        """Is there nothing more to tell the store?"""
        return not (self.reserved or self.held) and self.told == (self.used, 0)
