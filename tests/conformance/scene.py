"""Which provider speaks which wire, what did it answer when it was recorded, and how is that played to pillion?

One pillion with all the providers there are, and one upstream that is each of them: it answers whatever it is asked
with what `plays` has.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proxy import registry
from tests import recordings
from tests.conformance.clients import Client, clients
from tests.conformance.told import WIRES, Json, Wire
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.recordings import Row

RECORDED: Mapping[Wire, tuple[str, ...]] = {
    "openai_chat": ("*chat_completions",),
    "openai_responses": ("*.responses",),
    "anthropic": ("*anthropic.messages",),
    "gemini": ("*.generateContent", "*.streamGenerateContent"),
    "bedrock": ("*bedrock.converse", "*bedrock.converse-stream"),
    "bedrock_invoke": ("*bedrock.invoke", "*bedrock.invoke-with-response-stream"),
    "bedrock_native": ("*bedrock.invoke", "*bedrock.invoke-with-response-stream"),
    "ollama": ("*ollama.api_chat",),
    "ollama_generate": ("*ollama.api_generate",),
    "cohere": ("*cohere.v2_chat",),
}

# The provider of each wire: its name here, and its row.
PROVIDERS: Mapping[Wire, tuple[str, Json]] = {
    "openai_chat": ("chat", {"kind": "openai", "dialects": ["openai_chat"]}),
    "openai_responses": ("responses", {"kind": "openai", "dialects": ["openai_responses"]}),
    "anthropic": ("anthropic", {}),
    "gemini": ("gemini", {}),
    "bedrock": ("bedrock", {"location": "us-east-1", "dialects": ["bedrock"]}),
    "bedrock_invoke": ("invoke", {"kind": "bedrock", "location": "us-east-1", "dialects": ["bedrock_invoke"]}),
    "bedrock_native": ("invoke", {"kind": "bedrock", "location": "us-east-1", "dialects": ["bedrock_invoke"]}),
    "ollama": ("ollama", {}),
    "ollama_generate": ("ollama", {}),
    "cohere": ("cohere", {}),
}

# A recorded error that came under status 200, with the status that its body names.
ERROR_UNDER_200 = {"azure.chat_completions.93c62a88d87d": 400}

# A stream that ends with an error.
BROKEN = {"vertex.streamGenerateContent.1efd5d835ff3"}

# What is no answer of its wire, and why.
NO_ANSWER = {
    "vertex.streamGenerateContent.608030670872": "a fixture of a body that says nothing",
    "anthropic.messages.4f8904767c1f": "two messages spliced into one stream",
    "openai.responses.01ce148f1c6e": "its picture was cut out of the recording",
    "openai.responses.7f7a8b3c3413": "its picture was cut out of the recording",
}

KEY = "sk-conformance-secret"


@cache
def rows_of(wire: Wire) -> list[Row]:
    rows = recordings.load(*RECORDED[wire])
    match wire:
        case "bedrock_invoke":  # an error is in nobody's words but Amazon's
            return [row for row in rows if is_error(row) or not is_native(row["request_json"])]
        case "bedrock_native":
            return [row for row in rows if is_native(row["request_json"])]
        case _:
            return rows


def is_native(body: Json) -> bool:
    """Is a body of InvokeModel's another one than Anthropic's? Claude took prompts of its own, once."""
    return "anthropic_version" not in body or "prompt" in body


def is_error(row: Row) -> bool:
    return row["status"] >= 400 or row["id"] in ERROR_UNDER_200


def is_answer(row: Row) -> bool:
    return not is_error(row) and row["id"] not in BROKEN and row["id"] not in NO_ANSWER


def is_live(row: Row) -> bool:
    return row["framing"] in ("sse", "ndjson", "aws-eventstream", "json-array")


def played(row: Row) -> Scenario:
    """The recorded answer, as it came. A JSON array of Gemini's is a stream that nobody asks for who wants SSE: its
    elements come as events.
    """
    scenario = Scenario.from_recording(row)
    if row["framing"] != "json-array":
        return scenario
    frames = [f"data: {json.dumps(each)}\r\n\r\n" for each in json.loads(recordings.body(row))]
    body = "".join(frames).encode("utf-8", "surrogatepass")
    return Scenario(headers=[("content-type", "text/event-stream")], body=body, framing="chunked")


def providers() -> list[Wire]:
    """Those whose adapter is there."""
    kinds = {wire: PROVIDERS[wire][1].get("kind", PROVIDERS[wire][0]) for wire in WIRES}
    return [wire for wire in WIRES if find_spec(registry.ADAPTERS[kinds[wire]].partition(":")[0])]


class Scene:
    """`plays` is what the upstream answers next. `sdks` are the vendors' clients before pillion, `direct` the same
    before the upstream itself.
    """

    def __init__(
        self, gateway: Gateway, evil: Evil, sdks: Mapping[Wire, Client], direct: Mapping[Wire, Client]
    ) -> None:
        self.gateway = gateway
        self.evil = evil
        self.sdks = sdks
        self.direct = direct
        self.plays = Scenario()

    def play(self, scenario: Scenario) -> None:
        """From now on; what was asked before is forgotten."""
        self.plays = scenario
        self.evil.requests.clear()
        self.evil.answers.clear()

    def model(self, provider: Wire, name: str = "m") -> str:
        """What a client calls the model."""
        return f"{PROVIDERS[provider][0]}/{name}"


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    def answer(request: Received) -> Scenario:
        return acting.plays

    with TemporaryDirectory() as folder:
        async with (
            Evil(answering=answer) as evil,
            pillion(PILLION_CONFIG=str(config_file(Path(folder), evil.url))) as gateway,
            clients(gateway.url) as sdks,
            clients(evil.url) as direct,
        ):
            acting = Scene(gateway, evil, sdks, direct)
            yield acting


def config_file(folder: Path, url: str) -> Path:
    """JSON is YAML."""
    rows: dict[str, Any] = {
        name: {"base_url": url, "api_key": KEY, **row} for name, row in map(PROVIDERS.__getitem__, providers())
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps({"providers": rows}))
    return path
