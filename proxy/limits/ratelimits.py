"""Which headers tell what is left of a rate limit, a provider's or ours?

OpenAI and others like it have `x-ratelimit-*`, and tell when a limit is full again as a duration (`6m0s`, `12ms`);
Anthropic has `anthropic-ratelimit-*`, and tells a point in time (RFC 3339); resets.py reads both. Each field is
translated by itself, and none is made up that the provider does not say, or says in a way that cannot be read. Its own
lines go on beside these.
https://platform.openai.com/docs/guides/rate-limits and https://platform.claude.com/docs/en/api/rate-limits
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import ceil

from proxy.limits.resets import MILLISECONDS, http_date, instant, seconds_from

Line = tuple[str, str]
Level = tuple[str, int, int, int]  # requests or tokens; their limit, what is left, nanoseconds until it is full
# Of a value, and the time in seconds since 1970, by our clock and by the provider's. "" where it cannot be read.
Reading = Callable[[str, float, float], str]

is_count = re.compile(r"\d{1,18}", re.ASCII).fullmatch


def translated(headers: Mapping[str, str], dialect_name: str, now: float) -> list[Line]:
    """The lines that a client of this wire looks for and the provider did not say itself.

    `headers`: the provider's, names in lower case. `now`: seconds since 1970. A point in time is by the provider's
    clock, which its date tells; the client goes by ours.
    """
    rows = [row for row in _ROWS.get(dialect_name, ()) if row[0] in headers]
    if not rows:
        return []
    date = http_date(headers.get("date", ""))
    then = now if date is None else date
    said = [(name, reading(headers[theirs], now, then)) for theirs, name, reading in rows]
    return [(name, value) for name, value in said if value and name not in headers]


def with_ours(lines: Sequence[Line], levels: Sequence[Level], dialect_name: str, now: float) -> list[Line]:
    """The lines of an answer, with what is left of our limits where its client looks for that.

    Where a provider has said that less is left of its own limit, that stays. `now`: seconds since 1970. The wire must
    have words for it (`has_words`).
    """
    words, spell = _WORDS[dialect_name]
    theirs, ours = dict(lines), {}
    for what, limit, left, full_in in levels:
        of_limit, of_left, of_reset = words[what]
        said = theirs.get(of_left)
        if said is None or not is_count(said) or int(said) > left:
            ours[of_limit], ours[of_left], ours[of_reset] = str(limit), str(left), spell(full_in, now)
    kept = lines if ours.keys().isdisjoint(theirs) else [line for line in lines if line[0] not in ours]
    return [*kept, *ours.items()]


def has_words(dialect_name: str) -> bool:
    """Has this wire headers for rate limits?"""
    return dialect_name in _WORDS


def seconds_until(value: str, now: float) -> float | None:
    """Until a limit is full again, in whichever spelling; None where it cannot be read."""
    seconds = seconds_from(value, now, MILLISECONDS)
    return None if seconds is None else max(0.0, seconds)


def _count(value: str, now: float, then: float) -> str:
    return value if is_count(value) else ""


def _moment(value: str, now: float, then: float) -> str:
    """When a duration is over. A bare number is Azure's, in milliseconds: of 120 a minute one is back after `500`."""
    seconds = seconds_until(value, then)
    return "" if seconds is None else _as_moment(now + seconds)


def _duration(value: str, now: float, then: float) -> str:
    """The duration until a point in time, to the millisecond."""
    moment = instant(value)
    return "" if moment is None else _as_duration(max(0, round((moment - then) * 1000)))


def _as_moment(at: float) -> str:
    """A whole second, as Anthropic has it, and never too soon."""
    return _spelled_moment(ceil(at))


@lru_cache(maxsize=256)
def _spelled_moment(second: int) -> str:
    try:
        return f"{datetime.fromtimestamp(0, UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return ""


def _as_duration(milliseconds: int) -> str:
    """As Go spells it."""
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest / 1000:g}s"


# OpenAI's name, Anthropic's, and how each value is made of the other. Anthropic's limits of input and of output tokens
# have no counterpart; its `tokens` are those of whichever is tighter.
_PAIRS: tuple[tuple[str, str, Reading, Reading], ...] = (
    ("x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit", _count, _count),
    ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining", _count, _count),
    ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset", _duration, _moment),
    ("x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit", _count, _count),
    ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining", _count, _count),
    ("x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset", _duration, _moment),
)
_OPENAI = [(theirs, name, reading) for name, theirs, reading, _ in _PAIRS]
_ANTHROPIC = [(theirs, name, reading) for theirs, name, _, reading in _PAIRS]
_ROWS = {"openai_chat": _OPENAI, "openai_responses": _OPENAI, "anthropic": _ANTHROPIC}

Three = tuple[str, str, str]  # of a limit, of what remains of it, and of its reset


def _by_limit(names: Sequence[str]) -> Mapping[str, Three]:
    return {"requests": (names[0], names[1], names[2]), "tokens": (names[3], names[4], names[5])}


def _in_a_while(nanoseconds: int, now: float) -> str:
    return _as_duration(-(-nanoseconds // 10**6))


def _by_then(nanoseconds: int, now: float) -> str:
    return _as_moment(now + nanoseconds / 1e9)


# For our own limits: the names, and how a reset is spelled on that wire.
_FOR_OPENAI = (_by_limit([name for name, *_ in _PAIRS]), _in_a_while)
_FOR_ANTHROPIC = (_by_limit([name for _, name, *_ in _PAIRS]), _by_then)
_WORDS: Mapping[str, tuple[Mapping[str, Three], Callable[[int, float], str]]] = {
    "openai_chat": _FOR_OPENAI,
    "openai_responses": _FOR_OPENAI,
    "anthropic": _FOR_ANTHROPIC,
}
