"""How does a client recognise that its conversation is too long?

Wires without a code for it have a sentence, and agents (Claude Code, Strands, Pydantic AI) shorten the conversation
only when they read that one.
"""

import re
from collections.abc import Callable

from proxy.errors import GatewayError


def in_words_of(vendor: str, known: str) -> Callable[[GatewayError], str]:
    """How a message is worded for the client: if it means this in other words, the vendor's sentence is put before it.

    `known`: a pattern of the vendor's words.
    """
    is_said = re.compile(known, re.IGNORECASE).search

    def told(error: GatewayError) -> str:
        if error.code != "context_length_exceeded" or is_said(error.message):
            return error.message
        return f"{vendor}: {error.message}"

    return told
