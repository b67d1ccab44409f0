"""What does a count look like until Prometheus asks for it?

A plain number; `families` makes a metric family of it only then.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from proxy.canon import BUCKETS

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 600)

Kind = Literal["counter", "gauge", "histogram", "info"]


class Told(NamedTuple):
    """What a family says. A row: its labels' values, and what is counted, or for a histogram what a Spread tells."""

    kind: Kind
    name: str
    about: str
    labels: Sequence[str]
    rows: Iterable[Sequence[Any]]


class Spread:
    """How values, in seconds, spread over buckets."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def told(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets by their upper bounds, and the sum, for the exposition format."""
        names = [*map(str, self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True)), self._total


class Place:
    """What happened at one provider with one model."""

    __slots__ = ("duration", "ended", "first_byte", "guessed", "nanos", "tokens")

    def __init__(self) -> None:
        self.nanos = 0  # what it cost
        self.guessed = 0  # attempts whose price nobody knows
        self.ended: Counter[tuple[str, int]] = Counter()  # by operation and status
        self.tokens = [0] * len(BUCKETS)  # by kind
        self.duration = Spread(SECONDS)
        self.first_byte = Spread(SECONDS)


class Watched(NamedTuple):
    """A number that is kept elsewhere. One whose name ends in `_total` only grows."""

    name: str
    about: str
    read: Callable[[], float]

    def told(self) -> Told:
        return Told(_kind(self.name), self.name, self.about, (), [((), self.read())])


class Tallied(NamedTuple):
    """Numbers that are kept elsewhere, by labels whose values are ours, and so are bounded. Else like Watched."""

    name: str
    about: str
    labels: Sequence[str]
    read: Callable[[], Mapping[tuple[str, ...], float]]

    def told(self) -> Told:
        return Told(_kind(self.name), self.name, self.about, self.labels, list(self.read().items()))


def _kind(name: str) -> Kind:
    return "counter" if name.endswith("_total") else "gauge"
