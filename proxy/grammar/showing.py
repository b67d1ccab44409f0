"""Where does an image go that is in a tool's result, or in an answer, on a wire that takes images from users alone?

Into a user message: after all results of the answer, or before what the user says next.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from proxy.canon import Image, Part, Request, Text, ToolResult, Turn
from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt

Shown = TypeVar("Shown")

ELSEWHERE = "The result is in the user's next message."
DRAWN = "The image that the assistant has made:"
DRAWN_ELSEWHERE = "The image is in the user's next message."


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


def with_drawn(request: Request, wire: str, dropped: Receipt) -> Request:
    """The request, with the assistant's images in the next turn of the user's, and a receipt for their place. Those
    that no such turn follows stay where they are.
    """
    if request.wire == wire or not any(map(_draws, request.turns)):
        return request
    turns: list[Turn] = []
    waiting: list[Part] = []
    last = max((number for number, turn in enumerate(request.turns) if turn.role == "user"), default=0)
    for turn in request.turns[:last]:
        if _draws(turn):
            waiting += [part for part in turn.parts if isinstance(part, Image)]
            rest: list[Part] = [part for part in turn.parts if not isinstance(part, Image)]
            turn = replace(turn, parts=rest or [Text(text=DRAWN_ELSEWHERE, at=turn.at)])
        elif waiting and turn.role == "user":
            turn, waiting = _showing(turn, waiting, dropped), []
        turns.append(turn)
    end = request.turns[last:]
    return replace(request, turns=[*turns, _showing(end[0], waiting, dropped), *end[1:]] if waiting else [*turns, *end])


def _draws(turn: Turn) -> bool:
    return turn.role == "assistant" and any(isinstance(part, Image) for part in turn.parts)


def _showing(turn: Turn, drawn: list[Part], dropped: Receipt) -> Turn:
    """Results come first, as all wires have them."""
    for part in drawn:
        dropped.moved(part)
    results: list[Part] = [part for part in turn.parts if isinstance(part, ToolResult)]
    rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
    return replace(turn, parts=[*results, Text(text=DRAWN), *drawn, *rest])
