"""What does Amazon's SDK read? It is not async, and is asked in a thread."""

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any

from tests.conformance.clients.raised import Raised
from tests.conformance.told import Call, Told, Used, arguments

# They come without types.
boto3 = import_module("boto3")
CONFIG = import_module("botocore.config").Config
EXCEPTIONS = import_module("botocore.exceptions")

_ASKED: Any = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
_NATIVE = json.dumps({"inputText": "Hi"})


@contextmanager
def client(url: str, native: bool = False) -> Iterator["Converse"]:
    sdk = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="unused",
        config=CONFIG(retries={"total_max_attempts": 1}),
    )
    try:
        yield Native(sdk) if native else Converse(sdk)
    finally:
        sdk.close()
        gc.collect()  # a stream that could not be read leaves its connection in a cycle


class Converse:
    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk

    async def ask(self, model: str, stream: bool) -> Told:
        return await asyncio.to_thread(self._ask, model, stream)

    def _ask(self, model: str, stream: bool) -> Told:
        try:
            return self._read(model) if not stream else self._listen(model)
        except EXCEPTIONS.EventStreamError as error:
            raise Raised(error.response["Error"]["Message"]) from error
        except EXCEPTIONS.ClientError as error:
            head = error.response["ResponseMetadata"]
            raise Raised(error.response["Error"]["Message"], head["HTTPStatusCode"], head["HTTPHeaders"]) from error
        except EXCEPTIONS.BotoCoreError as error:
            raise Raised(str(error)) from error

    def _read(self, model: str) -> Told:
        said = self._sdk.converse(modelId=model, **_ASKED)
        return _told(said["output"]["message"]["content"], said["stopReason"], said.get("usage"))

    def _listen(self, model: str) -> Told:
        with closing(self._sdk.converse_stream(modelId=model, **_ASKED)["stream"]) as live:
            return _heard(list(live))


class Native(Converse):
    """InvokeModel, of which the SDK reads nothing: it hands on the bytes. They are the text; the head tells tokens."""

    def _read(self, model: str) -> Told:
        said = self._sdk.invoke_model(modelId=model, body=_NATIVE)
        head = said["ResponseMetadata"]["HTTPHeaders"]
        read, written = (head.get(f"x-amzn-bedrock-{way}-token-count") for way in ("input", "output"))
        used = Used(read=read and int(read), said=written and int(written))
        return Told(said["body"].read().decode(), "", [], "", used)

    def _listen(self, model: str) -> Told:
        with closing(self._sdk.invoke_model_with_response_stream(modelId=model, body=_NATIVE)["body"]) as live:
            return Told(b"".join(event["chunk"]["bytes"] for event in live).decode(), "", [], "", Used())


def _heard(events: list[Any]) -> Told:
    blocks: dict[int, Any] = {}
    finish, usage = "", None
    for event in events:
        match event:
            case {"contentBlockStart": {"contentBlockIndex": index, "start": start}}:
                blocks[index] = {key: {**inner, "input": ""} for key, inner in start.items()}
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}:
                _grow(blocks.setdefault(index, {}), delta)
            case {"messageStop": {"stopReason": finish}}:
                pass
            case {"metadata": {"usage": usage}}:
                pass
            case _:
                pass
    if not finish:
        raise Raised("the stream ended without a messageStop")
    return _told(list(blocks.values()), finish, usage)


def _grow(block: Any, delta: Any) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        inner = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        inner["text"] += delta["reasoningContent"].get("text", "")


def _told(blocks: list[Any], finish: str, usage: Any) -> Told:
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    thoughts = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
    served = [call for call in calls if call.get("type") == "server_tool_use"]
    return Told(
        text="".join(_text(block) for block in blocks),
        thinking="".join(thought.get("reasoningText", {}).get("text", "") for thought in thoughts),
        calls=[Call(c["name"], arguments(c["input"]), c["toolUseId"]) for c in calls if c not in served],
        finish=finish,
        used=_used(usage),
        apart=frozenset(["server tools"] if served or any("toolResult" in b for b in blocks) else [])
        | frozenset("image" for block in blocks if "image" in block),
    )


def _text(block: Any) -> str:
    cited = block.get("citationsContent", {}).get("content", [])
    return str(block.get("text", "")) + "".join(piece.get("text", "") for piece in cited)


def _used(usage: Any) -> Used:
    if not usage:
        return Used(0, 0, 0, 0)
    cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    return Used(usage["inputTokens"] + cached + written, cached, written, usage["outputTokens"])
