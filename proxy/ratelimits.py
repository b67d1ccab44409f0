"""How is what is left of a provider's rate limit said to a client of the other wire?

OpenAI and its kin say it in `x-ratelimit-*`, and when it is full again as a duration (`6m0s`, `12ms`); Anthropic says
it in `anthropic-ratelimit-*`, and as a point in time (RFC 3339). Each field stands for itself: what the provider does
not say, or says in a way that cannot be read, is not made up. Its own lines travel on beside these.
https://platform.openai.com/docs/guides/rate-limits and https://platform.claude.com/docs/en/api/rate-limits
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import ceil

Line = tuple[str, str]
Reading = Callable[[str, float], str]  # a value and the time, in seconds since 1970; "" where it cannot be read

_IN_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}  # as Go spells it
_PIECE = r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s|us|µs|ns)"
_pieces = re.compile(_PIECE, re.ASCII).findall
_is_duration = re.compile(f"(?:{_PIECE})+", re.ASCII).fullmatch
_is_number = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII).fullmatch  # Azure's: seconds
_is_count = re.compile(r"\d{1,18}", re.ASCII).fullmatch


def spelled(headers: Mapping[str, str], dialect_name: str, now: float) -> list[Line]:
    """The lines that a client of this wire looks for, and the provider did not say itself.

    `headers`: the provider's, names in lower case. `now`: seconds since 1970.
    """
    rows = _ROWS.get(dialect_name, ())
    said = [(name, reading(headers[theirs], now)) for theirs, name, reading in rows if theirs in headers]
    return [(name, value) for name, value in said if value and name not in headers]


def _count(value: str, now: float) -> str:
    return value if _is_count(value) else ""


def _moment(value: str, now: float) -> str:
    """When a duration is over: a whole second, as Anthropic has it, and never too soon."""
    if _is_number(value):
        seconds = float(value)
    elif _is_duration(value):
        seconds = sum(float(number) * _IN_SECONDS[unit] for number, unit in _pieces(value))
    else:
        return ""
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=ceil(now + seconds))
    except OverflowError:
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(value: str, now: float) -> str:
    """How long it is until then, to the millisecond."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        return ""
    milliseconds = max(0, round((moment.timestamp() - now) * 1000))
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest / 1000:g}s"


# OpenAI's name, Anthropic's, and how each is made of the other's value. Anthropic's limits of input and of output
# tokens have no counterpart; its `tokens` are those of whichever is the tighter.
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
