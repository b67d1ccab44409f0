"""What are the words of the Responses API for what every wire has, and ours for them?

The tables of this wire, where they can be seen at a glance.
"""

import re

from proxy.canon import Reason
from proxy.errors import Kind
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.fields import Object

NAME = "openai_responses"

# The events of a stream that say nothing yet.
SILENT = re.compile(rb'"type"\s*:\s*"(?:response\.(?:created|queued|in_progress)|keepalive)"')

SIGN = re.compile(rb'"object"\s*:\s*"response"|"type"\s*:\s*"response\.')

# --- the request (https://platform.openai.com/docs/api-reference/responses/create) -----------------------------------

# Without these the answer would be another one, and no other wire can say them: they name what this provider alone
# remembers, or leave the answer with it. A `tool_choice` and a `text` that the canon has no form for join them.
DEMANDS = {"previous_response_id", "conversation", "prompt", "background"}

# Where one of these is given, the chat may lie with the provider, and `input` may be silent.
REMEMBERED = ("previous_response_id", "conversation", "prompt")

# What silence says as well: said aloud, it is no more than that, and no other wire need be told.
SILENCE: Object = {"truncation": "disabled", "background": False}

# Every other unknown field (`truncation`, `max_tool_calls`, `context_management`, ...) tunes or keeps the books, and
# goes to `extra`; so does what is left of `text`, `reasoning`, `stream_options` and `include`.

# The canonical fields that this wire has as well: its own name for each, and the type that it must have.
KNOBS = {
    "temperature": ("temperature", "number"),
    "top_p": ("top_p", "number"),
    "top_logprobs": ("top_logprobs", "integer"),
    "max_tokens": ("max_output_tokens", "integer"),
    "parallel_tools": ("parallel_tool_calls", "flag"),
    "user": ("user", "text"),
    "safety_identifier": ("safety_identifier", "text"),
    "store": ("store", "flag"),
    "prompt_cache_key": ("prompt_cache_key", "text"),
    "prompt_cache_retention": ("prompt_cache_retention", "text"),
    "service_tier": ("service_tier", "text"),
}

# What this wire's clients call what receipts and refusals name, where they do not call it as we do.
# docs/decisions/0010-receipts.md
SPELLED = {
    "turns": "input",
    "format": "text.format",
    "format.name": "text.format.name",
    "format.description": "text.format.description",
    "format.schema": "text.format.schema",
    "verbosity": "text.verbosity",
    "max_tokens": "max_output_tokens",
    "parallel_tools": "parallel_tool_calls",
    "obfuscation": "stream_options.include_obfuscation",
    "logprobs": "include",
    "tool.strict": "tools.strict",
    "tool.form": "tools.format",
    "image.detail": "input_image.detail",
    "document.name": "input_file.filename",
    "text.citations": "output_text.annotations",
    "thinking": "input.reasoning",
    "thinking.signature": "reasoning.encrypted_content",
    "thinking.redacted": "reasoning.encrypted_content",
    "text.signature": "reasoning.encrypted_content",
    "tool_call.signature": "reasoning.encrypted_content",
    "turn.place": "input.role",
    "turn.trailing_space": "input.content",
}

# Canonical knobs that this wire has no word for.
KNOBS_LACKED: dict[str, tuple[object, ...]] = {
    "top_k": (),
    "seed": (),
    "stop": ([],),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "betas": ([],),
}

# What `include` asks for that every wire has: the seals of its thoughts, which the others hand out unasked, and
# logprobs. The rest of the list shows more of server tools, and goes to `extra`.
SEALS = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

TIERS = {"auto", "default", "flex", "priority", "scale"}

# The effort that a budget of thinking stands for: up to so many tokens. Beyond, it is "high".
EFFORTS = ((2048, "low"), (8192, "medium"))

MIN_TOKENS = 16  # OpenAI refuses a smaller `max_output_tokens`

# --- items -----------------------------------------------------------------------------------------------------------

# An item that offers more tools from where it stands on, and in `extra` that a tool, or a turn, is of such a one.
ADDED = "additional_tools"

# The kinds of call that the canon knows, and where each has its arguments.
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}

# The known keys of an item and of its parts; the others are `extra`. An item's `id` names what is said whole right
# there (this wire takes items without), and its `status` is nearly always "completed": other wires could only receipt
# the two, in every turn of an agent's loop, so that neither goes on. (The `id` of a reasoning item does.)
# (Bedrock repeats an event's `item_id` and `output_index` within the call.)
OF_CALL = {"type", "id", "call_id", "name", "arguments", "input", "status", "item_id", "output_index"}
CALL_MARKS = ("namespace", "caller", "async")  # what a call in an answer may say besides; SDKs know no other
OF_MESSAGE = {"type", "id", "role", "content", "status"}

SENT = "thoughts"  # in the `extra` of a Thinking: how its client spelled the text, where we would not spell it so

DRAWING = "image_generation_call"  # the item of a server's tool whose work is the answer itself

# What a client did, or was asked and answers: an item of these endings stands in a user's turn.
CLIENT_SIDE = ("_output", "_response")

# --- the answer ------------------------------------------------------------------------------------------------------

# Why an answer is incomplete (`incomplete_details.reason`).
REASONS: dict[str, Reason] = {"max_output_tokens": "length", "content_filter": "content_filter"}

COMPLETE = "completed"

# The mirror: COMPLETE, or the reason why the answer is not; OpenAI's SDKs take any word there.
STOP_WORDS: dict[Reason, str] = {
    "stop": COMPLETE,
    "stop_sequence": COMPLETE,
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "tool_use": COMPLETE,
    "content_filter": "content_filter",
    "refusal": "content_filter",  # a model that declines in words has a part for that, and its answer is complete
    "pause": "max_output_tokens",  # the answer is not all there, and only this says so
    "malformed_tool_call": AS_IT_CAME,
    "other": AS_IT_CAME,
}

# What a response repeats of its request, and what it says where the request was silent.
ECHOED: Object = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}

# --- errors ----------------------------------------------------------------------------------------------------------

# In an error's code or type, with the status that it stands for: most errors of this wire come under 200.
ERROR_STATUS = (
    ("quota", 429),
    ("billing", 429),
    ("rate_limit", 429),
    ("too_many", 429),
    ("overloaded", 503),
    ("slow_down", 503),
    ("api_key", 401),
    ("authentication", 401),
    ("permission", 403),
    ("not_found", 404),
    ("timeout", 504),
    ("server_error", 500),
    ("context_length", 400),
    ("image", 400),
    ("policy", 400),
    ("content_filter", 400),
    ("invalid", 400),
)

# The `type` of an error, as OpenAI's SDKs know it; "server_error" where none of these is meant.
ERROR_WORDS: dict[Kind, str] = {
    "authentication": "authentication_error",
    "rate_limit": "rate_limit_error",
    "quota_exceeded": "insufficient_quota",
    "invalid_request": "invalid_request_error",
    "timeout": "timeout_error",
}

# The `code` of a stream's error, where clients look for one of few words (Codex waits and asks again, or gives up).
FAILURE_CODES: dict[Kind, str] = {"rate_limit": "rate_limit_exceeded", "quota_exceeded": "insufficient_quota"}

# What a count of tokens has words for: https://platform.openai.com/docs/api-reference/responses/input-tokens
COUNTED = frozenset(
    "model input instructions tools tool_choice parallel_tool_calls reasoning text truncation previous_response_id"
    " conversation".split()
)
