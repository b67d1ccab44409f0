"""How often did something happen in the last seconds?

Time is cut into slots, of which one more is kept than the span has, so that whatever lies within the span is always
counted, and what is older by a tenth of it is not. All that is done per event is an addition.
"""

from collections.abc import Callable

SLOTS = 10  # in the span


class Recent:
    """Counts several things over one span. `kinds`: how many things; `span`: seconds; `clock`: never goes back."""

    __slots__ = ("_at", "_clock", "_kinds", "_rows", "_scale", "_sums")

    def __init__(self, kinds: int, span: float, clock: Callable[[], float]) -> None:
        self._kinds = kinds
        self._clock = clock
        self._scale = SLOTS / span
        self.clear()

    def __repr__(self) -> str:
        return f"<Recent {self.counts()}>"

    def clear(self) -> None:
        self._at = int(self._clock() * self._scale)  # the slot that is now, counted from the clock's zero
        self._rows = [[0] * self._kinds for _ in range(SLOTS + 1)]
        self._sums = [0] * self._kinds

    def add(self, kind: int) -> None:
        at = int(self._clock() * self._scale)
        if at != self._at:
            self._move(at)
        self._rows[at % (SLOTS + 1)][kind] += 1
        self._sums[kind] += 1

    def counts(self) -> list[int]:
        """Of each kind; it is ours, and changes with the next event."""
        at = int(self._clock() * self._scale)
        if at != self._at:
            self._move(at)
        return self._sums

    def _move(self, at: int) -> None:
        """Forget the slots that come round again."""
        for slot in range(max(self._at + 1, at - SLOTS), at + 1):
            row = self._rows[slot % (SLOTS + 1)]
            for kind in range(self._kinds):
                self._sums[kind] -= row[kind]
                row[kind] = 0
        self._at = at
