"""What does a client of Converse say in the blocks of a message?

Each block is a union: an object with one member, whose name is the block's kind. What is left over within a block
becomes the part's `extra`.
"""

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from proxy.dialects.bedrock.blobs import blob_of_text, unwrap
from proxy.dialects.bedrock.citations import citations_of
from proxy.dialects.bedrock.words import NAME, WHOLE, media_type_of
from proxy.errors import BadRequest, excerpt
from proxy.grammar.claude.quoting import cited_in, in_pieces
from proxy.grammar.fields import (
    Fields,
    Left,
    Object,
    Verbatim,
    as_list,
    as_object,
    as_text,
    dump,
    standard_base64,
    wrong,
    wrong_word,
)


def parts_of(items: list[tuple[object, str]]) -> list[Part]:
    """The blocks. A cachePoint marks the block before it, or an empty text if there is none left to mark."""
    parts: list[Part] = []
    for value, at in items:
        kind, inner = member_of(value, at)
        cache = cache_point(kind, inner)
        if cache is None:
            parts.append(_part(kind, inner, at))
            parts[-1].at = at
        elif parts and parts[-1].cache is None:
            parts[-1].cache = cache
        else:
            parts.append(Text(cache=cache, at=at))
    return parts


def member_of(value: object, at: str) -> tuple[str, object]:
    """The name and the value of a union's one member."""
    members = Fields(value, at).rest
    if len(members) != 1:
        names = ", ".join(members) or "none"
        raise BadRequest(f"{at} must be an object with exactly one member, but it has {excerpt(names, 80)}.", param=at)
    return next(iter(members.items()))


def cache_point(kind: str, inner: object) -> Object | None:
    """None where this is something else, or a cachePoint with fields that we do not know."""
    if kind != "cachePoint":
        return None
    match inner:
        case {"type": "default", "ttl": str(ttl), **rest} if not rest:
            return {"type": "ephemeral", "ttl": ttl}
        case {"type": "default", **rest} if not rest:
            return {"type": "ephemeral"}
        case _:
            return None


def _part(kind: str, inner: object, at: str) -> Part:
    match kind:
        case "text":
            if not isinstance(inner, str):
                raise wrong(f"{at}.text", "a string", inner)
            return Text(text=inner)
        case "document" | "searchResult" if (pieces := _pieces(kind, inner)) is not None:
            return _in_pieces(pieces, Fields(inner, f"{at}.{kind}"), kind)
        case "image" | "audio" | "video" | "document":
            return _medium(kind, Fields(inner, f"{at}.{kind}"))
        case "toolUse":
            return _tool_use(Fields(inner, f"{at}.toolUse"))
        case "toolResult":
            return _tool_result(Fields(inner, f"{at}.toolResult"))
        case "reasoningContent":
            return _thought(inner, f"{at}.reasoningContent")
        case "citationsContent":
            return _cited(Fields(inner, f"{at}.citationsContent"))
        case "json":  # in a tool's result
            return Text(text=dump(inner).decode(), extra={"json": Left()})
        case _:
            return Opaque(wire=NAME, value={kind: inner})


def _medium(kind: str, fields: Fields) -> Part:
    whole = dict(fields.rest)
    media_type = media_type_of(kind, fields.text("format") or "")
    name = fields.need_name("name") if kind == "document" else None
    place, inner = member_of(fields.rest.pop("source", None), fields.path("source"))
    source = _source(place, inner, media_type, f"{fields.path('source')}.{place}")
    if source is None:
        return Opaque(wire=NAME, value={kind: whole})
    context, cited = (fields.text("context"), cited_in(fields)) if kind == "document" else (None, None)
    says_more = place == "text" or "bucketOwner" in as_object(inner)
    extra = fields.rest | ({WHOLE: Verbatim({kind: whole})} if says_more else {})
    match kind:
        case "image":
            return Image(source=source, extra=extra)
        case "audio":
            return Audio(source=source, extra=extra)
        case "video":
            return Video(source=source, extra=extra)
        case _:
            return Document(source=source, name=name, context=context, cited=cited, extra=extra)


def _pieces(kind: str, inner: object) -> list[str] | None:
    """The texts that a document or a search result is made of. None where it is not made of texts alone."""
    match kind, inner:
        case ("document", {"source": {"content": [*blocks], **more}}) if not more:
            pass
        case ("searchResult", {"source": str(), "content": [*blocks]}):
            pass
        case _:
            return None
    texts = [block["text"] for block in blocks if isinstance(block, dict) and block.keys() == {"text"}]
    whole = len(texts) == len(blocks) > 0 and all(isinstance(text, str) for text in texts)
    return texts if whole else None


def _in_pieces(pieces: list[str], fields: Fields, kind: str) -> Document:
    """The document. This wire gets it back as it came, as some have a `format`, which means nothing for texts."""
    document, whole = in_pieces(pieces), Verbatim({kind: fields.rest.copy()})
    source = fields.rest.pop("source")
    if isinstance(source, str):
        document.origin, document.name = source, fields.need_text("title")
        del fields.rest["content"]
    else:
        document.name, document.context = fields.need_name("name"), fields.text("context")
        fields.text("format")
    document.cited = cited_in(fields)
    document.extra = fields.rest | {WHOLE: whole}
    return document


def _source(place: str, inner: object, media_type: str, at: str) -> Source | None:
    """None where it is of a kind that we do not know."""
    match place:
        case "bytes" if isinstance(inner, str):
            return Inline(data=standard_base64(inner), media_type=media_type)
        case "text" if isinstance(inner, str):
            return Inline(data=blob_of_text(inner), media_type=media_type or "text/plain")
        case "bytes" | "text":
            raise wrong(at, "a string", inner)
        case "s3Location":
            location = Fields(inner, at)
            uri = location.need_name("uri")
            location.text("bucketOwner")
            return None if location.rest else Stored(id=uri, media_type=media_type)
        case _:
            return None


def _tool_use(fields: Fields) -> Part:
    """A call; it is Opaque where it calls a system tool, which the client does not run."""
    kind = fields.rest.pop("type", "tool_use")
    if kind != "tool_use":
        return Opaque(wire=NAME, value={"toolUse": fields.rest | {"type": kind}})
    call = ToolCall(
        id=fields.need_name("toolUseId"),
        name=fields.need_name("name"),
        arguments=dump(fields.need_object("input")).decode(),
    )
    call.extra = fields.rest
    return call


def _tool_result(fields: Fields) -> Part:
    if "type" in fields.rest:  # of a system tool
        return Opaque(wire=NAME, value={"toolResult": fields.rest})
    for number, block in enumerate(as_list(fields.rest.get("content"))):
        if "toolResult" in as_object(block):  # or a client could decide how deeply we recurse
            at = f"{fields.path('content')}[{number}]"
            raise wrong_word(at, "a block that a toolResult can contain", "toolResult")
    status = fields.text("status")
    if status not in (None, "success", "error"):
        raise wrong_word(fields.path("status"), "success or error", status or "")
    result = ToolResult(
        id=fields.need_name("toolUseId"),
        parts=parts_of(fields.need_items("content")),
        is_error=None if status is None else status == "error",
    )
    result.extra = fields.rest
    return result


def _thought(value: object, at: str) -> Part:
    kind, inner = member_of(value, at)
    if kind == "redactedContent":
        if not isinstance(inner, str) or not inner:  # if empty, it would look like a readable thought
            raise wrong(f"{at}.redactedContent", "a non-empty string", inner)
        return Thinking(redacted=unwrap(inner))
    if kind != "reasoningText":
        return Opaque(wire=NAME, value={"reasoningContent": value})
    fields = Fields(inner, f"{at}.reasoningText")
    thought = Thinking(text=fields.need_text("text"), signature=fields.text("signature") or "")
    thought.extra = fields.rest
    return thought


def _cited(fields: Fields) -> Part:
    """Text with its citations. Several pieces of text become one; then `extra` keeps the pieces for this wire."""
    pieces = fields.rest.get("content")
    citations = citations_of(Fields(value, at).rest for value, at in fields.items("citations"))
    text = "".join(as_text(as_object(piece).get("text")) for piece in as_list(pieces))
    if pieces == [{"text": text}]:
        del fields.rest["content"]
    elif pieces is not None and not isinstance(pieces, list):
        raise wrong(fields.path("content"), "an array", pieces)
    return Text(text=text, citations=citations, extra=fields.rest)
