"""What does a client of Ollama ask for?

A body in, a Request out. A wrong type raises a BadRequest that names the field's path. Nothing that was sent is lost.

Two routes share this wire, and their bodies differ: /api/chat has `messages`, /api/generate a `prompt`. If that is
empty, the model is to be loaded, or unloaded with `keep_alive: 0`. No other wire can be asked for that, so the empty
field becomes a demand.

Older servers gave calls no ids, and the official SDK sends none back. So a call without an id is named after its place,
and a result finds its call by id, by the tool's name, or by their order.
"""

from itertools import chain, groupby
from typing import Any

from proxy.canon import (
    Format,
    Image,
    Inline,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from proxy.dialects.ollama.words import DEMANDS, NAME, OPTIONS, OWN_EFFORT, SPELLED, TOOL_NAMES
from proxy.grammar.fields import (
    Fields,
    Object,
    Verbatim,
    as_object,
    dump,
    is_number,
    standard_base64,
    wrong,
    wrong_word,
)
from proxy.grammar.filetypes import media_type_of_base64
from proxy.grammar.functions import function_tool


def parse_request(top: Fields) -> Request:
    stream, chat = top.flag("stream"), "messages" in top.rest
    request = Request(
        wire=NAME,
        model=top.need_name("model"),
        turns=_turns(top) if chat else _prompted(top),
        stream=stream is not False,
        include_usage=True,  # a stream of this wire always has it
        tools=[function_tool(Fields(value, at)) for value, at in top.items("tools")],
        format=_format(top),
        reasoning=_reasoning(top),
        logprobs=top.flag("logprobs"),
        top_logprobs=top.integer("top_logprobs"),
        names=SPELLED,
        **_options(top),
    )
    for key, value in top.rest.items():
        demanded = key == ("messages" if chat else "prompt") or (key in DEMANDS and value)
        (request.demands if demanded else request.extra)[key] = value
    return request


# --- knobs -----------------------------------------------------------------------------------------------------------


def _options(top: Fields) -> Object:
    options = top.inner("options")
    knobs: Object = {name: take(options, key) for name, (key, take) in _TAKEN.items() if key in options.rest}
    if knobs.get("max_tokens", 0) < 0:  # no limit, or the whole window
        options.rest["num_predict"] = knobs.pop("max_tokens")
    if isinstance(options.rest.get("stop"), str):
        knobs["stop"] = [options.need_text("stop")]
    else:
        knobs["stop"] = options.texts("stop")
    top.keep("options", options)
    return knobs


def _count(options: Fields, key: str) -> int | None:
    """An integer. Ollama reads 40.0 and 40.9 as 40: FromMap in github.com/ollama/ollama/blob/main/api/types.go."""
    value = options.rest.get(key)
    if isinstance(value, float) and is_number(value):
        options.rest[key] = int(value)
    return options.integer(key)


_TAKEN = {name: (key, _count if kind is int else Fields.number) for name, (key, kind) in OPTIONS.items()}


def _format(top: Fields) -> Format | None:
    value = top.rest.pop("format", None)
    match value:
        case None | "":
            return None
        case "json":
            return Format(kind="json")
        case dict():
            return Format(kind="schema", schema=value)
        case _:
            raise wrong("format", '"json" or a JSON schema', value)


def _reasoning(top: Fields) -> Reasoning | None:
    value = top.rest.pop("think", None)
    match value:
        case None:
            return None
        case bool():
            return Reasoning(effort=OWN_EFFORT) if value else Reasoning(off=True)
        case str() if value:
            return Reasoning(effort=value)
        case _:
            raise wrong("think", "a boolean, or a string such as low, medium or high", value)


# --- turns -----------------------------------------------------------------------------------------------------------


def _prompted(top: Fields) -> list[Turn]:
    """/api/generate: a system prompt, and one turn, whose `at` tells it from a message. An empty prompt is no turn."""
    system, prompt = top.text("system"), top.text("prompt")
    turns = [Turn(role="system", parts=[Text(text=system, at="system")], at="system")] if system else []
    if not prompt:
        top.rest["prompt"] = ""
        return turns
    return [*turns, Turn(role="user", parts=[Text(text=prompt, at="prompt"), *_images(top)], at="prompt")]


def _turns(top: Fields) -> list[Turn]:
    items = top.items("messages")
    if not items:
        top.rest["messages"] = []
    calls, turns = _Calls(), list[Turn]()
    for is_results, run in groupby(enumerate(items), _is_result):
        told = list(run)
        if is_results:
            calls.awaited(len(told))
        turns += [_turn(Fields(value, at), calls, number) for number, (value, at) in told]
    return turns


def _is_result(item: tuple[int, tuple[Any, str]]) -> bool:
    _, (value, _) = item
    return as_object(value).get("role") == "tool"


def _turn(fields: Fields, calls: "_Calls", number: int) -> Turn:
    role = fields.need_text("role")
    match role:
        case "tool":
            return Turn(role="user", parts=[_result(fields, calls, number)], at=fields.at)
        case "assistant":
            thought = fields.text("thinking")
            parts: list[Part] = [Thinking(text=thought, at=fields.path("thinking"))] if thought else []
            parts += _content(fields)
            made = [_call(Fields(value, at)) for value, at in fields.items("tool_calls")]
            calls.made(made, number)
            return Turn(role=role, parts=[*parts, *made], at=fields.at, extra=fields.rest)
        case "system" | "user":
            return Turn(role=role, parts=_content(fields), at=fields.at, extra=fields.rest)
        case _:
            raise wrong_word(fields.path("role"), "system, user, assistant or tool", role)


def _content(fields: Fields) -> list[Part]:
    text = fields.text("content")
    return [*([Text(text=text, at=fields.path("content"))] if text else []), *_images(fields)]


def _images(fields: Fields) -> list[Image]:
    places = enumerate(fields.texts("images") or ())
    return [Image(source=inline(data), at=f"{fields.path('images')}[{place}]") for place, data in places]


def inline(data: str) -> Inline:
    """An image, in base64, with the media type that its first bytes show; "" if they show none."""
    data = standard_base64(data)
    media_type = media_type_of_base64(data)
    return Inline(data, media_type if media_type.startswith("image/") else "")


def _call(fields: Fields) -> ToolCall:
    inner = fields.need_inner("function")
    call = ToolCall(
        id=fields.text("id") or "",
        name=inner.need_name("name"),
        arguments=dump(inner.object("arguments") or {}).decode(),
        at=fields.at,
    )
    if type(inner.rest.get("index")) is int and len(inner.rest) == 1:  # its place, which Ollama tells in its answers
        fields.rest["function"] = Verbatim(inner.rest)
    else:
        fields.keep("function", inner)
    call.extra = fields.rest
    return call


def _result(fields: Fields, calls: "_Calls", number: int) -> ToolResult:
    told, parts = fields.text("tool_call_id"), _content(fields)
    named = {key: name for key in TOOL_NAMES if (name := fields.text(key)) is not None}
    call = calls.answered(told, next(iter(named.values()), None))
    # The call's own name need not be kept, as the call has it.
    fields.rest |= {key: name for key, name in named.items() if call is None or name != call.name}
    made = (told if call is None else call.id) or f"call_{number}"
    return ToolResult(id=made, parts=parts, at=fields.at, extra=fields.rest)


class _Calls:
    """The calls that still need a result, from as many of the last turns with calls as there are results for.

    Strands sends each block of an answer in a message of its own; LiteLLM sends the id with the result, but not with
    the call.
    """

    def __init__(self) -> None:
        self._nameless: set[str] = set()  # the ids that we gave to calls without one
        self._made: list[list[ToolCall]] = []  # the calls of each turn since the last results
        self._waiting: list[ToolCall] = []

    def made(self, calls: list[ToolCall], number: int) -> None:
        """Notes the calls of a message. `number`: the message's."""
        for place, call in enumerate(calls):
            if not call.id:
                call.id = f"call_{number}_{place}"
                self._nameless.add(call.id)
        if calls:
            self._made.append(calls)

    def awaited(self, results: int) -> None:
        """Notes that so many results follow."""
        if self._made:
            self._waiting = []
        while self._made and len(self._waiting) < results:
            self._waiting = self._made.pop() + self._waiting
        self._made = []

    def answered(self, told: str | None, name: str | None) -> ToolCall | None:
        """The call that a result answers: the one with its id, else the first with its name, else the first.

        The first counts only if the result has no name. If it has an id, only calls that came without one are left.
        """
        named = (call for call in self._waiting if call.id == told)
        nameless = (call for call in self._waiting if told is None or call.id in self._nameless)
        call = next(chain(named, (call for call in nameless if name in (None, call.name))), None)
        if call is not None:
            self._waiting.remove(call)
        return call
