"""What does a count look like until Prometheus asks for it?

A plain number; its metric family is made only then.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.canon import BUCKETS

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 600)


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

    def family(self) -> Metric:
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(self.name, self.about, value=self.read())


class Tallied(NamedTuple):
    """Numbers that are kept elsewhere, by labels whose values are ours, and so are bounded. Else like Watched."""

    name: str
    about: str
    labels: Sequence[str]
    read: Callable[[], Mapping[tuple[str, ...], float]]

    def family(self) -> Metric:
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        family = kind(self.name, self.about, labels=self.labels)
        for values, count in self.read().items():
            family.add_metric(values, count)
        return family
