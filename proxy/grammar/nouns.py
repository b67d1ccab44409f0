"""What are the parts of a conversation, and the vendors' APIs, called in an error?"""

from proxy.canon import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from proxy.errors import excerpt
from proxy.grammar.fields import as_text

_APIS = {
    "anthropic": "Anthropic's API",
    "bedrock": "Bedrock's Converse",
    "bedrock_invoke": "Bedrock's InvokeModel",
    "cohere": "Cohere's API",
    "gemini": "Gemini's API",
    "ollama": "Ollama's API",
    "openai_chat": "the Chat Completions API",
    "openai_responses": "the Responses API",
}
_NOUNS: dict[type, str] = {
    Text: "text",
    Image: "an image",
    Audio: "audio",
    Video: "a video",
    Document: "a document",
    Thinking: "thinking",
    Refusal: "a refusal",
    ToolCall: "a tool call",
    ToolResult: "a tool result",
}


def api_of(wire: str) -> str:
    """`wire`: a dialect's name, perhaps a plug-in's."""
    return _APIS.get(wire, f"the {wire} API")


def noun_of(part: Part) -> str:
    """With its article; of a block that only its own wire understands, the wire and the block's type."""
    if not isinstance(part, Opaque):
        return _NOUNS[type(part)]
    kind = as_text(part.value.get("type")) or next(iter(part.value), "")
    return f"a block of {api_of(part.wire)}" + (f" ({excerpt(kind)})" if kind else "")
