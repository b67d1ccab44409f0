"""Where does an image in a tool's result go, on a wire whose results are text?

Into a user message after all results of the answer.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from proxy.canon import Image, Part, Text, ToolResult
from proxy.grammar.fields import Object

Shown = TypeVar("Shown")

ELSEWHERE = "The result is in the user's next message."


def parted(result: ToolResult) -> tuple[list[Part], list[Part]]:
    """What stays in the result, and what is shown elsewhere: the images, after words that say whose they are."""
    images: list[Part] = [part for part in result.parts if isinstance(part, Image)]
    if not images:
        return result.parts, []
    rest: list[Part] = [part for part in result.parts if not isinstance(part, Image)]
    return rest or [Text(text=ELSEWHERE)], [Text(text=caption(result.id)), *images]


def caption(call: str) -> str:
    """`call`: the call's id."""
    return f"What the tool call {call} gave back:"


def with_shown(messages: Iterable[Object], shown: list[Shown], spell: Callable[[list[Shown]], Object]) -> list[Object]:
    """The messages, with one that shows the images after each run of results. `shown` fills as they are made."""
    out: list[Object] = []
    for message in messages:
        if shown and message["role"] not in ("tool", "function"):
            out.append(spell(shown[:]))
            shown.clear()
        out.append(message)
    return [*out, spell(shown)] if shown else out
