"""How does each vendor's own SDK ask pillion, and what does it read?

A client is the SDK, as its makers ship it, and the few lines that any app has around it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from tests.conformance.clients import anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses
from tests.conformance.told import Told, Wire


class Client(Protocol):
    async def ask(self, model: str, stream: bool) -> Told:
        """Raises Raised."""
        ...


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[Mapping[Wire, Client]]:
    """One of each, before this gateway."""
    async with AsyncExitStack() as stack:
        yield {
            "openai_chat": await stack.enter_async_context(openai_chat.client(url)),
            "openai_responses": await stack.enter_async_context(openai_responses.client(url)),
            "anthropic": await stack.enter_async_context(anthropic.client(url)),
            "gemini": await stack.enter_async_context(gemini.client(url)),
            "bedrock": stack.enter_context(bedrock.client(url)),
            "bedrock_invoke": await stack.enter_async_context(anthropic.on_bedrock(url)),
            "bedrock_native": stack.enter_context(bedrock.client(url, native=True)),
            "ollama": await stack.enter_async_context(ollama.client(url)),
            "ollama_generate": await stack.enter_async_context(ollama.client(url, prompts=True)),
            "cohere": await stack.enter_async_context(cohere.client(url)),
        }
