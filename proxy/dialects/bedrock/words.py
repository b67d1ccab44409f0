"""What does Converse call the things that every wire has, and what do we call them?

All tables of this wire are here, to be seen at a glance.
"""

from proxy.canon import Reason
from proxy.grammar.caching import lifetime
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.fields import Object
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of
from proxy.grammar.receipts import Receipt

NAME = "bedrock"
API = api_of(NAME)

STREAM_TYPE = "application/vnd.amazon.eventstream"

# The operation that a path ends with, and whether it streams.
VERBS = {"converse": False, "converse-stream": True}

# Without these the answer would be a different one, and no other wire can say them: only this wire ever gets them.
DEMANDS = {
    "guardrailConfig",  # what may be said at all
    "promptVariables",  # the prompt itself is stored at Amazon
}
# Likewise within additionalModelRequestFields: Claude's own tools, and their state.
MODEL_DEMANDS = ("tools", "mcp_servers", "container")

# What this wire's clients call the fields that receipts and refusals name, where it is not our own name.
# docs/decisions/0010-receipts.md
SPELLED = {
    "turns": "messages",
    "betas": "additionalModelRequestFields.anthropic_beta",
    "max_tokens": "inferenceConfig.maxTokens",
    "temperature": "inferenceConfig.temperature",
    "top_p": "inferenceConfig.topP",
    "stop": "inferenceConfig.stopSequences",
    "top_k": "additionalModelRequestFields.top_k",
    "format": "outputConfig.textFormat",
    "format.name": "outputConfig.textFormat.structure.jsonSchema.name",
    "format.description": "outputConfig.textFormat.structure.jsonSchema.description",
    "format.schema": "outputConfig.textFormat.structure.jsonSchema.schema",
    "metadata": "requestMetadata",
    "service_tier": "serviceTier",
    "tools": "toolConfig.tools",
    "tool_choice": "toolConfig.toolChoice",
    "parallel_tools": "additionalModelRequestFields.tool_choice.disable_parallel_tool_use",
    "reasoning": "outputConfig.effort",
    "reasoning.effort": "outputConfig.effort",
    "reasoning.budget": "additionalModelRequestFields.thinking.budget_tokens",
    "reasoning.summary": "additionalModelRequestFields.thinking.display",
    "reasoning.adaptive": "additionalModelRequestFields.thinking.type",
    "tool.schema": "toolSpec.inputSchema",
    "tool.strict": "toolSpec.strict",
    "cache": "cachePoint",
    "document.cited": "document.citations",
    "found.cited": "searchResult.citations",
    "text.citations": "citationsContent.citations",
    "thinking": "reasoningContent",
    "thinking.signature": "reasoningText.signature",
    "thinking.redacted": "reasoningContent.redactedContent",
    "tool_result.is_error": "toolResult.status",
    "turn.place": "messages.role",
    "turn.trailing_space": "messages.content",
}

# Where additionalModelRequestFields has this key, these names differ.
SPELLED_BY = {
    "inferenceConfig": {"top_k": "additionalModelRequestFields.inferenceConfig.topK"},
    "output_config": {
        "reasoning": "additionalModelRequestFields.output_config.effort",
        "reasoning.effort": "additionalModelRequestFields.output_config.effort",
        "format": "additionalModelRequestFields.output_config.format",
        "format.schema": "additionalModelRequestFields.output_config.format.schema",
    },
    "reasoning_effort": {
        "reasoning": "additionalModelRequestFields.reasoning_effort",
        "reasoning.effort": "additionalModelRequestFields.reasoning_effort",
    },
    "thinking": {"reasoning": "additionalModelRequestFields.thinking"},
    "tool_choice": {"tool_choice": "additionalModelRequestFields.tool_choice"},
    "reasoning_config": {
        "reasoning": "additionalModelRequestFields.reasoning_config",
        "reasoning.budget": "additionalModelRequestFields.reasoning_config.budget_tokens",
        "reasoning.summary": "additionalModelRequestFields.reasoning_config.display",
        "reasoning.adaptive": "additionalModelRequestFields.reasoning_config.type",
    },
    "reasoningConfig": {
        "reasoning": "additionalModelRequestFields.reasoningConfig",
        "reasoning.effort": "additionalModelRequestFields.reasoningConfig.maxReasoningEffort",
    },
}

SPELT = "spelt"  # in `extra`: what the client said of the reasoning, in its own spelling

WHOLE = "whole"  # in `extra`: a medium of which the canon holds less than the client said, as it came

# A model's family, by marks in its id. An id may be that of a profile, with a region before it, or an ARN.
FAMILIES = (
    ("claude", ("anthropic", "claude")),
    ("nova", ("nova",)),
    ("mistral", ("mistral", "pixtral")),
    ("cohere", ("cohere",)),
    ("gpt-oss", ("gpt-oss",)),
)

# The path of top_k in additionalModelRequestFields. (https://docs.aws.amazon.com/bedrock/latest/userguide/
# model-parameters.html)
TOP_K = {"claude": ("top_k",), "nova": ("inferenceConfig", "topK"), "mistral": ("top_k",), "cohere": ("k",)}

# And the most that it may be: Bedrock refuses more, though Anthropic does not. (the same)
MOST_TOP_K = {"claude": 500, "nova": 128, "cohere": 500}

# The families that take a cachePoint, in messages and system, and in tools. (.../userguide/prompt-caching.html)
CACHES_TEXT = {"claude", "nova"}
CACHES_TOOLS = {"claude"}

# A tool's result needs at least one block, and no block may be blank text (.../API_runtime_ToolResultBlock.html).
NOTHING = "The tool gave nothing back."

# Our words for an effort, and what gpt-oss and Nova take for each.
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

# Our words for a tier, and this wire's; "" is what it does by default.
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html
TIERS = {
    "auto": "",
    "default": "default",
    "flex": "flex",
    "fast": "priority",
    "priority": "priority",
    "reserved": "reserved",
}

# The media types of formats (ImageFormat, DocumentFormat, VideoFormat, AudioFormat). A format that is not here is the
# subtype of its media type.
FORMATS = {
    "image": {},
    "document": {
        "pdf": "application/pdf",
        "csv": "text/csv",
        "doc": "application/msword",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls": "application/vnd.ms-excel",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "html": "text/html",
        "txt": "text/plain",
        "md": "text/markdown",
    },
    "video": {
        "mkv": "video/x-matroska",
        "mov": "video/quicktime",
        "flv": "video/x-flv",
        "wmv": "video/x-ms-wmv",
        "three_gp": "video/3gpp",
    },
    "audio": {"mp3": "audio/mpeg", "mpeg": "audio/x-mpeg", "mkv": "audio/x-matroska", "mka": "audio/x-mka"},
}

# Other names that media types have, and the format that each means.
ALIASES = {
    "image/jpg": "jpeg",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/x-m4a": "m4a",
    "text/x-markdown": "md",
}

# Every format that there is.
TAKEN = {
    "image": frozenset("png jpeg gif webp".split()),
    "document": frozenset("pdf csv doc docx xls xlsx html txt md".split()),
    "video": frozenset("mkv mov mp4 webm flv mpeg mpg wmv three_gp".split()),
    "audio": frozenset("mp3 opus wav aac flac mp4 ogg mkv mka x-aac m4a mpeg mpga pcm webm".split()),
}

# What `stopReason` says. (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)
REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_use",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "malformed_tool_use": "malformed_tool_call",
    "malformed_model_output": "other",
}

# The reverse, with the nearest word where this wire has none.
STOP_WORDS: dict[Reason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_use": "tool_use",
    "content_filter": "content_filtered",
    "refusal": "content_filtered",  # both say that the answer was withheld
    "pause": "max_tokens",  # the answer is not complete, and only this says so
    "malformed_tool_call": "malformed_tool_use",
    "other": AS_IT_CAME,  # botocore checks no word of an answer
}

# The names of errors, with their status. (.../APIReference/CommonErrors.html, and Converse's own)
ERROR_STATUS = {
    "ValidationException": 400,
    "IncompleteSignature": 400,
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "ExpiredTokenException": 403,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "ServiceQuotaExceededException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}

# The reverse: the name of an error of ours, by its status.
ERROR_WORDS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    502: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ServiceUnavailableException",
}

# The same for a stream, where SDKs know only the five names of ConverseStreamOutput, and do not show any other error.
EXCEPTION_WORDS = {
    408: "modelStreamErrorException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    502: "modelStreamErrorException",
    503: "serviceUnavailableException",
    504: "modelStreamErrorException",
    529: "serviceUnavailableException",
}

# Canonical knobs that this wire has no word for.
KNOBS_LACKED = knobs(
    "frequency_penalty presence_penalty logit_bias logprobs top_logprobs seed user safety_identifier store"
    " prompt_cache_key prompt_cache_retention obfuscation verbosity"
)


def family_of(model: str) -> str:
    """One of FAMILIES; "" where the id does not show it."""
    name = model.lower()
    return next((family for family, marks in FAMILIES if any(mark in name for mark in marks)), "")


def media_type_of(kind: str, form: str) -> str:
    """The media type of a format; "" where there is none. `kind`: image, document, video or audio."""
    return FORMATS[kind].get(form) or (f"{_TOP.get(kind, kind)}/{form}" if form else "")


def format_of(kind: str, media_type: str) -> str:
    """The format that a media type means, as far as that is known without looking at the bytes."""
    bare = media_type.partition(";")[0].strip().lower()
    return ALIASES.get(bare) or _MEANT[kind].get(bare) or bare.partition("/")[2]


_TOP = {"document": "application"}
_MEANT = {kind: {media: form for form, media in table.items()} for kind, table in FORMATS.items()}


def cache_point(cache: Object, dropped: Receipt) -> Object:
    """The cache point of any wire, spelled for this one, which has one kind, with two durations."""
    return {"cachePoint": {"type": "default"} | lifetime(cache, dropped)}
