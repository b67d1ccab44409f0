"""Does a client that cannot keep a model's reasoning still get it back, and nobody else's?"""

import tracemalloc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from msgspec.structs import replace

from proxy.canon import (
    Choice,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Image,
    Inline,
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
    unfold,
)
from proxy.dialects.anthropic import Anthropic
from proxy.dialects.gemini import Gemini
from proxy.dialects.openai_chat import OpenAIChat
from proxy.ports import Dialect, Peek
from proxy.sealing.vault import LONGEST, Vault
from tests import recordings

Object = dict[str, Any]

THOUGHT, HIDDEN = Thinking(id="rs_1", text="so", signature="sig"), Thinking(redacted="hid")
CALL = ToolCall(id="c1", name="f", arguments='{"a":1}')


def events_of(*choices: list[Part]) -> Iterator[Event]:
    return unfold(Completion(start=Start(), choices=[Choice(parts=parts, stop=Stop()) for parts in choices]))


def user(text: str = "q") -> Turn:
    return Turn(role="user", parts=[Text(text=text)])


def assistant(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=list(parts))


def asking(*turns: Turn, model: str = "m") -> Request:
    copied = msgspec.json.decode(msgspec.json.encode(turns), type=list[Turn])
    return Request(wire="w", model=model, turns=copied)


def told(vault: Vault, request: Request, *parts: Part, client: str = "me", provider: str = "p") -> None:
    recall = vault.recall(request, client, provider)
    recall.restore()
    recall.watch(events_of(list(parts)))


def restored(vault: Vault, *turns: Turn, client: str = "me", provider: str = "p", model: str = "m") -> list[list[Part]]:
    """The parts of each turn."""
    request = asking(*turns, model=model)
    vault.recall(request, client, provider).restore()
    return [turn.parts for turn in request.turns]


# --- the law ---------------------------------------------------------------------------------------------------------


class Meetings(RuleBasedStateMachine):
    """Beside the vault a plain dict, whose keys are all that must be the same."""

    def __init__(self) -> None:
        super().__init__()
        self.vault = Vault()
        self.known: dict[tuple[object, ...], str] = {}
        self.count = 0

    asker = st.tuples(st.sampled_from(["a", "ab"]), st.sampled_from(["c", "bc"]), st.sampled_from(["m", "n"]))
    before = st.lists(st.sampled_from(["", "x", "y", "xy"]), min_size=1, max_size=3)
    system = st.sampled_from(["", "x"])
    answer = st.tuples(st.sampled_from(["", "1", "2"]), st.sampled_from(["", "f", "g"]), st.sampled_from(["x", "y"]))

    @rule(asker=asker, system=system, before=before, answer=answer)
    def tell(self, asker: tuple[str, str, str], system: str, before: list[str], answer: tuple[str, str, str]) -> None:
        client, provider, model = asker
        self.count += 1
        seal = f"seal {self.count}"
        request = asking(*conversation(system, before), model=model)
        told(self.vault, request, Thinking(signature=seal), *parts_of(*answer), client=client, provider=provider)
        for identity in identities_of(*answer):
            self.known[asker, system, tuple(before), identity] = seal

    @rule(asker=asker, system=system, before=before, answer=answer)
    def ask(self, asker: tuple[str, str, str], system: str, before: list[str], answer: tuple[str, str, str]) -> None:
        client, provider, model = asker
        turns = [*conversation(system, before), assistant(*parts_of(*answer)), user("and then?")]
        said = restored(self.vault, *turns, client=client, provider=provider, model=model)
        found = (self.known.get((asker, system, tuple(before), identity)) for identity in identities_of(*answer))
        seal = next(filter(None, found), None)
        thoughts: list[Part] = [] if seal is None else [Thinking(signature=seal)]
        assert said[-2] == [*thoughts, *parts_of(*answer)]
        assert not any(isinstance(part, Thinking) for parts in [*said[:-2], said[-1]] for part in parts)


def conversation(system: str, before: list[str]) -> list[Turn]:
    """The user and the model by turns; the model's turns are none that the vault has seen."""
    turns = [Turn(role="system", parts=[Text(text=system)])]
    for number, text in enumerate(before):
        turns += [assistant(Text(text="hm"))] * bool(number) + [user(text)]
    return turns


def parts_of(name: str, function: str, text: str) -> list[Part]:
    return [ToolCall(id=name, name=function, arguments="{}")] if function else [Text(text=text)]


def identities_of(name: str, function: str, text: str) -> list[object]:
    if not function:
        return [("text", text)]
    return [("id", name), ("calls", function)] if name else [("calls", function)]


TestMeetings = Meetings.TestCase
TestMeetings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

WORDS = st.text(max_size=5)
SEALED: st.SearchStrategy[Part] = st.builds(Thinking, id=WORDS, text=WORDS, signature=WORDS.filter(bool)) | st.builds(
    Thinking, id=WORDS, redacted=WORDS.filter(bool)
)
TEXTS: st.SearchStrategy[Part] = st.builds(Text, text=WORDS.filter(bool), signature=WORDS)
ARGUMENTS = st.dictionaries(WORDS, st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS)
CALLS: st.SearchStrategy[Part] = st.builds(
    ToolCall,
    id=st.just("") | WORDS,
    name=WORDS.filter(bool),
    arguments=ARGUMENTS.map(lambda value: msgspec.json.encode(value).decode()),
    signature=WORDS,
)


@given(st.lists(SEALED | TEXTS | CALLS, min_size=1, max_size=6), st.booleans())
def test_a_client_of_chat_completions_needs_to_keep_no_reasoning(parts: list[Part], stringly: bool) -> None:
    vault, dialect = Vault(), OpenAIChat(clock=lambda: 0.0)
    asked: Object = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
    request = parsed(dialect, asked)
    told(vault, request, *parts)
    renderer = dialect.renderer(request)
    answer = msgspec.json.decode(b"".join(map(renderer.feed, events_of(parts))))["choices"][0]["message"]
    kept = {key: answer[key] for key in ("role", "content", "tool_calls") if key in answer}
    for call in kept.get("tool_calls", ()):
        call.pop("extra_content", None)
    content = "q" if stringly else [{"type": "text", "text": "q"}]
    asked["messages"] = [{"role": "user", "content": content}, kept, {"role": "user", "content": "and?"}]
    again = parsed(dialect, asked)
    vault.recall(again, "me", "p").restore()
    had_seal = any(seal_of(part) for part in parts)
    assert not had_seal or nameless(again.turns[1].parts) == nameless(parts)
    assert len(again.turns) == 3


def parsed(dialect: Dialect, body: Object) -> Request:
    return dialect.parse(msgspec.json.encode(body), Peek(body.get("model", "m"), stream=False))


def seal_of(part: Part) -> str:
    if isinstance(part, Thinking):
        return part.signature or part.redacted
    return part.signature if isinstance(part, Text | ToolCall) else ""


def nameless(parts: list[Part]) -> list[Part]:
    """Ids may be of the renderer's making."""
    return [replace(part, id="") if isinstance(part, ToolCall) else part for part in parts]


# --- what is put back, and where -------------------------------------------------------------------------------------


def test_calls_lose_their_text_on_many_clients_and_find_their_thoughts_all_the_same() -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="I shall look."), HIDDEN, replace(CALL, signature="s"))
    assert restored(vault, user(), assistant(CALL))[1] == [THOUGHT, HIDDEN, replace(CALL, signature="s")]


def test_an_answer_without_ids_is_known_by_its_calls() -> None:
    vault = Vault()
    told(vault, asking(user()), replace(CALL, id="", signature="s"))
    again = replace(CALL, id="made up", arguments='{ "a": 1.0 }')
    assert restored(vault, user(), assistant(again))[1] == [replace(again, signature="s")]


def test_an_answer_in_two_messages_is_one() -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="a"), replace(CALL, signature="s"))
    said = restored(vault, user(), assistant(Text(text="a")), assistant(CALL))
    assert said[1:] == [[THOUGHT, Text(text="a")], [replace(CALL, signature="s")]]
    unsealed = assistant(Thinking(text="so"), CALL)
    assert restored(vault, user(), assistant(Text(text="a")), unsealed)[1:] == said[1:]


def test_a_text_that_says_nothing_is_not_put_back() -> None:
    vault = Vault()
    told(vault, asking(user()), Text(), THOUGHT, CALL)
    assert restored(vault, user(), assistant(CALL))[1] == [THOUGHT, CALL]


def test_only_the_model_thinks() -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="a"))
    turns = [user(), Turn(role="system", parts=[Text(text="a")]), assistant(Text(text="b"))]
    assert restored(vault, *turns) == [turn.parts for turn in turns]


def test_text_that_was_in_parts_is_so_again_and_keeps_what_the_client_says_of_its_end() -> None:
    vault, cache = Vault(), {"type": "ephemeral"}
    told(vault, asking(user()), Text(text="ab", signature="1"), Text(text="c", signature="2"))
    said = restored(vault, user(), assistant(Text(text="abc", cache=cache)))
    assert said[1] == [Text(text="ab", signature="1"), Text(text="c", signature="2", cache=cache)]


def test_a_thought_that_came_back_without_its_seal_gives_way() -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="a"))
    assert restored(vault, user(), assistant(Thinking(text="so"), Text(text="a")))[1] == [THOUGHT, Text(text="a")]


def test_a_thought_that_never_had_a_seal_stays_where_the_client_has_it() -> None:
    vault = Vault()
    told(vault, asking(user()), Thinking(text="so"), replace(CALL, signature="s"))
    said = restored(vault, user(), assistant(Thinking(text="so"), CALL))
    assert said[1] == [Thinking(text="so"), replace(CALL, signature="s")]
    assert restored(vault, user(), assistant(CALL))[1] == [replace(CALL, signature="s")]


def test_what_the_client_brought_back_is_left_as_it_is() -> None:
    vault, own = Vault(), Thinking(text="other", signature="own")
    told(vault, asking(user()), THOUGHT, replace(CALL, signature="s"))
    assert restored(vault, user(), assistant(own, CALL))[1] == [own, replace(CALL, signature="s")]
    sealed = replace(CALL, signature="own")
    assert restored(vault, user(), assistant(sealed))[1] == [THOUGHT, sealed]


def test_a_client_that_keeps_all_thoughts_but_not_their_places_gets_those_back() -> None:
    vault, first, second = Vault(), Text(text="a"), Text(text="b")
    told(vault, asking(user()), THOUGHT, first, HIDDEN, second, CALL)
    brought: list[Part] = [replace(THOUGHT, extra={"x": 1}), HIDDEN]
    said = restored(vault, user(), assistant(*brought, Text(text="ab"), CALL))
    assert said[1] == [brought[0], first, HIDDEN, second, CALL]
    others: list[list[Part]] = [
        [HIDDEN, Text(text="ab"), CALL],
        [*brought, Thinking(text="aloud"), Text(text="ab"), CALL],
        [*brought, Text(text="other"), CALL],
        [*brought, CALL],
    ]
    for turn in others:
        assert restored(vault, user(), assistant(*turn))[1] == turn


def test_what_else_is_in_the_turn_keeps_its_place() -> None:
    vault, image = Vault(), Image(source=Inline("aaaa"))
    told(vault, asking(user()), THOUGHT, Text(text="a"), image, Refusal(text="b"))
    turn = assistant(Text(text="a"), image, Refusal(text="b"))
    assert restored(vault, user(), turn)[1] == [THOUGHT, *turn.parts]


def test_every_answer_of_a_long_chat_comes_back() -> None:
    vault = Vault()
    turns = [Turn(role="system", parts=[Text(text="s")]), user()]
    for number in range(4):
        call = ToolCall(id=f"c{number}", name="f", arguments="{}")
        told(vault, asking(*turns), Thinking(signature=f"s{number}"), call)
        turns += [assistant(call), Turn(role="user", parts=[ToolResult(id=call.id, parts=[Text(text="r")])])]
    said = restored(vault, *turns)
    seals = [part.signature for parts in said for part in parts if isinstance(part, Thinking)]
    assert seals == ["s0", "s1", "s2", "s3"]


def test_what_is_put_back_is_a_copy() -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="a"))
    for _ in range(2):
        thought = restored(vault, user(), assistant(Text(text="a")))[1][0]
        assert thought == THOUGHT
        assert isinstance(thought, Thinking)
        thought.text, thought.extra["x"] = "spoilt", 1


# --- what is kept, and for how long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events",
    [
        list(events_of([Thinking(text="so"), Text(text="a")])),
        list(events_of([THOUGHT, Text(text="a")], [THOUGHT, Text(text="a")])),
        list(events_of([THOUGHT, Text(text="a")]))[:-1],
        [Start(), Usage(), Finish()],
    ],
    ids=["no seal", "two choices", "cut", "nothing"],
)
def test_nothing_is_kept_of(events: list[Event]) -> None:
    vault = Vault()
    recall = vault.recall(asking(user()), "me", "p")
    recall.watch(events)
    assert repr(vault) == "<Vault 0 answers, 0 bytes>"


def test_a_seal_may_come_in_pieces_and_beside_blocks_that_nobody_keeps() -> None:
    vault = Vault()
    recall = vault.recall(asking(user()), "me", "p")
    events: list[Event] = [
        Start(),
        Open(index=0, part=Thinking(signature="s")),
        Delta(index=0, text="s", signature="i"),
        Open(index=1, part=Image(source=Inline("aaaa"))),
        Delta(index=0, text="o"),
        Close(index=1),
        Delta(index=0, signature="g"),
        Close(index=0),
        Finish(),
    ]
    recall.watch(events)
    assert restored(vault, user(), assistant())[1] == [Thinking(text="so", signature="sig")]


def test_no_word_of_the_conversation_is_kept() -> None:
    vault = Vault()
    secret = ToolCall(id="ID-SECRET", name="SECRET", arguments='{"a":"SECRET"}', signature="s")
    told(vault, asking(user("SECRET")), THOUGHT, Text(text="SECRET"), secret)
    told(vault, asking(user("SECRET")), THOUGHT, Text(text="SECRET"))
    assert "SECRET" not in str(vars(vault))
    assert repr(vault).startswith("<Vault 3 answers, ")
    assert "so" not in repr(vault)


def filled(vault: Vault, count: int, size: int = 1000) -> list[Turn]:
    """So many answers kept, in turn; the questions that they answer."""
    questions = [user(f"q{number}") for number in range(count)]
    for question in questions:
        told(vault, asking(question), Thinking(text="t" * size, signature="s"), Text(text="a"))
    return questions


def has(vault: Vault, question: Turn) -> bool:
    return len(restored(vault, question, assistant(Text(text="a")))[1]) == 2


def test_the_least_recently_used_goes_first() -> None:
    vault = Vault(limit_entries=3)
    first, second, third = filled(vault, 3)
    assert has(vault, first)
    told(vault, asking(user("new")), THOUGHT, Text(text="a"))
    assert [has(vault, one) for one in (first, second, third, user("new"))] == [True, False, True, True]


def test_nothing_stays_of_whoever_was_driven_out() -> None:
    vault = Vault(limit_entries=2)
    told(vault, asking(user()), THOUGHT, Text(text="a"), client="first")
    told(vault, asking(user("other")), THOUGHT, Text(text="a"), client="first")
    told(vault, asking(user()), THOUGHT, Text(text="a"), client="second")
    assert "'first'" in str(vars(vault))
    told(vault, asking(user("other")), THOUGHT, Text(text="a"), client="second")
    assert "'first'" not in str(vars(vault))


@pytest.mark.parametrize("size", [0, 1000, 50_000])
def test_it_takes_no_more_memory_than_it_may(size: int) -> None:
    limit = 500_000
    tracemalloc.start()
    try:
        vault = Vault(limit_bytes=limit)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000):
            told(vault, asking(user(f"q{number}")), Thinking(text=f"{number}" + "é" * size, signature=f"s{number}"))
        assert tracemalloc.get_traced_memory()[0] - before < limit * 1.05
    finally:
        tracemalloc.stop()
    assert has(vault, user("q999")) is False  # another answer
    assert len(restored(vault, user("q999"), assistant())[1]) == 1


def test_what_is_larger_than_the_whole_vault_is_not_kept_and_drives_nothing_out() -> None:
    vault = Vault(limit_bytes=20_000)
    small, large = user("small"), user("large")
    told(vault, asking(small), THOUGHT, Text(text="a"))
    told(vault, asking(large), Thinking(text="t" * 20_000, signature="s"), Text(text="a"))
    assert (has(vault, small), has(vault, large)) == (True, False)


def test_an_answer_without_an_end_fills_no_memory() -> None:
    vault, said = Vault(), Text(text="x" * (LONGEST // 8))
    recall = vault.recall(asking(user()), "me", "p")
    recall.watch([Start(), Open(index=0, part=Thinking()), Delta(index=0, text="so", signature="sig"), Close(index=0)])
    tracemalloc.start()
    try:
        for index in range(1, 40):
            recall.watch([Open(index=index, part=Text()), Delta(index=index, text=said.text + str(index))])
        assert tracemalloc.get_traced_memory()[0] < LONGEST / 4
    finally:
        tracemalloc.stop()
    recall.watch([Finish(stops=(Stop(),))])
    assert not vault._entries
    told(vault, asking(user()), THOUGHT, *[said] * 7)
    assert len(vault._entries) == 1


def test_a_second_answer_of_the_same_words_takes_the_place_of_the_first() -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="a"))
    once = repr(vault)
    told(vault, asking(user()), replace(THOUGHT, text="no"), Text(text="a"))
    assert repr(vault) == once
    assert restored(vault, user(), assistant(Text(text="a")))[1][0] == replace(THOUGHT, text="no")


def test_what_nobody_asks_for_is_forgotten_after_a_day() -> None:
    now = [0.0]
    vault = Vault(clock=lambda: now[0])
    asked, forgotten = filled(vault, 2)
    now[0] = 86_399.0
    assert has(vault, asked)
    now[0] = 86_400.0
    assert (has(vault, asked), has(vault, forgotten)) == (True, False)
    now[0] = 2 * 86_400.0
    assert not has(vault, asked)
    assert repr(vault) == "<Vault 0 answers, 0 bytes>"


def test_whoever_has_nothing_in_the_vault_pays_for_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault()
    told(vault, asking(user()), THOUGHT, Text(text="a"))

    def hashed() -> None:
        raise AssertionError("a conversation was hashed")

    monkeypatch.setattr("proxy.sealing.vault.Conversation", hashed)
    turns = [user(), assistant(Text(text="a"))]
    assert restored(vault, *turns, client="you")[1] == [Text(text="a")]
    assert restored(vault, *turns, provider="q")[1] == [Text(text="a")]
    assert restored(vault, *turns, model="n")[1] == [Text(text="a")]
    assert restored(vault, user()) == [[Text(text="q")]]
    with pytest.raises(AssertionError, match="hashed"):
        restored(vault, *turns)


# --- what was recorded -----------------------------------------------------------------------------------------------

Exchange = tuple[recordings.Row, Request, list[Event]]


def exchanges(dialect: Dialect, *patterns: str) -> list[list[Exchange]]:
    """Recorded chats, each with its rows in order, parsed and decoded."""
    chats: dict[tuple[str, str], list[recordings.Row]] = defaultdict(list)
    for row in recordings.load(*patterns):
        if row["status"] == 200 and row["request_json"] and not row["request_elided"]:
            chats[row["source"]["repo"], row["source"]["path"]].append(row)
    found = []
    for rows in chats.values():
        rows.sort(key=lambda row: row["source"]["index"])
        if len(rows) > 1:
            found.append([(row, parsed(dialect, row["request_json"]), answer(dialect, row)) for row in rows])
    return found


def answer(dialect: Dialect, row: recordings.Row) -> list[Event]:
    decoder = dialect.decoder(stream=row["framing"] != "json")
    return [*decoder.feed(recordings.body(row)), *decoder.close()]


def sealed_calls(parts: Iterable[Part]) -> list[str]:
    return [seal_of(part) for part in parts if seal_of(part)]


@recordings.needs_recordings
@pytest.mark.parametrize(
    ("dialect", "patterns", "least"),
    [(Anthropic(), ["anthropic.messages"], 3), (Gemini(), ["gemini.*generateContent", "gemini.stream*"], 9)],
    ids=["anthropic", "gemini"],
)
def test_real_chats_get_their_seals_back(dialect: Dialect, patterns: list[str], least: int) -> None:
    """Their clients kept every seal; we take them all away, and compare what the vault puts back."""
    whole = 0
    for chat in exchanges(dialect, *patterns):
        vault = Vault()
        for row, request, events in chat:
            sent = [sealed_calls(turn.parts) for turn in request.turns]
            for turn in request.turns:
                turn.parts = list(bare(turn.parts))
            recall = vault.recall(replace(request, model="m"), "me", "p")
            recall.restore()
            recall.watch(events)
            back = [sealed_calls(turn.parts) for turn in request.turns]
            assert all(one in (had, []) for one, had in zip(back, sent, strict=True))
            if any(back):
                recordings.replayed(row)
                whole += back == sent
    assert whole >= least


def bare(parts: list[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Text | ToolCall):
            yield replace(part, signature="")
        elif not isinstance(part, Thinking):
            yield part
