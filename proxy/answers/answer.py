"""What is kept of an answer, so that it can be given again?

Its bytes, where each chunk of a stream ended, and the lines of its head that stay true whenever it is given. A file has
a digest in its first line, a line of JSON after that, and then the bytes: a file that is not whole is no answer.
"""

import asyncio
import re
from array import array
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import lru_cache
from hashlib import sha256

import msgspec
from msgspec import Struct

from proxy.ports import Headers

VERSION = 1
OVERHEAD = 1024  # bytes that an answer takes besides its contents, about
TURN = 64 * 1024  # bytes of a stream after which other tasks have their turn

# Headers that were true only once: an answer's id, its time, and what was left of a limit just then.
_is_of_one_time = re.compile(
    r".*rate-?limit.*|retry-after.*|date|age|expires|server-timing|.*trace.*|.*request-?id|.*invocation-id|cf-ray"
    r"|.*-cache|cf-cache-status|.*latency.*|.*-ms|.*-time|x-pillion-(?!estimated$).*"
).fullmatch


class Answer(Struct, frozen=True, kw_only=True):
    """`ends`: where each chunk of a stream ended; None if it was no stream, or came whole."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    ends: "array[int] | None" = None
    dropped: tuple[str, ...] = ()  # the receipt of the request, and of the answer

    @property
    def weight(self) -> int:
        """Bytes that it takes."""
        lines = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.body) + 4 * len(self.ends or ()) + lines + OVERHEAD

    def again(self) -> bytes | AsyncGenerator[bytes]:
        return self.body if self.ends is None else _replayed(self.body, self.ends)


class _Head(Struct, forbid_unknown_fields=True):
    version: int
    headers: tuple[tuple[str, str], ...]
    ends: list[int] | None
    dropped: tuple[str, ...]


_read_head = msgspec.json.Decoder(_Head).decode


def streamed(headers: Sequence[tuple[str, str]], chunks: Sequence[bytes], dropped: tuple[str, ...]) -> Answer:
    ends, end = array("I"), 0
    for chunk in chunks:
        end += len(chunk)
        ends.append(end)
    return Answer(headers=tuple(headers), body=b"".join(chunks), ends=ends, dropped=dropped)


def lasting(headers: Iterable[tuple[str, str]]) -> Headers:
    """The lines of a head that stay true whenever its answer is given."""
    return [line for line in headers if _lasts(line[0])]


def to_file(answer: Answer) -> bytes:
    """The contents of its file. Raises UnicodeEncodeError: its head has bytes that are no text."""
    ends = None if answer.ends is None else answer.ends.tolist()
    head = msgspec.json.encode(_Head(VERSION, answer.headers, ends, answer.dropped))
    rest = head + b"\n" + answer.body
    return sha256(rest).hexdigest().encode() + b"\n" + rest


def from_file(data: bytes) -> Answer | None:
    """From the contents of its file; None where they are no answer."""
    digest, _, rest = data.partition(b"\n")
    if digest != sha256(rest).hexdigest().encode():
        return None
    line, _, body = rest.partition(b"\n")
    try:
        head = _read_head(line)
        ends = None if head.ends is None else array("I", head.ends)
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
        return None
    if head.version != VERSION:
        return None
    return Answer(headers=head.headers, body=body, ends=ends, dropped=head.dropped)


async def _replayed(body: bytes, ends: Sequence[int]) -> AsyncGenerator[bytes]:
    """In the chunks in which it came, as fast as they are taken."""
    start = turn = 0
    for end in ends:
        yield body[start:end]
        start = end
        if end - turn >= TURN:
            turn = end
            await asyncio.sleep(0)


@lru_cache(maxsize=1024)
def _lasts(name: str) -> bool:
    return _is_of_one_time(name) is None
