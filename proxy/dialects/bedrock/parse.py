"""What does a client of Converse ask for?

A body in, a Request out; the model and the verb came with the path. A wrong type raises BadRequest with the field's
path; nothing that was sent is lost.
"""

from typing import Literal

from proxy.canon import (
    Format,
    Reasoning,
    Request,
    Tool,
    ToolChoice,
    Turn,
)
from proxy.dialects.bedrock.parse_blocks import cache_point, member_of, parts_of
from proxy.dialects.bedrock.parse_reasoning import reasoning_of
from proxy.dialects.bedrock.words import DEMANDS, MODEL_DEMANDS, NAME, SPELLED, SPELLED_BY, SPELT
from proxy.envelope import parse_object
from proxy.errors import BadRequest
from proxy.grammar.claude.betas import KEY
from proxy.grammar.fields import Fields, Left, Object, Verbatim, as_object, as_text, wrong_word
from proxy.grammar.receipts import names_in
from proxy.ports import Peek


def parse_request(top: Fields, peek: Peek) -> Request:
    names = names_in(as_object(top.rest.get("additionalModelRequestFields")), SPELLED, SPELLED_BY)
    form, effort = _output(top)
    tools, choice = _tools(top)
    config = top.inner("inferenceConfig")
    fields = top.inner("additionalModelRequestFields")
    form = _claudes_format(fields) if form is None else form
    choice, parallel = _claudes_choice(fields) if choice is None else (choice, None)
    reasoning, top_k, betas = _additional(top, fields, effort)
    request = Request(
        wire=NAME,
        model=peek.model,
        turns=[*_system(top), *_turns(top, peek.model)],
        stream=peek.stream,
        include_usage=True,  # a stream of this wire always has it
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        format=form,
        reasoning=reasoning,
        max_tokens=config.integer("maxTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=top_k,
        stop=config.texts("stopSequences"),
        betas=betas,
        metadata=top.labels("requestMetadata"),
        service_tier=_tier(top),
        names=names,
    )
    top.keep("inferenceConfig", config)
    more = as_object(top.rest.get("additionalModelRequestFields"))
    if asked := {key: more.pop(key) for key in MODEL_DEMANDS if more.get(key)}:
        request.demands["additionalModelRequestFields"] = Left(asked)
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
    """The schema, which is a text of JSON within the JSON."""
    try:
        return parse_object(fields.need_text("schema").encode())
    except BadRequest as error:
        if error.param:
            raise
        at = fields.path("schema")
        raise BadRequest(f"{at} must be a string that contains a JSON object.", param=at) from None


def _claudes_format(more: Fields) -> Format | None:
    """Claude's own field for what textFormat says. This wire gets it back as it was."""
    config = as_object(more.rest.get("output_config"))
    form = as_object(config.get("format"))
    schema = form.get("schema")
    if form.keys() != {"type", "schema"} or form["type"] != "json_schema" or not isinstance(schema, dict):
        return None
    more.rest["output_config"] = Left({**config, "format": Verbatim(form)})
    return Format(kind="schema", schema=schema)


def _claudes_choice(more: Fields) -> tuple[ToolChoice | None, bool | None]:
    """Claude's own choice among the tools, and may it call several at once? Converse has no word for one at a time, nor
    for none. This wire gets it back as it was.
    """
    said = as_object(more.rest.get("tool_choice"))
    match said:
        case {"type": "auto" | "any" | "none" as kind, **rest}:
            choice = ToolChoice(_CHOICES[kind])
        case {"type": "tool", "name": str(name), **rest} if name:
            choice = ToolChoice("tool", name)
        case _:
            return None, None
    single = rest.pop("disable_parallel_tool_use", None)
    if rest or not isinstance(single, bool | None):
        return None, None
    more.rest["tool_choice"] = Verbatim(said)
    return choice, None if single is None else not single


_CHOICES: dict[str, Literal["auto", "required", "none"]] = {"auto": "auto", "any": "required", "none": "none"}


def _additional(top: Fields, more: Fields, effort: str | None) -> tuple[Reasoning | None, int | None, list[str] | None]:
    """What additionalModelRequestFields say that other wires know as well: the reasoning, top_k and Claude's betas."""
    reasoning, spelt = reasoning_of(more, effort)
    if spelt:
        top.rest[SPELT] = Verbatim(spelt)
    top_k = more.rest.pop("top_k") if type(more.rest.get("top_k")) is int else _novas_top_k(more)
    betas = more.texts(KEY)
    top.keep("additionalModelRequestFields", more)
    return reasoning, top_k, betas


def _novas_top_k(more: Fields) -> int | None:
    """For this wire it stays as it was. https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html"""
    said = as_object(more.rest.get("inferenceConfig"))
    top_k = said.get("topK")
    if said.keys() != {"topK"} or type(top_k) is not int:
        return None
    more.rest["inferenceConfig"] = Verbatim(said)
    return top_k


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
        kind, inner = member_of(value, at)
        cache = cache_point(kind, inner)
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
    kind, inner = member_of(config.rest.pop("toolChoice"), at)
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
    parts = parts_of(top.items("system"))
    return [Turn(role="system", parts=parts, at="system")] if parts else []


def _turns(top: Fields, model: str) -> list[Turn]:
    """The messages, which may be absent where the model is a prompt that is stored at Amazon."""
    items = top.items("messages") if ":prompt/" in model else top.need_items("messages")
    return [_turn(Fields(value, at)) for value, at in items]


def _turn(fields: Fields) -> Turn:
    role, parts = fields.need_text("role"), parts_of(fields.need_items("content"))
    match role:
        case "user" | "assistant" | "system":
            return Turn(role=role, parts=parts, at=fields.at, extra=fields.rest)
        case _:
            raise wrong_word(fields.path("role"), "user, assistant or system", role)
