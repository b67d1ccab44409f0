"""Which events say again what the one before said, but for one string?

Most of a stream's do. They are read without a parser, and many at once: as long as the rest stands byte for byte as it
did, the string is all there is to take.
"""

import re

import msgspec

BEGINNING = b'data: {"'  # of any event, nearly: what tells one kind from another is rather how it ends
NEEDLE = 40  # bytes; the longer it is, the longer CPython prepares each search
MISSES = 20  # times that a stream may be learned anew

_string = msgspec.json.Decoder(str).decode
_is_plain = re.compile(rb"[ !#-\[\]-~]*").fullmatch  # says itself
_is_word = re.compile(r"[ A-Za-z0-9.,]{2,}").fullmatch  # has one spelling, and is no part of a chunk's own words


class Repeats:
    """Events that differ from the one before in one string alone, as most of a stream's do: read without a parser.

    data: {"content":"Hel"}\\n\\ndata: {"content":"lo"}\\n\\n
    ------- head -----   ------- seam --------   - end -
    """

    __slots__ = ("_after", "_before", "_end", "_head", "_mark", "_misses", "_seam")

    def __init__(self) -> None:
        self._head = self._end = self._seam = b""
        self._mark = b""  # the middle of the seam, short enough to be looked for fast
        self._before = self._after = 0  # bytes of the seam on either side of it
        self._misses = 0

    def run(self, whole: bytes, at: int) -> tuple[str, int]:
        """The strings, joined, of the events from `at` on whose rest is what `learn` was told of, and where they end.

        `whole`: events as they stand, each with its blank line.
        """
        head, end, seam = self._head, self._end, self._seam
        if not head or not whole.startswith(head, at):
            return "", at
        if whole.endswith(end) and len(whole) - at >= len(head) + len(end):  # one event alone, as while it comes slowly
            string = whole[at + len(head) : len(whole) - len(end)]
            if _is_plain(string):
                return string.decode(), len(whole)
        *parts, rest = whole[at + len(head) - self._after :].split(self._mark)
        strings = [part[self._after : len(part) - self._before] for part in parts]
        last, closed, _ = rest[self._after :].partition(end)
        if closed:
            strings.append(last)
        while strings and not whole.startswith(head + seam.join(strings) + end, at):
            strings = strings[: len(strings) // 2]  # one among them is another, but for the mark
        joined = b"".join(strings)
        if _is_plain(joined):
            text = joined.decode()
        else:
            strings, text = _texts(strings, end)
        return text, at + len(strings) * len(seam) + sum(map(len, strings))

    def learn(self, event: bytes, text: str) -> None:
        """`event` said `text`, and nothing else that is new. A stream that never repeats is soon left alone."""
        self.forget()
        spelled = b'"%b"' % text.encode("utf-8", "replace")
        if self._misses > MISSES or not _is_word(text) or event.count(spelled) != 1:
            return
        before, _, after = event.partition(spelled)
        if not after.lstrip().startswith(b":"):  # else it is a key
            self._head, self._end = before + b'"', b'"%b\n\n' % after
            self._seam = self._end + self._head
            self._before = max(0, len(self._end) - NEEDLE + len(BEGINNING))
            self._mark = self._seam[self._before :][:NEEDLE]
            self._after = len(self._seam) - self._before - len(self._mark)
            self._misses += 1

    def forget(self) -> None:
        self._head = b""


def _texts(strings: list[bytes], end: bytes) -> tuple[list[bytes], str]:
    """As many of them as are one JSON string each, and what those say. Events of another kind may follow in one."""
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
