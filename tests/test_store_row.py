"""Does every row fit its slot and its columns, whatever a provider or a client puts into it?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from proxy.store.row import ABSURD, LONGEST, MOST_NANOS, MOST_TOKENS, TEXTS, TOKENS, Row, fit, read, spelled
from tests.crash import row

PLAIN = row("r", 5)


def with_(**fields: Any) -> Row:
    return replace(PLAIN, **fields)


def test_a_plain_row_stays_as_it_is() -> None:
    this = with_()
    assert read(spelled(this)) == fit(this) == PLAIN


@given(st.fixed_dictionaries({name: st.text(max_size=600) | st.text("é\ud800", max_size=200) for name in TEXTS}))
def test_any_texts_fit_and_what_is_spelled_is_what_the_row_says_then(texts: dict[str, str]) -> None:
    this = with_(**texts)
    said = spelled(this)
    assert len(said) <= LONGEST
    assert read(said) == this


@given(st.fixed_dictionaries({name: st.integers() for name in (*TOKENS, "nanos")}))
def test_any_counts_fit_and_are_marked_where_they_cannot_be(counts: dict[str, int]) -> None:
    this = with_(**counts)
    assert len(spelled(this)) <= LONGEST
    fit(this)
    assert all(0 <= getattr(this, name) <= MOST_TOKENS for name in TOKENS)
    assert 0 <= this.nanos <= MOST_NANOS
    is_absurd = any(not 0 <= counts[name] <= MOST_TOKENS for name in TOKENS) or not 0 <= counts["nanos"] <= MOST_NANOS
    assert bool(this.flags & ABSURD) == is_absurd
    if not is_absurd:
        assert {name: getattr(this, name) for name in counts} == counts


@pytest.mark.parametrize("name", [*TOKENS, "nanos"])
@pytest.mark.parametrize("count", [-1, -(2**80), 2**40, 2**50, 2**64, 2**80])
def test_one_absurd_count_is_enough(name: str, count: int) -> None:
    if name == "nanos" and 0 < count <= MOST_NANOS:
        count = MOST_NANOS + 1
    assert fit(with_(**{name: count})).flags & ABSURD


def test_a_long_name_is_cut_and_says_so_and_the_short_ones_stay() -> None:
    this = with_(model="m" * 2000, client="team-a")
    spelled(this)
    assert (this.model, this.client) == ("m" * 93 + "…", "team-a")


def test_a_cut_name_is_cut_alike_each_time() -> None:
    one, other = with_(model="m" * 2000), with_(model="m" * 2000, error="server_error upstream_error", request="x" * 40)
    spelled(one)
    spelled(other)
    assert one.model == other.model


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x92\x01\x02", b"\xff" * 100, spelled(PLAIN)[:-1]])
def test_what_is_no_row_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read(data)


def test_the_columns_of_the_table_are_the_fields_of_a_row() -> None:
    assert len(astuple(PLAIN)) == len(Row.__struct_fields__) == 24
