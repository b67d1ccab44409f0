"""Do a chat's thoughts go back to a host of Chat Completions that takes them, or demands them, and to no other?"""

import json
from typing import Any

import pytest

from proxy.canon import Part, Request, Text, Thinking, ToolCall, ToolResult, Turn
from proxy.config import load
from proxy.dialects.openai_chat import OpenAIChat
from proxy.ports import Dialect
from tests.client import ANTHROPIC, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion

CHAT: Dialect = OpenAIChat(clock=lambda: 1750000000.0)
JSON = [("content-type", "application/json")]
CALL = ToolCall(id="c1", name="f", arguments="{}")
TOOLS = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
DEMANDED = {"deepseek", "moonshot"}
TAKEN = {"zai", "alibaba", "fireworks", "openrouter", "vllm", "llamacpp"}


def answer(**message: Any) -> Scenario:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Scenario(body=json.dumps(whole).encode(), headers=JSON)


def spoken(thoughts: str, *parts: Part, wire: str = "anthropic") -> tuple[dict[str, Any], tuple[str, ...]]:
    """The assistant's message, and the receipt."""
    turns = [
        Turn(role="user", parts=[Text(text="Hi")]),
        Turn(role="assistant", parts=list(parts)),
        Turn(role="user", parts=[ToolResult(id="c1", parts=[Text(text="ok")])]),
    ]
    encoded = CHAT.encode(Request(wire=wire, model="m", turns=turns, thoughts=thoughts))
    message: dict[str, Any] = json.loads(encoded.body)["messages"][1]
    return {key: value for key, value in message.items() if key.startswith("reasoning")}, encoded.dropped


async def test_a_tool_loop_goes_on_at_a_host_that_demands_them() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answers = answer(content="", reasoning_content="Let me see.", tool_calls=[call]), answer(content="done")
    async with (
        Evil(*answers) as evil,
        pillion(DEEPSEEK_API_KEY="k", PILLION_DEEPSEEK_BASE_URL=evil.url) as gateway,
    ):
        first: list[Any] = [{"role": "user", "content": "Hi"}]
        got = await ask(
            gateway, "POST", ANTHROPIC.path, ANTHROPIC.request(model="deepseek-v4-pro", messages=first, tools=TOOLS)
        )
        result = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
        said = {"role": "assistant", "content": json.loads(got.body)["content"]}
        messages = [*first, said, {"role": "user", "content": [result]}]
        body = ANTHROPIC.request(model="deepseek-v4-pro", messages=messages, tools=TOOLS)
        got = await ask(gateway, "POST", ANTHROPIC.path, body)
        sent = json.loads(evil.requests[-1].body)["messages"][1]
    assert (sent["reasoning_content"], sent["tool_calls"][0]["id"]) == ("Let me see.", "c1")
    assert (got.status, got.header("x-pillion-dropped")) == (200, None)


def test_they_stand_with_what_they_led_to() -> None:
    thoughts = Thinking(text="a"), Thinking(text="b")
    assert spoken("taken", *thoughts, CALL) == ({"reasoning_content": "ab"}, ())
    assert spoken("taken", *thoughts, Text(text="x")) == ({"reasoning_content": "ab"}, ())
    assert spoken("refused", *thoughts, CALL) == ({}, ("thinking",))


@pytest.mark.parametrize(
    ("thoughts", "parts", "expected"),
    [
        ("demanded", [CALL], {"reasoning_content": " "}),
        ("demanded", [Thinking(text=""), CALL], {"reasoning_content": " "}),
        ("demanded", [Text(text="x")], {}),
        ("taken", [CALL], {}),
        ("refused", [CALL], {}),
    ],
)
def test_a_call_without_a_thought_has_an_empty_one_where_it_is_demanded(
    thoughts: str, parts: list[Part], expected: dict[str, Any]
) -> None:
    """As after a failover: the thought was another provider's, or the client's wire had no place for it."""
    assert spoken(thoughts, *parts) == (expected, ())


def test_what_is_sealed_goes_with_its_seal() -> None:
    """OpenRouter's: Gemini refuses a call whose seal is lost there as well."""
    said, dropped = spoken("taken", Thinking(text="a", signature="s"), Thinking(redacted="r"), CALL)
    assert said == {
        "reasoning_content": "a",
        "reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "a", "signature": "s"},
            {"type": "reasoning.encrypted", "data": "r", "index": 1},
        ],
    }
    assert dropped == ()


def test_a_client_of_the_wire_says_its_own() -> None:
    assert spoken("taken", CALL, wire="openai_chat") == ({}, ())
    assert spoken("refused", Thinking(text="a"), CALL, wire="openai_chat") == ({"reasoning_content": "a"}, ())


def test_where_one_is_demanded_it_gets_an_empty_one_too() -> None:
    """The call may be another provider's, who had none to show."""
    assert spoken("demanded", CALL, wire="openai_chat") == ({"reasoning_content": " "}, ())
    assert spoken("demanded", Thinking(text="a"), CALL, wire="openai_chat") == ({"reasoning_content": "a"}, ())


def test_whose_hosts_do() -> None:
    keys = "OPENAI DEEPSEEK MOONSHOT ZAI DASHSCOPE FIREWORKS OPENROUTER GROQ MISTRAL CEREBRAS XAI TOGETHER".split()
    environ = {f"{key}_API_KEY": "k" for key in keys}
    environ |= {f"PILLION_{name}_BASE_URL": "http://127.0.0.1:9/v1" for name in ("VLLM", "LLAMACPP")}
    rows = load(environ=environ | {"PILLION_GROQ_THOUGHTS": "demanded"}).providers
    assert {name for name, row in rows.items() if row.thoughts == "demanded"} == DEMANDED | {"groq"}
    assert {name for name, row in rows.items() if row.thoughts == "taken"} == TAKEN


@pytest.mark.parametrize("thoughts", ["refused", "taken", "demanded"])
@pytest.mark.parametrize("wire", ["anthropic", "openai_responses"])
def test_a_turn_of_thoughts_alone_is_no_empty_message(wire: str, thoughts: str) -> None:
    """An answer that met its limit while the model thought: Mistral takes no empty message, DeepSeek none of null."""
    turns = [
        Turn(role="user", parts=[Text(text="Hi")]),
        Turn(role="assistant", parts=[Thinking(text="Hm.")]),
        Turn(role="user", parts=[Text(text="Go on.")]),
    ]
    body = CHAT.encode(Request(wire=wire, model="m", turns=turns, thoughts=thoughts)).body
    kept = [] if thoughts == "refused" else [{"role": "assistant", "reasoning_content": "Hm.", "content": ""}]
    expected = [{"role": "user", "content": "Hi"}, *kept, {"role": "user", "content": "Go on."}]
    assert json.loads(body)["messages"] == expected
