"""What are Cohere's words for what every wire has, and ours for them?

The tables of this wire, where they can be seen at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.endings import AS_IT_CAME

NAME = "cohere"

# The events of a stream that say nothing yet.
SILENT = re.compile(rb'"type"\s*:\s*"message-start"')

# Without these the answer would be another one, and no other wire can say them: they cross to this wire or not at all.
DEMANDS = {"documents"}  # what the answer is to be grounded in

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

# What this wire's clients call what receipts and refusals name, where they do not call it as we do.
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
    "turn.place": "messages.role",
    "turn.trailing_space": "messages.content",
}

# What the wire takes of a knob. Other wires take more, and clients like to say `top_p: 1`: then the nearest is sent.
RANGES: dict[str, tuple[float, float]] = {
    "top_p": (0.01, 0.99),
    "top_k": (0, 500),
    "frequency_penalty": (0.0, 1.0),
    "presence_penalty": (0.0, 1.0),
}

# Canonical knobs that this wire has no word for, and what each may ask for because it is so anyway.
KNOBS_LACKED: dict[str, tuple[object, ...]] = {
    "parallel_tools": (True,),
    "logit_bias": ({},),
    "betas": ([],),
    "top_logprobs": (0,),
    "user": (),
    "safety_identifier": (),
    "metadata": ({},),
    "store": (False,),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "obfuscation": (False,),
    "verbosity": ("medium",),  # OpenAI's own default
    "service_tier": ("auto", "default"),
}

# The words of `tool_choice`; silence is "auto".
MODE_WORDS = {"required": "REQUIRED", "none": "NONE"}

# Tokens of thinking that stand for the efforts of other wires. Beyond the most Cohere's models have no room to answer.
# https://docs.cohere.com/docs/reasoning
MOST_THINKING = 31000
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": MOST_THINKING, "max": MOST_THINKING}
OWN_EFFORT = "medium"  # stands for thinking without a budget, which leaves the measure to the model

# Models that do not think, but say what they plan before they call tools (`tool_plan`). Those that came later think, in
# blocks of `thinking`, and get those back as an assistant's content. https://docs.cohere.com/docs/models
plans = re.compile(
    r"(?:.*/)?(?:c4ai-)?(?:command(?:-light)?(?:-nightly)?$|command-r|command-a-(?:03|vision|translate)|aya)"
).match

# What `finish_reason` says (https://docs.cohere.com/reference/chat). The two that begin with ERROR_ are of the older
# API; ERROR and TIMEOUT are in faults.py.
REASONS: dict[str, Reason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_use",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "context",
}

FAILED = "ERROR"

# The mirror, in the words of today's API. ERROR says that the generation failed, and its `error` why: that is the word
# for an answer that was withheld (the older API: ERROR_TOXIC), and for a call that nobody can read. What was suspended
# has not failed: there is more to come, as MAX_TOKENS says.
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
