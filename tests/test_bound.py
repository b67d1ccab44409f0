"""Does a chat go on where the model refuses the thoughts of before, since what stood before them has changed?"""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.canon import Part, Request, Text, Thinking, Turn
from proxy.lanes.bound import without_thoughts
from tests.client import ANTHROPIC, OPENAI, Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import config_file, pillion
from tests.test_spoken import JSON

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
MODEL = "anthropic/claude-opus-5-5"
BOUND = (
    "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."
    ' Remove the block, or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
)
VALIDATION = ("x-amzn-errortype", "ValidationException")
TOOLS = [[{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}] for name in ("f", "g")]
ASKED = [{"role": "user", "content": "hi"}]
SAID = {"role": "assistant", "content": "Grüße"}


class Claude:
    """It takes a thought back beside the tools that it was thought beside, and behind the thoughts of before."""

    def __init__(self, status: int = 400, message: str = BOUND) -> None:
        self._refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        self._status = status
        self._behind: dict[str, Any] = {}
        self.thoughts: list[list[str]] = []  # of each request

    def __call__(self, request: Received) -> Scenario:
        asked = json.loads(request.body)
        thoughts = seals_in(asked["messages"])
        self.thoughts.append(thoughts)
        for number, thought in enumerate(thoughts):
            if self._behind[thought] != [asked.get("tools"), thoughts[:number]]:
                return Scenario(status=self._status, body=json.dumps(self._refusal).encode(), headers=JSON)
        thought = f"thought{len(self._behind)}"
        self._behind[thought] = [asked.get("tools"), thoughts]
        said = json.loads(ANTHROPIC.whole)
        said["content"].insert(0, {"type": "thinking", "thinking": "", "signature": thought})
        return Scenario(body=json.dumps(said).encode(), headers=JSON)


def seals_in(messages: list[dict[str, Any]]) -> list[str]:
    blocks = [block for message in messages if isinstance(message["content"], list) for block in message["content"]]
    return [block["signature"] for block in blocks if block["type"] == "thinking"]


async def chat(gateway: Any, turns: int, model: str = MODEL, **fields: Any) -> Got:
    """So many turns have been."""
    messages = [*[message for _ in range(turns) for message in (*ASKED, SAID)], *ASKED]
    return await ask(gateway, "POST", CHAT, OPENAI.request(model=model, messages=messages, **fields))


async def test_a_chat_whose_tools_change_goes_on_without_the_thoughts_of_before() -> None:
    claude = Claude()
    async with Evil(answering=claude) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        got = [await chat(gateway, turns, tools=TOOLS[turns > 1]) for turns in range(4)]
    assert [(one.status, one.header("x-pillion-dropped")) for one in got] == [(200, None)] * 4
    kept, refused = ["thought0"], ["thought0", "thought1"]
    assert claude.thoughts == [[], kept, refused, [], ["thought2"]]  # and it thinks on behind those that it has taken


async def test_a_client_that_keeps_its_thoughts_is_told_that_they_stayed_behind() -> None:
    claude = Claude()
    async with Evil(answering=claude) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:

        async def respond(given: Any, name: str) -> Got:
            tools = [{"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}]
            asked = {"model": MODEL, "input": given, "tools": tools, "store": False}
            return await ask(gateway, "POST", RESPONSES, json.dumps(asked).encode())

        first = await respond(ASKED, "f")
        second = await respond([*ASKED, *json.loads(first.body)["output"], *ASKED], "g")
    assert (second.status, claude.thoughts) == (200, [[], ["thought0"], []])
    assert "encrypted_content" in (second.header("x-pillion-dropped") or "")


def test_the_receipt_names_what_stayed_behind() -> None:
    for thought, name in ((Thinking(text="a", signature="s"), "signature"), (Thinking(redacted="s"), "redacted")):
        said = Turn(role="assistant", parts=[thought, Text(text="b")])
        request = Request(wire="bedrock", model="m", turns=[said])
        assert (without_thoughts(request, own=False), said.parts) == ({f"thinking.{name}"}, [Text(text="b")])


def test_what_nobody_has_sealed_is_nobodys_to_refuse() -> None:
    said: list[Part] = [Thinking(text="a"), Text(text="b")]
    request = Request(wire="openai_chat", model="m", turns=[Turn(role="assistant", parts=[*said])])
    assert (without_thoughts(request, own=False), request.turns[0].parts) == (set(), said)


async def test_bedrock_says_so_in_its_own_words(tmp_path: Path) -> None:
    def answered(request: Received) -> Scenario:
        if b"sealed" in request.body:
            said = {"message": f"The model returned the following errors: {BOUND}"}
            return Scenario(status=400, body=json.dumps(said).encode(), headers=[*JSON, VALIDATION])
        thought = {"reasoningContent": {"reasoningText": {"text": "so", "signature": "sealed"}}}
        message = {"role": "assistant", "content": [thought, {"text": "Grüße"}]}
        usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        whole = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
        return Scenario(body=json.dumps(whole).encode(), headers=JSON)

    async with Evil(answering=answered) as evil:
        row = {
            "kind": "bedrock",
            "location": "us-east-1",
            "dialects": ["bedrock"],
            "base_url": evil.url,
            "api_key": "k",
        }
        async with pillion(**config_file(json.dumps({"providers": {"aws": row}}), tmp_path)) as gateway:
            got = [await chat(gateway, turns, "aws/anthropic.claude-opus-5-5-v1:0") for turns in range(2)]
        assert [one.status for one in got] == [200, 200]
        assert [b"sealed" in request.body for request in evil.requests] == [False, True, False]


async def test_a_client_of_its_own_wire_hears_of_it() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "thought0"}
    messages = [*ASKED, {"role": "assistant", "content": [thought, {"type": "text", "text": "Grüße"}]}, *ASKED]
    claude, last = Claude(), b""
    async with Evil(answering=claude) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        for asked, status in ((ASKED, 200), (messages, 400)):
            tools = [{"name": str(status), "input_schema": {"type": "object"}}]
            body = ANTHROPIC.request(model=MODEL, messages=asked, tools=tools)
            got = await ask(gateway, "POST", MESSAGES, body, ANTHROPIC.headers)
            assert got.status == status
            last = got.body
    assert ANTHROPIC.error(last)["message"] == BOUND
    assert claude.thoughts == [[], ["thought0"]]


@pytest.mark.parametrize(("status", "message"), [(400, "messages.1: too long"), (403, BOUND)])
async def test_what_else_is_refused_stays_so(status: int, message: str) -> None:
    claude = Claude(status, message)
    async with Evil(answering=claude) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        assert [(await chat(gateway, turns, tools=TOOLS[turns])).status for turns in range(2)] == [200, status]
    assert claude.thoughts == [[], ["thought0"]]
