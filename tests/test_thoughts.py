"""Does a model's reasoning survive the way to the client and back, and reach nobody else?"""

import json
from typing import Any

import pytest

from tests.client import ANTHROPIC, OPENAI, Speech, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion

JSON = [("content-type", "application/json")]
SEAL = "RXJ-the-seal-of-claude=="
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": SEAL}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
HI: dict[str, Any] = {"role": "user", "content": "Hi"}


def answering(request: Received) -> Scenario:
    """A thought and a call of Claude's, whatever it is asked."""
    said = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude-real",
        "content": [THOUGHT, CALL],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    return Scenario(body=json.dumps(said).encode(), headers=JSON)


async def talk(gateway: Gateway, speech: Speech, model: str, messages: list[Any], **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": messages, **speech.needed, **fields}
    got = await chat(gateway, speech, json.dumps(body).encode())
    assert got.status == 200, got.body
    said: dict[str, Any] = json.loads(got.body)
    return said


def claudes(evil: Evil, other: Evil) -> dict[str, str]:
    return {**ANTHROPIC.environ(evil.url), **OPENAI.environ(other.url)}


def back(answer: dict[str, Any], *kept: str) -> list[Any]:
    """The next turn of a chat client that brings back these fields of the answer."""
    message = answer["choices"][0]["message"]
    said = {"role": "assistant", "content": None, **{key: message[key] for key in kept if key in message}}
    return [HI, said, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}]


def thoughts(request: Received) -> list[Any]:
    said = json.loads(request.body)
    return [block for block in said["messages"][1]["content"] if block["type"] == "thinking"]


@pytest.mark.parametrize("kept", [("tool_calls",), ("tool_calls", "reasoning_details")], ids=["forgets", "keeps"])
async def test_claudes_seal_comes_back_to_claude(kept: tuple[str, ...]) -> None:
    """Whether the chat client carries the seal for us or forgets it."""
    async with Evil(answering=answering) as evil, pillion(**claudes(evil, evil)) as gateway:
        first = await talk(gateway, OPENAI, "anthropic/claude-x", [HI], tools=TOOLS)
        assert SEAL not in json.dumps(first)  # marked with whose it is
        await talk(gateway, OPENAI, "anthropic/claude-x", back(first, *kept), tools=TOOLS)
        again = await evil.received(2)
    assert thoughts(again) == [THOUGHT]


@pytest.mark.parametrize("kept", ["reasoning_content", "reasoning_details"])
async def test_a_thought_that_comes_back_whole_is_nothing_lost(kept: str) -> None:
    """So that a strict gateway takes the second turn of what it has answered itself."""
    environ = {"PILLION_STRICT": "true"}
    async with Evil(answering=answering) as evil, pillion(**claudes(evil, evil), **environ) as gateway:
        first = await talk(gateway, OPENAI, "anthropic/claude-x", [HI], tools=TOOLS)
        assert kept in first["choices"][0]["message"]
        await talk(gateway, OPENAI, "anthropic/claude-x", back(first, "tool_calls", kept), tools=TOOLS)
        again = await evil.received(2)
    assert thoughts(again) == [THOUGHT]


async def test_another_provider_never_meets_it() -> None:
    async with (
        Evil(answering=answering) as evil,
        Evil(Scenario(body=OPENAI.whole, headers=JSON)) as other,
        pillion(**claudes(evil, other)) as gateway,
    ):
        first = await talk(gateway, OPENAI, "anthropic/claude-x", [HI], tools=TOOLS)
        await talk(gateway, OPENAI, "openai/gpt-x", back(first, "tool_calls", "reasoning_details"), tools=TOOLS)
        body = (await other.received(1)).body
    mark = first["choices"][0]["message"]["reasoning_details"][0]["signature"]
    assert SEAL.encode() not in body
    assert mark.encode() not in body


async def test_another_client_or_conversation_never_meets_it() -> None:
    async with Evil(answering=answering) as evil, pillion(**claudes(evil, evil)) as gateway:
        first = await talk(gateway, OPENAI, "anthropic/claude-x", [HI], tools=TOOLS)
        other = [{"role": "user", "content": "Something else"}, *back(first, "tool_calls")[1:]]
        await talk(gateway, OPENAI, "anthropic/claude-x", other, tools=TOOLS)
        again = await evil.received(2)
    assert thoughts(again) == []


async def test_a_seal_that_claude_alone_handled_passes_as_it_is() -> None:
    async with Evil(answering=answering) as evil, pillion(**claudes(evil, evil)) as gateway:
        first = await talk(gateway, ANTHROPIC, "anthropic/claude-x", [HI])
        assert first["content"] == [THOUGHT, CALL]
        said = {"role": "assistant", "content": first["content"]}
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}]}
        await talk(gateway, ANTHROPIC, "anthropic/claude-x", [HI, said, result])
        again = await evil.received(2)
    assert thoughts(again) == [THOUGHT]
