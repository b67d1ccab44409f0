"""What are Gemini's words for what every wire has, and ours for them?

The tables of this wire, where they can be seen at a glance.
"""

import re

from proxy.canon import Reason

NAME = "gemini"

# What a chunk that says something has one of: others count tokens alone.
SAYING = re.compile(rb'"(?:parts|finishReason|blockReason|error)"\s*:')

# What a path may ask for behind the model's colon, and whether that is a stream.
VERBS = {"generateContent": False, "streamGenerateContent": True, "countTokens": False}

# The canonical knobs that stand in `generationConfig`, with their names there.
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

# What this wire's clients call what receipts and refusals name, where they do not call it as we do.
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
    "thinking": "contents.parts.thought",
    "thinking.signature": "contents.parts.thoughtSignature",
    "thinking.redacted": "contents.parts.thoughtSignature",
    "text.signature": "contents.parts.thoughtSignature",
    "tool_call.signature": "contents.parts.thoughtSignature",
    "turn.trailing_space": "contents.parts",
}

# Where a client shows the shape of the answer: as Google's own kind of schema, or as JSON Schema, whose REST reference
# has it with an underscore as well. https://ai.google.dev/api/generate-content#generationconfig
SCHEMAS = ("responseSchema", "responseJsonSchema", "_responseJsonSchema")
SPELLED_BY = {key: {"format.schema": f"generationConfig.{key}"} for key in SCHEMAS}

# Canonical knobs that this wire has no word for, or a word that not every Google host knows (`labels`, `store`).
KNOBS_LACKED: dict[str, tuple[object, ...]] = {
    "logit_bias": ({},),
    "betas": ([],),
    "user": (),
    "safety_identifier": (),
    "metadata": ({},),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "obfuscation": (False,),
    "verbosity": ("medium",),  # OpenAI's own default
}

# Without these the answer would be another one, and no other wire can say them: they cross to this wire or not at all.
DEMANDS = {
    "cachedContent",  # a part of the prompt that lies at Google's
    "continuationToken",  # an answer that is to be gone on with
}
CONFIG_DEMANDS = {
    "responseMimeType",  # left where it is neither JSON nor plain text
    *SCHEMAS,
    "responseFormat",
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
    "LANGUAGE": "content_filter",  # Google answers in some, and withholds what came in another
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

# The mirror, and the word that is nearest to what this wire has no word for: an enum's, since not all of Google's SDKs
# take another. `finishMessage` has the provider's own.
STOP_WORDS: dict[Reason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "tool_use": "STOP",  # that there are calls says the rest
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "MAX_TOKENS",  # the answer is not complete, and this word says so in every SDK
    "malformed_tool_call": "MALFORMED_FUNCTION_CALL",
    "other": "OTHER",
}

# The media type of bytes, or of a URL, that came without one: Vertex AI insists on it.
IMAGE, AUDIO, VIDEO, DOCUMENT = "image/jpeg", "audio/wav", "video/mp4", "application/pdf"

# Efforts as `thinkingLevel` (Gemini 3 and later) and as `thinkingBudget` (2.5), as Google's own OpenAI endpoint has it.
# https://ai.google.dev/gemini-api/docs/openai#thinking
THINKING_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}

# The efforts that a model has a level for, by its name and its generation; it refuses any other. What no row says has
# all four. https://ai.google.dev/gemini-api/docs/thinking#thinking-levels
LEVELS_OF: tuple[tuple[str, tuple[int, int], tuple[str, ...]], ...] = (
    ("flash-image", (3, 0), ("minimal", "high")),
    ("flash-lite-image", (3, 0), ("minimal", "high")),
    ("-pro", (3, 1), ("low", "medium", "high")),
    ("-pro", (3, 0), ("low", "high")),
    ("", (3, 7), ("low", "medium", "high")),
)
THINKING_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
MOST = {"xhigh", "max"}  # of other wires; the highest that this one has stands for them, with a receipt

UNDECIDED = -1  # of `thinkingBudget`: the model decides

# What a 2.5 model lets itself be told to think: the least and the most. A least of 0 says that it may be told not to.
# https://ai.google.dev/gemini-api/docs/thinking#set-budget
BUDGET_BOUNDS = (("2.5-flash-lite", 512, 24576), ("2.5-flash", 0, 24576), ("2.5-pro", 128, 32768))
MAY_BE_OFF = "2.5-flash"

# Gemini 3 refuses a chat whose calls have lost their seals: a call of another model's, or one told by a client that
# keeps none. Google names this word for such calls. https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
NO_SEAL = "skip_thought_signature_validator"

# Our words for a tier, and this wire's; "" is what it does unasked. SDKs' enums may have a beginning before the word.
# https://ai.google.dev/gemini-api/docs/optimization
TIERS = {"auto": "", "default": "standard", "flex": "flex", "priority": "priority"}
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

# The mirror, and what is nearest where Google has no word.
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
