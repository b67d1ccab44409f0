"""Which call does a result answer, where a host gave two calls one id, or none?

Some hosts number the calls of each answer from nought, give every call of an answer one id, or say "" for it. On their
own wire that passes: results stand behind their calls. Claude, Converse and the agents that speak either go by the id
alone, through the whole conversation, and refuse one that repeats. So a call whose id another has had gets one of its
own, on its way to the client and on its way back, the same each time; the results of one id answer in the order of its
calls.
"""

from collections.abc import Iterable, Sequence

from proxy.canon import ToolCall, ToolResult, Turn


def pair(turns: Sequence[Turn]) -> None:
    """In place: each call gets an id of its own, and each result its call's."""
    ids = [call.id for call in calls_in(turns)]
    taken = Taken(filter(None, ids))
    if len(taken) == len(ids):
        return  # as nearly always
    seen: set[str] = set()
    waiting: dict[str, list[str]] = {}  # by the id that came: calls of the last answer that have no result yet
    answered: dict[str, str] = {}
    is_over = False  # the last answer is: the user has spoken, or tools
    for turn in turns:
        is_over = is_over or turn.role == "user"
        for part in turn.parts:
            if isinstance(part, ToolResult):
                if waiting.get(part.id):
                    answered[part.id] = waiting[part.id].pop(0)
                part.id = answered.get(part.id, part.id)
            elif isinstance(part, ToolCall):
                if is_over:
                    waiting, is_over = {}, False
                came = part.id
                if not came or came in seen:
                    part.id = taken.another(came)
                seen.add(came)
                waiting.setdefault(came, []).append(part.id)


def calls_in(turns: Iterable[Turn]) -> list[ToolCall]:
    return [part for turn in turns if turn.role == "assistant" for part in turn.parts if type(part) is ToolCall]


class Taken:
    """The ids that calls have."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = set(ids)
        self._next: dict[str, int] = {}  # the number behind each id, below which all are taken

    def __len__(self) -> int:
        return len(self._ids)

    def distinct(self, name: str) -> str:
        """The id itself, or another where a call has it. It is taken from now on."""
        if name in self._ids:
            return self.another(name)
        self._ids.add(name)
        return name

    def another(self, name: str) -> str:
        """An id like this one that no call has had. It is taken from now on."""
        number = self._next.get(name, 2 if name else 1)
        while (made := f"{name or 'call'}_{number}") in self._ids:
            number += 1
        self._ids.add(made)
        self._next[name] = number + 1
        return made
