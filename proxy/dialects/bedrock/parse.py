"""What does a client of Converse ask for?

A body in, a Request out; the model and the verb came with the path. Wrong types are a BadRequest that names the field's
path; nothing that was sent is lost.

Each block is a union: an object with one member, whose name tells the kind. What was left over within a block is the
part's `extra`.
"""

from proxy.canon import (
    Audio,
    Document,
    Format,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Remote,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.bedrock.blobs import blob_of_text, unwrap
from proxy.dialects.bedrock.citations import citations_of
from proxy.dialects.bedrock.words import DEMANDS, NAME, SPELLED, media_type_of
from proxy.envelope import parse_object
from proxy.errors import BadRequest
from proxy.fields import Fields, Left, Object, as_list, as_object, as_text, dump, standard_base64, wrong, wrong_word
from proxy.ports import Peek


def parse_request(top: Fields, peek: Peek) -> Request:
    form, effort = _output(top)
    tools, choice = _tools(top)
    config = top.inner("inferenceConfig")
    reasoning, top_k = _additional(top, effort)
    request = Request(
        wire=NAME,
        model=peek.model,
        turns=[*_system(top), *_turns(top, peek.model)],
        stream=peek.stream,
        include_usage=True,  # a stream of this wire always has it
        tools=tools,
        tool_choice=choice,
        format=form,
        reasoning=reasoning,
        max_tokens=config.integer("maxTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=top_k,
        stop=config.texts("stopSequences"),
        metadata=_metadata(top),
        service_tier=_tier(top),
        names=SPELLED,
    )
    top.keep("inferenceConfig", config)
    for key, value in top.rest.items():
        (request.demands if value and key in DEMANDS else request.extra)[key] = value
    return request


def _output(top: Fields) -> tuple[Format | None, str | None]:
    """The format and the effort."""
    config = top.inner("outputConfig")
    effort, made = config.text("effort"), None
    if "textFormat" in config.rest:
        form = config.need_inner("textFormat")
        if (kind := form.need_text("type")) != "json_schema":
            raise wrong_word(form.path("type"), "json_schema", kind)
        structure = form.need_inner("structure")
        schema = structure.need_inner("jsonSchema")
        made = Format(
            kind="schema",
            name=schema.text("name"),
            description=schema.text("description"),
            schema=_schema(schema),
        )
        structure.keep("jsonSchema", schema)
        form.keep("structure", structure)
        config.keep("textFormat", form)
    top.keep("outputConfig", config)
    return made, effort


def _schema(fields: Fields) -> Object:
    """The schema stands as JSON text in the JSON."""
    try:
        return parse_object(fields.need_text("schema").encode())
    except BadRequest as error:
        if error.param:
            raise
        at = fields.path("schema")
        raise BadRequest(f"{at} must be the text of a JSON object.", param=at) from None


def _additional(top: Fields, effort: str | None) -> tuple[Reasoning | None, int | None]:
    """What Claude is told in additionalModelRequestFields and others know as well: the reasoning, and top_k."""
    more = top.inner("additionalModelRequestFields")
    reasoning = _thinking(more, effort)
    top_k = more.rest.pop("top_k") if type(more.rest.get("top_k")) is int else None
    top.keep("additionalModelRequestFields", more)
    return reasoning, top_k


def _thinking(more: Fields, effort: str | None) -> Reasoning | None:
    said = dict(as_object(more.rest.get("thinking")))
    budget = said.get("budget_tokens")
    if said.get("type") == "enabled" and type(budget) is int:
        reasoning = Reasoning(effort=effort, budget=said.pop("budget_tokens"))
    elif said.get("type") == "disabled":
        reasoning = Reasoning(effort=effort, off=True)
    else:  # "adaptive", and what comes after it: the model decides, and the word stays where it was
        return None if effort is None else Reasoning(effort=effort)
    del said["type"], more.rest["thinking"]
    more.rest |= {"thinking": said} if said else {}
    return reasoning


def _metadata(top: Fields) -> dict[str, str] | None:
    metadata = top.object("requestMetadata")
    for key, value in (metadata or {}).items():
        if not isinstance(value, str):
            raise wrong(f"requestMetadata.{key}", "a string", value)
    return metadata


def _tier(top: Fields) -> str | None:
    tier = top.inner("serviceTier")
    word = tier.text("type")
    top.keep("serviceTier", tier)
    return word


# --- tools -----------------------------------------------------------------------------------------------------------


def _tools(top: Fields) -> tuple[list[Tool], ToolChoice | None]:
    config = top.inner("toolConfig")
    tools: list[Tool] = []
    for value, at in config.items("tools"):
        kind, inner = _member(value, at)
        cache = _cache_point(kind, inner)
        if cache is not None and tools and tools[-1].cache is None:
            tools[-1].cache = cache
        else:
            tools.append(_tool(kind, inner, at))
    choice = _tool_choice(config)
    top.keep("toolConfig", config)
    return tools, choice


def _tool(kind: str, inner: object, at: str) -> Tool:
    if kind != "toolSpec":
        return Tool(name=as_text(as_object(inner).get("name")), kind=kind, at=at, extra={kind: inner})
    fields = Fields(inner, f"{at}.toolSpec")
    schema = fields.need_inner("inputSchema")
    tool = Tool(
        name=fields.need_name("name"),
        description=fields.text("description"),
        parameters=schema.need_object("json"),
        strict=fields.flag("strict"),
        at=at,
    )
    fields.keep("inputSchema", schema)
    tool.extra = fields.rest
    return tool


def _tool_choice(config: Fields) -> ToolChoice | None:
    if "toolChoice" not in config.rest:
        return None
    at = config.path("toolChoice")
    kind, inner = _member(config.rest.pop("toolChoice"), at)
    match kind:
        case "auto":
            return ToolChoice("auto")
        case "any":
            return ToolChoice("required")
        case "tool":
            return ToolChoice("tool", Fields(inner, f"{at}.tool").need_name("name"))
        case _:
            raise wrong_word(at, "auto, any or tool", kind)


# --- messages --------------------------------------------------------------------------------------------------------


def _system(top: Fields) -> list[Turn]:
    parts = _parts(top.items("system"))
    return [Turn(role="system", parts=parts, at="system")] if parts else []


def _turns(top: Fields, model: str) -> list[Turn]:
    """A prompt that Amazon keeps may be all that is said."""
    items = top.items("messages") if ":prompt/" in model else top.need_items("messages")
    return [_turn(Fields(value, at)) for value, at in items]


def _turn(fields: Fields) -> Turn:
    role, parts = fields.need_text("role"), _parts(fields.need_items("content"))
    match role:
        case "user" | "assistant" | "system":
            return Turn(role=role, parts=parts, at=fields.at, extra=fields.rest)
        case _:
            raise wrong_word(fields.path("role"), "user, assistant or system", role)


def _parts(items: list[tuple[object, str]]) -> list[Part]:
    """The blocks; a cachePoint is a mark on the block before it, or on nothing, where there is none to be marked."""
    parts: list[Part] = []
    for value, at in items:
        kind, inner = _member(value, at)
        cache = _cache_point(kind, inner)
        if cache is None:
            parts.append(_part(kind, inner, at))
            parts[-1].at = at
        elif parts and parts[-1].cache is None:
            parts[-1].cache = cache
        else:
            parts.append(Text(cache=cache))
    return parts


def _member(value: object, at: str) -> tuple[str, object]:
    """The one member of a union."""
    members = Fields(value, at).rest
    if len(members) != 1:
        names = ", ".join(members) or "none"
        raise BadRequest(f"{at} must be an object with one member, but it has {names[:80]}.", param=at)
    return next(iter(members.items()))


def _cache_point(kind: str, inner: object) -> Object | None:
    """None where this is something else, or a cachePoint of a type that we do not know."""
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
    place, inner = _member(fields.rest.pop("source", None), fields.path("source"))
    source = _source(place, inner, media_type, f"{fields.path('source')}.{place}")
    if source is None:
        return Opaque(wire=NAME, value={kind: whole})
    extra = fields.rest | ({"source": Left()} if place == "text" else {})
    match kind:
        case "image":
            return Image(source=source, extra=extra)
        case "audio":
            return Audio(source=source, extra=extra)
        case "video":
            return Video(source=source, extra=extra)
        case _:
            return Document(source=source, name=name, extra=extra)


def _source(place: str, inner: object, media_type: str, at: str) -> Source | None:
    """None where only this wire understands the source: a document made of blocks, an object of another account's."""
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
            return None if location.rest else Remote(url=uri, media_type=media_type)
        case _:
            return None


def _tool_use(fields: Fields) -> Part:
    """A call, or what a system tool was asked: that one is not the client's to run."""
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
        if "toolResult" in as_object(block):  # so no client decides how deep our own calls nest
            raise wrong_word(f"{fields.path('content')}[{number}]", "what a toolResult may hold", "toolResult")
    status = fields.text("status")
    if status not in (None, "success", "error"):
        raise wrong_word(fields.path("status"), "success or error", status or "")
    result = ToolResult(
        id=fields.need_name("toolUseId"),
        parts=_parts(fields.need_items("content")),
        is_error=None if status is None else status == "error",
    )
    result.extra = fields.rest
    return result


def _thought(value: object, at: str) -> Part:
    kind, inner = _member(value, at)
    if kind == "redactedContent":
        if not isinstance(inner, str) or not inner:  # a seal of nothing would look like open thought
            raise wrong(f"{at}.redactedContent", "a string that is not empty", inner)
        return Thinking(redacted=unwrap(inner))
    if kind != "reasoningText":
        return Opaque(wire=NAME, value={"reasoningContent": value})
    fields = Fields(inner, f"{at}.reasoningText")
    thought = Thinking(text=fields.need_text("text"), signature=fields.text("signature") or "")
    thought.extra = fields.rest
    return thought


def _cited(fields: Fields) -> Part:
    """Text, and where it comes from. Of several pieces of text one is made, which `extra` remembers."""
    pieces = fields.rest.get("content")
    citations = citations_of(Fields(value, at).rest for value, at in fields.items("citations"))
    text = "".join(as_text(as_object(piece).get("text")) for piece in as_list(pieces))
    if pieces == [{"text": text}]:
        del fields.rest["content"]
    elif pieces is not None and not isinstance(pieces, list):
        raise wrong(fields.path("content"), "an array", pieces)
    return Text(text=text, citations=citations, extra=fields.rest)
