"""Whose limits does a fleet share, and what does one sidecar keep to when it cannot ask?

While the store is up, it decides: a scope says what to take (`claims`), hears what is left (`Rate.hear`), and gives
back what a request did not use when it has ended (`give_back`). While the store is away, a scope is what it is without
a fleet, with an equal share of each limit, of one at least. What this sidecar has let pass in the last minute counts in
its share from the beginning, and what passes meanwhile is told to the store when it is back (`due`).
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proxy.access.allowance import Limits
from proxy.fleet import PREFIX, Answer, Fleet, Word
from proxy.limits.gcra import Bucket
from proxy.limits.need import Need
from proxy.limits.rate import LEAVE, SETTLE, TAKE, UNDER_WAY, Mark, Rate
from proxy.limits.ratelimits import Level
from proxy.limits.scope import Kind, Limited, What


class Claim(NamedTuple):
    """What a request takes of one limit; `rate` is None for the number of requests under way at once."""

    what: What
    key: str
    rate: Rate | None
    needs: int
    most: int

    def words(self) -> Sequence[Word]:
        if self.rate is None:
            return "load", self.most, 0, self.needs
        return "rate", self.rate.burst, self.rate.pace, self.needs * self.rate.step


class Shared(Limited):
    """The limits of the whole fleet; what it inherits from `Limited` is this sidecar's share."""

    __slots__ = ("_fleet", "_is_told", "_under_way_key", "asking", "rates", "turns", "waiting", "whole", "with_others")

    def __init__(self, kind: Kind, name: str, limits: Limits, fleet: Fleet, now: int) -> None:
        super().__init__(kind, name, limits)
        self.whole = Limited(kind, name, limits)  # for messages
        self.asking = 0  # requests that the store is being asked about
        self.with_others = 0  # how many were under way in the whole fleet, as last heard
        self.waiting = 0  # requests that were refused once, and may wait
        self.turns = asyncio.Lock()  # one of them asks again, and the others stand behind it
        self._fleet = fleet
        self._is_told = False  # the store may count some of ours as under way
        key = f"{PREFIX}limit:{kind}:{name}"
        self._under_way_key = f"{key}:concurrent"
        per_minute: tuple[tuple[What, int | None], ...] = (
            ("requests", limits.requests_per_minute),
            ("tokens", limits.tokens_per_minute),
        )
        self.rates: dict[What, Rate] = {
            what: Rate(limit, f"{key}:{what}") for what, limit in per_minute if limit is not None
        }
        if not fleet.is_up:
            self.divide(now)

    @property
    def crowd(self) -> int:
        return self.waiting + super().crowd

    def claims(self, need: Need) -> list[Claim]:
        """All that a request takes of it, to be taken in one go with what it takes of others."""
        most = self.limits.concurrent
        claims = [] if most is None else [Claim("concurrent", self._under_way_key, None, 1, most)]
        for what, rate in self.rates.items():
            claims.append(Claim(what, rate.key, rate, _count(what, rate, need), rate.limit))
        return claims

    def ask(self) -> None:
        """The store is being asked: it may count one of ours from now on, whatever it answers."""
        self.asking += 1
        self._is_told = True

    def wait(self, claim: Claim, ahead: int = 0) -> int | None:
        """Nanoseconds until the store would let it pass, as last heard; None: nobody knows. `ahead`: how many come
        first, who need as much.
        """
        if claim.rate is not None:
            return claim.rate.wait(claim.needs * (1 + ahead))
        return None if self.with_others >= claim.most else 0

    def enter(self, need: Need, now: int) -> None:
        """Count a request that the store has let pass."""
        self._under_way += 1
        for what, rate in self.rates.items():
            rate.passed.note(_count(what, rate, need), now)

    def give_back(self, mark: Mark | None, need: Need, used: int | None, now: int) -> None:
        """A request has ended that the store had let pass. `mark`: of its tokens."""
        self._leave()
        rate = self.rates.get("tokens")
        if rate is None or mark is None or used is None:
            return
        less = need.within(rate.limit) - used
        if self._fleet.is_up:
            self._fleet.tell(SETTLE, [rate.key], [rate.pace, less * rate.step, *mark], _nobody)
        elif less < 0:
            rate.missed.note(-less, now)

    def due(self, now: int) -> Iterator[tuple[str, Sequence[str], Sequence[Word]]]:
        """For the store: how many are under way here, and what has passed while it was away."""
        if self.limits.concurrent is not None and not self.asking and (self._under_way or self._is_told):
            self._is_told = bool(self._under_way)
            yield UNDER_WAY, [self._under_way_key], [self._fleet.id, self._under_way]
        for rate in self.rates.values():
            if missed := rate.missed.total(now):
                words = "rate", rate.burst, rate.pace, missed * rate.step
                yield TAKE, [rate.key], [self._fleet.id, "force", *words]
            rate.missed.clear()

    # --- while the store is away ---

    def divide(self, now: int) -> None:
        """The store is away: from now on there is only this sidecar's share."""
        members, limits = self._fleet.members, self.limits
        self._requests = _share(self.rates.get("requests"), members, now)
        self._tokens = _share(self.rates.get("tokens"), members, now)
        self._concurrent = None if limits.concurrent is None else max(limits.concurrent // members, 1)

    def take(self, need: Need, now: int) -> int | None:
        mark = super().take(need, now)
        if mark is not None:
            for what, rate in self.rates.items():
                count = _count(what, rate, need)
                rate.passed.note(count, now)
                rate.missed.note(count, now)
        return mark

    def undo(self, need: Need) -> None:
        super().undo(need)
        for what, rate in self.rates.items():
            rate.passed.take_back(_count(what, rate, need))
            rate.missed.take_back(_count(what, rate, need))

    def exceeded(self, need: Need) -> What | None:
        return self.whole.exceeded(need)

    def sentence(self, what: What, need: Need) -> str:
        return self.whole.sentence(what, need)

    def levels(self, now: int) -> list[Level]:
        if not self._fleet.is_up:
            return super().levels(now)
        return [(what, rate.limit, *rate.state(now)) for what, rate in self.rates.items()]

    def is_idle(self, now: int) -> bool:
        is_known = any(rate.passed.total(now) for rate in self.rates.values())
        return not (is_known or self.asking or self.waiting) and super().is_idle(now)

    def _leave(self) -> None:
        super()._leave()
        if self.limits.concurrent is not None:
            self._fleet.tell(LEAVE, [self._under_way_key], [self._fleet.id], _nobody)


def _count(what: What, rate: Rate, need: Need) -> int:
    return 1 if what == "requests" else need.within(rate.limit)


def _share(rate: Rate | None, members: int, now: int) -> Bucket | None:
    if rate is None:
        return None
    bucket = Bucket(max(rate.limit // members, 1))
    bucket.charge(rate.passed.total(now), now)
    return bucket


def _nobody(_answer: Answer) -> None:
    """Nobody waits for the answer."""
