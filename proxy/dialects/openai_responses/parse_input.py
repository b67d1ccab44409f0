"""Which turns do the items in a client's `input` make?

On this wire the items of one model turn (reasoning, messages, calls) follow each other; they become one assistant turn.
An item that only this wire understands is kept whole, as Opaque.
"""

from typing import get_args

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
)
from proxy.dialects.openai_responses import words
from proxy.dialects.openai_responses.citations import citations_of
from proxy.dialects.openai_responses.namespaces import NAMESPACE, apart, joined
from proxy.dialects.openai_responses.seals import opened, put_back
from proxy.dialects.openai_responses.words import CALLS, CLIENT_SIDE, NAME, OF_CALL, OF_MESSAGE, SENT
from proxy.grammar.caching import breakpoint_in
from proxy.grammar.dataurls import source_of
from proxy.grammar.fields import (
    Fields,
    Object,
    Verbatim,
    as_list,
    as_object,
    as_text,
    standard_base64,
    wrong,
    wrong_word,
)
from proxy.grammar.filetypes import seen
from proxy.grammar.receipts import BREAKPOINT


def turns_of(top: Fields) -> list[Turn]:
    if isinstance(top.rest.get("input"), str):
        return [Turn(role="user", parts=[Text(text=top.need_text("input"), at="input")], at="input")]
    turns: list[Turn] = []
    customs: set[str] = set()  # the ids of calls of custom tools
    for value, at in top.items("input"):
        turn = _turn(value, at, customs)
        last = turns[-1] if turns and turns[-1].role == turn.role == "assistant" else None
        if put_back(turn.parts, [] if last is None else last.parts):
            continue
        if last is None:
            turns.append(turn)
        else:
            last.parts += turn.parts
    return turns


def _turn(value: object, at: str, customs: set[str]) -> Turn:
    fields = Fields(value, at)
    kind = fields.text("type") or ("item_reference" if as_object(value).keys() - {"type"} == {"id"} else "message")
    match kind:
        case "message":
            return _message(fields)
        case "reasoning":
            return Turn(role="assistant", parts=[_reasoning(fields)], at=at)
        case "function_call" | "custom_tool_call":
            call = _call(fields, kind)
            if call.kind == "custom":
                customs.add(call.id)
            return Turn(role="assistant", parts=[call], at=at)
        case words.ADDED:
            return Turn(role="developer", parts=[], at=at, extra={words.ADDED: Verbatim(as_object(value))})
        case "function_call_output" | "custom_tool_call_output":
            result = _result(fields)
            if kind.startswith("custom") and result.id not in customs:
                result.extra["type"] = kind  # without its call, only the type tells it from a function's result
            return Turn(role="user", parts=[result], at=at)
        case words.DRAWING if (image := drawn(as_object(value))) is not None:
            image.at = at
            return Turn(role="assistant", parts=[image], at=at)
        case _:
            role: Role = "user" if kind.endswith(CLIENT_SIDE) else "assistant"
            named = as_object(value) | {"type": kind}  # OpenAI's types let a reference be without
            found = kind == "web_search_call"
            told = "" if kind in words.FINDING and named.get("execution") == "server" else None
            return Turn(role=role, parts=[Opaque(wire=NAME, value=named, is_search=found, told=told, at=at)], at=at)


def _message(fields: Fields) -> Turn:
    role = fields.need_text("role")
    if role not in get_args(Role):
        raise wrong_word(fields.path("role"), "system, developer, user or assistant", role)
    named: Role = role  # type: ignore[assignment]  # mypy does not narrow a str by membership
    if fields.rest.get("content") is None:
        raise wrong(fields.path("content"), "a string or an array", None)
    parts = content_of(fields, "content")
    extra = {key: value for key, value in fields.rest.items() if key not in OF_MESSAGE}
    if role != "assistant":
        return Turn(role=named, parts=parts, at=fields.at, extra=extra)
    for part in parts:  # each is sent on as a message of its own, with the fields of this one
        part.extra = part.extra | extra
    return Turn(role=named, parts=[_as_item(part) for part in parts], at=fields.at)


def _as_item(part: Part) -> Part:
    """Wraps an unknown part of a model's message in a message, which is a known item."""
    if not isinstance(part, Opaque):
        return part
    rest = {key: value for key, value in part.extra.items() if key != "content"}
    value = {"type": "message", "role": "assistant", **rest, "content": [part.value]}
    return Opaque(wire=NAME, value=value, at=part.at)


def _reasoning(fields: Fields) -> Thinking:
    """The text is the summary, or else the reasoning itself. Beside a summary only this wire gets the reasoning."""
    name, seal = fields.text("id") or "", fields.text("encrypted_content") or ""
    fields.rest.pop("status", None)
    summary, content = fields.array("summary"), fields.array("content")
    text = texts_of(summary) or texts_of(content)
    plain = [{"type": "summary_text", "text": text}] if text else []
    if texts_of(summary) and texts_of(content):
        fields.rest["content"] = content
    if content is not None or (summary or []) != plain:
        told: Object = {} if content is None else {"content": content}
        fields.rest[SENT] = Verbatim(summary=summary or [], **told)
    return replace(opened(seal), id=name, text=text, at=fields.at, extra=fields.rest)


def texts_of(parts: object) -> str:
    """The texts of a summary, or of reasoning, as one."""
    texts = (as_text(as_object(part).get("text")) for part in as_list(parts))
    return "\n\n".join(text for text in texts if text)


def _call(fields: Fields, kind: str) -> ToolCall:
    name, namespace = fields.need_text("name"), fields.text(NAMESPACE)
    extra = _marks(fields)
    if namespace:
        extra[NAMESPACE] = apart(namespace, name)
    return ToolCall(
        id=fields.need_text("call_id"),
        name=joined(namespace, name) if namespace else name,
        arguments=fields.text(CALLS[kind]) or "",
        kind="custom" if kind == "custom_tool_call" else "function",
        at=fields.at,
        extra=extra,
    )


def _result(fields: Fields) -> ToolResult:
    call = fields.need_text("call_id")
    if fields.rest.get("output") is None:
        raise wrong(fields.path("output"), "a string or an array", None)
    parts = content_of(fields, "output")
    return ToolResult(id=call, parts=parts, at=fields.at, extra=_marks(fields))


def _marks(fields: Fields) -> Object:
    """What else a call or its result has. That the model itself called needs no receipt: so it is on every wire."""
    extra = {key: value for key, value in fields.rest.items() if key not in OF_CALL}
    if extra.get("caller") == {"type": "direct"}:
        extra["caller"] = Verbatim(type="direct")
    return extra


def drawn(item: Object) -> Image | None:
    """The image that a server tool has made, which is the answer itself. PNG is OpenAI's default."""
    data = as_text(item.get("result"))
    if item.get("type") != words.DRAWING or not data:
        return None
    rest = {key: value for key, value in item.items() if key != "result"}
    source = seen(Inline(data, f"image/{as_text(item.get('output_format')) or 'png'}"))
    return Image(source=source, extra={words.DRAWING: Verbatim(rest)})


def content_of(fields: Fields, key: str) -> list[Part]:
    value = fields.rest.pop(key)
    if isinstance(value, str):
        return [Text(text=value, at=fields.path(key))]
    if not isinstance(value, list):
        raise wrong(fields.path(key), "a string or an array", value)
    return [_part(item, f"{fields.path(key)}[{number}]") for number, item in enumerate(value)]


def _part(value: object, at: str) -> Part:
    fields = Fields(value, at)
    match fields.need_text("type"):
        case "input_text" | "text":
            part: Part = Text(text=fields.need_text("text"))
        case "output_text":
            part = _spoken(fields)
        case "refusal":
            part = Refusal(text=fields.need_text("refusal"))
        case "input_image":
            part = Image(source=_image_source(fields), detail=fields.text("detail"))
        case "input_file":
            part = Document(source=_file_source(fields), name=fields.text("filename"))
        case "input_audio":
            inner = fields.need_inner("input_audio")
            part = Audio(source=Inline(standard_base64(inner.need_text("data")), f"audio/{inner.need_text('format')}"))
            fields.keep("input_audio", inner)
        case _:
            return Opaque(wire=NAME, value=as_object(value), at=at, extra={"content": True})
    part.at = at
    if BREAKPOINT in fields.rest:
        part.cache = breakpoint_in(fields)
    part.extra = fields.rest
    return part


def _spoken(fields: Fields) -> Text:
    return Text(
        text=fields.need_text("text"),
        citations=citations_of(Fields(value, at).rest for value, at in fields.items("annotations")),
        logprobs=fields.array("logprobs") or [],
    )


def _image_source(fields: Fields) -> Source:
    if stored := fields.text("file_id"):
        return Stored(stored)
    return seen(source_of(fields.need_text("image_url"), fields.path("image_url")))


def _file_source(fields: Fields) -> Source:
    if stored := fields.text("file_id"):
        return Stored(stored)
    if url := fields.text("file_url"):
        return Remote(url)
    data = fields.need_text("file_data")
    if data[:5].lower() != "data:":
        return Inline(standard_base64(data))
    return seen(source_of(data, fields.path("file_data")))
