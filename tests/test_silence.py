"""Does a delta that says nothing add nothing to a stream, on any wire?"""

import re

import pytest

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Part, Refusal, Request, Start, Text, Thinking, ToolCall
from proxy.framing.eventstream import EventStream
from tests import laws

WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere")
NOTHING = Delta(index=0)
_time = re.compile(rb'"(?:latencyMs|[a-z_]*duration)":\d+')


def streamed(wire: str, part: Part, *deltas: Delta) -> bytes:
    events: list[Event] = [Start(id="1", created=1), Open(index=0, part=part), *deltas, Close(index=0), Finish()]
    renderer = registry.dialect(wire).renderer(Request(wire=wire, model="m", turns=[], stream=True))
    return laws.say(renderer, events)


def told(wire: str, part: Part, *deltas: Delta) -> bytes:
    """Without Bedrock's checksums and all that is measured."""
    said = streamed(wire, part, *deltas)
    if wire == "bedrock":
        said = b"\n".join(message.payload for message in laws.drain(EventStream(), [said]))
    return _time.sub(b"", said)


@pytest.mark.parametrize("part", [Text(), Refusal(), Thinking(), ToolCall(id="c", name="f")], ids=str)
@pytest.mark.parametrize("wire", WIRES)
def test_an_empty_delta_adds_nothing(wire: str, part: Part) -> None:
    said = Delta(index=0, text="{}")
    assert told(wire, part, NOTHING, said, NOTHING) == told(wire, part, said)


@pytest.mark.parametrize("wire", ["openai_chat", "anthropic", "cohere"])
def test_of_a_redacted_thought_no_words_are_streamed(wire: str) -> None:
    """These wires have a place for its seal alone, or for nothing of it."""
    sealed = Thinking(redacted="c2VhbGVk")
    assert told(wire, sealed, Delta(index=0, text="hidden")) == told(wire, sealed)


@pytest.mark.parametrize("part", [Text(), ToolCall(id="c", name="f")], ids=["text", "call"])
def test_a_seal_that_anthropics_wire_has_no_place_for_is_not_streamed(part: Part) -> None:
    """Gemini seals its calls. What a client cannot bring back, the vault keeps (proxy/sealing)."""
    assert told("anthropic", part, Delta(index=0, signature="s")) == told("anthropic", part)
