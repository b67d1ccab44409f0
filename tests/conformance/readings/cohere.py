"""What does a recorded answer of Cohere's say? https://docs.cohere.com/reference/chat and .../chat-stream"""

import json
from collections import defaultdict

from tests import recordings, replay
from tests.conformance.told import Call, Json, Told, Used, arguments
from tests.recordings import Row


def read(row: Row) -> Told:
    message, finish, usage = _streamed(row) if row["framing"] == "sse" else _whole(row)
    content = message.get("content") or []
    counts: Json = usage.get("tokens") or usage.get("billed_units") or {}
    read = counts.get("input_tokens", 0) + counts.get("image_tokens", 0)  # an image's stand apart
    return Told(
        text="".join(item.get("text") or "" for item in content),
        thinking=(message.get("tool_plan") or "") + "".join(item.get("thinking") or "" for item in content),
        calls=[
            Call(call["function"]["name"], arguments(call["function"].get("arguments")) or {}, call["id"])
            for call in message.get("tool_calls") or []
        ],
        finish=finish,
        used=Used(read, usage.get("cached_tokens"), None, counts.get("output_tokens")) if counts else Used(),
    )


def _whole(row: Row) -> tuple[Json, str, Json]:
    said = json.loads(recordings.body(row))
    return said["message"], said["finish_reason"], said.get("usage") or {}


def _streamed(row: Row) -> tuple[Json, str, Json]:
    """The message that the events make up."""
    plan = finish = ""
    usage: Json = {}
    content: dict[int, Json] = defaultdict(lambda: {"text": "", "thinking": ""})
    calls: list[Json] = []
    for event in replay.events(row):
        delta = event.get("delta") or {}
        said = delta.get("message") or {}
        match event["type"]:
            case "content-start" | "content-delta":
                for key in ("text", "thinking"):
                    content[event["index"]][key] += said["content"].get(key) or ""
            case "tool-plan-delta":
                plan += said["tool_plan"]
            case "tool-call-start":
                calls.append(said["tool_calls"])
            case "tool-call-delta":
                calls[-1]["function"]["arguments"] += said["tool_calls"]["function"]["arguments"]
            case "message-end":
                finish, usage = delta["finish_reason"], delta.get("usage") or {}
            case _:
                pass
    return {"content": list(content.values()), "tool_plan": plan, "tool_calls": calls}, finish, usage
