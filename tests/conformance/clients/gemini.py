"""What does Google's SDK read?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used


@asynccontextmanager
async def client(url: str) -> AsyncIterator["Generate"]:
    args = {"transport": httpx2.AsyncHTTPTransport()}  # over aiohttp it would forget to close a stream that broke
    sdk = genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=url, async_client_args=args))
    try:
        yield Generate(sdk)
    finally:
        await sdk.aio.aclose()
        sdk.close()


class Generate:
    def __init__(self, sdk: genai.Client) -> None:
        self._models = sdk.aio.models

    async def ask(self, model: str, stream: bool) -> Told:
        try:
            if not stream:
                return _told([await self._models.generate_content(model=model, contents="Hi")])
            live = await self._models.generate_content_stream(model=model, contents="Hi")
            return _told([chunk async for chunk in live])
        except errors.APIError as error:
            response: Any = error.response
            live_status = (
                getattr(response, "status_code", None) == 200
            )  # the code is what the broken stream's error says
            raise Raised(error.message or "", None if live_status else error.code, _headers(response)) from error
        except errors.UnknownApiResponseError as error:
            raise Raised(str(error)) from error


def _medium(part: types.Part) -> str:
    source: Any = part.inline_data or part.file_data
    return "sound" if source.mime_type.startswith("audio/") else "image"


def _headers(response: Any) -> Any:
    return getattr(response, "headers", None)


def _told(chunks: list[types.GenerateContentResponse]) -> Told:
    candidates = [each for chunk in chunks for each in chunk.candidates or []]
    first = [each for each in candidates if not each.index]
    parts = [part for each in first if each.content for part in each.content.parts or []]
    calls = [part.function_call for part in parts if part.function_call]
    reasons = [each.finish_reason.value for each in first if each.finish_reason]
    blocked = [chunk.prompt_feedback.block_reason for chunk in chunks if chunk.prompt_feedback]
    counted = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    return Told(
        text="".join(part.text or "" for part in parts if not part.thought),
        thinking="".join(part.text or "" for part in parts if part.thought),
        calls=[Call(call.name or "", call.args or {}, call.id or "") for call in calls],
        finish=reasons[-1] if reasons else next((reason.value for reason in blocked if reason), ""),
        used=_used(counted[-1]) if counted else Used(0, 0, None, 0, 0),
        apart=frozenset(
            [
                *(_medium(part) for part in parts if part.inline_data or part.file_data),
                *("server tools" for part in parts if part.executable_code or part.code_execution_result),
                *("choices" for each in candidates if each.index),
            ]
        ),
    )


def _used(usage: types.GenerateContentResponseUsageMetadata) -> Used:
    thoughts = usage.thoughts_token_count or 0
    return Used(
        (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        usage.cached_content_token_count or 0,
        None,
        (usage.candidates_token_count or 0) + thoughts,
        thoughts,
    )
