"""In what time have nearly all of them answered?

Judged by the last values, which are few enough to be sorted; that is done again after every few of them.
"""

from collections import deque
from math import ceil

KEPT = 200
LEAST = 20  # values: fewer do not tell the slowest one in twenty
EVERY = 10  # values after which they are sorted again


class Percentile:
    """`share` of the values are not above it (nearest rank)."""

    __slots__ = ("_last", "_new", "_share", "_value")

    def __init__(self, share: float = 0.95) -> None:
        self._share = share
        self._last: deque[float] = deque(maxlen=KEPT)
        self._new = EVERY  # values since they were sorted
        self._value = 0.0

    def __repr__(self) -> str:
        return f"<Percentile {self._share:g} of {len(self._last)}: {self.value}>"

    def add(self, value: float) -> None:
        self._last.append(value)
        self._new += 1

    @property
    def value(self) -> float | None:
        """None where too few are known."""
        count = len(self._last)
        if count < LEAST:
            return None
        if self._new >= EVERY:
            self._value, self._new = sorted(self._last)[ceil(self._share * count) - 1], 0
        return self._value
