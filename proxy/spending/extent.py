"""How dear may a request become, before anybody has answered it?

By what its wire says of the answer's length. What has no bound is said so: a tool that the provider runs, state that
lies at the provider, a file that is named by its URL or id. A token is a byte at least, so no text has more of the one
than of the other.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from proxy.envelope import Envelope
from proxy.ports import Bounds

# A value, not a word in a text: there the quotes would be escaped.
_elsewhere = re.compile(
    rb'"(?:url|image_url|file_url|file_?uri|uri)"\s*:\s*"(?!data:)|"file_?id"\s*:\s*"|"s3_?location"\s*:', re.IGNORECASE
).search
_HINTS = (b"://", b"file_id", b"fileId", b"file_uri", b"fileUri", b"s3Location")  # one stands in each of them


class Extent(NamedTuple):
    """Tokens: `input` is never less than what is read, `output` what is written at most, None where nobody knows."""

    input: int
    output: int | None
    is_open: bool  # something in it costs what it will


def extent(envelope: Envelope, bounds: Bounds, longest: int | None) -> Extent:
    """`longest`: the tokens of an answer where the request does not say it. Raises BadRequest."""
    output = next((n for path in bounds.output if (n := _count(_at(envelope, path))) is not None), longest)
    choices = _count(_at(envelope, bounds.choices)) if bounds.choices else 1
    is_open = any(_says(envelope, key) for key in bounds.state) or _has_foreign_tools(envelope, bounds)
    is_open = is_open or _points_elsewhere(envelope.body)
    return Extent(len(envelope.body), None if output is None else output * max(choices or 1, 1), is_open)


def tier(said: Envelope | Mapping[str, Any], bounds: Bounds) -> str:
    """In which a request asks to be served, in the words of its wire; "" in none but the standard one.

    Raises BadRequest.
    """
    for path in bounds.tiers if said else ():
        if path[0] in said and isinstance(word := _at(said, path), str) and word != "standard":
            return word
    return ""


def _at(said: Envelope | Mapping[str, Any], path: Sequence[str]) -> Any:
    value = said.get(path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _count(value: Any) -> int | None:
    """What is no number of tokens is the provider's to refuse."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _says(envelope: Envelope, key: str) -> bool:
    return key in envelope and envelope.raw(key) not in (b"null", b"[]", b'""')


def _has_foreign_tools(envelope: Envelope, bounds: Bounds) -> bool:
    if not bounds.tools or bounds.tools[0] not in envelope:
        return False
    tools = _at(envelope, bounds.tools)
    return isinstance(tools, list) and not all(_is_own(tool, bounds.own_tools) for tool in tools)


def _is_own(tool: Any, own: re.Pattern[str]) -> bool:
    """Does the client run it itself?"""
    if not isinstance(tool, Mapping):
        return False
    if isinstance(kind := tool.get("type"), str):
        return own.fullmatch(kind) is not None
    return "name" in tool or all(own.fullmatch(key) for key in tool)


def _points_elsewhere(body: bytes) -> bool:
    return any(hint in body for hint in _HINTS) and _elsewhere(body) is not None
