"""How does Cohere's SDK ask?"""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cohere
import httpx
from cohere.core.api_error import ApiError

from tests.live.purse import MAX_TOKENS
from tests.live.sdks.talk import DESCRIPTION, NAME, PARAMETERS, Question, Refused, Said, Talk


@asynccontextmanager
async def chat(url: str) -> AsyncIterator[Talk]:
    async with httpx.AsyncClient() as http:
        yield Chat(cohere.AsyncClientV2(api_key="unused", base_url=url, httpx_client=http))


class Chat:
    def __init__(self, sdk: cohere.AsyncClientV2) -> None:
        self._sdk = sdk

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        content: Any = [{"type": "text", "text": question.text}]
        if question.image is not None:
            url = f"data:image/png;base64,{base64.b64encode(question.image).decode()}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        asked: Any = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": MAX_TOKENS}
        if question.tool:
            inner = {"name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
            asked |= {"tools": [{"type": "function", "function": inner}], "tool_choice": "REQUIRED"}
        asked["request_options"] = {"max_retries": 0}
        try:
            return await self._streamed(asked) if stream else _said(await self._sdk.chat(**asked))
        except ApiError as error:
            body: Any = error.body
            raise Refused(
                error.status_code, str(body.get("message", "") if isinstance(body, dict) else body)
            ) from error

    async def _streamed(self, asked: Any) -> Said:
        text, tokens = "", 0
        async for event in self._sdk.chat_stream(**asked):
            said: Any = event
            if said.type == "content-delta":
                text += said.delta.message.content.text or ""
            elif said.type == "message-end":
                tokens = _tokens(said.delta.usage)
        return Said(text, [], tokens)


def _said(answer: Any) -> Said:
    calls = [call.function for call in answer.message.tool_calls or []]
    text = "".join(item.text for item in answer.message.content or [] if item.type == "text")
    return Said(text, [(call.name, json.loads(call.arguments)) for call in calls], _tokens(answer.usage))


def _tokens(usage: Any) -> int:
    return int(usage.tokens.input_tokens + usage.tokens.output_tokens)
