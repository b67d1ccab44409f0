"""Whose SDK is it that asks, where the path does not say?

By what each vendor's SDK says of itself in its headers, and no other does.
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
