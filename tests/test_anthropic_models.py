"""Is what another wire asks made legal for the model that is asked, and is every change told?"""

import json
from typing import Any

import pytest
from anthropic.types import message_create_params
from msgspec.structs import replace
from pydantic import TypeAdapter

from proxy.canon import (
    Document,
    Inline,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from proxy.dialects.anthropic.words import CACHE_POINTS
from proxy.errors import Down, Refused
from proxy.grammar.claude.budgets import BUDGETS, DEFAULT_MAX_TOKENS
from proxy.grammar.claude.models import takes_of
from proxy.grammar.fields import Left
from proxy.ports import Encoded
from tests import laws, recordings
from tests.test_anthropic import ASKED, TOLD, USER, WIRE, accepted, foreign, sent, turn

NEWEST, SONNET_5, OPUS_4_8 = "claude-opus-5-5", "claude-sonnet-5", "claude-opus-4-8"
OPUS_4_7, SONNET_4_6, SONNET_4_5 = "claude-opus-4-7", "claude-sonnet-4-6", "claude-sonnet-4-5"
OLDER, OLDEST = "claude-sonnet-4-0", "claude-3-5-haiku-latest"
ROOMY = 50_000


def encoded(model: str, *turns: Turn, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    made: Encoded = WIRE.encode(foreign(*turns, model=model, **{"max_tokens": ROOMY} | fields))
    value = json.loads(made.body)
    accepted(value)
    return value, made.dropped


# --- which model is meant --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "thinking", "off"),
    [
        ("claude-opus-5-5 claude-fable-5-1 claude-mythos-5-2 anthropic/claude-opus-5.5", "adaptive", None),
        ("claude-opus-6 claude-sonnet-6-1 claude-haiku-10", "adaptive", None),
        ("claude-sonnet-5-5 us.anthropic.claude-sonnet-5-5-v1:0", "adaptive", "between_tools"),
        ("claude-fable-5 claude-mythos-5 claude-mythos-preview", "adaptive", None),
        ("claude-opus-5 claude-sonnet-5 claude-haiku-5-5 claude-opus-5-20260724", "adaptive", "disabled"),
        ("claude-opus-4-7 claude-opus-4-8 anthropic.claude-opus-4-7 claude-opus-4.8", "adaptive", ""),
        ("claude-opus-4-6 claude-sonnet-4-6 us.anthropic.claude-opus-4-6-v1", "enabled adaptive", "disabled"),
        ("claude-sonnet-4-5 claude-haiku-4-5-20251001 claude-opus-4-5 claude-opus-4-1@20250805", "enabled", "disabled"),
        ("claude-sonnet-4-20250514 claude-opus-4-0 claude-3-7-sonnet-latest claude-4-opus", "enabled", "disabled"),
        ("claude-3-5-sonnet-20240620 claude-3-opus-20240229 claude-2.1 anthropic.claude-v2:1", "", ""),
        ("my-alias deepseek-chat claude gpt-5-5", "enabled", "disabled"),
    ],
)
def test_a_name_tells_what_the_model_takes(names: str, thinking: str, off: str | None) -> None:
    for name in names.split():
        takes = takes_of(name)
        assert (takes.thinking, takes.off) == (tuple(thinking.split()), off), name


@recordings.needs_recordings
def test_the_table_agrees_with_what_the_api_took_and_refused() -> None:
    """Of the recorded requests, each that has to do with thinking."""
    judged = 0
    for row in recordings.load("anthropic.messages", "vertex-anthropic.messages"):
        asked = row["request_json"] if isinstance(row["request_json"], dict) else {}
        takes, took = takes_of(str(asked.get("model"))), row["status"] == 200
        kind, effort = asked.get("thinking", {}).get("type"), asked.get("output_config", {}).get("effort")
        if took and kind in ("enabled", "adaptive"):
            assert kind in takes.thinking
            judged += 1
        if effort is not None:
            assert (effort in takes.efforts) == took
            judged += 1
    assert judged >= 20


BUDGETED = {"type": "enabled", "budget_tokens": 2000}

# --- thinking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort", "dropped"),
    [
        (OPUS_4_7, Reasoning(effort="high"), {"type": "adaptive"}, "high", ()),
        (OPUS_4_7, Reasoning(effort="xhigh"), {"type": "adaptive"}, "xhigh", ()),
        (OPUS_4_7, Reasoning(effort="minimal"), {"type": "adaptive"}, "low", ("reasoning",)),
        (OPUS_4_7, Reasoning(effort="silly"), None, None, ("reasoning",)),
        (OPUS_4_7, Reasoning(budget=9000), {"type": "adaptive"}, "high", ("reasoning",)),
        (OPUS_4_7, Reasoning(budget=100_000), {"type": "adaptive"}, "max", ("reasoning",)),
        (OPUS_4_7, Reasoning(budget=9000, effort="max"), {"type": "adaptive"}, "max", ("reasoning",)),
        (SONNET_4_6, Reasoning(budget=2000, effort="max"), BUDGETED, None, ("reasoning.effort",)),
        (OPUS_4_7, Reasoning(budget=-1), None, None, ("reasoning",)),
        (OPUS_4_7, Reasoning(off=True), None, None, ()),
        (SONNET_5, Reasoning(effort="none"), {"type": "disabled"}, None, ()),
        ("claude-sonnet-5-5", Reasoning(budget=0), {"type": "between_tools"}, None, ()),
        (NEWEST, Reasoning(off=True), None, "low", ("reasoning",)),
        (SONNET_4_6, Reasoning(effort="max"), {"type": "adaptive"}, "max", ()),
        (SONNET_4_6, Reasoning(effort="xhigh"), {"type": "adaptive"}, "high", ("reasoning",)),
        (SONNET_4_6, Reasoning(budget=5000), {"type": "enabled", "budget_tokens": 5000}, None, ()),
        (SONNET_4_5, Reasoning(effort="low"), {"type": "enabled", "budget_tokens": BUDGETS["low"]}, None, ()),
        (SONNET_4_5, Reasoning(budget=10), {"type": "enabled", "budget_tokens": 1024}, None, ("reasoning.budget",)),
        (
            SONNET_4_5,
            Reasoning(budget=ROOMY),
            {"type": "enabled", "budget_tokens": ROOMY - 1},
            None,
            ("reasoning.budget",),
        ),
        (OLDEST, Reasoning(effort="low"), None, None, ("reasoning",)),
        (OLDEST, Reasoning(off=True), None, None, ()),
    ],
    ids=str,
)
def test_thinking_in_the_words_of_the_model(
    model: str, reasoning: Reasoning, thinking: Any, effort: str | None, dropped: tuple[str, ...]
) -> None:
    value, told = encoded(model, reasoning=reasoning, wire="openai_responses")
    assert value.get("thinking") == thinking
    assert value.get("output_config", {}).get("effort") == effort
    assert told == dropped
    assert value["max_tokens"] == ROOMY


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "dropped"),
    [
        (OPUS_4_7, Reasoning(effort="low", summary="auto"), {"type": "adaptive", "display": "summarized"}, ()),
        (OPUS_4_7, Reasoning(effort="low", summary="none"), {"type": "adaptive", "display": "omitted"}, ()),
        (
            OPUS_4_7,
            Reasoning(effort="low", summary="detailed"),
            {"type": "adaptive", "display": "summarized"},
            ("reasoning.summary",),
        ),
        (OPUS_4_7, Reasoning(effort="low", summary="sung"), {"type": "adaptive"}, ("reasoning.summary",)),
        (OPUS_4_7, Reasoning(summary="auto"), None, ("reasoning.summary",)),  # it does not think unasked
        (SONNET_5, Reasoning(summary="auto"), {"type": "adaptive", "display": "summarized"}, ()),
        (SONNET_4_5, Reasoning(effort="low", summary="auto"), {"type": "enabled", "budget_tokens": 2048}, ()),
        (
            SONNET_4_5,
            Reasoning(effort="low", summary="none"),
            {"type": "enabled", "budget_tokens": 2048},
            ("reasoning.summary",),
        ),
        (OLDEST, Reasoning(summary="auto"), None, ("reasoning.summary",)),
    ],
    ids=str,
)
def test_thoughts_are_shown_where_that_was_asked(
    model: str, reasoning: Reasoning, thinking: Any, dropped: tuple[str, ...]
) -> None:
    value, told = encoded(model, reasoning=reasoning)
    assert (value.get("thinking"), told) == (thinking, dropped)


@pytest.mark.parametrize("wire", ["openai_chat", "ollama", "cohere"])
@pytest.mark.parametrize(
    "reasoning", [Reasoning(effort="high"), Reasoning(adaptive=True), Reasoning(budget=9000)], ids=str
)
def test_thoughts_are_shown_to_clients_that_have_no_word_for_it(wire: str, reasoning: Reasoning) -> None:
    """As older models and other vendors' show them. Since Opus 4.7 a model hides them unless told otherwise."""
    value, _ = encoded(OPUS_4_7, reasoning=reasoning, wire=wire)
    assert value["thinking"] == {"type": "adaptive", "display": "summarized"}
    value, _ = encoded(SONNET_4_5, reasoning=Reasoning(effort="high"), wire=wire)
    assert "display" not in value["thinking"]


def test_thoughts_stay_hidden_where_the_client_says_so() -> None:
    """In the word of Anthropic's own OpenAI route."""
    hidden = {"thinking": Left({"display": "omitted"})}
    value, _ = encoded(OPUS_4_7, reasoning=Reasoning(adaptive=True), wire="openai_chat", extra=hidden)
    assert value["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize("wire", ["openai_responses", "gemini", "bedrock"])
def test_thoughts_are_not_shown_to_clients_that_could_have_asked_for_it(wire: str) -> None:
    value, _ = encoded(OPUS_4_7, reasoning=Reasoning(effort="high"), wire=wire)
    assert value["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    ("reasoning", "dropped"),
    [
        (Reasoning(summary="auto"), ("reasoning.summary",)),
        (Reasoning(effort="high", summary="auto"), ("reasoning", "reasoning.summary")),
    ],
    ids=str,
)
def test_where_a_tool_must_be_called_no_thoughts_are_shown(reasoning: Reasoning, dropped: tuple[str, ...]) -> None:
    """Claude takes no `thinking` beside a choice that forces a tool."""
    forced = {"tools": [Tool(name="f")], "tool_choice": ToolChoice("required")}
    value, told = encoded(SONNET_5, reasoning=reasoning, **forced)
    assert (value.get("thinking"), told) == (None, dropped)


@pytest.mark.parametrize("word", ["disabled", "between_tools"])
def test_thinking_that_is_off_is_off_for_other_wires_too(word: str) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [], "thinking": {"type": word}}
    request = WIRE.parse(json.dumps(body).encode(), ASKED)
    assert request.reasoning == Reasoning(off=True)
    assert sent(request)["thinking"] == {"type": word}


@pytest.mark.parametrize(
    ("reasoning", "thoughts"),
    [(Reasoning(effort="medium"), BUDGETS["medium"]), (Reasoning(adaptive=True), BUDGETS["high"])],
    ids=str,
)
def test_thoughts_leave_room_for_the_answer(reasoning: Reasoning, thoughts: int) -> None:
    for limit, total in ((None, DEFAULT_MAX_TOKENS + thoughts), (9000, 9000)):
        value, _ = encoded(OPUS_4_7, reasoning=reasoning, max_tokens=limit)
        assert (value["thinking"]["type"], value["max_tokens"]) == ("adaptive", total)


CALL, RESULT = ToolCall(id="1", name="f"), turn("user", ToolResult(id="1", parts=[Text(text="r")]), at="messages[2]")


@pytest.mark.parametrize(
    ("parts", "thinks"),
    [
        ([CALL], False),
        ([Thinking(text="t", signature="s"), CALL], True),
        ([Thinking(redacted="s"), CALL], True),
        ([Thinking(text="t"), CALL], False),
    ],
    ids=["no thought", "sealed", "redacted", "no seal"],
)
def test_tool_results_let_a_budget_think_where_the_call_shows_a_sealed_thought(parts: list[Part], thinks: bool) -> None:
    reasoning, tools = Reasoning(budget=2000), [Tool(name="f")]
    turns = [USER, turn("assistant", *parts, at="messages[1]"), RESULT]
    value, dropped = encoded(SONNET_4_5, *turns, reasoning=reasoning, tools=tools)
    assert ("thinking" in value, "reasoning" in dropped) == (thinks, not thinks)
    value, _ = encoded(OPUS_4_7, *turns, reasoning=reasoning, tools=tools)
    assert value["thinking"]["type"] == "adaptive"  # it asks for no thought before


def test_a_seal_is_sent_back_as_it_came() -> None:
    thoughts = [Thinking(text="t", signature="s", cache={"type": "ephemeral"}), Thinking(redacted="r")]
    value, dropped = encoded(SONNET_4_5, USER, turn("assistant", *thoughts, Text(text="a")), USER)
    assert value["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "r"},
    ]
    assert dropped == ("cache",)


# --- sampling, forced tools, prefill ---------------------------------------------------------------------------------

KNOBS = {"temperature": 0.3, "top_p": 0.9, "top_k": 5}


@pytest.mark.parametrize(
    ("model", "knobs", "said", "dropped"),
    [
        (OLDER, KNOBS, KNOBS, ()),
        (SONNET_4_5, KNOBS, {"temperature": 0.3, "top_k": 5}, ("top_p",)),
        (SONNET_4_6, {"top_p": 0.9}, {"top_p": 0.9}, ()),
        (SONNET_4_6, {"temperature": 0.3, "top_p": 1}, {"temperature": 0.3}, ()),
        (OPUS_4_7, KNOBS, {}, ("temperature", "top_k", "top_p")),
        (NEWEST, {"temperature": 1, "top_p": 1.0}, {}, ()),
        (SONNET_4_6, {"temperature": 0.3, "reasoning": Reasoning(effort="low")}, {}, ("temperature",)),
    ],
    ids=str,
)
def test_sampling(model: str, knobs: dict[str, Any], said: dict[str, Any], dropped: tuple[str, ...]) -> None:
    value, told = encoded(model, **knobs)
    assert {key: value[key] for key in KNOBS if key in value} == said
    assert told == dropped


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("tool", "f")], ids=["required", "tool"])
def test_a_forced_tool_is_offered_where_none_can_be_forced(choice: ToolChoice) -> None:
    value, dropped = encoded(NEWEST, tools=[Tool(name="f")], tool_choice=choice, parallel_tools=False)
    assert value["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert dropped == ("tool_choice",)
    value, dropped = encoded(SONNET_5, tools=[Tool(name="f")], tool_choice=choice, reasoning=Reasoning(effort="low"))
    assert value["tool_choice"]["type"] in ("any", "tool")
    assert "thinking" not in value  # the two exclude each other, and the tool is the more definite wish
    assert dropped == ("reasoning",)


def refusal(request: Request) -> str:
    return laws.refused(WIRE, request)


def test_a_prefill_is_sent_without_the_blank_at_its_end() -> None:
    parts = [Text(text="The answer is ("), Text(text=" \n")]
    value, dropped = encoded(SONNET_4_5, USER, turn("assistant", *parts, at="messages[1]"))
    assert value["messages"][1]["content"] == [{"type": "text", "text": "The answer is ("}]
    assert dropped == ("turn.trailing_space",)
    value, dropped = encoded(SONNET_4_5, USER, turn("assistant", Text(text="\n"), at="messages[1]"))
    assert [message["role"] for message in value["messages"]] == ["user"]
    value, dropped = encoded(SONNET_4_5, USER, turn("assistant", Text(text="a "), at="messages[1]"), USER)
    assert (value["messages"][1]["content"][0]["text"], dropped) == ("a ", ())  # no prefill: the blank stays


def test_a_prefill_that_the_model_would_not_continue_is_refused() -> None:
    prefill = turn("assistant", Text(text="("), at="messages[1]")
    nothing = turn("user", Text(text=""), at="messages[2]")
    assert refusal(foreign(USER, prefill, nothing, model=SONNET_4_6)) == "messages[1]"


def test_the_assistant_may_begin() -> None:
    """An app's greeting, or what is left of a chat that was cut short at its beginning."""
    greeting = turn("assistant", Text(text="Hello!"), at="messages[1]")
    value, dropped = encoded(OLDER, turn("system", Text(text="s")), greeting, USER)
    assert [message["role"] for message in value["messages"]] == ["assistant", "user"]
    assert dropped == ()
    value, _ = encoded(OLDER, turn("assistant", Text(text="")), USER)  # which says nothing
    assert [message["role"] for message in value["messages"]] == ["user"]


# --- turns -----------------------------------------------------------------------------------------------------------

LATE, REPLY = turn("developer", Text(text="l"), at="messages[1]"), turn("assistant", Text(text="a"))
WRAPPED = "<system>\nl\n</system>"


@pytest.mark.parametrize(
    ("model", "turns", "roles", "dropped"),
    [
        (OPUS_4_8, [USER, LATE], "user system", ()),
        (NEWEST, [USER, LATE, LATE, REPLY, USER], "user system assistant user", ()),
        (NEWEST, [USER, LATE, USER], "user", ("turn.place",)),
        (NEWEST, [USER, REPLY, LATE, USER], "user assistant user", ("turn.place",)),
        (NEWEST, [USER, REPLY, LATE], "user assistant user", ("turn.place",)),
        (OPUS_4_7, [USER, LATE], "user", ("turn.place",)),
        (OLDER, [USER, LATE, REPLY, USER], "user assistant user", ("turn.place",)),
    ],
    ids=str,
)
def test_a_system_turn_in_mid_chat(model: str, turns: list[Turn], roles: str, dropped: tuple[str, ...]) -> None:
    value, told = encoded(model, *turns)
    assert [message["role"] for message in value["messages"]] == roles.split()
    assert told == dropped
    assert (WRAPPED in json.dumps(value).replace("\\n", "\n")) == bool(dropped)


POINT = {"type": "ephemeral", "ttl": "1h"}


def test_of_too_many_cache_points_the_last_are_kept() -> None:
    cached = [Text(text=str(number), cache=POINT) for number in range(2)]
    result = ToolResult(id="1", parts=[Text(text="in", cache=POINT)], cache=POINT)
    value, dropped = encoded(
        OLDER,
        turn("system", Text(text="s", cache=POINT)),
        turn("user", *cached),
        turn("assistant", CALL),
        turn("user", result),
        tools=[Tool(name="f", cache=POINT)],
    )
    assert dropped == ("cache",)
    assert json.dumps(value).count("cache_control") == CACHE_POINTS
    assert "cache_control" not in json.dumps([value["tools"], value["system"]])
    assert value["messages"][2]["content"][0]["content"][0]["cache_control"] == POINT


def test_as_many_cache_points_as_the_wire_takes_stay() -> None:
    marked = Document(source=Inline("aGk="), cache=POINT)
    value, dropped = encoded(OLDER, turn("user", *[marked] * CACHE_POINTS))
    assert (json.dumps(value).count("cache_control"), dropped) == (CACHE_POINTS, ())


# --- counting tokens -------------------------------------------------------------------------------------------------

COUNTS = recordings.load("anthropic.count_tokens")
COUNTED: TypeAdapter[Any] = TypeAdapter(message_create_params.MessageCreateParams)


@recordings.needs_recordings
@pytest.mark.parametrize("row", COUNTS, ids=recordings.ids)
def test_recorded_count(row: recordings.Row) -> None:
    recordings.replayed(row)
    if row["request_json"]:
        told = row["request_json"]
        said = json.loads(WIRE.count_body(WIRE.count_parse(json.dumps(told).encode(), ASKED)))
        assert said.keys() == told.keys()
        assert said["model"] == told["model"]
        assert len(said["messages"]) == len(told["messages"])
    body = recordings.body(row)
    if row["status"] == 200:
        assert WIRE.count_read(body) == json.loads(body)["input_tokens"]
    else:
        with pytest.raises(Refused):
            WIRE.count_read(body)


def test_a_count_asks_for_the_prompt_alone() -> None:
    every = {key: value for key, value in TOLD.items() if key not in ("n", "modalities", "demands", "reasoning")}
    said = json.loads(WIRE.count_body(replace(foreign(), **every)))
    assert said.keys() == {"model", "messages", "tools", "tool_choice", "output_config", "anthropic_beta"}
    own = {"model": "m", "messages": [], "max_tokens": 5, "temperature": 1, "mcp_servers": [{"name": "x"}]}
    said = json.loads(WIRE.count_body(WIRE.parse(json.dumps(own).encode(), ASKED)))
    assert said == {"model": "m", "messages": [], "mcp_servers": [{"name": "x"}]}


def test_a_count_for_the_client() -> None:
    assert WIRE.count_answer(12) == b'{"input_tokens":12}'
    assert WIRE.count_read(WIRE.count_answer(12)) == 12


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"input_tokens": "1"}', b'{"input_tokens": true}', b'{"input_tokens": -1}', b"\xff"]
)
def test_a_count_that_is_none(body: bytes) -> None:
    with pytest.raises(Down):
        WIRE.count_read(body)
