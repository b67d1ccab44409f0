"""What does the Responses API call what every wire has, and what do we call it?

All tables of this wire, at a glance.
"""

import re

from proxy.canon import Reason
from proxy.errors import Kind
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.fields import Object
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of

NAME = "openai_responses"
API = api_of(NAME)

# The events of a stream that say nothing of the answer yet: a message that begins, and its text, are empty, and may go
# on with nothing.
SILENT = re.compile(
    rb'"type"\s*:\s*"(?:response\.(?:created|queued|in_progress)|keepalive)"'
    rb'|"item"\s*:\s*\{(?=[^{}]*"type"\s*:\s*"message")[^{}]*"content"\s*:\s*\[\s*\]'
    rb'|"part"\s*:\s*\{(?=[^{}]*"type"\s*:\s*"output_text")[^{}]*"text"\s*:\s*""'
    rb'|"delta"\s*:\s*""'
)

SIGN = re.compile(rb'"object"\s*:\s*"response"|"type"\s*:\s*"response\.')

# --- the request (https://platform.openai.com/docs/api-reference/responses/create) -----------------------------------

# Without these the answer would be a different one, and no other wire can say them: they refer to what only this
# provider has stored, or have it store the answer. A `tool_choice` and a `text` that the canon cannot express are
# demands as well.
DEMANDS = {"previous_response_id", "conversation", "prompt", "background"}

# With one of these the provider may have the chat already, and `input` may be missing.
REMEMBERED = ("previous_response_id", "conversation", "prompt")

# The wire's defaults: a client that spells one out asks for nothing, so it is left out without a receipt.
SILENCE: Object = {"truncation": "disabled", "background": False}

# Every other unknown field (`truncation`, `max_tool_calls`, `context_management`, ...) is for tuning or bookkeeping,
# and goes to `extra`; so does what is left of `text`, `reasoning`, `stream_options` and `include`.

# The canonical fields that this wire has: its name for each, and the type that it must have.
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

# For receipts and refusals: our name for a field, and the one that this wire's clients use, if it is another.
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
    "tool.schema": "tools.parameters",
    "tool.strict": "tools.strict",
    "tool.form": "tools.format",
    "image.detail": "input_image.detail",
    "document.name": "input_file.filename",
    "search.allowed": "tools.filters.allowed_domains",
    "search.place": "tools.user_location",
    "search.size": "tools.search_context_size",
    "text.citations": "output_text.annotations",
    "thinking": "input.reasoning",
    "thinking.signature": "reasoning.encrypted_content",
    "thinking.redacted": "reasoning.encrypted_content",
    "text.signature": "reasoning.encrypted_content",
    "tool_call.arguments": "function_call.arguments",
    "tool_call.signature": "reasoning.encrypted_content",
    "turn.place": "input.role",
    "turn.trailing_space": "input.content",
}

# Canonical knobs that this wire lacks.
KNOBS_LACKED = knobs("top_k seed stop frequency_penalty presence_penalty logit_bias betas")

# The words of `include` for what every wire has: logprobs, and encrypted reasoning, which other wires return unasked.
# Its other words ask for details of server tools, and go to `extra`.
SEALS = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

MIN_TOKENS = 16  # OpenAI refuses a smaller `max_output_tokens`

# The tool that searches the web; older names of it have `_preview` or a date at their end. `include` asks for the pages
# that a search has found: https://platform.openai.com/docs/guides/tools-web-search
SEARCHING = "web_search"
SOURCES = "web_search_call.action.sources"
is_search = re.compile(r"web_search(?:_preview)?(?:_\d{4}_\d{2}_\d{2})?").fullmatch

# --- items -----------------------------------------------------------------------------------------------------------

# The type of an item that offers more tools from there on; also the key that marks its tools and its turn in `extra`.
ADDED = "additional_tools"

# The types of call that the canon knows, and the field for the arguments of each.
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}

# The known keys of an item and of its parts; others go to `extra`. An item's `id` and `status` are left out. The item
# is complete without its `id`, which this wire does not require, and `status` is nearly always "completed". On other
# wires the receipts would name both in every turn of an agent's loop. (Only a reasoning item keeps its `id`.)
# (Bedrock repeats an event's `item_id` and `output_index` within the call.)
OF_CALL = {"type", "id", "call_id", "name", "arguments", "input", "status", "item_id", "output_index"}
CALL_MARKS = ("namespace", "caller", "async")  # other fields of a call in an answer; SDKs know no more
OF_MESSAGE = {"type", "id", "role", "content", "status"}

SENT = "thoughts"  # key in the `extra` of a Thinking: the client's spelling of the text, if ours would differ

DRAWING = "image_generation_call"  # the item of a server tool whose result is the answer itself

# The items of a search for tools. The client's own answers bring tools; OpenAI's bring those on offer, which need no
# search elsewhere. https://platform.openai.com/docs/guides/tools-tool-search
FINDING = ("tool_search_call", "tool_search_output")

# An item whose type ends so reports what the client did, or answers what it was asked: it belongs to a user turn.
CLIENT_SIDE = ("_output", "_response")

# --- the answer ------------------------------------------------------------------------------------------------------

# The reasons why an answer is incomplete (`incomplete_details.reason`).
REASONS: dict[str, Reason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "other",  # by a websocket: another response goes on
}

COMPLETE = "completed"

# The mirror: COMPLETE, or the reason why the answer is not complete. OpenAI's SDKs take any word as a reason.
STOP_WORDS: dict[Reason, str] = {
    "stop": COMPLETE,
    "stop_sequence": COMPLETE,
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "tool_use": COMPLETE,
    "content_filter": "content_filter",
    "refusal": "content_filter",  # a model that declines in words has a part for them, and its answer is complete
    "pause": "max_output_tokens",  # only this says that the answer is not complete
    "malformed_tool_call": AS_IT_CAME,
    "other": AS_IT_CAME,
}

# The fields of its request that a response repeats, with the values for fields that the request did not have.
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

# Parts of an error's code or type, and the status that each stands for, as most errors of this wire come under 200.
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

# The `code` of a stream's error, if clients act on it (Codex waits and retries, or gives up).
FAILURE_CODES: dict[Kind, str] = {"rate_limit": "rate_limit_exceeded", "quota_exceeded": "insufficient_quota"}

# The fields that a token count takes: https://platform.openai.com/docs/api-reference/responses/input-tokens
COUNTED = frozenset(
    "model input instructions tools tool_choice parallel_tool_calls reasoning text truncation previous_response_id"
    " conversation".split()
)
