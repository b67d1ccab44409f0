"""Where does one AWS event-stream message end and the next begin, and is it intact?

Sans-I/O, both directions. https://smithy.io/2.0/aws/amazon-eventstream.html; all numbers are big-endian:

    total length (4) | length of the headers (4) | CRC-32 of these 8 (4) | headers | payload | CRC-32 of all before

A header is a name (its length in one byte), a type (one byte) and a value of that type. Bytes go in as they come, split
anywhere; whole messages come out.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

MAX_MESSAGE = 24 * 1024 * 1024  # bytes; the limit of AWS's own SDKs
MAX_HEADERS = 128 * 1024

PRELUDE = 12  # bytes before the headers
_LEAST = PRELUDE + 4  # a message with neither headers nor payload

_lengths = struct.Struct(">III").unpack_from
_checksum = struct.Struct(">I")
_short = struct.Struct(">H")

Value = bool | int | str | bytes

# The types of headers: the two that are themselves the value, those of a fixed size, and those that give their length.
_FLAGS = {0: True, 1: False}
_NUMBERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_NUMBERS[8] = struct.Struct(">q")  # a timestamp: milliseconds since 1970
_BYTES, _TEXT, _UUID = 6, 7, 9


class BadMessage(ValueError):
    """An impossible length, a wrong checksum, or unreadable headers: the stream is lost."""


class Message(NamedTuple):
    headers: dict[str, Value]
    payload: bytes


class Frames:
    """Bytes to whole messages as they stand, separated by their lengths; only the prelude is looked at."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._held = bytearray()
        self._wanted = PRELUDE  # bytes needed before there is anything to do

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises BadMessage."""
        held = self._held
        held += data
        while len(held) >= self._wanted:
            size = length_of(held, self._limit)
            if len(held) < size:
                self._wanted = size
                return
            frame = bytes(held[:size])
            del held[:size]
            self._wanted = PRELUDE
            yield frame

    def close(self) -> Iterator[bytes]:
        """The end of the bytes. Raises BadMessage where it cuts a message off."""
        if self._held:
            raise BadMessage("the stream ends in the middle of a message")
        return iter(())


class EventStream:
    """Bytes to Messages, every checksum verified."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._frames = Frames(limit)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Raises BadMessage."""
        return map(message_of, self._frames.feed(data))

    def close(self) -> Iterator[Message]:
        """Raises BadMessage where the end cuts a message off."""
        return map(message_of, self._frames.close())


def length_of(held: bytes | bytearray, limit: int = MAX_MESSAGE) -> int:
    """The whole length of the message that begins here; `held` has at least its prelude. Raises BadMessage."""
    size: int
    size, headers, checksum = _lengths(held)
    if crc32(held[:8]) != checksum:
        raise BadMessage("the checksum of a message's prelude is wrong")
    if size > limit:
        raise BadMessage(f"a message of {size} bytes is longer than {limit} bytes")
    if headers > MAX_HEADERS or headers + _LEAST > size:
        raise BadMessage(f"a message of {size} bytes cannot have {headers} bytes of headers")
    return size


def headers_in(frame: bytes) -> bytes:
    """The headers of a whole message, as they stand."""
    return frame[PRELUDE : PRELUDE + _lengths(frame)[1]]


def message_of(frame: bytes) -> Message:
    """A whole message, taken apart. Raises BadMessage."""
    if crc32(frame[:-4]) != _checksum.unpack(frame[-4:])[0]:
        raise BadMessage("the checksum of a message is wrong")
    headers = headers_in(frame)
    return Message(_headers_of(headers), frame[PRELUDE + len(headers) : -4])


def _headers_of(data: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    try:
        while at < len(data):
            start = at + 1
            at = start + data[at]
            name, kind = data[start:at].decode(), data[at]
            value, at = _value(kind, data, at + 1)
            if name in headers:
                raise BadMessage(f"a message has the header {name} twice")
            headers[name] = value
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BadMessage("the headers of a message are malformed") from None
    if at != len(data):
        raise BadMessage("a header is longer than the rest of the headers")
    return headers


def _value(kind: int, data: bytes, at: int) -> tuple[Value, int]:
    """A header's value, and where it ends."""
    if kind in _FLAGS:
        return _FLAGS[kind], at
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        return number.unpack_from(data, at)[0], at + number.size
    if kind == _UUID:
        return data[at : at + 16], at + 16
    if kind not in (_BYTES, _TEXT):
        raise BadMessage(f"a header is of unknown type {kind}")
    start = at + 2
    end = start + _short.unpack_from(data, at)[0]
    value = data[start:end]
    return value.decode() if kind == _TEXT else value, end


# --- the other direction ---------------------------------------------------------------------------------------------


def encode_message(headers: Iterable[tuple[str, str]], payload: bytes) -> bytes:
    return encode_frame(encode_headers(headers), payload)


def encode_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """The headers alone, for a caller that sends the same ones often. We only ever send text in them."""
    out = bytearray()
    for name, text in headers:
        key, value = name.encode(), text.encode()
        out += b"%c%b%c%b%b" % (len(key), key, _TEXT, _short.pack(len(value)), value)
    return bytes(out)


def encode_frame(headers: bytes, payload: bytes) -> bytes:
    """A message of headers that are encoded already."""
    lengths = struct.pack(">II", _LEAST + len(headers) + len(payload), len(headers))
    frame = b"%b%b%b%b" % (lengths, _checksum.pack(crc32(lengths)), headers, payload)
    return frame + _checksum.pack(crc32(frame))
