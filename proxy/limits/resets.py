"""How long is it until a limit is full again, as providers spell it?

    a duration       `6m0s`, `12ms`, `1h30m`, as Go spells it; OpenAI, Groq and their kin
    a point in time  RFC 3339, with its zone; Anthropic
    a number         of milliseconds in Azure's headers, of seconds in most others'; from 10^9 on it is a point in time,
                     in seconds or milliseconds since 1970, as no limit takes thirty years to reset

https://platform.openai.com/docs/guides/rate-limits and https://platform.claude.com/docs/en/api/rate-limits
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

MILLISECONDS, SECONDS = 1e-3, 1.0  # what a number counts, in seconds

_EPOCH = 1e9
_IN_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PIECE = r"(\d{1,9}(?:\.\d{1,15})?)(d|h|ms|m|s|us|µs|ns)"
_pieces = re.compile(_PIECE, re.ASCII).findall
_is_duration = re.compile(f"(?:{_PIECE})+", re.ASCII).fullmatch
_is_number = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII).fullmatch


def seconds_from(value: str, now: float, unit: float) -> float | None:
    """Negative where it is over; None where it cannot be read. `now`: seconds since 1970. `unit`: of a bare number."""
    if _is_number(value):
        return _of_number(float(value), now, unit)
    if _is_duration(value):
        return sum(float(count) * _IN_SECONDS[word] for count, word in _pieces(value))
    moment = instant(value)
    return None if moment is None else moment - now


def instant(value: str) -> float | None:
    """A point in time in RFC 3339, in seconds since 1970."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


@lru_cache(maxsize=16)  # all answers of a second have the same
def http_date(value: str) -> float | None:
    """In seconds since 1970. It has three spellings, one of them without a zone; all of them mean UTC.

    https://www.rfc-editor.org/rfc/rfc9110#field.date
    """
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser promises ValueError, and raises the others
        return None


def _of_number(number: float, now: float, unit: float) -> float:
    if number < _EPOCH:
        return number * unit
    return (number if number < 1000 * _EPOCH else number / 1000) - now
