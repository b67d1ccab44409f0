"""What is recorded of one attempt, and does it fit?

A row is never longer than its slot (intents.py), and its numbers are small enough that sums of them cannot overflow.
"""

import msgspec
from msgspec import Struct

# Flags of a row, a bit each.
ESTIMATED = 1  # its tokens and its cost are not what the provider said
UNPRICED = 2  # nobody knows the price: its cost is a guess
CRASHED = 4  # pillion ended before the attempt did
ABSURD = 8  # the provider's counts are impossible
STREAM = 16

TOKENS = ("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "output", "reasoning", "audio_output")
TEXTS = ("request", "client", "dialect", "operation", "provider", "model", "source", "error")

LONGEST = 504  # bytes of an encoded row
MOST_TOKENS = 2**40 - 1  # of one kind; `_is_fit` needs all of its bits to be ones
MOST_NANOS = 10**15  # a million dollars for one attempt

_CUTS = (96, 48, 24)  # bytes to which a row's texts are cut, one after the other, until it fits


class Row(Struct, array_like=True, gc=False):
    """One attempt that reached a provider."""

    id: int  # grows, and is never given twice
    at: float  # seconds since 1970: when it began
    request: str
    attempt: int
    client: str
    dialect: str
    operation: str
    provider: str
    model: str
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    output: int
    reasoning: int
    audio_output: int
    nanos: int  # dollars * 10**9
    source: str  # of the price
    duration: float  # seconds
    first_byte: float  # seconds
    status: int
    error: str  # its kind and code, or nothing
    flags: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


def spelled(row: Row) -> bytes:
    """The encoded row, at most LONGEST bytes. What is too long or cannot be encoded is cut, in the row itself."""
    try:
        if len(said := _encode(row)) <= LONGEST:
            return said
    except (OverflowError, UnicodeEncodeError):
        fit(row)
    for longest in _CUTS:
        for name in TEXTS:
            setattr(row, name, _cut(getattr(row, name), longest))
        if len(_encode(row)) <= LONGEST:
            break
    return _encode(row)


def read(said: bytes) -> Row:
    """Raises ValueError."""
    return _decode(said)


def fit(row: Row) -> Row:
    """The same row with numbers that can be summed; it is marked where they had to be changed."""
    if not _is_fit(row):
        for name in TOKENS:
            setattr(row, name, min(max(getattr(row, name), 0), MOST_TOKENS))
        row.nanos = min(max(row.nanos, 0), MOST_NANOS)
        row.flags |= ABSURD
    return row


def _is_fit(row: Row) -> bool:
    """The bitwise or of all counts is negative if any of them is, and has as many bits as the longest."""
    said = row.input | row.cache_read | row.cache_write | row.cache_write_1h
    heard = row.audio_input | row.output | row.reasoning | row.audio_output
    return 0 <= said | heard <= MOST_TOKENS and 0 <= row.nanos <= MOST_NANOS


def _cut(text: str, longest: int) -> str:
    """At most so many bytes of UTF-8; half a character (a lone surrogate) becomes a question mark."""
    said = text.encode("utf-8", "replace")
    if len(said) > longest:
        return said[: longest - 3].decode("utf-8", "ignore") + "…"
    return said.decode()
