"""What of an answer was heard, and waits to be handed on as events?

A decoder's own part is to know which block goes on; numbers and order are alike on every wire.
"""

from proxy.canon import Close, Delta, Event, Open, Part


class Sentence:
    """`_out`: the events that wait. Blocks are numbered as they open."""

    def __init__(self) -> None:
        self._out: list[Event] = []
        self._blocks = 0  # opened so far

    def _open(self, part: Part, choice: int = 0) -> int:
        """The number of the block."""
        index = self._blocks
        self._blocks += 1
        self._out.append(Open(index=index, part=part, choice=choice))
        return index

    def _whole(self, part: Part, choice: int = 0, text: str = "") -> None:
        """A block that is whole at once."""
        index = self._open(part, choice)
        if text:
            self._out.append(Delta(index=index, text=text))
        self._out.append(Close(index=index))
