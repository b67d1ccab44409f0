"""How does OpenAI's SDK ask, by either of its APIs?"""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai import AsyncOpenAI

from tests.live.purse import MAX_TOKENS
from tests.live.sdks.talk import DESCRIPTION, NAME, PARAMETERS, Question, Refused, Said, Talk


@asynccontextmanager
async def chat(url: str) -> AsyncIterator[Talk]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as sdk:
        yield Chat(sdk)


@asynccontextmanager
async def responses(url: str) -> AsyncIterator[Talk]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as sdk:
        yield Responses(sdk)


class _OpenAI(ABC):
    def __init__(self, sdk: AsyncOpenAI) -> None:
        self._sdk = sdk

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        try:
            return await self._asked(model, question, stream)
        except openai.APIError as error:
            raise Refused(getattr(error, "status_code", None), error.message) from error

    @abstractmethod
    async def _asked(self, model: str, question: Question, stream: bool) -> Said:
        """Raises openai.APIError."""


class Chat(_OpenAI):
    async def _asked(self, model: str, question: Question, stream: bool) -> Said:
        content: Any = [{"type": "text", "text": question.text}]
        if question.image is not None:
            content.append({"type": "image_url", "image_url": {"url": _data_url(question.image)}})
        asked: Any = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": MAX_TOKENS}
        if question.tool:
            inner = {"name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
            asked |= {"tools": [{"type": "function", "function": inner}], "tool_choice": "required"}
        if stream:
            return await self._streamed(asked)
        whole = await self._sdk.chat.completions.create(**asked)
        message = whole.choices[0].message
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        return Said(message.content or "", calls, whole.usage.total_tokens if whole.usage else 0)

    async def _streamed(self, asked: Any) -> Said:
        chunks = [
            chunk
            async for chunk in await self._sdk.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
        ]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        return Said(text, [], sum(chunk.usage.total_tokens for chunk in chunks if chunk.usage))


class Responses(_OpenAI):
    async def _asked(self, model: str, question: Question, stream: bool) -> Said:
        content: Any = [{"type": "input_text", "text": question.text}]
        if question.image is not None:
            content.append({"type": "input_image", "detail": "low", "image_url": _data_url(question.image)})
        asked: Any = {"model": model, "input": [{"role": "user", "content": content}], "max_output_tokens": MAX_TOKENS}
        if question.tool:
            tool = {"type": "function", "name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
            asked |= {"tools": [{**tool, "strict": False}], "tool_choice": "required"}
        if stream:
            events = [event async for event in await self._sdk.responses.create(**asked, stream=True)]
            return _said(events[-1].response)
        return _said(await self._sdk.responses.create(**asked))


def _said(response: Any) -> Said:
    calls = [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    return Said(response.output_text, calls, response.usage.total_tokens)


def _data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
