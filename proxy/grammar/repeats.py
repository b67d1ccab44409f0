"""Which events repeat the one before but for one string?

Most of a stream's do. They are read without a parser, and many at once: while all the other bytes stay the same, that
string is all there is to extract.
"""

import re
from operator import itemgetter

import msgspec

BEGINNING = b'data: {"'  # of nearly every event: one kind differs from another rather in its end
NEEDLE = 40  # bytes; CPython takes longer to prepare the search for a longer one
MISSES = 20  # how often a stream may be learned again

_string = msgspec.json.Decoder(str).decode
_is_plain = re.compile(rb"[ !#-\[\]-~]*").fullmatch  # JSON without escapes, so it stands for itself
_is_word = re.compile(r"[ A-Za-z0-9.,]{2,}").fullmatch  # has one spelling, and is no part of a chunk's own words


class Repeats:
    """Reads events that differ from the one before in one string alone.

    data: {"content":"Hel"}\\n\\ndata: {"content":"lo"}\\n\\n
    ------- head -----   ------- seam --------   - end -
    """

    __slots__ = ("_after", "_before", "_end", "_head", "_mark", "_misses", "_seam")

    def __init__(self) -> None:
        self._head = self._end = self._seam = b""
        self._mark = b""  # the middle of the seam, short enough for a fast search
        self._before = self._after = 0  # bytes of the seam on either side of it
        self._misses = 0

    def run(self, whole: bytes, at: int) -> tuple[str, int]:
        """The joined strings of the events from `at` on that look like the one `learn` was given, and where those end.

        `whole`: complete events, each with its blank line.
        """
        head, end, seam = self._head, self._end, self._seam
        if not head or not whole.startswith(head, at):
            return "", at
        if whole.endswith(end) and len(whole) - at >= len(head) + len(end):  # a single event, as in a slow stream
            string = whole[at + len(head) : len(whole) - len(end)]
            if _is_plain(string):
                return string.decode(), len(whole)
        start, stop = self._after, -self._before or None
        *parts, rest = whole[at + len(head) - start :].split(self._mark)
        strings = list(map(itemgetter(slice(start, stop)), parts))
        last, closed, _ = rest[start:].partition(end)
        if closed:
            strings.append(last)
        while strings and not whole.startswith(head + seam.join(strings) + end, at):
            strings = strings[: len(strings) // 2]  # one of them differs, though it has the mark
        joined = b"".join(strings)
        if _is_plain(joined):
            text = joined.decode()
        else:
            strings, text = _texts(strings, end)
        return text, at + len(strings) * len(seam) + sum(map(len, strings))

    def learn(self, event: bytes, text: str) -> None:
        """`event` said `text`, and nothing else new. A stream that never repeats is soon given up."""
        self.forget()
        spelled = b'"%b"' % text.encode("utf-8", "replace")
        if self._misses > MISSES or not _is_word(text) or event.count(spelled) != 1:
            return
        before, _, after = event.partition(spelled)
        if not after.lstrip().startswith(b":"):  # otherwise it is a key
            self._head, self._end = before + b'"', b'"%b\n\n' % after
            self._seam = self._end + self._head
            self._before = max(0, len(self._end) - NEEDLE + len(BEGINNING))
            self._mark = self._seam[self._before :][:NEEDLE]
            self._after = len(self._seam) - self._before - len(self._mark)
            self._misses += 1

    def forget(self) -> None:
        self._head = b""


def _texts(strings: list[bytes], end: bytes) -> tuple[list[bytes], str]:
    """The leading ones that are one JSON string each, and their texts. The last may have events of another kind behind
    it.
    """
    read: list[bytes] = []
    texts: list[str] = []
    for string in strings:
        inside, closed, _ = string.partition(end)
        try:
            texts.append(_string(b'"%b"' % inside))
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        read.append(inside)
        if closed:
            break
    return read, "".join(texts)
