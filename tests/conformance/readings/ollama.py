"""What does a recorded answer of Ollama's say? https://github.com/ollama/ollama/blob/main/docs/api.md"""

import json

from tests import recordings
from tests.conformance.told import Call, Told, Used, arguments
from tests.recordings import Row


def read(row: Row) -> Told:
    """A whole answer is a stream of one line; that of /api/generate has at its top what a message has."""
    body = recordings.body(row)
    lines = (
        [json.loads(line) for line in body.splitlines() if line] if row["framing"] == "ndjson" else [json.loads(body)]
    )
    messages = [line.get("message") or line for line in lines]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    last = lines[-1]
    return Told(
        text="".join(message.get("content") or message.get("response") or "" for message in messages),
        thinking="".join(message.get("thinking") or "" for message in messages),
        calls=[Call(call["name"], arguments(call.get("arguments"))) for call in calls],
        finish=last.get("done_reason") or "stop",
        used=Used(read=last.get("prompt_eval_count"), said=last.get("eval_count")),
    )
