"""Does a client of Cohere get its answer grounded in its `documents` by every provider?"""

import json
from base64 import b64encode
from typing import Any

import pytest

from proxy import registry
from proxy.errors import BadRequest
from proxy.ports import Peek
from tests.client import ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion

Json = dict[str, Any]

USER: Json = {"role": "user", "content": "How much milk?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT: Json = {"role": "tool", "tool_call_id": "c1", "content": "r"}
LOOP: list[Json] = [USER, {"role": "assistant", "tool_calls": [CALL]}, RESULT]
DOCUMENTS = [
    "Buy milk.",
    {"id": "n7", "data": {"title": "Note", "text": "Two pints."}},
    {"data": {"text": "a", "by": "b"}},
    {"id": "t", "data": "Tea."},
]
TOLD = ["Buy milk.", "Two pints.", '{"text":"a","by":"b"}', "Tea."]
FRAMED = '<document name="Note" source="n7">\nTwo pints.\n</document>'

CITED = {"type": "search_result_location", "source": "n7", "title": "Note", "cited_text": "Two pints.",
         "search_result_index": 1, "start_block_index": 0, "end_block_index": 1}  # fmt: skip
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": None, "stop_sequence": None}
USED = {"input_tokens": 5, "output_tokens": 4}
SAID = [{"type": "text", "text": "Two pints", "citations": [CITED]}, {"type": "text", "text": "."}]
WHOLE = {**MESSAGE, "stop_reason": "end_turn", "usage": USED, "content": SAID}
EVENTS: list[Json] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": USED}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": CITED}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Two "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "pints"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "."}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USED},
    {"type": "message_stop"},
]


def sent(target: str, model: str, messages: list[Json], documents: Any = DOCUMENTS) -> tuple[Json, tuple[str, ...]]:
    """What the provider gets, and the receipt."""
    body = {"model": model, "messages": messages, "documents": documents}
    request = registry.dialect("cohere").parse(json.dumps(body).encode(), Peek(model=model, stream=False))
    request.model = model
    made = registry.dialect(target).encode(request)
    return json.loads(made.body), made.dropped


@pytest.mark.parametrize(
    "messages", [[USER], [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, USER], LOOP]
)
def test_claude_gets_them_as_what_a_search_has_found(messages: list[Json]) -> None:
    """Before what the user has said last, which in a tool's loop is not the last turn."""
    at = max(number for number, message in enumerate(messages) if message["role"] == "user")
    said, dropped = sent("anthropic", "claude-sonnet-4-5", messages)
    *found, text = said["messages"][at]["content"]
    assert [
        (one["type"], one["source"], one["title"], one["content"][0]["text"], one["citations"]) for one in found
    ] == [
        ("search_result", source, title, told, {"enabled": True})
        for source, title, told in zip(
            ("doc:0", "n7", "doc:2", "t"), ("doc:0", "Note", "doc:2", "t"), TOLD, strict=True
        )
    ]
    assert (text["text"], dropped) == ("How much milk?", ())
    said, dropped = sent("bedrock", "anthropic.claude-sonnet-4-5", messages)
    assert [one["searchResult"]["source"] for one in said["messages"][at]["content"][:-1]] == [
        "doc:0",
        "n7",
        "doc:2",
        "t",
    ]


@pytest.mark.parametrize("target", ["openai_chat", "openai_responses", "gemini", "bedrock", "ollama"])
def test_other_models_get_them_as_text(target: str) -> None:
    said, dropped = sent(target, "amazon.nova-pro" if target == "bedrock" else "m", [USER])
    assert json.dumps(FRAMED)[1:-1] in json.dumps(said)
    assert dropped == ("documents",)


def test_cohere_gets_them_as_they_came() -> None:
    said, dropped = sent("cohere", "command-r", LOOP)
    assert (said["documents"], said["messages"][0], dropped) == (DOCUMENTS, USER, ())


@pytest.mark.parametrize(
    ("documents", "path"),
    [("x", "documents"), ([1], "documents[0]"), ([{}], "documents[0].data"), (["a", {"data": 1}], "documents[1].data")],
)
def test_what_is_no_document_is_refused_where_it_stands(documents: Any, path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        sent("anthropic", "claude-sonnet-4-5", [USER], documents)
    assert caught.value.param == path


@pytest.mark.parametrize("stream", [False, True])
async def test_the_citations_name_them_by_their_ids(stream: bool) -> None:
    events = b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in EVENTS)
    media_type = "text/event-stream" if stream else "application/json"
    answer = Scenario(body=events if stream else json.dumps(WHOLE).encode(), headers=[("content-type", media_type)])
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": [USER], "documents": DOCUMENTS, "stream": stream}
    claude = {"ANTHROPIC_API_KEY": "a"}
    async with Evil(answer) as evil, pillion(PILLION_ANTHROPIC_BASE_URL=evil.url, **claude) as gateway:
        got = await ask(gateway, "POST", "/v2/chat", json.dumps(asked).encode())
    [citation] = cited(got.body.decode()) if stream else json.loads(got.body)["message"]["citations"]
    assert citation == {
        "start": 0,
        "end": 9,
        "text": "Two pints",
        "sources": [{"type": "document", "id": "n7", "document": {"title": "Note", "text": "Two pints.", "id": "n7"}}],
        "type": "TEXT_CONTENT",
        "content_index": 0,
    }


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "cohere/command-r"])
async def test_a_text_that_looks_like_a_mark_of_ours_is_a_text(model: str) -> None:
    """Pillion's marks on seals are base64, and begin alike."""
    marked = b64encode(b"pillion\0gemini@5251b314\0\0").decode()
    named = {"id": marked, "data": {"text": marked}}
    asked = {"model": model, "messages": [USER], "documents": [marked, named]}
    places = {"ANTHROPIC_API_KEY": "a", "COHERE_API_KEY": "c"}
    answer = Scenario(body=json.dumps(WHOLE).encode(), headers=[("content-type", "application/json")])
    async with Evil(answer, answer) as evil:
        places |= {"PILLION_ANTHROPIC_BASE_URL": evil.url, "PILLION_COHERE_BASE_URL": evil.url}
        async with pillion(**places) as gateway:
            got = await ask(gateway, "POST", "/v2/chat", json.dumps(asked).encode())
        assert got.status in (200, 502)  # Cohere does not answer so
        assert evil.requests[-1].body.count(marked.encode()) >= 3


def cited(stream: str) -> list[Json]:
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    return [one["delta"]["message"]["citations"] for one in events if one["type"] == "citation-start"]
