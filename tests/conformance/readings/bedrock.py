"""What does a recorded answer of Bedrock's say, by Converse or by InvokeModel?

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, ..._ConverseStream.html,
..._InvokeModel.html and ..._InvokeModelWithResponseStream.html. The frames of a stream are taken apart by Amazon's own
botocore.
"""

import json
from base64 import b64decode
from importlib import import_module
from typing import Any

from tests import recordings
from tests.conformance.readings import anthropic
from tests.conformance.told import Call, Json, Told, Used, arguments
from tests.recordings import Row


def read(row: Row) -> Told:
    blocks, finish, usage = _streamed(row) if row["framing"] == "aws-eventstream" else _whole(row)
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    served = any(call.get("type") == "server_tool_use" for call in calls) or any("toolResult" in b for b in blocks)
    return Told(
        text="".join(_text(block) for block in blocks),
        thinking="".join(
            block["reasoningContent"].get("reasoningText", {}).get("text", "")
            for block in blocks
            if "reasoningContent" in block
        ),
        calls=[
            Call(call["name"], arguments(call["input"]), call["toolUseId"])
            for call in calls
            if call.get("type") != "server_tool_use"
        ],
        finish=finish,
        used=Used(usage["inputTokens"] + cached + written, cached, written, usage["outputTokens"]) if usage else Used(),
        apart=frozenset(["server tools"] if served else [])
        | frozenset("image" for block in blocks if "image" in block),
    )


def read_invoked(row: Row) -> Told:
    """Claude's: a message of Anthropic's, whose tokens may stand in the head alone."""
    if row["framing"] == "aws-eventstream":
        said = b"".join(b"data: %b\n\n" % chunk for chunk in _chunks(row)).decode()
        return anthropic.read(row | {"framing": "sse", "response_body": said, "response_encoding": "text"})
    counted = _counted(row)
    said = json.dumps(
        {"usage": {"input_tokens": counted.read, "output_tokens": counted.said}} | json.loads(recordings.body(row))
    )
    return anthropic.read(row | {"response_body": said, "response_encoding": "text"})


def read_native(row: Row) -> Told:
    """Another family's: as it stands."""
    said = b"".join(_chunks(row)) if row["framing"] == "aws-eventstream" else recordings.body(row)
    return Told(said.decode(), "", [], "", _counted(row))


def _chunks(row: Row) -> list[bytes]:
    return [b64decode(event["bytes"]) for _, event in events(row)]


def _counted(row: Row) -> Used:
    counts = (row["response_headers"].get(f"x-amzn-bedrock-{way}-token-count") for way in ("input", "output"))
    read, said = (count and int(count) for count in counts)
    return Used(read=read, said=said)


def _text(block: Json) -> str:
    cited = block.get("citationsContent", {}).get("content", [])
    return str(block.get("text", "")) + "".join(piece.get("text", "") for piece in cited)


def _whole(row: Row) -> tuple[list[Json], str, Json]:
    said = json.loads(recordings.body(row))
    return said["output"]["message"]["content"], said["stopReason"], said.get("usage") or {}


def _streamed(row: Row) -> tuple[list[Json], str, Json]:
    blocks: dict[int, Json] = {}
    finish, usage = "", {}
    for kind, event in events(row):
        match kind:
            case "contentBlockStart":
                blocks[event["contentBlockIndex"]] = _begun(event["start"])
            case "contentBlockDelta":
                _grow(blocks.setdefault(event["contentBlockIndex"], {}), event["delta"])
            case "messageStop":
                finish = event["stopReason"]
            case "metadata":
                usage = event["usage"]
            case _:
                pass
    return [blocks[index] for index in sorted(blocks)], finish, usage


def events(row: Row) -> list[tuple[str, Json]]:
    buffer = import_module("botocore.eventstream").EventStreamBuffer()  # it comes without types
    buffer.add_data(recordings.body(row))
    return [(event.headers[":event-type"], json.loads(event.payload)) for event in buffer]


def _begun(start: Json) -> Json:
    return {"toolUse": start["toolUse"] | {"input": ""}} if "toolUse" in start else dict(start)


def _grow(block: Json, delta: Json) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta and "toolUse" in block:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        inner: Any = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        inner["text"] += delta["reasoningContent"].get("text", "")
    elif "citation" not in delta:
        block |= delta
