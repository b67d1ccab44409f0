"""Is a tool that takes free text told as a function where nobody has such, and called as what it is?"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import registry
from proxy.canon import Close, Delta, Event, Open, Request, Text, Tool, ToolCall, ToolChoice, Turn
from proxy.lanes.calls import Calls
from proxy.lanes.freetext import FreeText, as_functions, free_in
from proxy.lanes.naming import AS_THEY_ARE
from tests.client import Got, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.laws import examples

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
PATCH = '*** Begin "Patch"\né 😀\\n'
LARK = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}
TOOL = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
ASKED = [
    {"role": "user", "content": "Hi"},
    {"type": "custom_tool_call", "call_id": "c0", "name": "apply_patch", "input": "a\nb"},
    {"type": "custom_tool_call_output", "call_id": "c0", "output": "done"},
]
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
           "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1}}  # fmt: skip


def called(**arguments: Any) -> Scenario:
    block = {"type": "tool_use", "id": "t1", "name": "apply_patch", "input": arguments}
    return Scenario(body=json.dumps(MESSAGE | {"content": [block]}).encode(), headers=JSON)


def streamed(*pieces: str, whole: bool = True) -> Scenario:
    block = {"type": "tool_use", "id": "t1", "name": "apply_patch", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    ended = "tool_use" if whole else "max_tokens"
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": ended}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    said = (b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in events)
    return Scenario(body=b"".join(said), headers=SSE, framing="chunked")


async def asked(answer: Scenario, **fields: Any) -> tuple[Got, dict[str, Any]]:
    """The answer, and what its provider was asked."""
    body = {"model": "claude-opus-5", "input": ASKED, "tools": [TOOL]} | fields
    async with (
        Evil(answer) as evil,
        pillion(ANTHROPIC_API_KEY="k", PILLION_ANTHROPIC_BASE_URL=evil.url) as gateway,
    ):
        got = await ask(gateway, "POST", "/v1/responses", json.dumps(body).encode())
        return got, json.loads(evil.requests[-1].body)


def events(got: Got) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in got.body.decode().splitlines() if line.startswith("data: ")]


async def test_it_is_a_function_of_one_text_and_called_as_what_it_is() -> None:
    got, sent = await asked(called(input=PATCH))
    [tool] = sent["tools"]
    assert (tool["name"], tool["description"], list(tool["input_schema"]["properties"])) == (
        "apply_patch", "Edits files.", ["input"],
    )  # fmt: skip
    assert sent["messages"][1]["content"][0]["input"] == {"input": "a\nb"}
    [item] = json.loads(got.body)["output"]
    assert (item["type"], item["call_id"], item["name"], item["input"]) == (
        "custom_tool_call", "t1", "apply_patch", PATCH,
    )  # fmt: skip
    assert got.header("x-pillion-dropped") is None


async def test_so_it_is_in_a_stream_however_that_is_cut() -> None:
    arguments = json.dumps({"input": PATCH})
    got, _ = await asked(streamed(*arguments), stream=True)
    said = events(got)
    deltas = [event["delta"] for event in said if event["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == PATCH
    assert "" not in deltas
    assert said[-1]["response"]["output"][0]["input"] == PATCH


async def test_what_an_answer_that_is_cut_has_said_of_it_stands() -> None:
    got, _ = await asked(streamed('{"input": "ab', "\\ud83d", whole=False), stream=True)
    assert events(got)[-1]["response"]["output"][0]["input"] == "ab"


@pytest.mark.parametrize("arguments", ['{"text": 5}', '{"inp', "[" * 300])
async def test_arguments_of_another_form_are_passed_on_for_the_clients_tool_to_complain(arguments: str) -> None:
    got, _ = await asked(streamed(*arguments, whole=False), stream=True)
    said = events(got)
    deltas = [event["delta"] for event in said if event["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == said[-1]["response"]["output"][0]["input"] == arguments


def test_a_text_and_a_call_of_another_tool_beside_it_stay_what_they_are() -> None:
    beside: list[Event] = [
        Open(index=0, part=Text()),
        Delta(index=0, text='{"input": "a"}'),
        Close(index=0),
        Open(index=1, part=ToolCall(id="t0", name="f")),
        Delta(index=1, text='{"input": "a"}'),
        Close(index=1),
    ]
    call = ToolCall(id="t1", name="apply_patch")
    free: list[Event] = [Open(index=2, part=call), Delta(index=2, text='{"input": "a"}'), Close(index=2)]
    said = Calls([], AS_THEY_ARE, frozenset({"apply_patch"})).feed([*beside, *free])
    custom = ToolCall(id="t1", name="apply_patch", kind="custom")
    assert said == [*beside, Open(index=2, part=custom), Delta(index=2, text="a"), Close(index=2)]


async def test_the_grammar_is_told_and_that_nobody_is_held_to_it() -> None:
    got, sent = await asked(called(input="a"), tools=[TOOL | {"format": LARK}])
    assert sent["tools"][0]["description"].endswith('start: "a"')
    assert got.header("x-pillion-dropped") == "tools.format"
    got, sent = await asked(called(input="a"), tools=[TOOL | {"format": {"type": "text"}}])
    assert (sent["tools"][0]["description"], got.header("x-pillion-dropped")) == ("Edits files.", None)


@pytest.mark.parametrize(
    ("wire", "model", "is_told"),
    [
        ("openai_chat", "gpt-5.1", False),
        ("openai_chat", "openai/gpt-6.1-sol", False),
        ("openai_chat", "gpt-4.1", True),
        ("openai_chat", "llama-4", True),
        ("gemini", "gemini-3.8-flash", True),
        ("bedrock", "openai.gpt-oss-120b", True),
        ("ollama", "gpt-5", True),
        ("cohere", "command-a", True),
        ("openai_responses", "llama-4", False),
    ],
)
def test_who_is_told_of_a_function(wire: str, model: str, is_told: bool) -> None:
    """OpenAI's models from GPT-5 on have such tools; on its own wire the host says whether it has."""
    calls = [ToolCall(id="1", name="h", kind="custom", arguments="x")]
    turns = [Turn(role="user", parts=[Text(text="a")]), Turn(role="assistant", parts=[*calls])]
    tools = [Tool(name="f", kind="custom"), Tool(name="g")]
    choice = ToolChoice("tool", "f")
    request = Request(wire="openai_responses", model=model, turns=turns, tools=tools, tool_choice=choice)
    free = free_in(request, registry.dialect(wire))
    assert free == ({"f", "h"} if is_told else set())
    if is_told:
        assert b'"custom"' not in registry.dialect(wire).encode(as_functions(request)).body
    assert [tool.kind for tool in request.tools] == ["custom", "function"]  # as it was, for the client's own answer


def unwrapped(pieces: list[str]) -> str:
    text = FreeText()
    return "".join([*map(text.feed, pieces), text.close()])


@settings(max_examples=examples(200))
@given(st.text(), st.booleans(), st.integers(min_value=1, max_value=7))
def test_the_text_is_the_same_in_every_split(text: str, is_ascii: bool, size: int) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=is_ascii)
    assert unwrapped([arguments[at : at + size] for at in range(0, len(arguments), size)]) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"patch": "a"}', "a"),
        ('{"input": "a", "more": "b"}', "a"),
        ("{}", ""),
        ("", ""),
        ('{"input": ["a"]}', '{"input": ["a"]}'),
        ("*** Begin", "*** Begin"),
        ("x" * 1000, "x" * 1000),
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "a\\', "a"),
    ],
)
def test_what_is_no_such_object_is_told_as_it_came(arguments: str, text: str) -> None:
    assert unwrapped([arguments]) == unwrapped(list(arguments)) == text
