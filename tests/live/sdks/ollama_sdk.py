"""How does Ollama's SDK ask?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ollama

from tests.live.purse import MAX_TOKENS
from tests.live.sdks.talk import DESCRIPTION, NAME, PARAMETERS, Question, Refused, Said, Talk


@asynccontextmanager
async def chat(url: str) -> AsyncIterator[Talk]:
    sdk = ollama.AsyncClient(host=url)
    try:
        yield Chat(sdk)
    finally:
        await sdk.close()  # type: ignore[no-untyped-call]


class Chat:
    def __init__(self, sdk: ollama.AsyncClient) -> None:
        self._sdk = sdk

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        message: Any = {"role": "user", "content": question.text}
        if question.image is not None:
            message["images"] = [question.image]
        asked: Any = {"model": model, "messages": [message], "options": {"num_predict": MAX_TOKENS}}
        if question.tool:
            inner = {"name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
            asked["tools"] = [{"type": "function", "function": inner}]
        try:
            if not stream:
                return _said([await self._sdk.chat(**asked)])
            return _said([line async for line in await self._sdk.chat(**asked, stream=True)])
        except ollama.ResponseError as error:
            raise Refused(error.status_code, error.error) from error


def _said(lines: list[ollama.ChatResponse]) -> Said:
    calls = [call.function for line in lines for call in line.message.tool_calls or []]
    last = lines[-1]
    return Said(
        "".join(line.message.content or "" for line in lines),
        [(call.name, call.arguments) for call in calls],
        (last.prompt_eval_count or 0) + (last.eval_count or 0),
    )
