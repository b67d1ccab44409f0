"""What does Cohere's SDK read?

An event that it cannot read it passes over, and an unknown one as well. Its wire has no other word for a stream that
broke than a message-end with the finish reason ERROR, and the same word for an answer that was withheld. So that raises
here, unless it counts its tokens, and what was read goes with it: whoever looks for an answer finds it there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cohere
import httpx
from cohere.core.api_error import ApiError

from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used, arguments

_ASKED: Any = [{"role": "user", "content": "Hi"}]
_ONCE: Any = {"max_retries": 0}


@asynccontextmanager
async def client(url: str) -> AsyncIterator["Chat"]:
    async with httpx.AsyncClient() as http:
        yield Chat(cohere.AsyncClientV2(api_key="unused", base_url=url, httpx_client=http))


class Chat:
    def __init__(self, sdk: cohere.AsyncClientV2) -> None:
        self._sdk = sdk

    async def ask(self, model: str, stream: bool) -> Told:
        try:
            if stream:
                return await self._live(model)
            return _whole(await self._sdk.chat(model=model, messages=_ASKED, request_options=_ONCE))
        except ApiError as error:
            body = error.body
            said = body.get("message", "") if isinstance(body, dict) else getattr(body, "message", str(body))
            raise Raised(str(said), error.status_code, error.headers) from error
        except httpx.HTTPError as error:
            raise Raised(f"{type(error).__name__} {error}") from error

    async def _live(self, model: str) -> Told:
        plan = text = thinking = ""
        calls: list[Any] = []
        async for event in self._sdk.chat_stream(model=model, messages=_ASKED, request_options=_ONCE):
            said: Any = event
            match said.type:
                case "content-start" | "content-delta":
                    text += said.delta.message.content.text or ""
                    thinking += said.delta.message.content.thinking or ""
                case "tool-plan-delta":
                    plan += said.delta.message.tool_plan
                case "tool-call-start":
                    call = said.delta.message.tool_calls
                    calls.append([call.function.name, call.function.arguments or "", call.id])
                case "tool-call-delta":
                    calls[-1][1] += said.delta.message.tool_calls.function.arguments
                case "message-end":
                    made = [Call(name, arguments(pieces), own) for name, pieces, own in calls]
                    told = Told(text, plan + thinking, made, said.delta.finish_reason or "", _used(said.delta.usage))
                    if told.finish in ("ERROR", "TIMEOUT") and said.delta.usage is None:
                        raise Raised(said.delta.error or "", told=told)
                    return told
                case _:
                    pass
        raise Raised("the stream ended without a message-end")


def _whole(said: Any) -> Told:
    message = said.message
    content = message.content or []
    return Told(
        text="".join(item.text for item in content if item.type == "text"),
        thinking=(message.tool_plan or "") + "".join(item.thinking for item in content if item.type == "thinking"),
        calls=[
            Call(call.function.name, arguments(call.function.arguments), call.id) for call in message.tool_calls or []
        ],
        finish=said.finish_reason,
        used=_used(said.usage),
    )


def _used(usage: Any) -> Used:
    counts = usage.tokens if usage else None
    if counts is None:
        return Used(0, 0, None, 0)
    return Used(int(counts.input_tokens or 0), int(usage.cached_tokens or 0), None, int(counts.output_tokens or 0))
