"""What does a client of the Messages API ask for?

A body in, a Request out. Wrong types are a BadRequest that names the field's path; nothing that was sent is lost."""

import base64
import math
from collections.abc import Callable
from typing import Any

from proxy.canon import (
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
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from proxy.dialects.anthropic.words import DEMANDS, FIELDS, NAME, T, dump
from proxy.errors import BadRequest

_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _check(value: Any, kind: type[T], path: str) -> T:
    """The value, if it is of this JSON type. Raises BadRequest."""
    good = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not good or (isinstance(value, bool) and kind is not bool):
        raise BadRequest(f"{path} must be {_KINDS[kind]}, not {_KINDS[type(value)]}.", param=path)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"{path} is a number beyond all bounds.", param=path)
    checked: T = value
    return checked


def _under(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _required(fields: dict[str, Any], key: str, kind: type[T], at: str = "") -> T:
    if key not in fields:
        raise BadRequest(f"{_under(at, key)} is required: {_KINDS[kind]}.", param=_under(at, key))
    return _check(fields[key], kind, _under(at, key))


def optional(fields: dict[str, Any], key: str, kind: type[T], at: str = "") -> T | None:
    value = fields.get(key)
    return None if value is None else _check(value, kind, _under(at, key))


def _natural(fields: dict[str, Any], key: str, at: str = "") -> int:
    value = _required(fields, key, int, at)
    if value < 0:
        raise BadRequest(f"{_under(at, key)} must not be negative.", param=_under(at, key))
    return value


def _wrong(path: str, expected: str, came: object) -> BadRequest:
    return BadRequest(f"{path} must be {expected}, not {str(came)[:40]!r}.", param=path)


def without(fields: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in known}


def model_of(fields: dict[str, Any]) -> str:
    model = _required(fields, "model", str)
    if not model:
        raise BadRequest("model must not be empty.", param="model")
    return model


def parse_request(fields: dict[str, Any]) -> Request:
    demands = {key: fields[key] for key in DEMANDS if fields.get(key)}
    extra = {key: value for key, value in fields.items() if key not in FIELDS and key not in demands}
    choice, parallel = _read_tool_choice(fields, extra)
    answer_format, effort = _read_output(fields, extra)
    tools = enumerate(optional(fields, "tools", list) or [])
    return Request(
        wire=NAME,
        model=model_of(fields),
        turns=_read_system(fields) + _read_messages(fields),
        stream=bool(optional(fields, "stream", bool)),
        include_usage=True,  # a stream of this wire always has it
        tools=[_read_tool(tool, f"tools[{index}]") for index, tool in tools],
        tool_choice=choice,
        parallel_tools=parallel,
        format=answer_format,
        reasoning=_read_reasoning(fields, extra, effort),
        max_tokens=_natural(fields, "max_tokens"),
        temperature=optional(fields, "temperature", float),
        top_p=optional(fields, "top_p", float),
        top_k=optional(fields, "top_k", int),
        stop=_read_stop(fields),
        user=_read_user(fields, extra),
        service_tier=optional(fields, "service_tier", str),
        extra=extra,
        demands=demands,
    )


def _read_system(fields: dict[str, Any]) -> list[Turn]:
    parts = _read_content(fields["system"], "system") if fields.get("system") else []
    return [Turn(role="system", parts=parts, at="system")] if parts else []


def _read_messages(fields: dict[str, Any]) -> list[Turn]:
    messages = _required(fields, "messages", list)
    return [_read_turn(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _read_turn(message: Any, at: str) -> Turn:
    message = _check(message, dict, at)
    role = _required(message, "role", str, at)
    content = message.get("content")
    if content is None:
        raise BadRequest(f"{at}.content is required: a string, or a list of blocks.", param=f"{at}.content")
    parts, extra = _read_content(content, f"{at}.content"), without(message, "role", "content")
    match role:
        case "user" | "assistant" | "system":
            # A system message in mid-chat: https://platform.claude.com/docs/en/build-with-claude/
            # mid-conversation-system-messages (Claude Opus 4.8 and later)
            return Turn(role=role, parts=parts, at=at, extra=extra)
        case _:
            raise _wrong(f"{at}.role", "user, assistant or system", role)


def _read_content(content: Any, path: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(text=content)]
    if not isinstance(content, list):
        raise BadRequest(f"{path} must be a string or a list of blocks, not {_KINDS[type(content)]}.", param=path)
    return [_read_block(block, f"{path}[{index}]") for index, block in enumerate(content)]


def _read_block(block: Any, at: str) -> Part:
    block = _check(block, dict, at)
    read = _READERS.get(_required(block, "type", str, at))
    return Opaque(wire=NAME, value=block) if read is None else read(block, at)


def _attributes(block: dict[str, Any], at: str, *known: str) -> dict[str, Any]:
    """What every part has: cache and extra."""
    return {
        "cache": optional(block, "cache_control", dict, at),
        "extra": without(block, "type", "cache_control", *known),
    }


def _read_text(block: dict[str, Any], at: str) -> Part:
    citations = optional(block, "citations", list, at) or []
    attributes = _attributes(block, at, "text", "citations")
    return Text(text=_required(block, "text", str, at), annotations=citations, **attributes)


def _read_image(block: dict[str, Any], at: str) -> Part:
    source = _read_source(block, at)
    return Image(source=source, **_attributes(block, at, "source")) if source else Opaque(wire=NAME, value=block)


def _read_document(block: dict[str, Any], at: str) -> Part:
    source = _read_source(block, at)
    if source is None:
        return Opaque(wire=NAME, value=block)
    title = optional(block, "title", str, at)
    return Document(source=source, name=title, **_attributes(block, at, "source", "title"))


def _read_source(block: dict[str, Any], at: str) -> Source | None:
    """None where only this wire understands the source: a document made of blocks, or a kind that we do not know."""
    at = f"{at}.source"
    source = _required(block, "source", dict, at.removesuffix(".source"))
    match _required(source, "type", str, at), len(source):
        case "base64", 3:
            media_type = _required(source, "media_type", str, at)
            return Inline(data=_required(source, "data", str, at), media_type=media_type)
        case "text", 3 if source.get("media_type") == "text/plain":
            data = _required(source, "data", str, at).encode("utf-8", "surrogatepass")
            return Inline(data=base64.b64encode(data).decode(), media_type="text/plain")
        case "url", 2:
            return Remote(url=_required(source, "url", str, at))
        case "file", 2:
            return Stored(id=_required(source, "file_id", str, at))
        case _:
            return None


def _read_thinking(block: dict[str, Any], at: str) -> Part:
    signature = optional(block, "signature", str, at) or ""
    attributes = _attributes(block, at, "thinking", "signature")
    return Thinking(text=_required(block, "thinking", str, at), signature=signature, **attributes)


def _read_redacted(block: dict[str, Any], at: str) -> Part:
    data = _required(block, "data", str, at)
    if not data:  # a seal of nothing would look like an open thought
        return Opaque(wire=NAME, value=block)
    return Thinking(redacted=data, **_attributes(block, at, "data"))


def _read_tool_use(block: dict[str, Any], at: str) -> Part:
    return ToolCall(
        id=_required(block, "id", str, at),
        name=_required(block, "name", str, at),
        arguments=dump(_required(block, "input", dict, at)).decode(),
        **_attributes(block, at, "id", "name", "input"),
    )


def _read_tool_result(block: dict[str, Any], at: str) -> Part:
    content = block.get("content")
    return ToolResult(
        id=_required(block, "tool_use_id", str, at),
        parts=[] if content is None else _read_content(content, f"{at}.content"),
        is_error=optional(block, "is_error", bool, at),
        **_attributes(block, at, "tool_use_id", "content", "is_error"),
    )


_READERS: dict[str, Callable[[dict[str, Any], str], Part]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
    "tool_use": _read_tool_use,
    "tool_result": _read_tool_result,
}


def _read_tool(tool: Any, at: str) -> Tool:
    tool = _check(tool, dict, at)
    kind = optional(tool, "type", str, at) or "custom"
    if kind != "custom":
        return Tool(name=optional(tool, "name", str, at) or "", kind=kind, at=at, extra=tool)
    return Tool(
        name=_required(tool, "name", str, at),
        description=optional(tool, "description", str, at),
        parameters=_required(tool, "input_schema", dict, at),
        strict=optional(tool, "strict", bool, at),
        at=at,
        **_attributes(tool, at, "name", "description", "input_schema", "strict"),
    )


def _read_tool_choice(fields: dict[str, Any], extra: dict[str, Any]) -> tuple[ToolChoice | None, bool | None]:
    choice = optional(fields, "tool_choice", dict)
    if choice is None:
        return None, None
    single = optional(choice, "disable_parallel_tool_use", bool, "tool_choice")
    _keep(extra, "tool_choice", without(choice, "type", "name", "disable_parallel_tool_use"))
    parallel = None if single is None else not single
    match _required(choice, "type", str, "tool_choice"):
        case "tool":
            return ToolChoice("tool", _required(choice, "name", str, "tool_choice")), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "auto" | "none" as mode:
            return ToolChoice(mode), parallel
        case kind:
            raise _wrong("tool_choice.type", "auto, any, tool or none", kind)


def _read_output(fields: dict[str, Any], extra: dict[str, Any]) -> tuple[Format | None, str | None]:
    """The format and the effort. `output_format` is the beta's name for what is `output_config.format` now."""
    config = optional(fields, "output_config", dict) or {}
    rest = without(config, "effort", "format")
    shape, path = optional(config, "format", dict, "output_config"), "output_config.format"
    if shape is None:
        shape, path = optional(fields, "output_format", dict), "output_format"
    elif "output_format" in fields:
        raise BadRequest("output_format and output_config.format say the same: give one.", param="output_format")
    answer_format = None
    if shape is not None:
        if _required(shape, "type", str, path) != "json_schema":
            raise _wrong(f"{path}.type", "json_schema", shape["type"])
        answer_format = Format(kind="schema", schema=_required(shape, "schema", dict, path))
        _keep(rest, "format", without(shape, "type", "schema"))
    _keep(extra, "output_config", rest)
    return answer_format, optional(config, "effort", str, "output_config")


def _read_reasoning(fields: dict[str, Any], extra: dict[str, Any], effort: str | None) -> Reasoning | None:
    thinking = optional(fields, "thinking", dict)
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    match _required(thinking, "type", str, "thinking"):
        case "enabled":
            reasoning = Reasoning(effort=effort, budget=_natural(thinking, "budget_tokens", "thinking"))
            rest = without(thinking, "type", "budget_tokens")
        case "disabled":
            reasoning, rest = Reasoning(effort=effort, off=True), without(thinking, "type")
        case _:  # "adaptive", and what comes after it: the model decides
            reasoning, rest = Reasoning(effort=effort), thinking
    _keep(extra, "thinking", rest)
    return reasoning


def _read_stop(fields: dict[str, Any]) -> list[str] | None:
    stop = optional(fields, "stop_sequences", list)
    return None if stop is None else [_check(text, str, f"stop_sequences[{index}]") for index, text in enumerate(stop)]


def _read_user(fields: dict[str, Any], extra: dict[str, Any]) -> str | None:
    metadata = optional(fields, "metadata", dict) or {}
    _keep(extra, "metadata", without(metadata, "user_id"))
    return optional(metadata, "user_id", str, "metadata")


def _keep(extra: dict[str, Any], key: str, rest: dict[str, Any]) -> None:
    if rest:
        extra[key] = rest
