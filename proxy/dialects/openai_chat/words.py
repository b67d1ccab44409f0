"""What does chat completions call what every wire has, and what do we call it?

All tables of this wire, at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of

NAME = "openai_chat"
API = api_of(NAME)

# A chunk says something if it has a choice that ends, or one with more than a role and empty values. A first chunk may
# hold only a role, and Azure's only what its filter says of the prompt.
_NOTHING = rb'\s*(?:"role"\s*:\s*"\w*"|"\w+"\s*:\s*(?:null|""|\[\s*\]))\s*'
SAYING = re.compile(
    rb'"(?:finish_reason"\s*:\s*"|(?:delta|message)"\s*:\s*\{(?!(?:%b(?:,%b)*+)?\s*\}))' % (_NOTHING, _NOTHING)
)

SIGN = re.compile(rb'"object"\s*:\s*"chat\.completion')

SEARCH = "web_search_options"  # a field, not a tool

# OpenAI's models that search before each answer, for a fee, and do not count that:
# https://platform.openai.com/docs/guides/tools-web-search
always_searches = re.compile("-search-(?:preview|api)").search

# Without these the answer would be a different one, and no other wire can say them, so a request for another wire
# is refused. Every other unknown field (`prediction`, `min_p`, `provider`, `transforms`, ...) is for tuning, routing or
# bookkeeping, and goes to `extra`. Three fields are demands only in forms that the canon lacks: a `tool_choice` that
# names server tools, a `function_call` that says more than a name, and a `response_format` that is no JSON schema.
DEMANDS = {
    "audio",  # OpenAI: voice and format of a spoken answer
    SEARCH,  # OpenAI: web search before the answer; other wires have one, see grammar/searching.py
    "search_parameters",  # xAI: the same
    "search_domain_filter",  # Perplexity: where to search
    "search_recency_filter",
    "enable_search",  # Alibaba: the same, unless it is false
    "plugins",  # OpenRouter: web search, file parsing
    "documents",  # vLLM: what the answer is grounded in
    "data_sources",  # Azure: the same; its older spelling was the other
    "dataSources",
    "guided_json",  # vLLM: the shape of the answer, before `response_format`
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
}

# The canonical fields that have the same name on this wire, with the type that each must have.
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
    "safety_identifier": "text",
    "store": "flag",
    "prompt_cache_key": "text",
    "prompt_cache_retention": "text",
    "verbosity": "text",
    "service_tier": "text",
}

# Canonical knobs that are dropped for a client of another wire. OpenAI refuses arguments that it does not know.
KNOBS_LACKED = knobs("top_k betas")

DRAWN = "images"  # what the assistant has drawn: https://openrouter.ai/docs/features/multimodal/image-generation
SPELT = "spelt"  # key in an `extra`: the client's own spelling, which only this wire needs

# For receipts and refusals: our name for a field, and the one that this wire's clients use, if it is another.
# docs/decisions/0010-receipts.md
SPELLED = {
    "turns": "messages",
    "format": "response_format",
    "format.name": "response_format.json_schema.name",
    "format.description": "response_format.json_schema.description",
    "format.schema": "response_format.json_schema.schema",
    "parallel_tools": "parallel_tool_calls",
    "obfuscation": "stream_options.include_obfuscation",
    "reasoning": "reasoning_effort",
    "reasoning.effort": "reasoning_effort",
    "reasoning.budget": "reasoning.max_tokens",
    "tool.schema": "tools.function.parameters",
    "tool.strict": "tools.function.strict",
    "tool.form": "tools.custom.format",
    "search.size": "web_search_options.search_context_size",
    "search.place": "web_search_options.user_location",
    "cache": "cache_control",
    "image.detail": "image_url.detail",
    "document.name": "file.filename",
    "thinking": "messages.reasoning_content",
    "thinking.signature": "messages.reasoning_details",
    "thinking.redacted": "messages.reasoning_details",
    "tool_call.arguments": "tool_calls.function.arguments",
    "tool_call.signature": "tool_calls.extra_content",
    "turn.place": "messages.role",
    "turn.trailing_space": "messages.content",
}

# If a body has the key, these names replace the ones above: hosts have added fields, and OpenAI has renamed its own.
SPELLED_BY = {
    "max_completion_tokens": {"max_tokens": "max_completion_tokens"},
    "reasoning": {"reasoning": "reasoning", "reasoning.effort": "reasoning.effort"},
    "thinking": {
        "reasoning": "thinking",
        "reasoning.budget": "thinking.budget_tokens",
        "reasoning.summary": "thinking.display",
        "reasoning.adaptive": "thinking",
    },
    "functions": {"tools": "functions"},
    "function_call": {"tool_choice": "function_call"},
}

# Why a choice ended, in OpenAI's words (.../api-reference/chat/object).
REASONS: dict[str, Reason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
}

# Clients know these five words. The provider's own word, if it is another, goes into `native_finish_reason`,
# OpenRouter's field. If none of the five is true, the provider's word replaces them: OpenAI's SDKs take any.
STOP_WORDS: dict[Reason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "length",  # only `length` says that the answer is not complete
    "malformed_tool_call": AS_IT_CAME,
    "other": AS_IT_CAME,
}

# Parts of an error's code or type, and the status that each stands for, as hosts send errors under 200 as well.
ERROR_STATUS = (
    ("quota", 429),
    ("billing", 429),
    ("insufficient", 402),
    ("rate_limit", 429),
    ("too_many", 429),
    ("overloaded", 529),
    ("api_key", 401),
    ("authentication", 401),
    ("permission", 403),
    ("not_found", 404),
    ("timeout", 504),
    ("server_error", 500),
    ("invalid_request", 400),
    ("context_length", 400),
    ("content_filter", 400),
    ("tool_use_failed", 400),
)

MAX_CHOICES = 128  # OpenAI's own limit for `n`
