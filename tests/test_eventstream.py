"""Does proxy.framing.eventstream tell AWS's messages apart, prove them, and write what AWS's own SDK reads?"""

import struct
from contextlib import suppress
from importlib import import_module
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing.eventstream import (
    MAX_HEADERS,
    MAX_MESSAGE,
    BadMessage,
    EventStream,
    Message,
    Value,
    encode_frame,
    encode_headers,
    encode_message,
)
from tests import laws, recordings

EventStreamBuffer = import_module("botocore.eventstream").EventStreamBuffer  # it has no types

ROWS = [row for row in recordings.load("bedrock.converse-stream") if row["framing"] == "aws-eventstream"]
EVENT = [(":event-type", "messageStop"), (":message-type", "event")]
PAYLOAD = b'{"stopReason":"end_turn"}'
WORD = encode_message(EVENT, PAYLOAD)

names = st.text(min_size=1, max_size=40).filter(lambda name: len(name.encode()) < 256)
messages = st.lists(st.tuples(st.dictionaries(names, st.text(max_size=80), max_size=5), st.binary(max_size=200)))


def read(data: bytes) -> list[Message]:
    return laws.drain(EventStream(), [data])


def with_headers(headers: bytes) -> bytes:
    return encode_frame(headers, b"{}")


def prelude(size: int, headers: int) -> bytes:
    lengths = struct.pack(">II", size, headers)
    return lengths + struct.pack(">I", crc32(lengths))


@given(messages)
def test_what_is_written_is_read(said: list[tuple[dict[str, str], bytes]]) -> None:
    data = b"".join(encode_message(list(headers.items()), payload) for headers, payload in said)
    assert read(data) == [Message(dict(headers), payload) for headers, payload in said]


@given(messages)
def test_botocore_reads_what_is_written(said: list[tuple[dict[str, str], bytes]]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(encode_message(list(headers.items()), payload) for headers, payload in said))
    assert [(event.headers, event.payload) for event in buffer] == said


@recordings.needs_recordings
@pytest.mark.parametrize("row", ROWS, ids=recordings.ids)
def test_a_recorded_stream_reads_alike_however_it_is_cut(row: recordings.Row) -> None:
    recordings.replayed(row)
    body = recordings.body(row)
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    expected = [Message(event.headers, event.payload) for event in buffer]
    assert laws.split_proof(EventStream, body, count=10) == expected


@recordings.needs_recordings
@pytest.mark.parametrize("row", ROWS[:5], ids=recordings.ids)
def test_a_recorded_stream_is_written_again_byte_by_byte(row: recordings.Row) -> None:
    body = recordings.body(row)
    again = [encode_message([(k, str(v)) for k, v in one.headers.items()], one.payload) for one in read(body)]
    assert b"".join(again) == body


def test_a_message_comes_out_with_its_last_byte() -> None:
    stream = EventStream()
    assert list(stream.feed(WORD[:-1])) == []
    assert list(stream.feed(WORD[-1:] + WORD[:5])) == [Message(dict(EVENT), PAYLOAD)]
    assert list(stream.feed(WORD[5:])) == [Message(dict(EVENT), PAYLOAD)]
    assert list(stream.close()) == []


@pytest.mark.parametrize("at", range(len(WORD)))
def test_one_wrong_bit_anywhere_is_noticed(at: int) -> None:
    damaged = WORD[:at] + bytes([WORD[at] ^ 1]) + WORD[at + 1 :]
    with pytest.raises(BadMessage):
        read(damaged)


@pytest.mark.parametrize("end", range(1, len(WORD)))
def test_a_message_that_the_end_cuts_off_is_an_error(end: int) -> None:
    with pytest.raises(BadMessage, match="ends in the middle"):
        read(WORD[:end])


@pytest.mark.parametrize(
    ("size", "headers", "said"),
    [
        (2**32 - 1, 0, "is longer than"),
        (MAX_MESSAGE + 1, 0, "is longer than"),
        (15, 0, "cannot have"),
        (0, 0, "cannot have"),
        (40, 25, "cannot have"),
        (MAX_HEADERS + 100, MAX_HEADERS + 1, "cannot have"),
        (100, 2**32 - 1, "cannot have"),
    ],
)
def test_a_length_that_cannot_be_is_refused_at_the_prelude(size: int, headers: int, said: str) -> None:
    with pytest.raises(BadMessage, match=said):
        list(EventStream().feed(prelude(size, headers)))


def test_a_prelude_that_is_none_is_refused_before_more_is_waited_for() -> None:
    with pytest.raises(BadMessage, match="prelude"):
        list(EventStream().feed(prelude(1000, 10)[:-1] + b"?"))


def test_the_limit_is_the_callers() -> None:
    assert len(list(EventStream(len(WORD)).feed(WORD))) == 1
    with pytest.raises(BadMessage, match="is longer than"):
        list(EventStream(len(WORD) - 1).feed(WORD))


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\x01\x00", 256),
        (4, b"\x00\x00\x00\x07", 7),
        (5, b"\x00" * 7 + b"\x09", 9),
        (6, b"\x00\x02ab", b"ab"),
        (7, b"\x00\x02ab", "ab"),
        (8, b"\x00" * 7 + b"\x09", 9),
        (9, b"0123456789abcdef", b"0123456789abcdef"),
    ],
)
def test_a_header_of_every_type_is_read(kind: int, raw: bytes, value: Value) -> None:
    headers = b"\x01k%c%b" % (kind, raw) + encode_headers([("after", "it")])
    assert read(with_headers(headers)) == [Message({"k": value, "after": "it"}, b"{}")]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (b"\x01k\x0a", "type 10"),
        (b"\x01k", "are malformed"),
        (b"\x05k", "are malformed"),
        (b"\x01k\x04\x00", "are malformed"),
        (b"\x01k\x07\x00", "are malformed"),
        (b"\x01k\x07\x00\x09ab", "longer than the rest"),
        (b"\x01k\x09ab", "longer than the rest"),
        (b"\x01k\x07\x00\x01\xff", "are malformed"),
        (b"\x01\xff\x00", "are malformed"),
        (b"\x01k\x00\x01k\x01", "twice"),
    ],
)
def test_headers_that_cannot_be_read_are_refused(headers: bytes, said: str) -> None:
    with pytest.raises(BadMessage, match=said):
        read(with_headers(headers))


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_refused(data: bytes) -> None:
    with suppress(BadMessage):
        read(data)


@given(st.binary(max_size=60))
def test_any_headers_behind_true_checksums_are_read_or_refused(headers: bytes) -> None:
    with suppress(BadMessage):
        assert [one.payload for one in read(with_headers(headers))] == [b"{}"]
