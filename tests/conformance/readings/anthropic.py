"""What does a recorded message of Anthropic's say? https://docs.anthropic.com/en/api/messages"""

from tests import replay
from tests.conformance.told import Call, Told, Used
from tests.recordings import Row

_OURS = {"text", "thinking", "redacted_thinking", "tool_use"}


def read(row: Row) -> Told:
    blocks, finish, usage = replay.message_of(row)
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return Told(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        thinking="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        calls=[Call(block["name"], block["input"], block["id"]) for block in blocks if block["type"] == "tool_use"],
        finish=finish,
        used=Used(usage["input_tokens"] + cached + written, cached, written, usage["output_tokens"]),
        apart=frozenset("server tools" for block in blocks if block["type"] not in _OURS),
    )
