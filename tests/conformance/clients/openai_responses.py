"""What does OpenAI's SDK read, asked for responses?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai import AsyncOpenAI

from tests.conformance.clients.openai_chat import raised
from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used, arguments

_OURS = {"message", "reasoning", "function_call", "custom_tool_call"}
_APART = {"image_generation_call": "image"}


@asynccontextmanager
async def client(url: str) -> AsyncIterator["Responses"]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as sdk:
        yield Responses(sdk)


class Responses:
    def __init__(self, sdk: AsyncOpenAI) -> None:
        self._sdk = sdk

    async def ask(self, model: str, stream: bool) -> Told:
        try:
            if not stream:
                return _told(await self._sdk.responses.create(model=model, input="Hi"))
            return await self._live(model)
        except openai.APIError as error:
            raise raised(error) from error

    async def _live(self, model: str) -> Told:
        """The response that the last event has; the deltas must have said the same text."""
        last: Any = None
        deltas = ""
        async for event in await self._sdk.responses.create(model=model, input="Hi", stream=True):
            if event.type in ("response.output_text.delta", "response.refusal.delta"):
                deltas += event.delta
            if event.type in ("response.completed", "response.incomplete"):
                last = event.response
            if event.type in ("response.failed", "error"):
                raise Raised(_failure(event))
        if last is None:
            raise Raised("the stream ended without a last event")
        told = _told(last)
        assert deltas == told.text, f"the deltas said {deltas!r:.200} and the response {told.text!r:.200}"
        return told


def _failure(event: Any) -> str:
    said = event.response.error if event.type == "response.failed" else event
    return said.message if said else "failed, and no word why"


def _told(said: Any) -> Told:
    items = said.output
    parts = [part for item in items if item.type == "message" for part in item.content]
    usage = said.usage
    return Told(
        text="".join(part.text if part.type == "output_text" else part.refusal for part in parts),
        thinking="".join(_thought(item) for item in items if item.type == "reasoning"),
        calls=[_call(item) for item in items if item.type in ("function_call", "custom_tool_call")],
        finish=(said.incomplete_details.reason if said.incomplete_details else None) or said.status,
        used=Used()
        if usage is None
        else Used(
            usage.input_tokens,
            usage.input_tokens_details.cached_tokens if usage.input_tokens_details else 0,
            None,
            usage.output_tokens,
            usage.output_tokens_details.reasoning_tokens if usage.output_tokens_details else 0,
        ),
        apart=frozenset(_APART.get(item.type, "server tools") for item in items if item.type not in _OURS),
    )


def _thought(item: Any) -> str:
    return "".join(part.text for part in item.content or item.summary)


def _call(item: Any) -> Call:
    if item.type == "custom_tool_call":
        return Call(item.name, item.input, item.call_id)
    return Call(item.name, arguments(item.arguments), item.call_id)
