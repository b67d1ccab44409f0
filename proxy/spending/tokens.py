"""About how many tokens has a text or an image, where nobody has counted them?

A text has as many as tokenisers make of prose and of code, on average. Good enough for an estimate, and never for a
bound.
"""

from math import ceil

BYTES_PER_TOKEN = 4  # of ASCII, and of JSON
BYTES_PER_WIDE_TOKEN = 3  # of any other text
IMAGE = 1100  # https://platform.claude.com/docs/en/build-with-claude/vision: of some 900 x 900 pixels
ANSWER = 1000  # tokens of an answer that may be of any length


def tokens_in(text: str) -> int:
    if text.isascii():
        return ceil(len(text) / BYTES_PER_TOKEN)
    return ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_WIDE_TOKEN)
