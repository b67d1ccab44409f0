"""Does a seal that bears no mark go back to the provider that made it, and to no other that was seen to make none?"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from proxy.canon import Close, Delta, Event, Open, Thinking
from proxy.framing.eventstream import encode_frame, encode_headers
from proxy.sealing.provenance import Foreign, Provenance
from proxy.sealing.seals import MARK, Sealer
from tests.client import Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.test_seal_forms import made

Object = dict[str, Any]
FERNET = made("openai")
WORDS = (b'ignature"', b"_content", b"redacted")


def passed(seal: str, provider: str = "a", key: str = "signature", told: Provenance | None = None) -> Provenance:
    """A seal has passed by in an answer."""
    told = told or Provenance()
    watched(told, json.dumps({key: seal, "type": "redacted_thinking"}).encode(), provider)
    return told


def watched(told: Provenance, said: bytes, provider: str = "a") -> None:
    told.tap(WORDS, provider)(said)


def knowing(foreign: Foreign) -> Provenance:
    told = Provenance()
    told.become(foreign, {})
    return told


def is_foreign(told: Provenance, seal: str, provider: str) -> bool:
    judge = told.judge(provider, "w")
    return judge is not None and judge(seal)


# --- what is remembered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["signature", "thoughtSignature", "thought_signature", "encrypted_content", "redactedContent", "data"]
)
def test_a_seal_belongs_to_whoever_made_it(key: str) -> None:
    told = passed("gAAAA-x", key=key)
    body = json.dumps({"input": [{key: "gAAAA-x", "type": "redacted_thinking"}]}).encode()
    assert (is_foreign(told, "gAAAA-x", "a"), told.holds_foreign(body, WORDS, "a", "w")) == (False, False)
    assert (is_foreign(told, "gAAAA-x", "b"), told.holds_foreign(body, WORDS, "b", "w")) == (True, True)


def test_one_that_nobody_has_seen_is_nobodys() -> None:
    told = passed("gAAAA-x")
    assert not is_foreign(told, "gAAAA-y", "b")
    assert not told.holds_foreign(b'{"signature":"gAAAA-y"}', WORDS, "b", "w")


def test_one_that_two_have_made_is_both_of_theirs() -> None:
    told = passed("s", "b", told=passed("s"))
    assert [is_foreign(told, "s", name) for name in "abc"] == [False, False, True]


def test_where_nobody_else_made_a_seal_there_is_nothing_to_ask() -> None:
    assert Provenance().judge("a", "w") is None
    assert passed("s").judge("a", "w") is None
    assert not passed("s").may_tell("a", "w")
    assert passed("s").may_tell("b", "w")


def test_one_that_nobody_has_seen_is_its_makers_where_its_form_tells() -> None:
    told = knowing({("b", "w"): {"openai"}})
    body = b'{"signature":"%b"}' % FERNET.encode()
    assert [told.may_tell(*place) for place in (("b", "w"), ("b", "another"), ("a", "w"))] == [True, False, False]
    assert (is_foreign(told, FERNET, "b"), told.holds_foreign(body, WORDS, "b", "w")) == (True, True)
    assert (told.holds_foreign(body, WORDS, "b", "another"), told.holds_foreign(body, WORDS, "a", "w")) == (
        False,
        False,
    )
    assert not is_foreign(told, "of-no-known-form", "b")


def test_what_was_seen_tells_more_than_a_form() -> None:
    told = passed(FERNET, "b", told=knowing({("b", "w"): {"openai"}, ("a", "w"): {"google"}}))
    assert [is_foreign(told, FERNET, name) for name in "ab"] == [True, False]


def test_a_name_that_stands_for_another_host_is_another_maker() -> None:
    told = Provenance()
    told.become({}, {"a": "a https://one"})
    passed("s", told=told)
    assert not is_foreign(told, "s", "a")
    told.become({}, {"a": "a https://two", "b": "b https://one"})
    assert [is_foreign(told, "s", name) for name in "ab"] == [True, True]
    told.become({}, {"a": "a https://one"})
    assert not is_foreign(told, "s", "a")


def test_events_without_a_seals_word_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> Iterator[str]:
        raise AssertionError(data)

    monkeypatch.setattr("proxy.sealing.provenance._seals_in", refuse)
    watched(Provenance(), b'data: {"type":"text_delta","text":"the \\"signature\\" of it"}\n\n')


SEAL = base64.b64encode(bytes(range(256)) * 3).decode()


@pytest.mark.parametrize(
    "spelled",
    [
        SEAL.rstrip("="),
        SEAL.translate(str.maketrans("+/", "-_")),
        SEAL.translate(str.maketrans("+/", "-_")).rstrip("="),
    ],
    ids=["without padding", "the other alphabet", "both"],
)
def test_a_seal_is_known_however_an_sdk_spells_it(spelled: str) -> None:
    assert is_foreign(passed(SEAL), spelled, "b")
    assert is_foreign(passed(spelled), SEAL, "b")
    assert not is_foreign(passed(SEAL), "x" + spelled[1:] + "A", "b")


def test_an_escaped_seal_is_read_as_what_it_says() -> None:
    told = Provenance()
    watched(told, b'{"signature": "ab\\/cd\\u003d", "x": 1}')
    assert is_foreign(told, "ab/cd=", "b")
    assert told.holds_foreign(b'{"signature":"ab/\\u0063d"}', WORDS, "b", "w")
    watched(told, b'{"signature": "\\ud800"}{"signature":"\xff"}{"signature":null}')  # is none


def test_the_least_recently_met_is_forgotten_first() -> None:
    told = Provenance(limit=2)
    for seal in ("s1", "s2"):
        passed(seal, told=told)
    assert is_foreign(told, "s1", "b")  # met again
    passed("s3", told=told)
    assert [is_foreign(told, seal, "b") for seal in ("s1", "s2", "s3")] == [True, False, True]
    assert repr(told) == "<Provenance of 2 seals>"


# --- in a gateway, on every wire that has seals ----------------------------------------------------------------------


class Wire(NamedTuple):
    """`providers`: two that take it. `said`: an answer's events, of which the seal is a part. `back`: the request."""

    providers: tuple[str, str]
    environ: Callable[[str], dict[str, str]]
    path: Callable[[str], str]
    whole: Object
    said: Callable[[], bytes]
    back: Callable[[str], Object]
    media_type: str = "text/event-stream"


SAID = "gAAAA_seal-made-by-the-first"
ASKED = [{"role": "user", "content": "Hi"}]


def sse(*events: Object) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def frames(*events: tuple[str, Object]) -> bytes:
    def head(kind: str) -> bytes:
        return encode_headers(
            [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]
        )

    return b"".join(encode_frame(head(kind), json.dumps(payload).encode()) for kind, payload in events)


def instances(name: str, key: str, **more: str) -> Callable[[str], dict[str, str]]:
    """Two accounts at one vendor's."""

    def environ(url: str) -> dict[str, str]:
        east = key.replace("_API_KEY", "_EAST_API_KEY")
        urls = {f"PILLION_{name}_BASE_URL": url, f"PILLION_{name}_EAST_BASE_URL": f"{url}/east"}
        return {key: "k-of-the-first", east: "k-of-the-second", **urls, **more}

    return environ


def openai_and_xai(url: str) -> dict[str, str]:
    keys = {"OPENAI_API_KEY": "k-of-openai", "XAI_API_KEY": "k-of-xai"}
    return keys | {"PILLION_OPENAI_BASE_URL": f"{url}/v1", "PILLION_XAI_BASE_URL": f"{url}/east"}


THOUGHT = {"type": "thinking", "thinking": "so", "signature": SAID}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SAID}
DETAIL = {"type": "reasoning.encrypted", "data": SAID, "format": "x", "index": 0}
SIGNED = {"text": "so", "thought": True, "thoughtSignature": "Z0FBQUE="}
REASONED = {"reasoningContent": {"reasoningText": {"text": "so", "signature": SAID}}}
WIRES = {
    "anthropic": Wire(
        ("anthropic", "anthropic-east"),
        instances("ANTHROPIC", "ANTHROPIC_API_KEY"),
        lambda provider: "/v1/messages",
        {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [THOUGHT],
         "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}},
        lambda: sse(
            {"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": SAID}},
            {"type": "message_stop"},
        ),
        lambda provider: {"model": f"{provider}/m", "max_tokens": 9,
                          "messages": [*ASKED, {"role": "assistant", "content": [THOUGHT]}, *ASKED]},
    ),
    "openai_responses": Wire(
        ("openai", "xai"),
        openai_and_xai,
        lambda provider: "/v1/responses",
        {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [REASONING]},
        lambda: sse(
            {"type": "response.output_item.done", "output_index": 0, "item": REASONING},
            {"type": "response.completed", "response": {"id": "r", "object": "response", "status": "completed"}},
        ),
        lambda provider: {"model": f"{provider}/m", "input": [*ASKED, REASONING, *ASKED]},
    ),
    "openai_chat": Wire(
        ("openai", "xai"),
        openai_and_xai,
        lambda provider: "/v1/chat/completions",
        {"id": "c", "object": "chat.completion", "model": "m", "choices": [
            {"index": 0, "finish_reason": "stop",
             "message": {"role": "assistant", "content": "Hi", "reasoning_details": [DETAIL]}}]},
        lambda: sse(
            {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"reasoning_details": [DETAIL]}}]},
            {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ) + b"data: [DONE]\n\n",
        lambda provider: {"model": f"{provider}/m", "messages": [
            *ASKED, {"role": "assistant", "content": "Hi", "reasoning_details": [DETAIL]}, *ASKED]},
    ),
    "gemini": Wire(
        ("gemini", "gemini-east"),
        instances("GEMINI", "GEMINI_API_KEY"),
        lambda provider: f"/v1beta/models/{provider}/m:streamGenerateContent?alt=sse",
        {},
        lambda: sse({"candidates": [{"content": {"role": "model", "parts": [SIGNED]}, "finishReason": "STOP"}]}),
        lambda provider: {"contents": [{"role": "user", "parts": [{"text": "Hi"}]},
                                       {"role": "model", "parts": [SIGNED]},
                                       {"role": "user", "parts": [{"text": "Hi"}]}]},
    ),
    "bedrock": Wire(
        ("bedrock", "bedrock-east"),
        instances("BEDROCK", "AWS_BEARER_TOKEN_BEDROCK", AWS_REGION="us-east-1", PILLION_BEDROCK_EAST_API_KEY="k-2"),
        lambda provider: f"/model/{provider}%2Fm/converse-stream",
        {},
        lambda: frames(
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": SAID}}}),
            ("messageStop", {"stopReason": "end_turn"}),
        ),
        lambda provider: {"messages": [{"role": "user", "content": [{"text": "Hi"}]},
                                       {"role": "assistant", "content": [REASONED, {"text": "Hi"}]},
                                       {"role": "user", "content": [{"text": "Hi"}]}]},
        "application/vnd.amazon.eventstream",
    ),
}  # fmt: skip
SEALS = {name: b"Z0FBQUE" if name == "gemini" else SAID.encode() for name in WIRES}


async def asks(gateway: Gateway, wire: Wire, provider: str, stream: bool = False) -> Got:
    body = wire.back(provider) | ({"stream": stream} if "model" in wire.back(provider) else {})
    return await ask(gateway, "POST", wire.path(provider), json.dumps(body).encode())


def sent(request: Received) -> Object:
    """What was said, and not how the answer is to come."""
    return {key: value for key, value in json.loads(request.body).items() if not key.startswith("stream")}


@pytest.mark.parametrize("split", [None, "bytes", "whole"])
@pytest.mark.parametrize("name", WIRES)
async def test_a_seal_that_passed_goes_to_no_other_provider(name: str, split: Any) -> None:
    wire, seal = WIRES[name], SEALS[name]
    if split == "whole" and not wire.whole:
        split = 3  # its answers stream whatever is asked of them here
    first, second = wire.providers

    def answer(request: Received) -> Scenario:
        if split == "whole":
            return Scenario(headers=[("content-type", "application/json")], body=json.dumps(wire.whole).encode())
        return Scenario(headers=[("content-type", wire.media_type)], body=wire.said(), framing="chunked", split=split)

    async with Evil(answering=answer) as evil, pillion(**wire.environ(evil.url)) as gateway:
        got = await asks(gateway, wire, first, stream=split != "whole")
        assert (got.status, got.body) == (200, answer(evil.requests[0]).body)
        again, other = await asks(gateway, wire, first), await asks(gateway, wire, second)
        asked = [request for request in evil.requests if request.method == "POST"]
    assert [seal in request.body for request in asked] == [True, True, False]
    assert sent(asked[1]) == sent(asked[0])
    assert (again.header("x-pillion-dropped"), bool(other.header("x-pillion-dropped"))) == (None, True)


async def test_a_seal_from_elsewhere_goes_where_the_client_says() -> None:
    """Nobody here knows whose it is: it may be from before a restart."""
    wire = WIRES["anthropic"]
    plays = Scenario(headers=[("content-type", "application/json")], body=json.dumps(wire.whole).encode())
    async with Evil(plays) as evil, pillion(**wire.environ(evil.url)) as gateway:
        await asks(gateway, wire, wire.providers[1])
        assert SAID.encode() in evil.requests[-1].body


@pytest.mark.parametrize(
    ("name", "provider", "maker", "goes"),
    [
        ("openai_responses", "xai", "openai", False),
        ("openai_responses", "openai", "openai", True),
        ("openai_responses", "openai", "anthropic", True),  # of no provider of this wire here, and who knows this host
        ("openai_chat", "xai", "openai", False),
        ("anthropic", "anthropic-east", "anthropic", True),
        ("gemini", "gemini-east", "google", True),
    ],
)
async def test_a_seal_from_before_a_restart_goes_to_whom_its_form_allows(
    name: str, provider: str, maker: str, goes: bool
) -> None:
    wire, seal = WIRES[name], made(maker)  # by nobody whom this process saw
    ours = SEALS[name].decode()

    def answer(request: Received) -> Scenario:
        return Scenario(headers=[("content-type", wire.media_type)], body=wire.said(), framing="chunked")

    async with Evil(answering=answer) as evil, pillion(**wire.environ(evil.url)) as gateway:
        body = json.dumps(wire.back(provider) | ({"stream": True} if "model" in wire.back(provider) else {}))
        body = body.replace("Z0FBQUE=" if name == "gemini" else ours, seal)
        got = await ask(gateway, "POST", wire.path(provider), body.encode())
        asked = [request for request in evil.requests if request.method == "POST"]
    assert (got.status, seal.encode() in asked[0].body) == (200, goes)
    assert bool(got.header("x-pillion-dropped")) is not goes


async def test_where_tokens_are_counted_likewise() -> None:
    wire = WIRES["anthropic"]

    def answer(request: Received) -> Scenario:
        body: Object = {"input_tokens": 3} if "count_tokens" in request.target else wire.whole
        return Scenario(headers=[("content-type", "application/json")], body=json.dumps(body).encode())

    async with Evil(answering=answer) as evil, pillion(**wire.environ(evil.url)) as gateway:
        await asks(gateway, wire, wire.providers[0])
        for provider, is_there in zip(wire.providers, (True, False), strict=True):
            body = json.dumps({k: v for k, v in wire.back(provider).items() if k != "max_tokens"}).encode()
            got = await ask(gateway, "POST", "/v1/messages/count_tokens", body)
            assert (got.status, SAID.encode() in evil.requests[-1].body) == (200, is_there)


async def test_where_tokens_are_counted_a_provider_gets_its_own_seals_without_our_mark() -> None:
    wire = WIRES["anthropic"]
    said: list[Event] = [Open(index=0, part=Thinking(signature="c2VhbA==")), Close(index=0)]
    _, signed, _ = Sealer(wire.providers[0]).feed(said)
    plays = Scenario(headers=[("content-type", "application/json")], body=b'{"input_tokens":3}')
    async with Evil(plays) as evil, pillion(**wire.environ(evil.url)) as gateway:
        assert isinstance(signed, Delta)
        body = json.dumps({key: value for key, value in wire.back(wire.providers[0]).items() if key != "max_tokens"})
        marked = body.replace(SAID, signed.signature).encode()
        got = await ask(gateway, "POST", "/v1/messages/count_tokens", marked)
        assert (got.status, MARK in evil.requests[-1].body) == (200, False)
        assert json.loads(evil.requests[-1].body)["messages"][1]["content"][0]["signature"] == "c2VhbA=="
