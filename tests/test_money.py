"""Is money written and read to the last nano-dollar?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.spending.money import NANOS, dollars, nanos_of


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (NANOS, "1"),
        (1_500_000_000, "1.5"),
        (123_456, "0.000123456"),
        (-25, "-0.000000025"),
    ],
)
def test_dollars(nanos: int, text: str) -> None:
    assert dollars(nanos) == text


@given(st.integers(0, 10**18))
def test_there_and_back(nanos: int) -> None:
    assert nanos_of(dollars(nanos)) == nanos


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e10", "0x1", "1,5"])
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        nanos_of(text)


def test_what_cannot_be_counted_is_rounded_down() -> None:
    assert nanos_of("0.0000000019") == 1
