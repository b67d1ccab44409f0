"""Why did an answer end, and which word tells a client so?

Every wire has a table of its own words. Compatible hosts pass on what the vendor behind them says (Google's host of
Chat Completions: SAFETY), so a word that is not the wire's own is looked for among those of all vendors, in any case.
What no table knows is no normal end: it goes on as it came, since the SDKs take any text there.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from proxy.canon import Reason, Stop

# Each vendor's own words are in its dialect's tables; here they stand in lower case, with those of hosts beside them:
# `eos` (Together), `model_length` (Mistral), `sensitive` (Zhipu).
_ANYWHERE: dict[str, Reason] = {
    "stop": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "completed": "stop",
    "eos": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_use",
    "tool_call": "tool_use",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "language": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
    "malformed_function_call": "malformed_tool_call",
    "malformed_tool_use": "malformed_tool_call",
}

# What a wire has no word for: see word_for.
AS_IT_CAME = ""


def reason_of(word: str, own: Mapping[str, Reason]) -> Reason:
    """`own`: the words of the wire that it came on."""
    return own.get(word) or _ANYWHERE.get(word.lower(), "other")


def declined(stop: Stop, refused: bool) -> Stop:
    """The end of an answer, on a wire that marks no block as a refusal. Hosts that mark one say `stop` behind it."""
    return replace(stop, reason="refusal", raw="") if refused and stop.reason == "stop" else stop


def word_for(stop: Stop, words: Mapping[Reason, str]) -> str:
    """The client's word; where its wire has none, the provider's own, and ours where that is silent."""
    return words[stop.reason] or stop.raw or stop.reason
