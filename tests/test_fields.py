"""Does proxy.grammar.fields refuse what is wrong by its name, keep what nobody took, and never raise anything else?"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest
from proxy.grammar.fields import (
    UNREADABLE,
    Fields,
    as_list,
    as_object,
    as_text,
    decode_json,
    dump,
    is_number,
    kept_headers,
    nonsense,
    wrong,
)
from tests.nested import TOO_DEEP

Take = Callable[[Fields, str], object]

# What each taking accepts, in the first place, and refuses, in the second.
TAKINGS: dict[str, tuple[Take, list[Any], list[Any]]] = {
    "text": (Fields.text, ["", "x"], [1, True, [], {}]),
    "flag": (Fields.flag, [True, False], [0, 1, "true", [], {}]),
    "integer": (Fields.integer, [0, -1, 10**400], [True, 1.0, "1", [], {}]),
    "number": (Fields.number, [0, -1.5, 10**400], [True, "1", float("inf"), [], {}]),
    "array": (Fields.array, [[], [None]], [{}, "x", 1]),
    "object": (Fields.object, [{}, {"a": None}], [[], "x", 1]),
    "texts": (Fields.texts, [[], ["", "x"]], ["x", {}, 1]),
}
NEEDS: dict[str, tuple[Take, list[Any], list[Any]]] = {
    "need_text": (Fields.need_text, ["", "x"], [None, 1, []]),
    "need_name": (Fields.need_name, ["x"], [None, "", 1, []]),
    "need_natural": (Fields.need_natural, [0, 5], [None, -1, 1.5, True, "1"]),
    "need_object": (Fields.need_object, [{}, {"a": 1}], [None, [], "x"]),
}
BOTH = TAKINGS | NEEDS
GOOD = [(take, value) for take, good, _ in BOTH.values() for value in good]
BAD = [(take, value) for take, _, bad in BOTH.values() for value in bad]


def shown(value: object) -> str:
    return getattr(value, "__name__", None) or str(value)[:20]


@pytest.mark.parametrize(("take", "value"), GOOD, ids=shown)
def test_what_is_right_is_taken(take: Take, value: Any) -> None:
    fields = Fields({"a": value, "b": 1}, "")
    assert take(fields, "a") == value
    assert fields.rest == {"b": 1}


@pytest.mark.parametrize(("take", "value"), BAD, ids=shown)
@pytest.mark.parametrize(("at", "path"), [("", "a"), ("tools[0]", "tools[0].a")])
def test_what_is_wrong_is_refused_by_its_path(take: Take, value: Any, at: str, path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        take(Fields({"a": value}, at), "a")
    assert caught.value.param == path
    assert caught.value.message.startswith(f"{path} must be ")


@pytest.mark.parametrize(("take", "_good", "_bad"), TAKINGS.values(), ids=TAKINGS)
@pytest.mark.parametrize("value", [{}, {"a": None}], ids=["absent", "null"])
def test_a_null_says_what_absence_says(take: Take, _good: object, _bad: object, value: Any) -> None:
    fields = Fields(value, "")
    assert take(fields, "a") is None
    assert fields.rest == {}


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ("", "an empty string"),
        ("x", "a string"),
        (1, "an integer"),
        (1.5, "a decimal number"),
        (True, "a boolean"),
        ({}, "an object"),
    ],
)
def test_the_message_says_what_was_expected_and_what_came(value: object, came: str) -> None:
    assert wrong("a.b", "an array", value).message == f"a.b must be an array, not {came}."


def test_the_message_says_what_is_missing() -> None:
    assert wrong("a.b", "an array", None).message == "a.b must be an array, but it is missing or null."


def test_a_negative_number_is_shown() -> None:
    with pytest.raises(BadRequest, match="max must be a non-negative integer, not '-1'"):
        Fields({"max": -1}, "").need_natural("max")


def test_items_know_their_paths() -> None:
    fields = Fields({"a": [1, None]}, "top")
    assert fields.items("b") == []
    assert fields.need_items("a") == [(1, "top.a[0]"), (None, "top.a[1]")]
    with pytest.raises(BadRequest) as caught:
        fields.need_items("a")
    assert caught.value.param == "top.a"


def test_a_text_among_texts_is_refused_by_its_number() -> None:
    with pytest.raises(BadRequest) as caught:
        Fields({"stop": ["a", 1]}, "").texts("stop")
    assert caught.value.param == "stop[1]"


def test_what_is_left_of_an_inner_object_can_be_kept() -> None:
    top = Fields({"a": {"x": 1, "y": 2, "z": None}, "b": {"x": 1}}, "")
    for key in ("a", "b"):
        inner = top.inner(key)
        assert inner.integer("x") == 1
        top.keep(key, inner)
    assert top.rest == {"a": {"y": 2}}


def test_an_inner_object_may_be_absent_or_must_not() -> None:
    top = Fields({"b": 1}, "")
    assert top.inner("a").rest == {}
    for refused, key in ((top.need_inner, "a"), (top.inner, "b")):
        with pytest.raises(BadRequest) as caught:
            refused(key)
        assert caught.value.param == key


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
def test_what_is_no_object_has_no_fields(value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        Fields(value, "tools[2]")
    assert caught.value.param == "tools[2]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(JSON, st.sampled_from([take for take, _, _ in BOTH.values()]))
def test_any_value_is_taken_or_refused_by_its_path(value: object, take: Take) -> None:
    try:
        take(Fields({"a": value}, "at"), "a")
    except BadRequest as error:
        refusal = error
    else:
        return
    assert str(refusal.param).startswith("at.a")
    assert str(refusal.param) in refusal.message


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_a_value_is_dumped_as_utf8() -> None:
    assert dump({"a": ["é", 1.5, None]}) == '{"a":["é",1.5,null]}'.encode()


def test_a_header_that_is_no_utf8_can_be_told_to_every_reader() -> None:
    quoted = b"caf\xe9 \xc3\xa9".decode("utf-8", "surrogateescape")
    assert decode_json(dump({"message": quoted})) == {"message": "caf\ufffd \u00e9"}


def test_what_is_too_deep_to_dump_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(TOO_DEEP):
        deep = [deep]
    with pytest.raises(BadRequest, match="too deeply"):
        dump(deep)


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b'"\xff"', b'"\\ud83d"', b"[" * 100_000])
def test_bytes_that_are_no_json_raise_what_unreadable_names(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode_json(data)
    with pytest.raises(UNREADABLE):
        msgspec.json.decode(data, type=dict[str, Any])


# --- a provider's answer ---------------------------------------------------------------------------------------------


def test_what_is_of_another_type_is_passed_over() -> None:
    for value in (None, True, 1, 1.5):
        assert (as_object(value), as_list(value), as_text(value)) == ({}, [], "")
    assert (as_object({"a": 1}), as_list([1]), as_text("x")) == ({"a": 1}, [1], "x")


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(0, True), (-1.5, True), (10**400, True), (True, False), ("1", False), (None, False)]
    + [(float(word), False) for word in ("nan", "inf", "-inf")],
)
def test_a_number_is_one_that_can_be_kept(value: object, is_one: bool) -> None:
    assert is_number(value) is is_one


def test_nonsense_may_be_asked_of_another() -> None:
    assert nonsense("it is not valid JSON").elsewhere
    assert nonsense("it is not valid JSON").message == "The provider's answer could not be read: it is not valid JSON."


def test_headers_that_say_when_to_ask_again_are_kept() -> None:
    headers = {"Retry-After": "3", "retry-after-ms": "9", "x-should-retry": "no", "X-RateLimit-Reset": "1", "via": "x"}
    assert kept_headers(headers, "x-ratelimit-") == list(headers.items())[:4]
    assert kept_headers(headers, "anthropic-ratelimit-") == list(headers.items())[:3]
