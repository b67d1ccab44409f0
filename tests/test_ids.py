"""Has each answer, and each call of a conversation, an id of its own, also where its provider gives none?"""

import re
import time

import pytest

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Stop, Text, Thinking, ToolCall, Turn
from proxy.dialects.openai_responses.items import Names
from proxy.grammar.single import OneByOne
from tests import laws

CALLING = ("openai_chat", "openai_responses", "anthropic", "bedrock", "cohere")  # the wires that want an id
_ID = re.compile(rb"(?:call|toolu|tooluse)_[0-9a-f]{12,}")


def ids(wire: str, turns: int, start: Start, stream: bool) -> list[bytes]:
    """Of an answer that calls one tool twice, as a client of this wire reads them."""
    said = Turn(role="user", parts=[Text(text="Hi")])
    asked = Request(wire=wire, model="m", turns=[said] * turns, stream=stream)
    calls: list[Event] = [
        event
        for index in range(2)
        for event in (
            Open(index=index, part=ToolCall(id="", name="f")), Delta(index=index, text="{}"), Close(index=index)
        )
    ]  # fmt: skip
    told = laws.say(registry.dialect(wire).renderer(asked), [start, *calls, Finish(stops=(Stop(reason="tool_use"),))])
    return list(dict.fromkeys(_ID.findall(told)))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", CALLING)
def test_no_two_calls_of_a_conversation_have_one_id(wire: str, stream: bool) -> None:
    """Ollama's answers have no name, and a time in seconds; Gemini's may have neither."""
    answers = [
        Start(created=7),
        Start(created=7),
        Start(id="r1", created=7),
        Start(id="r2", created=7),
        Start(created=8),
    ]
    found = [name for turn, start in enumerate(answers) for name in ids(wire, 1 + 2 * turn, start, stream)]
    assert len(found) == len(set(found)) == 2 * len(answers)


@pytest.mark.parametrize("wire", CALLING)
def test_an_answer_that_is_told_again_has_the_same_ids(wire: str) -> None:
    start = Start(id="r", created=7)
    assert ids(wire, 3, start, True) == ids(wire, 3, start, True) == ids(wire, 3, start, False)


@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses", "anthropic", "cohere"])
def test_no_two_answers_have_one_id(wire: str) -> None:
    """Bedrock's have neither a name nor a time."""

    def told(call: str, stream: bool) -> bytes:
        asked = Request(wire=wire, model="m", turns=[Turn(role="user", parts=[])], stream=stream, call=call)
        said = laws.say(registry.dialect(wire).renderer(asked), [Start(), Finish()])
        found = re.search(rb'"id":"((?:chatcmpl-|resp_|msg_)?[0-9a-f]{24,})"', said)
        assert found, said
        return found[1]

    for stream in (False, True):
        assert told("req_1", stream) == told("req_1", not stream) != told("req_2", stream)


def test_thousands_of_thoughts_take_no_longer_each_than_a_few() -> None:
    names, began = Names("r"), time.process_time()
    given = [names.item(Thinking(id=f"rs_{number // 2}"), number) for number in range(20_000)]
    assert len(set(given)) == len(given)
    assert time.process_time() - began < 2  # some milliseconds; and ten seconds if each looked through all the others


def test_thousands_of_blocks_that_wait_take_no_longer_each_than_a_few() -> None:
    one, began = OneByOne(), time.process_time()
    one.feed(Open(index=0, part=Text()))
    for number in range(1, 100_000):
        one.feed(Open(index=number, part=Text()))
        one.feed(Close(index=number))
    assert len(one.feed(Close(index=0))) == 2 * 99_999 + 1
    assert time.process_time() - began < 2
