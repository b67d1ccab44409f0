"""Do both readings of a usage say the same: the quick one, and the one that understands every host?"""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.canon import Start, Usage
from proxy.dialects.openai_chat.counts import plain
from proxy.dialects.openai_chat.usage import tier_beside, understood

COUNTS = st.one_of(st.integers(0, 60), st.integers(0, 60), st.sampled_from([-1, 10**13, 1.5, None, "7", True]))
INPUTS = ("cached_tokens", "cache_write_tokens", "audio_tokens")
WRITTEN = "cache_creation_input_tokens"
OUTPUTS = ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")


def some(keys: tuple[str, ...], more: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([*keys * 4, *more]), COUNTS)


def told(prompt: int, completion: int) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly such that the parts fit into the wholes."""
    wholes = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    parts = st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens_details": st.one_of(some(INPUTS, ("text_tokens",)), st.none()),
            "completion_tokens_details": st.one_of(some(OUTPUTS, ("image_tokens",)), st.none()),
            "total_tokens": st.one_of(COUNTS, st.integers(0, 1000)),
            "cached_tokens": COUNTS,
            "service_tier": st.just("flex"),
        },
    )
    return parts.map(lambda part: wholes | part)


@given(st.integers(0, 200).flatmap(lambda prompt: told(prompt, 150)), st.sampled_from(["", "flex"]), st.integers(0, 1))
@example({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}, "", 0)
def test_both_readings_say_the_same(said: dict[str, Any], tier: str, searches: int) -> None:
    quick = plain(said, tier, searches)
    assert quick is None or quick == understood(said, tier, searches)


def test_what_openai_says_is_read_quickly() -> None:
    said = {
        "prompt_tokens": 24,
        "completion_tokens": 50,
        "total_tokens": 74,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 2},
        "completion_tokens_details": dict(zip(OUTPUTS, (16, 4, 0, 3), strict=True)),
    }
    quick = plain(said, "", 0)
    assert quick is not None
    assert quick == understood(said, "", 0)
    assert (quick.input, quick.cache_read, quick.audio_input, quick.output, quick.reasoning) == (14, 8, 2, 30, 16)


@pytest.mark.parametrize(
    ("count", "fresh", "written", "is_odd"),
    [(50, 40, 50, False), (0, 90, 0, False), (999, 0, 90, False), (-1, 90, 0, True), ("7", 90, 0, True)],
)
def test_what_alibaba_has_written_into_its_cache_is_dearer_than_other_input(
    count: object, fresh: int, written: int, is_odd: bool
) -> None:
    inputs = {"cached_tokens": 10, WRITTEN: count, "cache_type": "ephemeral"}
    said = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_tokens_details": inputs}
    assert plain(said, "", 0) is None
    usage = understood(said, "", 0)
    assert (usage.input, usage.cache_read, usage.cache_write, usage.is_odd) == (fresh, 10, written, is_odd)
    assert usage.extra["prompt_tokens_details"] == {WRITTEN: count, "cache_type": "ephemeral"}  # as it was said


@pytest.mark.parametrize(("tier", "told"), [("flex", {"service_tier": "flex"}), ("standard", {}), ("", {})])
def test_the_tier_of_another_wire_is_told_where_openai_has_the_word(tier: str, told: dict[str, str]) -> None:
    assert tier_beside(Start(wire="bedrock"), Usage(tier=tier)) == told
