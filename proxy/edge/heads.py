"""What does the head of a message say, once llhttp has read it?

While llhttp reads, the lines are only collected: there are dozens, and to decode all of them at once costs a third.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache

Lines = Sequence[tuple[bytes, bytes]]  # names and values, as they came

BODILESS = frozenset({204, 304})  # statuses of answers without a body (RFC 9112, 6.3)
HEADS = 64  # heads whose names are remembered
LONG = 2048  # bytes of all names of a head; longer ones are not

_NO_NAMES: frozenset[str] = frozenset()


def headers_of(lines: Lines) -> tuple[dict[str, str], Collection[str]]:
    """Values by name, in lower case, and the names that came more than once, whose values are joined to one list
    (RFC 9110, 5.3). Blanks around values are gone (5.5). Bytes that are not UTF-8 go out again as they came.
    """
    if not lines:
        return {}, _NO_NAMES
    names, values = zip(*lines)  # noqa: B905  `strict` would cost more than the zip
    named = b"\n".join(names)
    keys = _known_keys(named) if len(named) < LONG else _keys(named)
    text = b"\n".join(values).decode("utf-8", "surrogateescape")
    texts = text.split("\n")  # llhttp lets no line end into either
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):  # llhttp leaves blanks at the end of a value
        texts = [each.rstrip(" \t") for each in texts]
    headers = dict(zip(keys, texts))  # noqa: B905
    return (headers, _NO_NAMES) if len(headers) == len(keys) else _joined(keys, texts)


def _keys(names: bytes) -> Sequence[str]:
    return names.decode("latin-1").lower().split("\n")


_known_keys = lru_cache(HEADS)(_keys)  # an app says the same names in each request, and a provider in each answer


def _joined(keys: Sequence[str], texts: Sequence[str]) -> tuple[dict[str, str], Collection[str]]:
    headers: dict[str, str] = {}
    repeated = set()
    for key, text in zip(keys, texts, strict=True):
        if key in headers:
            repeated.add(key)
            text = f"{headers[key]}, {text}"
        headers[key] = text
    return headers, repeated
