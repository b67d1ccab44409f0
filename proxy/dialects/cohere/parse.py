"""What does a client of Cohere ask for?

A body in, a Request out. A wrong type raises a BadRequest that names the field's path. Nothing that was sent is lost.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from proxy.canon import (
    Format,
    Image,
    Opaque,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from proxy.dialects.cohere.citations import citation_of, is_of_text
from proxy.dialects.cohere.documents import placed
from proxy.dialects.cohere.words import KNOBS, NAME, OWN_EFFORT, SPELLED
from proxy.errors import BadRequest
from proxy.grammar.dataurls import source_of
from proxy.grammar.fields import Fields, Object, Verbatim, as_object, dump, wrong, wrong_word
from proxy.grammar.filetypes import seen
from proxy.grammar.functions import function_tool

PLAN = "tool_plan"  # key in the `extra` of a Thinking: it came as a plan, and goes back as one


def parse_request(top: Fields) -> Request:
    knobs: Object = {name: getattr(top, take)(key) for name, (key, take) in KNOBS.items() if key in top.rest}
    turns = placed(top, _turns(top))
    request = Request(
        wire=NAME,
        model=top.need_name("model"),
        turns=turns,
        stream=top.flag("stream") or False,
        include_usage=True,  # a stream of this wire always has it
        tools=_tools(top),
        tool_choice=_tool_choice(top),
        format=_format(top),
        reasoning=_reasoning(top),
        names=SPELLED | _thoughts(turns),
        **knobs,
    )
    request.extra |= top.rest
    return request


def _thoughts(turns: Iterable[Turn]) -> dict[str, str]:
    """What the client calls its thoughts, where all of them are plans."""
    thoughts = [part for turn in turns for part in turn.parts if isinstance(part, Thinking)]
    return {"thinking": f"messages.{PLAN}"} if thoughts and all(PLAN in part.extra for part in thoughts) else {}


# --- knobs -----------------------------------------------------------------------------------------------------------


def _tools(top: Fields) -> list[Tool]:
    """The tools. `strict_tools` applies to all of them."""
    tools = [function_tool(Fields(value, at)) for value, at in top.items("tools")]
    strict = top.flag("strict_tools") if tools else None
    return [replace(tool, strict=strict) for tool in tools]


def _tool_choice(top: Fields) -> ToolChoice | None:
    word = top.text("tool_choice")
    match word:
        case None:
            return None
        case "REQUIRED":
            return ToolChoice("required")
        case "NONE":
            return ToolChoice("none")
        case _:
            raise wrong_word("tool_choice", "REQUIRED or NONE", word)


def _format(top: Fields) -> Format | None:
    if "response_format" not in top.rest:
        return None
    form = top.need_inner("response_format")
    kind = form.need_text("type")
    if kind not in ("text", "json_object"):
        raise wrong_word(form.path("type"), "text or json_object", kind)
    older = form.object("schema")  # its name in the older API
    schema = form.object("json_schema")
    schema = older if schema is None else schema
    top.keep("response_format", form)
    if kind == "text":
        return Format(kind="text")
    return Format(kind="json") if schema is None else Format(kind="schema", schema=schema)


def _reasoning(top: Fields) -> Reasoning | None:
    if "thinking" not in top.rest:
        return None
    thinking = top.need_inner("thinking")
    kind, budget = thinking.need_text("type"), thinking.integer("token_budget")
    top.keep("thinking", thinking)
    match kind:
        case "enabled":
            return Reasoning(effort=OWN_EFFORT) if budget is None else Reasoning(budget=budget)
        case "disabled":
            return Reasoning(off=True, budget=budget)
        case _:
            raise wrong_word("thinking.type", "enabled or disabled", kind)


# --- turns -----------------------------------------------------------------------------------------------------------


def _turns(top: Fields) -> list[Turn]:
    items = top.need_items("messages")
    if not items:
        raise BadRequest("messages must be an array with at least one message.", param="messages")
    return [_turn(Fields(value, at)) for value, at in items]


def _turn(fields: Fields) -> Turn:
    role = fields.need_text("role")
    match role:
        case "assistant":
            return Turn(role=role, parts=_spoken(fields), at=fields.at, extra=fields.rest)
        case "tool":
            call, parts = fields.need_text("tool_call_id"), _content(fields)
            result = ToolResult(id=call, parts=parts, at=fields.at, extra=fields.rest)
            return Turn(role="user", parts=[result], at=fields.at)
        case "system" | "user":
            return Turn(role=role, parts=_content(fields), at=fields.at, extra=fields.rest)
        case _:
            raise wrong_word(fields.path("role"), "system, user, assistant or tool", role)


def _spoken(fields: Fields) -> list[Part]:
    """An assistant's message. The parts are in the order in which a model produces them."""
    plan = fields.text("tool_plan")
    parts: list[Part] = [Thinking(text=plan, at=fields.path("tool_plan"), extra={PLAN: Verbatim()})] if plan else []
    content = _content(fields) if "content" in fields.rest else []
    _cite(fields, content)
    return [*parts, *content, *(_call(Fields(value, at)) for value, at in fields.items("tool_calls"))]


def _cite(fields: Fields, content: list[Part]) -> None:
    """Give each citation to its text; those without a text stay where they were."""
    left: list[Object] = []
    for value, at in fields.items("citations"):
        told = Fields(value, at).rest
        text = text_of(told, content)
        if text is None:
            left.append(told)
        else:
            text.citations.append(citation_of(told))
    if left:
        fields.rest["citations"] = left


def text_of(citation: Object, content: list[Part]) -> Text | None:
    """The text that a citation belongs to: that of its `content_index`, or the last text if it names none."""
    if not is_of_text(citation):
        return None
    index = citation.get("content_index")
    if index is None:
        return next((part for part in reversed(content) if isinstance(part, Text)), None)
    part = content[index] if type(index) is int and 0 <= index < len(content) else None
    return part if isinstance(part, Text) else None


def _call(fields: Fields) -> ToolCall:
    kind = fields.text("type") or "function"
    if kind != "function":
        raise wrong_word(fields.path("type"), "function", kind)
    inner = fields.need_inner("function")
    name, arguments = inner.need_name("name"), inner.text("arguments") or ""
    call = ToolCall(id=fields.need_name("id"), name=name, arguments=arguments, at=fields.at)
    fields.keep("function", inner)
    call.extra = fields.rest
    return call


# --- content ---------------------------------------------------------------------------------------------------------


def _content(fields: Fields) -> list[Part]:
    value = fields.rest.pop("content", None)
    match value:
        case str():
            return [Text(text=value, at=fields.path("content"))] if value else []
        case list():
            return [_part(item, f"{fields.path('content')}[{number}]") for number, item in enumerate(value)]
        case _:
            raise wrong(fields.path("content"), "a string or an array", value)


def _part(value: object, at: str) -> Part:
    fields = Fields(value, at)
    match fields.need_text("type"):
        case "text":
            part: Part = Text(text=fields.need_text("text"))
        case "thinking":
            part = Thinking(text=fields.need_text("thinking"))
        case "image_url":  # https://docs.cohere.com/docs/image-inputs
            inner = fields.need_inner("image_url")
            part = Image(source=seen(source_of(inner.need_text("url"), inner.path("url"))), detail=inner.text("detail"))
            fields.keep("image_url", inner)
        case "document":
            # Other wires get the JSON text that Cohere makes of it; only on this wire can it be cited by its id.
            document = fields.need_object("document")
            data = document.get("data")
            told = data if isinstance(data, str) else dump(document if data is None else data).decode()
            kept = Verbatim(document) if data is None or document.keys() == {"data"} else document
            return Text(text=told, at=at, extra=fields.rest | {"document": kept})
        case _:
            return Opaque(wire=NAME, value=as_object(value), at=at)
    part.at = at
    part.extra = fields.rest
    return part
