"""What does a client of the Messages API ask for?

A body in, a Request out. A wrong type raises BadRequest with the field's path; nothing that was sent is lost.
"""

from proxy.canon import (
    Citation,
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
    WebSearch,
)
from proxy.dialects.anthropic.citations import citations_of, was_shown
from proxy.dialects.anthropic.documents import document_of, found_in, source_of
from proxy.dialects.anthropic.words import (
    DEMANDS,
    FINDER,
    FOUND,
    NAME,
    SEARCH,
    SPELLED,
    SPELLED_BY,
    TIERS_READ,
    TOLD,
)
from proxy.errors import BadRequest
from proxy.grammar.caching import cache_at_the_end
from proxy.grammar.claude.betas import KEY
from proxy.grammar.claude.quoting import cited_in
from proxy.grammar.fields import (
    Fields,
    Object,
    Verbatim,
    as_list,
    as_object,
    as_text,
    dump,
    without_nulls,
    wrong,
    wrong_word,
)
from proxy.grammar.knobs import IDLE_FIELDS
from proxy.grammar.receipts import names_in
from proxy.grammar.searching import place_in
from proxy.grammar.textual import CLOSING, opening


def parse_request(top: Fields) -> Request:
    limit = top.need_natural("max_tokens")
    request = parse_prompt(top)
    request.max_tokens = limit
    return request


def parse_prompt(top: Fields) -> Request:
    """A request without the limit of its answer, which is not needed where only its tokens are counted."""
    names = names_in(top.rest, SPELLED, SPELLED_BY)
    choice, parallel = _tool_choice(top)
    form, effort = _output(top)
    request = Request(
        wire=NAME,
        model=top.need_name("model"),
        turns=[*_system(top), *(_turn(Fields(value, at)) for value, at in top.need_items("messages"))],
        stream=top.flag("stream") or False,
        include_usage=True,  # a stream of this wire always has it
        tools=[_tool(value, at) for value, at in top.items("tools")],
        tool_choice=choice,
        parallel_tools=parallel,
        format=form,
        reasoning=_reasoning(top, effort),
        temperature=top.number("temperature"),
        top_p=top.number("top_p"),
        top_k=top.integer("top_k"),
        stop=top.texts("stop_sequences"),
        user=_user(top),
        betas=top.texts(KEY),
        service_tier=_tier(top),
        names=names,
    )
    if "cache_control" in top.rest:
        cache_at_the_end(top, request.turns)
    for key, value in top.rest.items():
        asks = value and key in DEMANDS and value not in IDLE_FIELDS.get(key, ())
        (request.demands if asks else request.extra)[key] = value
    return request


def _output(top: Fields) -> tuple[Format | None, str | None]:
    """The format and the effort. `output_format` was the beta's name for `output_config.format`."""
    if "output_config" not in top.rest and "output_format" not in top.rest:
        return None, None
    config = top.inner("output_config")
    effort = config.text("effort")
    if "format" in config.rest and "output_format" in top.rest:
        message = "output_format means the same as output_config.format: give one of them."
        raise BadRequest(message, param="output_format")
    made = None
    for fields, key in ((config, "format"), (top, "output_format")):
        if key in fields.rest:
            form = fields.need_inner(key)
            made = _format(form)
            config.keep("format", form)
    top.keep("output_config", config)
    return made, effort


def _format(form: Fields) -> Format:
    if (kind := form.need_text("type")) != "json_schema":
        raise wrong_word(form.path("type"), "json_schema", kind)
    return Format(kind="schema", schema=form.need_object("schema"))


def _reasoning(top: Fields, effort: str | None) -> Reasoning | None:
    if "thinking" not in top.rest:
        return None if effort is None else Reasoning(effort=effort)
    thinking, reasoning = top.need_inner("thinking"), Reasoning(effort=effort)
    match thinking.need_text("type"):
        case "enabled":
            reasoning.budget = thinking.need_natural("budget_tokens")
        case "disabled":
            reasoning.off = True
        case "between_tools" as kind:  # off, except for a word on why tools are called
            reasoning.off, thinking.rest["type"] = True, kind
        case "adaptive":
            reasoning.adaptive = True
        case kind:  # one that we do not know
            thinking.rest["type"] = kind
    if thinking.rest.get("display") == "summarized":
        reasoning.summary = "auto"
        del thinking.rest["display"]
    top.keep("thinking", thinking)
    return reasoning


def _user(top: Fields) -> str | None:
    if "metadata" not in top.rest:
        return None
    metadata = top.need_inner("metadata")
    user = metadata.text("user_id")
    top.keep("metadata", metadata)
    return user


def _tier(top: Fields) -> str | None:
    word = top.text("service_tier")
    return None if word is None else TIERS_READ.get(word, word)


def _tool(value: object, at: str) -> Tool:
    fields = Fields(value, at)
    kind = fields.text("type") or "custom"
    if kind != "custom":
        search = _search(fields) if kind.startswith(SEARCH) else None
        return Tool(name=as_text(fields.rest.get("name")), kind=kind, search=search, at=at, extra=as_object(value))
    return Tool(
        name=fields.need_text("name"),
        description=fields.text("description"),
        parameters=without_nulls(fields.need_object("input_schema")),  # `properties` and `required` may be null
        strict=fields.flag("strict"),
        at=at,
        cache=fields.object("cache_control"),
        extra=fields.rest,
    )


def _search(fields: Fields) -> WebSearch:
    return WebSearch(
        allowed=fields.texts("allowed_domains"),
        blocked=fields.texts("blocked_domains"),
        most=fields.integer("max_uses"),
        place=place_in(fields),
        rest={key: value for key, value in fields.rest.items() if key != "name"},
    )


def _tool_choice(top: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether tools may be called in parallel."""
    if "tool_choice" not in top.rest:
        return None, None
    choice = top.need_inner("tool_choice")
    kind, single = choice.need_text("type"), choice.flag("disable_parallel_tool_use")
    match kind:
        case "tool":
            made = ToolChoice("tool", choice.need_text("name"))
        case "any":
            made = ToolChoice("required")
        case "auto" | "none":
            made = ToolChoice(kind)
        case _:
            raise wrong_word("tool_choice.type", "auto, any, tool or none", kind)
    top.keep("tool_choice", choice)
    return made, None if single is None else not single


def _system(top: Fields) -> list[Turn]:
    if top.rest.get("system") == "":  # nothing was said, and the wire refuses empty text
        del top.rest["system"]
    parts = _content(top, "system") if "system" in top.rest else []
    return [Turn(role="system", parts=parts, at="system")] if parts else []


def _turn(fields: Fields) -> Turn:
    role = fields.need_text("role")
    orders = role == "system" and fields.rest.get("content") is None  # only an effort, say, from here on
    parts = [] if orders else _content(fields, "content")
    fields.rest.pop("content", None)
    match role:
        case "user" | "assistant" | "system":
            # A system message in mid-chat: https://platform.claude.com/docs/en/build-with-claude/
            # mid-conversation-system-messages (Claude Opus 4.8 and later)
            return Turn(role=role, parts=parts, at=fields.at, extra=fields.rest)
        case _:
            raise wrong_word(fields.path("role"), "user, assistant or system", role)


def _content(fields: Fields, key: str) -> list[Part]:
    value = fields.rest.get(key)
    if isinstance(value, str):
        del fields.rest[key]
        return [Text(text=value, at=fields.path(key))]
    if not isinstance(value, list):
        raise wrong(fields.path(key), "a string or an array of blocks", value)
    return [_part(block, at) for block, at in fields.items(key)]


def _part(value: object, at: str) -> Part:
    fields = Fields(value, at)
    part: Part
    match kind := fields.need_text("type"):
        case "text":
            part = Text(text=fields.need_text("text"), citations=_citations(fields))
        case "image" if source := source_of(fields):
            part = Image(source=source)
        case "document" if document := document_of(fields):
            part = document
            part.name, part.context, part.cited = fields.text("title"), fields.text("context"), cited_in(fields)
        case "search_result" if document := found_in(fields):
            part = document
            part.name, part.origin, part.cited = fields.text("title"), fields.text("source"), cited_in(fields)
        case "thinking":
            part = Thinking(text=fields.need_text("thinking"), signature=fields.text("signature") or "")
        case "redacted_thinking" if data := fields.need_text("data"):  # if empty, it would look like a readable thought
            part = Thinking(redacted=data)
        case "tool_use":
            part = _tool_use(fields)
        case "tool_result":
            part = _tool_result(fields)
        case _:
            return _opaque(kind, as_object(value), at)
    part.at = at
    part.cache = fields.object("cache_control")
    part.extra = fields.rest
    return part


def _opaque(kind: str, value: Object, at: str) -> Opaque:
    """A block that only this wire has. Where tools are not loaded later, all of them are on offer from the beginning,
    so that no search for one says anything, and a reference to one is its name. A compaction is a summary, and none
    where it failed.
    """
    name = as_text(value.get("name")) if kind == "server_tool_use" else ""
    told: object = None
    if kind == "tool_search_tool_result" or name.startswith(FINDER):
        told = ""
    elif kind in TOLD and not value.get("tool_changes"):
        told = value.get(TOLD[kind]) or ""
    return Opaque(
        wire=NAME,
        value=value,
        is_mark=kind == "fallback",
        is_search=kind == FOUND or name == "web_search",
        told=told if isinstance(told, str) else None,
        parts=_mixed(kind, value, at) if kind in ("document", "search_result") else [],
        at=at,
    )


def _mixed(kind: str, whole: Object, at: str) -> list[Part]:
    """What stands in a document of texts and images, or in what a search has found, in the frame that a text has.
    Empty where it is another one.
    """
    found = kind == "search_result"
    source = {} if found else as_object(whole.get("source"))
    content = whole.get("content") if found else source.get("content") if source.get("type") == "content" else None
    blocks = list(map(as_object, as_list(content)))
    if not blocks or not all(map(_is_text_or_image, blocks)):
        return []
    origin = as_text(whole.get("source")) if found else None
    begun = opening(as_text(whole.get("title")), origin, as_text(whole.get("context")))
    place = f"{at}.content" if found else f"{at}.source.content"
    within = [_part(block, f"{place}[{number}]") for number, block in enumerate(blocks)]
    cache = as_object(whole.get("cache_control")) or None
    return [Text(text=begun, at=at), *within, Text(text=CLOSING, cache=cache, at=at)]


def _is_text_or_image(block: Object) -> bool:
    kind = block.get("type")
    return kind == "image" or (kind == "text" and isinstance(block.get("text"), str))


_DIRECT = {"type": "direct"}  # the model itself called, as on every wire; Claude's answers say so of each call


def _tool_use(fields: Fields) -> ToolCall:
    arguments = dump(fields.need_object("input")).decode()
    if fields.rest.get("caller") == _DIRECT:
        fields.rest["caller"] = Verbatim(_DIRECT)
    return ToolCall(id=fields.need_text("id"), name=fields.need_text("name"), arguments=arguments)


def _tool_result(fields: Fields) -> ToolResult:
    """A result may not hold another one, or a client could decide how deeply we recurse."""
    for number, block in enumerate(as_list(fields.rest.get("content"))):
        if as_object(block).get("type") == "tool_result":
            at = f"{fields.path('content')}[{number}].type"
            raise wrong_word(at, "the type of a block that a tool_result can contain", "tool_result")
    nothing = fields.rest.get("content", "") == ""  # the tool had nothing to say
    parts = [] if nothing else _content(fields, "content")
    fields.rest.pop("content", None)
    return ToolResult(id=fields.need_text("tool_use_id"), parts=parts, is_error=fields.flag("is_error"))


def _citations(fields: Fields) -> list[Citation]:
    """The citations, without those that we made for the client to read: no provider has ever seen them."""
    said = [Fields(value, at).rest for value, at in fields.items("citations")]
    return citations_of(one for one in said if not was_shown(one))
