"""How does Google's SDK ask?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google import genai
from google.genai import errors, types

from tests.live.purse import MAX_TOKENS
from tests.live.sdks.talk import DESCRIPTION, NAME, PARAMETERS, Question, Refused, Said, Talk


@asynccontextmanager
async def generate(url: str) -> AsyncIterator[Talk]:
    sdk = genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=url))
    try:
        yield Generate(sdk.aio.models)
    finally:
        await sdk.aio.aclose()
        sdk.close()


class Generate:
    def __init__(self, models: Any) -> None:
        self._models = models

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        asked = {"model": model, "contents": _contents(question), "config": _config(question)}
        try:
            if not stream:
                return _said([await self._models.generate_content(**asked)])
            return _said([chunk async for chunk in await self._models.generate_content_stream(**asked)])
        except errors.APIError as error:
            raise Refused(error.code, error.message or "") from error

    async def count(self, model: str, question: Question) -> int:
        counted = await self._models.count_tokens(model=model, contents=_contents(question))
        return int(counted.total_tokens)


def _contents(question: Question) -> list[Any]:
    image = question.image
    return [question.text, *([] if image is None else [types.Part.from_bytes(data=image, mime_type="image/png")])]


def _config(question: Question) -> types.GenerateContentConfig:
    if not question.tool:
        return types.GenerateContentConfig(max_output_tokens=MAX_TOKENS)
    offer = types.FunctionDeclaration(name=NAME, description=DESCRIPTION, parameters_json_schema=PARAMETERS)
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    return types.GenerateContentConfig(
        max_output_tokens=MAX_TOKENS,
        tools=[types.Tool(function_declarations=[offer])],
        tool_config=types.ToolConfig(function_calling_config=calling),
    )


def _said(chunks: list[types.GenerateContentResponse]) -> Said:
    contents = [chunk.candidates[0].content for chunk in chunks if chunk.candidates]
    parts = [part for content in contents if content for part in content.parts or []]
    calls = [part.function_call for part in parts if part.function_call]
    counts = [chunk.usage_metadata.total_token_count or 0 for chunk in chunks if chunk.usage_metadata]
    text = "".join(part.text or "" for part in parts if not part.thought)
    return Said(text, [(call.name or "", call.args) for call in calls], counts[-1] if counts else 0)
