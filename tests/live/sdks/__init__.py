"""How does each vendor's SDK ask, as an app would have it?"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from tests.live.sdks.talk import Talk

_MODULES: Mapping[str, str] = {
    "openai_chat": "openai_sdk:chat",
    "openai_responses": "openai_sdk:responses",
    "anthropic": "anthropic_sdk:messages",
    "gemini": "google_sdk:generate",
    "bedrock": "amazon_sdk:converse",
    "ollama": "ollama_sdk:chat",
    "cohere": "cohere_sdk:chat",
}


def open_sdk(name: str, url: str) -> AbstractAsyncContextManager[Talk]:
    """The SDK before this pillion."""
    module, _, made = _MODULES[name].partition(":")
    opened: AbstractAsyncContextManager[Talk] = getattr(import_module(f"tests.live.sdks.{module}"), made)(url)
    return opened
