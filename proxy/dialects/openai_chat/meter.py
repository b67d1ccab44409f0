"""What does an answer that passes through cost, and did it end?

A stream is watched event by event, and nearly every event is passed over on the strength of a few substring tests.
They are safe: inside a JSON string every quote is escaped, so `"usage"` can only be a key or a whole value. The first
event without news teaches how this host spells that (`"finish_reason":null}],"usage":null`), and an event that has
just this, once, and no usage elsewhere, has none either. (An error comes without choices, or as a finish_reason.)
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from proxy.canon import Usage
from proxy.dialects.openai_chat.faults import fault
from proxy.dialects.openai_chat.usage import said_usage
from proxy.dialects.openai_chat.words import MAX_WHOLE, UNREADABLE
from proxy.errors import UpstreamError
from proxy.fields import as_object

MAX_EVENT = 1024 * 1024  # bytes; a longer event is an image or a sound, and holds no usage worth waiting for


class _Said(Struct):
    """What a meter reads of a chunk, or of a whole answer; of any type, since any bytes may come."""

    model: Any = None
    usage: Any = None
    choices: Any = None
    error: Any = None
    x_groq: Any = None

    def finish_reasons(self) -> Iterator[str]:
        for choice in self.choices if isinstance(self.choices, list) else ():
            reason = as_object(choice).get("finish_reason")
            if isinstance(reason, str) and reason:
                yield reason


read = msgspec.json.Decoder(_Said).decode
_TOLD = re.compile(rb'"(?:usage|finish_reason|error)"\s*:\s*(?!null|\s)|\[DONE\]')
_DULL = re.compile(rb'"finish_reason"\s*:\s*null(?:[^"]*"usage"\s*:\s*null)?')
_BOM = b"\xef\xbb\xbf"


class StreamMeter:
    """Watches a stream. Finished: [DONE], or a finish_reason, since some hosts leave [DONE] out."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._done = False
        self._parts: list[bytes] = []  # of the event that is still open
        self._held = 0  # their bytes
        self._after_cr = False
        self._dull = b"\0"  # what an event without news says here of finish_reason and usage; no JSON holds a NUL
        self._dull_has_usage = False

    def feed(self, data: bytes) -> None:
        if (  # one event, in one line, that says what the dull ones said before: no need to look closer
            self._dull in data
            and data.endswith(b"}\n\n")
            and data.count(b"\n") == 2
            and data.count(b'"finish_reason"') == 1
            and (self._dull_has_usage or b'"usage"' not in data)
            and not self._parts
        ):
            return
        if b"\r" in data or self._after_cr:
            data = self._unify(data)
        if b"\n" not in data:
            self._keep(data)
            return
        if self._parts:
            data = b"".join([*self._parts, data])
            self._parts, self._held = [], 0
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._keep(data)
            return
        if end < len(data):
            self._keep(data[end:])
            data = data[:end]
        self._look(data)

    def close(self) -> None:
        """The end of the stream: an event that it cut off counts, as it does for the decoder."""
        self._look(b"".join(self._parts))

    def _unify(self, data: bytes) -> bytes:
        """LF for every line end. A CR that ends the data is one at once; its LF, should one come, is passed over."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, data: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        if self._held > MAX_EVENT:  # passed over: what is left of it is no whole line of data
            self._parts, self._held = [data[-1:]], 1  # this byte may be half of the blank line that ends it

    def _look(self, data: bytes) -> None:
        for event in data.split(b"\n\n"):
            if not self.model or _TOLD.search(event):
                self._event(event)
            elif dull := _DULL.search(event):
                self._dull, self._dull_has_usage = dull[0], b'"usage"' in dull[0]

    def _event(self, event: bytes) -> None:
        payload = payload_of(event)
        if not payload or self._done:
            return
        if payload == b"[DONE]":
            self._done = self.finished = True
            return
        try:
            said = read(payload)
        except UNREADABLE:
            return
        self.usage = said_usage(said.usage, said.x_groq) or self.usage
        if not self.model and isinstance(said.model, str):
            self.model = said.model
        reasons = set(said.finish_reasons())
        if "error" in reasons or (said.error and not said.choices):
            self.error = fault(said.error)
        if reasons - {"error"}:
            self.finished = True


class WholeMeter:
    """Watches an answer that comes whole. Finished: its bytes are a JSON object."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> None:
        self._held += len(data)
        if self._held <= MAX_WHOLE:
            self._parts.append(data)

    def close(self) -> None:
        if self._held > MAX_WHOLE:
            return
        try:
            said = read(b"".join(self._parts))
        except UNREADABLE:
            return
        self.finished = True
        self.usage = said_usage(said.usage, said.x_groq)
        self.model = said.model if isinstance(said.model, str) else ""
        if said.error and not said.choices:
            self.error = fault(said.error)


def payload_of(event: bytes) -> bytes:
    """The data lines of one event, joined."""
    lines = event.removeprefix(_BOM).splitlines()
    return b"\n".join([line[5:] for line in lines if line.startswith(b"data:")]).strip()
