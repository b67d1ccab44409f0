"""What is a document called that is sent to Bedrock?

Converse wants a name, of few kinds of character, and no name twice. The ending of a file's name has no place in it, and
stands in `format`. (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html)
"""

import re

from proxy.dialects.bedrock.words import TAKEN

_ILLEGAL = re.compile(r"[^A-Za-z0-9()\[\] -]+")
_LONGEST = 190  # of 200 characters, so that a number has room behind it
_NAMELESS = "document"


class Names:
    """Of one request's documents."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, said: str | None) -> str:
        """The nearest to what the client said."""
        first = name = _legal(_stem(said or "")) or _NAMELESS
        number = 1
        while name in self._given:
            number += 1
            name = f"{first} ({number})"
        self._given.add(name)
        return name


def _stem(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    return stem if ending.lower() in TAKEN["document"] else name


def _legal(name: str) -> str:
    """Blanks stand alone; what may not stand becomes a hyphen."""
    return _ILLEGAL.sub("-", " ".join(name.split()))[:_LONGEST].strip("- ")
