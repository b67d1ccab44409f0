"""What are Anthropic's words for what every wire has, and ours for them?

The tables of this wire, where they can be seen at a glance."""

import json
from typing import Any, Final, TypeVar

import msgspec

from proxy.canon import Reason
from proxy.errors import BadRequest

T = TypeVar("T")
NAME: Final = "anthropic"

# The wire demands max_tokens where others have a default. Every Claude model takes this many, and it is the longest
# answer of the oldest ones.
DEFAULT_MAX_TOKENS = 4096

# Tokens of thinking that stand for the efforts of other wires. 1,024 is the least that the wire takes; beyond 32k
# Anthropic advises batches.
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking
MIN_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
DEMANDS = ("mcp_servers", "container", "inference_geo")
FIELDS = frozenset(
    "model max_tokens messages system tools tool_choice stream temperature top_p top_k stop_sequences metadata thinking"
    " service_tier output_format output_config".split()
)

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "pause_turn": "pause",
}
STOP_WORDS: dict[Reason, str] = {reason: word for word, reason in REASONS.items()} | {
    "content_filter": "refusal",  # both say that policy withheld the answer
    "malformed_tool_call": "end_turn",  # "tool_use" would have the client look for a call that is not there
    "other": "end_turn",
}

# https://platform.claude.com/docs/en/api/errors
ERROR_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
ERROR_WORDS = {status: word for word, status in ERROR_STATUS.items()}
_MODES = {"auto": "auto", "any": "required", "tool": "tool", "none": "none"}
MODE_WORDS = {mode: word for word, mode in _MODES.items()}
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def dump(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair: JSON can spell it, UTF-8 cannot
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


OBJECT = msgspec.json.Decoder(dict[str, Any])
