"""Do results follow their calls at once, also where a client brings an answer back in pieces?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Citation, Request, Text, ToolCall, ToolResult, Turn
from proxy.grammar.neighbours import joined


def turn(role: Any, *parts: Any, **extra: Any) -> Turn:
    return Turn(role=role, parts=list(parts), extra=extra)


HI = turn("user", Text(text="Hi"))
A, B = ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}")
RESULTS = turn("user", ToolResult(id="a", parts=[Text(text="1")]), ToolResult(id="b", parts=[Text(text="2")]))
# What google-genai's chat sends after a stream of five events.
PIECES = [turn("assistant", part) for part in (Text(), Text(text="So"), A, B, Text())]


@pytest.mark.parametrize("wire", ["openai_chat", "ollama", "cohere"])
def test_calls_of_one_answer_are_one_message_and_their_results_come_next(wire: str) -> None:
    sent = registry.dialect(wire).encode(Request(wire="gemini", model="m", turns=[HI, *PIECES, RESULTS])).body
    messages = json.loads(sent)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["a", "b"]
    assert messages[1]["content"] == "So"


def test_what_is_joined_is_one_and_what_is_not_stays_as_it_is() -> None:
    assert joined([HI, *PIECES, RESULTS]) == [HI, turn("assistant", Text(text="So"), A, B), RESULTS]
    alone: list[list[Turn]] = [
        [HI, turn("assistant", A), RESULTS, turn("assistant", Text(text="So")), HI],
        [HI, turn("assistant", Text(text="So")), turn("assistant", Text())],  # an answer to be continued
        [HI, HI, turn("assistant", A, Text())],
    ]
    for turns in alone:
        assert list(joined(turns)) == turns


def test_nothing_that_says_something_is_lost() -> None:
    cited = Text(citations=[Citation(wire="w", value={})])
    pieces = [turn("assistant", A, x=1), turn("assistant", cited, y=2)]
    assert joined(pieces) == [turn("assistant", A, cited, x=1, y=2)]
    assert [each.extra for each in pieces] == [{"x": 1}, {"y": 2}]


# --- what is said while a tool runs ----------------------------------------------------------------------------------

CALLS = turn("assistant", A, B)
NOTE, MORE = turn("developer", Text(text="note")), turn("user", Text(text="more"))
ONE, TWO = (turn("user", result) for result in RESULTS.parts)


@pytest.mark.parametrize("wire", ["openai_chat", "ollama", "cohere"])
def test_what_is_said_while_a_tool_runs_comes_behind_its_result(wire: str) -> None:
    turns = [HI, CALLS, NOTE, ONE, MORE, TWO]
    sent = registry.dialect(wire).encode(Request(wire="openai_responses", model="m", turns=turns)).body
    roles = [message["role"].replace("developer", "system") for message in json.loads(sent)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "system", "user"]


def test_results_move_and_nothing_else_does() -> None:
    assert joined([HI, CALLS, NOTE, ONE, MORE, TWO, HI]) == [HI, CALLS, ONE, TWO, NOTE, MORE, HI]
    both = turn("user", *ONE.parts, *MORE.parts, x=1)
    rest = turn("user", *MORE.parts, x=1)
    assert joined([CALLS, both, TWO]) == [CALLS, ONE, TWO, rest]
    as_they_are: list[list[Turn]] = [
        [HI, CALLS, RESULTS, HI, turn("assistant", Text(text="x"))],
        [CALLS, turn("user", *RESULTS.parts, *MORE.parts), HI],
        [CALLS, MORE, turn("assistant", Text(text="x")), ONE],  # the user has gone on without it
        [CALLS, MORE, NOTE],
        [MORE, ONE],
    ]
    for turns in as_they_are:
        assert list(joined(turns)) == turns
