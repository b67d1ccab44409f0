"""What does a client of chat completions ask for?

A body in, a Request out. A wrong type raises a BadRequest that names the field's path. Nothing that was sent is lost.
"""

from msgspec.structs import replace

from proxy.canon import (
    Format,
    Reasoning,
    Request,
    Tool,
    ToolChoice,
    WebSearch,
)
from proxy.dialects.openai_chat.parse_turns import turns_of
from proxy.dialects.openai_chat.words import DEMANDS, KNOBS, NAME, SEARCH, SPELLED, SPELLED_BY, SPELT
from proxy.grammar.caching import cache_at_the_end
from proxy.grammar.fields import Fields, Left, Object, Verbatim, as_object, is_number, wrong, wrong_word
from proxy.grammar.openai import blocks
from proxy.grammar.receipts import names_in
from proxy.grammar.searching import place_in


def parse_request(top: Fields) -> Request:
    names = names_in(top.rest, SPELLED, SPELLED_BY)
    knobs: Object = {name: getattr(top, take)(name) for name, take in KNOBS.items() if name in top.rest}
    limit_field = "max_completion_tokens" if "max_completion_tokens" in top.rest else "max_tokens"
    stream = top.flag("stream") or False
    tools = [_tool(*item) for item in top.items("tools")] + [_function(*item) for item in top.items("functions")]
    include_usage, obfuscation = _stream_options(top) if stream else (False, None)
    if SEARCH in top.rest:
        tools.append(_search(top))
    request = Request(
        wire=NAME,
        model=top.need_name("model"),
        turns=turns_of(top),
        stream=stream,
        include_usage=include_usage,
        obfuscation=obfuscation,
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
    if "cache_control" in top.rest:
        cache_at_the_end(top, request.turns)
    for key, value in top.rest.items():
        (request.demands if _is_demand(key, value) else request.extra)[key] = value
    if request.max_tokens is not None and request.max_tokens < 0:  # no limit: LM Studio and llama.cpp
        request.extra[limit_field], request.max_tokens = request.max_tokens, None
    return request


def _is_demand(key: str, value: object) -> bool:
    """Would the answer be a different one without it?"""
    return (key in DEMANDS and value is not False) or key in _FORMS or (key == "moderation" and blocks(value))


_FORMS = ("tool_choice", "function_call", "response_format")  # left over if the canon lacks the form


def _stream_options(top: Fields) -> tuple[bool, bool | None]:
    """Whether the client asked for usage, and whether it asked for padding."""
    options = top.inner("stream_options")
    asked = options.flag("include_usage") or False, options.flag("include_obfuscation")
    top.keep("stream_options", options)
    return asked


def _stop(top: Fields) -> list[str] | None:
    match top.rest.get("stop"):
        case str():
            return [top.need_text("stop")]
        case None | list():
            return top.texts("stop")
        case value:
            raise wrong("stop", "a string or an array", value)


def _reasoning(top: Fields) -> Reasoning | None:
    """OpenAI's `reasoning_effort`, or the effort or budget of OpenRouter's `reasoning`, whose other fields stay."""
    effort, budget = top.text("reasoning_effort"), None
    said, summary = None, None
    if isinstance(top.rest.get("reasoning"), dict):
        fields = top.inner("reasoning")
        effort, budget = fields.text("effort") or effort, fields.integer("max_tokens")
        if fields.rest.get("enabled") is False:
            effort = "none"
            del fields.rest["enabled"]
        top.keep("reasoning", fields)
    elif "thinking" in top.rest and (said := _thinking(top, effort)) is not None:
        if said.off and effort != "none":
            return Reasoning(off=True, effort=effort)
        budget, summary = said.budget, said.summary
    if effort == "none":
        return Reasoning(off=True)
    if effort is None and budget is None:
        return said
    return Reasoning(effort=effort, budget=budget, summary=summary)


def _thinking(top: Fields, effort: str | None) -> Reasoning | None:
    """The `thinking` of Anthropic's OpenAI route, and of DeepSeek, Z.ai and Moonshot, which have no budget.

    https://platform.claude.com/docs/en/api/openai-sdk and https://api-docs.deepseek.com/guides/thinking_mode
    """
    match said := top.rest.get("thinking"):
        case {"type": "disabled", **rest}:
            made = Reasoning(off=True)
        case {"type": "enabled", "budget_tokens": int(budget), **rest} if not isinstance(budget, bool):
            made = Reasoning(budget=budget)
        case {"type": "enabled" | "adaptive", **rest} if "budget_tokens" not in rest:
            made = Reasoning(adaptive=True)
        case _:
            return None
    if rest.get("display") == "summarized":
        made.summary = "auto"
        del rest["display"]
    top.rest["thinking"] = Left(as_object(rest))
    _keep_spelt(top, {"thinking": said} | ({} if effort is None else {"reasoning_effort": effort}))
    return made


def _keep_spelt(top: Fields, said: Object) -> None:
    """For the hosts of this wire, which may know a field only so."""
    top.rest[SPELT] = Verbatim(as_object(top.rest.get(SPELT)) | said)


def _metadata(top: Fields) -> dict[str, str] | None:
    """The labels, if they are OpenAI's: strings. Other hosts' values stay in the body as they are."""
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
    """The format, if it is one of the three that the canon knows; otherwise it stays, and becomes a demand."""
    if "response_format" not in top.rest:
        return None
    form = Fields(top.rest["response_format"], "response_format")
    kind = form.need_text("type")
    made = Format(kind="text")
    if kind in ("json_object", "json_schema") and (schema := _bare_schema(form)) is not None:
        _keep_spelt(top, {"response_format": top.rest.pop("response_format")})
        return Format(kind="schema", schema=schema)
    if kind == "json_object":
        made = Format(kind="json")
    elif kind == "json_schema":
        inner = form.need_inner("json_schema")
        made = Format(
            kind="schema",
            name=inner.text("name"),
            description=inner.text("description"),
            schema=inner.object("schema"),
            strict=inner.flag("strict"),
        )
        form.keep("json_schema", inner)
    if form.rest or kind not in ("text", "json_object", "json_schema"):
        return None
    del top.rest["response_format"]
    return made


def _bare_schema(form: Fields) -> Object | None:
    """The schema beside the type, as Fireworks, Together and llama.cpp have it, or Vertex's clients of LiteLLM."""
    match form.rest:
        case {"schema": dict(schema), **rest} | {"response_schema": dict(schema), **rest} if not rest:
            return as_object(schema)
        case _:
            return None


def _tool(value: object, at: str) -> Tool:
    fields = Fields(value, at)
    kind = fields.text("type") or "function"
    cache = fields.object("cache_control")
    if kind not in ("function", "custom"):
        return Tool(name=kind, kind=kind, at=at, cache=cache, extra=fields.rest)
    inner = fields.need_inner(kind)
    cache = inner.object("cache_control") if cache is None else cache  # there, too, clients of LiteLLM mark a tool
    form = _form(inner) if kind == "custom" else None
    tool = _offer(inner, at)
    extra = {**({kind: Left(tool.extra)} if tool.extra else {}), **fields.rest}
    return replace(tool, kind=kind, form=form, at=at, cache=cache, extra=extra)


def _search(top: Fields) -> Tool:
    """The search that a field asks for, and no tool. On this wire the field goes on as it came."""
    fields = top.inner(SEARCH)
    top.rest[SEARCH] = Verbatim(fields.rest)
    size, place = fields.text("search_context_size"), place_in(fields)
    return Tool(name=SEARCH, kind=SEARCH, search=WebSearch(size=size, place=place, rest=fields.rest), at=SEARCH)


def _form(custom: Fields) -> Object | None:
    """The format of a custom tool's text, if it is one of OpenAI's two. On this wire a grammar is nested."""
    match custom.rest.get("format"):
        case {"type": "grammar", "grammar": dict() as grammar, **rest} if not rest and "type" not in grammar:
            del custom.rest["format"]
            return {"type": "grammar"} | grammar
        case {"type": "text", **rest} if not rest:
            return custom.object("format")
        case _:
            return None


def _function(value: object, at: str) -> Tool:
    """One of the `functions` that preceded `tools` on this wire. Its path tells it from one of `tools`."""
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
    """The choice, if it is a mode, a tool or a list of tools; otherwise it stays, and becomes a demand."""
    legacy = top.rest.get("function_call")
    if isinstance(legacy, dict) and "tool_choice" not in top.rest:
        return _legacy_choice(top, legacy)
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
        case {"type": "allowed_tools", "allowed_tools": dict() as allowed, **rest} if not rest:
            return _choice_among(top, allowed)
        case {"type": "function"} | {"type": "custom"}:
            kind = value["type"]
            raise wrong(f"{key}.{kind}.name", "a string", as_object(value.get(kind)).get("name"))
        case dict():
            return None
        case str():
            raise wrong_word(key, "auto, none, required or an object", value)
        case _:
            raise wrong(key, "auto, none, required or an object", value)


def _legacy_choice(top: Fields, function_call: Object) -> ToolChoice | None:
    named = Fields(function_call, "function_call")
    choice = ToolChoice("tool", named.need_text("name"))
    if named.rest:
        return None
    del top.rest["function_call"]
    return choice


def _choice_among(top: Fields, allowed: Object) -> ToolChoice | None:
    match allowed:
        case {"mode": "auto" | "required" as mode, "tools": list() as tools, **rest} if not rest:
            names = tuple(name for tool in tools for name in _named(tool))
            if names and len(names) == len(tools):
                del top.rest["tool_choice"]
                return ToolChoice(mode, among=names)
    return None


def _named(tool: object) -> list[str]:
    """The name of a tool that may be chosen; empty if it is no function or custom tool, or says more than a name."""
    match tool:
        case {"type": "function", "function": {"name": str(name), **more}, **rest} | {
            "type": "custom",
            "custom": {"name": str(name), **more},
            **rest,
        } if not more and not rest:
            return [name]
        case _:
            return []
