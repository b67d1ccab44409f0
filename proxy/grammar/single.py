"""What becomes of an answer on a wire that tells one choice, and perhaps one block at a time?

Blocks that interleave are told one after the other. Of several choices none is left out: they are refused.
"""

from collections.abc import Sequence
from typing import TypeVar

from proxy.canon import Close, Delta, Open
from proxy.errors import Unrepresentable

T = TypeVar("T")


def only(choices: Sequence[T]) -> T:
    """The one of them. Raises Unrepresentable."""
    if len(choices) > 1:
        raise _too_many()
    return choices[0]


def check_choice(event: Open) -> None:
    """The same, as soon as a block of another choice begins. Raises Unrepresentable."""
    if event.choice:
        raise _too_many()


def _too_many() -> Unrepresentable:
    return Unrepresentable("The answer has several choices, and this wire cannot carry more than one.", param="choices")


class OneByOne:
    """Puts the events of blocks in such an order that one block is open at a time."""

    def __init__(self) -> None:
        self.open: int | None = None  # the block that speaks
        self._waiting: dict[int, list[Open | Delta | Close]] = {}  # what later blocks have held back

    def feed(self, event: Open | Delta | Close) -> list[Open | Delta | Close]:
        """What can be told now: nothing while another block speaks, and all that has waited once that closes.

        Raises Unrepresentable.
        """
        if isinstance(event, Open):
            check_choice(event)
        if self.open not in (None, event.index):
            self._waiting.setdefault(event.index, []).append(event)
            return []
        told = self._told([event])
        while self.open is None and self._waiting:
            told += self._told(self._waiting.pop(next(iter(self._waiting))))
        return told

    def _told(self, events: list[Open | Delta | Close]) -> list[Open | Delta | Close]:
        last = events[-1]
        self.open = None if isinstance(last, Close) else last.index
        return events
