"""What does a recorded chat completion say? https://platform.openai.com/docs/api-reference/chat/object

The hosts that speak this wire differ in where they put thoughts and cached tokens; `tests.replay` knows the places.
"""

import json

from tests import recordings, replay
from tests.conformance.told import Call, Json, Told, Used
from tests.recordings import Row


def read(row: Row) -> Told:
    told = replay.read_chat(row)
    chunks = replay.events(row) if replay.streamed(row) else [json.loads(recordings.body(row))]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    messages = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    return Told(
        text=told.text + "".join((message.get("audio") or {}).get("transcript") or "" for message in messages),
        thinking=told.thinking,
        calls=[
            Call(name, _plain(arguments), own)
            for (name, arguments), own in zip(told.calls, _ids(messages, len(told.calls)), strict=True)
        ],
        finish=told.finish,
        used=Used(told.read, told.cached, None, told.written, _reasoning(usage, told.written)) if usage else Used(),
        apart=_apart(choices, messages),
        declined=replay.refused(row),
    )


def _plain(arguments: object) -> object:
    """`tests.replay` wraps what is no JSON as an Anthropic client sees it."""
    if isinstance(arguments, dict) and set(arguments) == {"malformed_arguments"}:
        return arguments["malformed_arguments"]
    return arguments


def _ids(messages: list[Json], count: int) -> list[str]:
    ids = [call["id"] for message in messages for call in message.get("tool_calls") or [] if call.get("id")]
    return ids if len(ids) == count else [""] * count


def _reasoning(usage: Json, said: int) -> int | None:
    """A part of what was said, though a gateway or two count more."""
    count = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return None if count is None else min(count, said)


def _apart(choices: list[Json], messages: list[Json]) -> frozenset[str]:
    found = set()
    if any(choice.get("index", 0) > 0 for choice in choices):
        found.add("choices")
    if any((message.get("audio") or {}).get("data") for message in messages):
        found.add("sound")
    if any(message.get("images") for message in messages):
        found.add("image")
    return frozenset(found)
