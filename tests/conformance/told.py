"""What does an answer say, in words that belong to no wire, and are two of them the same?

A plain reading of a recording makes a Told, and so does a client's SDK; `differences` names what they do not share. A
count that a wire has no word for is None, and is not compared.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

Json = dict[str, Any]

# `bedrock` is Converse; `bedrock_invoke` InvokeModel with a body of Anthropic's, and `bedrock_native` with one of any
# other family. `ollama` is /api/chat.
Wire = Literal[
    "openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "bedrock_invoke", "bedrock_native", "ollama",
    "ollama_generate", "cohere",
]  # fmt: skip
WIRES: tuple[Wire, ...] = get_args(Wire)

# Bodies that a provider takes beside those of a wire. It answers each in kind, and others never ask it with one.
BESIDE: Mapping[Wire, Wire] = {"bedrock_native": "bedrock_invoke", "ollama_generate": "ollama"}
CROSSING = tuple(wire for wire in WIRES if wire not in BESIDE)  # each with each

CLAUDES: set[Wire] = {"anthropic", "bedrock_invoke"}  # one vendor's words in two envelopes


def meet(client: Wire, provider: Wire) -> bool:
    """Does what the one asks ever lead to the other?"""
    return client == provider or (provider in CROSSING and BESIDE.get(client) != provider)


class Call(NamedTuple):
    """A tool call. Arguments as JSON; what is none, as the text that it is."""

    name: str
    arguments: Any
    id: str = ""


class Used(NamedTuple):
    """Tokens. `read` has the cached ones and those written to a cache in it, `said` the reasoning."""

    read: int | None = None
    cached: int | None = None
    written: int | None = None
    said: int | None = None
    reasoning: int | None = None


class Told(NamedTuple):
    """`apart` names what is in the answer and has no place in most wires: sound, images, server tools, choices.
    `declined`: the model refused, in a place of its own for that.
    """

    text: str
    thinking: str
    calls: list[Call]
    finish: str  # in the wire's own words
    used: Used
    apart: frozenset[str] = frozenset()
    declined: bool = False


def arguments(said: object) -> Any:
    """Arguments that may be JSON in a string, or be there already."""
    if not isinstance(said, str):
        return {} if said is None else said
    try:
        return json.loads(said or "{}")
    except ValueError:
        return said


# What each wire's words for an end mean. From the vendors' pages:
# https://platform.openai.com/docs/api-reference/chat/object, .../responses/object,
# https://docs.anthropic.com/en/api/handling-stop-reasons, https://ai.google.dev/api/generate-content#FinishReason,
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, https://docs.cohere.com/reference/chat
# https://github.com/ollama/ollama/blob/main/docs/api.md
_FILTERED = (
    "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION"
    " MODEL_ARMOR JAILBREAK".split()
)
ENDS: dict[Wire, dict[str, str]] = {
    "openai_chat": {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool",
        "function_call": "tool",
        "content_filter": "filter",
    },
    "openai_responses": {"completed": "stop", "max_output_tokens": "length", "content_filter": "filter"},
    "anthropic": {
        "end_turn": "stop",
        "stop_sequence": "sequence",
        "max_tokens": "length",
        "tool_use": "tool",
        "refusal": "filter",
        "pause_turn": "pause",
        "model_context_window_exceeded": "length",
    },
    "gemini": {"STOP": "stop", "MAX_TOKENS": "length", **dict.fromkeys(_FILTERED, "filter")},
    "bedrock": {
        "end_turn": "stop",
        "stop_sequence": "sequence",
        "max_tokens": "length",
        "tool_use": "tool",
        "guardrail_intervened": "filter",
        "content_filtered": "filter",
        "model_context_window_exceeded": "length",
    },
    "ollama": {"stop": "stop", "length": "length", "content_filter": "filter"},
    "cohere": {"COMPLETE": "stop", "STOP_SEQUENCE": "sequence", "MAX_TOKENS": "length", "TOOL_CALL": "tool"},
}
ENDS |= {"bedrock_invoke": ENDS["anthropic"], "ollama_generate": ENDS["ollama"]}

# Wires that have no word of their own for an end that others name.
_SAME_WORD: dict[str, set[Wire]] = {
    "tool": {"openai_responses", "gemini", "ollama", "ollama_generate"},
    "sequence": {"openai_chat", "openai_responses", "gemini", "ollama", "ollama_generate"},
}

# Wires that say in a place of its own that the model declined; on the others the finish reason may.
_SAY_DECLINED: set[Wire] = {"openai_chat", "openai_responses"}


def expected_end(provider: Wire, told: Told, client: Wire) -> str | None:
    """What the client's word must mean; None where the provider's own word is unknown, and any will do.

    Hosts say "stop" of a call that was forced, and some wires of every call; Anthropic's says what it means. An answer
    that was suspended, or withheld on a wire without a word for that, must not read as finished: "unfinished".
    """
    end = ENDS[provider].get(told.finish)
    if told.calls and end == "stop" and provider not in CLAUDES:
        end = "tool"
    if end is None:
        return None
    if client in _SAME_WORD.get(end, ()):
        return "stop"
    if end == "pause" or (end == "filter" and client in ("ollama", "ollama_generate", "cohere")):
        return "unfinished"
    return end


def end_differs(provider: Wire, expected: Told, client: Wire, got: Told) -> bool:
    if client == provider:
        return got.finish != expected.finish
    wanted, came = expected_end(provider, expected, client), ENDS[client].get(got.finish)
    if wanted == "unfinished":
        return came in ("stop", "tool", "sequence")
    if expected.declined and client not in _SAY_DECLINED:
        return came not in ("stop", "filter")
    return wanted is not None and came != wanted


def differences(provider: Wire, expected: Told, client: Wire, got: Told) -> list[str]:
    """A line for each thing that is not the same."""
    found = []
    if expected.text != got.text:
        found.append(f"text: {_where(expected.text, got.text)}")
    if _squeezed(expected.thinking) != _squeezed(got.thinking):
        found.append(f"thinking: {_where(expected.thinking, got.thinking)}")
    found += _call_differences(expected.calls, got.calls)
    if end_differs(provider, expected, client, got):
        found.append(f"finish: {expected.finish!r} became {got.finish!r}")
    for name, wanted, came in zip(Used._fields, expected.used, got.used, strict=True):
        if wanted is not None and came is not None and wanted != came:
            found.append(f"usage.{name}: {wanted} became {came}")
    return found


def _call_differences(expected: list[Call], got: list[Call]) -> list[str]:
    if [call.name for call in expected] != [call.name for call in got]:
        return [f"calls: {[call.name for call in expected]} became {[call.name for call in got]}"]
    pairs = zip(expected, got, strict=True)
    found = [
        f"arguments of {wanted.name}: {wanted.arguments!r:.200} became {came.arguments!r:.200}"
        for wanted, came in pairs
        if not _same_arguments(wanted.arguments, came.arguments)
    ]
    ids = [call.id for call in got if call.id]
    if len(set(ids)) != len(ids) and len({call.id for call in expected if call.id}) == len(expected):
        found.append(f"two calls have one id: {ids}")
    return found


def _same_arguments(expected: Any, got: Any) -> bool:
    """Free text may be wrapped in an object, on a wire whose arguments are one."""
    if isinstance(expected, str) and isinstance(got, dict):
        return expected in got.values()
    return bool(expected == got)


def _squeezed(text: str) -> str:
    """Summaries of one thought come in pieces, with or without a line between them."""
    return "".join(text.split())


def _where(expected: str, got: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), min(len(expected), len(got)))
    return f"from character {at} on {expected[at : at + 60]!r} became {got[at : at + 60]!r}"
