"""How does a client of chat completions learn what its answer took?

From an object `pillion`. It is the last key of a whole answer. In a stream it has its own chunk before `[DONE]`, since
only then everything is known. Like the chunk with the usage it has no choices, so that every client knows what to do
with it: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from proxy.framing import data_of, sse
from proxy.grammar.fields import Object, dump, object_in

KEY = "pillion"

_is_empty = re.compile(rb"\s*\{\s*\}\s*").fullmatch
# The event that ends a stream: a `data: [DONE]` line, and the other lines that may precede it in the same event. No
# text of an answer can look like it, as a JSON string holds no line ends.
_end = re.compile(
    rb"(?<![^\r\n])(?:(?:event|id|retry)?:[^\r\n]*+(?:\r\n|\r|\n)){0,4}+data:[ \t]*\[DONE\][ \t]*(?![^\r\n])"
).search
_chunk = re.compile(rb'(?<![^\r\n])data:[^\r\n]*"choices"[^\r\n]*').search
_SHARED = ("id", "created", "model")  # the same in all chunks of a stream
_BLANK = (b"\n\n", b"\r\n\r\n", b"\r\r")


def summarised(body: bytes, summary: Mapping[str, Any]) -> bytes:
    """The answer with one more key. If it has the same key already, parsers keep ours, as it comes last."""
    close = body.rindex(b"}")
    comma = b"" if _is_empty(body) else b","
    return b'%b%b"%b":%b%b' % (body[:close], comma, KEY.encode(), dump(summary), body[close:])


class SummaryCoda:
    """For one stream, in whole events. If a host leaves out [DONE], our chunk comes last."""

    def __init__(self, tell: Callable[[], Mapping[str, Any]]) -> None:
        self._tell = tell
        self._shared: Object = {}
        self._is_open = self._told = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """In pieces, so that the answer's taps have seen all of it before `tell` is asked what it took."""
        if not self._shared.get("id") and (found := _chunk(data)):  # Azure's first chunk has none
            said = object_in(data_of(found[0]))
            self._shared = {key: said[key] for key in _SHARED if key in said}
        self._is_open = not data.endswith(_BLANK)
        if self._told or b"[DONE]" not in data or (end := _end(data)) is None:
            yield data
            return
        if before := data[: end.start()]:
            yield before
        yield self._said() + data[end.start() :]

    def close(self) -> bytes:
        if self._told:
            return b""
        return (b"\n\n" if self._is_open else b"") + self._said()

    def _said(self) -> bytes:
        self._told = True
        chunk = {"object": "chat.completion.chunk", "choices": [], KEY: self._tell()}
        return sse(dump(self._shared | chunk))
