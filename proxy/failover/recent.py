"""How often did something happen in the last seconds?

Time is cut into slots, and one more of them is kept than the span has: so whatever lies within the span is counted, and
nothing that is older by a tenth of it. An event costs no more than an addition.
"""

from collections.abc import Callable

SLOTS = 10  # in the span


class Recent:
    """Counts several things over one span. `kinds`: how many things; `span`: seconds; `clock`: never goes back."""

    __slots__ = ("_at", "_clock", "_kinds", "_row", "_rows", "_turn", "_until")

    def __init__(self, kinds: int, span: float, clock: Callable[[], float]) -> None:
        self._kinds = kinds
        self._clock = clock
        self._turn = span / SLOTS  # seconds of a slot
        self.clear()

    def __repr__(self) -> str:
        return f"<Recent {self.counts()}>"

    def clear(self) -> None:
        self._rows = [[0] * self._kinds for _ in range(SLOTS + 1)]
        self._stand(int(self._clock() / self._turn))

    def add(self, kind: int) -> None:
        if (now := self._clock()) >= self._until:
            self._move(int(now / self._turn))
        self._row[kind] += 1

    def counts(self) -> list[int]:
        """Of each kind."""
        if (now := self._clock()) >= self._until:
            self._move(int(now / self._turn))
        return [sum(counts) for counts in zip(*self._rows, strict=True)]

    def _move(self, at: int) -> None:
        """Forget the slots that come round again."""
        for slot in range(max(self._at + 1, at - SLOTS), at + 1):
            self._rows[slot % (SLOTS + 1)] = [0] * self._kinds
        self._stand(at)

    def _stand(self, at: int) -> None:
        """`at`: the slot that is now, counted from the clock's zero."""
        self._at = at
        self._row = self._rows[at % (SLOTS + 1)]
        self._until = (at + 1) * self._turn
