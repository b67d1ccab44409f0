"""What does Gemini call the things that every wire has, and what do we call them?

All tables of this wire are here, to be seen at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of

NAME = "gemini"
API = api_of(NAME)

# A chunk that says something has one of these keys; others only count tokens. A text that is still empty says nothing.
_STILL_EMPTY = rb'\s*\[\s*(?:\{\s*"text"\s*:\s*""\s*\}\s*)?\]'
SAYING = re.compile(rb'"(?:parts"\s*:(?!%b)|(?:finishReason|blockReason|error)"\s*:)' % _STILL_EMPTY)

# What a path may ask for after the model and a colon, and whether the answer is a stream.
VERBS = {"generateContent": False, "streamGenerateContent": True, "countTokens": False}

# The canonical knobs that go into `generationConfig`, with their names there.
NUMBERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
COUNTS = {
    "top_k": "topK",
    "seed": "seed",
    "n": "candidateCount",
    "max_tokens": "maxOutputTokens",
    "top_logprobs": "logprobs",
}

# What Google takes of them: of topK "the supported range is from 1 (inclusive) to 65 (exclusive)", and the penalties go
# "up to, but not including, 2.0". https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (1, 64),
    "frequency_penalty": (-2.0, 1.99),
    "presence_penalty": (-2.0, 1.99),
}

MOST_STOPS = 5  # https://ai.google.dev/api/generate-content#generationconfig
SEEDS = 2**31

# What this wire's clients call the fields that receipts and refusals name, where it is not our own name.
# docs/decisions/0010-receipts.md
SPELLED = {name: f"generationConfig.{key}" for name, key in (NUMBERS | COUNTS).items()} | {
    "turns": "contents",
    "stop": "generationConfig.stopSequences",
    "format": "generationConfig.responseMimeType",
    "logprobs": "generationConfig.responseLogprobs",
    "modalities": "generationConfig.responseModalities",
    "metadata": "labels",
    "service_tier": "serviceTier",
    "tool_choice": "toolConfig.functionCallingConfig",
    "reasoning": "generationConfig.thinkingConfig",
    "reasoning.effort": "generationConfig.thinkingConfig.thinkingLevel",
    "reasoning.budget": "generationConfig.thinkingConfig.thinkingBudget",
    "reasoning.adaptive": "generationConfig.thinkingConfig.thinkingBudget",
    "reasoning.summary": "generationConfig.thinkingConfig.includeThoughts",
    "document.name": "inlineData.displayName",
    "image.detail": "mediaResolution",
    "thinking": "contents.parts.thought",
    "thinking.signature": "contents.parts.thoughtSignature",
    "thinking.redacted": "contents.parts.thoughtSignature",
    "text.signature": "contents.parts.thoughtSignature",
    "tool_call.signature": "contents.parts.thoughtSignature",
    "turn.place": "contents.role",
    "tool.schema": "tools.functionDeclarations.parameters",
    "turn.trailing_space": "contents.parts",
    "search.blocked": "tools.googleSearch.excludeDomains",
}

# The keys for the shape of an answer: for Google's own kind of schema, and for JSON Schema, which the REST reference
# spells with an underscore as well. https://ai.google.dev/api/generate-content#generationconfig
SCHEMAS = ("responseSchema", "responseJsonSchema", "_responseJsonSchema")
SPELLED_BY = {key: {"format.schema": f"generationConfig.{key}"} for key in SCHEMAS} | {
    "responseFormat": dict.fromkeys(("format", "format.schema"), "generationConfig.responseFormat")
}

# The media type for one word of a schema's enum, as it is. https://ai.google.dev/gemini-api/docs/structured-output
ENUM = "text/x.enum"

# Canonical knobs that this wire has no word for, or a word that not every Google host knows (`labels`, `store`).
KNOBS_LACKED = knobs(
    "logit_bias betas user safety_identifier metadata prompt_cache_key prompt_cache_retention obfuscation verbosity"
)

# Without these the answer would be a different one, and no other wire can say them: only this wire ever gets them.
DEMANDS = {
    "cachedContent",  # a part of the prompt that is stored at Google
    "modelArmorConfig",  # what may be said at all
    "continuationToken",  # an answer to be continued
}
CONFIG_DEMANDS = {
    "responseMimeType",  # parse.py leaves it there if it is neither JSON nor plain text
    *SCHEMAS,
    "responseFormat",  # and there if it is about more than text
    "translationConfig",
    "continuationToken",
}

# `functionCallingConfig.mode`. VALIDATED is AUTO, held to the schemas.
# https://ai.google.dev/api/caching#FunctionCallingConfig
MODE_WORDS = {"auto": "AUTO", "required": "ANY", "tool": "ANY", "none": "NONE"}

# Enums may be numbers, which older SDKs of Google's send (`$alt=json;enum-encoding=int`). Beyond 5 the numbers of a
# finish reason differ between the Gemini API and Vertex AI.
MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO")
LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "LOW", "MEDIUM", "HIGH", "MINIMAL")
SCHEMA_TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
FINISHES = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")

# The tools that search the web; the second is that of Gemini 1.5. Vertex AI alone takes domains to be excluded, so that
# they are not sent. https://ai.google.dev/gemini-api/docs/google-search
SEARCH = "googleSearch"
SEARCHES = (SEARCH, "googleSearchRetrieval")

# What `finishReason` says. https://ai.google.dev/api/generate-content#FinishReason
REASONS: dict[str, Reason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "LANGUAGE": "content_filter",  # withheld, as it is in a language that Google does not support
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",  # of an account that has broken the policy before
    "MALFORMED_FUNCTION_CALL": "malformed_tool_call",
    "UNEXPECTED_TOOL_CALL": "malformed_tool_call",
    "CONTINUATION": "pause",
    "OTHER": "other",
    "IMAGE_OTHER": "other",
    "NO_IMAGE": "other",
    "MALFORMED_RESPONSE": "other",
    "TOO_MANY_TOOL_CALLS": "other",
    "MISSING_THOUGHT_SIGNATURE": "other",
}

# The reverse, with the nearest word where this wire has none. It is always one of the enum, as not all of Google's SDKs
# take others. `finishMessage` has the provider's own word.
STOP_WORDS: dict[Reason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "tool_use": "STOP",  # the calls themselves say the rest
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "MAX_TOKENS",  # the answer is not complete, and this word says so in every SDK
    "malformed_tool_call": "MALFORMED_FUNCTION_CALL",
    "other": "OTHER",
}

# The media types for bytes and URLs that came without one, which Vertex AI requires.
IMAGE, AUDIO, VIDEO, DOCUMENT = "image/jpeg", "audio/wav", "video/mp4", "application/pdf"

# Efforts as `thinkingLevel` (Gemini 3 and later) and `thinkingBudget` (2.5), as Google's own OpenAI endpoint maps them.
# https://ai.google.dev/gemini-api/docs/openai#thinking
THINKING_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}

# The efforts that a model has a level for, by a part of its name and its generation; it refuses any other. A model that
# is in no row has all four. https://ai.google.dev/gemini-api/docs/thinking#thinking-levels
LEVELS_OF: tuple[tuple[str, tuple[int, int], tuple[str, ...]], ...] = (
    ("flash-image", (3, 0), ("minimal", "high")),
    ("flash-lite-image", (3, 0), ("minimal", "high")),
    ("-pro", (3, 1), ("low", "medium", "high")),
    ("-pro", (3, 0), ("low", "high")),
    ("", (3, 7), ("low", "medium", "high")),
)
THINKING_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
MOST = {"xhigh", "max"}  # of other wires; they become this one's highest, with a receipt

UNDECIDED = -1  # the `thinkingBudget` with which the model decides

# The least and the most tokens that a 2.5 model can be given to think. With a least of 0 thinking can be turned off.
# https://ai.google.dev/gemini-api/docs/thinking#set-budget
BUDGET_BOUNDS = (("2.5-flash-lite", 512, 24576), ("2.5-flash", 0, 24576), ("2.5-pro", 128, 32768))
MAY_BE_OFF = "2.5-flash"

# Gemini 3 refuses a chat with calls that have no seal, as they are another model's or their client did not keep it. For
# such calls Google takes this word. https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
NO_SEAL = "skip_thought_signature_validator"

# `detail` of an image, and the level of a part's mediaResolution.
RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}

# Our words for a tier, and this wire's; "" is what it does by default. SDKs' enums may put a prefix before the word.
# https://ai.google.dev/gemini-api/docs/optimization
TIERS = {"auto": "", "default": "standard", "flex": "flex", "fast": "priority", "priority": "priority"}
TIERS_READ = {word: ours for ours, word in TIERS.items() if word}
TIER_BEGINS = "service_tier_"

# The `status` of an error, with its HTTP status. https://cloud.google.com/apis/design/errors#handling_errors
ERROR_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

# The reverse, with the nearest word where Google has none.
ERROR_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}

MAX_CANDIDATES = 128  # far beyond Google's own limit of `candidateCount`
