"""Does a model's reasoning survive the way to the client and back, and reach nobody else?"""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config import load
from tests.client import ANTHROPIC, OPENAI, Got, Speech, ask, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import DEFAULTS, Gateway, pillion
from tests.test_provenance import WIRES

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


# --- an account that has not thought, and a pillion that has forgotten -----------------------------------------------

CLAUDE = "claude-sonnet-4-5"  # which thinks by a budget
BUDGET = {"type": "enabled", "budget_tokens": 1024}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}]}
LOST_ON_CONVERSE = "reasoningContent, reasoningText.signature"
FORGET = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]}


def refusing(request: Received) -> Scenario:
    """The same, but for what Anthropic refuses."""
    said = json.loads(request.body)
    answers = [turn["content"] for turn in said["messages"] if turn["role"] == "assistant"]
    thinks = said.get("thinking", {}).get("type") == "enabled"
    why = "all messages must have non-empty content" if not all(answers) else ""
    if not why and thinks and answers and answers[-1][0]["type"] != "thinking":
        why = "Expected `thinking` or `redacted_thinking`, but found `tool_use`."
    if not thinks and "clear_thinking" in json.dumps(said.get("context_management")):
        why = "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": why}}
    return Scenario(status=400, body=json.dumps(error).encode(), headers=JSON) if why else answering(request)


def accounts(evil: Evil, **more: str) -> dict[str, str]:
    """Two, at one vendor's."""
    east = {"ANTHROPIC_EAST_API_KEY": "k-2", "PILLION_ANTHROPIC_EAST_BASE_URL": f"{evil.url}/east"}
    return {**ANTHROPIC.environ(evil.url), **east, **more}


async def gone_on(gateway: Gateway, account: str, answer: list[Any], **fields: Any) -> Got:
    messages = [HI, {"role": "assistant", "content": answer}, RESULT]
    body = {"model": f"{account}/{CLAUDE}", "max_tokens": 4000, "messages": messages, **fields}
    return await chat(gateway, ANTHROPIC, json.dumps(body).encode())


async def test_a_call_whose_thought_was_another_accounts_goes_on_without_thinking() -> None:
    async with Evil(answering=refusing) as evil, pillion(**accounts(evil)) as gateway:
        fields = {"thinking": BUDGET | {"display": "omitted"}, "context_management": FORGET}
        begun = json.dumps({"model": f"anthropic/{CLAUDE}", "max_tokens": 4000, "messages": [HI], **fields})
        first = json.loads((await chat(gateway, ANTHROPIC, begun.encode())).body)
        again = await gone_on(gateway, "anthropic", first["content"], **fields)
        other = await gone_on(gateway, "anthropic-east", first["content"], **fields)
        requests = [json.loads(request.body) for request in evil.requests]
    assert [again.status, other.status] == [200, 200], other.body
    assert again.header("x-pillion-dropped") is None
    dropped = "context_management.edits, messages.thinking, thinking, thinking.signature"
    assert other.header("x-pillion-dropped") == dropped
    assert [request.get("thinking") for request in requests] == [fields["thinking"], fields["thinking"], None]
    assert requests[2]["messages"][1]["content"] == [CALL]
    assert requests[2]["context_management"] == {"edits": FORGET["edits"][1:]}


async def test_an_answer_that_was_nothing_but_another_accounts_thought_is_left_out() -> None:
    async with Evil(answering=refusing) as evil, pillion(**accounts(evil)) as gateway:
        await talk(gateway, ANTHROPIC, f"anthropic/{CLAUDE}", [HI])
        messages = [HI, {"role": "assistant", "content": [THOUGHT]}, HI]
        await talk(gateway, ANTHROPIC, f"anthropic-east/{CLAUDE}", messages, thinking=BUDGET)
        body = json.loads((await evil.received(2)).body)
    assert [turn["role"] for turn in body["messages"]] == ["user", "user"]
    assert body["thinking"] == BUDGET  # no call waits for its thought


@pytest.mark.parametrize("kept", [("tool_calls",), ("tool_calls", "reasoning_details")], ids=["forgets", "keeps"])
async def test_a_seal_of_a_host_that_went_by_the_same_name_goes_not_to_another(kept: tuple[str, ...]) -> None:
    """Neither its mark brings it there, nor what was kept for the client."""
    async with Evil(answering=refusing) as one, Evil(answering=refusing) as two:
        async with pillion(**ANTHROPIC.environ(one.url)) as gateway:
            first = await talk(gateway, OPENAI, f"anthropic/{CLAUDE}", [HI], tools=TOOLS)
            await gateway.app.become(load(environ={**DEFAULTS, **ANTHROPIC.environ(two.url)}))
            await talk(gateway, OPENAI, f"anthropic/{CLAUDE}", back(first, *kept), tools=TOOLS)
            await gateway.app.become(load(environ={**DEFAULTS, **ANTHROPIC.environ(one.url)}))
            await talk(gateway, OPENAI, f"anthropic/{CLAUDE}", back(first, *kept), tools=TOOLS)
        assert one.url.encode() not in json.dumps(first).encode()
        assert [thoughts(request) for request in (await two.received(1), await one.received(2))] == [[], [THOUGHT]]


REASONED = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": SEAL}}}
CALLED = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
GIVEN = {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "1"}]}}]}
SAID = {"role": "user", "content": [{"text": "Hi"}]}


async def converse(gateway: Gateway, account: str, messages: list[Any], thinking: dict[str, Any]) -> Got:
    more = {"additionalModelRequestFields": {**thinking, "x": 1}, "inferenceConfig": {"maxTokens": 4000}}
    path = f"/model/{account}%2Fanthropic.{CLAUDE}/converse"
    return await ask(gateway, "POST", path, json.dumps({"messages": messages, **more}).encode())


@pytest.mark.parametrize("word", ["thinking", "reasoning_config"])
async def test_on_converse_likewise(word: str) -> None:
    def answering(request: Received) -> Scenario:
        message = {"role": "assistant", "content": [REASONED, CALLED]}
        usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        said = {"output": {"message": message}, "stopReason": "tool_use", "usage": usage, "metrics": {"latencyMs": 1}}
        return Scenario(body=json.dumps(said).encode(), headers=JSON)

    told = {word: BUDGET | {"display": "omitted"}}
    async with Evil(answering=answering) as evil, pillion(**WIRES["bedrock"].environ(evil.url)) as gateway:
        await converse(gateway, "bedrock", [SAID], told)
        calling = {"role": "assistant", "content": [REASONED, CALLED]}
        got = await converse(gateway, "bedrock-east", [SAID, calling, GIVEN], told)
        thought = {"role": "assistant", "content": [REASONED]}
        await converse(gateway, "bedrock-east", [SAID, thought, SAID], told)
        calls, thoughts = [json.loads(request.body) for request in evil.requests][1:]
    assert got.header("x-pillion-dropped") == f"additionalModelRequestFields.{word}, {LOST_ON_CONVERSE}"
    assert calls["additionalModelRequestFields"] == {"x": 1}
    assert calls["messages"] == [SAID, {"role": "assistant", "content": [CALLED]}, GIVEN]
    assert thoughts["additionalModelRequestFields"] == {**told, "x": 1}
    assert thoughts["messages"] == [{"role": "user", "content": [{"text": "Hi"}, {"text": "Hi"}]}]


async def test_after_a_restart_a_client_that_keeps_no_thoughts_goes_on_without_thinking(tmp_path: Path) -> None:
    """What was kept for it is gone: no thought is ever on a disk."""
    fields = {"tools": TOOLS, "reasoning_effort": "low", "max_tokens": 4000}
    async with Evil(answering=refusing) as evil:
        environ = accounts(evil, PILLION_STATE_DIR=str(tmp_path))
        async with pillion(**environ) as gateway:
            first = await talk(gateway, OPENAI, f"anthropic/{CLAUDE}", [HI], **fields)
        async with pillion(**environ) as later:
            body = {"model": f"anthropic/{CLAUDE}", "messages": back(first, "tool_calls"), **fields}
            got = await chat(later, OPENAI, json.dumps(body).encode())
        thinking = [json.loads(request.body).get("thinking") for request in evil.requests]
    assert (got.status, got.header("x-pillion-dropped")) == (200, "reasoning_effort")
    assert (thinking[0]["type"], thinking[1]) == ("enabled", None)
    kept = b"".join(file.read_bytes() for file in files_in(tmp_path))
    assert (b"Hm." in kept, SEAL.encode() in kept) == (False, False)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
