"""Which bytes of a stream must the client not see?

We ask for the usage of every stream. If the client did not ask for it, it does not get the chunk that holds nothing
else.
"""

import re

from proxy.dialects.openai_chat.meter import read
from proxy.framing import data_of
from proxy.grammar.fields import UNREADABLE

# A line end that follows a line end. A CR at the end of the bytes may be half of a CRLF, and has to wait for more.
_BLANK = re.compile(rb"[\r\n](?:(?<=\n)\n|\r(?:\n|(?=[^\n])))")
LONGEST = 64 * 1024  # bytes of an event that may be usage alone
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class UsageStrip:
    """Withholds the chunk that holds only usage, which we asked for and the client did not."""

    def __init__(self) -> None:
        self._held = bytearray()  # the event that is still open
        self._searched = 0  # so many of its bytes hold no blank line

    def feed(self, data: bytes) -> bytes:
        if (
            not self._held
            and data.endswith((b"\n\n", b"\r\n\r\n"))
            and (b'"usage"' not in data or not _NO_CHOICES.search(data))
        ):
            return data
        self._held += data
        out, start = [], 0
        for blank in _BLANK.finditer(self._held, max(0, self._searched - 3)):
            event = bytes(self._held[start : blank.end()])
            if not _is_usage_alone(event):
                out.append(event)
            start = blank.end()
        del self._held[:start]
        if len(self._held) > LONGEST:  # such an event need not wait
            out.append(bytes(self._held[:-3]))  # the last three bytes may be the beginning of a blank line
            del self._held[:-3]
        self._searched = len(self._held)
        return b"".join(out)

    def close(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return b"" if _is_usage_alone(held) else held


def _is_usage_alone(event: bytes) -> bool:
    if b'"usage"' not in event or not _NO_CHOICES.search(event):
        return False
    try:
        said = read(data_of(event))
    except UNREADABLE:
        return False
    return said.choices == [] and isinstance(said.usage, dict)
