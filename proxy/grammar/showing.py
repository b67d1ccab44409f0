"""Where does a picture go that a tool gave back, on a wire whose results are text?

Into a message of the user's, once all results of the answer are told.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from proxy.canon import Image, Part, Text, ToolResult
from proxy.grammar.fields import Object

Shown = TypeVar("Shown")

ELSEWHERE = "The result is in the user's next message."


def parted(result: ToolResult) -> tuple[list[Part], list[Part]]:
    """What stays in the result, and what is to be shown: images, behind words on whose they are."""
    images: list[Part] = [part for part in result.parts if isinstance(part, Image)]
    if not images:
        return result.parts, []
    rest: list[Part] = [part for part in result.parts if not isinstance(part, Image)]
    return rest or [Text(text=ELSEWHERE)], [Text(text=caption(result.id)), *images]


def caption(call: str) -> str:
    """`call`: its id."""
    return f"What the tool call {call} gave back:"


def with_shown(messages: Iterable[Object], shown: list[Shown], spell: Callable[[list[Shown]], Object]) -> list[Object]:
    """The messages, and what is shown behind those that tell of results. `shown` fills while they are made."""
    out: list[Object] = []
    for message in messages:
        if shown and message["role"] not in ("tool", "function"):
            out.append(spell(shown[:]))
            shown.clear()
        out.append(message)
    return [*out, spell(shown)] if shown else out
