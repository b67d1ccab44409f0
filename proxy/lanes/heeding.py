"""What does a host refuse, by its own words, that a wire's other hosts take; and is it asked again without that?

Hosts that speak one wire differ in what they take beside the messages. Mistral refuses `user`, Cerebras `store`, most
of xAI's models an effort, and Azure `max_tokens` if the model that thinks is deployed as `prod`. A client of another
wire cannot know that, and no list of hosts and models keeps up with it. But the refusal comes at once, costs nothing,
and names what it is about. So that is left out like any knob that a wire lacks, with a receipt, and the request is sent
again; or it is said in the way that the host asks for. It is remembered for an hour, by model.

Content, tools and the answer's shape are never left out. A client of the host's own wire gets the host's own words, but
where it says `developer`: many hosts know only `system`, which means the same. Nor does it hear that a stream cannot be
asked for its usage, if it is we who have asked.
"""

import logging
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from proxy.canon import Request, ToolChoice, Turn, Way
from proxy.errors import UpstreamError

log = logging.getLogger("pillion")

LIFE = 3600.0  # seconds
REMEMBERED = 256  # models; clients choose their names
LESSONS = 64  # of a model; clients choose values, too
_READ = 2000  # characters of a message


class _Thing(NamedTuple):
    """A field that was refused: with this value, or with any (None)."""

    field: str
    value: str | None = None


_DEVELOPER = b'"developer"'
_USAGE = _Thing("ask_usage")
_Place = tuple[str, str, str]  # provider, model, wire
_Lesson = _Thing | Way

# Our fields by what hosts call them, without capitals and anything but letters.
_FIELDS = {
    "temperature": "temperature",
    "topp": "top_p",
    "topk": "top_k",
    "seed": "seed",
    "stop": "stop",
    "stopsequences": "stop",
    "frequencypenalty": "frequency_penalty",
    "presencepenalty": "presence_penalty",
    "logitbias": "logit_bias",
    "logprobs": "logprobs",
    "toplogprobs": "top_logprobs",
    "user": "user",
    "safetyidentifier": "safety_identifier",
    "metadata": "metadata",
    "store": "store",
    "promptcachekey": "prompt_cache_key",
    "promptcacheretention": "prompt_cache_retention",
    "verbosity": "verbosity",
    "textverbosity": "verbosity",
    "servicetier": "service_tier",
    "reasoning": "reasoning",
    "reasoningeffort": "reasoning",
    "thinking": "reasoning",
    "thinkinglevel": "reasoning",
    "thinkingbudget": "reasoning",
    "reasoningconfig": "reasoning",
    "adaptivethinking": "reasoning",
    "paralleltoolcalls": "parallel_tools",
    "toolchoice": "tool_choice",
    "strict": "tool.strict",
    "streamoptions": "ask_usage",
    "streamoptionsincludeusage": "ask_usage",
}
_OTHER_LIMIT: dict[str, Way] = {"maxtokens": "max_completion_tokens", "maxcompletiontokens": "max_tokens"}

# Each names one field, or several with commas between them. Only the beginning of the message is read. It may quote the
# client's own words, so that one client can have a knob left out for others; but only a knob, and with a receipt.
_WITH_ANY_VALUE = (
    r"unsupported parameter(?:\(s\))?: ['`](?P<name>[\w.]+)['`]",  # OpenAI, Azure, NVIDIA
    r"unrecognized request arguments? supplied: (?P<name>[\w., ]{1,200})",  # OpenAI, Azure
    r"unknown (?:parameter|field|name):? [\"'`](?P<name>[\w.]+)[\"'`]",  # OpenAI, Google
    r"argument not supported on this model: (?P<name>\w+)",  # xAI, and the next one
    r"does not support parameter (?P<name>\w+)",
    r"[`'](?P<name>[\w.]+)[`'] (?:is|are) (?:not (?:supported|enabled)|deprecated)\b",  # Groq, Cerebras, Anthropic
    r"property ['`](?:body\.)?(?P<name>[\w.]+)['`] is unsupported",  # Groq, Cerebras
    r"extra inputs are not permitted, field: ['`](?P<name>[\w.]+)['`]",  # Fireworks
    r"\('body', '(?P<name>\w+)'\), 'msg': 'extra inputs are not permitted",  # vLLM, NVIDIA
    r"\bbody\.(?P<name>[\w.]+): extra inputs are not permitted",  # Mistral
    r"extra parameters \[(?P<name>[\w', ]{1,200})\] are not allowed",  # other vendors' models on Azure
    r"(?<![\w.])(?P<name>\w+) is not (?:enabled|supported) (?:for|by|on|with) this model",  # Mistral, Google, Anthropic
    r"(?P<name>adaptive thinking|thinking(?: budget| level)?) is not (?:enabled|supported)",  # Google, Anthropic
    r"does not support (?P<name>thinking|reasoning)\b",  # Ollama
    r"this model doesn't support the (?:toolConfig\.)?(?P<name>\w+)(?:\.\w+)? field",  # Bedrock, and the next one
    r"extraneous key \[(?P<name>\w+)\] is not permitted",
    r"`temperature` and `(?P<name>top_p)` cannot both be specified",  # Claude
)
_WITH_THIS_VALUE = (
    r"unsupported value: '(?P<name>[\w.]+)' does not support",  # OpenAI, Azure
    r"invalid (?P<name>\w+): only [\d.]+ is allowed",  # Moonshot
    r"`(?P<name>[\w.]+)` must be one of",  # Groq
    r"the (?P<name>\w+) parameter does not support being set to",  # Alibaba
    r"does not support this (?P<name>\w+)",  # DeepSeek
    r"(?P<name>tool_choice) '\w+' is incompatible with",  # Moonshot
)
_IN_ANOTHER_WAY: dict[Way, str] = {
    "bridges": r"unexpected role 'user' after role 'tool'",  # Mistral
    "system": (  # DeepSeek, Mistral, Alibaba, Moonshot, DeepInfra
        r"unknown variant `developer`|input tag 'developer' found|developer is not one of"
        r"|unsupported role role_unspecified|input should be 'system', 'user', 'assistant'"
    ),
    "leads": r"system message must be at the beginning|unexpected role 'system' after role '",  # Qwen, Mistral
    "schemas": r"'response_format.type' must be 'json_schema'",  # LM Studio, and the next one
    "demands": r"invalid tool_choice type: 'object'",
    "strings": r"invalid type: sequence, expected a string|content must be a string|value must be a string",
}
_NOT_THIS_WAY: dict[Way, str] = {
    "max_tokens": "the limit's name",
    "max_completion_tokens": "the limit's name",
    "bridges": "a user's turn behind a tool's",
    "system": "the role developer",
    "leads": "a system prompt that is not the first turn",
    "schemas": "JSON without a schema",
    "demands": "the choice of one tool",
    "strings": "content that is not a string",
}
_any_value = [re.compile(sentence, re.IGNORECASE).finditer for sentence in _WITH_ANY_VALUE]
_this_value = [re.compile(sentence, re.IGNORECASE).finditer for sentence in _WITH_THIS_VALUE]
_ways = [(way, re.compile(sentence, re.IGNORECASE).search) for way, sentence in _IN_ANOTHER_WAY.items()]


class Heeding:
    def __init__(self) -> None:
        self.lessons: dict[_Place, dict[_Lesson, float]] = {}  # and until when each is believed

    def fit(self, request: Request, provider: str, wire: str, own: bool = False) -> list[str]:
        """Make it one that the host takes, as far as that is known; the receipt.

        `own`: it came on this wire. Then it only gets the host's name for the developer, as that says the same, and is
        not asked for its usage by us.
        """
        if not (lessons := self.lessons.get((provider, request.model, wire))):
            return []  # nearly always
        now = time.monotonic()
        learnt = [lesson for lesson, until in lessons.items() if until > now]
        if "system" in learnt:
            request.turns = list(map(_by_the_system, request.turns))
        if own:
            learnt = [lesson for lesson in learnt if _is_ours(request, lesson)]
        request.ways = frozenset(lesson for lesson in learnt if isinstance(lesson, str))
        return [name for lesson in learnt if isinstance(lesson, _Thing) for name in _left_out(request, lesson)]

    def heard(self, error: UpstreamError, request: Request, provider: str, wire: str, own: bool = False) -> bool:
        """Is there something new in this refusal, so that the request may be sent again? It is what was sent. `own`: as
        of `fit`.
        """
        if error.upstream_status not in (400, 422):
            return False
        new = [lesson for lesson in _lessons_in(error.message[:_READ], request) if _says(request, lesson)]
        if own:
            new = [lesson for lesson in new if _is_ours(request, lesson)]
        if not new:
            return False
        place = provider, request.model, wire
        if place not in self.lessons and len(self.lessons) >= REMEMBERED:
            self.lessons.clear()
        lessons = self.lessons.setdefault(place, {})
        lessons.update(dict.fromkeys(new, time.monotonic() + LIFE))
        for oldest in list(lessons)[:-LESSONS]:
            del lessons[oldest]
        log.info(
            "%s refused a request for %s because of %s: it is asked again without that, and so are others for an hour",
            provider, request.model, ", ".join(sorted(map(_told, set(new)))),
            extra={"event": "heeded"},
        )  # fmt: skip
        return True

    def wants_system(self, provider: str, model: str, wire: str, body: bytes) -> bool:
        """Is there a developer in this body, at a host that is known to have none?"""
        lessons = self.lessons.get((provider, model, wire))
        return lessons is not None and lessons.get("system", 0.0) > time.monotonic() and _DEVELOPER in body

    def minds_developer(self, error: UpstreamError, provider: str, model: str, wire: str, body: bytes) -> bool:
        """Does it refuse the developer in this body, so that the request may be sent with another name for that?"""
        asked = Request(wire=wire, model=model, turns=[])
        is_meant = _DEVELOPER in body and "system" in _lessons_in(error.message[:_READ], asked)
        return is_meant and self.heard(error, asked, provider, wire)

    def asks_usage(self, provider: str, model: str, wire: str) -> bool:
        """May a stream that passes through be asked for its usage, as far as is known?"""
        lessons = self.lessons.get((provider, model, wire))
        return lessons is None or lessons.get(_USAGE, 0.0) <= time.monotonic()

    def minds_usage(self, error: UpstreamError, provider: str, model: str, wire: str) -> bool:
        """Does it refuse to be asked for the usage? We ask for that: the client has not said it."""
        asked = Request(wire=wire, model=model, turns=[], stream=True)
        return _USAGE in _lessons_in(error.message[:_READ], asked) and self.heard(error, asked, provider, wire)


def _lessons_in(message: str, request: Request) -> Iterator[_Lesson]:
    for find in _any_value:
        for name in _names(find(message)):
            if name in _OTHER_LIMIT:
                yield _OTHER_LIMIT[name]
            elif name in _FIELDS:
                yield _Thing(_FIELDS[name])
    for find in _this_value:
        for name in _names(find(message)):
            if name in _FIELDS:
                yield _Thing(_FIELDS[name], repr(_value(request, _FIELDS[name])))
    yield from (way for way, search in _ways if search(message))


def _told(lesson: _Lesson) -> str:
    """As the log has it, which repeats no value of a client's."""
    if isinstance(lesson, _Thing):
        return lesson.field if lesson.value is None else f"this {lesson.field}"
    return _NOT_THIS_WAY[lesson]


def _names(found: Iterator[re.Match[str]]) -> Iterator[str]:
    """What is named, as `_FIELDS` spells it. Of a tool only `strict` is a knob, wherever the tool stands."""
    for match in found:
        for name in match["name"].lower().split(","):
            is_of_tool = name.startswith("tools.") and name.endswith(".strict")
            yield "strict" if is_of_tool else re.sub("[^a-z]", "", name)


def _says(request: Request, lesson: _Lesson) -> bool:
    """Does the request, as it was sent, still say that, so that it may say less?"""
    if not isinstance(lesson, _Thing):
        is_limit = lesson in _OTHER_LIMIT.values()
        return lesson not in request.ways and not (is_limit and request.ways & set(_OTHER_LIMIT.values()))
    return _value(request, lesson.field) is not None


def _is_ours(request: Request, lesson: _Lesson) -> bool:
    """May that be heeded even where the request came on the host's own wire?"""
    if lesson == "system":
        return any(turn.role == "developer" for turn in request.turns)
    return lesson == _USAGE and not request.include_usage


def _by_the_system(turn: Turn) -> Turn:
    return replace(turn, role="system") if turn.role == "developer" else turn


def _value(request: Request, field: str) -> Any:
    """What the request says there; None if that is nothing, or cannot be left out."""
    match field:
        case "ask_usage":
            return (request.stream and request.ask_usage) or None
        case "tool.strict":
            return next((tool.strict for tool in request.tools if tool.strict is not None), None)
        case "tool_choice" if request.tool_choice is not None and request.tool_choice.mode == "none":
            return None  # without it, tools may be called
        case _:
            return getattr(request, field)


def _left_out(request: Request, thing: _Thing) -> list[str]:
    """Take it out of the request; the receipt."""
    field, value = thing.field, _value(request, thing.field)
    if value is None or thing.value not in (None, repr(value)):
        return []
    match field:
        case "ask_usage":
            request.ask_usage = False
            return []
        case "tool.strict":
            request.tools = [replace(tool, strict=None) for tool in request.tools]
        case "logprobs" if request.top_logprobs is not None:  # which has no meaning without
            request.logprobs = request.top_logprobs = None
            return [request.name_of("logprobs"), request.name_of("top_logprobs")]
        case _:
            setattr(request, field, None)
    is_operators = field == "temperature" and request.hinted
    is_default = value == ToolChoice("auto")
    return [] if is_operators or is_default else [request.name_of(field)]
