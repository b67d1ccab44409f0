"""Does a body stay what it was but for the edit, and is none accepted that two readers would read differently?"""

import json
import sys
import tracemalloc
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.canon import Request, ToolCall
from proxy.envelope import LONGEST_KEY, MEMBERS, Envelope, check_values, parse_object
from proxy.envelope.shallow import PIECE
from proxy.envelope.values import LIGHT, MOST
from proxy.envelope.whole import DIGITS, SHORT
from proxy.errors import BadRequest
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import arguments_for
from tests.bench.parties import MIB
from tests.nested import TOO_DEEP

# --- any JSON, spelled in any way ------------------------------------------------------------------------------------

ODD_WORDS = ["", '"', "\\", '\\"', '{"a":1}', ',"b":', "é", "🌍", "/", "\x00", "\x7f", "]}"]
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(ODD_WORDS)
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=5)
DICE = st.randoms(use_true_random=False)


def layout(pairs: list[tuple[str, Any]], dice: Random) -> list[str]:
    """An object's text in pieces: those at odd places are the values, those at even places all else."""
    out = [gap(dice) + "{" + gap(dice)]
    for key, value in pairs:
        out[-1] += word(key, dice) + gap(dice) + ":" + gap(dice)
        out += [spell(value, dice), gap(dice) + "," + gap(dice)]
    out[-1] = out[-1].rstrip(", \t\r\n") + gap(dice) + "}" + gap(dice)
    return out


def spell(value: Any, dice: Random) -> str:
    """The value as JSON text, without spaces around it."""
    match value:
        case str():
            return word(value, dice)
        case list():
            return "[" + ",".join(gap(dice) + spell(item, dice) + gap(dice) for item in value) + "]"
        case dict():
            return "".join(layout(list(value.items()), dice)).strip()
        case _:
            return json.dumps(value)


def word(text: str, dice: Random) -> str:
    return '"' + "".join(character(one, dice) for one in text) + '"'


def character(one: str, dice: Random) -> str:
    if dice.random() < 0.3:
        units = one.encode("utf-16-be")
        pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
        return "".join("\\u" + (pair.upper() if dice.random() < 0.5 else pair) for pair in pairs)
    return json.dumps(one, ensure_ascii=False)[1:-1]


def gap(dice: Random) -> str:
    return "".join(dice.choices(" \t\r\n", k=dice.choice([0, 0, 0, 1, 3])))


# --- edits -----------------------------------------------------------------------------------------------------------


@given(OBJECTS, VALUES, DICE)
def test_an_edit_replaces_one_value_and_no_other_byte(members: dict[str, Any], value: Any, dice: Random) -> None:
    pieces = layout(list(members.items()), dice)
    new = json.dumps(value)
    for place, key in enumerate(members):
        edited = Envelope("".join(pieces).encode()).edit({key: new.encode()})
        at = 2 * place + 1
        assert edited.decode() == "".join([*pieces[:at], new, *pieces[at + 1 :]])
        assert json.loads(edited) == {**members, key: value}


@given(OBJECTS, OBJECTS, DICE)
def test_edits_of_old_and_new_keys_are_seen_by_any_reader(
    members: dict[str, Any], changes: dict[str, Any], dice: Random
) -> None:
    envelope = Envelope("".join(layout(list(members.items()), dice)).encode())
    edited = envelope.edit({key: json.dumps(value).encode() for key, value in changes.items()})
    assert json.loads(edited) == {**members, **changes}
    again = Envelope(edited)
    assert again.keys() == [*members, *(key for key in changes if key not in members)]
    assert all(again.raw(key) == envelope.raw(key) for key in members if key not in changes)


@given(OBJECTS, DICE)
def test_values_are_found_where_they_stand(members: dict[str, Any], dice: Random) -> None:
    pieces = layout(list(members.items()), dice)
    body = "".join(pieces).encode()
    envelope = Envelope(body)
    assert envelope.body is body
    keys = envelope.keys()
    assert [envelope.raw(key) for key in keys] == [piece.encode() for piece in pieces[1::2]]
    assert {key: envelope.get(key) for key in keys} == members == parse_object(body)
    assert envelope.edit({}) == body


@pytest.mark.parametrize(
    ("body", "edits", "edited"),
    [
        (b'{"model": "a", "n":1}', {"model": b'"b"'}, b'{"model": "b", "n":1}'),
        (b' {\t"n" :1 }\n', {"m": b"2"}, b' {\t"n" :1 ,"m":2}\n'),
        (b"{}", {"m": b"2", "n": b"3"}, b'{"m":2,"n":3}'),
        (b"{ }", {"m": b"2"}, b'{ "m":2}'),
        (b'{"mod\\u0065l":"a"}', {"model": b'"b"'}, b'{"mod\\u0065l":"b"}'),
        (b'{"a":1,"b":2,"c":3}', {"c": b"[]", "d": b"4", "a": b"null"}, b'{"a":null,"b":2,"c":[],"d":4}'),
        (b'{"a":"}"}', {"b": b"{}"}, b'{"a":"}","b":{}}'),
        (b"{}", {'"': b"1"}, b'{"\\"":1}'),
        (b'{"a":1.0e+2,"b":1e400}', {"a": b"1"}, b'{"a":1,"b":1e400}'),
    ],
)
def test_an_edit_is_byte_exact(body: bytes, edits: dict[str, bytes], edited: bytes) -> None:
    assert Envelope(body).edit(edits) == edited


@given(OBJECTS, st.sets(st.integers(0, 5)), DICE)
def test_without_some_keys_every_other_member_is_what_it_was(
    members: dict[str, Any], places: set[int], dice: Random
) -> None:
    envelope = Envelope("".join(layout(list(members.items()), dice)).encode())
    gone = [key for place, key in enumerate(members) if place in places]
    again = Envelope(envelope.without(*gone, "no such key" * 5))
    assert again.keys() == [key for key in members if key not in gone]
    assert all(again.raw(key) == envelope.raw(key) for key in members if key not in gone)


@pytest.mark.parametrize(
    ("body", "keys", "left"),
    [
        (b'{"model":"m","a":1}', ["model"], b'{"a":1}'),
        (b' { "a" : [1, 2] ,\n  "model": "m,}" , "b":1.0}\n', ["model"], b' { "a" : [1, 2] , "b":1.0}\n'),
        (b'{"a": 1, "model": "m" }', ["model"], b'{"a": 1}'),
        (b'{"mod\\u0065l":"m"}', ["model"], b"{}"),
        (b'{"a":1,"b":2,"c":3}', ["a", "c"], b'{"b":2}'),
        (b'{ "a":1 }', ["b"], b'{ "a":1 }'),
        (b"{ }", ["a"], b"{ }"),
    ],
)
def test_a_member_that_is_taken_out_leaves_no_trace(body: bytes, keys: list[str], left: bytes) -> None:
    assert Envelope(body).without(*keys) == left


def test_what_is_absent_is_none() -> None:
    envelope = Envelope(b'{"a": null}')
    assert (envelope.get("a"), envelope.raw("a"), "a" in envelope) == (None, b"null", True)
    assert (envelope.get("b"), envelope.raw("b"), "b" in envelope) == (None, None, False)


def test_its_repr_names_the_keys_and_no_value() -> None:
    assert repr(Envelope(b'{"model": "secret", "n": 1}')) == "<Envelope 27 bytes: model, n>"


# --- keys that stand twice -------------------------------------------------------------------------------------------

FEW_KEYS = st.sampled_from(["a", "b", "ab", "é", '"', "\\", "", "🌍"])
FEW_VALUES = st.sampled_from([1, 12, 1.5, "1", "", 'a":1,"b', [], {}, {"a": 1}, [{"b": 2}], None])


@given(st.lists(st.tuples(FEW_KEYS, FEW_VALUES), max_size=5), DICE)
def test_a_body_is_refused_if_and_only_if_a_key_stands_twice(pairs: list[tuple[str, Any]], dice: Random) -> None:
    body = "".join(layout(pairs, dice)).encode()
    keys = [key for key, _ in pairs]
    if len(set(keys)) == len(keys):
        assert Envelope(body).keys() == list(parse_object(body)) == keys
        return
    for read in (Envelope, parse_object):
        with pytest.raises(BadRequest, match="the same key twice") as caught:
            read(body)
        assert caught.value.code == "duplicate_key"


@given(OBJECTS, st.randoms(use_true_random=False), st.booleans())
def test_the_whole_parse_reads_what_anybody_reads(members: dict[str, Any], dice: Random, numbered: bool) -> None:
    """`numbered`: characters may be spelled by their numbers, as which one parser reads them and not the other."""
    body = "".join(layout(list(members.items()), dice)) if numbered else json.dumps(members, ensure_ascii=False)
    assert repr(parse_object(body.encode())) == repr(json.loads(body))


TWICE = {
    "as_it_is": b'{"a":1,"a":2}',
    "first_and_last": b'{"a":1,"b":2,"a":3}',
    "in_the_middle": b'{"b":0,"a":1,"a":2,"c":3}',
    "thrice": b'{"a":1,"a":1,"a":1}',
    "the_same_value": b'{"a":1,"a":1}',
    "the_same_value_apart": b'{"a":1,"b":1,"a":1,"b":1}',
    "a_number_that_goes_on": b'{"a":12,"a":1}',
    "a_number_that_stops_short": b'{"a":1,"a":12}',
    "numbers_and_another": b'{"a":1,"b":1,"a":12}',
    "escaped": b'{"model":"x","mod\\u0065l":"y"}',
    "escaped_first": b'{"mod\\u0065l":"y","model":"x"}',
    "escaped_in_either_case": b'{"\\u006A":1,"\\u006a":1}',
    "solidus": b'{"a/b":1,"a\\/b":1}',
    "short_escape": b'{"a\\n":1,"a\\u000a":1}',
    "quotes": b'{"\\"":1,"\\u0022":1}',
    "a_quote_for_each_that_is_lost": b'{"a":"\\u0022\\u0022","b":1,"b":1}',
    "backslashes": b'{"\\\\":1,"\\u005c":1}',
    "beyond_ascii": b'{"\xc3\xa9":1,"\\u00e9":1}',
    "astral": b'{"\xf0\x9f\x98\x80":1,"\\ud83d\\uDE00":1}',
    "nothing": b'{"":1,"":2}',
    "spaces": b'{ "a" : 1 ,\n "a"\t:\r\n1 }',
    "a_value_that_looks_like_the_rest": b'{"a":"1,\\"a\\":2","a":2}',
    "an_object_that_holds_the_other": b'{"a":{"a":1},"a":1}',
}


@pytest.mark.parametrize("body", TWICE.values(), ids=TWICE)
@pytest.mark.parametrize("read", [Envelope, parse_object])
def test_a_key_that_stands_twice_is_refused(read: type[Envelope], body: bytes) -> None:
    with pytest.raises(BadRequest, match="the same key twice") as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (400, "duplicate_key")


@pytest.mark.parametrize("pair", ["Model model", "stream \u017ftream", "k \u212a", "\u00e5 \u212b", "\u00df \u1e9e"])
def test_a_key_that_differs_in_case_alone_is_refused(pair: str) -> None:
    """As Go's strings.EqualFold has it: the long s, the signs for Kelvin and Angstrom, the capital sharp s."""
    one, other = pair.split()
    with pytest.raises(BadRequest, match="the same key twice"):
        Envelope(json.dumps({one: 1, "x": 2, other: 3}).encode())


@pytest.mark.parametrize("options", ['{"a":1,"a":2}', '{"a":1,"A":2}', '{"a":{},"b":[],"a":{}}'])
def test_an_object_that_is_read_has_no_key_twice_either(options: str) -> None:
    envelope = Envelope(f'{{"stream_options":{options},"messages":[{options}]}}'.encode())
    with pytest.raises(BadRequest, match="the same key twice"):
        envelope.get("stream_options")
    assert envelope.get("messages") is not None


@pytest.mark.parametrize(
    "members", [{f"k{number}": 1 for number in range(MEMBERS + 1)}, {"k" * (LONGEST_KEY + 1): 1}], ids=["many", "long"]
)
def test_keys_without_number_or_end_are_refused_before_they_are_walked(members: dict[str, int]) -> None:
    with pytest.raises(BadRequest, match="more than 1000 keys, or a key of more than 1000 characters"):
        Envelope(json.dumps(members).encode())
    fewer = {key[:LONGEST_KEY]: value for key, value in list(members.items())[:MEMBERS]}
    assert Envelope(f" {json.dumps(fewer)}".encode()).edit({"z": b"1"})


@pytest.mark.parametrize(
    "body", [b'{"x":{"a":1,"a":2}}', b'{"x":[[{"a":1,"\\u0061":1}]],"y":1}', b'{"a":{"a":{"b":1,"b":1}}}']
)
def test_deeper_down_only_the_whole_parse_sees_it(body: bytes) -> None:
    assert json.loads(Envelope(body).edit({"z": b"1"}))["z"] == 1
    with pytest.raises(BadRequest, match="the same key twice"):
        parse_object(body)


def test_the_same_key_on_different_levels_is_none_twice() -> None:
    body = b'{"a":{"a":[{"a":1},{"a":1}]},"b":{"a":1}}'
    assert Envelope(body).keys() == list(parse_object(body)) == ["a", "b"]


def test_the_message_stays_short() -> None:
    body = b'{"a":1,"a":1,' + b",".join(b'"k%d":1' % n for n in range(1000)) + b"}"
    with pytest.raises(BadRequest) as caught:
        Envelope(body)
    assert len(caught.value.message) < 250


# --- what is no JSON object ------------------------------------------------------------------------------------------

NO_JSON = {
    "nothing": b"",
    "spaces": b" \n",
    "half": b'{"a":1',
    "half_a_key": b'{"a',
    "trailing_data": b'{"a":1} x',
    "two_objects": b"{}{}",
    "trailing_comma": b'{"a":1,}',
    "no_comma": b'{"a":1 "b":2}',
    "single_quotes": b"{'a':1}",
    "bare_key": b"{a:1}",
    "number_key": b"{1:1}",
    "comment": b'{"a":1} // no',
    "bom": b'\xef\xbb\xbf{"a":1}',
    "utf16": '{"a":1}'.encode("utf-16"),
    "utf16_without_bom": '{"a":1}'.encode("utf-16-le"),
    "utf32": '{"a":1}'.encode("utf-32"),
    "nan": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "nan_deeper": b'{"a":[{"b":NaN}]}',
    "leading_zero": b'{"a":01}',
    "bare_minus": b'{"a":-}',
    "control_character": b'{"a":"\x01"}',
    "bad_escape": b'{"a":"\\x"}',
    "bad_escape_deeper": b'{"a":["\\u12g4"]}',
    "key_is_no_utf8": b'{"\xff":1}',
    "text_is_no_utf8": b'{"a":["\xff"]}',
    "text_is_cut": b'{"a":["\xc3"]}',
    "text_is_half_a_pair": b'{"a":"\xed\xa0\xbd"}',
    "key_is_overlong": b'{"\xc0\x80":1}',
    "form_feed": b'\x0c{"a":1}',
    "no_break_space": b'{\xc2\xa0"a":1}',
    "nul": b'{"a":1}\x00',
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("read", [Envelope, parse_object])
def test_what_is_no_json_is_refused(read: type[Envelope], body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^The request body is not (valid JSON: .*|UTF-8 \(byte \d+\))\.$") as caught:
        read(body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("last", ["", "\xff"])
def test_a_long_text_is_looked_at_to_its_end(before: int, last: str) -> None:
    """Piece by piece, and no character is cut where a piece ends."""
    body = b'{"a":"%b%b%b"}' % (b"x" * before, "é你😀".encode() * PIECE, last.encode("latin-1"))
    if not last:
        assert bytes(Envelope(body).members["a"]) == body[5:-1]
        return
    with pytest.raises(BadRequest, match=rf"not UTF-8 \(byte {len(body) - 3}\)"):
        Envelope(body)


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null", b"true", b'[{"a":1}]'])
@pytest.mark.parametrize("read", [Envelope, parse_object])
def test_what_is_no_object_is_refused(read: type[Envelope], body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^The request body must be a JSON object\.$") as caught:
        read(body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
@pytest.mark.parametrize(("read", "depth"), [(Envelope, TOO_DEEP), (parse_object, 90_000)])  # it counts values as well
def test_what_is_nested_too_deeply_is_refused(read: type[Envelope], depth: int, open_: bytes, close: bytes) -> None:
    with pytest.raises(BadRequest, match="nested too deeply") as caught:
        read(b'{"a":' + open_ * depth + b"1" + close * depth + b"}")
    assert caught.value.code == "invalid_json"


def test_a_value_that_is_read_deeper_in_the_stack_is_refused_in_words() -> None:
    """Up to Python 3.11 our own calls count as levels: what could be scanned may be too deep to be decoded."""
    levels = sys.getrecursionlimit() - 400
    envelope = Envelope(b'{"stop":' + b"[" * levels + b"]" * levels + b"}")

    def read(calls: int) -> Any:
        return read(calls - 1) if calls else envelope.get("stop")

    if sys.version_info >= (3, 12):
        assert read(395) == envelope.get("stop")
        return
    with pytest.raises(BadRequest, match="stop is nested too deeply") as caught:
        read(395)
    assert (caught.value.code, caught.value.param) == ("invalid_json", "stop")


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_an_object_or_a_bad_request(noise: bytes) -> None:
    for body in (noise, b'{"a":' + noise + b"}", b'{"' + noise + b'":1}', b'{"a":1' + noise):
        for read in (Envelope, parse_object):
            try:
                read(body)
            except BadRequest as error:
                assert error.code in {"invalid_json", "duplicate_key"}  # noqa: PT017  not every body raises


def test_a_number_too_long_for_an_int_is_refused_by_the_whole_parse() -> None:
    body = b'{"a":' + b"9" * 5000 + b"}"
    assert Envelope(body).edit({"a": b"1"}) == b'{"a":1}'
    with pytest.raises(
        BadRequest, match=r"^The request body is not valid JSON: an integer of 5000 digits is not a supported number\.$"
    ):
        parse_object(body)


@pytest.mark.parametrize("value", [b"9" * 5000, b"1e999", b'{"b":[1e999]}'], ids=lambda value: repr(value[:8]))
def test_a_value_that_cannot_be_read_is_a_bad_request(value: bytes) -> None:
    envelope = Envelope(b'{"model":' + value + b"}")
    with pytest.raises(BadRequest) as caught:
        envelope.get("model")
    assert caught.value.param == "model"


@pytest.mark.parametrize("value", [b'"\\ud800"', b'"\\uD83Dx"', b'"\\ud800 and so on, for long"', b'["\\udc00x"]'])
@pytest.mark.parametrize("read", [Envelope, parse_object])
def test_half_a_character_is_refused_in_words(read: type[Envelope], value: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^The request body .*: it contains half of a surrogate pair, as where .*\.$"):
        read(b'{"a":' + value + b"}")


def test_what_ends_too_early_is_no_half_of_a_character() -> None:
    with pytest.raises(BadRequest, match="truncated"):
        Envelope(b'{"a":"\\ud83d\\ude00')


@pytest.mark.parametrize("value", [b"1e999", b"-1e999", b"[1e400]"])
def test_a_number_too_large_for_a_double_is_refused_by_the_whole_parse(value: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_object(b'{"a":' + value + b"}")


# --- how many values -------------------------------------------------------------------------------------------------


def values_in(value: Any) -> int:
    """An empty list, or an empty object, is as good as two: what is counted is what stands before a value."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return 1
    return 1 + (sum(map(values_in, inner)) if inner else 1)


@given(OBJECTS, DICE)
def test_more_values_than_there_may_be_are_refused(members: dict[str, Any], dice: Random) -> None:
    body, count = "".join(layout(list(members.items()), dice)).encode(), values_in(members)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.envelope.values.LIGHT", 0)
        patch.setattr("proxy.envelope.values.MOST", count)
        check_values(body)
        patch.setattr("proxy.envelope.values.MOST", count - 1)
        with pytest.raises(BadRequest, match=f"more than {count - 1} values"):
            check_values(body)


LONG = [b"," * MIB, rb"\",[" * (MIB // 4), rb"\\" * 100_000 + b"," * MIB, b"," * MIB + rb"\""]


@pytest.mark.parametrize("text", LONG, ids=["commas", "quotes", "backslashes", "a quote at the end"])
def test_what_stands_in_a_string_is_no_value(text: bytes) -> None:
    check_values(b'{"a":"%b","b":[1,"%b"]}' % (text, text))
    with pytest.raises(BadRequest, match="values"):
        check_values(b'{"a":"%b","b":[%b]}' % (text, b"1," * MOST))


class Watched(bytes):
    """How many bytes are taken out of it at a time."""

    def __init__(self, text: bytes) -> None:
        self.taken: list[int] = []

    def __getitem__(self, part: Any) -> Any:
        taken = super().__getitem__(part)
        self.taken.append(len(taken) if isinstance(taken, bytes) else 1)
        return taken


def test_they_are_counted_in_many_short_calls_as_nobody_else_can_run_in_one() -> None:
    body = Watched(b'{"a":"%b"}' % (b"x" * 5 * MIB))
    check_values(body)
    assert max(body.taken) <= MIB
    assert sum(body.taken) == len(body)


def test_a_body_that_is_too_light_to_hurt_is_not_counted() -> None:
    body = Watched(b'{"a":[%b1]}' % (b"1," * MOST))
    check_values(body)
    assert not body.taken


@pytest.mark.parametrize("space", [b"", b" "])
def test_a_long_body_is_scanned_where_it_stands(space: bytes) -> None:
    body = b'{"model":%b"m",%b"messages":%b"%b"}' % (space, space, space, b"x" * 8 * MIB)
    tracemalloc.start()
    try:
        envelope = Envelope(body)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    assert envelope.edit({"model": b'"other"'}) == body.replace(b'"m"', b'"other"')
    with pytest.raises(BadRequest, match="same key twice"):
        Envelope(body.replace(b'"m"', b'"m","model":"n"'))


@pytest.mark.parametrize("end", [b"", b"\\", b'\\"'])
def test_a_string_without_an_end_holds_none(end: bytes) -> None:
    check_values(b'{"a":"' + b"," * MIB + end)


@pytest.mark.parametrize(
    "values",
    [b"1," * MOST, b"[" * 2 * MOST, b"[]," * MOST, b'"",' * MOST],
)
def test_they_are_counted_before_anything_is_built(values: bytes) -> None:
    with pytest.raises(BadRequest, match=f"more than {MOST} values") as caught:
        parse_object(b'{"a":[' + values + b" " * MIB)
    assert (caught.value.status, caught.value.code) == (400, "too_many_values")


@given(before=st.integers(0, 3 * DIGITS), digits=st.integers(DIGITS - 2, DIGITS + 2))
def test_a_long_number_is_found_wherever_it_stands(before: int, digits: int) -> None:
    body = b'{"a":"%b","b":[%b1],"c":%b}' % (b"x" * before, b"1," * SHORT, b"7" * digits)
    if digits > DIGITS:
        with pytest.raises(BadRequest, match=f"an integer of {digits} digits"):
            parse_object(body)
    else:
        assert parse_object(body)["c"] == int("7" * digits)


@pytest.mark.parametrize("size", [SHORT, 2 * LIGHT])
def test_numbers_of_thousands_of_digits_are_refused_where_there_may_be_many(size: int) -> None:
    """To write a hundred of them again takes as many milliseconds, in one call of C."""
    many = b"1" * (DIGITS + 1) + b","
    body = b'{"a":[%b1]}' % (many * (size // len(many) + 1))
    with pytest.raises(BadRequest, match=f"an integer of {DIGITS + 1} digits"):
        parse_object(body)
    assert parse_object(body.replace(b"1" * (DIGITS + 1), b"1" * DIGITS))["a"][0] == int("1" * DIGITS)
    assert parse_object(b'{"a":"%b"}' % (b"1" * size))["a"] == "1" * size


def test_nor_may_they_stand_in_the_many_texts_of_a_request() -> None:
    """Each of a hundred calls has its arguments, and all of them are written in one call of C."""
    call = ToolCall(id="1", name="f", arguments='{"a":%s}' % ("1" * (DIGITS + 1)))
    receipt = Receipt(Request(wire="openai_chat", model="m", turns=[]), "anthropic")
    assert arguments_for(call, "The API", receipt) == {"malformed_arguments": call.arguments}
    assert list(receipt) == ["tool_call.arguments"]
    assert parse_object(call.arguments.encode()) == {"a": int("1" * (DIGITS + 1))}
    call.arguments = '{"a":%s}' % ("1" * DIGITS)
    assert arguments_for(call, "The API", receipt) == {"a": int("1" * DIGITS)}
