"""What does Anthropic call the things that every wire has, and what do we call them?

All tables of this wire are here, to be seen at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of
from proxy.ports import Bounds

NAME = "anthropic"
API = api_of(NAME)

BOUNDS = Bounds(
    output=(("max_tokens",),),
    own_tools=re.compile(r"custom|(?:bash|text_editor|computer|memory)_\d+"),
    state=("container", "mcp_servers", "thread"),
    tiers=(("speed",), ("service_tier",)),
)

CALL_IDS = re.compile(r"[a-zA-Z0-9_-]+")
CITES = ("url", "place")

# One of them stands beside each seal.
SEALS = (b'"signature"', b'"encrypted_content"', b'"redacted_thinking"')

# The events of a stream that say nothing yet: a text that begins is empty, and may go on with nothing.
SILENT = re.compile(
    rb'"type"\s*:\s*"(?:ping|message_start)"'
    rb'|"(?:content_block|delta)"\s*:\s*\{(?=[^{}]*"type"\s*:\s*"text(?:_delta)?")[^{}]*"text"\s*:\s*""'
)

# The most cache points that one request may have. (.../docs/en/build-with-claude/prompt-caching)
CACHE_POINTS = 4

# Without these the answer would be a different one, and no other wire can say them: only this wire ever gets them.
DEMANDS = {
    "mcp_servers",  # tools on Anthropic's side
    "container",  # state on Anthropic's side
    "thread",  # the earlier turns, on Anthropic's side
    "compaction",  # a summary instead of an answer
    "inference_geo",  # a promise about where the data goes, not ours to break
}


# What this wire's clients call the fields that receipts and refusals name, where it is not our own name.
# docs/decisions/0010-receipts.md
SPELLED = {
    "turns": "messages",
    "betas": "anthropic_beta",
    "stop": "stop_sequences",
    "format": "output_config.format",
    "format.schema": "output_config.format.schema",
    "user": "metadata.user_id",
    "parallel_tools": "tool_choice.disable_parallel_tool_use",
    "reasoning": "output_config.effort",
    "reasoning.effort": "output_config.effort",
    "reasoning.budget": "thinking.budget_tokens",
    "reasoning.summary": "thinking.display",
    "reasoning.adaptive": "thinking.type",
    "tool.schema": "tools.input_schema",
    "tool.strict": "tools.strict",
    "search.allowed": "tools.allowed_domains",
    "search.blocked": "tools.blocked_domains",
    "search.place": "tools.user_location",
    "search.most": "tools.max_uses",
    "cache": "cache_control",
    "document.name": "document.title",
    "document.cited": "document.citations",
    "found.cited": "search_result.citations",
    "thinking": "messages.thinking",
    "thinking.redacted": "redacted_thinking.data",
    "turn.place": "messages.role",
    "turn.trailing_space": "messages.content",
}

# Where a body has this key, these names differ.
SPELLED_BY = {
    "thinking": {"reasoning": "thinking"},
    "output_format": {"format": "output_format", "format.schema": "output_format.schema"},
}

# The tool that searches the web, with the date of its version behind it. The first version is for every model.
# (.../docs/en/agents-and-tools/tool-use/web-search-tool)
SEARCH = "web_search_"
FIRST_SEARCH = "web_search_20250305"

# The block of what a search has found.
FOUND = "web_search_tool_result"

# The tool that finds other tools, which are loaded only then (`defer_loading`), with its kind behind it.
# (.../docs/en/agents-and-tools/tool-use/tool-search-tool)
FINDER = "tool_search_tool_"

# The field in which a block says in words what it means.
# (.../docs/en/build-with-claude/compaction: what is before it need not be read again, and may be)
TOLD = {"tool_reference": "tool_name", "compaction": "content"}

# What an image may be. (.../docs/en/build-with-claude/vision)
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")

# Our words for a tier, and this wire's. (.../docs/en/api/service-tiers)
TIERS = {"auto": "auto", "default": "standard_only"}
TIERS_READ = {word: ours for ours, word in TIERS.items()}

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
    "compaction": "other",  # it has summed the chat up, and said nothing else
}

# The reverse. Anthropic's SDKs take any word, and its page asks clients to be ready for new ones.
STOP_WORDS: dict[Reason, str] = {reason: word for word, reason in REASONS.items()} | {
    "content_filter": "refusal",  # both say that policy withheld the answer
    "malformed_tool_call": AS_IT_CAME,  # "tool_use" would have the client look for a call that is not there
    "other": AS_IT_CAME,
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

# What an answer says beside its content and its tokens, and where: in message_start, in the `delta` of message_delta,
# and beside that `delta`. A whole answer has all of them at its top level.
START_FIELDS = ("diagnostics", "input_transformations")
DELTA_FIELDS = ("container", "stop_details")
END_FIELDS = ("context_management", "input_transformations")

# Fields that token counting has no use for, and refuses. (.../docs/en/api/messages-count-tokens)
UNCOUNTED = frozenset(
    "max_tokens stream metadata service_tier stop_sequences temperature top_p top_k container inference_geo".split()
)

# Canonical knobs that this wire has no word for. (It stores nothing.)
KNOBS_LACKED = knobs(
    "frequency_penalty presence_penalty logit_bias logprobs top_logprobs seed safety_identifier metadata store"
    " prompt_cache_key prompt_cache_retention obfuscation verbosity"
)
