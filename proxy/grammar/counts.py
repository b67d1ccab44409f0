"""Which of the tokens that a provider says it counted can be believed, and in which tier?"""

from collections.abc import Iterable
from math import ceil

from proxy.grammar.fields import Object

SANE = 10**8  # tokens of one kind, in one request: ten times the longest context that any model has

# Anthropic's words: https://platform.claude.com/docs/en/build-with-claude/data-residency
_ANYWHERE = ("", "global", "not_available")


def count_of(value: object) -> int:
    """A number of tokens; 0 for anything that cannot be one (negative, huge, a string). A part of one is one."""
    if type(value) is not int and type(value) is not float:
        return 0
    return ceil(value) if 0 <= value <= SANE else 0


def are_counts(told: Object, keys: Iterable[str]) -> bool:
    """Is each of these a number of tokens, or absent? Anything else counts as 0, and should be flagged."""
    for key in keys:
        if key in told:
            value = told[key]
            if not (type(value) is int and 0 <= value <= SANE) and not _is_rare_count(value):
                return False
    return True


def is_null_beside(told: Object, read: str, written: str) -> bool:
    """Is one of the two null while the other has a value? Then it is unknown, and not 0; an absent one may be 0."""
    return read in told and written in told and (told[read] is None) != (told[written] is None)


def placed(tier: str, place: str) -> str:
    """A service tier, with the region to which inference is restricted, if any: "standard@us" costs more."""
    return tier if place in _ANYWHERE else f"{tier or 'standard'}@{place}"


def _is_rare_count(value: object) -> bool:
    return value is None or (type(value) is float and 0 <= value <= SANE and value.is_integer())


def others_in(told: Object, known: set[str]) -> Object:
    """All but the known fields. Null means absent."""
    if told.keys() <= known:
        return {}
    return {key: value for key, value in told.items() if key not in known and value is not None}
