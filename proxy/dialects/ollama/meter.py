"""What does an answer that passes through cost, and is it complete?

The first line names the model and the last one has the counts; the lines between them are not parsed. That is safe:
inside a JSON string every quote is escaped, so `"done":` can only be a key.
"""

import re

from proxy.canon import Usage
from proxy.dialects.ollama.faults import fault
from proxy.dialects.ollama.usage import usage_of
from proxy.errors import UpstreamError
from proxy.grammar import whole
from proxy.grammar.fields import Object, as_text, object_in

MAX_LINE = 4 * 1024 * 1024  # bytes; a line with counts is far shorter, unless /api/generate adds its `context`

_tells = re.compile(rb'"done"\s*:\s*true|"error"\s*:').search


class StreamMeter:
    """Watches a stream. It is finished after the line that says `done`."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.error: UpstreamError | None = None
        self._parts: list[bytes] = []  # of the unfinished line
        self._held = 0  # the length of these parts, in bytes

    @property
    def over(self) -> bool:
        return self.finished

    def feed(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            self._look(b"".join([*self._parts, data[:end]]))
            self._parts, self._held = [], 0
        self._parts.append(data[end:])
        self._held += len(data) - end
        if self._held > MAX_LINE:
            self._parts, self._held = [], 0

    def close(self) -> None:
        """The end of the stream. A line that it cut off counts, as it does for the decoder."""
        self._look(b"".join(self._parts))
        self._parts = []

    def _look(self, lines: bytes) -> None:
        if not self.model:
            self.model = as_text(object_in(lines.lstrip().partition(b"\n")[0]).get("model"))
        if _tells(lines):
            for line in lines.split(b"\n"):
                if not self.finished and _tells(line):
                    self._line(object_in(line))

    def _line(self, line: Object) -> None:
        if line.get("error") and self.error is None:
            self.error = fault(line["error"])
        elif line.get("done") is True:
            self.finished = True
            self.usage = usage_of(line)


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        said = object_in(body)
        self.finished = bool(said)
        self.usage = usage_of(said)
        self.model = as_text(said.get("model"))
        if said.get("error"):
            self.error = fault(said["error"])
