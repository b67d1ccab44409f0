"""What does a provider mean that answers every error with a 400, and says only in its message what it was?

Some 400s are not the request's fault: an account without money, an invalid key, a missing model, a context too small,
an image that is too large for this host. And some 403s are not the key's fault. Vendors that have no code for these say
them in the message alone, and whether another target or another key is tried depends on it.

Only the beginning of a message is read, as that is in the vendor's own words. What follows may quote the client, who
must not be able to have a key left out.
"""

import re
from typing import NamedTuple

from proxy.errors import Busy, Kind, Refused, UpstreamError


class _Meaning(NamedTuple):
    code: str
    kind: Kind = "invalid_request"


_SPENT = _Meaning("insufficient_quota", "quota_exceeded")
_SPENT_ON_MODEL = _Meaning("model_quota_exceeded", "quota_exceeded")
_FLAGGED = _Meaning("content_filter")
_NO_KEY = _Meaning("invalid_api_key", "authentication")
_BUSY = _Meaning("rate_limit_exceeded", "rate_limit")
_TOO_LONG = _Meaning("context_length_exceeded")
_TOO_LARGE = _Meaning("request_too_large")
_NO_MODEL = _Meaning("model_not_found")
_UNABLE = _Meaning("model_unable")
_ELSEWHERE = _Meaning("unsupported_location")

# The codes and types of single providers, for what others say with a common code or status.
_BY_WORD = {
    "billing_hard_limit_reached": _SPENT,  # OpenAI
    "capacity_exceeded": _BUSY,  # https://console.groq.com/docs/flex-processing
    "too_many_prompt_tokens": _TOO_LONG,  # Perplexity
    "exceed_context_size_error": _TOO_LONG,  # https://github.com/ggml-org/llama.cpp/pull/15780
    "image_too_large": _TOO_LARGE,  # OpenAI, and the next one
    "image_file_too_large": _TOO_LARGE,
    "model_decommissioned": _NO_MODEL,  # https://console.groq.com/docs/deprecations
    "invalid_model": _NO_MODEL,  # Mistral
}
_SENTENCES: dict[_Meaning, tuple[str, ...]] = {
    _SPENT: (
        "Your credit balance is too low",  # Anthropic
        "You have reached your specified (?:workspace )?API usage limits",
        "Your (?:newly created )?team .{0,80}(?:any|all available) credits",  # xAI
    ),
    _SPENT_ON_MODEL: ("Too many tokens per day",),  # Bedrock, where each model has a quota of its own
    _FLAGGED: ("(?:[^ ]{1,200} requires moderation on .{1,80}[.] )?Your input was flagged",),  # OpenRouter
    _NO_KEY: (
        "Incorrect API key provided",  # xAI
        "This organization has been disabled",  # Anthropic
    ),
    _TOO_LONG: (
        "(?:The )?prompt is too long(?:[:.]|$)",  # Anthropic (on Vertex AI without the figures), Fireworks
        "input length and `max_tokens` exceed context limit",
        "Your input exceeds the context window of this model",  # OpenAI
        "The input token count .{0,40}exceeds the maximum number of tokens allowed",  # Google
        "Input is too long for requested model",  # Bedrock, and the next one
        "Input Tokens Exceeded",
        ".{0,120}(?:This|The) (?:model|endpoint)'s maximum (?:context|prompt) length is [0-9]",  # vLLM, xAI and others
        "Prompt contains [0-9]+ tokens .{0,60}too large for model",  # Mistral
        "Input validation error: `inputs`.{0,40} must (?:be <=|have less than) [0-9]",  # Together, text-generation
        "(?:the )?request (?:[(][0-9]+ tokens[)] )?exceeds the available context size",  # llama.cpp
        "too many tokens: (?:total number of tokens|size limit exceeded|minimal context|multi-hop prompt)",  # Cohere
        "(?:the )?input length exceeds the context length",  # Ollama
        "Invalid request: Your request exceeded model token limit",  # Moonshot
    ),
    _TOO_LARGE: (
        r"(?:[\w.]{1,120}: )?image exceeds [0-9.]+ [KM]B maximum",  # Anthropic, and the next two
        r"(?:[\w.]{1,120}: )?At least one of the image dimensions exceeds? max allowed size",
        r"(?:[\w.]{1,120}: )?A maximum of [0-9]+ PDF pages may be provided",
        "Request payload size exceeds the limit",  # Google
        r"Invalid '(?:tools|messages|input|instructions)\b[\w.[\]]*': (?:array|string) too long",  # OpenAI
    ),
    _NO_MODEL: (
        "The provided model identifier is invalid",  # Bedrock, and the next one
        "Invocation of model ID .{1,200} with on-demand throughput isn.t supported",
        "Invalid model: ",  # Mistral
        "[^ ]{1,200} is not a valid model ID",  # OpenRouter
        "model: [^ ]{1,200}$",  # Anthropic
        "models/[^ ]{1,200} is not found for API version",  # Google, and the next two
        "This model (?:models/)?[^ ]{1,200} is no longer available",
        "Publisher Model .{1,300} (?:was )?not found",
        "Could not resolve the foundation model",  # Bedrock, and the next one
        "This model version has reached the end of its life",
        "The model `[^ ]{1,200}` does not exist",  # vLLM
        "model '[^ ]{1,200}' (?:was )?(?:not found|removed)",  # Cohere
        "Model Not Exist",  # DeepSeek
    ),
    _UNABLE: (
        "[^ ]{1,300} does not support (?:tools|thinking|chat)$",  # Ollama, and the next one
        "(?:this )?model do(?:es)? not support image input",  # BytePlus likewise
        r"Failed to deserialize .{1,60}: messages\[[0-9]+\]: unknown variant `(?:image_url|file)`",  # DeepSeek
        "This model doesn.t support (?:tool use|system prompts|images?|documents?)",  # Bedrock, and the next one
        "The provided model doesn.t support counting tokens",
    ),
    _ELSEWHERE: (
        "User location is not supported",  # Google, and the next one
        "Gemini API free tier is not available in your country",
    ),
}
_before = re.compile("The model returned the following errors: ").match  # Bedrock, before its vendor's words
_by_sentence = [
    (re.compile("|".join(sentences), re.IGNORECASE).match, meaning) for meaning, sentences in _SENTENCES.items()
]


def understand(error: UpstreamError) -> None:
    """Give an error the code and the kind that its words mean, where its status tells too little."""
    if _is_vague(error) and (meant := _meaning(error)):
        error.code, error.kind = meant
    elif error.kind == "quota_exceeded" and error.code == type(error).code:  # 402, and Bedrock's name for it
        error.code = _SPENT.code


def _is_vague(error: UpstreamError) -> bool:
    is_known = error.kind not in ("invalid_request", "rate_limit") and error.status != 403
    return isinstance(error, Refused | Busy) and not is_known


def _meaning(error: UpstreamError) -> _Meaning | None:
    for word in (error.code, error.upstream_type):
        if meant := _BY_WORD.get(word.lower()):
            return meant
    start = found.end() if (found := _before(error.message)) else 0
    said = error.message[start : start + 500]
    return next((meaning for match, meaning in _by_sentence if match(said)), None)
