"""Is it the value that the share of the last ones does not exceed, and nothing where too few are known?"""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.failover.percentile import EVERY, KEPT, LEAST, Percentile

TIMES = st.lists(st.floats(0, 1e6), min_size=LEAST, max_size=2 * KEPT)


@given(TIMES, st.sampled_from([0.5, 0.95, 0.99]))
def test_it_is_the_nearest_rank_of_what_is_kept(times: list[float], share: float) -> None:
    percentile = Percentile(share)
    for time in times:
        percentile.add(time)
    kept = times[-KEPT:]
    value = percentile.value
    assert value in kept
    assert sum(time <= value for time in kept) >= share * len(kept)
    assert sum(time < value for time in kept) < ceil(share * len(kept))


def test_of_too_few_nothing_is_known() -> None:
    percentile = Percentile()
    for _ in range(LEAST - 1):
        percentile.add(1.0)
    assert percentile.value is None
    percentile.add(1.0)
    assert percentile.value == 1.0


@pytest.mark.parametrize(("more", "value"), [(EVERY - 1, 1.0), (EVERY, 2.0)])
def test_it_is_reckoned_anew_after_a_few(more: int, value: float) -> None:
    percentile = Percentile()
    for _ in range(LEAST):
        percentile.add(1.0)
    assert percentile.value == 1.0
    for _ in range(more):
        percentile.add(2.0)
    assert percentile.value == value


def test_it_can_be_read() -> None:
    assert repr(Percentile()) == "<Percentile 0.95 of 0: None>"
