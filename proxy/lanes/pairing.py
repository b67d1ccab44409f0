"""Which call does a result answer, where a host gave two calls one id, or gave none?

Some hosts number each answer's calls from 0, give all calls of an answer the same id, or send "". On their own wire
that works, as results follow their calls. Claude, Converse and the agents that speak either match by id through the
whole conversation, and refuse a repeated one. So a call whose id is taken gets a new one, on its way to the client and
on its way back, the same each time; results with one id answer its calls in order.

And a call has one result, also where a client tells it twice in one turn, as Gemini CLI does in a chat that it resumes
(https://github.com/google-gemini/gemini-cli/issues/29365): Claude and Converse refuse that. Its second telling says
nothing new, so there is no receipt for it.
"""

from collections.abc import Iterable, Iterator, Sequence

from proxy.canon import Part, ToolCall, ToolResult, Turn
from proxy.sealing.conversation import Conversation


def pair(turns: Sequence[Turn]) -> None:
    """In place: each call gets a unique id, and each result its call's, and is told once."""
    _identify(turns)
    for turn in turns:
        ids = [part.id for part in turn.parts if isinstance(part, ToolResult)]
        if len(set(ids)) < len(ids):
            turn.parts = list(_told_once(turn.parts))


def _told_once(parts: Iterable[Part]) -> Iterator[Part]:
    """Without a result that was there before, and without what comes with it (an image, say) and was there, too."""
    told: set[bytes] = set()
    is_again = False
    for part in parts:
        digest = _digest_of(part)
        if isinstance(part, ToolResult):
            is_again = digest in told
        if not (is_again and digest in told):
            yield part
        told.add(digest)


def _digest_of(part: Part) -> bytes:
    alone = Conversation()
    alone.add(Turn(role="user", parts=[part]))
    return alone.digest()


def _identify(turns: Sequence[Turn]) -> None:
    ids = [call.id for call in calls_in(turns)]
    taken = Taken(filter(None, ids))
    if len(taken) == len(ids):
        return  # nearly always
    seen: set[str] = set()
    waiting: dict[str, list[str]] = {}  # by the id that came: the last answer's calls without a result
    answered: dict[str, str] = {}
    is_over = False  # a turn of the user's or of tools has ended the last answer
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
    """The ids that calls have already."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = set(ids)
        self._next: dict[str, int] = {}  # by id: the lowest number to try behind it

    def __len__(self) -> int:
        return len(self._ids)

    def distinct(self, name: str) -> str:
        """The id itself, or another if a call has it already. It is taken from now on."""
        if name in self._ids:
            return self.another(name)
        self._ids.add(name)
        return name

    def another(self, name: str) -> str:
        """A similar id that no call has. It is taken from now on."""
        number = self._next.get(name, 2 if name else 1)
        while (made := f"{name or 'call'}_{number}") in self._ids:
            number += 1
        self._ids.add(made)
        self._next[name] = number + 1
        return made
