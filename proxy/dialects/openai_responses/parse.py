"""What does a client of the Responses API ask for?

A body in, a Request out. A wrong type raises a BadRequest that names the field's path. Nothing that was sent is lost.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from proxy.canon import Format, Reasoning, Request, Text, Tool, ToolChoice, Turn, WebSearch
from proxy.dialects.openai_responses.namespaces import NAMESPACE, by_joined_names, members
from proxy.dialects.openai_responses.parse_input import turns_of
from proxy.dialects.openai_responses.words import (
    ADDED,
    DEMANDS,
    KNOBS,
    LOGPROBS,
    NAME,
    REMEMBERED,
    SEALS,
    SILENCE,
    SPELLED,
    is_search,
)
from proxy.grammar.fields import Fields, Object, Verbatim, as_object, as_text, wrong, wrong_word
from proxy.grammar.openai import blocks
from proxy.grammar.searching import place_in


def parse_request(top: Fields) -> Request:
    if "input" not in top.rest and not any(key in top.rest for key in REMEMBERED):
        raise wrong("input", "a string or an array of items", None)
    stream = top.flag("stream") or False
    form, verbosity = _text(top)
    turns = [*_instructions(top), *turns_of(top)]
    tools = [tool for value, at in top.items("tools") for tool in _tools(value, at)]
    tools += [tool for turn in turns if ADDED in turn.extra for tool in _added(turn)]
    knobs: Object = {name: getattr(top, take)(key) for name, (key, take) in KNOBS.items() if key in top.rest}
    request = Request(
        wire=NAME,
        model=top.need_name("model"),
        turns=turns,
        stream=stream,
        include_usage=True,  # a stream of this wire always has it
        obfuscation=_obfuscation(top) if stream else None,
        tools=tools,
        tool_choice=by_joined_names(_tool_choice(top), tools),
        format=form,
        verbosity=verbosity,
        reasoning=_reasoning(top),
        metadata=top.labels("metadata"),
        logprobs=_logprobs(top, knobs),
        names=SPELLED,
        **knobs,
    )
    for key, value in top.rest.items():
        if SILENCE.get(key) != value:
            (request.demands if _is_demand(key, value) else request.extra)[key] = value
    return request


def _is_demand(key: str, value: object) -> bool:
    """Would the answer be a different one without it? A choice or format is still here only if the canon lacks it."""
    match key:
        case "tool_choice":
            return True
        case "text":
            return "format" in as_object(value)
        case "prompt_cache_options":  # there is to be no answer at all, only a prompt in the cache
            return bool(as_object(value).get("prewarm"))
        case "moderation":
            return blocks(value)
        case _:
            return key in DEMANDS


def _instructions(top: Fields) -> list[Turn]:
    text = top.text("instructions")
    return [Turn(role="system", parts=[Text(text=text, at="instructions")], at="instructions")] if text else []


def _text(top: Fields) -> tuple[Format | None, str | None]:
    """The format, if it is one of the three that the canon knows, and the verbosity."""
    text = top.inner("text")
    verbosity, form = text.text("verbosity"), _format(text)
    top.keep("text", text)
    return form, verbosity


def _format(text: Fields) -> Format | None:
    if "format" not in text.rest:
        return None
    form = Fields(text.rest["format"], text.path("format"))
    kind = form.need_text("type")
    made = Format(kind="json" if kind == "json_object" else "text")
    if kind == "json_schema":
        made = Format(
            kind="schema",
            name=form.text("name"),
            description=form.text("description"),
            schema=form.need_object("schema"),
            strict=form.flag("strict"),
        )
    if form.rest or kind not in ("text", "json_object", "json_schema"):
        return None
    del text.rest["format"]
    return made


def _obfuscation(top: Fields) -> bool | None:
    options = top.inner("stream_options")
    padded = options.flag("include_obfuscation")
    top.keep("stream_options", options)
    return padded


def _reasoning(top: Fields) -> Reasoning | None:
    fields = top.inner("reasoning")
    effort, summary = fields.text("effort"), fields.text("summary")
    top.keep("reasoning", fields)
    if effort == "none":
        return Reasoning(off=True, summary=summary)
    return None if effort is None and summary is None else Reasoning(effort=effort, summary=summary)


def _logprobs(top: Fields, knobs: Object) -> bool | None:
    """Logprobs, if `include` asks for them; its other words stay. Encrypted reasoning is always requested anyway.

    `top_logprobs` may stand alone on this wire, and on no other: some ask for logprobs as well, and 0 asks for nothing.
    """
    include = top.texts("include") or []
    if rest := [word for word in include if word not in (SEALS, LOGPROBS)]:
        top.rest["include"] = rest
    if LOGPROBS in include:
        return True
    if knobs.get("top_logprobs") == 0:
        del knobs["top_logprobs"]
    return True if knobs.get("top_logprobs") else None


def _added(turn: Turn) -> Iterator[Tool]:
    """Tools that an item added: the next answer may call them. On this wire they go out in that item again."""
    for value, at in Fields(dict(turn.extra[ADDED]), turn.at).items("tools"):
        for tool in _tools(value, at):
            yield replace(tool, extra=tool.extra | {ADDED: Verbatim()})


def _tools(value: object, at: str) -> list[Tool]:
    """One tool, or the members of a namespace."""
    group = Fields(value, at)
    if group.text("type") == NAMESPACE and group.rest.keys() <= {"name", "description", "tools"}:
        functions = [_tool(inner, inner_at) for inner, inner_at in group.items("tools")]
        if functions and all(tool.kind in ("function", "custom") for tool in functions):
            about = group.text("description") or ""
            return members(as_object(value), group.need_text("name"), about, functions)
    return [_tool(value, at)]


def _tool(value: object, at: str) -> Tool:
    fields = Fields(value, at)
    kind = fields.need_text("type")
    if kind not in ("function", "custom"):
        name = as_text(fields.rest.get("name")) or kind
        search = _search(fields) if is_search(kind) else None
        return Tool(name=name, kind=kind, search=search, at=at, extra=as_object(value))
    return Tool(
        name=fields.need_text("name"),
        kind=kind,
        description=fields.text("description"),
        parameters=fields.object("parameters"),
        strict=fields.flag("strict"),
        form=fields.object("format") if kind == "custom" else None,
        at=at,
        extra=fields.rest,
    )


def _search(fields: Fields) -> WebSearch:
    """`external_web_access` asks by `true` for what is so anyway, and by `false` that it reads OpenAI's cache alone."""
    filters = fields.inner("filters")
    allowed, size, place = filters.texts("allowed_domains"), fields.text("search_context_size"), place_in(fields)
    fields.keep("filters", filters)
    rest = {key: value for key, value in fields.rest.items() if (key, value) != ("external_web_access", True)}
    kept = rest.get("external_web_access") is False
    return WebSearch(allowed=allowed, size=size, place=place, kept=kept, rest=rest)


def _tool_choice(top: Fields) -> ToolChoice | None:
    """The choice, if it is a mode, a tool or a list of tools; otherwise it stays, and becomes a demand."""
    value = top.rest.get("tool_choice")
    match value:
        case None:
            return None
        case "auto" | "none" | "required":
            del top.rest["tool_choice"]
            return ToolChoice(value)
        case str():
            raise wrong_word("tool_choice", "auto, none, required or an object", value)
        case {"type": "function" | "custom"} if set(value) <= {"type", "name"}:
            return ToolChoice("tool", top.need_inner("tool_choice").need_text("name"))
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": list() as tools, **rest} if (
            not rest
        ):
            names = tuple(name for tool in tools for name in _named(tool))
            if not names or len(names) < len(tools):
                return None
            del top.rest["tool_choice"]
            return ToolChoice(mode, among=names)
        case dict():
            return None
        case _:
            raise wrong("tool_choice", "auto, none, required or an object", value)


def _named(tool: object) -> list[str]:
    """The name of a tool that may be chosen; empty if it is a server tool, or says more than a name."""
    match tool:
        case {"type": "function" | "custom", "name": str(name), **rest} if not rest:
            return [name]
        case _:
            return []
