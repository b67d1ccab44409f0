"""What does Anthropic's SDK read, from its own API and from InvokeModel?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
from anthropic import AsyncAnthropic, AsyncAnthropicBedrock
from anthropic.types import Message

from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used

_ASKED: dict[str, Any] = {"max_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}]}
_OURS = {"text", "thinking", "redacted_thinking", "tool_use"}


@asynccontextmanager
async def client(url: str) -> AsyncIterator["Messages"]:
    async with AsyncAnthropic(base_url=url, api_key="unused", max_retries=0) as sdk:
        yield Messages(sdk)


@asynccontextmanager
async def on_bedrock(url: str) -> AsyncIterator["Messages"]:
    async with AsyncAnthropicBedrock(
        base_url=url, aws_region="us-east-1", aws_access_key="AKIDEXAMPLE", aws_secret_key="unused", max_retries=0
    ) as sdk:
        yield Messages(sdk)


class Messages:
    def __init__(self, sdk: AsyncAnthropic | AsyncAnthropicBedrock) -> None:
        self._sdk = sdk

    async def ask(self, model: str, stream: bool) -> Told:
        try:
            if not stream:
                return _told(await self._sdk.messages.create(model=model, **_ASKED))
            async with self._sdk.messages.stream(model=model, **_ASKED) as live:
                return _told(await live.get_final_message())
        except anthropic.APIStatusError as error:
            # An error event under status 200 is raised with that status.
            status = None if error.status_code == 200 else error.status_code
            raise Raised(str(error.message), status, error.response.headers) from error
        except anthropic.AnthropicError as error:
            raise Raised(str(error)) from error


def _told(said: Message) -> Told:
    usage = said.usage
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Told(
        text="".join(block.text for block in said.content if block.type == "text"),
        thinking="".join(block.thinking for block in said.content if block.type == "thinking"),
        calls=[Call(block.name, block.input, block.id) for block in said.content if block.type == "tool_use"],
        finish=said.stop_reason or "",
        used=Used(usage.input_tokens + cached + written, cached, written, usage.output_tokens),
        apart=frozenset("server tools" for block in said.content if block.type not in _OURS),
    )
