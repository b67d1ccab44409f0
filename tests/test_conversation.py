"""Is the same conversation told from another one, however a client's wire splits it?"""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.canon import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Role,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.sealing.conversation import Conversation, digest_of, identities
from tests.nested import TOO_DEEP

CACHED = {"type": "ephemeral"}


def digest(turns: list[Turn]) -> bytes:
    conversation = Conversation()
    for turn in turns:
        conversation.add(turn)
    return conversation.digest()


def turn(*parts: Part, role: Role = "user") -> Turn:
    return Turn(role=role, parts=list(parts))


# --- the law ---------------------------------------------------------------------------------------------------------
# So few words that what is drawn twice is often the same, and so short that one is often a part of the other.

WORDS = st.sampled_from(["", "a", "b", "ab", "1:a", "4:text1:a"])
SOURCES: st.SearchStrategy[Source] = (
    st.builds(Inline, data=WORDS, media_type=WORDS)
    | st.builds(Remote, url=WORDS, media_type=WORDS)
    | st.builds(Stored, id=WORDS)
)
JSON_TEXT = st.sampled_from(["", "{}", '{"a":1,"b":2}', '{ "b":2, "a":1.0 }', '{"a":"1","b":2}', "[1", "[1 "])
UNSEEN: dict[str, Any] = {"cache": st.none() | st.just(CACHED), "extra": st.just({}) | st.just({"x": 1})}
SPOKEN: st.SearchStrategy[Part] = (
    st.builds(Text, text=WORDS, signature=WORDS, logprobs=st.just([]) | st.just([1]), **UNSEEN)
    | st.builds(Refusal, text=WORDS, **UNSEEN)
    | st.builds(Thinking, text=WORDS, signature=WORDS, redacted=WORDS)
    | st.builds(Image, source=SOURCES, detail=st.none() | WORDS, **UNSEEN)
    | st.builds(Video, source=SOURCES, **UNSEEN)
    | st.builds(Document, source=SOURCES, name=st.none() | WORDS, **UNSEEN)
    | st.builds(Audio, source=st.none() | SOURCES, id=WORDS, **UNSEEN)
    | st.builds(Opaque, wire=WORDS, value=st.dictionaries(WORDS, WORDS, max_size=2), **UNSEEN)
    | st.builds(
        ToolCall,
        id=WORDS,
        name=WORDS,
        arguments=JSON_TEXT,
        kind=st.sampled_from(["function", "custom"]),
        signature=WORDS,
        **UNSEEN,
    )
)
PART = SPOKEN | st.builds(
    ToolResult,
    id=WORDS,
    parts=st.lists(SPOKEN, max_size=2),
    is_error=st.sampled_from([None, False, True]),
    **UNSEEN,
)
PARTS = st.lists(PART, max_size=2)
TURNS = st.lists(
    st.builds(Turn, role=st.sampled_from(["user", "assistant", "system"]), parts=PARTS, extra=UNSEEN["extra"]),
    max_size=3,
)

Plain = list[Any]


def plain(turns: list[Turn]) -> Plain:
    """What every wire keeps, told in a slower way: equal lists are the same conversation."""
    said: Plain = []
    role = ""
    for one in turns:
        if one.role != role:
            said.append(("role", one.role))
            role = one.role
        for part in one.parts:
            _say(said, part)
    return said


def _say(said: Plain, part: Part) -> None:
    match part:
        case Text(text=text) | Refusal(text=text):
            if text and said and said[-1][0] == "text":
                text = said.pop()[1] + text
            if text:
                said.append(("text", text))
        case ToolCall():
            said.append(("call", part.id, part.name, meaning(part)))
        case ToolResult():
            said.append(("result", part.id, bool(part.is_error), plain([turn(*part.parts)])))
        case Image() | Video() | Document():
            said.append((type(part), part.source))
        case Audio():
            said.append((type(part), part.source, part.id))
        case Opaque():
            said.append((part.wire, part.value))
        case Thinking():
            pass


def meaning(call: ToolCall) -> Any:
    if call.kind == "custom":
        return ("free text", call.arguments)
    try:
        return msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return ("no JSON", call.arguments)


EDITS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["text", "id", "name", "wire", "signature", "detail"], WORDS),
    "arguments": JSON_TEXT,
    "kind": st.sampled_from(["function", "custom"]),
    "source": SOURCES,
    "is_error": st.sampled_from([None, False, True]),
    "value": st.dictionaries(WORDS, WORDS, max_size=2),
    "cache": UNSEEN["cache"],
}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Turn], list[Turn]]:
    """A conversation, and the same one with one field of one part said anew."""
    before, after, part = draw(PARTS), draw(PARTS), draw(PART)
    field = draw(st.sampled_from([name for name in part.__struct_fields__ if name in EDITS]))
    edited = replace(part, **{field: draw(EDITS[field])})
    return [turn(*before, part, *after)], [turn(*before, edited, *after)]


@given(st.tuples(TURNS, TURNS) | pairs())
def test_two_are_the_same_where_they_say_the_same(pair: tuple[list[Turn], list[Turn]]) -> None:
    one, other = pair
    assert (digest(one) == digest(other)) == (plain(one) == plain(other))


@given(TURNS, st.data())
def test_how_it_is_split_makes_no_difference(turns: list[Turn], data: st.DataObject) -> None:
    again: list[Turn] = []
    for one in turns:
        parts = [half for part in one.parts for half in halves(part, data.draw(st.integers(0, 3)))]
        at = data.draw(st.integers(0, len(parts)))
        again += [replace(one, parts=parts[:at]), replace(one, parts=parts[at:])]
    assert digest(again) == digest(turns)


def halves(part: Part, at: int) -> list[Part]:
    if isinstance(part, Text):
        return [replace(part, text=part.text[:at]), replace(part, text=part.text[at:])]
    if isinstance(part, ToolResult):
        return [replace(part, parts=[half for inner in part.parts for half in halves(inner, at)])]
    return [part]


@given(TURNS, TURNS)
def test_asking_on_the_way_makes_no_difference(before: list[Turn], after: list[Turn]) -> None:
    conversation = Conversation()
    for one in before:
        conversation.add(one)
    assert conversation.digest() == digest(before)
    for one in after:
        conversation.add(one)
    assert conversation.digest() == digest(before + after)


@given(st.lists(WORDS), st.lists(WORDS))
def test_no_two_lists_of_fields_are_alike(one: list[str], other: list[str]) -> None:
    assert (digest_of(one) == digest_of(other)) == (one == other)


# --- cases -----------------------------------------------------------------------------------------------------------


SOURCE, CALL = Inline("a", "b"), ToolCall(id="c", name="f", arguments="{}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([CALL], [replace(CALL, id="d")]),
        ([CALL], [replace(CALL, name="g")]),
        ([CALL], [replace(CALL, kind="custom")]),
        ([CALL], [CALL, CALL]),
        ([Text(text="a"), CALL], [CALL, Text(text="a")]),
        ([Image(source=SOURCE)], [Video(source=SOURCE)]),
        ([Image(source=Inline("a", "b"))], [Image(source=Remote("a", "b"))]),
        ([Image(source=Remote("a"))], [Image(source=Stored("a"))]),
        ([Audio(id="a")], [Audio(id="b")]),
        ([ToolResult(id="c")], [ToolResult(id="c", is_error=True)]),
        ([ToolResult(id="c")], [ToolResult(id="d")]),
        ([ToolResult(id="c", parts=[Text(text="a")])], [ToolResult(id="c", parts=[Text(text="b")])]),
        ([ToolResult(id="c", parts=[Text(text="a")])], [ToolResult(id="c"), Text(text="a")]),
        ([Opaque(wire="a", value={"a": 1})], [Opaque(wire="b", value={"a": 1})]),
        ([Opaque(wire="a", value={"a": 1})], [Opaque(wire="a", value={"a": 2})]),
    ],
)  # fmt: skip
def test_what_differs_is_told_apart(one: list[Part], other: list[Part]) -> None:
    assert digest([turn(*one)]) != digest([turn(*other)])


def test_who_speaks_makes_a_difference() -> None:
    texts = [Text(text="a")], [Text(text="b")]
    said = [
        digest([Turn(role=role, parts=[*part]) for role, part in zip(roles, texts, strict=True)]) for roles in ROLES
    ]
    assert len(set(said)) == len(said)


ROLES: list[tuple[Role, Role]] = [("user", "user"), ("user", "assistant"), ("assistant", "user"), ("system", "user")]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [1.0, 1e2]}', '{"b":[1,100],"a":1}', True),
        ('{"é":1}', '{"\\u00e9":1}', True),
        ("", "{}", True),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":1.5}', '{"a":1}', False),
        ('{"a":true}', '{"a":1}', False),
        ('{"a":1e400}', '{"a":null}', False),
        ("not json", "not  json", False),
        ("[" * 5000, "[" * 5001, False),
        ("[" + "1," * 600_000 + "1]", "[" + "1," * 600_000 + " 1]", False),  # which is not read
    ],
)
def test_arguments_are_what_their_json_means(one: str, other: str, same: bool) -> None:
    def said(arguments: str) -> list[Turn]:
        return [turn(ToolCall(id="c", name="f", arguments=arguments), role="assistant")]

    assert (digest(said(one)) == digest(said(other))) is same


def test_free_text_is_no_json() -> None:
    one, other = (
        ToolCall(id="c", name="f", arguments=arguments, kind="custom") for arguments in ('{"a":1}', '{"a": 1}')
    )
    assert digest([turn(one)]) != digest([turn(other)])


def test_what_is_nested_too_deeply_is_like_nothing_else() -> None:
    deep: Any = 1
    for _ in range(TOO_DEEP):
        deep = [deep]
    turns = [turn(Opaque(wire="w", value={"deep": deep}))]
    assert digest(turns) != digest(turns)


def test_an_answer_is_known_by_its_ids_then_by_its_calls_and_else_by_its_text() -> None:
    text, call = Text(text="a"), ToolCall(id="c1", name="f", arguments='{ "a":1 }')
    nameless = replace(call, id="")
    assert identities([text, Thinking(text="t"), Refusal(text="b")]) == [["text", "ab"]]
    assert identities([text, call]) == [["ids", "c1"], ["calls", "f", '{"a":1}']]
    assert identities([text, call, nameless]) == [["calls", "f", '{"a":1}', "f", '{"a":1}']]
