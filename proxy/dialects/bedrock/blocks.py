"""What is in a block of an answer, whole or in a stream?

What cannot grow in the canonical form (a sealed thought, an image, what Amazon's own tools say) is gathered from a
stream's deltas, and becomes a part when the block closes.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from proxy.canon import Citation, Image, Inline, Opaque, Part, Text, Thinking, ToolCall
from proxy.dialects.bedrock.blobs import join, unwrap
from proxy.dialects.bedrock.citations import citations_of
from proxy.dialects.bedrock.words import NAME, media_type_of
from proxy.errors import excerpt
from proxy.grammar.fields import UNREADABLE, Object, as_list, as_object, as_text, nonsense


class Block(Struct):
    """An open block. `part`: what it becomes. `pieces`: what has come of it, if it is `gathered` until its end."""

    index: int  # in our own events
    part: Part
    gathered: bool = False
    silent: bool = True  # no text has come
    pieces: list[Any] = msgspec.field(default_factory=list)


class _Call(Struct, rename="camel"):
    name: str
    tool_use_id: str = ""
    input: Raw = Raw(b"{}")


class _CallBlock(Struct, rename="camel"):
    tool_use: _Call


_OBJECT = msgspec.json.Decoder(Object)
_CALL = msgspec.json.Decoder(_CallBlock)


# --- blocks of a stream ----------------------------------------------------------------------------------------------

SEALED = "reasoningContent.redactedContent"

# The part that a delta belongs to.
KINDS: dict[str, type[Part]] = {
    "text": Text,
    "citation": Text,
    "toolUse": ToolCall,
    "reasoningContent.text": Thinking,
    "reasoningContent.signature": Thinking,
    SEALED: Thinking,
    "image": Image,
    "toolResult": Opaque,
}
_BLOCKS = {kind.partition(".")[0] for kind in KINDS}


def is_hollow(start: Object) -> bool:
    """Does this contentBlockStart say no more than the first delta will? Amazon sends none then, others may."""
    return start.keys() <= {"text", "reasoningContent"} and not any(start.values())


def shell_of(start: Object) -> tuple[Part, bool]:
    """The part that this contentBlockStart begins, and whether it is gathered."""
    match start:
        case {"toolUse": dict(call)} if _is_clients(call):
            name = as_text(call.get("name"))
            if not name:
                raise nonsense("a toolUse has no name")
            return ToolCall(id=as_text(call.get("toolUseId")), name=name), False
        case {"toolUse": dict()} | {"toolResult": dict()}:
            return Opaque(wire=NAME, value=start), True
        case {"image": dict(image)}:
            return Image(source=Inline(data="", media_type=_media_type(image))), True
        case _ if start.keys() & _BLOCKS:
            raise nonsense(f"the start of a block is malformed ({excerpt(', '.join(start), 80)})")
        case _:
            return Opaque(wire=NAME, value=start), True


def _media_type(image: object) -> str:
    return media_type_of("image", as_text(as_object(image).get("format")))


def _is_clients(call: Object) -> bool:
    """Does the client run this tool? Some models say `tool_use` then, most say nothing."""
    return call.get("type") in (None, "tool_use")


def first_of(kind: str) -> Part | None:
    """The part that a first delta begins; None where the block needs a start."""
    made = KINDS[kind]
    if made is Text:
        return Text()
    return Thinking() if made is Thinking else None


def cited(value: object) -> list[Citation]:
    if not isinstance(value, dict):
        raise nonsense("a citation is not an object")
    return citations_of([value])


def piece_of(part: Part, kind: str, more: object) -> object:
    """What a delta adds to a gathered block."""
    match part, kind, more:
        case Thinking(), "reasoningContent.redactedContent", str():
            return more
        case Image(), "image", {"source": {"bytes": str(data)}}:
            return data
        case Opaque(value={"toolUse": _}), "toolUse", {"input": str(text)}:
            return text
        case Opaque(value={"toolResult": _}), "toolResult", list():
            return more
        case Opaque(value=start), _, _ if not start.keys() & _BLOCKS:
            return more
        case _:
            raise nonsense(f"a delta is malformed, or does not fit the type of its block ({kind})")


def gathered_part(block: Block) -> Part:
    match block.part:
        case Thinking():
            return Thinking(redacted=unwrap(join(block.pieces)))
        case Image(source=Inline() as source):
            return Image(source=replace(source, data=join(block.pieces)))
        case Opaque(value={"toolUse": dict(call)}):
            return Opaque(wire=NAME, value={"toolUse": call | {"input": _input("".join(block.pieces))}})
        case Opaque(value={"toolResult": dict(result)}):
            content = [one for piece in block.pieces for one in as_list(piece)]
            return Opaque(wire=NAME, value={"toolResult": result | {"content": content}})
        case Opaque():
            return block.part
        case _:
            raise nonsense("a block was closed that could not be opened")


def _input(text: str) -> Object:
    try:
        return _OBJECT.decode(text or "{}")
    except UNREADABLE:
        raise nonsense("the input of a system tool is not a JSON object") from None


# --- blocks of a whole answer ----------------------------------------------------------------------------------------


def part_of(raw: Raw) -> Part:
    """A content block. Raises UpstreamError where a known one is malformed; an unknown one is kept whole."""
    try:
        block = _OBJECT.decode(raw)
        kind, inner = next(iter(block.items()), ("", None))
        if kind == "toolUse" and _is_clients(as_object(inner)):
            return _called(_CALL.decode(raw).tool_use)
    except UNREADABLE:
        raise nonsense("a content block is malformed") from None
    match kind, inner:
        case "text", str():
            return Text(text=inner)
        case "citationsContent", dict():
            text = "".join(as_text(as_object(piece).get("text")) for piece in as_list(inner.get("content")))
            return Text(text=text, citations=citations_of(as_list(inner.get("citations"))))
        case "reasoningContent", {"redactedContent": str(sealed)}:
            return Thinking(redacted=unwrap(sealed))
        case "reasoningContent", {"reasoningText": dict(thought)}:
            return Thinking(text=as_text(thought.get("text")), signature=as_text(thought.get("signature")))
        case "image", {"source": {"bytes": str(data)}}:
            return Image(source=Inline(data=data, media_type=_media_type(inner)))
        case "text" | "citationsContent", _:
            raise nonsense(f"a content block is malformed ({kind})")
        case _:
            return Opaque(wire=NAME, value=block)


def _called(call: _Call) -> ToolCall:
    """The input's own bytes are the arguments, so that no number is rounded and no key moves."""
    if not call.name or bytes(call.input)[:1] != b"{":
        raise nonsense("a toolUse has no name, or its input is not an object")
    return ToolCall(id=call.tool_use_id, name=call.name, arguments=bytes(call.input).decode())
