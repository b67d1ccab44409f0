"""Do a few cases of every pair of a client and a provider go as `make conformance` wants all of them to?

A sample by a seed, and a larger one in `make soak`; `make conformance` takes every case, for half an hour.
"""

import logging
import re
from collections.abc import Iterator

import pytest

from tests import laws, recordings
from tests.conformance import pairs
from tests.conformance.asked import gone, unlinked
from tests.conformance.report import Finding
from tests.conformance.scene import providers, scene
from tests.conformance.sending import Outcome
from tests.conformance.told import WIRES, Call, Json, Told, Used, Wire, differences, meet
from tests.conformance.vendor import invalid
from tests.recordings import needs_recordings

SAMPLE = 20 if laws.SOAK else 2  # cases of each figure and pair


@pytest.fixture(autouse=True)
def hushed() -> Iterator[None]:
    """Most of what is logged is the errors that are played."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@needs_recordings
@pytest.mark.filterwarnings("ignore")  # what an SDK is warned of is its own affair
@pytest.mark.parametrize("client", WIRES)
async def test_a_client_reaches_every_provider(client: Wire) -> None:
    async with scene() as acting:
        findings = [
            each
            for wire in providers()
            if meet(client, wire)
            for each in [one async for one in pairs.judge(acting, client, wire, sample=SAMPLE)]
        ]
    every = sum(pairs.size(client, wire) for wire in providers() if meet(client, wire))
    laws.figures[f"cases of make conformance, asked by {client}"] = (len(findings), every)
    assert len(findings) > len(providers())
    failed = [each.line() for each in findings if each.verdict == "failed"]
    assert not failed, "\n".join(failed)


# --- the judge itself: it must see what is wrong ---------------------------------------------------------------------

TOLD = Told("text", "thought", [Call("f", {"x": 1}, "a"), Call("f", {}, "b")], "tool_calls", Used(5, 2, 0, 3, 1))


@pytest.mark.parametrize(
    ("got", "word"),
    [
        (TOLD._replace(text="tex"), "text"),
        (TOLD._replace(thinking=""), "thinking"),
        (TOLD._replace(calls=TOLD.calls[:1]), "calls"),
        (TOLD._replace(calls=[TOLD.calls[0], Call("f", {"y": 1}, "b")]), "arguments"),
        (TOLD._replace(calls=[TOLD.calls[0], Call("f", {}, "a")]), "one id"),
        (TOLD._replace(finish="end_turn"), "finish"),
        (TOLD._replace(used=Used(5, 0, 0, 3)), "usage.cached"),
    ],
)
def test_a_difference_is_seen(got: Told, word: str) -> None:
    right = TOLD._replace(finish="tool_use")
    assert differences("openai_chat", TOLD, "anthropic", right) == []
    got = got if got.finish != TOLD.finish else got._replace(finish="tool_use")
    assert any(word in line for line in differences("openai_chat", TOLD, "anthropic", got))


def test_what_is_gone_is_named_unless_the_receipt_does() -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "there"}], "top_k": 7, "n": 1}
    whole = Outcome(200, "", [], {"contents": [{"role": "user", "parts": [{"text": "Hi there"}]}]})
    assert [str(leaf) for leaf in gone(body, whole)] == ["top_k = '7'"]
    assert list(gone(body, whole._replace(dropped=["top_k"]))) == []
    half = whole._replace(received={"contents": [{"parts": [{"text": "Hi"}]}], "topK": 7})
    assert [str(leaf) for leaf in gone(body, half)] == ["messages.content = 'there'"]


def test_a_result_without_its_call_is_seen() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "x"}
    assert unlinked({"messages": [call, result]}) == []
    assert unlinked({"messages": [call, result | {"tool_call_id": "b"}]}) == ["a result without its call: b"]


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("openai_chat", {"model": "m", "messages": [{"role": "user", "content": [{"type": "txt"}]}]}),
        ("openai_responses", {"model": "m", "input": [{"role": "user", "content": [{"type": "text"}]}]}),
        ("anthropic", {"model": "m", "messages": []}),
        ("gemini", {"contents": [{"parts": [{"txt": "x"}]}]}),
        ("bedrock", {"messages": [{"role": "user", "content": [{"txt": "x"}]}]}),
        ("bedrock_invoke", {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        ("ollama", {"model": "m", "messages": [{"role": "user", "content": [{}]}]}),
        ("cohere", {"model": "m", "messages": [{"role": "nobody"}]}),
    ],
)
def test_a_body_that_the_vendor_would_not_take_is_seen(wire: Wire, body: Json) -> None:
    assert invalid(wire, body, stream=False)


def test_the_shares_are_counted() -> None:
    def found(verdict: str) -> Finding:
        return Finding("answers", "ollama", "cohere", "x", verdict)  # type: ignore[arg-type]  # one of the three

    told = pairs.table([found("ok"), found("refused"), found("failed"), found("ok")])
    assert "2/4 (1)" in told[1]
    assert "50.00 %" in told[-2]
    assert pairs.below([found("ok"), found("failed")]) == ["answers: 50.00 % of 99"]


def test_every_recording_is_judged_or_listed() -> None:
    if not recordings.present():
        pytest.skip(f"no recordings: {recordings.why_absent()}")
    assert any("embeddings" in line for line in pairs.skipped(WIRES))
    served = re.compile("chat_completions|bedrock.(?:converse|invoke)|api_(?:chat|generate)")
    assert not any(map(served.search, pairs.skipped(WIRES)))
