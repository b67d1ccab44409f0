"""By what does a client see that its conversation is too long?

The wires that have no code for it have a sentence, and agents shorten the conversation where they read that one and no
other: Claude Code, Strands, Pydantic AI.
"""

import re
from collections.abc import Callable

from proxy.errors import GatewayError


def in_words_of(vendor: str, known: str) -> Callable[[GatewayError], str]:
    """What a message is told as: behind the vendor's sentence, where that is what it means and it has no words of its.

    `known`: a pattern of those words.
    """
    is_said = re.compile(known, re.IGNORECASE).search

    def told(error: GatewayError) -> str:
        if error.code != "context_length_exceeded" or is_said(error.message):
            return error.message
        return f"{vendor}: {error.message}"

    return told
