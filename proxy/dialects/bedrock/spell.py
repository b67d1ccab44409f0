"""How is a part of an answer said as a block of Converse?

Whole, as in `output.message.content`; a stream says the same in deltas.
"""

from typing import assert_never

import msgspec
from msgspec import Raw

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
from proxy.dialects.bedrock.blobs import sniff, wrap
from proxy.dialects.bedrock.citations import spelled
from proxy.dialects.bedrock.words import API, TAKEN, format_of
from proxy.grammar.arguments import malformed
from proxy.grammar.fields import UNREADABLE, Object
from proxy.grammar.ids import id_of
from proxy.grammar.refusals import unsayable

_OBJECT = msgspec.json.Decoder(Object)


def block_of(part: Part, index: int, seed: str) -> Object:
    """`index`: the block's place in the answer. `seed`: of the ids that we make. Raises Unrepresentable."""
    match part:
        case Text():
            return _text(part)
        case Refusal():
            return {"text": part.text}
        case Thinking():
            return {"reasoningContent": _thought(part)}
        case ToolCall():
            return {"toolUse": call_head(part, index, seed) | {"input": _input(part.arguments)}}
        case Image():
            form, data = drawn(part, index)
            return {"image": {"format": form, "source": {"bytes": data}}}
        case Opaque(wire="bedrock"):
            return part.value
        case Audio() | Video() | Document() | ToolResult() | Opaque():
            raise unsayable(part, API, f"content[{index}]")
        case _:
            assert_never(part)


def call_head(part: ToolCall, index: int, seed: str) -> Object:
    """The call's id, which is made here if the provider gave none, and its name."""
    return {"toolUseId": id_of(part, "tooluse_", seed, index, length=22), "name": part.name}


def drawn(part: Image, index: int) -> tuple[str, str]:
    """An image's format and bytes."""
    if isinstance(part.source, Inline):
        form = format_of("image", part.source.media_type) or sniff(part.source.data)
        if form in TAKEN["image"]:
            return form, part.source.data
    raise unsayable(part, API, f"content[{index}]")


def _text(part: Text) -> Object:
    citations = spelled(part.citations)
    if not citations:
        return {"text": part.text}
    content = {"content": [{"text": part.text}]} if part.text else {}
    return {"citationsContent": content | {"citations": citations}}


def _thought(part: Thinking) -> Object:
    if part.redacted:
        return {"redactedContent": wrap(part.redacted)}
    return {"reasoningText": {"text": part.text} | ({"signature": part.signature} if part.signature else {})}


def _input(arguments: str) -> object:
    """The arguments as they are, so that no number is rounded."""
    try:
        given = (arguments or "{}").encode()
        _OBJECT.decode(given)
    except (*UNREADABLE, UnicodeEncodeError):
        return malformed(arguments)
    return Raw(given)
