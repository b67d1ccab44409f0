"""Why did an answer end, and which word tells the client?

Every wire has its own table of words. Compatible hosts pass on the word of the vendor behind them (Google's Chat
Completions: SAFETY), so a word that is not the wire's own is looked up among all vendors' words, in any case. A word
that no table knows is passed on as it came, since the SDKs accept any text there, and never counts as a normal end.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from proxy.canon import Reason, Stop

# The words of the dialects' tables in lower case, and those of single hosts: `eos` (Together), `model_length`
# (Mistral), `sensitive` (Zhipu).
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

# Stands in a wire's table for a reason that it has no word for: see word_for.
AS_IT_CAME = ""


def reason_of(word: str, own: Mapping[str, Reason]) -> Reason:
    """`own`: the words of the wire on which it came."""
    return own.get(word) or _ANYWHERE.get(word.lower(), "other")


def declined(stop: Stop, refused: bool) -> Stop:
    """The end, for a client whose wire has no blocks for refusals. Hosts that have them say `stop` after one."""
    return replace(stop, reason="refusal", raw="") if refused and stop.reason == "stop" else stop


def word_for(stop: Stop, words: Mapping[Reason, str]) -> str:
    """The client's word; where its wire has none, the provider's own; where that said nothing, ours."""
    return words[stop.reason] or stop.raw or stop.reason
