"""Does an answer that is no JSON object come from a host that answers in objects alone?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Format, Request
from proxy.lanes.boxing import Box, boxed, needs_box
from proxy.ports import Peek
from tests.client import Got, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
LIST = {"type": "array", "items": {"type": "string"}}
WORD = {"type": "STRING", "enum": ["Brass", "Strings"]}
CONFIG = {"responseMimeType": "application/json", "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}}}


def answered(text: str) -> Scenario:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    said = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
    return Scenario(body=json.dumps(said).encode(), headers=JSON)


def streamed(text: str) -> Scenario:
    pieces: list[tuple[dict[str, str], str | None]] = [({"content": piece}, None) for piece in text] + [({}, "stop")]
    chunks = [
        {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in pieces
    ]
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    return Scenario(body=body, headers=SSE, framing="chunked")


async def asked(answer: Scenario, config: dict[str, Any], verb: str = "generateContent") -> tuple[Got, dict[str, Any]]:
    """The answer to a client of Google's API, and what OpenAI was asked."""
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": config}
    async with Evil(answer) as evil, pillion(OPENAI_API_KEY="k", PILLION_OPENAI_BASE_URL=evil.url + "/v1") as gateway:
        got = await ask(gateway, "POST", f"/v1beta/models/gpt-4o:{verb}", json.dumps(body).encode())
        return got, json.loads(evil.requests[-1].body)["response_format"]["json_schema"]


def text_of(*answers: Any) -> str:
    return "".join(part["text"] for said in answers for part in said["candidates"][0]["content"]["parts"])


async def test_a_list_is_asked_for_in_an_object_and_taken_out_of_it() -> None:
    got, sent = await asked(answered('{"answer": ["a", "}"]}'), CONFIG)
    assert sent["schema"] == {
        "type": "object",
        "properties": {"answer": LIST},
        "required": ["answer"],
        "additionalProperties": False,
    }
    assert sent["strict"] is True
    assert text_of(json.loads(got.body)) == '["a", "}"]'
    assert got.header("x-pillion-dropped") is None


async def test_so_it_is_in_a_stream_that_comes_in_single_characters() -> None:
    got, _ = await asked(streamed('{ "answer" :\n[{"a":"\\"}"},[]]}'), CONFIG, "streamGenerateContent?alt=sse")
    said = [json.loads(line[6:]) for line in got.body.decode().splitlines() if line.startswith("data: ")]
    assert text_of(*said) == '[{"a":"\\"}"},[]]'


async def test_a_word_of_an_enum_comes_without_quotes() -> None:
    config = {"responseMimeType": "text/x.enum", "responseSchema": WORD}
    got, sent = await asked(answered('{"answer":"Brass"}'), config)
    assert sent["schema"]["properties"]["answer"] == {"type": "string", "enum": WORD["enum"]}
    assert text_of(json.loads(got.body)) == "Brass"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"answer":null}', "null"),
        ('{"answer": "a}\\\\"} ', '"a}\\\\"'),
        ('{"answer":[{"a', '[{"a'),
        ("[1]", "[1]"),
        ('{"answers":1}', '{"answers":1}'),
        ('{"ans', '{"ans'),
        ("", ""),
    ],
)
def test_however_it_is_cut_and_whatever_it_is(text: str, value: str) -> None:
    for size in (1, 2, 99):
        box = Box()
        pieces = [box.feed(text[at : at + size]) for at in range(0, len(text), size)]
        assert "".join([*pieces, box.close()]) == value


@pytest.mark.parametrize(
    ("wire", "target", "schema", "needed"),
    [
        ("gemini", "openai_chat", LIST, True),
        ("ollama", "openai_responses", {"type": ["object", "null"]}, True),
        ("anthropic", "cohere", {"anyOf": [{"type": "object"}]}, True),
        ("gemini", "openai_chat", {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, True),
        ("gemini", "openai_chat", {"type": "array", "items": {"$ref": "#"}}, False),  # it would refer to the box
        ("gemini", "openai_chat", {"type": "object"}, False),
        ("ollama", "openai_chat", {}, False),
        ("gemini", "anthropic", LIST, False),
        ("openai_responses", "openai_chat", LIST, False),
        ("openai_chat", "cohere", LIST, True),
    ],
)
def test_who_needs_it(wire: str, target: str, schema: dict[str, Any], needed: bool) -> None:
    request = Request(wire=wire, model="m", turns=[], format=Format(kind="schema", schema=schema))
    assert needs_box(request, registry.dialect(target)) is needed


def test_what_it_refers_to_stays_at_the_root() -> None:
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}
    form = boxed(Request(wire="gemini", model="m", turns=[], format=Format(kind="schema", schema=schema))).format
    assert form is not None
    assert form.schema is not None
    assert form.schema["$defs"] == schema["$defs"]
    assert form.schema["properties"] == {"answer": {"$ref": "#/$defs/A"}}


def test_google_gets_its_own_word_back() -> None:
    wire = registry.dialect("gemini")
    body = {
        "contents": [{"parts": [{"text": "Hi"}]}],
        "generationConfig": {"responseMimeType": "text/x.enum", "responseSchema": WORD},
    }
    request = wire.parse(json.dumps(body).encode(), Peek("m", stream=False))
    assert not needs_box(request, wire)
    config = json.loads(wire.encode(request).body)["generationConfig"]
    assert config["responseMimeType"] == "text/x.enum"
