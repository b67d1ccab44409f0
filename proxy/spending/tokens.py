"""About how many tokens has a text or an image, where nobody has counted them?

A text has as many as tokenisers make of prose and of code, on average. Good enough for an estimate, and never for a
bound.
"""

from math import ceil

BYTES_PER_TOKEN = 4  # of ASCII, and of JSON
BYTES_PER_WIDE_TOKEN = 3  # of any other text
IMAGE = 1100  # https://platform.claude.com/docs/en/build-with-claude/vision: of some 900 x 900 pixels
ANSWER = 1000  # tokens of an answer that may be of any length


class Length:
    """Of what comes in pieces: it has as many tokens wherever it is cut."""

    def __init__(self) -> None:
        self._bytes = 0
        self._is_wide = False  # not all of it is ASCII

    def add(self, text: str) -> None:
        if text.isascii():
            self._bytes += len(text)
        else:
            self._is_wide = True
            self._bytes += len(text.encode("utf-8", "surrogatepass"))

    @property
    def tokens(self) -> int:
        return ceil(self._bytes / (BYTES_PER_WIDE_TOKEN if self._is_wide else BYTES_PER_TOKEN))


def tokens_in(text: str) -> int:
    length = Length()
    length.add(text)
    return length.tokens
