"""What has been heard of an answer, and waits to be handed on as events?

Numbering and order are the same on every wire; a decoder only has to know which block continues.
"""

from proxy.canon import Close, Delta, Event, Open, Part


class Sentence:
    """`_out`: the events that wait. Blocks are numbered in the order in which they open."""

    def __init__(self) -> None:
        self._out: list[Event] = []
        self._blocks = 0  # opened so far

    def _open(self, part: Part, choice: int = 0) -> int:
        """Returns the number of the block."""
        index = self._blocks
        self._blocks += 1
        self._out.append(Open(index=index, part=part, choice=choice))
        return index

    def _whole(self, part: Part, choice: int = 0, text: str = "") -> None:
        """Add a block that is complete at once."""
        index = self._open(part, choice)
        if text:
            self._out.append(Delta(index=index, text=text))
        self._out.append(Close(index=index))
