"""Is a whole answer nothing but a stream, summed, and is every broken sentence told from a good one?"""

from random import Random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.canon import (
    BUCKETS,
    Audio,
    Choice,
    Citation,
    Close,
    Completion,
    Delta,
    Document,
    Event,
    Finish,
    Image,
    Inline,
    Opaque,
    Open,
    Part,
    Reason,
    Refusal,
    Remote,
    Source,
    Start,
    Stop,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Ungrammatical,
    Usage,
    fold,
    grammatical,
    unfold,
)


def cited(*numbers: int) -> list[Citation]:
    return [Citation(wire="w", value={"n": number}) for number in numbers]


# --- any answer ------------------------------------------------------------------------------------------------------

WORDS = st.text(max_size=4)
COUNTS = st.integers(0, 10**6)
LISTS: st.SearchStrategy[list[Any]] = st.lists(st.dictionaries(WORDS, COUNTS, max_size=1), max_size=2)
EXTRA: st.SearchStrategy[dict[str, Any]] = st.dictionaries(WORDS, COUNTS | WORDS, max_size=2)
MORE = {"cache": st.none() | EXTRA, "extra": EXTRA}
INLINE = st.builds(Inline, data=WORDS, media_type=WORDS)
SOURCES: st.SearchStrategy[Source] = (
    INLINE | st.builds(Remote, url=WORDS, media_type=WORDS) | st.builds(Stored, id=WORDS)
)
CITED = st.lists(st.builds(Citation, wire=WORDS, value=EXTRA, url=WORDS), max_size=2)
TEXTS = st.builds(Text, text=WORDS, signature=WORDS, citations=CITED, logprobs=LISTS, **MORE)
STREAMING: st.SearchStrategy[Part] = (
    TEXTS
    | st.builds(Thinking, text=WORDS, signature=WORDS, redacted=WORDS, **MORE)
    | st.builds(Refusal, text=WORDS, **MORE)
    | st.builds(
        ToolCall,
        id=WORDS,
        name=WORDS,
        arguments=WORDS,
        kind=st.sampled_from(["function", "custom"]),
        signature=WORDS,
        **MORE,
    )
    | st.builds(Audio, source=INLINE, id=WORDS, transcript=WORDS, expires_at=st.none() | COUNTS, **MORE)
)
WHOLE: st.SearchStrategy[Part] = (
    st.builds(Image, source=SOURCES, detail=st.none() | WORDS, **MORE)
    | st.builds(Document, source=SOURCES, name=st.none() | WORDS, **MORE)
    | st.builds(Opaque, wire=WORDS, value=EXTRA, **MORE)
    | st.builds(ToolResult, id=WORDS, parts=st.lists(TEXTS, max_size=2), is_error=st.none() | st.booleans(), **MORE)
    | st.builds(Audio, source=st.none() | SOURCES.filter(lambda source: not isinstance(source, Inline)), id=WORDS)
)
REASONS: st.SearchStrategy[Reason] = st.sampled_from(get_args(Reason))
STOPS = st.builds(Stop, reason=REASONS, raw=WORDS, sequence=st.none() | WORDS)
CHOICES = st.builds(Choice, parts=st.lists(STREAMING | WHOLE, max_size=4), stop=STOPS)
USAGES = st.builds(Usage, input=COUNTS, cache_read=COUNTS, output=COUNTS, reasoning=COUNTS, extra=EXTRA)
STARTS = st.builds(Start, id=WORDS, model=WORDS, created=st.none() | COUNTS, extra=EXTRA)
COMPLETIONS = st.builds(Completion, start=STARTS, choices=st.lists(CHOICES, max_size=3), usage=st.none() | USAGES)
DICE = st.randoms(use_true_random=False)


# --- laws ------------------------------------------------------------------------------------------------------------


@given(COMPLETIONS)
def test_fold_undoes_unfold(completion: Completion) -> None:
    assert fold(unfold(completion)) == completion


@given(COMPLETIONS)
def test_an_unfolded_answer_is_grammatical(completion: Completion) -> None:
    events = list(unfold(completion))
    assert list(grammatical(events)) == events


@given(COMPLETIONS)
def test_a_shell_holds_nothing_that_streams(completion: Completion) -> None:
    for event in unfold(completion):
        if isinstance(event, Open):
            streams = [getattr(event.part, name, "") for name in ("text", "arguments", "signature", "transcript")]
            assert not any(streams)


@given(COMPLETIONS, DICE)
def test_blocks_may_interleave_and_deltas_be_cut(completion: Completion, dice: Random) -> None:
    assert fold(stirred(list(unfold(completion)), dice)) == completion


def stirred(events: list[Event], dice: Random) -> list[Event]:
    """The same blocks, opened in the same order and running at once, their deltas in two, a Usage now and then."""
    has_usage = any(isinstance(event, Usage) for event in events)
    blocks: list[list[Event]] = []
    for event in events[1:]:
        if isinstance(event, Open):
            blocks.append([event])
        elif isinstance(event, Delta):
            blocks[-1] += halves(event)
        elif isinstance(event, Close):
            blocks[-1].append(event)
    out, begun = [events[0]], 0
    while any(blocks):
        at = dice.choice([at for at, block in enumerate(blocks) if block and at <= begun])
        begun = max(begun, at + 1)
        out.append(blocks[at].pop(0))
        if has_usage and dice.random() < 0.2:
            out.append(Usage(input=dice.randrange(9)))
    return [*out, *(event for event in events if isinstance(event, Usage | Finish))]


def halves(delta: Delta) -> list[Event]:
    def half(taken: slice) -> Delta:
        return Delta(
            index=delta.index,
            text=delta.text[taken],
            signature=delta.signature[taken],
            transcript=delta.transcript[taken],
            logprobs=delta.logprobs[taken],
            citations=delta.citations[taken],
        )

    return [half(slice(1)), half(slice(1, None))]


# --- sums ------------------------------------------------------------------------------------------------------------


def said(part: Part, *deltas: Delta) -> Part:
    """What a block comes to."""
    events: list[Event] = [Start(), Open(index=0, part=part), *deltas, Close(index=0), Finish()]
    return fold(events).choices[0].parts[0]


@pytest.mark.parametrize(
    ("shell", "deltas", "whole"),
    [
        (Text(), [], Text()),
        (Text(text="a"), [Delta(index=0, text="b"), Delta(index=0, text="c")], Text(text="abc")),
        (
            Text(citations=cited(1), logprobs=[2]),
            [Delta(index=0, citations=cited(3)), Delta(index=0, logprobs=[4], citations=cited(5))],
            Text(citations=cited(1, 3, 5), logprobs=[2, 4]),
        ),
        (
            Thinking(text="a"),
            [Delta(index=0, text="b"), Delta(index=0, signature="s1"), Delta(index=0, signature="s2")],
            Thinking(text="ab", signature="s1s2"),
        ),
        (Thinking(redacted="sealed"), [], Thinking(redacted="sealed")),
        (Refusal(), [Delta(index=0, text="no")], Refusal(text="no")),
        (
            Refusal(extra={"a": 1}),
            [Delta(index=0, text="n", logprobs=[1]), Delta(index=0, text="o", logprobs=[2])],
            Refusal(text="no", extra={"a": 1, "logprobs": [1, 2]}),
        ),
        (
            ToolCall(id="1", name="f"),
            [Delta(index=0, text='{"a'), Delta(index=0, text='":1}')],
            ToolCall(id="1", name="f", arguments='{"a":1}'),
        ),
        (
            ToolCall(id="1", name="f", arguments="{"),
            [Delta(index=0, text="}")],
            ToolCall(id="1", name="f", arguments="{}"),
        ),
        (
            Audio(id="1"),
            [Delta(index=0, text="QUJD", transcript="he"), Delta(index=0, transcript="llo")],
            Audio(id="1", source=Inline(data="QUJD"), transcript="hello"),
        ),
        (
            Audio(source=Inline(data="QUJD", media_type="audio/wav")),
            [Delta(index=0, text="REVG")],
            Audio(source=Inline(data="QUJDREVG", media_type="audio/wav")),
        ),
        (Image(source=Stored(id="1")), [], Image(source=Stored(id="1"))),
    ],
)
def test_a_block_is_the_sum_of_its_deltas(shell: Part, deltas: list[Delta], whole: Part) -> None:
    before = msgspec.json.encode(shell)
    assert said(shell, *deltas) == whole
    assert msgspec.json.encode(shell) == before


@pytest.mark.parametrize(
    "part",
    [
        Image(source=Inline(data="")),
        Document(source=Inline(data="")),
        ToolResult(id="1"),
        Opaque(wire="anthropic", value={}),
    ],
)
def test_what_does_not_stream_takes_no_delta(part: Part) -> None:
    with pytest.raises(Ungrammatical, match=f"{type(part).__name__} does not stream"):
        said(part, Delta(index=0, text="a"))


def test_blocks_go_to_their_choices_in_the_order_of_their_opening() -> None:
    events: list[Event] = [
        Start(id="x"),
        Open(index=7, part=Text(), choice=1),
        Open(index=3, part=Text()),
        Delta(index=3, text="a"),
        Usage(input=1),
        Delta(index=7, text="b"),
        Close(index=7),
        Open(index=0, part=ToolCall(id="1", name="f")),
        Delta(index=3, text="c"),
        Close(index=0),
        Close(index=3),
        Usage(input=2),
        Finish(stops=(Stop(reason="tool_use"), Stop(reason="length"))),
    ]
    assert fold(events) == Completion(
        start=Start(id="x"),
        choices=[
            Choice(parts=[Text(text="ac"), ToolCall(id="1", name="f")], stop=Stop(reason="tool_use")),
            Choice(parts=[Text(text="b")], stop=Stop(reason="length")),
        ],
        usage=Usage(input=2),
    )


def test_a_choice_may_be_empty() -> None:
    completion = fold([Start(), Finish(stops=(Stop(), Stop(reason="refusal")))])
    assert [choice.parts for choice in completion.choices] == [[], []]


@given(st.builds(Usage, **dict.fromkeys(BUCKETS, COUNTS)))
def test_the_buckets_are_disjoint_and_none_is_left_out(usage: Usage) -> None:
    counts = [getattr(usage, name) for name in BUCKETS]
    assert usage.total_input + usage.total_output == sum(counts)
    assert usage.total_output == usage.output + usage.reasoning + usage.audio_output


# --- sentences -------------------------------------------------------------------------------------------------------

START, OPEN, DELTA, CLOSE, FINISH = Start(), Open(index=0, part=Text()), Delta(index=0), Close(index=0), Finish()
OTHER = Open(index=1, part=Text(), choice=1)

SENTENCES: dict[str, list[Event]] = {
    "shortest": [START, FINISH],
    "a_block": [START, OPEN, DELTA, DELTA, CLOSE, FINISH],
    "an_empty_block": [START, OPEN, CLOSE, FINISH],
    "usage_anywhere": [START, Usage(), OPEN, Usage(), DELTA, CLOSE, Usage(), FINISH],
    "blocks_at_once": [START, OPEN, OTHER, DELTA, Delta(index=1), Close(index=1), CLOSE, Finish(stops=(Stop(),) * 2)],
    "more_stops_than_choices": [START, OPEN, CLOSE, Finish(stops=(Stop(),) * 3)],
}

BREAKS: dict[str, tuple[list[Event], str]] = {
    "nothing": ([], "has no Finish"),
    "no_start": ([OPEN, CLOSE, FINISH], "Open is out of place"),
    "usage_before_start": ([Usage(), START, FINISH], "Usage is out of place"),
    "finish_alone": ([FINISH], "Finish is out of place"),
    "two_starts": ([START, START, FINISH], "Start is out of place"),
    "start_in_a_block": ([START, OPEN, START, CLOSE, FINISH], "Start is out of place"),
    "no_finish": ([START, OPEN, DELTA, CLOSE], "has no Finish"),
    "two_finishes": ([START, FINISH, FINISH], "Finish is out of place"),
    "usage_after_finish": ([START, FINISH, Usage()], "Usage is out of place"),
    "start_after_finish": ([START, FINISH, START], "Start is out of place"),
    "opened_twice": ([START, OPEN, OPEN, CLOSE, FINISH], "block 0 opens twice"),
    "opened_again": ([START, OPEN, CLOSE, OPEN, CLOSE, FINISH], "block 0 opens twice"),
    "delta_before_open": ([START, DELTA, OPEN, CLOSE, FINISH], "Delta of block 0, which is not open"),
    "delta_after_close": ([START, OPEN, CLOSE, DELTA, FINISH], "Delta of block 0, which is not open"),
    "delta_of_another": ([START, OPEN, Delta(index=1), CLOSE, FINISH], "Delta of block 1, which is not open"),
    "close_before_open": ([START, CLOSE, FINISH], "Close of block 0, which is not open"),
    "closed_twice": ([START, OPEN, CLOSE, CLOSE, FINISH], "Close of block 0, which is not open"),
    "never_closed": ([START, OPEN, DELTA, FINISH], "Finish before every block is closed"),
    "a_choice_without_stop": ([START, OTHER, Close(index=1), FINISH], "every choice has its stop"),
    "no_stop": ([START, OPEN, CLOSE, Finish(stops=())], "every choice has its stop"),
}


@pytest.mark.parametrize("events", SENTENCES.values(), ids=SENTENCES)
def test_a_sentence_passes(events: list[Event]) -> None:
    assert list(grammatical(events)) == events


@pytest.mark.parametrize(("events", "message"), BREAKS.values(), ids=BREAKS)
def test_a_broken_sentence_is_told(events: list[Event], message: str) -> None:
    with pytest.raises(Ungrammatical, match=message):
        fold(grammatical(events))


@pytest.mark.parametrize("events", [[], [START], [FINISH], [OPEN, DELTA, CLOSE, FINISH]], ids=str)
def test_what_has_no_beginning_or_no_end_adds_up_to_nothing(events: list[Event]) -> None:
    with pytest.raises(Ungrammatical, match="no beginning, or no end"):
        fold(events)


def test_what_comes_before_the_break_is_passed_on() -> None:
    checked = grammatical([START, OPEN, DELTA, FINISH])
    assert [next(checked) for _ in range(3)] == [START, OPEN, DELTA]
    with pytest.raises(Ungrammatical):
        next(checked)
