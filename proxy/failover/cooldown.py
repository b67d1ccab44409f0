"""Which of a provider's keys is asked next?

They take turns, each as often as its weight says. One that the provider refuses is left out for a while:

    429                    the key, for the longer of what the provider says and 1 s, twice that the next time, to 60 s
    quota used up, 402     the key, likewise, from a minute to an hour
    403                    the key for that model alone, likewise, from a minute to an hour
    401                    the key, until it is replaced or found to work

Anything else is not the key's fault: an overload (529) hits all of them. When its time is over, a key is tried, at most
once per gap, until a request succeeds; then it takes its turns again. Where all keys are left out, the one that is due
first is tried in the same way. The gap is a tenth of the key's pause, but a second at least and a minute at most. In
between, another target is preferred; a request that has none is sent with that key all the same.

An attempt counts from when it began. One that began before its key was left out neither ends the pause nor doubles it:
a hundred refusals at once are one.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import inf, lcm
from typing import NamedTuple

from msgspec import Struct

from proxy.errors import UpstreamError

ABOUT = 0.1  # seconds by which a neighbour may be wrong about when it found something out
LONGEST_HINT = 86_400.0  # seconds; a provider may say days, and is asked once a day whether that still holds
MODELS = 1000  # for which a key may be left out at once: clients name models, and may name any number


class Saved(Struct, frozen=True, kw_only=True):
    """A key that is left out, or is back, as a file or a neighbour is told. `key` is its name, never the key."""

    key: str
    model: str  # "" for all
    until: float | None  # seconds since 1970; None: until it works
    pause: float  # seconds
    times: int  # 0: it works
    since: float = 0.0  # seconds since 1970: when that was found out


class _Pause(NamedTuple):
    first: float
    longest: float


_BUSY, _SPENT, _FORBIDDEN, _FAILED = _Pause(1, 60), _Pause(60, 3600), _Pause(60, 3600), _Pause(inf, inf)


class _Rest:
    """A key that is left out, or on trial. Times are the clock's."""

    __slots__ = ("asked", "gap", "pause", "since", "times", "until")

    def __init__(self, now: float, until: float, pause: float, times: int, since: float | None = None) -> None:
        self.since = now if since is None else since
        self.asked = now
        self.until = until
        self.pause = pause
        self.times = times  # that it was left out in a row, without working in between
        self.gap = min(max(pause / 10, 1.0), 60.0)

    def may_be_tried(self, now: float) -> bool:
        return now >= self.asked + self.gap


class Cooldown:
    """The keys of one provider, one at least, by their place in the list.

    `names`: one for each key, never the key itself; another key has another name. `weights`: above 0. `clock`: seconds,
    never going back.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[float], clock: Callable[[], float]) -> None:
        self._names = list(names)
        self._weights = _whole(weights)
        self._clock = clock
        self._all = range(len(names))
        self._turns = [0] * len(names)  # how far each is ahead of the others, in weight
        self._rests: list[dict[str, _Rest]] = [{} for _ in names]  # of each key by model, "" for all of them
        self.leaves_out = False  # one of them is left out, or on trial

    def __repr__(self) -> str:
        cooling, failed = self.counts()
        return f"<Cooldown {len(self._names)} keys, {cooling} cooling, {failed} failed>"

    def counts(self) -> tuple[int, int]:
        """How many are cooling, and how many have failed, for whichever model."""
        now = self._clock()
        ends = [max((rest.until for rest in rests.values()), default=now) for rests in self._rests]
        return sum(now < end < inf for end in ends), ends.count(inf)

    def renew(self, index: int, name: str) -> None:
        """Another key stands there now, about which nothing is known."""
        self._names[index] = name
        self._rests[index].clear()
        self.leaves_out = any(self._rests)

    def has_failed(self, index: int) -> bool:
        rest = self._rests[index].get("")
        return rest is not None and rest.until == inf

    def seconds_out(self, index: int, model: str) -> float:
        """For how long it is still left out; 0: it is not."""
        rest = self._rest(index, model)
        return max(0.0, rest.until - self._clock()) if rest is not None else 0.0

    def has_good(self, model: str) -> bool:
        """Is there one that is neither left out nor on trial?"""
        return any(self._rest(index, model) is None for index in self._all)

    def may_pick(self, model: str) -> bool:
        """Would `pick` have one?"""
        now = self._clock()
        rest = self._rest(self._soonest(model), model)
        return rest is None or rest.may_be_tried(now) or any(self._is_free(index, model, now) for index in self._all)

    def pick(self, model: str) -> int | None:
        """Whose turn it is. None: all are left out, and it is too early to try one."""
        if not self.leaves_out:
            return self._turn(self._all)
        now = self._clock()
        free = [index for index in self._all if not self._rests[index] or self._is_free(index, model, now)]
        index = self._turn(free) if free else self._soonest(model)
        rest = self._rest(index, model)
        if rest is not None:
            if not rest.may_be_tried(now):
                return None
            rest.asked = now
        return index

    def last_resort(self, model: str) -> int:
        """For a request that `pick` has no key for and that has nowhere else to go."""
        index = self._soonest(model)
        if rest := self._rest(index, model):
            rest.asked = self._clock()
        return index

    def succeeded(self, index: int, model: str, began: float) -> list[str]:
        """The provider answered it. The models for which that brings it back, "" for all.

        `began`: when it was asked, by the clock. A probe of the key names no model.
        """
        rests = self._rests[index]
        back = [scope for scope in {"", model} if scope in rests and began >= rests[scope].since]
        for scope in back:
            self._forget(index, scope)
        return back

    def failed(self, index: int, error: UpstreamError, model: str, hint: float | None, began: float) -> str | None:
        """The provider refused it. The model for which it is left out, "" for all; None: it is not the key's fault.

        `hint`: seconds that the provider asks for. `began`: as above.
        """
        scope, pause = _meant(error, model)
        if pause is None:
            return None
        now = self._clock()
        rest = self._rests[index].get(scope)
        times = 1 if rest is None else rest.times + (began >= rest.since)
        length = max(min(pause.first * 2 ** min(times - 1, 32), pause.longest), min(hint or 0.0, LONGEST_HINT))
        until = max(now + length, now if rest is None else rest.until)
        self._leave_out(index, scope, _Rest(now, until, length, times))
        return scope

    def state(self, wall: float) -> list[Saved]:
        """Who is left out. `wall`: the time, in seconds since 1970."""
        now = self._clock()
        return [
            self.saved(index, model, now, wall)
            for index in self._all
            for model, rest in self._rests[index].items()
            if rest.until > now
        ]

    def saved(self, index: int, model: str, found: float, wall: float) -> Saved:
        """How it is with the key. `found`: when it was found to work, where it does, by the clock. `wall`: as above."""
        rest, then = self._rests[index].get(model), wall - self._clock()
        if rest is None:
            return Saved(key=self._names[index], model=model, until=0.0, pause=0.0, times=0, since=then + found)
        return Saved(
            key=self._names[index],
            model=model,
            until=None if rest.until == inf else then + rest.until,
            pause=min(rest.pause, LONGEST_HINT),
            times=rest.times,
            since=then + rest.since,
        )

    def restore(self, saved: Sequence[Saved], wall: float) -> bool:
        """Leave out those that still would be, and bring back those that are back; was there any?

        Keys of other names are passed over.
        """
        heard = [
            self._hear(index, each, wall) for each in saved for index in self._all if self._names[index] == each.key
        ]
        return any(heard)

    def _hear(self, index: int, said: Saved, wall: float) -> bool:
        now, rest = self._clock(), self._rests[index].get(said.model)
        since = min(now, now - (wall - said.since))  # in this order, so that NaN means now
        if said.times == 0:
            if rest is None or since + ABOUT < rest.since:
                return False
            self._forget(index, said.model)
            return True
        # Where our wall clock is behind the one that it was told by, as after a boot, no pause becomes longer.
        until = inf if said.until is None else now + min(said.until - wall, said.until - said.since, LONGEST_HINT)
        if not until > (now if rest is None else rest.until + ABOUT):  # else it may be an echo of what we told
            return False
        pause = min(max(0.0, said.pause), LONGEST_HINT)
        self._leave_out(index, said.model, _Rest(now, until, pause, max(said.times, 1), since))
        return True

    def _turn(self, keys: Sequence[int]) -> int:
        """Smooth weighted round robin: each gains its weight, and the one ahead is next and pays for all."""
        turns, weights = self._turns, self._weights
        first, paid = keys[0], 0
        for index in keys:
            turns[index] += weights[index]
            paid += weights[index]
            if turns[index] > turns[first]:
                first = index
        turns[first] -= paid
        return first

    def _is_free(self, index: int, model: str, now: float) -> bool:
        rest = self._rest(index, model)
        return rest is None or (now >= rest.until and rest.may_be_tried(now))

    def _rest(self, index: int, model: str) -> _Rest | None:
        """The longer one, where both the key and the key for this model are left out."""
        rests = self._rests[index]
        whole, part = rests.get(""), rests.get(model)
        if whole is None or part is None:
            return whole or part
        return whole if whole.until >= part.until else part

    def _soonest(self, model: str) -> int:
        """The one that is back first; of several, as all that have failed are, the one that was asked longest ago."""

        def back(index: int) -> tuple[float, float]:
            rest = self._rest(index, model)
            return (rest.until, rest.asked) if rest is not None else (0.0, 0.0)

        return min(self._all, key=back)

    def _forget(self, index: int, scope: str) -> None:
        del self._rests[index][scope]
        self.leaves_out = any(self._rests)

    def _leave_out(self, index: int, model: str, rest: _Rest) -> None:
        rests = self._rests[index]
        rests[model] = rest
        self.leaves_out = True
        if len(rests) > MODELS:
            del rests[next(filter(None, rests))]  # the oldest of those for a single model


def _whole(weights: Sequence[float]) -> list[int]:
    """The same shares in whole numbers, whose sums are exact, however many turns there are."""
    shares = [Fraction(str(weight)) for weight in weights]  # 0.7 is 7/10, not the binary fraction beside it
    common = lcm(*(share.denominator for share in shares))
    return [int(share * common) for share in shares]


def _meant(error: UpstreamError, model: str) -> tuple[str, _Pause | None]:
    """What the key is left out for, and how."""
    match error.kind, error.status:
        case "authentication", 403:
            return model, _FORBIDDEN
        case "authentication", _:
            return "", _FAILED
        case "quota_exceeded", _:
            return model if error.code == "model_quota_exceeded" else "", _SPENT
        case "rate_limit", 429:
            return "", _BUSY
        case _:
            return "", None
