"""Under which id and name does the client know a call in the answer?

Under an id that no other call of the conversation has (pairing.py), and the name under which it offered the tool
(naming.py); with free text as its input, if it offered the tool so and the provider was given a function (freetext.py).
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from proxy.canon import Close, Delta, Event, Open, ToolCall, Turn
from proxy.lanes.freetext import NONE, FreeText
from proxy.lanes.naming import Names
from proxy.lanes.pairing import Taken, calls_in


class Calls:
    """Of one answer. `names`: the client's, by those that the provider got. `free`: tools that take free text."""

    def __init__(self, turns: Sequence[Turn], names: Names, free: frozenset[str] = NONE) -> None:
        self._turns = turns
        self._names = names
        self._free = free
        self._texts: dict[int, FreeText] = {}  # of calls that are still open, by index
        self._taken: Taken | None = None  # the conversation's ids, collected at the first call

    def feed(self, events: Iterable[Event]) -> list[Event]:
        opened = [self._opened(event) if type(event) is Open else event for event in events]
        return opened if not self._free else [said for event in opened for said in self._freed(event)]

    def _freed(self, event: Event) -> list[Event]:
        if type(event) is Open and type(event.part) is ToolCall and event.part.name in self._free:
            self._texts[event.index] = text = FreeText()
            part = replace(event.part, kind="custom", arguments=text.feed(event.part.arguments))
            return [replace(event, part=part)]
        if type(event) is Delta and event.index in self._texts:
            return [replace(event, text=self._texts[event.index].feed(event.text))]
        if type(event) is Close and event.index in self._texts and (rest := self._texts.pop(event.index).close()):
            return [Delta(index=event.index, text=rest), event]
        return [event]

    def _opened(self, event: Open) -> Open:
        call = event.part
        if type(call) is not ToolCall:
            return event
        name, distinct = self._names.get(call.name, call.name), self._distinct(call.id)
        if (name, distinct) == (call.name, call.id):
            return event
        return replace(event, part=replace(call, name=name, id=distinct))

    def _distinct(self, name: str) -> str:
        if not name:  # it gets one later if the client's wire wants one
            return name
        if self._taken is None:
            self._taken = Taken(call.id for call in calls_in(self._turns))
        return self._taken.distinct(name)
