"""What in a request can its model not take, even if its wire can say it?

The model table knows, or a row of `models` in the configuration: what they say is false counts here, and what they do
not know does not. Content is refused with its path; a wish to think is left out, like any knob that a target lacks. A
limit beyond the model's own is lowered to that: apps say the limit of the model that they were written for, and most
vendors refuse it for another. A limit of no tokens, which only Claude takes, is raised to one. A document that is text
counts as text, which is how the model reads it.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple, NoReturn

from msgspec.structs import astuple

from proxy.canon import Document, Image, Part, Reasoning, Request, ToolCall, ToolResult
from proxy.errors import Unrepresentable
from proxy.grammar.textual import document_as_text
from proxy.grammar.thinking import moot
from proxy.ports import Abilities

OURS = ("function", "custom")  # tools that a client runs; a vendor's own tools are refused by the other wires


class _Lack(NamedTuple):
    ability: str
    said: str  # of the model


_NO_WISH = Reasoning()
_CALLS = _Lack("tools", "does not support tools")
_SYSTEM = _Lack("system", "does not support a system prompt")
_of_content = attrgetter("system", "tools", "images", "documents")
_LACKS: dict[type, _Lack] = {
    Image: _Lack("images", "does not support images"),
    Document: _Lack("documents", "does not support documents"),
    ToolCall: _CALLS,
    ToolResult: _CALLS,
}


def fit(request: Request, can: Abilities) -> list[str]:
    """Make it one that the model takes, and return the names of what is left out. Raises Unrepresentable."""
    lowered = _within_reach(request, can.max_output)
    if False not in astuple(can):
        return lowered
    if False in _of_content(can):
        for at, lack in _content(request):
            if getattr(can, lack.ability) is False:
                _refuse(request, at, lack)
    return [*lowered, *(_without_thinking(request) if can.thinking is False else ())]


def _content(request: Request) -> Iterator[tuple[str, _Lack]]:
    """What a model may be unable to take: where it stands, and the ability that it needs."""
    yield from ((tool.at, _CALLS) for tool in request.tools if tool.kind in OURS)
    for turn in request.turns:
        if turn.role in ("system", "developer"):
            yield turn.at, _SYSTEM
        for part in turn.parts:
            yield from ((inner.at or turn.at, _LACKS[type(inner)]) for inner in _within(part) if type(inner) in _LACKS)


def _within(part: Part) -> Iterator[Part]:
    said = document_as_text(part)
    yield said
    if isinstance(said, ToolResult):
        yield from said.parts


def _within_reach(request: Request, most: int | None) -> list[str]:
    """OpenAI: "max_tokens is too large: 32000. This model supports at most 16384 completion tokens".

    With none, Claude's cache is filled before it is needed, and nothing is answered:
    https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    asked = request.max_tokens
    if asked is None or (asked != 0 and (most is None or asked <= most)):
        return []
    request.max_tokens = most if asked else 1
    return [request.name_of("max_tokens")]


def _without_thinking(request: Request) -> list[str]:
    """Take out the wish to think; the wish that it should not is granted anyway, and so is none at all."""
    asked, request.reasoning = request.reasoning, None
    if asked in (None, _NO_WISH):
        return []
    return list(map(request.name_of, moot(asked) if asked.off else ["reasoning"]))


def _refuse(request: Request, at: str, lack: _Lack) -> NoReturn:
    message = (
        f"{at}: {request.model} {lack.said}, as far as pillion knows; if it does, the operator can set"
        f" `{lack.ability}: true` in a row of `models`."
    )
    raise Unrepresentable(message, param=at)
