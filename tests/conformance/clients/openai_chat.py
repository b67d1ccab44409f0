"""What does OpenAI's SDK read, asked for chat completions?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai import AsyncOpenAI

from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used, arguments

_ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


@asynccontextmanager
async def client(url: str) -> AsyncIterator["Chat"]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as sdk:
        yield Chat(sdk)


class Chat:
    def __init__(self, sdk: AsyncOpenAI) -> None:
        self._sdk = sdk

    async def ask(self, model: str, stream: bool) -> Told:
        try:
            return await (self._live(model) if stream else self._whole(model))
        except openai.APIError as error:
            raise raised(error) from error

    async def _whole(self, model: str) -> Told:
        said = await self._sdk.chat.completions.create(model=model, **_ASKED)
        return _told([(choice.index, choice.message, choice.finish_reason) for choice in said.choices], said.usage)

    async def _live(self, model: str) -> Told:
        """Put together as the documentation has it: deltas, calls by their index, usage in a chunk of its own."""
        heard, usage = [], None
        stream: Any = await self._sdk.chat.completions.create(
            model=model, stream=True, stream_options={"include_usage": True}, **_ASKED
        )
        async for chunk in stream:
            usage = chunk.usage or usage
            heard += [(choice.index, choice.delta, choice.finish_reason) for choice in chunk.choices]
        return _told(heard, usage)


def raised(error: openai.APIError) -> Raised:
    if isinstance(error, openai.APIStatusError):
        return Raised(error.message, error.status_code, error.response.headers)
    return Raised(error.message)


def _told(heard: list[tuple[int, Any, str | None]], usage: Any) -> Told:
    """`heard`: messages or deltas, each with its choice."""
    said = [message for index, message, _ in heard if index == 0]
    calls: dict[int, list[str]] = {}  # by index: id, name, arguments
    for message in said:
        for place, call in enumerate(message.tool_calls or []):
            own = calls.setdefault(getattr(call, "index", place), ["", "", ""])
            inner = getattr(call, "function", None) or call.custom  # a delta has the one, a message may have the other
            own[0] += call.id or ""
            own[1] += inner.name or ""
            own[2] += getattr(inner, "arguments", None) or getattr(inner, "input", None) or ""
    legacy = [message.function_call for message in said if message.function_call]
    if any(call.name for call in legacy):
        calls[-1] = ["", "".join(c.name or "" for c in legacy), "".join(c.arguments or "" for c in legacy)]
    reasons = [reason for index, _, reason in heard if index == 0 and reason]
    return Told(
        text="".join((message.content or "") + (message.refusal or "") + _transcript(message) for message in said),
        thinking="".join(_thought(message) for message in said),
        calls=[Call(name, arguments(text), own) for own, name, text in calls.values()],
        finish=reasons[-1] if reasons else "",
        used=_used(usage),
        apart=frozenset(
            [
                *("choices" for index, _, _ in heard if index),
                *("sound" for message in said if getattr(message, "audio", None)),
                *("image" for message in said if (message.model_extra or {}).get("images")),
            ]
        ),
    )


def _transcript(message: Any) -> str:
    audio: Any = getattr(message, "audio", None)
    return (audio.transcript or "") if audio else ""


def _thought(message: Any) -> str:
    extra = message.model_extra or {}
    return extra.get("reasoning_content") or extra.get("reasoning") or ""


def _used(usage: Any) -> Used:
    if usage is None:
        return Used(0, 0, None, 0, 0)
    read, said = usage.prompt_tokens_details, usage.completion_tokens_details
    return Used(
        usage.prompt_tokens,
        (read.cached_tokens or 0) if read else 0,
        None,
        usage.completion_tokens,
        (said.reasoning_tokens or 0) if said else 0,
    )
