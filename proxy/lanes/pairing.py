"""Which call does a result answer, where a host gave two calls one id, or none?

Some hosts number the calls of each answer from nought, give every call of an answer one id, or say "" for it. On their
own wire that passes: results stand behind their calls. Claude, Converse and the agents that speak either go by the id
alone, through the whole conversation, and refuse one that repeats. So a call whose id another has had gets one of its
own, on its way to the client and on its way back, the same each time; the results of one id answer in the order of its
calls.
"""

from collections.abc import Collection, Iterable, Sequence

from proxy.canon import ToolCall, ToolResult, Turn


def pair(turns: Sequence[Turn]) -> None:
    """In place: each call gets an id of its own, and each result its call's."""
    ids = [call.id for call in calls_in(turns)]
    if len(set(ids)) == len(ids) and "" not in ids:
        return  # as nearly always
    taken = {name for name in ids if name}
    seen: set[str] = set()
    waiting: dict[str, list[str]] = {}  # by the id that came: calls of the last answer that have no result yet
    answered: dict[str, str] = {}
    is_over = False  # the last answer is: results have come
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ToolResult):
                is_over = True
                if waiting.get(part.id):
                    answered[part.id] = waiting[part.id].pop(0)
                part.id = answered.get(part.id, part.id)
            elif isinstance(part, ToolCall):
                if is_over:
                    waiting, is_over = {}, False
                came = part.id
                if not came or came in seen:
                    part.id = another(came, taken)
                    taken.add(part.id)
                seen.add(came)
                waiting.setdefault(came, []).append(part.id)


def calls_in(turns: Iterable[Turn]) -> list[ToolCall]:
    return [part for turn in turns if turn.role == "assistant" for part in turn.parts if type(part) is ToolCall]


def another(name: str, taken: Collection[str]) -> str:
    """An id like this one that no call has."""
    number = 2 if name else 1
    while (made := f"{name or 'call'}_{number}") in taken:
        number += 1
    return made
