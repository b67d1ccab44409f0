"""What does Ollama's SDK read? It shows no headers of an error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import ollama

from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used

_ASKED: Any = [{"role": "user", "content": "Hi"}]


@asynccontextmanager
async def client(url: str, prompts: bool = False) -> AsyncIterator["Chat"]:
    sdk = ollama.AsyncClient(host=url)
    try:
        yield Prompt(sdk) if prompts else Chat(sdk)
    finally:
        await sdk.close()  # type: ignore[no-untyped-call]


class Chat:
    def __init__(self, sdk: ollama.AsyncClient) -> None:
        self._sdk = sdk

    async def ask(self, model: str, stream: bool) -> Told:
        try:
            said = await self._say(model, stream)
            return _told([line async for line in said] if stream else [said])
        except ollama.ResponseError as error:
            raise Raised(error.error, None if error.status_code == -1 else error.status_code) from error
        except httpx.HTTPError as error:
            raise Raised(f"{type(error).__name__} {error}") from error

    async def _say(self, model: str, stream: bool) -> Any:
        return await self._sdk.chat(model=model, messages=_ASKED, stream=cast(Any, stream))


class Prompt(Chat):
    async def _say(self, model: str, stream: bool) -> Any:
        return await self._sdk.generate(model=model, prompt="Hi", stream=cast(Any, stream))


def _told(lines: list[ollama.ChatResponse | ollama.GenerateResponse]) -> Told:
    last = lines[-1] if lines else None
    if last is None or not last.done:
        raise Raised("the stream ended without a line that is done")
    messages = [_message(line) for line in lines]
    return Told(
        text="".join(message.content or "" for message in messages),
        thinking="".join(message.thinking or "" for message in messages),
        calls=[Call(c.function.name, c.function.arguments) for message in messages for c in message.tool_calls or []],
        finish=last.done_reason or "",
        used=Used(read=last.prompt_eval_count, said=last.eval_count),
    )


def _message(line: ollama.ChatResponse | ollama.GenerateResponse) -> ollama.Message:
    if isinstance(line, ollama.ChatResponse):
        return line.message
    return ollama.Message(role="assistant", content=line.response, thinking=line.thinking)
