"""Is a stream cut into the same frames however its bytes arrive?"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing import (
    Batches,
    Body,
    Frame,
    FrameTooLong,
    Lines,
    NewlineDelimited,
    ServerSentEvents,
    data_of,
    sse,
)
from proxy.grammar.repeats import Repeats
from tests.laws import drain, split_proof, splits

BOM = b"\xef\xbb\xbf"
TEXT = "héllo, 世界 🌍".encode()

# https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.5 and 9.2.6; the examples there among them.
STREAMS = {
    "nothing": (b"", []),
    "one": (b"data: a\n\n", [("", b"a")]),
    "named": (b"event: add\ndata: 73857293\n\n", [("add", b"73857293")]),
    "name_after_data": (b"data: a\nevent: add\n\n", [("add", b"a")]),
    "the_last_name_counts": (b"event: a\nevent: b\ndata: c\n\n", [("b", b"c")]),
    "a_name_is_for_one_event": (b"event: a\ndata: 1\n\ndata: 2\n\n", [("a", b"1"), ("", b"2")]),
    "a_name_without_data_is_forgotten": (b"event: a\n\ndata: 2\n\n", [("", b"2")]),
    "lines_are_joined": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("", b"YHOO\n+2\n10")]),
    "empty_data_lines_count": (b"data\n\ndata\ndata\n\ndata:", [("", b""), ("", b"\n"), ("", b"")]),
    "one_space_is_taken_off": (b"data:test\n\ndata: test\n\ndata:  test\n\n", [("", b"test")] * 2 + [("", b" test")]),
    "only_a_space_is": (b"data:\ttest\n\n", [("", b"\ttest")]),
    "colons_are_data": (b"data: a: b::\n\n", [("", b"a: b::")]),
    "a_field_has_no_space_before": (b" data: a\ndata : b\nData: c\n\n", []),
    "comments": (b": test stream\n\n:\ndata: a\n: b\ndata: c\n\n", [("", b"a\nc")]),
    "other_fields": (b"id: 1\nretry: 5\nfoo: bar\nfoo\ndata: a\n\n", [("", b"a")]),
    "blank_lines": (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
    "cr": (b"event: e\rdata: a\rdata: b\r\rdata: c\r\r", [("e", b"a\nb"), ("", b"c")]),
    "crlf": (b"event: e\r\ndata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", [("e", b"a\nb"), ("", b"c")]),
    "all_ends": (
        b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\rdata: e\r\n\n",
        [("", b"a\nb\nc"), ("", b"d"), ("", b"e")],
    ),
    "lf_cr_ends_two_lines": (b"data: a\n\rdata: b\n\r", [("", b"a"), ("", b"b")]),
    "cr_cr_lf_ends_two_lines": (b"data: a\r\r\ndata: b\r\r\n", [("", b"a"), ("", b"b")]),
    "bom": (BOM + b"data: a\n\n", [("", b"a")]),
    "one_bom_is_passed_over": (BOM + BOM + b"data: a\n\ndata: b\n\n", [("", b"b")]),
    "a_bom_later_is_none": (b"data: a\n\n" + BOM + b"data: b\n\ndata: " + BOM + b"\n\n", [("", b"a"), ("", BOM)]),
    "a_bom_alone": (BOM, []),
    "a_bom_and_a_blank_line": (BOM + b"\r\ndata: a\r\n\r\n", [("", b"a")]),
    "cut_before_the_blank_line": (b"data: a\n\ndata: b\n", [("", b"a"), ("", b"b")]),
    "cut_inside_a_line": (b"data: a\n\nevent: e\ndata: b", [("", b"a"), ("e", b"b")]),
    "cut_after_cr": (b"data: a\r", [("", b"a")]),
    "cut_without_data": (b"data: a\n\nevent: e\n", [("", b"a")]),
    "cut_inside_the_field": (b"data: a\n\ndat", [("", b"a")]),
    "utf8": (b"event: \xc3\xa9\ndata: " + TEXT + b"\n\n", [("é", TEXT)]),
    "bytes_that_are_no_utf8": (b"event: \xff\ndata: \xff\x00\n\n", [("�", b"\xff\x00")]),
    "other_line_ends_are_data": (
        "data: a\u2028b\u0085c\x0b\x0c\x1c\n\n".encode(),
        [("", "a\u2028b\u0085c\x0b\x0c\x1c".encode())],
    ),
    "done": (b'data: {"a":1}\n\ndata: [DONE]\n\n', [("", b'{"a":1}'), ("", b"[DONE]")]),
    "openrouter_keeps_alive": (b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: a\n\n", [("", b"a")]),
    "vertex_breaks_with_bare_json": (b'data: {"a":1}\r\n\r\n{"error": {"code": 8}}', [("", b'{"a":1}')]),
}  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_gives_its_events_however_it_is_split(stream: str) -> None:
    data, frames = STREAMS[stream]
    assert split_proof(ServerSentEvents, data) == frames


@pytest.mark.parametrize("stream", [name for name in STREAMS if "cut" not in name and name != "a_bom_alone"])
def test_what_follows_is_not_swallowed(stream: str) -> None:
    """Trailing data: one more event after the stream's own, and half of another."""
    data, frames = STREAMS[stream]
    more = b"\n\nevent: x\ndata: y\n\ndata: z"
    assert split_proof(ServerSentEvents, data + more)[-2:] == [("x", b"y"), ("", b"z")]
    assert drain(ServerSentEvents(), [data + more])[: len(frames)] == frames


def test_an_event_is_out_as_soon_as_its_blank_line_is_in() -> None:
    framer = ServerSentEvents()
    assert list(framer.feed(b"data: a\r\n\r")) == [Frame("", b"a")]
    assert list(framer.feed(b"\ndata: b\n\n")) == [Frame("", b"b")]
    assert list(framer.close()) == []


PIECES = st.lists(
    st.sampled_from(
        [b"data", b"event", b":", b" ", b"\r", b"\n", b"\r\n", b"\n\n", BOM, b"a", b"data: b\n", b"event: c\n"]
    ),
    max_size=25,
).map(b"".join)


@given(PIECES)
def test_any_stream_reads_as_the_standard_reads_it(data: bytes) -> None:
    assert split_proof(ServerSentEvents, data, count=5) == standard(data)


def standard(data: bytes) -> list[tuple[str, bytes]]:
    """The whole stream at once, by the letter of 9.2.6; a last event that was cut off is dispatched."""
    frames, event, lines = [], "", list[bytes]()
    for line in [*re.split(b"\r\n|\r|\n", data.removeprefix(BOM)), b""]:
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if line == b"":
            frames += [(event, b"\n".join(lines))] if lines else []
            event, lines = "", []
        elif name == b"event":
            event = value.decode(errors="replace")
        elif name == b"data":
            lines.append(value)
    return frames


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=8)
DATA = st.binary(max_size=20).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))


@given(st.lists(st.tuples(NAMES, DATA), max_size=4))
def test_sse_is_the_mirror(events: list[tuple[str, bytes]]) -> None:
    wire = b"".join(sse(data, event) for event, data in events)
    assert drain(ServerSentEvents(), [wire]) == events


def test_sse_spells_an_event() -> None:
    assert sse(b"[DONE]") == b"data: [DONE]\n\n"
    assert sse(b"{}", "ping") == b"event: ping\ndata: {}\n\n"


# --- lines -----------------------------------------------------------------------------------------------------------

JSON_LINES = {
    "nothing": (b"", []),
    "two": (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
    "crlf": (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
    "blank_lines": (b'\n\n{"a":1}\n\r\n \t\n{"b":2}\n\n', [b'{"a":1}', b'{"b":2}']),
    "no_end_at_the_end": (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
    "spaces_stay": (b' {"a":1} \n', [b' {"a":1} ']),
    "blank_at_the_end": (b'{"a":1}\n  ', [b'{"a":1}']),
    "utf8": (TEXT + b"\n" + TEXT, [TEXT, TEXT]),
    "other_line_ends_are_text": ("a\u2028b\x0bc\x85\n".encode(), ["a\u2028b\x0bc\x85".encode()]),
}


@pytest.mark.parametrize("stream", JSON_LINES)
def test_lines_of_json_come_whole_however_they_are_split(stream: str) -> None:
    data, lines = JSON_LINES[stream]
    assert split_proof(NewlineDelimited, data) == lines


def test_a_line_is_out_as_soon_as_its_end_is_in() -> None:
    framer = NewlineDelimited()
    assert list(framer.feed(b"1\n2\r")) == [b"1", b"2"]
    assert list(framer.feed(b"\n3")) == []
    assert list(framer.close()) == [b"3"]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"bc", b""]), max_size=20).map(b"".join))
def test_lines_end_where_they_end(data: bytes) -> None:
    expected = re.split(b"\r\n|\r|\n", data)
    assert split_proof(Lines, data, count=5) == (expected if expected[-1] else expected[:-1])


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framer", "what"), [(Lines, "a line"), (NewlineDelimited, "a line"), (ServerSentEvents, "an event")]
)
@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_line_without_end_is_stopped_at_the_limit(
    framer: type[Lines] | type[NewlineDelimited] | type[ServerSentEvents], what: str, size: int
) -> None:
    feeder = framer(limit=10)
    for _ in range(10 // size):
        assert list(feeder.feed(b"x" * size)) == []
    with pytest.raises(FrameTooLong, match=f"{what} is longer than 10 bytes"):
        list(feeder.feed(b"x" * size))


@pytest.mark.parametrize("framer", [Lines, NewlineDelimited])
def test_a_line_as_long_as_the_limit_passes(framer: type[Lines] | type[NewlineDelimited]) -> None:
    assert split_proof(lambda: framer(limit=10), b"0123456789\n0123456789") == [b"0123456789"] * 2


def test_an_event_without_end_is_stopped_at_the_limit() -> None:
    framer = ServerSentEvents(limit=16)
    assert list(framer.feed(b"data: 1\ndata: 2\n")) == []
    with pytest.raises(FrameTooLong, match="an event is longer than 16 bytes"):
        list(framer.feed(b"d"))


@pytest.mark.parametrize("long", [b"data: 1234567\n\n", b"data: 1234567", b"data: 1234567\n"])
def test_what_came_before_an_event_that_is_too_long_is_handed_out(long: bytes) -> None:
    framer = ServerSentEvents(limit=12)
    frames = framer.feed(b"data: 2\n\n" + long)
    assert next(frames).data == b"2"
    with pytest.raises(FrameTooLong):
        next(frames)


@pytest.mark.parametrize("cuts", [[b"12345678901\n"], [b"1234567", b"8901\n"]])
def test_a_line_over_the_limit_is_stopped_however_it_comes(cuts: list[bytes]) -> None:
    with pytest.raises(FrameTooLong, match="a line is longer than 10 bytes"):
        drain(NewlineDelimited(limit=10), cuts)


def test_the_limit_is_for_each_event_anew() -> None:
    assert drain(ServerSentEvents(limit=12), [b"data: 123456\n\n"] * 5) == [("", b"123456")] * 5


# --- what repeats ----------------------------------------------------------------------------------------------------

CHUNK = b'data: {"id":"c1","d":{"content":"%b","role":"assistant"}}'


def learned(text: str = "Hello") -> Repeats:
    repeats = Repeats()
    repeats.learn(CHUNK % text.encode(), text)
    return repeats


def run_of(repeats: Repeats, *events: bytes) -> tuple[str, int]:
    """What is read of them, and how many they are; what stood before must not matter."""
    begun = len(b"data: 0\n\n")
    whole = b"".join(event + b"\n\n" for event in (b"data: 0", *events))
    text, end = repeats.run(whole, begun)
    while end > begun:
        begun, more = end, ""
        more, end = repeats.run(whole, begun)
        text += more
    return text, whole[:end].count(b"\n\n") - 1


@pytest.mark.parametrize(
    ("wire", "text"),
    [(b" world", " world"), (b"", ""), ("é\u2028".encode(), "é\u2028"), (rb"a\"\n\u00e9\\", 'a"\né\\')],
)
def test_an_event_that_differs_in_its_text_alone_is_read(wire: bytes, text: str) -> None:
    assert run_of(learned(), CHUNK % wire) == (text, 1)
    assert run_of(learned(), CHUNK % b"a", CHUNK % wire, CHUNK % b"b") == (f"a{text}b", 3)


OTHERS = [
    CHUNK.replace(b"c1", b"c2") % b"x",
    CHUNK % b'x","role":"user","content":"y',  # more than one string
    CHUNK % b"x\ty",  # no JSON
    CHUNK % b"\\",
    CHUNK % b"\xff",
    b'data: {"id":"c1","d":{"content":"","role":"assistant"}',
    b'data: {"id":"c1","d":{"content":",',
    b"",
]


@pytest.mark.parametrize("event", OTHERS)
def test_another_event_is_left_to_a_parser(event: bytes) -> None:
    assert run_of(learned(), event) == ("", 0)
    assert run_of(learned(), CHUNK % b"a", CHUNK % b"b", event, CHUNK % b"c") == ("ab", 2)


@pytest.mark.parametrize("text", ["assistant", "content", "é", "", 'a"b', "c"])
def test_a_text_that_could_stand_elsewhere_teaches_nothing(text: str) -> None:
    event = CHUNK % text.encode()
    repeats = learned(text)
    assert run_of(repeats, event) == ("", 0)
    repeats.learn(CHUNK % b"Hello", "Hello")
    assert run_of(repeats, CHUNK % b"x") == ("x", 1)
    repeats.forget()
    assert run_of(repeats, CHUNK % b"x") == ("", 0)


def test_a_key_teaches_nothing() -> None:
    repeats = Repeats()
    repeats.learn(rb'data: {"Hello" :"\u0048ello"}', "Hello")
    assert run_of(repeats, rb'data: {"x" :"\u0048ello"}') == ("", 0)


def test_repeating_events_and_others_come_in_their_order() -> None:
    other = b"data: {}"
    events = [CHUNK % b"a", CHUNK % b"b", other, b": ping", CHUNK % b"", CHUNK % rb"\u00e9", other]
    data = b"".join(event + b"\n\n" for event in events)
    for chunks in splits(data):
        sse, repeats = ServerSentEvents(), learned()
        said = [each for chunk in chunks for each in sse.sift(chunk, repeats)]
        texts = "".join(each if isinstance(each, str) else "|" for each in said)
        assert texts == "ab||é|"
        assert [each for each in said if isinstance(each, bytes)] == [other, b": ping", other]


# --- what a meter reads ----------------------------------------------------------------------------------------------


def batched(chunks: list[bytes], limit: int = 1000) -> tuple[bytes, bytes]:
    """What came out while the bytes came, and what the end cut off."""
    batches = Batches(limit)
    return b"".join(batches.feed(chunk) for chunk in chunks), batches.close()


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_batch_is_whole_events_with_lf(end: bytes) -> None:
    data = b"event: a\ndata: 1\n\n\ndata: 2\n\n: c\n\ndata: 3\nda"
    for chunks in splits(data.replace(b"\n", end)):
        assert batched(chunks) == (data[:-10], data[-10:])


def test_a_batch_comes_as_soon_as_it_is_whole() -> None:
    batches = Batches(1000)
    fed = [batches.feed(data) for data in (b"data: 1\n", b"\ndata: 2\r", b"\r", b"\n", b"x")]
    assert fed == [b"", b"data: 1\n\n", b"data: 2\n\n", b"", b""]
    assert batches.held == 1


def test_an_event_that_is_too_long_is_passed_over() -> None:
    long = b"data: " + b"x" * 50 + b'data: {"a":1}'
    for chunks in splits(b"data: 1\n\n" + long + b"\n\ndata: 2\n\ndata: 3"):
        out, cut = batched(chunks, limit=20)
        said = [data for event in out.split(b"\n\n") if (data := data_of(event))]
        assert (said[0], said[-1], cut) == (b"1", b"2", b"data: 3")
        assert len(said) == 2 or said[1] == long[6:]  # it may have come at once


def test_many_lines_of_one_event_are_joined_once() -> None:
    batches = Batches(10**6)
    for _ in range(100_000):
        assert batches.feed(b"a\n") == b""
    assert batches.feed(b"\n") == b"a\n" * 100_000 + b"\n"


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: 1", b"1"),
        (b"event: e\ndata:1\ndata: 2\n", b"1\n 2"),
        (BOM + b"data: 1", b"1"),
        (b": data: 1\ndat: 2", b""),
        (b"", b""),
    ],
)
def test_the_data_of_one_event(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


def test_a_whole_answer_is_kept_up_to_the_limit() -> None:
    body = Body(limit=4)
    body.feed(b"ab")
    body.feed(b"cd")
    assert body.close() == b"abcd"
    for _ in range(2):
        with pytest.raises(FrameTooLong, match="longer than 4 bytes"):
            body.feed(b"e")
    assert body.close() == b""
