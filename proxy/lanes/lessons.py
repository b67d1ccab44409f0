"""What do the words of a refusal tell about the host that refuses?

Either a field that it does not take, or the way in which it wants something said.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from proxy.canon import Request, Way

_READ = 2000  # characters of a message
_SHORT = 100  # likewise, of a value


class Knob(NamedTuple):
    """A field that was refused: with this value, or with any (None)."""

    field: str
    value: str | None = None


Lesson = Knob | Way
USAGE = Knob("ask_usage")

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
    "labels": "metadata",
    "requestmetadata": "metadata",
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
# "Penalty is not enabled for models/gemini-2.5-flash": so it is for every Gemini since 2.5.
_SEVERAL = {"penalty": ("frequency_penalty", "presence_penalty")}
_spelt = {
    field: re.compile(
        b'(?i)"(?:%s)"' % "|".join("_?".join(name) for name in _FIELDS if _FIELDS[name] == field).encode()
    ).search
    for field in set(_FIELDS.values())
}
_OTHER_LIMIT: dict[str, Way] = {"maxtokens": "max_completion_tokens", "maxcompletiontokens": "max_tokens"}
LIMITS = frozenset(_OTHER_LIMIT.values())

# Each names one field, or several with commas between them. Only the beginning of the message is read. It may quote the
# client's own words, so that one client can have a knob left out for others; but only a knob, and with a receipt.
_WITH_ANY_VALUE = (
    r"unsupported parameter(?:\(s\))?: ['`](?P<name>[\w.]+)['`]",  # OpenAI, Azure, NVIDIA
    r"(?:unrecognized|model incompatible) request arguments? supplied: (?P<name>[\w., ]{1,200})",  # OpenAI, Azure
    r"unknown (?:parameter|field|name):? [\"'`](?P<name>[\w.]+)[\"'`]",  # OpenAI, Google
    r"argument not supported on this model: (?P<name>\w+)",  # xAI, and the next one
    r"does not support parameter (?P<name>\w+)",
    r"[`'](?P<name>[\w.]+)[`'] (?:is|are) (?:not (?:supported|enabled)|deprecated)\b",  # Groq, Cerebras, Anthropic
    r"property ['`](?:body\.)?(?P<name>[\w.]+)['`] is unsupported",  # Groq, Cerebras
    r"extra inputs are not permitted, field: ['`](?P<name>[\w.]+)['`]",  # Fireworks
    r"\('body', '(?P<name>\w+)'\), 'msg': 'extra inputs are not permitted",  # vLLM, NVIDIA
    r"\bbody\.(?P<name>[\w.]+): extra inputs are not permitted",  # Mistral
    r"extra parameters \[(?P<name>[\w', ]{1,200})\] are not allowed",  # other vendors' models on Azure
    # Mistral, Google, Anthropic
    r"(?<![\w.])(?P<name>\w+) is not (?:enabled|supported) (?:for|by|on|with) (?:this model|models/)",
    r"(?P<name>adaptive thinking|thinking(?: budget| level)?) is not (?:enabled|supported)",  # Google, Anthropic
    r"does not support (?P<name>thinking|reasoning)\b",  # Ollama
    r"this model doesn't support the (?:toolConfig\.)?(?P<name>\w+)(?:\.\w+)? field",  # Bedrock, and the next one
    r"extraneous key \[(?P<name>\w+)\] is not permitted",
    r"`temperature` and `(?P<name>top_p)` cannot both be specified",  # Claude
    r"the '(?P<name>\w+)' parameter is only allowed when 'store' is enabled",  # OpenAI, Azure, of `metadata`
)
_WITH_THIS_VALUE = (
    r"unsupported value: '(?P<name>[\w.]+)' does not support",  # OpenAI, Azure
    r"invalid (?P<name>\w+): only [\d.]+ is allowed",  # Moonshot
    r"`(?P<name>[\w.]+)` must be one of",  # Groq
    r"the (?P<name>\w+) parameter does not support being set to",  # Alibaba
    r"does not support this (?P<name>\w+)",  # DeepSeek
    r"(?P<name>tool_choice) '\w+' is incompatible with",  # Moonshot
    r"invalid '(?P<name>\w+)(?:\.[\w.]+)?': (?:string|array) too long",  # OpenAI: Claude Code's `user`, a fifth `stop`
)
_IN_ANOTHER_WAY: dict[Way, str] = {
    "bridges": r"unexpected role 'user' after role 'tool'",  # Mistral
    "system": (  # DeepSeek, Mistral, Alibaba, Moonshot, DeepInfra
        r"unknown variant `developer`|input tag 'developer' found|developer is not one of"
        r"|unsupported role role_unspecified|input should be 'system', 'user', 'assistant'"
    ),
    "leads": (  # Qwen, Mistral, and MiniMax of two messages of the system's, or of a later one
        r"system message must be at the beginning|unexpected role 'system' after role '"
        r"|invalid chat setting|chat content has invalid message role: system"
    ),
    "schemas": (  # LM Studio; OpenAI and Groq, of messages without the word
        r"'response_format.type' must be 'json_schema'|messages'? must contain the word 'json'"
    ),
    "demands": r"invalid tool_choice type: 'object'",  # LM Studio
    "thoughtless": (  # Groq, Cerebras, Mistral, NVIDIA, and hosts that speak as OpenAI does
        r"property ['`](?:messages\.[\w.]+\.)?reasoning_(?:content|details)['`] is unsupported"
        r"|\bmessages\.[\w.]+\.reasoning_(?:content|details): extra inputs are not permitted"
        r"|'reasoning_(?:content|details)'\), 'msg': 'extra inputs are not permitted"
        r"|unknown (?:parameter|field):? ['`]messages[\w.\[\]]*\.reasoning_(?:content|details)['`]"
        r"|additional properties are not allowed \('reasoning_(?:content|details)' was unexpected"
    ),
    "combined": r"enable tool_config\.include_server_side_tool_invocations",  # Gemini's API, and not Vertex AI
    "uninstructed": r"developer instruction is not enabled",  # Google, of Gemma and of models that speak or draw
    "shapeless": r"json mode is not enabled",  # the same
    "offering": r"blocks must define tools",  # Anthropic, of `tool_use` and `tool_result`
    "strings": r"invalid type: sequence, expected a string|content must be a string|value must be a string",
}
_NOT_THIS_WAY: dict[Way, str] = {
    "max_tokens": "the limit's name",
    "max_completion_tokens": "the limit's name",
    "bridges": "a user's turn behind a tool's",
    "system": "the role developer",
    "leads": "a system prompt that is not the first turn",
    "thoughtless": "the thoughts of earlier answers",
    "combined": "a search beside functions, without the word for it",
    "uninstructed": "a system prompt",
    "shapeless": "an answer that must be JSON",
    "schemas": "JSON without a schema",
    "demands": "the choice of one tool",
    "offering": "calls of tools beside no tools",
    "strings": "content that is not a string",
}
_any_value = [re.compile(sentence, re.IGNORECASE).finditer for sentence in _WITH_ANY_VALUE]
_this_value = [re.compile(sentence, re.IGNORECASE).finditer for sentence in _WITH_THIS_VALUE]
_ways = [(way, re.compile(sentence, re.IGNORECASE).search) for way, sentence in _IN_ANOTHER_WAY.items()]


def lessons_in(message: str, request: Request) -> Iterator[Lesson]:
    """`request`: the one that was refused, as a lesson may be about a value of its."""
    message = message[:_READ]
    for find in _any_value:
        for name in _names(find(message)):
            if name in _OTHER_LIMIT:
                yield _OTHER_LIMIT[name]
            elif name in _FIELDS:
                yield Knob(_FIELDS[name])
            yield from map(Knob, _SEVERAL.get(name, ()))
    for find in _this_value:
        for name in _names(find(message)):
            if name in _FIELDS:
                yield Knob(_FIELDS[name], known_by(value_in(request, _FIELDS[name])))
    yield from (way for way, search in _ways if search(message))


def known_by(value: object) -> str:
    """What a value is remembered by, which is short."""
    text = repr(value)
    return text if len(text) <= _SHORT else sha256(text.encode(errors="replace")).hexdigest()


def spelt_in(body: bytes, field: str) -> bool:
    """Is the field in this body, however its wire spells it?"""
    return _spelt[field](body) is not None


def told(lesson: Lesson) -> str:
    """As the log has it, which repeats no value of a client's."""
    if isinstance(lesson, Knob):
        return lesson.field if lesson.value is None else f"this {lesson.field}"
    return _NOT_THIS_WAY[lesson]


def _names(found: Iterator[re.Match[str]]) -> Iterator[str]:
    """What is named, as `_FIELDS` spells it. Of a tool only `strict` is a knob, wherever the tool stands."""
    for match in found:
        for name in match["name"].lower().split(","):
            is_of_tool = name.startswith("tools.") and name.endswith(".strict")
            yield "strict" if is_of_tool else re.sub("[^a-z]", "", name)


def value_in(request: Request, field: str) -> Any:
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
