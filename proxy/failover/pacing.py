"""When is a target asked again, and how often do all requests together do that?"""

from collections.abc import Callable

from proxy.failover.recent import Recent


class Backoff:
    """How long to wait before the next time: a random time up to a bound that grows, so that retries are spread out.

    `random` gives numbers from 0 up to 1. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(self, initial: float, factor: float, longest: float, random: Callable[[], float]) -> None:
        self._bounds = [min(longest, initial * factor**n) for n in range(_GROWTH)]
        self._random = random

    def wait(self, attempt: int, hint: float | None = None) -> float:
        """Seconds. `attempt`: 0 before the first retry. The random time comes on top of what the provider asks for."""
        return (hint or 0.0) + self._random() * self._bounds[min(attempt, _GROWTH - 1)]


_GROWTH = 32  # times that the bound grows


class RetryBudget:
    """How many retries all requests together may have, so that we make no outage worse.

    A `share` of the requests of the last `per` seconds, and `floor` more, for an app that asks rarely.
    """

    def __init__(self, share: float = 0.2, floor: int = 3, per: float = 10.0, *, clock: Callable[[], float]) -> None:
        self._share = share
        self._floor = floor
        self._recent = Recent(2, per, clock)

    def __repr__(self) -> str:
        asked, retried = self._recent.counts()
        return f"<RetryBudget {retried} retries of {asked} requests>"

    def asked(self) -> None:
        """A request has come; once for each, however often it is retried."""
        self._recent.add(_ASKED)

    def take(self) -> bool:
        """Take a retry, which must be used; False: there is none left."""
        asked, retried = self._recent.counts()
        if retried + 1 > self._floor + self._share * asked:
            return False
        self._recent.add(_RETRIED_ONE)
        return True


_ASKED, _RETRIED_ONE = 0, 1
