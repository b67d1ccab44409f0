"""How does Anthropic's SDK ask?"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
from anthropic import AsyncAnthropic
from anthropic.types import Message

from tests.live.purse import MAX_TOKENS
from tests.live.sdks.talk import DESCRIPTION, NAME, PARAMETERS, Question, Refused, Said, Talk


@asynccontextmanager
async def messages(url: str) -> AsyncIterator[Talk]:
    async with AsyncAnthropic(base_url=url, api_key="unused", max_retries=0) as sdk:
        yield Messages(sdk)


class Messages:
    def __init__(self, sdk: AsyncAnthropic) -> None:
        self._sdk = sdk

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        asked = _asked(model, question) | {"max_tokens": MAX_TOKENS}
        try:
            if not stream:
                return _said(await self._sdk.messages.create(**asked))
            async with self._sdk.messages.stream(**asked) as live:
                return _said(await live.get_final_message())
        except anthropic.APIStatusError as error:
            raise Refused(error.status_code, error.message) from error

    async def count(self, model: str, question: Question) -> int:
        return (await self._sdk.messages.count_tokens(**_asked(model, question))).input_tokens


def _asked(model: str, question: Question) -> Any:
    content: Any = [{"type": "text", "text": question.text}]
    if question.image is not None:
        data = base64.b64encode(question.image).decode()
        content.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}})
    asked: Any = {"model": model, "messages": [{"role": "user", "content": content}]}
    if question.tool:
        asked["tools"] = [{"name": NAME, "description": DESCRIPTION, "input_schema": PARAMETERS}]
        asked["tool_choice"] = {"type": "any"}
    return asked


def _said(message: Message) -> Said:
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    return Said(text, calls, message.usage.input_tokens + message.usage.output_tokens)
