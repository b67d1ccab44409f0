"""Is Claude told what it may quote, and what it is to know of it, whichever of its two wires asks and answers?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.canon import Citation, Close, Delta, Event, Finish, Open, Place, Request, Start, Text
from proxy.lanes.sieve import Sieve
from proxy.ports import Peek
from tests import laws

BYTES = {
    "anthropic": {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "Report"},
    "bedrock": {"format": "pdf", "name": "Report", "source": {"bytes": "JVBERi0="}},
}
QUOTED = {"context": "of Monday", "citations": {"enabled": True}}
PAIRS = [("anthropic", "bedrock"), ("bedrock", "anthropic"), ("anthropic", "anthropic"), ("bedrock", "bedrock")]
MODELS = {"anthropic": "claude-sonnet-4-5", "bedrock": "anthropic.claude-sonnet-4-5-v1:0"}


def crossed(client: str, target: str, model: str, **told: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The first part of what the provider gets, and the receipt."""
    document = BYTES[client] | told
    part = {"type": "document", **document} if client == "anthropic" else {"document": document}
    text = {"type": "text", "text": "Hi"} if client == "anthropic" else {"text": "Hi"}
    needed = {"max_tokens": 9, "model": model} if client == "anthropic" else {}
    body = json.dumps(needed | {"messages": [{"role": "user", "content": [part, text]}]}).encode()
    request = registry.dialect(client).parse(body, Peek(model, stream=False))
    encoded = registry.dialect(target).encode(request)
    said = json.loads(encoded.body)
    block: dict[str, Any] = said.get("messages", [{}])[0].get("content", [{}])[0]
    return block.get("document", block), encoded.dropped


@pytest.mark.parametrize("quoted", [QUOTED, {"context": "of Monday"}, {"citations": {"enabled": False}}, {}])
@pytest.mark.parametrize(("client", "target"), PAIRS)
def test_what_is_said_of_a_document_reaches_claude(client: str, target: str, quoted: dict[str, Any]) -> None:
    block, dropped = crossed(client, target, MODELS[target], **quoted)
    assert {key: block[key] for key in QUOTED if key in block} == quoted
    assert dropped == ()


@pytest.mark.parametrize(
    ("target", "model"),
    [("openai_chat", "m"), ("openai_responses", "m"), ("gemini", "m"), ("bedrock", "amazon.nova-lite-v1:0")],
)
def test_where_no_answer_quotes_the_receipt_says_so(target: str, model: str) -> None:
    _, dropped = crossed("anthropic", target, model, **QUOTED)
    assert {"document.context", "document.citations"} <= set(dropped)
    _, dropped = crossed("anthropic", target, model, citations={"enabled": False})
    assert not [name for name in dropped if "citations" in name]


def test_citations_that_say_more_stay_what_they_are() -> None:
    odd = {"enabled": True, "mode": "new"}
    block, _ = crossed("anthropic", "anthropic", "claude-x", citations=odd)
    assert block["citations"] == odd
    _, dropped = crossed("anthropic", "bedrock", MODELS["bedrock"], citations=odd)
    assert dropped == ("citations",)


# --- what the answer quotes ------------------------------------------------------------------------------------------

OF_ANTHROPIC = {"cited_text": "Buy milk.", "document_index": 1, "document_title": "Notes", "file_id": None}
OF_BEDROCK = {"title": "Notes", "sourceContent": [{"text": "Buy milk."}]}

HIT = {"searchResultIndex": 1, "start": 2, "end": 11}
FOUND = {
    "type": "search_result_location",
    "cited_text": "Buy milk.",
    "source": "note 7",
    "title": "Notes",
    "search_result_index": 1,
    "start_block_index": 2,
    "end_block_index": 11,
}


def place(kind: str) -> dict[str, Any]:
    return {"location": {kind: {"documentIndex": 1, "start": 2, "end": 11}}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("told", "retold"),
    [
        ({"type": "char_location", "start_char_index": 2, "end_char_index": 11}, place("documentChar")),
        ({"type": "page_location", "start_page_number": 2, "end_page_number": 11}, place("documentPage")),
        ({"type": "content_block_location", "start_block_index": 2, "end_block_index": 11}, place("documentChunk")),
        (FOUND, {"source": "note 7", "location": {"searchResultLocation": HIT}}),
    ],
)
def test_what_an_answer_quotes_is_told_on_the_other_wire(
    told: dict[str, Any], retold: dict[str, Any], stream: bool
) -> None:
    of_anthropic, of_bedrock = (told if told is FOUND else OF_ANTHROPIC | told), OF_BEDROCK | retold
    message = {"type": "message", "id": "m", "role": "assistant", "model": "c", "stop_reason": "end_turn", "usage": {}}
    text = {"type": "text", "text": "Milk.", "citations": [of_anthropic]}
    said = {"content": [{"text": "Milk."}], "citations": [of_bedrock]}
    output = {"message": {"role": "assistant", "content": [{"citationsContent": said}]}}
    answers = {
        "anthropic": message | {"content": [text]},
        "bedrock": {"output": output, "stopReason": "end_turn", "usage": {}, "metrics": {"latencyMs": 1}},
    }
    for provider, client, wanted in (("anthropic", "bedrock", of_bedrock), ("bedrock", "anthropic", of_anthropic)):
        dialect = registry.dialect(client)
        sieve = Sieve(client, dialect.cites, dialect.declines)
        decoder = registry.dialect(provider).decoder(stream=False)
        events = [*decoder.feed(json.dumps(answers[provider]).encode()), *decoder.close()]
        renderer = dialect.renderer(Request(wire=client, model="m", turns=[], stream=stream))
        rendered = laws.say(renderer, sieve.feed(events))
        decoded = [*(again := dialect.decoder(stream)).feed(rendered), *again.close()]
        cited = [one.value for event in decoded for one in getattr(event, "citations", ())]
        assert cited == [wanted]
        assert sieve.dropped == []


@pytest.mark.parametrize("client", ["anthropic", "bedrock_invoke"])
def test_a_place_that_is_told_is_on_no_receipt(client: str) -> None:
    """Claude's answers are the same by InvokeModel."""
    dialect = registry.dialect(client)
    sieve = Sieve(client, dialect.cites, dialect.declines)
    cited = Citation(wire="bedrock", value={}, quote="Buy milk.", place=Place("char", 1, 2, 11))
    (event,) = sieve.feed([Delta(index=0, citations=[cited])])
    renderer = dialect.renderer(Request(wire=client, model="m", turns=[], stream=True))
    said: list[Event] = [Start(), Open(index=0, part=Text(text="")), event, Close(index=0), Finish()]
    decoded = [*(again := dialect.decoder(True)).feed(laws.say(renderer, said)), *again.close()]
    assert [one.quote for told in decoded for one in getattr(told, "citations", ())] == ["Buy milk."]
    assert sieve.dropped == []


# --- what it is told again that it has quoted ------------------------------------------------------------------------

CHARS = {"type": "char_location", "start_char_index": 2, "end_char_index": 11}
AGAIN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {key: value for key, value in OF_ANTHROPIC.items() if key != "file_id"} | CHARS,
        OF_BEDROCK | place("documentChar"),
    ),
    (FOUND, OF_BEDROCK | {"source": "note 7", "location": {"searchResultLocation": HIT}}),
]
ON_THE_WEB = {
    "type": "web_search_result_location",
    "url": "https://x.example",
    "encrypted_index": "e",
    "cited_text": "x",
}


def said_before(client: str, citation: dict[str, Any]) -> bytes:
    """A conversation in which the model has cited."""
    if client == "anthropic":
        block = {"type": "text", "text": "Milk.", "citations": [citation]}
        turns = [("user", "Hi"), ("assistant", [block]), ("user", "Go on")]
        messages = [{"role": role, "content": content} for role, content in turns]
        return json.dumps({"model": "m", "max_tokens": 9, "messages": messages}).encode()
    cited = {"citationsContent": {"content": [{"text": "Milk."}], "citations": [citation]}}
    blocks = [("user", {"text": "Hi"}), ("assistant", cited), ("user", {"text": "Go on"})]
    return json.dumps({"messages": [{"role": role, "content": [block]} for role, block in blocks]}).encode()


def told_again(client: str, target: str, citation: dict[str, Any], model: str = "") -> tuple[Any, tuple[str, ...]]:
    """The model's own turn, and the receipt."""
    request = registry.dialect(client).parse(said_before(client, citation), Peek("m", stream=False))
    request.model = model or MODELS[target]
    encoded = registry.dialect(target).encode(request)
    return json.loads(encoded.body)["messages"][1]["content"][0], encoded.dropped


@pytest.mark.parametrize(("of_anthropic", "of_bedrock"), AGAIN)
def test_what_claude_has_quoted_it_is_told_again_on_anthropics_wire(
    of_anthropic: dict[str, Any], of_bedrock: dict[str, Any]
) -> None:
    block, dropped = told_again("bedrock", "anthropic", of_bedrock)
    assert (block, dropped) == ({"type": "text", "text": "Milk.", "citations": [of_anthropic]}, ())


def test_so_it_is_by_converse_but_for_what_bedrock_garbles() -> None:
    """It leaves out of what a search has found what Claude demands; and of the web there is a seal."""
    (document, retold), (found, _) = AGAIN
    block, dropped = told_again("anthropic", "bedrock", document)
    assert (block, dropped) == ({"citationsContent": {"content": [{"text": "Milk."}], "citations": [retold]}}, ())
    for citation in (found, ON_THE_WEB):
        assert told_again("anthropic", "bedrock", citation) == ({"text": "Milk."}, ("text.citations",))
    told = told_again("anthropic", "bedrock", document, "amazon.nova-lite-v1:0")
    assert told == ({"text": "Milk."}, ("text.citations",))
