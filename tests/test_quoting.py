"""Is Claude told what it may quote, and what it is to know of it, whichever of its two wires asks and answers?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.ports import Peek

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
