"""What does Cohere call what every wire has, and what do we call it?

All tables of this wire, at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of

NAME = "cohere"
API = api_of(NAME)

# The events of a stream that say nothing of the answer yet: a text that begins is empty, and so may its pieces be.
SILENT = re.compile(
    rb'"type"\s*:\s*"message-start"'
    rb'|"type"\s*:\s*"content-start".*"content"\s*:\s*\{(?=[^{}]*"type"\s*:\s*"text")[^{}]*"text"\s*:\s*""'
    rb'|"type"\s*:\s*"content-delta".*"content"\s*:\s*\{\s*"text"\s*:\s*""\s*\}'
)

DOCUMENTS = "documents"  # what the answer must be grounded in
UNCITED = ("OFF", "DISABLED")  # with this `citation_options.mode`, as older and newer models have it

# The canonical fields, with the wire's name and the type that each must have.
# https://docs.cohere.com/reference/chat
KNOBS = {
    "max_tokens": ("max_tokens", "integer"),
    "temperature": ("temperature", "number"),
    "top_p": ("p", "number"),
    "top_k": ("k", "integer"),
    "seed": ("seed", "integer"),
    "frequency_penalty": ("frequency_penalty", "number"),
    "presence_penalty": ("presence_penalty", "number"),
    "logprobs": ("logprobs", "flag"),
    "stop": ("stop_sequences", "texts"),
}

# For receipts and refusals: our name for a field, and the one that this wire's clients use, if it is another.
# docs/decisions/0010-receipts.md
SPELLED = {name: key for name, (key, _) in KNOBS.items() if key != name} | {
    "turns": "messages",
    "format": "response_format",
    "format.schema": "response_format.json_schema",
    "reasoning": "thinking",
    "reasoning.effort": "thinking",
    "reasoning.budget": "thinking.token_budget",
    "tool.strict": "strict_tools",
    "image.detail": "image_url.detail",
    "text.citations": "messages.citations",
    "thinking": "messages.thinking",
    "tool_call.arguments": "tool_calls.function.arguments",
    "turn.place": "messages.role",
    "tool.schema": "tools.function.parameters",
    "found.cited": DOCUMENTS,
    "turn.trailing_space": "messages.content",
}

# The range of a knob on this wire. Other wires take more, and clients often say `top_p: 1`: then the nearest value is
# sent.
RANGES: dict[str, tuple[float, float]] = {
    "top_p": (0.01, 0.99),
    "top_k": (0, 500),
    "seed": (0, 2**64 - 1),
    "frequency_penalty": (0.0, 1.0),
    "presence_penalty": (0.0, 1.0),
}

MOST_STOPS = 5  # https://docs.cohere.com/reference/chat: "up to 5 strings"

# Canonical knobs that this wire lacks.
KNOBS_LACKED = knobs(
    "parallel_tools logit_bias betas top_logprobs user safety_identifier metadata store prompt_cache_key"
    " prompt_cache_retention obfuscation verbosity service_tier"
)

# The words of `tool_choice`; without it the choice is "auto".
MODE_WORDS = {"required": "REQUIRED", "none": "NONE"}

# The thinking budgets, in tokens, for the efforts of other wires. Beyond MOST_THINKING Cohere's models have no room to
# answer.
# https://docs.cohere.com/docs/reasoning
MOST_THINKING = 31000
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": MOST_THINKING, "max": MOST_THINKING}
OWN_EFFORT = "medium"  # stands for thinking without a budget, which leaves the effort to the model

# Models that do not think, but say what they plan before they call tools (`tool_plan`). Later models think, in blocks
# of `thinking`, and get those back as content of the assistant's message. https://docs.cohere.com/docs/models
plans = re.compile(
    r"(?:.*/)?(?:c4ai-)?(?:command(?:-light)?(?:-nightly)?$|command-r|command-a-(?:03|vision|translate)|aya)"
).match

# The words of `finish_reason` (https://docs.cohere.com/reference/chat). The two that begin with ERROR_ belong to the
# older API; ERROR and TIMEOUT are in faults.py.
REASONS: dict[str, Reason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_use",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "context",
}

FAILED = "ERROR"

# The mirror, in the words of the current API. ERROR says that the generation failed, and `error` says why: that is the
# word for an answer that was withheld (ERROR_TOXIC in the older API), and for a call that cannot be read. A paused
# answer has not failed: there is more to come, which MAX_TOKENS says.
STOP_WORDS: dict[Reason, str] = {
    "stop": "COMPLETE",
    "stop_sequence": "STOP_SEQUENCE",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "tool_use": "TOOL_CALL",
    "content_filter": FAILED,
    "refusal": FAILED,
    "pause": "MAX_TOKENS",
    "malformed_tool_call": FAILED,
    "other": AS_IT_CAME,  # the official SDK takes any word
}
