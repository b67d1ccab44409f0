"""Is an answer read whose JSON has half of a surrogate pair in it?"""

import json

import pytest

from proxy import registry
from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Text, Usage, fold
from proxy.grammar.halves import Halves, well_formed
from tests.laws import decoded, failure, say, watch

WIRES = ["openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere"]
HIGH, LOW = b"\\ud83d", b"\\uDE00"


def spelled(wire: str, stream: bool, *texts: str) -> bytes:
    """An answer of this wire that says these texts, each in an event of its own."""
    said = [Delta(index=0, text=text) for text in texts]
    end: list[Event] = [Close(index=0), Usage(input=1, output=1), Finish()]
    renderer = registry.dialect(wire).renderer(Request(wire=wire, model="m", turns=[], stream=stream))
    return say(renderer, [Start(id="a", model="m"), Open(index=0, part=Text()), *said, *end])


def said(events: list[Event]) -> str:
    part = fold(events).choices[0].parts[0]
    assert isinstance(part, Text)
    return part.text


@pytest.mark.parametrize("wire", [wire for wire in WIRES if wire != "bedrock"])
def test_a_character_in_two_events_is_one_again(wire: str) -> None:
    data = spelled(wire, True, "okay", "aHIGH", "LOWb").replace(b"HIGH", HIGH).replace(b"LOW", LOW)
    assert said(decoded(registry.dialect(wire).decoder(stream=True), data)).startswith("okaya\U0001f600b")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("half", [HIGH, LOW])
def test_half_a_character_is_no_reason_to_refuse_an_answer(wire: str, half: bytes) -> None:
    dialect = registry.dialect(wire)
    data = spelled(wire, False, "aHALF").replace(b"HALF", half)
    assert said(decoded(dialect.decoder(stream=False), data)) == "a\ufffd"
    meter = watch(dialect.meter(stream=False), [data])
    assert meter.finished
    assert meter.usage


def test_only_halves_are_touched() -> None:
    for sound in (rb'{"a":"\ud83d\ude00\n\\ud83d\u00e9"}', b"{}", b'{"a":"\xf0\x9f\x98\x80"}'):
        assert well_formed(sound) is sound
    assert json.loads(well_formed(rb'{"a":"\\\ud83dx\ud83d\ude00\ude00"}')) == {"a": "\\\ufffdx\U0001f600\ufffd"}


def test_a_half_waits_for_the_next_event_alone_at_the_end_of_its_text() -> None:
    halves = Halves()
    assert halves.mended(rb'{"a":"x\ud83d"}') == b'{"a":"x"}'
    assert halves.mended(rb'{"a":"x\ude00"}') == rb'{"a":"x\ufffd"}'
    assert halves.mended(rb'{"a":"\ude00"}') == rb'{"a":"\ufffd"}'


def test_what_is_no_json_for_another_reason_is_refused_as_ever() -> None:
    error = failure(registry.dialect("openai_chat").decoder(stream=True), rb'data: {"a":"\ud83d"' + b"\n\n")
    assert "not valid JSON" in error.message
