"""Is a body that holds texts of megabytes read like any other?

The stretches are shortened here to a few bytes, so that small bodies hold long texts.
"""

import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.envelope import parse_object, texts, whole
from proxy.envelope.texts import PLACE, cut
from proxy.errors import BadRequest

SHORT = 16  # bytes that are called long

TEXTS = st.text(st.sampled_from(["a", '"', "\\", "\n", "é", "🌍", "{", ",", ":", "[", "\x7f"]), max_size=80)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def read(body: bytes, long: int = SHORT) -> Any:
    """What the body spells, or the code of what is wrong with it."""
    with patch.object(whole, "LONG", long), patch.object(texts, "_STRIDE", long // 2):
        try:
            return parse_object(body)
        except BadRequest as error:
            return error.code


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
@example({"a": "\\" * 40 + '"', "b": "b" * 40}, True)
@example({"a" * 40: "b" * 40}, False)
def test_whatever_the_texts_hold_the_same_is_read(value: dict[str, Any], is_ascii: bool) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii).encode()
    assert read(body) == value


@given(st.binary(max_size=40), st.integers(0, 200))
def test_what_is_wrong_with_a_body_is_said_as_ever(some: bytes, at: int) -> None:
    body = b'{"a":"%b","b":[1.5,{"c":"%b"}]}' % (b'\\"' * 40, b"x" * 40)
    broken = body[:at] + some + body[at:]
    assert read(broken) == read(broken, long=10**9)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a":"%b","a":1}' % (b"x" * 99), "duplicate_key"),
        (b'{"a":1,"b":{"c":"%b","c":"%b"}}' % (b"x" * 99, b"y" * 99), "duplicate_key"),
        (b'{"%b":1,"%b":2}' % (b"x" * 99, b"x" * 99), "duplicate_key"),
        (b'{"a":"%b\\ud800"}' % (b"x" * 99), "invalid_json"),
        (b'{"a":"%b\xff"}' % (b"x" * 99), "invalid_json"),
        (b'{"a":"%b\n"}' % (b"x" * 99), "invalid_json"),
        (b'["%b"]' % (b"x" * 99), "invalid_json"),
    ],
)
def test_what_is_refused_is_refused_beside_a_long_text(body: bytes, code: str) -> None:
    assert read(body) == code


def test_each_long_text_is_cut_out_once_and_nothing_else() -> None:
    long = [b'"%b"' % (word * 9) for word in (b"lorem ", b'\\"', b"\\n")]
    body = b'{"a":%b,"b":[%b,1],"c":"short","d":%b}' % (long[0], long[1], long[2])
    with patch.object(texts, "_STRIDE", SHORT // 2):
        rest, found = cut(body)
    assert found == long
    assert re.sub(rb'\{"%b":\d\}' % PLACE.encode(), b"_", rest) == b'{"a":_,"b":[_,1],"c":"short","d":_}'


def test_what_only_looks_like_a_text_is_read_all_the_same() -> None:
    body = b'{"a":[%b1],"b":"%b"}' % (b"1, " * 99, b"x" * 99)
    assert read(body) == {"a": [1] * 100, "b": "x" * 99}


def test_texts_of_a_megabyte_are_read_without_the_parser_that_takes_its_time() -> None:
    """Which is what all this is for: its calls are seen to get the rest alone."""
    text = '"' * texts.LONG
    body = json.dumps({"a": text, "b": 1}).encode()
    with patch.object(whole, "_strict", side_effect=AssertionError("read whole")):
        assert parse_object(body) == {"a": text, "b": 1}
