"""What does a recorded answer of Gemini's say? https://ai.google.dev/api/generate-content#generatecontentresponse"""

import json
import re
from typing import Any

from tests import recordings, replay
from tests.conformance.told import Call, Json, Told, Used
from tests.recordings import Row

# Some were recorded through a library that writes an enum as its number.
_NUMBERS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY"}
_MEDIA = {"inlineData", "fileData"}
_SERVERS = {"executableCode", "codeExecutionResult", "toolCall", "toolResponse"}


def read(row: Row) -> Told:
    chunks = _chunks(row)
    candidates = [each for chunk in chunks for each in chunk.get("candidates") or []]
    first = [each for each in candidates if each.get("index", 0) == 0]
    parts = [part for each in first for part in (each.get("content") or {}).get("parts") or []]
    reasons = [each["finishReason"] for each in first if each.get("finishReason")]
    blocked = [chunk["promptFeedback"].get("blockReason") for chunk in chunks if chunk.get("promptFeedback")]
    finish: Any = reasons[-1] if reasons else next(filter(None, blocked), "")
    return Told(
        text="".join(part.get("text", "") for part in parts if not part.get("thought")),
        thinking="".join(part.get("text", "") for part in parts if part.get("thought")),
        calls=_calls(parts),
        finish=_NUMBERS.get(finish, finish),
        used=_used(next((chunk["usageMetadata"] for chunk in reversed(chunks) if chunk.get("usageMetadata")), {})),
        apart=frozenset(
            [
                *(_medium(part) for part in parts if _MEDIA & part.keys()),
                *("server tools" for part in parts if _SERVERS & part.keys()),
                *("choices" for each in candidates if each.get("index", 0)),
            ]
        ),
    )


def _medium(part: Json) -> str:
    source = part.get("inlineData") or part["fileData"]
    return "sound" if source["mimeType"].startswith("audio/") else "image"


def _chunks(row: Row) -> list[Json]:
    if row["framing"] == "sse":
        return replay.events(row)
    said = json.loads(recordings.body(row))
    return said if isinstance(said, list) else [said]


def _used(usage: Json) -> Used:
    """`promptTokenCount` has the cached ones in it; what a tool's results cost, and thoughts, stand apart."""
    if "promptTokenCount" not in usage:
        return Used()
    thoughts = usage.get("thoughtsTokenCount", 0)
    return Used(
        usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0),
        usage.get("cachedContentTokenCount", 0),
        None,
        usage.get("candidatesTokenCount", 0) + thoughts,
        thoughts,
    )


def _calls(parts: list[Json]) -> list[Call]:
    calls: list[Call] = []
    going = False
    for call in (part["functionCall"] for part in parts if "functionCall" in part):
        if not going:
            calls.append(Call(call["name"], dict(call.get("args") or {}), call.get("id", "")))
        for piece in call.get("partialArgs") or []:
            _put(calls[-1].arguments, piece)
        going = call.get("willContinue", False)
    return calls


def _put(arguments: Any, piece: Json) -> None:
    """A piece of an argument at its JSON path: `$.items[0].name`. Text goes on where it was left."""
    *path, last = [int(step) if step.isdigit() else step for step in re.findall(r"[^$.\[\]]+", piece["jsonPath"])]
    for step, following in zip(path, [*path[1:], last], strict=True):
        arguments = _step(arguments, step, [] if isinstance(following, int) else {})
    kind, value = next((key, value) for key, value in piece.items() if key.endswith("Value"))
    _step(arguments, last, "" if kind == "stringValue" else None)
    arguments[last] = arguments[last] + value if kind == "stringValue" else value


def _step(place: Any, step: int | str, empty: Any) -> Any:
    """What stands there; put there empty, where nothing does."""
    if isinstance(place, list):
        place.extend([empty] if step == len(place) else [])
    else:
        place.setdefault(step, empty)
    return place[step]
