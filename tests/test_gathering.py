"""How much memory does an answer take whose client is told of it once more at its end?"""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.canon import Close, Delta, Finish, Open, Part, Request, Start, Text, Thinking, ToolCall, fold
from proxy.errors import Unrepresentable
from proxy.grammar import gathering
from proxy.grammar.gathering import Gathered
from proxy.ports import Renderer

MANY = 100_000

# Who keeps what of a stream: where sources of other wires may stand in the text, what the last event repeats, and
# arguments that go out in one piece.
KEPT: dict[str, tuple[str, Part]] = {
    "gemini text": ("gemini", Text()),
    "gemini call": ("gemini", ToolCall(id="c", name="f")),
    "responses text": ("openai_responses", Text()),
    "responses thought": ("openai_responses", Thinking()),
    "responses call": ("openai_responses", ToolCall(id="c", name="f")),
    "ollama call": ("ollama", ToolCall(id="c", name="f")),
}


def begun(wire: str, part: Part) -> Renderer:
    renderer = registry.dialect(wire).renderer(Request(model="m", turns=[], wire=wire, stream=True))
    renderer.feed(Start(id="a", model="m"))
    renderer.feed(Open(index=0, part=part))
    return renderer


@pytest.fixture(params=KEPT)
def make(request: pytest.FixtureRequest) -> Callable[[], Renderer]:
    return lambda: begun(*KEPT[request.param])


def test_what_is_kept_of_a_stream_is_its_text_and_little_more(make: Callable[[], Renderer]) -> None:
    renderer = make()
    tracemalloc.start()
    try:
        for number in range(MANY):
            renderer.feed(Delta(index=0, text=f"{number:06}"))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * 6 * MANY


def test_a_block_that_does_not_end_is_given_up(make: Callable[[], Renderer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST", 6 * MANY)
    renderer = make()
    for _ in range(MANY):
        renderer.feed(Delta(index=0, text="abcdef"))
    with pytest.raises(Unrepresentable, match="has more than 600000 characters in one block") as refused:
        [renderer.feed(Delta(index=0, text="abcdef")) for _ in range(gathering.PIECES)]
    assert refused.value.code == "upstream_too_long"


@given(st.lists(st.sampled_from(["", "a", "bc", "logprob"]), max_size=40))
def test_what_is_gathered_says_what_was_said(pieces: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "PIECES", 4)
        deltas, gathered = [_delta(piece) for piece in pieces], Gathered()
        for delta in deltas:
            gathered.add(delta)
        assert gathered.text == "".join(delta.text for delta in deltas)
        assert _folded(gathered.deltas) == _folded(deltas)


def _delta(piece: str) -> Delta:
    return Delta(index=3, text=piece, logprobs=[{"token": "x"}] if piece == "logprob" else [])


def _folded(deltas: list[Delta]) -> object:
    return fold([Start(), Open(index=3, part=Text()), *deltas, Close(index=3), Finish()])
