"""Are arguments the same, as text and as an object, whatever a model wrote?"""

import pytest

from proxy.grammar.arguments import as_given, as_json


@pytest.mark.parametrize(("value", "text"), [(None, ""), ("", ""), ('{"a": 1}', '{"a": 1}'), ({"a": 1}, '{"a":1}')])
def test_arguments_are_text(value: object, text: str) -> None:
    assert as_json(value) == text


@pytest.mark.parametrize("wrong", ['{"a":', "[1]", "nullx", "\ud800", "[" * 100_000])
def test_what_is_no_object_is_handed_on_for_all_to_see(wrong: str) -> None:
    assert as_given(wrong) == {"malformed_arguments": wrong}


def test_arguments_are_an_object_and_none_are_an_empty_one() -> None:
    assert as_given('{"a":1}') == {"a": 1}
    assert [as_given(none) for none in ("", "null")] == [{}, {}]
