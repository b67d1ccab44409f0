"""About how many tokens has a request, or an answer, where the provider cannot be asked or does not say?

An honest estimate is not zero, has the right order of magnitude, and does not look more exact than it is. Text and
images count as in `spending/tokens.py`, and a page as what vendors charge for one of medium size.
"""

from math import ceil
from typing import assert_never

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Request,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    Video,
)
from proxy.grammar.fields import dump
from proxy.grammar.textual import document_as_text
from proxy.spending.tokens import BYTES_PER_TOKEN, IMAGE, tokens_in

TURN = 4  # tokens around each turn: its role, its beginning and its end
PAGE = 2000  # https://platform.claude.com/docs/en/build-with-claude/pdf-support: text and picture
PAGE_BYTES = 50_000  # of a PDF, for each of its pages
AUDIO_BYTES = 500  # of compressed sound, for each token: 16 kB and 32 tokens a second
VIDEO_BYTES = 1000


def estimate(request: Request) -> int:
    """About how many tokens the request has."""
    tools = sum(tokens_in(tool.name + (tool.description or "")) + _json(tool.parameters) for tool in request.tools)
    turns = sum(TURN + sum(map(_part, turn.parts)) for turn in request.turns)
    shape = _json(request.format.schema) if request.format is not None else 0
    return max(1, tools + turns + shape)


def completed(told: Usage | None, request: Request, written: int, withheld: bool) -> Usage:
    """What an answer used, with an estimate for a count that cannot be zero. Where all counts are zero they stand: a
    guardrail that lets nothing through says so.

    `written`: tokens, by the length of what was said. `withheld`: part of the answer was, perhaps all that counts.
    """
    if told is None:
        return Usage(input=estimate(request), output=written, is_guess=True)
    if told.total_output and not told.total_input:
        return replace(told, input=estimate(request), is_guess=True)
    if told.total_input and written and not (told.total_output or withheld):
        return replace(told, output=written, is_guess=True)
    return told


def _part(part: Part) -> int:
    match part:
        case Text() | Refusal():
            return tokens_in(part.text)
        case Thinking():
            return tokens_in(part.text) + len(part.redacted) // 8
        case ToolCall():
            return TURN + tokens_in(part.name) + tokens_in(part.arguments)
        case ToolResult():
            return TURN + sum(map(_part, part.parts))
        case Image():
            return IMAGE
        case Document() if isinstance(said := document_as_text(part), Text):
            return tokens_in(said.text)
        case Document():
            return PAGE * max(1, _size(part.source) // PAGE_BYTES) + tokens_in(part.context or "")
        case Audio():
            return 1 + _size(part.source) // AUDIO_BYTES
        case Video():
            return 1 + _size(part.source) // VIDEO_BYTES
        case Opaque():
            return _json(part.value)
        case _:
            assert_never(part)


def _json(value: object) -> int:
    return ceil(len(dump(value)) / BYTES_PER_TOKEN) if value else 0


def _size(source: Source | None) -> int:
    """Bytes; 0 where the source is elsewhere, so that nobody knows."""
    return len(source.data) * 3 // 4 if isinstance(source, Inline) else 0
