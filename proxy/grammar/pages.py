"""Which part of a list of names is asked for, and is there more behind it?

A page begins behind the name with which the one before it ended. Who names no size gets all that is left: no list here
is so long that it must be cut.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.grammar.fields import wrong_word

_is_count = re.compile(r"[1-9]\d{0,6}", re.ASCII).fullmatch


class Page(NamedTuple):
    names: Sequence[str]
    more: bool = False  # in the direction that was asked for


def page_of(names: Sequence[str], query: Mapping[str, str], size: str, after: str, before: str = "") -> Page:
    """`size`, `after` and `before`: what this wire calls them. Raises BadRequest."""
    count = _count(query[size], size) if query.get(size) else len(names)
    if before and query.get(before):
        left = names[: _place(names, query[before], before)]
        return Page(left[-count:], len(left) > count)
    left = names[_place(names, query[after], after) + 1 :] if query.get(after) else names
    return Page(left[:count], len(left) > count)


def _count(text: str, key: str) -> int:
    if not _is_count(text):
        raise wrong_word(key, "a number from 1 to 1000", text)  # who asks for more gets them: vendors give no more
    return int(text)


def _place(names: Sequence[str], name: str, key: str) -> int:
    if name not in names:
        raise wrong_word(key, "where an earlier page ended", name)
    return names.index(name)
