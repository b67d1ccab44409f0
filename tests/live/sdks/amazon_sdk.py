"""How does Amazon's SDK ask? It is not async, and is asked in a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from tests.live.purse import MAX_TOKENS
from tests.live.sdks.talk import DESCRIPTION, NAME, PARAMETERS, Question, Refused, Said, Talk

# They come without types.
boto3 = import_module("boto3")
CONFIG = import_module("botocore.config").Config
EXCEPTIONS = import_module("botocore.exceptions")


@asynccontextmanager
async def converse(url: str) -> AsyncIterator[Talk]:
    sdk = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="unused",
        config=CONFIG(retries={"total_max_attempts": 1}),
    )
    try:
        yield Converse(sdk)
    finally:
        sdk.close()


class Converse:
    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        return await asyncio.to_thread(self._ask, model, question, stream)

    async def count(self, model: str, question: Question) -> int:
        counting = {"converse": {"messages": _messages(question)}}
        counted = await asyncio.to_thread(lambda: self._sdk.count_tokens(modelId=model, input=counting))
        return int(counted["inputTokens"])

    def _ask(self, model: str, question: Question, stream: bool) -> Said:
        asked: Any = {"modelId": model, "messages": _messages(question)}
        asked["inferenceConfig"] = {"maxTokens": MAX_TOKENS}
        if question.tool:
            tool = {"name": NAME, "description": DESCRIPTION, "inputSchema": {"json": PARAMETERS}}
            asked["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"any": {}}}
        try:
            return self._streamed(asked) if stream else _said(self._sdk.converse(**asked))
        except EXCEPTIONS.ClientError as error:
            told = error.response
        raise Refused(told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"])  # its frames hold a socket

    def _streamed(self, asked: Any) -> Said:
        live = self._sdk.converse_stream(**asked)["stream"]
        try:
            events = list(live)
        finally:
            live.close()
        deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
        text = "".join(delta.get("text", "") for delta in deltas)
        return Said(text, [], sum(event["metadata"]["usage"]["totalTokens"] for event in events if "metadata" in event))


def _messages(question: Question) -> Any:
    content: Any = [{"text": question.text}]
    if question.image is not None:
        content.append({"image": {"format": "png", "source": {"bytes": question.image}}})
    return [{"role": "user", "content": content}]


def _said(answer: Any) -> Said:
    content = answer["output"]["message"]["content"]
    calls = [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in content if "toolUse" in block]
    text = "".join(block.get("text", "") for block in content)
    return Said(text, calls, answer["usage"]["totalTokens"])
