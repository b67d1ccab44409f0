"""Whom of a route's targets do we ask first, and whom next?

Each strategy puts all of them in an order, and leaves none out, so that there is always one more to turn to. Whether a
target may be asked at all is decided elsewhere (breaker.py, needs.py).

    order          as the operator wrote them
    weighted       at random, each first as often as its weight says
    least_latency  the quicker of two drawn at random, then the rest by their speed: if all clients chose the quickest,
                   they would make it the slowest ("The Power of Two Choices in Randomized Load Balancing", 2001)
    least_cost     the cheapest first, and last those whose price nobody knows
    sticky         at random again, but the same for each request of a conversation, so that it meets its prompt cache;
                   a target that comes or goes moves no other's conversations (rendezvous hashing, Thaler and
                   Ravishankar, 1998)
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import exp, inf, log
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", covariant=True)
Random = Callable[[], float]  # from 0 up to 1


class PeakEWMA:
    """How slow a target is by now, in seconds: a mean that takes bad news at once, and good news slowly.

    It fades while there is no news, so that a target that was slow once is tried again. Only answers count: what fails
    fast is not quick. `in_flight` is kept by whoever asks.
    https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/
    """

    __slots__ = ("_clock", "_fading", "_stamp", "_value", "in_flight")

    def __init__(self, clock: Callable[[], float], fading: float = 30.0) -> None:
        self._clock = clock
        self._fading = fading  # seconds in which a mean falls to 1/e
        self._value = 0.0
        self._stamp = 0.0
        self.in_flight = 0

    def __repr__(self) -> str:
        return f"<PeakEWMA {self.value:.3f} s, {self.in_flight} in flight>"

    @property
    def value(self) -> float:
        """Seconds; 0 where nothing was ever heard."""
        return self._value * exp((self._stamp - self._clock()) / self._fading)

    @property
    def load(self) -> float:
        """About how long one more request would wait. What was asked and has never answered comes last."""
        value = self.value
        return value * (self.in_flight + 1) if value or not self.in_flight else _UNHEARD + self.in_flight

    def observe(self, seconds: float) -> None:
        mean, now = self._value, self._clock()
        if seconds < mean:
            seconds += (mean - seconds) * exp((self._stamp - now) / self._fading)
        self._value, self._stamp = seconds, now


_UNHEARD = 1e6  # seconds; more than any answer takes


class Option(NamedTuple, Generic[T]):
    """A target, and what is known of it. `name` tells it from the others, here and after a restart."""

    target: T
    name: str
    weight: float = 1.0
    cost: float | None = None  # of this request, in any unit; None: nobody knows
    latency: PeakEWMA | None = None


def order(strategy: str, options: Sequence[Option[T]], key: str, random: Random) -> list[Option[T]]:
    """`key`: what sticky goes by, such as a conversation's identity; without one it is weighted."""
    return list(options) if len(options) < 2 else [options[n] for n in _STRATEGIES[strategy](options, key, random)]


Options = Sequence[Option[object]]


def _as_written(options: Options, key: str, random: Random) -> Sequence[int]:
    return range(len(options))


def _weighted(options: Options, key: str, random: Random) -> Sequence[int]:
    return _by_lot(options, [random() for _ in options])


def _sticky(options: Options, key: str, random: Random) -> Sequence[int]:
    if not key:
        return _weighted(options, key, random)
    said = key.encode("utf-8", "surrogatepass")
    return _by_lot(options, [_lot(said, option.name) for option in options])


def _by_lot(options: Options, lots: Sequence[float]) -> Sequence[int]:
    """Each draws a waiting time, exponentially distributed with its weight as the rate, and they come in that order.

    So each is first with a probability in proportion to its weight, and likewise the second among those that are left.
    """
    waits = [
        -log(1 - lot) / option.weight if option.weight > 0 else inf for lot, option in zip(lots, options, strict=True)
    ]
    return sorted(range(len(options)), key=waits.__getitem__)


def _lot(key: bytes, name: str) -> float:
    digest = blake2b(b"%b\0%b" % (name.encode("utf-8", "surrogatepass"), key), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # as many bits as a float holds: never quite 1


def _least_latency(options: Options, key: str, random: Random) -> Sequence[int]:
    loads = [option.latency.load if option.latency else 0.0 for option in options]
    one, other = int(random() * len(options)), int(random() * (len(options) - 1))
    other += other >= one  # any but the first
    first = one if loads[one] <= loads[other] else other
    rest = sorted((n for n in range(len(options)) if n != first), key=loads.__getitem__)
    return [first, *rest]


def _least_cost(options: Options, key: str, random: Random) -> Sequence[int]:
    return sorted(range(len(options)), key=lambda n: inf if (cost := options[n].cost) is None else cost)


_STRATEGIES: dict[str, Callable[[Options, str, Random], Sequence[int]]] = {
    "order": _as_written,
    "weighted": _weighted,
    "least_latency": _least_latency,
    "least_cost": _least_cost,
    "sticky": _sticky,
}
