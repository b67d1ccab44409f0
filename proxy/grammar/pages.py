"""Which part of a list of names is asked for, and is there more after it?

A page begins after the name that ended the one before. A request without a size gets all that is left: no list here is
so long that it must be cut.
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
    """`size`, `after` and `before`: this wire's names for those parameters. Raises BadRequest."""
    count = _count(query[size], size) if query.get(size) else len(names)
    if before and query.get(before):
        left = names[: _place(names, query[before], before)]
        return Page(left[-count:], len(left) > count)
    left = names[_place(names, query[after], after) + 1 :] if query.get(after) else names
    return Page(left[:count], len(left) > count)


def _count(text: str, key: str) -> int:
    if not _is_count(text):
        raise wrong_word(key, "a number from 1 to 1000", text)  # a larger number gives more: vendors stop there
    return int(text)


def _place(names: Sequence[str], name: str, key: str) -> int:
    if name not in names:
        raise wrong_word(key, "a value that an earlier page returned", name)
    return names.index(name)
