"""How is one whole part of an answer rendered for a client of generateContent?"""

from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from proxy.dialects.gemini import media
from proxy.dialects.gemini.seals import redacted_out, seal_out
from proxy.dialects.gemini.words import API
from proxy.envelope import parse_object
from proxy.errors import BadRequest
from proxy.grammar.arguments import malformed
from proxy.grammar.fields import Object, merged
from proxy.grammar.refusals import unsayable


def parts_of(part: Part) -> list[Object]:
    """The parts that it takes on this wire. Raises Unrepresentable."""
    if type(part) is Text and part.is_plain:
        return [{"text": part.text}]  # nearly every part
    match part:
        case Text() | Refusal():
            said: Object = {"text": part.text}
        case Thinking():
            said = {"text": part.text, "thought": True}
            if part.redacted:
                said["thoughtSignature"] = redacted_out(part.redacted)
        case ToolCall():
            named = {"id": part.id} if part.id else {}
            said = {"functionCall": {**named, "name": part.name, "args": _arguments(part)}}
        case Audio(source=Inline(), transcript=transcript) if transcript:
            return [{"text": transcript}, *parts_of(Audio(source=part.source))]
        case Image() | Audio() | Video() | Document() if part.source is not None:
            said = media.said(part, part.source)
        case Opaque(wire="gemini", value=value):
            return [value]
        case Image() | Audio() | Video() | Document() | ToolResult() | Opaque():
            raise unsayable(part, API, "candidates")
        case _:
            assert_never(part)
    if isinstance(part, Text | Thinking | ToolCall) and part.signature:
        said["thoughtSignature"] = seal_out(part.signature)
    return [merged(said, {"functionCall": part.extra["functionCall"]}) if "functionCall" in part.extra else said]


def _arguments(call: ToolCall) -> Object:
    if call.kind == "custom":
        return {"input": call.arguments}
    try:
        return parse_object(call.arguments.encode() or b"{}")
    except (BadRequest, UnicodeEncodeError):
        return malformed(call.arguments)
