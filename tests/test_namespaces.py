"""Does an agent whose tools stand in namespaces, as Codex's do, find them on every wire, and its calls by two names?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import ToolCall
from proxy.ports import Peek
from tests.client import ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion

RESPONSES = registry.dialect("openai_responses")
SCHEMA = {"type": "object", "properties": {"target": {"type": "string"}}, "required": ["target"]}
CLOSE = {"type": "function", "name": "close_agent", "description": "Close it.", "parameters": SCHEMA, "strict": False}
SPAWN = {"type": "function", "name": "spawn_agent", "parameters": {"type": "object", "properties": {}}}
GROUP = {"type": "namespace", "name": "agents", "description": "About agents.", "tools": [CLOSE, SPAWN]}
PLAIN = {"type": "function", "name": "close_agent", "parameters": SCHEMA}
SAID = {"type": "function_call", "call_id": "c1", "name": "close_agent", "arguments": '{"target":"a"}'}
HISTORY = [
    {"role": "user", "content": "Close it"},
    {**SAID, "namespace": "agents"},
    {"type": "function_call_output", "call_id": "c1", "output": "closed"},
]
OTHERS = ["openai_chat", "anthropic", "gemini", "bedrock", "ollama", "cohere"]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "echo/tool", "input": "Hi", **fields}).encode()


@pytest.mark.parametrize("wire", OTHERS)
def test_each_function_goes_by_one_name(wire: str) -> None:
    asked = RESPONSES.parse(body(tools=[PLAIN, GROUP], input=HISTORY, max_output_tokens=9), Peek("m", False))
    encoded = registry.dialect(wire).encode(asked)
    text = encoded.body.decode()
    for name in ("agents__close_agent", "agents__spawn_agent"):
        assert f'"{name}"' in text
    assert text.count('"agents__close_agent"') == (3 if wire == "gemini" else 2 + ("tool_name" in text))
    assert "About agents.\\n\\nClose it." in text
    assert encoded.dropped == ()


def test_on_its_own_wire_a_namespace_stays_one() -> None:
    asked = RESPONSES.parse(body(tools=[PLAIN, GROUP, {**GROUP, "name": "more"}], input=HISTORY), Peek("m", False))
    said = json.loads(RESPONSES.encode(asked).body)
    assert said["tools"] == [PLAIN, GROUP, {**GROUP, "name": "more"}]
    assert said["input"] == HISTORY


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_says_both_names_again(stream: bool) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", "/v1/responses", body(tools=[GROUP], stream=stream))
    events = [json.loads(line[6:]) for line in got.body.decode().splitlines() if line.startswith("data: ")]
    (item,) = (events[-1]["response"] if stream else json.loads(got.body))["output"]
    assert (item["namespace"], item["name"], json.loads(item["arguments"])) == (
        "agents",
        "close_agent",
        {"target": "echo"},
    )
    for event in events:
        told = event.get("item", event)
        assert told.get("name", "close_agent") == "close_agent"
        assert "agents__" not in json.dumps(event)


async def test_a_tool_of_its_own_keeps_its_name() -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", "/v1/responses", body(tools=[PLAIN, GROUP]))
    (item,) = json.loads(got.body)["output"]
    assert (item["name"], "namespace" in item) == ("close_agent", False)


@pytest.mark.parametrize(
    "fields",
    [{"tools": []}, {"tools": [{"type": "web_search"}]}, {"tools": [CLOSE, {"type": "web_search"}]}, {"strict": True}],
)
def test_a_group_of_anything_else_stays_what_it_is(fields: Any) -> None:
    (tool,) = RESPONSES.parse(body(tools=[{**GROUP, **fields}]), Peek("m", False)).tools
    assert (tool.kind, tool.extra) == ("namespace", {**GROUP, **fields})


async def test_a_tool_of_free_text_among_them_is_called_as_what_it_is() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "agents__exec", "arguments": '{"input": "ls"}'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m",
              "choices": [choice | {"finish_reason": "tool_calls"}]}  # fmt: skip
    scenario = Scenario(body=json.dumps(answer).encode(), headers=[("content-type", "application/json")])
    group = {**GROUP, "tools": [{"type": "custom", "name": "exec"}]}
    async with Evil(scenario) as evil, pillion(GROQ_API_KEY="k", PILLION_GROQ_BASE_URL=evil.url) as gateway:
        got = await ask(gateway, "POST", "/v1/responses", body(model="groq/m", tools=[group]))
    (item,) = json.loads(got.body)["output"]
    assert (item["type"], item["namespace"], item["name"], item["input"]) == (
        "custom_tool_call", "agents", "exec", "ls",
    )  # fmt: skip


async def test_what_is_wrong_in_one_is_named_by_its_place() -> None:
    group = {**GROUP, "tools": [CLOSE, {"type": "function", "name": 3}]}
    async with pillion() as gateway:
        got = await ask(gateway, "POST", "/v1/responses", body(tools=[group]))
    assert (got.status, json.loads(got.body)["error"]["param"]) == (400, "tools[0].tools[1].name")


def test_a_call_remembers_how_it_was_said() -> None:
    asked = RESPONSES.parse(body(input=HISTORY), Peek("m", False))
    (call,) = [part for turn in asked.turns for part in turn.parts if isinstance(part, ToolCall)]
    assert (call.name, call.extra) == (
        "agents__close_agent",
        {"namespace": {"namespace": "agents", "name": "close_agent"}},
    )


# --- a choice among them ---------------------------------------------------------------------------------------------

MORE = {**GROUP, "name": "more"}


def chosen(wire: str, choice: Any, *tools: Any) -> tuple[Any, tuple[str, ...]]:
    asked = RESPONSES.parse(body(tools=tools, tool_choice=choice, max_output_tokens=9), Peek("m", False))
    encoded = registry.dialect(wire).encode(asked)
    return json.loads(encoded.body), encoded.dropped


def named(name: str) -> dict[str, str]:
    return {"type": "function", "name": name}


@pytest.mark.parametrize("wire", OTHERS)
def test_a_function_is_chosen_by_its_name_in_the_namespace(wire: str) -> None:
    """No SDK has a word for the namespace in a choice."""
    by_bare, _ = chosen(wire, named("spawn_agent"), PLAIN, GROUP)
    by_joined, _ = chosen(wire, named("agents__spawn_agent"), PLAIN, GROUP)
    assert by_bare == by_joined
    assert '"spawn_agent"' not in json.dumps(by_bare)


def test_a_tool_that_has_the_name_itself_is_the_one() -> None:
    said, _ = chosen("anthropic", named("close_agent"), PLAIN, GROUP)
    assert said["tool_choice"] == {"type": "tool", "name": "close_agent"}


def test_where_several_namespaces_have_it_each_may_be_called() -> None:
    said, dropped = chosen("openai_chat", named("close_agent"), GROUP, MORE)
    assert [each["function"]["name"] for each in said["tool_choice"]["allowed_tools"]["tools"]] == [
        "agents__close_agent",
        "more__close_agent",
    ]
    assert (said["tool_choice"]["allowed_tools"]["mode"], dropped) == ("required", ())


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_so_are_those_that_may_be_chosen(mode: str) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": [named("spawn_agent"), named("other")]}
    said, _ = chosen("anthropic", choice, {**PLAIN, "name": "other"}, GROUP)
    assert {tool["name"] for tool in said["tools"]} == {"agents__spawn_agent", "other"}


@pytest.mark.parametrize("choice", [named(""), {"type": "allowed_tools", "mode": "auto", "tools": [named("")]}])
def test_a_choice_of_no_name_is_as_wrong_as_without_a_namespace(choice: Any) -> None:
    """Whoever is asked says so: it neither fails here, nor allows every tool."""
    said, _ = chosen("openai_responses", choice, PLAIN, GROUP)
    assert said["tool_choice"] == chosen("openai_responses", choice, PLAIN)[0]["tool_choice"] == choice


@pytest.mark.parametrize("tools", [[GROUP], [GROUP, MORE]])
@pytest.mark.parametrize(
    "choice", [{"type": "allowed_tools", "mode": "auto", "tools": [named("close_agent"), named("spawn_agent")]}]
)
def test_on_its_own_wire_the_choice_stays_what_it_was(choice: Any, tools: list[Any]) -> None:
    assert chosen("openai_responses", choice, *tools)[0]["tool_choice"] == choice
    assert chosen("openai_responses", named("close_agent"), GROUP)[0]["tool_choice"] == named("close_agent")
