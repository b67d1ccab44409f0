"""What of a provider's message is repeated to a client?

No key: a host may repeat the one that it refused, whole or masked, and that key is ours. The form alone shows a masked
one, or one that we do not know. Some models have names of that form (`hf-...`, `fw-...`): what the request itself calls
its model is no key.
"""

import re
from collections.abc import Sequence

LONGEST = 2000  # characters that are worth repeating

# Google's begin with AIza, AQ. and ya29.; all others that are known have a word of their vendor's before a dash.
_key = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|xai|pplx|hf|r8|fw|csk|nvapi|tgp)[-_]|AIza)[\w*-]{6,}|\bAQ\.[\w-]{6,}|\bya29\.[\w.-]{6,}"
)
_escape = re.compile(r"(?<!\\)\\+u00([0-7][0-9a-fA-F])")  # it looks behind, so that a long run is searched once


def repeated(message: str, names: Sequence[str] = ()) -> str:
    """The message without keys, cut to length. `names`: of the request's model."""
    return _key.sub(lambda found: found[0] if _is_named(found, names) else "***", message)[:LONGEST]


def unescaped(text: str) -> str:
    """JSON with its ASCII characters as they are, however deep it is quoted: for looking at, not for reading."""
    return _escape.sub(lambda found: chr(int(found[1], 16)), text).replace("\\/", "/") if "\\" in text else text


def shows_key(text: str, names: Sequence[str]) -> bool:
    return any(not _is_named(found, names) for found in _key.finditer(text))


def _is_named(found: re.Match[str], names: Sequence[str]) -> bool:
    """Does it stand within one of these names? A name that is part of it proves nothing."""
    (start, end), text = found.span(), found.string
    return any(found[0] in name and text.find(name, max(end - len(name), 0), start + len(name)) >= 0 for name in names)
