"""What of a provider's message is repeated to a client?

No key: a host may repeat the one that it refused, whole or masked, and that key is ours. The form alone shows a masked
one, or one that we do not know.
"""

import re

LONGEST = 2000  # characters that are worth repeating

# Google's begin with AIza, AQ. and ya29.; all others that are known have a word of their vendor's before a dash.
_key = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|xai|pplx|hf|r8|fw|csk|nvapi|tgp)[-_]|AIza)[\w*-]{6,}|\bAQ\.[\w-]{6,}|\bya29\.[\w.-]{6,}"
)
_escape = re.compile(r"(?<!\\)\\+u00([0-7][0-9a-fA-F])")  # it looks behind, so that a long run is searched once


def repeated(message: str) -> str:
    """The message without keys, cut to length."""
    return _key.sub("***", message)[:LONGEST]


def unescaped(text: str) -> str:
    """JSON with its ASCII characters as they are, however deep it is quoted: for looking at, not for reading."""
    return _escape.sub(lambda found: chr(int(found[1], 16)), text).replace("\\/", "/") if "\\" in text else text


def shows_key(text: str) -> bool:
    return _key.search(text) is not None
