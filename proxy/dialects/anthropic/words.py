"""What are Anthropic's words for what every wire has, and ours for them?

The tables of this wire, where they can be seen at a glance.
"""

from proxy.canon import Reason

NAME = "anthropic"

# The wire demands max_tokens where others have a default. Every Claude model takes this many, and it is the longest
# answer of the oldest ones.
DEFAULT_MAX_TOKENS = 4096

# Tokens of thinking that stand for the efforts of other wires. 1,024 is the least that the wire takes; beyond 32k
# Anthropic advises batches.
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking
MIN_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}

# Without these the answer would be another one, and no other wire can say them: they cross to this wire or not at all.
DEMANDS = {
    "mcp_servers",  # tools on Anthropic's side
    "container",  # state on Anthropic's side
    "inference_geo",  # a promise about where the data goes, not ours to break
}

# What an image may be. (.../docs/en/build-with-claude/vision)
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")

# The tiers of other wires that this one has as well. (.../docs/en/api/service-tiers)
TIERS = {"auto": "auto", "default": "standard_only"}

# The words of `tool_choice.type`. (.../docs/en/agents-and-tools/tool-use/implement-tool-use)
MODE_WORDS = {"auto": "auto", "required": "any", "tool": "tool", "none": "none"}

# What `stop_reason` says. https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "pause_turn": "pause",
}

# The mirror, and the word that is nearest to what this wire has no word for.
STOP_WORDS: dict[Reason, str] = {reason: word for word, reason in REASONS.items()} | {
    "content_filter": "refusal",  # both say that policy withheld the answer
    "malformed_tool_call": "end_turn",  # "tool_use" would have the client look for a call that is not there
    "other": "end_turn",
}

# The `type` of an error, with its status. https://platform.claude.com/docs/en/api/errors
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

# Canonical knobs that this wire has no word for.
KNOBS_LACKED = (
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "safety_identifier",
    "metadata",
    "store",
    "prompt_cache_key",
    "verbosity",
    "modalities",
)
