"""What does a recorded Response say? https://platform.openai.com/docs/api-reference/responses/object"""

import json
from typing import Any

from tests import recordings, replay
from tests.conformance.told import Call, Json, Told, Used, arguments
from tests.recordings import Row

_OURS = {"message", "reasoning", "function_call", "custom_tool_call"}


def read(row: Row) -> Told:
    response, items = _streamed(row) if row["framing"] == "sse" else _whole(row)
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    usage: Json = response.get("usage") or {}
    return Told(
        text="".join(part.get("text") or part.get("refusal") or "" for part in parts),
        thinking="".join(_thought(item) for item in items if item["type"] == "reasoning"),
        calls=[call for item in items for call in _call(item)],
        finish=(response.get("incomplete_details") or {}).get("reason") or response["status"],
        used=Used(
            usage.get("input_tokens"),
            (usage.get("input_tokens_details") or {}).get("cached_tokens"),
            None,
            usage.get("output_tokens"),
            (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
        ),
        apart=frozenset("server tools" for item in items if item["type"] not in _OURS),
        declined=any(part["type"] == "refusal" for part in parts),
    )


def _whole(row: Row) -> tuple[Json, list[Json]]:
    response = json.loads(recordings.body(row))
    return response, response["output"]


def _streamed(row: Row) -> tuple[Json, list[Json]]:
    """The last event has the response; the items are those that were done."""
    events = replay.events(row)
    return events[-1]["response"], [event["item"] for event in events if event["type"] == "response.output_item.done"]


def _thought(item: Json) -> str:
    """The thoughts themselves where they are shown; their summary otherwise."""
    said: list[Any] = item.get("content") or item.get("summary") or []
    return "".join(part["text"] for part in said)


def _call(item: Json) -> list[Call]:
    match item["type"]:
        case "function_call":
            return [Call(item["name"], arguments(item["arguments"]), item["call_id"])]
        case "custom_tool_call":
            return [Call(item["name"], item["input"], item["call_id"])]
        case _:
            return []
