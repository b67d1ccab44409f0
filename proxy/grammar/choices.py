"""Has every choice of a stream ended that has begun?

One ended choice does not end the answer: a stream that breaks before the others have ended is incomplete. Nearly every
event carries the number of its choice. So the numbers are searched for as bytes, and an event is parsed only where a
number is new. That is safe, as every quote inside a JSON string is escaped; but a choice's calls are numbered as well.
"""

import re
from collections.abc import Iterable, Iterator

_first = re.compile(rb'"index"\s*:\s*0').search
_others = re.compile(
    rb'"index"(?<!"tool_calls":\[\{"index")(?<!"tool_calls": \[\{"index")\s*:\s*([1-9]\d{0,2})'
).finditer


class Choices:
    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    @property
    def over(self) -> bool:
        return bool(self._ended) and self.silent

    @property
    def silent(self) -> bool:
        """Every choice that has begun has ended."""
        return self._begun <= self._ended

    def places(self, events: bytes) -> Iterator[int]:
        """Where in the bytes a choice may stand that is not known yet."""
        if 0 not in self._begun and (found := _first(events)) is not None:
            yield found.start()
        for found in _others(events):
            if int(found[1]) not in self._begun:
                yield found.start()

    def note(self, choices: Iterable[tuple[int, bool]]) -> None:
        """Remember what an event says: the number of each choice, and whether that choice ends."""
        for number, ends in choices:
            self._begun.add(number)
            if ends:
                self._ended.add(number)
