"""What does a client of generateContent ask for?

A body in, a Request out. A wrong type raises BadRequest with the field's path, in camelCase; nothing that was sent is
lost.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from proxy.canon import Format, Reasoning, Request, Tool, ToolChoice, Turn, WebSearch
from proxy.dialects.gemini.parse_parts import Chat
from proxy.dialects.gemini.schema import json_schema
from proxy.dialects.gemini.spelling import unquoted
from proxy.dialects.gemini.words import (
    CONFIG_DEMANDS,
    COUNTS,
    DEMANDS,
    ENUM,
    LEVELS,
    MODALITIES,
    MODES,
    NAME,
    NUMBERS,
    SCHEMAS,
    SEARCHES,
    SPELLED,
    SPELLED_BY,
    TIER_BEGINS,
    TIERS_READ,
    UNDECIDED,
)
from proxy.errors import BadRequest, excerpt
from proxy.grammar.fields import Fields, Left, Object, as_object, as_text, is_number, without_nulls, wrong, wrong_word
from proxy.grammar.receipts import names_in
from proxy.ports import Peek


def parse_request(body: Object, peek: Peek) -> Request:
    """`body`: its keys in camelCase (spelling.py). Raises BadRequest."""
    top = Fields(body, "")
    check_model(top, peek.model)
    config = top.inner("generationConfig")
    names = names_in(config.rest, SPELLED, SPELLED_BY)
    knobs: Object = {}
    for key in [each for each in config.rest if each in _KNOBS]:
        name, read = _KNOBS[key]
        knobs[name] = read(config, key)
    request = Request(
        wire=NAME,
        model=peek.model,
        turns=_turns(top),
        stream=peek.stream,
        as_array=peek.as_array,
        include_usage=True,  # a stream of this wire always has it
        tools=_tools(top),
        tool_choice=None,
        format=_format(config),
        reasoning=_reasoning(config),
        stop=config.texts("stopSequences"),
        logprobs=config.flag("responseLogprobs"),
        modalities=_modalities(config),
        metadata=top.labels("labels"),
        store=top.flag("store"),
        service_tier=_tier(top),
        names=names,
        **knobs,
    )
    _choose(request, top)
    _keep_rest(request, top, config)
    return request


def _keep_rest(request: Request, top: Fields, config: Fields) -> None:
    """Keep the fields that were not read, each under its own key. Protobuf's default, such as "", is none."""
    for key, value in top.rest.items():
        (request.demands if key in DEMANDS and value != "" else request.extra)[key] = value
    for key, value in config.rest.items():
        kept = request.demands if key in CONFIG_DEMANDS and value != "" else request.extra
        kept.setdefault("generationConfig", Left())[key] = value


def bare(name: str) -> str:
    """A model's name without its collection, which is `models/` or a path of Vertex AI's."""
    return name.rpartition("models/")[2]


def published(path: str) -> str:
    """The model in a path of Vertex AI's. Google's own go by their names, others by publisher and name.

    Vercel's SDK leaves `models/` out before a name that has a slash, such as `openai/gpt-5`.
    """
    place, _, model = path.partition("/models/")  # the first: Fireworks' names of models have it in them as well
    publisher = place.rpartition("publishers/")[2]
    if not model or not publisher or "/" in publisher:
        told = path.partition("/publishers/google/")[2]
        return told if "/" in told else path
    return model if publisher == "google" else f"{publisher}/{model}"


def check_model(top: Fields, model: str) -> None:
    """The path names the model: a body may repeat it, but must not name another."""
    named = top.text("model")
    if named and bare(named) != bare(model):
        said, meant = excerpt(named, 80), excerpt(model, 80)
        message = f"model is {said!r}, but the path names {meant!r}: leave it out or give the same."
        raise BadRequest(message, param="model")


# --- generationConfig ------------------------------------------------------------------------------------------------


def _number(fields: Fields, key: str) -> float | None:
    if key in fields.rest:
        fields.rest[key] = unquoted(fields.rest[key])
    return fields.number(key)


def _count(fields: Fields, key: str) -> int | None:
    """An integer, which 40.0 is to Google."""
    value = unquoted(fields.rest.pop(key, None))
    if value is None:
        return None
    if not is_number(value) or value != int(value):
        raise wrong(fields.path(key), "an integer", value)
    return int(value)


# By Google's name, ours, and how it is read.
_KNOBS: Mapping[str, tuple[str, Callable[[Fields, str], float | None]]] = {
    **{key: (name, _number) for name, key in NUMBERS.items()},
    **{key: (name, _count) for name, key in COUNTS.items()},
}


def _word(value: object, at: str, words: Sequence[str]) -> str:
    """An enum's word in upper case. Google takes any case, and the enum's number as well."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(words):
        return words[value]
    if not isinstance(value, str):
        raise wrong(at, "a string", value)
    return value.upper()


def _modalities(config: Fields) -> list[str] | None:
    if "responseModalities" not in config.rest:
        return None
    asked = config.rest["responseModalities"]
    words = [_word(value, at, MODALITIES) for value, at in config.items("responseModalities")]
    if words == [MODALITIES[0]]:
        config.rest["responseModalities"] = asked
        return None
    return [word.lower() for word in words] or None


def _format(config: Fields) -> Format | None:
    """The format, if it is JSON or plain text; any other stays where it is, and becomes a demand."""
    schemas = [key for key in SCHEMAS if key in config.rest]
    if not schemas and "responseMimeType" not in config.rest:
        return _newer_format(config) if "responseFormat" in config.rest else None
    media_type = config.rest.get("responseMimeType", "application/json")
    if len(schemas) > 1:
        at = config.path(schemas[1])
        raise BadRequest(f"{at} means the same as {schemas[0]}: give one of them.", param=at)
    if media_type in ("application/json", ENUM) and schemas:
        config.rest.pop("responseMimeType", None)
        return Format(kind="schema", schema=_response_schema(config, schemas[0]), bare=media_type == ENUM)
    if schemas or media_type not in ("application/json", "text/plain"):
        return None
    del config.rest["responseMimeType"]
    return Format(kind="json" if media_type == "application/json" else "text")


def _newer_format(config: Fields) -> Format | None:
    """`responseFormat`, which replaces the other keys, as far as it is about text.

    https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1beta1/GenerationConfig: a list; the Gemini
    API takes the one object, and has an enum for the media types.
    """
    said = config.rest.get("responseFormat")
    form = without_nulls(as_object(said[0] if isinstance(said, list) and len(said) == 1 else said))
    text = without_nulls(as_object(form.get("text")))
    kind = _TEXTS.get(as_text(text.get("mimeType", "application/json")).lower().replace("_", "/"))
    schema = text.get("schema")
    if kind is None or form.keys() != {"text"} or not text.keys() <= {"mimeType", "schema"}:
        return None
    if schema is not None and (kind != "json" or not isinstance(schema, dict)):
        return None
    del config.rest["responseFormat"]
    return Format(kind=kind) if schema is None else Format(kind="schema", schema=schema)


_TEXTS: dict[str, Literal["json", "text"]] = {"application/json": "json", "text/plain": "text"}


def _response_schema(config: Fields, key: str) -> Object:
    schema = config.need_object(key)
    return json_schema(schema, config.path(key)) if key == "responseSchema" else schema


def _reasoning(config: Fields) -> Reasoning | None:
    if "thinkingConfig" not in config.rest:
        return None
    thinking = config.need_inner("thinkingConfig")
    budget, shown = _count(thinking, "thinkingBudget"), thinking.flag("includeThoughts")
    level = thinking.rest.pop("thinkingLevel", None)
    word = LEVELS[0] if level is None else _word(level, thinking.path("thinkingLevel"), LEVELS)
    effort = None if word == LEVELS[0] else word.lower()
    adaptive, summary = budget == UNDECIDED, "auto" if shown else None
    if budget is not None and budget < 0:
        thinking.rest |= {} if adaptive else {"thinkingBudget": budget}
        budget = None
    config.keep("thinkingConfig", thinking)
    return Reasoning(effort=effort, budget=budget or None, off=budget == 0, adaptive=adaptive, summary=summary)


# --- tools -----------------------------------------------------------------------------------------------------------


def _tools(top: Fields) -> list[Tool]:
    """The functions, and each of Google's own tools as a tool of its own kind."""
    if "tools" not in top.rest:
        return []
    if isinstance(top.rest["tools"], dict):
        top.rest["tools"] = [top.rest["tools"]]
    tools: list[Tool] = []
    for value, at in top.items("tools"):
        fields = Fields(value, at)
        tools += [_function(Fields(item, path)) for item, path in fields.items("functionDeclarations")]
        tools += [_server_tool(key, item, f"{at}.{key}") for key, item in fields.rest.items()]
    return tools


def _server_tool(key: str, value: object, at: str) -> Tool:
    search = _search(Fields(value, at)) if key in SEARCHES else None
    return Tool(name=key, kind=key, search=search, at=at, extra={key: value})


def _search(fields: Fields) -> WebSearch:
    return WebSearch(blocked=fields.texts("excludeDomains"), rest=fields.rest)


def _function(fields: Fields) -> Tool:
    if "parameters" in fields.rest and "parametersJsonSchema" in fields.rest:
        at = fields.path("parametersJsonSchema")
        raise BadRequest(f"{at} means the same as parameters: give one of them.", param=at)
    parameters = fields.object("parametersJsonSchema")
    if "parameters" in fields.rest:
        parameters = json_schema(fields.rest.pop("parameters"), fields.path("parameters"))
    return Tool(
        name=fields.need_name("name"),
        description=fields.text("description"),
        parameters=parameters,
        at=fields.at,
        extra=fields.rest,
    )


def _choose(request: Request, top: Fields) -> None:
    """Set the tool choice. Function names beside a mode that takes none are a demand. The rest stays where it is."""
    if "toolConfig" not in top.rest:
        return
    config = top.inner("toolConfig")
    calling = config.inner("functionCallingConfig")
    names = calling.texts("allowedFunctionNames") or []
    value, at = calling.rest.pop("mode", None), calling.path("mode")
    mode = MODES[0] if value is None else _word(value, at, MODES)
    if mode not in MODES:
        raise wrong_word(at, f"one of {', '.join(MODES[1:])}", str(value))
    if names and mode not in ("ANY", "VALIDATED"):
        named = {"allowedFunctionNames": names, "mode": mode}
        request.demands["toolConfig"] = Left(functionCallingConfig=Left(named))
    else:
        request.tool_choice = _choice(mode, names)
        if mode == "VALIDATED":
            calling.rest["mode"] = mode
    config.keep("functionCallingConfig", calling)
    top.keep("toolConfig", config)


def _choice(mode: str, names: list[str]) -> ToolChoice | None:
    match mode:
        case "AUTO" | "VALIDATED":
            return ToolChoice("auto", among=tuple(names))
        case "NONE":
            return ToolChoice("none")
        case "ANY":
            return ToolChoice("tool", names[0]) if len(names) == 1 else ToolChoice("required", among=tuple(names))
        case _:
            return None


# --- the rest of the top level ---------------------------------------------------------------------------------------


def _tier(top: Fields) -> str | None:
    word = top.text("serviceTier")
    if word is not None and word.lower().removeprefix(TIER_BEGINS) in ("", "unspecified"):
        top.rest["serviceTier"] = word
        return None
    return None if word is None else TIERS_READ.get(word.lower().removeprefix(TIER_BEGINS), word)


def _turns(top: Fields) -> list[Turn]:
    chat = Chat()
    system = chat.system(top)
    if isinstance(top.rest.get("contents"), dict):  # Google takes an object for an array of one
        top.rest["contents"] = [top.rest["contents"]]
    items = top.items("contents")
    if not items:
        raise BadRequest("contents must be an array with at least one item.", param="contents")
    return [*system, *chat.turns(items)]
