"""Does every seal come back to the provider that made it, as it was, and to nobody else?"""

import base64
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from proxy.canon import (
    Choice,
    Citation,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Opaque,
    Open,
    Part,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    fold,
    unfold,
)
from proxy.dialects.anthropic import Anthropic
from proxy.dialects.bedrock import Bedrock
from proxy.dialects.gemini import Gemini
from proxy.dialects.gemini.words import NO_SEAL
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.ports import Dialect, Peek
from proxy.sealing.seals import MARK, Sealer, is_marked, unseal
from tests.client import ANTHROPIC as ANTHROPIC_CLIENT
from tests.client import OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

Object = dict[str, Any]


def sealed(events: Iterable[Event], provider: str = "ours") -> list[Event]:
    sealer = Sealer(provider)
    return sealer.feed(events)


def mark(seal: str, provider: str = "ours", name: str = "") -> str:
    """The seal as a client of ours sees it."""
    events = sealed([Open(index=0, part=Thinking(id=name)), Delta(index=0, signature=seal), Close(index=0)], provider)
    return next(event.signature for event in events if isinstance(event, Delta))


def request(*parts: Part, wire: str = "w") -> Request:
    return Request(wire=wire, model="m", turns=[Turn(role="assistant", parts=list(parts))])


def unsealed(*parts: Part, provider: str = "ours", own_wire: bool = False) -> tuple[list[Part], tuple[str, ...]]:
    asked = request(*parts)
    dropped = unseal(asked, provider, own_wire)
    return asked.turns[0].parts, dropped


@pytest.mark.parametrize(
    ("by", "goes"), [("ours@1", True), ("ours", True), ("ours@2", False), ("ours@", False), ("theirs", False)]
)
def test_a_mark_is_of_a_name_and_a_host_or_as_before_of_a_name(by: str, goes: bool) -> None:
    parts, dropped = unsealed(Thinking(text="t", signature=mark("s", by)), provider="ours@1")
    assert (parts, bool(dropped)) == ([Thinking(text="t", signature="s" if goes else "")], not goes)


# --- any answer, any request -----------------------------------------------------------------------------------------

WORDS = st.text(max_size=5)
SEALS = st.text(max_size=9)
IDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
THOUGHTS = st.builds(Thinking, id=IDS, text=WORDS, signature=SEALS) | st.builds(
    Thinking, id=IDS, redacted=SEALS.filter(bool)
)
CALLS = st.builds(ToolCall, id=WORDS, name=WORDS, arguments=WORDS, signature=SEALS)
TEXTS = st.builds(Text, text=WORDS, signature=SEALS)
ANSWERS: st.SearchStrategy[list[Part]] = st.lists(THOUGHTS | CALLS | TEXTS | st.builds(Refusal, text=WORDS), max_size=5)
PROVIDERS = st.sampled_from(["ours", "theirs", "our", "s"])


def completion(*choices: list[Part]) -> Completion:
    return Completion(start=Start(id="r"), choices=[Choice(parts=parts, stop=Stop()) for parts in choices])


@st.composite
def sentences(draw: st.DrawFn) -> list[Event]:
    """An answer in pieces; now and then the head of a seal stands in the shell already."""
    events: list[Event] = []
    for event in unfold(completion(*draw(st.lists(ANSWERS, min_size=1, max_size=2)))):
        if isinstance(event, Delta):
            events += cut(event, draw(st.integers(0, 5)), draw(st.integers(0, 5)))
        elif isinstance(event, Open) and isinstance(event.part, Text) and draw(st.booleans()):
            events.append(msgspec.structs.replace(event, part=Text(signature="in the shell")))
        else:
            events.append(event)
    return events


def cut(delta: Delta, text: int, seal: int) -> list[Event]:
    halves = [(delta.text[:text], delta.signature[:seal]), (delta.text[text:], delta.signature[seal:])]
    return [Delta(index=delta.index, text=half, signature=piece) for half, piece in halves]


@given(sentences(), PROVIDERS)
def test_a_sentence_stays_one_and_its_seals_come_back_as_they_were(events: list[Event], provider: str) -> None:
    answer = fold(sealed(events, provider))
    for choice in answer.choices:
        choice.parts, dropped = unsealed(*choice.parts, provider=provider)
        assert dropped == ()
    assert answer == fold(events)


@given(sentences())
def test_each_seal_is_marked_and_comes_just_before_its_block_closes(events: list[Event]) -> None:
    out = sealed(events)
    for number, event in enumerate(out):
        if isinstance(event, Delta) and event.signature:
            assert event.signature.encode().startswith(MARK)
            assert out[number + 1] == Close(index=event.index)
        if isinstance(event, Open) and isinstance(event.part, Thinking) and event.part.redacted:
            assert event.part.redacted.encode().startswith(MARK)


def test_what_has_no_seal_passes_untouched() -> None:
    events: list[Event] = [
        Start(),
        Open(index=0, part=Text()),
        Delta(index=0, text="a"),
        Close(index=0),
        Usage(),
        Finish(),
    ]
    assert all(out is event for out, event in zip(sealed(events), events, strict=True))


@given(SEALS.filter(bool), IDS, PROVIDERS)
def test_a_mark_is_base64_and_can_be_seen_from_without(seal: str, name: str, provider: str) -> None:
    marked = mark(seal, provider, name)
    assert base64.b64encode(base64.b64decode(marked, validate=True)).decode() == marked
    assert is_marked(b'{"signature":"%b"}' % marked.encode())
    assert unsealed(Thinking(signature=marked), provider=provider) == ([Thinking(id=name, signature=seal)], ())


@given(SEALS.filter(bool), st.booleans())
def test_a_mark_may_come_back_in_the_other_alphabet_and_without_its_padding(seal: str, padded: bool) -> None:
    marked = mark(seal).translate(str.maketrans("+/", "-_"))
    assert is_marked(marked.encode())
    back = Thinking(signature=marked if padded else marked.rstrip("="))
    assert unsealed(back) == ([Thinking(signature=seal)], ())


def test_an_id_that_would_end_early_is_left_out() -> None:
    assert unsealed(Thinking(signature=mark("s", name="a\0b"))) == ([Thinking(signature="s")], ())


def test_what_holds_no_mark_is_not_seen_as_one() -> None:
    assert not is_marked(b'{"messages":[{"role":"user","content":"pillion"}]}')


# Every place of a request in which a client may bring a seal back, our own included and the oddest of all.
LOST = "THE SEAL"
MARKED = st.sampled_from([mark(LOST, "theirs"), mark(f"{LOST}\0x", "theirs", "rs_1")])
JSON: st.SearchStrategy[Any] = st.recursive(
    MARKED | WORDS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
EXTRA: st.SearchStrategy[Object] = st.dictionaries(WORDS, JSON, max_size=2)
MAYBE = MARKED | st.just("")
SENT: st.SearchStrategy[Part] = st.recursive(
    st.builds(Thinking, id=WORDS, text=WORDS, signature=MAYBE, redacted=MAYBE, extra=EXTRA)
    | st.builds(Text, signature=MAYBE, citations=st.lists(st.builds(Citation, wire=WORDS, value=EXTRA)), extra=EXTRA)
    | st.builds(ToolCall, id=WORDS, name=WORDS, signature=MAYBE, extra=EXTRA)
    | st.builds(Refusal, extra=EXTRA)
    | st.builds(Opaque, wire=WORDS, value=EXTRA, extra=EXTRA),
    lambda inner: st.builds(ToolResult, id=WORDS, parts=st.lists(inner, max_size=2), extra=EXTRA),
    max_leaves=3,
)
TURNS = st.builds(
    Turn, role=st.sampled_from(["user", "assistant", "system"]), parts=st.lists(SENT, max_size=2), extra=EXTRA
)
REQUESTS = st.builds(Request, wire=WORDS, model=WORDS, turns=st.lists(TURNS, max_size=3), extra=EXTRA, demands=EXTRA)


@given(REQUESTS, st.booleans())
def test_a_seal_of_one_provider_never_goes_to_another(asked: Request, own_wire: bool) -> None:
    had = is_marked(msgspec.json.encode(asked))
    dropped = unseal(asked, "ours", own_wire)
    left = msgspec.json.encode(asked)
    assert not is_marked(left)
    assert LOST.encode() not in left
    assert bool(dropped) == had


@given(REQUESTS, st.booleans())
def test_its_own_provider_gets_every_seal_without_its_mark(asked: Request, own_wire: bool) -> None:
    count = msgspec.json.encode(asked).count(MARK)
    assert unseal(asked, "theirs", own_wire) == ()
    left = msgspec.json.encode(asked)
    assert not is_marked(left)
    assert left.count(LOST.encode()) == count


# --- what is left of a foreign seal ----------------------------------------------------------------------------------


@pytest.mark.parametrize("own_wire", [True, False])
@pytest.mark.parametrize(
    ("part", "left", "receipt"),
    [
        (Thinking(id="rs_1", text="so", signature=mark("s", "theirs")), [Thinking(text="so")], "thinking.signature"),
        (Thinking(id="rs_1", signature=mark("s", "theirs")), [], "thinking.signature"),
        (Thinking(redacted=mark("s", "theirs")), [], "thinking.redacted"),
        (Text(text="so", signature=mark("s", "theirs")), [Text(text="so")], "text.signature"),
        (
            ToolCall(id="c", name="f", signature=mark("s", "theirs")),
            [ToolCall(id="c", name="f")],
            "tool_call.signature",
        ),
        (
            Refusal(extra={"kept": 1, "told": [{"again": mark("s", "theirs")}]}),
            [Refusal(extra={"kept": 1})],
            "told",
        ),
        (Text(text="so", signature=mark("s")[:-4] + "!"), [Text(text="so")], "text.signature"),  # damaged
        (Text(text="so", signature=MARK.decode()), [Text(text="so")], "text.signature"),
    ],
    ids=["thinking", "thinking unseen", "redacted", "text", "call", "said again", "damaged", "no more than a mark"],
)
def test_a_foreign_seal_leaves(part: Part, left: list[Part], receipt: str, own_wire: bool) -> None:
    copied = msgspec.json.decode(msgspec.json.encode(part), type=type(part))
    assert unsealed(copied, own_wire=own_wire) == (left, (receipt,))


@pytest.mark.parametrize("own_wire", [True, False])
def test_where_one_model_gave_way_to_another_is_told_on_its_own_wire_alone(own_wire: bool) -> None:
    """Claude Code asks for such a fallback, and from then on its chat says where it was."""
    block = {"type": "fallback", "from": {"model": "claude-fable-5-2"}, "to": {"model": "claude-opus-5-5"}}
    said = [{"type": "text", "text": "no"}, block, {"type": "text", "text": "yes"}]
    asked = remembering(said)
    assert unseal(asked, "ours", own_wire) == (() if own_wire else ("fallback",))
    blocks = [part.value for part in asked.turns[0].parts if isinstance(part, Opaque)]
    assert (blocks, len(asked.turns[0].parts)) == ([block] * own_wire, 2 + own_wire)


def remembering(content: list[Any]) -> Request:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": content}]}
    return Anthropic().parse(msgspec.json.encode(body), Peek("m", False))


@pytest.mark.parametrize("summary", ["They met.", None])
@pytest.mark.parametrize("own_wire", [True, False])
def test_a_summary_is_told_in_words_elsewhere(own_wire: bool, summary: str | None) -> None:
    """Without content it failed, and counts as nothing."""
    block: dict[str, Any] = {"type": "compaction", "content": summary, "encrypted_content": "x", "tool_changes": []}
    content = [block, {"type": "text", "text": "So?"}]
    asked = remembering(content)
    assert unseal(asked, "ours", own_wire) == (() if own_wire else ("compaction", "messages"))
    said = [part.value if isinstance(part, Opaque) else part for part in asked.turns[0].parts]
    assert said == ([block] if own_wire else [Text(text=summary)] if summary else []) + [Text(text="So?")]


def test_a_summary_that_changes_the_tools_is_not_told_as_one() -> None:
    block = {"type": "compaction", "content": "x", "tool_changes": [{"type": "tool_addition"}]}
    asked = remembering([block])
    assert unseal(asked, "ours", False) == ()
    assert type(asked.turns[0].parts[0]) is Opaque


def test_a_seal_without_a_mark_belongs_to_the_wire_of_the_client() -> None:
    def parts() -> list[Part]:
        return [Thinking(id="rs_1", text="so", signature="s"), Thinking(redacted="r"), Text(signature="t")]

    assert unsealed(*parts(), own_wire=True) == (parts(), ())
    receipts = ("text.signature", "thinking.redacted", "thinking.signature")
    assert unsealed(*parts()) == ([Thinking(text="so"), Text()], receipts)


def test_a_seal_without_a_mark_that_is_known_for_anothers_leaves() -> None:
    def asked() -> Request:
        found = {"type": "web_search_tool_result", "content": [{"encrypted_content": "theirs"}]}
        parts: list[Part] = [Thinking(text="so", signature="theirs"), Text(text="a", signature="ours")]
        return request(*parts, Opaque(wire="w", value=found), Refusal(text="no", extra={"seal": "theirs"}))

    kept, left = asked(), asked()
    assert unseal(kept, "ours", True, lambda seal: False) == ()
    assert kept == asked()
    assert unseal(left, "ours", True, lambda seal: seal == "theirs") == ("content", "seal", "thinking.signature")
    thought, text, found, refusal = left.turns[0].parts
    assert (thought, text) == (Thinking(text="so"), Text(text="a", signature="ours"))
    assert (found, refusal) == (Opaque(wire="w", value={"type": "web_search_tool_result"}), Refusal(text="no"))


def test_what_only_begins_like_a_mark_goes_to_nobody() -> None:
    alike = base64.b64encode(b"pillions\0\0s").decode()
    assert unsealed(Text(signature=alike), provider="pillions") == ([Text()], ("text.signature",))


def test_a_mark_around_half_a_surrogate_pair_is_not_ours() -> None:
    """Where a seal has to be bytes, none could be made of it."""
    forged = base64.b64encode(b"pillion\0ours\0\0\xed\xa0\x80").decode()
    assert is_marked(forged.encode())
    assert unsealed(Thinking(redacted=forged)) == ([], ("thinking.redacted",))


def test_a_thought_without_any_seal_is_left_alone() -> None:
    assert unsealed(Thinking(id="rs_1", text="so"), Thinking()) == ([Thinking(id="rs_1", text="so"), Thinking()], ())


@pytest.mark.parametrize("own_wire", [True, False])
def test_deep_nesting_is_no_way_around(own_wire: bool) -> None:
    deep: Any = mark("s", "theirs")
    for _ in range(5000):
        deep = [deep]
    assert unsealed(Refusal(extra={"deep": deep}), own_wire=own_wire) == ([Refusal()], ("deep",))


# --- through every wire that has a place -----------------------------------------------------------------------------


def of_chat(answer: Object) -> Object:
    return {"messages": [{"role": "user", "content": "q"}, answer["choices"][0]["message"]]}


def of_anthropic(answer: Object) -> Object:
    said = {"role": "assistant", "content": answer["content"]}
    return {"max_tokens": 9, "messages": [{"role": "user", "content": "q"}, said]}


def of_responses(answer: Object) -> Object:
    return {"input": [{"role": "user", "content": "q"}, *answer["output"]]}


def of_gemini(answer: Object) -> Object:
    """Google's own SDK reads the answer, and writes what it read into the next request."""
    content = types.GenerateContentResponse.model_validate(answer).candidates
    assert content is not None
    assert content[0].content is not None
    said = content[0].content.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"contents": [{"role": "user", "parts": [{"text": "q"}]}, said]}


def of_bedrock(answer: Object) -> Object:
    return {"messages": [{"role": "user", "content": [{"text": "q"}]}, answer["output"]["message"]]}


CHAT = (OpenAIChat, of_chat)
ANTHROPIC = (Anthropic, of_anthropic)
RESPONSES = (OpenAIResponses, of_responses)
GEMINI = (Gemini, of_gemini)
BEDROCK = (Bedrock, of_bedrock)
CLAUDE = "claude-sonnet-4-5"  # of all models that Converse serves, the one that refuses such a thought
THOUGHT, HIDDEN = Thinking(text="so", signature="raw/+=?"), Thinking(redacted="cmF3")
CALL = ToolCall(id="c1", name="f", arguments="{}", signature="UkFX")


@pytest.mark.parametrize(
    ("wire", "parts"),
    [
        (CHAT, [THOUGHT, Text(text="a"), CALL]),
        (CHAT, [HIDDEN, Text(text="a")]),
        (ANTHROPIC, [THOUGHT, HIDDEN, Text(text="a")]),
        (RESPONSES, [Thinking(id="rs_9", text="so", signature="raw"), HIDDEN, Text(text="a", signature="t"), CALL]),
        (GEMINI, [THOUGHT, HIDDEN, Text(text="a", signature="t"), CALL]),
        (BEDROCK, [THOUGHT, HIDDEN, Text(text="a")]),
    ],
    ids=["chat", "chat, redacted", "anthropic", "responses", "gemini", "bedrock"],
)
def test_a_seal_travels_to_the_client_and_back(
    wire: tuple[Callable[[], Dialect], Callable[[Object], Object]], parts: list[Part]
) -> None:
    make, repeated = wire
    dialect = make()
    renderer = dialect.renderer(Request(wire=dialect.name, model="m", turns=[]))
    answer = b"".join(map(renderer.feed, sealed(unfold(completion(parts)))))
    assert not any(f'"{seal}"'.encode() in answer for _, seal in seals_of(parts))
    body = msgspec.json.encode({"model": "m", **repeated(msgspec.json.decode(answer))})
    assert is_marked(body)
    for provider, seals in (("ours", seals_of(parts)), ("theirs", [])):
        asked = dialect.parse(body, Peek("m", stream=False))
        receipt = unseal(asked, provider, own_wire=True)
        assert (seals_of(asked.turns[1].parts), bool(receipt)) == (seals, not seals)
        assert not is_marked(dialect.encode(asked).body)


@pytest.mark.parametrize(
    ("wire", "needs"),
    [(CHAT, False), (ANTHROPIC, True), (RESPONSES, True), (GEMINI, False), (BEDROCK, True)],
    ids=["chat", "anthropic", "responses", "gemini", "bedrock"],
)
@pytest.mark.parametrize("provider", ["ours", "theirs"])
def test_a_thought_without_a_seal_does_not_go_where_it_would_be_refused(
    wire: tuple[Callable[[], Dialect], Callable[[Object], Object]], needs: bool, provider: str
) -> None:
    """A client brings it from a provider that seals nothing to one of its own wire, as the bytes that it got."""
    make, repeated = wire
    dialect = make()
    sealer = Sealer("ours", dialect.needs_seals)
    events = sealer.feed(unfold(completion([Thinking(text="so"), Text(text="a")])))
    renderer = dialect.renderer(Request(wire=dialect.name, model="m", turns=[]))
    answer = msgspec.json.decode(b"".join(map(renderer.feed, events)))
    body = msgspec.json.encode({"model": CLAUDE, **repeated(answer)})
    assert is_marked(body) == needs
    asked = dialect.parse(body, Peek(CLAUDE, stream=False))
    assert unseal(asked, provider, own_wire=True) == ()
    thought = asked.turns[1].parts[0]
    assert isinstance(thought, Thinking)
    assert (thought.text, thought.id, thought.signature) == ("so", "", "")
    if needs:
        encoded = dialect.encode(asked)
        assert b'"so"' not in encoded.body
        assert any("thinking" in name or "reasoning" in name for name in encoded.dropped)


async def test_a_client_gets_a_thought_without_a_seal_marked() -> None:
    said = msgspec.json.decode(OPENAI.whole)
    said["choices"][0]["message"]["reasoning_content"] = "so"
    whole = Scenario(headers=[("content-type", "application/json")], body=msgspec.json.encode(said))
    async with Evil(whole) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC_CLIENT, ANTHROPIC_CLIENT.request(model="openai/m"))
    thought = msgspec.json.decode(got.body)["content"][0]
    assert thought["thinking"] == "so"
    assert is_marked(thought["signature"].encode())


@pytest.mark.parametrize("maker", ["openai", "gemini"])
def test_gemini_3_gets_no_call_without_a_seal_that_another_model_made(maker: str) -> None:
    """A Google SDK's chat, of which OpenAI has answered the first turn."""
    dialect = Gemini()
    call = ToolCall(id="c1", name="f", arguments="{}")
    events = Sealer(maker, dialect.needs_seals).feed(unfold(completion([Text(text="so"), call])))
    renderer = dialect.renderer(Request(wire="gemini", model="m", turns=[]))
    answer = msgspec.json.decode(b"".join(map(renderer.feed, events)))["candidates"][0]["content"]
    result = {"functionResponse": {"id": "c1", "name": "f", "response": {}}}
    asking = [{"role": "user", "parts": [{"text": "q"}]}, answer, {"role": "user", "parts": [result]}]
    body = msgspec.json.encode({"contents": asking})
    assert is_marked(body)  # so that it does not pass through
    asked = dialect.parse(body, Peek("gemini-3-pro", stream=False))
    assert unseal(asked, "gemini", own_wire=True) == ()
    parts = msgspec.json.decode(dialect.encode(asked).body)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, NO_SEAL]


def seals_of(parts: list[Part]) -> list[tuple[str, str]]:
    """The id of each thought, where it has one, and each seal."""
    found = []
    for part in parts:
        if isinstance(part, Thinking):
            found.append((part.id, part.signature or part.redacted))
        elif isinstance(part, Text | ToolCall):
            found.append(("", part.signature))
    return [pair for pair in found if pair[1]]
