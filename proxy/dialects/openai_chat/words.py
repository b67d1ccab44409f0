"""What are this wire's words for what every wire has, and ours for them?

The tables, where they can be seen at a glance."""

import json

import msgspec

from proxy.canon import Reason
from proxy.errors import BadRequest

MAX_WHOLE = 64 * 1024 * 1024  # bytes; beyond it a whole answer is not looked into
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec says of bytes that are no JSON
NAME = "openai_chat"

# Without these the answer would be another one, and no other wire can say them: they cross to this wire or not at all.
# Every other unknown field (`store`, `metadata`, `prediction`, `verbosity`, `min_p`, `provider`, ...) tunes, routes or
# keeps the books, and goes to `extra`. Three fields demand only in some of their forms: `modalities` beyond text, a
# `tool_choice` that names several tools, and a `response_format` that is no JSON schema.
DEMANDS = {
    "audio",  # OpenAI: voice and format of a spoken answer
    "web_search_options",  # OpenAI: the answer is searched for
    "search_parameters",  # xAI: likewise
    "search_domain_filter",  # Perplexity: where to search
    "search_recency_filter",
    "plugins",  # OpenRouter: web search, file parsing
    "documents",  # vLLM: what the answer is grounded in
    "guided_json",  # vLLM: the shape of the answer, before `response_format`
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
}

# The canonical fields that this wire spells alike, with the type that each must have.
KNOBS = {
    "temperature": "number",
    "top_p": "number",
    "top_k": "integer",  # not OpenAI's, but many hosts'
    "seed": "integer",
    "n": "integer",
    "frequency_penalty": "number",
    "presence_penalty": "number",
    "logprobs": "flag",
    "top_logprobs": "integer",
    "user": "text",
    "service_tier": "text",
}
OPENAI_TIERS = {"auto", "default", "flex", "priority", "scale"}
EFFORTS = ((2048, "low"), (8192, "medium"))  # a budget of up to so many tokens; "high" beyond
REASONS: dict[str, Reason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
}

# Clients know these five words and no other; what else was meant goes in `native_finish_reason`, as OpenRouter has it.
FINISHES: dict[Reason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "length",  # the answer is not complete, and only `length` says so
    "malformed_tool_call": "stop",
    "other": "stop",
}
ERROR_TYPES = {
    "authentication": "authentication_error",
    "rate_limit": "rate_limit_error",
    "quota_exceeded": "insufficient_quota",
    "invalid_request": "invalid_request_error",
    "timeout": "timeout_error",
}
MAX_CHOICES = 128  # OpenAI's own limit of `n`
encode_json = msgspec.json.encode
decode_json = msgspec.json.Decoder().decode


def dump(value: object) -> bytes:
    try:
        return encode_json(value)
    except UnicodeEncodeError:  # half a surrogate pair: legal in JSON as an escape, and in no UTF-8
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise BadRequest("The request is nested too deeply.", code="invalid_json") from None
