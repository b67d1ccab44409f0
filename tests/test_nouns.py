"""Is everything that may be refused called by a name that its reader knows?"""

from typing import get_args

import pytest

from proxy.canon import Audio, Image, Inline, Opaque, Part, ToolCall
from proxy.grammar import nouns
from proxy.grammar.nouns import api_of, noun_of

BLOCKS = [
    (Opaque(wire="anthropic", value={"type": "server_tool_use"}), "a block of Anthropic's API (server_tool_use)"),
    (Opaque(wire="gemini", value={"executableCode": {}}), "a block of Gemini's API (executableCode)"),
    (Opaque(wire="bedrock", value={"type": 5}), "a block of Bedrock's Converse (type)"),
    (Opaque(wire="cohere", value={}), "a block of Cohere's API"),
    (Opaque(wire="openai_responses", value={"type": "x" * 99}), "a block of the Responses API (…)"),
]


@pytest.mark.parametrize(("part", "noun"), BLOCKS, ids=str)
def test_a_block_of_another_wire_is_called_by_that_and_its_type(part: Part, noun: str) -> None:
    assert noun_of(part) == noun


def test_the_rest_goes_by_plain_nouns() -> None:
    assert noun_of(Image(source=Inline("", "image/png"))) == "an image"
    assert noun_of(Audio(id="audio_1")) == "audio"
    assert noun_of(ToolCall(id="t", name="f")) == "a tool call"


def test_every_part_has_a_noun() -> None:
    assert {*nouns._NOUNS, Opaque} == {*get_args(Part)}


def test_a_plug_ins_api_goes_by_its_name() -> None:
    assert api_of("telex") == "the telex API"
