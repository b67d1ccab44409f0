"""Which vendor's SDK is asking, where the path does not tell?

Each vendor's SDK sends headers that no other one does.
"""

from collections.abc import Mapping

_SPOKEN = (
    ("anthropic-version", "anthropic"),
    ("x-goog-api-client", "gemini"),
    ("x-goog-api-key", "gemini"),
    ("x-amzn-bedrock-accept", "bedrock"),
    ("amz-sdk-invocation-id", "bedrock"),
    ("x-fern-sdk-name", "cohere"),
)


def spoken(headers: Mapping[str, str]) -> str:
    """The dialect of the caller."""
    return next((dialect for name, dialect in _SPOKEN if name in headers), "openai_chat")
