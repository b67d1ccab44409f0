"""Does Claude get what an app has found, and documents cut in passages, whichever of its two wires says so?

And do others get them as the texts that they are?
"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.errors import Unrepresentable
from proxy.ports import Peek
from tests.client import ANTHROPIC, OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion

CLAUDE, NOVA = "anthropic.claude-sonnet-4-5-v1:0", "amazon.nova-lite-v1:0"
MODELS = {"anthropic": "claude-sonnet-4-5", "bedrock": CLAUDE, "bedrock_invoke": CLAUDE}
PLACE = "https://x.example/milk"
QUOTED = {"citations": {"enabled": True}}
TEXTS = {
    "anthropic": [{"type": "text", "text": "Buy milk."}, {"type": "text", "text": "Two pints."}],
    "bedrock": [{"text": "Buy milk."}, {"text": "Two pints."}],
}

# By wire: what a search has found, and a document in passages.
SAID: dict[str, list[dict[str, Any]]] = {
    "anthropic": [
        {"type": "search_result", "source": PLACE, "title": "Milk", "content": TEXTS["anthropic"], **QUOTED},
        {"type": "search_result", "source": "note 7", "title": "Milk", "content": TEXTS["anthropic"][:1]},
        {"type": "document", "source": {"type": "content", "content": TEXTS["anthropic"]}, "title": "List", **QUOTED},
        {
            "type": "document",
            "source": {"type": "content", "content": TEXTS["anthropic"]},
            "title": "a",
            "context": "b",
            **QUOTED,
        },
    ],
    "bedrock": [
        {"searchResult": {"source": PLACE, "title": "Milk", "content": TEXTS["bedrock"], **QUOTED}},
        {"searchResult": {"source": "note 7", "title": "Milk", "content": TEXTS["bedrock"][:1]}},
        {"document": {"name": "List", "format": "txt", "source": {"content": TEXTS["bedrock"]}, **QUOTED}},
        {"document": {"name": "a", "format": "txt", "source": {"content": TEXTS["bedrock"]}, "context": "b", **QUOTED}},
    ],
}
PAIRS = [("anthropic", "bedrock"), ("bedrock", "anthropic"), ("anthropic", "anthropic"), ("bedrock", "bedrock")]


def turns_of(client: str, part: dict[str, Any], by_tool: bool) -> list[dict[str, Any]]:
    """The user shows it, or a tool has found it."""
    if client == "anthropic":
        call: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
        found: dict[str, Any] = {"type": "tool_result", "tool_use_id": "t1", "content": [part]}
        text: dict[str, Any] = {"type": "text", "text": "Hi"}
    else:
        call = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
        found = {"toolResult": {"toolUseId": "t1", "content": [part]}}
        text = {"text": "Hi"}
    if not by_tool:
        return [{"role": "user", "content": [part, text]}]
    before = [{"role": "user", "content": [text]}, {"role": "assistant", "content": [call]}]
    return [*before, {"role": "user", "content": [found]}]


def crossed(client: str, target: str, part: dict[str, Any], by_tool: bool, model: str = "") -> tuple[Any, set[str]]:
    """What the provider's last message holds, and the receipt."""
    needed: dict[str, Any] = {"max_tokens": 99, "model": "m"} if client == "anthropic" else {}
    body = json.dumps(needed | {"messages": turns_of(client, part, by_tool)}).encode()
    request = registry.dialect(client).parse(body, Peek("m", stream=False))
    request.model = model or MODELS.get(target, "m")
    encoded = registry.dialect(target).encode(request)
    said = json.loads(encoded.body)
    [*_, last] = said.get("messages") or said.get("contents") or said["input"]
    return last, set(encoded.dropped) - {"tools"}  # of which there are none


CASES = [
    (client, target, number, by_tool) for client, target in PAIRS for number in range(4) for by_tool in (False, True)
]
# Converse cites no document of a tool's.
UNTOLD = [("anthropic", "bedrock", 2, True), ("anthropic", "bedrock", 3, True)]


@pytest.mark.parametrize(("client", "target", "number", "by_tool"), [case for case in CASES if case not in UNTOLD])
def test_it_stands_on_the_other_wire_as_it_did_on_the_first(
    client: str, target: str, number: int, by_tool: bool
) -> None:
    last, dropped = crossed(client, target, SAID[client][number], by_tool)
    assert shown(target, last) == SAID[target][number]
    assert dropped == set()


def shown(target: str, last: dict[str, Any]) -> Any:
    """The first block, or that of a tool's result."""
    block = last["content"][0]
    within = block.get("toolResult", block) if target == "bedrock" else block
    return within["content"][0] if "toolUseId" in within or block.get("type") == "tool_result" else block


def test_a_text_alone_is_one_passage() -> None:
    whole = {"type": "document", "source": {"type": "content", "content": "Buy milk."}, "title": "a", **QUOTED}
    last, _ = crossed("anthropic", "bedrock", whole, by_tool=False)
    assert shown("bedrock", last) == {
        "document": {"name": "a", "format": "txt", "source": {"content": [{"text": "Buy milk."}]}, **QUOTED}
    }
    last, _ = crossed("anthropic", "bedrock_invoke", whole, by_tool=False)
    assert last["content"][0] == whole


def test_converse_has_a_text_that_is_to_be_cited_as_text() -> None:
    """As bytes it would be taken for a PDF."""
    text = {"type": "text", "media_type": "text/plain", "data": "Buy milk."}
    cited = {"type": "document", "source": text, "title": "a", "context": "b", **QUOTED}
    last, dropped = crossed("anthropic", "bedrock", cited, by_tool=False)
    assert shown("bedrock", last) == {
        "document": {"name": "a", "format": "txt", "source": {"text": "Buy milk."}, "context": "b", **QUOTED}
    }
    assert dropped == set()


AS_BYTES = {"document": {"name": "List", "format": "txt", "source": {"bytes": "QnV5IG1pbGsuCgpUd28gcGludHMu"}}}


def test_converse_has_what_is_not_to_be_cited_as_a_file() -> None:
    """Texts and passages must be to cite there, and no document of a tool's may be."""
    cited = SAID["anthropic"][2]
    last, dropped = crossed("anthropic", "bedrock", cited, by_tool=True)
    assert (shown("bedrock", last), dropped) == (AS_BYTES, {"document.citations"})
    for by_tool in (False, True):
        uncited = {key: value for key, value in cited.items() if key != "citations"}
        last, dropped = crossed("anthropic", "bedrock", uncited, by_tool)
        assert (shown("bedrock", last), dropped) == (AS_BYTES, set())


FRAME = f'<document name="Milk" source="{PLACE}">\nBuy milk.\n\nTwo pints.\n</document>'
OTHERS = ["openai_chat", "openai_responses", "gemini", "ollama", "cohere"]


@pytest.mark.parametrize("by_tool", [False, True])
@pytest.mark.parametrize(
    ("client", "wire"),
    [*(("anthropic", wire) for wire in (*OTHERS, "bedrock")), *(("bedrock", wire) for wire in OTHERS)],
)
def test_to_others_what_was_found_is_a_text_with_its_place(client: str, wire: str, by_tool: bool) -> None:
    last, dropped = crossed(client, wire, SAID[client][0], by_tool, model=NOVA if wire == "bedrock" else "")
    assert json.dumps(FRAME)[1:-1] in json.dumps(last)
    assert dropped == {"search_result.citations" if client == "anthropic" else "searchResult.citations"}


@pytest.mark.parametrize("wire", [*OTHERS, "bedrock"])
def test_to_others_a_document_in_passages_is_one_of_text(wire: str) -> None:
    whole = {"type": "text", "media_type": "text/plain", "data": "Buy milk.\n\nTwo pints."}
    said = [SAID["anthropic"][2], SAID["anthropic"][2] | {"source": whole}]
    cut, uncut = [crossed("anthropic", wire, part, False, NOVA if wire == "bedrock" else "") for part in said]
    assert cut == uncut
    assert "document.citations" in cut[1]


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "search_result", "source": PLACE, "title": "Milk", "content": [IMAGE]},
        {"type": "search_result", "source": PLACE, "content": TEXTS["anthropic"]},
        {"type": "document", "source": {"type": "content", "content": [*TEXTS["anthropic"], IMAGE]}},
        {
            "type": "document",
            "source": {"type": "content", "content": [{**TEXTS["anthropic"][0], "cache_control": {}}]},
        },
    ],
)
def test_what_holds_more_than_texts_is_its_own_wires(part: dict[str, Any]) -> None:
    last, _ = crossed("anthropic", "anthropic", part, by_tool=False)
    assert last["content"][0] == part
    with pytest.raises(Unrepresentable) as refused:
        crossed("anthropic", "bedrock", part, by_tool=False)
    assert refused.value.param == "messages[0].content[0]"


@pytest.mark.parametrize("said", [{"image": {}}, {"text": 1}, {"text": "a", "new": 1}])
def test_so_it_is_on_converse(said: dict[str, Any]) -> None:
    for part in (
        {"searchResult": {"source": PLACE, "title": "t", "content": [said]}},
        documented([said]),
        documented([]),
    ):
        last, _ = crossed("bedrock", "bedrock", part, by_tool=False)
        assert last["content"][0] == part
        with pytest.raises(Unrepresentable) as refused:
            crossed("bedrock", "anthropic", part, by_tool=False)
        assert refused.value.param == "messages[0].content[0]"


def documented(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"document": {"name": "n", "source": {"content": content}}}


@pytest.mark.parametrize("kind", ["document", "search_result"])
def test_a_null_among_the_passages_says_nothing(kind: str) -> None:
    """Anthropic's SDK writes them into the texts of an answer, which an app may pass on as what it has found."""
    plain = TEXTS["anthropic"]
    nulls = [{**text, "citations": None, "cache_control": None} for text in plain]
    read, expected = (
        crossed(
            "anthropic",
            "bedrock",
            {"type": kind, "source": PLACE, "title": "Milk", "content": texts}
            if kind == "search_result"
            else {"type": kind, "source": {"type": "content", "content": texts}},
            by_tool=False,
        )
        for texts in (nulls, plain)
    )
    assert read == expected


PIXEL = "iVBORw0KGgo="
MIXED: list[dict[str, Any]] = [
    {"type": "text", "text": "Buy milk."},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    {"type": "text", "text": "Two pints.", "cache_control": {"type": "ephemeral"}},
]


@pytest.mark.parametrize("by_tool", [False, True])
async def test_a_document_of_texts_and_images_is_told_piece_by_piece(by_tool: bool) -> None:
    document = {"type": "document", "title": "List", "source": {"type": "content", "content": MIXED}, **QUOTED}
    asked = {"model": "openai/gpt-4.1", "max_tokens": 9, "messages": turns_of("anthropic", document, by_tool)}
    answer = Scenario(body=OPENAI.whole, headers=[("content-type", "application/json")])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/v1/messages", json.dumps(asked).encode(), ANTHROPIC.headers)
        sent = evil.requests[-1].body.decode()
    said = ['<document name=\\"List\\">', "Buy milk.", "Two pints.", "</document>"]
    assert [sent.index(text) for text in said] == sorted(sent.index(text) for text in said)
    assert PIXEL in sent
    assert (got.status, got.header("x-pillion-dropped")) == (200, "cache_control, document, messages")


@pytest.mark.parametrize("by_tool", [False, True])
async def test_so_is_what_a_search_has_found_with_a_cache_point_within(by_tool: bool) -> None:
    texts = [MIXED[0], MIXED[2] | {"citations": [{"type": "page_location", "cited_text": "pints"}]}]
    found = {"type": "search_result", "source": PLACE, "title": "Milk", "content": texts, **QUOTED}
    asked = {"model": "openai/gpt-4.1", "max_tokens": 9, "messages": turns_of("anthropic", found, by_tool)}
    answer = Scenario(body=OPENAI.whole, headers=[("content-type", "application/json")])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", "/v1/messages", json.dumps(asked).encode(), ANTHROPIC.headers)
        sent = evil.requests[-1].body.decode()
    said = [f'<document name=\\"Milk\\" source=\\"{PLACE}\\">', "Buy milk.", "Two pints.", "</document>"]
    assert [sent.index(text) for text in said] == sorted(sent.index(text) for text in said)
    dropped = "cache_control, messages, search_result, text.citations"
    assert (got.status, got.header("x-pillion-dropped")) == (200, dropped)
