"""By what id and name does the client know a call of the answer?

By one that no other call of the conversation has (pairing.py), and by the name under which it offered the tool
(naming.py).
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from proxy.canon import Event, Open, ToolCall, Turn
from proxy.lanes.naming import Names
from proxy.lanes.pairing import Taken, calls_in


class Calls:
    """Of one answer. `names`: the client's, by those that its provider was told."""

    def __init__(self, turns: Sequence[Turn], names: Names) -> None:
        self._turns = turns
        self._names = names
        self._taken: Taken | None = None  # ids of the conversation, read when the first call comes

    def feed(self, events: Iterable[Event]) -> list[Event]:
        return [self._opened(event) if type(event) is Open else event for event in events]

    def _opened(self, event: Open) -> Open:
        call = event.part
        if type(call) is not ToolCall:
            return event
        name, distinct = self._names.get(call.name, call.name), self._distinct(call.id)
        if (name, distinct) == (call.name, call.id):
            return event
        return replace(event, part=replace(call, name=name, id=distinct))

    def _distinct(self, name: str) -> str:
        if not name:  # then it gets one where the client's wire wants it
            return name
        if self._taken is None:
            self._taken = Taken(call.id for call in calls_in(self._turns))
        return self._taken.distinct(name)
