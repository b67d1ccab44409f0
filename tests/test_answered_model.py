"""Does the log tell which model the provider says it used, whichever way the answer came?"""

import json
from typing import Any, NamedTuple

import pytest

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Text, Usage
from tests import laws
from tests.client import ask
from tests.evil import Evil, Scenario
from tests.gateway import telling
from tests.test_logs import Kept, log_to, told


class Way(NamedTuple):
    """A wire: its provider and what that needs, a client's path, and what the body says beside model and stream."""

    provider: str
    environ: dict[str, str]
    path: str
    body: dict[str, Any]
    names: bool = True  # its answers name a model


TURNS = {"messages": [{"role": "user", "content": "Hi"}]}
BLOCKS = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
AWS = {"AWS_BEARER_TOKEN_BEDROCK": "x", "AWS_REGION": "us-east-1"}
WAYS = {
    "openai_chat": Way("openai", {"OPENAI_API_KEY": "x"}, "/v1/chat/completions", TURNS),
    "openai_responses": Way("openai", {"OPENAI_API_KEY": "x"}, "/v1/responses", {"input": "Hi"}),
    "anthropic": Way("anthropic", {"ANTHROPIC_API_KEY": "x"}, "/v1/messages", {**TURNS, "max_tokens": 9}),
    "gemini": Way("gemini", {"GEMINI_API_KEY": "x"}, "/v1beta/models/{model}:{verb}", CONTENTS),
    "bedrock": Way("bedrock", AWS, "/model/{model}/{verb}", BLOCKS, names=False),
    "ollama": Way("ollama", {"OLLAMA_API_KEY": "x"}, "/api/chat", TURNS),
    "cohere": Way("cohere", {"COHERE_API_KEY": "x"}, "/v2/chat", TURNS, names=False),
}
VERBS = {
    "gemini": {False: "generateContent", True: "streamGenerateContent?alt=sse"},
    "bedrock": {False: "converse", True: "converse-stream"},
}
TYPES = {"bedrock": "application/vnd.amazon.eventstream", "ollama": "application/x-ndjson"}
ANSWER: list[Event] = [
    Start(id="a", model="the-real-one", created=1),
    Open(index=0, part=Text()),
    Delta(index=0, text="Hi."),
    Close(index=0),
    Usage(input=3, output=2),
    Finish(),
]


def answered(wire: str, stream: bool) -> Scenario:
    kind = TYPES.get(wire, "text/event-stream") if stream else "application/json"
    asked = Request(wire=wire, model="m", turns=[], stream=stream, include_usage=True)
    return Scenario(body=laws.say(registry.dialect(wire).renderer(asked), ANSWER), headers=[("content-type", kind)])


def asking(speaks: str, model: str, stream: bool) -> tuple[str, bytes]:
    """The path and the body that a client of this wire sends."""
    way = WAYS[speaks]
    if speaks not in VERBS:
        return way.path, json.dumps({"model": model, "stream": stream, **way.body}).encode()
    named = model.replace("/", "%2F") if speaks == "bedrock" else model
    return way.path.format(model=named, verb=VERBS[speaks][stream]), json.dumps(way.body).encode()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("lane", ["passed", "translated"])
@pytest.mark.parametrize("wire", WAYS)
async def test_the_log_names_it(wire: str, lane: str, stream: bool) -> None:
    """OpenAI answers in either of its two wires, whichever it was asked in: that is enough here."""
    kept, way = Kept(), WAYS[wire]
    speaks = wire if lane == "passed" else "anthropic" if wire != "anthropic" else "openai_chat"
    path, body = asking(speaks, f"{way.provider}/m", stream)
    async with Evil(answered(wire, stream)) as evil:
        base = {f"PILLION_{way.provider.upper()}_BASE_URL": evil.url + ("/v1" if way.provider == "openai" else "")}
        async with telling(log_to(kept), base | way.environ) as gateway:
            assert (await ask(gateway, "POST", path, body)).status == 200
            (line,) = await told(kept)
    assert line.get("model_answered", "") == ("the-real-one" if way.names else "")
    assert line["tokens"] == {"input": 3, "output": 2}
