"""What does a client of chat completions ask for?

A body in, a Request out. Wrong types are a BadRequest that names the field's path; nothing that was sent is lost.
"""

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Format,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Request,
    Role,
    Source,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.openai_chat.reasoning import THOUGHTS, flat, thoughts_in
from proxy.dialects.openai_chat.seals import unsealed
from proxy.dialects.openai_chat.words import DEMANDS, KNOBS, NAME, SPELLED, SPELLED_BY
from proxy.errors import BadRequest
from proxy.fields import Fields, Left, Object, as_object, is_number, standard_base64, wrong, wrong_word
from proxy.receipts import names_in


def parse_request(top: Fields) -> Request:
    names = names_in(top.rest, SPELLED, SPELLED_BY)
    knobs: Object = {name: getattr(top, take)(name) for name, take in KNOBS.items()}
    limit_field = "max_completion_tokens" if "max_completion_tokens" in top.rest else "max_tokens"
    stream = top.flag("stream") or False
    tools = [_tool(*item) for item in top.items("tools")] + [_function(*item) for item in top.items("functions")]
    request = Request(
        wire=NAME,
        model=top.need_name("model"),
        turns=_turns(top),
        stream=stream,
        include_usage=_include_usage(top) if stream else False,
        tools=tools,
        tool_choice=_tool_choice(top),
        parallel_tools=top.flag("parallel_tool_calls"),
        format=_format(top),
        reasoning=_reasoning(top),
        metadata=_metadata(top),
        modalities=top.texts("modalities"),
        max_tokens=top.integer(limit_field),
        limit_field=limit_field,
        stop=_stop(top),
        logit_bias=_logit_bias(top),
        names=names,
        **knobs,
    )
    for key, value in top.rest.items():
        (request.demands if key in DEMANDS or key in _LEFT else request.extra)[key] = value
    return request


_LEFT = ("tool_choice", "function_call", "response_format")  # still there where the canon lacks the form


def _include_usage(top: Fields) -> bool:
    options = top.inner("stream_options")
    asked = options.flag("include_usage") or False
    top.keep("stream_options", options)
    return asked


def _stop(top: Fields) -> list[str] | None:
    if isinstance(top.rest.get("stop"), str):
        return [top.need_text("stop")]
    return top.texts("stop")


def _reasoning(top: Fields) -> Reasoning | None:
    """OpenAI's `reasoning_effort`, or OpenRouter's `reasoning`: an effort or a budget. What else that says stays."""
    effort, budget = top.text("reasoning_effort"), None
    if isinstance(top.rest.get("reasoning"), dict):
        fields = top.inner("reasoning")
        effort, budget = fields.text("effort") or effort, fields.integer("max_tokens")
        if fields.rest.get("enabled") is False:
            effort = "none"
            del fields.rest["enabled"]
        top.keep("reasoning", fields)
    if effort == "none":
        return Reasoning(off=True)
    return None if effort is None and budget is None else Reasoning(effort=effort, budget=budget)


def _metadata(top: Fields) -> dict[str, str] | None:
    """The labels, if they are OpenAI's; what a host takes besides strings stays with it."""
    labels = top.rest.get("metadata")
    if not isinstance(labels, dict) or not all(isinstance(label, str) for label in labels.values()):
        return None
    return top.object("metadata")


def _logit_bias(top: Fields) -> dict[str, float] | None:
    bias = top.object("logit_bias")
    for token, value in (bias or {}).items():
        if not is_number(value):
            raise wrong(f"logit_bias.{token}", "a number", value)
    return bias


def _format(top: Fields) -> Format | None:
    """The format, if it is one of the three that the canon knows; else it stays, and becomes a demand."""
    if "response_format" not in top.rest:
        return None
    form = Fields(top.rest["response_format"], "response_format")
    kind = form.need_text("type")
    made = Format(kind="text")
    if kind == "json_object":
        made = Format(kind="json")
    elif kind == "json_schema":
        schema = form.need_inner("json_schema")
        made = Format(
            kind="schema",
            name=schema.text("name"),
            description=schema.text("description"),
            schema=schema.object("schema"),
            strict=schema.flag("strict"),
        )
        form.keep("json_schema", schema)
    if form.rest or kind not in ("text", "json_object", "json_schema"):
        return None
    del top.rest["response_format"]
    return made


def _tool(value: object, at: str) -> Tool:
    fields = Fields(value, at)
    kind = fields.text("type") or "function"
    cache = fields.object("cache_control")
    if kind not in ("function", "custom"):
        return Tool(name=kind, kind=kind, at=at, cache=cache, extra=fields.rest)
    tool = _offer(fields.need_inner(kind), at)
    return replace(
        tool, kind=kind, at=at, cache=cache, extra={**({kind: Left(tool.extra)} if tool.extra else {}), **fields.rest}
    )


def _function(value: object, at: str) -> Tool:
    """One of the `functions` that came before `tools`; its path tells it from one of those."""
    return _offer(Fields(value, at), at)


def _offer(fields: Fields, at: str) -> Tool:
    return Tool(
        name=fields.need_text("name"),
        description=fields.text("description"),
        parameters=fields.object("parameters"),
        strict=fields.flag("strict"),
        at=at,
        extra=fields.rest,
    )


def _tool_choice(top: Fields) -> ToolChoice | None:
    """The choice, if it is a mode or one tool; else it stays, and becomes a demand."""
    legacy = top.rest.get("function_call")
    if isinstance(legacy, dict) and "tool_choice" not in top.rest:
        named = Fields(legacy, "function_call")
        choice = ToolChoice("tool", named.need_text("name"))
        if named.rest:
            return None
        del top.rest["function_call"]
        return choice
    key = "tool_choice" if "tool_choice" in top.rest else "function_call"
    value = top.rest.get(key)
    match value:
        case None:
            return None
        case "auto" | "none" | "required" | "any":  # `any` is Mistral's older word for `required`
            del top.rest[key]
            return ToolChoice("required" if value == "any" else value)
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}} if set(value) <= {
            "type",
            "function",
            "custom",
        }:
            del top.rest[key]
            return ToolChoice("tool", name)
        case {"type": "function"} | {"type": "custom"}:
            kind = value["type"]
            raise wrong(f"{key}.{kind}.name", "a string", as_object(value.get(kind)).get("name"))
        case dict():
            return None
        case _:
            raise wrong(key, "auto, none, required or an object", value)


def _turns(top: Fields) -> list[Turn]:
    items = top.items("messages")
    if not items:
        raise BadRequest("messages must be an array with at least one message.", param="messages")
    calls: dict[str, str] = {}  # the id that we gave a legacy function call, by the function's name
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
    if parts and parts[-1].cache is None:  # said of a message, `cache_control` is said of its end
        parts[-1].cache = fields.object("cache_control")
    named: Role = role  # type: ignore[assignment]  # mypy does not narrow a str by membership
    return Turn(role=named, parts=parts, at=at, extra=fields.rest)


def _tool_result(fields: Fields, role: str, calls: dict[str, str]) -> ToolResult:
    extra: Object = {}
    if role == "tool":
        call = fields.need_text("tool_call_id")
    else:
        name = fields.need_text("name")
        call = calls.get(name, f"call_{name}")
        extra = {"role": role, "name": name}
    parts, cache = _content(fields), fields.object("cache_control")
    return ToolResult(id=call, parts=parts, at=fields.at, cache=cache, extra={**extra, **fields.rest})


def _spoken(fields: Fields, calls: dict[str, str]) -> list[Part]:
    """An assistant's message. The parts stand in the order in which a model makes them."""
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
    call.signature, call.extra = unsealed(fields.rest)
    return call


def _thoughts_sent(fields: Fields) -> list[Part]:
    """Replayed reasoning. Where it is not spelled as we would spell it, `extra` of the first part has it as it came."""
    sent = {key: fields.rest.pop(key) for key in THOUGHTS if key in fields.rest}
    for key in THOUGHTS[:2]:
        if not isinstance(sent.get(key, ""), str):
            raise wrong(fields.path(key), "a string", sent[key])
    parts: list[Part] = [
        replace(thought.shell, text=thought.text, signature=thought.signature, at=fields.path(next(iter(sent))))
        for thought in thoughts_in(
            sent.get("reasoning_content") or sent.get("reasoning") or "", sent.get("reasoning_details")
        )
    ]
    if not parts:
        fields.rest |= sent
    elif list(sent) != ["reasoning_content"]:
        parts[0].extra = {**parts[0].extra, **sent}
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
            part = _image(fields)
        case "input_audio":
            inner = fields.need_inner("input_audio")
            part = Audio(source=Inline(standard_base64(inner.need_text("data")), f"audio/{inner.need_text('format')}"))
            fields.keep("input_audio", inner)
        case "file":
            part = _file(fields)
        case "video_url":
            inner = fields.need_inner("video_url")
            part = Video(source=source_of(inner.need_text("url"), inner.path("url")))
            fields.keep("video_url", inner)
        case "refusal":
            part = Refusal(text=fields.need_text("refusal"))
        case "thinking":
            part = Thinking(text=flat(fields.rest.get("thinking")))
        case _:
            return Opaque(wire=NAME, value=as_object(value), at=at)
    part.at = at
    part.cache = fields.object("cache_control")
    part.extra = fields.rest
    return part


def _image(fields: Fields) -> Image:
    if isinstance(fields.rest.get("image_url"), str):  # Mistral takes the URL alone
        return Image(source=source_of(fields.need_text("image_url"), fields.path("image_url")))
    inner = fields.need_inner("image_url")
    image = Image(source=source_of(inner.need_text("url"), inner.path("url")), detail=inner.text("detail"))
    fields.keep("image_url", inner)
    return image


def _file(fields: Fields) -> Document:
    inner = fields.need_inner("file")
    name, stored = inner.text("filename"), inner.text("file_id")
    if stored is not None:
        source: Source = Stored(stored)
    else:
        data = inner.need_text("file_data")
        known = data[:5].lower() == "data:" or data[:8].lower().startswith(("http://", "https://"))
        source = source_of(data, inner.path("file_data")) if known else Inline(standard_base64(data))
    fields.keep("file", inner)
    return Document(source=source, name=name)


def source_of(url: str, at: str) -> Source:
    if url[:5].lower() != "data:":
        return Remote(url)
    head, comma, data = url[5:].partition(",")
    if not comma:
        raise BadRequest(f"{at} must be a whole data: URL, with a comma before its data.", param=at)
    if head[-7:].lower() == ";base64":
        return Inline(standard_base64(data), head[:-7])
    return Inline(b64encode(unquote_to_bytes(data)).decode(), head)
