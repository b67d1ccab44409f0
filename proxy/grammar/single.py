"""What becomes of an answer on a wire with one choice, and perhaps one block at a time?

Interleaved blocks are sent one after the other. An answer with several choices is refused, as none may be left out.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

from proxy.canon import Close, Delta, Open
from proxy.errors import Unrepresentable

T = TypeVar("T")


def only(choices: Sequence[T]) -> T:
    """The only one. Raises Unrepresentable."""
    if len(choices) > 1:
        raise _too_many()
    return choices[0]


def check_choice(event: Open) -> None:
    """The same, as soon as a block of another choice begins. Raises Unrepresentable."""
    if event.choice:
        raise _too_many()


def _too_many() -> Unrepresentable:
    message = "The provider's answer contains several choices, but the client's API has room for only one."
    return Unrepresentable(message, param="choices")


class OneByOne:
    """Reorders the events of blocks so that one block is open at a time."""

    def __init__(self) -> None:
        self.open: int | None = None  # the block that is being sent
        self._waiting: OrderedDict[int, list[Open | Delta | Close]] = OrderedDict()  # held back, by block

    def feed(self, event: Open | Delta | Close) -> list[Open | Delta | Close]:
        """What can be sent now: nothing while another block is open; once that closes, all that has waited.

        Raises Unrepresentable.
        """
        if isinstance(event, Open):
            check_choice(event)
        if self.open not in (None, event.index):
            self._waiting.setdefault(event.index, []).append(event)
            return []
        told = self._told([event])
        while self.open is None and self._waiting:
            told += self._told(self._waiting.popitem(last=False)[1])
        return told

    def _told(self, events: list[Open | Delta | Close]) -> list[Open | Delta | Close]:
        last = events[-1]
        self.open = None if isinstance(last, Close) else last.index
        return events
