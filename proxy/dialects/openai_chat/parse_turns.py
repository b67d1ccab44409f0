"""What do the messages of a client of chat completions say?

The mirror of encode_messages.py and encode_parts.py.
"""

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Role,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.openai_chat.reasoning import SENT, flat, thoughts_in
from proxy.dialects.openai_chat.seals import unsealed
from proxy.dialects.openai_chat.words import DRAWN, NAME, SPELT
from proxy.errors import BadRequest
from proxy.grammar.caching import breakpoint_in
from proxy.grammar.fields import (
    Fields,
    Left,
    Verbatim,
    as_list,
    as_object,
    as_text,
    standard_base64,
    wrong,
    wrong_word,
)
from proxy.grammar.filetypes import medium_of, seen
from proxy.grammar.receipts import BREAKPOINT


def turns_of(top: Fields) -> list[Turn]:
    items = top.items("messages")
    if not items:
        raise BadRequest("messages must be an array with at least one message.", param="messages")
    calls: dict[str, str] = {}  # by the function's name: the id that we gave its last legacy call
    return [_turn(Fields(value, at), calls) for value, at in items]


def _turn(fields: Fields, calls: dict[str, str]) -> Turn:
    role = fields.need_text("role")
    at = fields.at
    if role in ("tool", "function"):
        return Turn(role="user", parts=[_tool_result(fields, role, calls)], at=at)
    if role == "assistant":
        parts = _spoken(fields, calls)
    elif role in ("system", "developer", "user"):
        if "content" not in fields.rest:
            raise wrong(f"{at}.content", "a string or an array", None)
        parts = _content(fields)
    else:
        raise wrong_word(f"{at}.role", "system, developer, user, assistant, tool or function", role)
    if parts and parts[-1].cache is None:  # a message's `cache_control` marks its end
        parts[-1].cache = fields.object("cache_control")
    named: Role = role  # type: ignore[assignment]  # mypy does not narrow a str by membership
    pictures = _pictures(fields.rest.get(DRAWN), at) if role == "assistant" else []
    return Turn(role=named, parts=parts, drawn={DRAWN: pictures} if pictures else {}, at=at, extra=fields.rest)


def _pictures(images: object, at: str) -> list[Image]:
    """The pictures of an earlier answer, as OpenRouter and we tell them, if all of them are there in bytes."""
    urls = [as_text(as_object(as_object(image).get("image_url")).get("url")) for image in as_list(images)]
    sources = [drawn(url) for url in urls]
    is_whole = all(isinstance(source, Inline) and source.data for source in sources)
    places = (f"{at}.{DRAWN}[{number}]" for number in range(len(sources)))
    return [Image(source=seen(source), at=place) for source, place in zip(sources, places, strict=True) if is_whole]


def _tool_result(fields: Fields, role: str, calls: dict[str, str]) -> ToolResult:
    """The tool's name and the older role `function` are kept only for this wire, as the call's id says enough."""
    if role == "tool":
        call, said = fields.need_text("tool_call_id"), Verbatim()
        if (name := fields.text("name")) is not None:
            said["name"] = name
    else:
        name = fields.need_text("name")
        call, said = calls.get(name, f"call_{name}"), Verbatim(role=role, name=name)
    parts, cache = _content(fields), fields.object("cache_control")
    extra = {SPELT: said, **fields.rest} if said else fields.rest
    return ToolResult(id=call, parts=parts, at=fields.at, cache=cache, extra=extra)


# What an assistant's message may say that the other wires need not be told: OpenAI answers with no annotations, and its
# SDK sends them back; DeepSeek and Mistral want to know of a last turn that it is to be continued.
_KNOWN: dict[str, tuple[object, ...]] = {"annotations": ([],), DRAWN: ([],), "prefix": (True,)}


def _spoken(fields: Fields, calls: dict[str, str]) -> list[Part]:
    """An assistant's message. The parts are in the order in which a model produces them."""
    if spelt := {key: fields.rest.pop(key) for key, values in _KNOWN.items() if fields.rest.get(key) in values}:
        fields.rest[SPELT] = Verbatim(spelt)
    parts = [*_thoughts_sent(fields), *_content(fields)]
    if refusal := fields.text("refusal"):
        parts.append(Refusal(text=refusal, at=fields.path("refusal")))
    if "audio" in fields.rest:
        parts.append(Audio(id=fields.need_inner("audio").need_text("id"), at=fields.path("audio")))
    parts += [_call(Fields(value, at)) for value, at in fields.items("tool_calls")]
    if "function_call" in fields.rest:
        call = fields.need_inner("function_call")
        name = call.need_text("name")
        calls[name] = f"call_{re.sub('[^0-9]', '', fields.at)}_{name}"
        arguments = call.text("arguments") or ""
        said = {"function_call": Left(call.rest)}
        parts.append(ToolCall(id=calls[name], name=name, arguments=arguments, at=call.at, extra=said))
    return parts


def _call(fields: Fields) -> ToolCall:
    kind = fields.text("type") or "function"
    if kind not in ("function", "custom"):
        raise wrong_word(fields.path("type"), "function or custom", kind)
    inner = fields.need_inner(kind)
    call = ToolCall(
        id=fields.need_text("id"),
        name=inner.need_text("name"),
        arguments=inner.text("arguments" if kind == "function" else "input") or "",
        kind="function" if kind == "function" else "custom",
        at=fields.at,
        cache=fields.object("cache_control"),
    )
    fields.keep(kind, inner)
    if "index" in fields.rest:  # the call's position, from an answer of Mistral's or a stream that an SDK assembled
        fields.rest[SPELT] = Verbatim(index=fields.rest.pop("index"))
    call.signature, call.extra = unsealed(fields.rest)
    return call


def _thoughts_sent(fields: Fields) -> list[Part]:
    """Replayed reasoning. If we would spell it differently, the first part's `extra` keeps it as it came."""
    takes = {"reasoning_content": fields.text, "reasoning": fields.text, "reasoning_details": fields.array}
    sent = Verbatim({key: take(key) for key, take in takes.items() if key in fields.rest})
    for number, item in enumerate(sent.get("reasoning_details", ())):
        if not isinstance(item, dict):
            raise wrong(f"{fields.path('reasoning_details')}[{number}]", "an object", item)
    parts: list[Part] = [
        replace(thought.shell, text=thought.text, signature=thought.signature, at=fields.path(next(iter(sent))))
        for thought in thoughts_in(
            sent.get("reasoning_content") or sent.get("reasoning") or "", sent.get("reasoning_details")
        )
    ]
    if not parts:
        fields.rest |= sent
    elif list(sent) != ["reasoning_content"]:
        parts[0].extra = {**parts[0].extra, SENT: sent}
    return parts


def _content(fields: Fields) -> list[Part]:
    value = fields.rest.pop("content", None)
    match value:
        case None | "":
            return []
        case str():
            return [Text(text=value, at=fields.path("content"))]
        case list():
            return [_part(item, f"{fields.at}.content[{number}]") for number, item in enumerate(value)]
        case _:
            raise wrong(fields.path("content"), "a string or an array", value)


def _part(value: object, at: str) -> Part:
    fields = Fields(value, at)
    match fields.need_text("type"):
        case "text":
            part: Part = Text(text=fields.need_text("text"))
        case "image_url":
            part = _by_type(_image(fields), fields, value)
        case "input_audio":
            inner = fields.need_inner("input_audio")
            part = Audio(source=Inline(standard_base64(inner.need_text("data")), f"audio/{inner.need_text('format')}"))
            fields.keep("input_audio", inner)
        case "file":
            part = _file(fields, value)
        case "video_url":
            inner = fields.need_inner("video_url")
            part = Video(source=source_of(inner.need_text("url"), inner.path("url")))
            fields.keep("video_url", inner)
        case "refusal":
            part = Refusal(text=fields.need_text("refusal"))
        case "thinking":
            part = Thinking(text=flat(fields.rest.get("thinking")))
            fields.rest["thinking"] = Verbatim(thinking=fields.rest.get("thinking"))
        case _:
            return Opaque(wire=NAME, value=as_object(value), at=at)
    part.at = at
    part.cache = fields.object("cache_control")
    if part.cache is None and BREAKPOINT in fields.rest:
        part.cache = breakpoint_in(fields)
    part.extra = fields.rest
    return part


def _image(fields: Fields) -> Image:
    if isinstance(fields.rest.get("image_url"), str):  # Mistral takes a bare URL
        return Image(source=seen(source_of(fields.need_text("image_url"), fields.path("image_url"))))
    inner = fields.need_inner("image_url")
    image = Image(source=seen(source_of(inner.need_text("url"), inner.path("url"))), detail=inner.text("detail"))
    fields.keep("image_url", inner)
    return image


def _file(fields: Fields, value: object) -> Part:
    inner = fields.need_inner("file")
    name, stored = inner.text("filename"), inner.text("file_id")
    if stored is not None and "://" in stored:  # a URL is nobody's id: clients of LiteLLM write it there
        source: Source = Remote(stored, inner.text("format") or "")
        fields.rest[SPELT] = Verbatim(as_object(value))
    elif stored is not None:
        source = Stored(stored)
    else:
        data = inner.need_text("file_data")
        known = data[:5].lower() == "data:" or data[:8].lower().startswith(("http://", "https://"))
        source = seen(source_of(data, inner.path("file_data"))) if known else Inline(standard_base64(data))
    fields.keep("file", inner)
    return _by_type(Document(source=source, name=name), fields, value)


def _by_type(part: Image | Document, fields: Fields, value: object) -> Part:
    """What the file is by its media type: many clients send any file as an image, or as a file, and the hosts of this
    wire that take it go by its type. They get it as it came.
    """
    made = medium_of(part.source, type(part))
    if made is type(part):
        return part
    fields.rest[SPELT] = Verbatim(as_object(value))
    key, more = ("image_url", part.detail) if isinstance(part, Image) else ("file", part.name)
    if more is not None:
        fields.rest[key] = Left(
            {**as_object(fields.rest.get(key)), "detail" if key == "image_url" else "filename": more}
        )
    return made(source=part.source)


def source_of(url: str, at: str) -> Source:
    if url[:5].lower() != "data:":
        return Remote(url)
    head, comma, data = url[5:].partition(",")
    if not comma:
        raise BadRequest(f"{at} must be a complete data: URL, with a comma before the data.", param=at)
    if head[-7:].lower() == ";base64":
        return Inline(standard_base64(data), head[:-7])
    return Inline(b64encode(unquote_to_bytes(data)).decode(), head)


def drawn(url: str) -> Source:
    """The source of a picture in an answer, as the host has spelled it."""
    try:
        return source_of(url, "images")
    except BadRequest:
        return Remote(url)
