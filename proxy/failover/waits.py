"""How long does a provider ask us to wait?

In whichever of its headers says so, the plainest one first. What cannot be read, and what is over, is not there: the
next one is looked at, and where there is none, nothing is said.

    retry-after-ms                         milliseconds, a number; Azure's and OpenAI's
    retry-after                            seconds, a number, or an HTTP date in any of its three spellings
                                           https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    x-ratelimit-reset, x-ratelimit-reset-* a duration (`6m0s`, `12ms`), seconds, or a point in time, in seconds or
                                           milliseconds since 1970
                                           https://platform.openai.com/docs/guides/rate-limits
    anthropic-ratelimit-*-reset            a point in time, as RFC 3339 has it
                                           https://platform.claude.com/docs/en/api/rate-limits
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 60.0  # seconds that a request may be told to wait; whoever says more means: not this request

Reading = Callable[[str, float], float | None]  # a value, and the time; seconds from now, None where it says none

_EPOCH = 1e9  # a number of seconds from here on is a point in time: no limit takes thirty years to reset
_IN_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PIECE = r"(\d{1,15}(?:\.\d{1,15})?)(d|h|ms|m|s|us|µs|ns)"
_pieces = re.compile(_PIECE, re.ASCII).findall
_is_duration = re.compile(f"(?:{_PIECE})+", re.ASCII).fullmatch
_is_number = re.compile(r"(?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:[eE][+-]?\d{1,3})?", re.ASCII).fullmatch


def retry_after(headers: Mapping[str, str], now: float, longest: float = LONGEST) -> float | None:
    """Seconds, at most `longest`; None where nothing is said. `headers`: names in lower case. `now`: since 1970."""
    for name, reading in _PLAIN:
        if name in headers and (seconds := _ahead(reading(headers[name].strip(), now))) is not None:
            return min(seconds, longest)
    resets = [seconds for value in _spent(headers) if (seconds := _ahead(_reset(value.strip(), now))) is not None]
    return min(max(resets), longest) if resets else None


def _ahead(seconds: float | None) -> float | None:
    return seconds if seconds is not None and seconds >= 0 else None


def _spent(headers: Mapping[str, str]) -> Iterator[str]:
    """When the limits are full again of which something is known to be wanting.

    A reset stands there for every limit, and a limit of which there is something left is not why we were refused; if
    it is after all, our own pause does.
    """
    for name, value in headers.items():
        if _is_reset(name) and not _number(headers.get(name.replace("reset", "remaining"), "0").strip(), 0):
            yield value


_is_reset = re.compile(r"x-ratelimit-reset(?:-[\w-]*)?|anthropic-ratelimit-[\w-]*reset").fullmatch


def _number(value: str, now: float) -> float | None:
    return float(value) if _is_number(value) else None


def _milliseconds(value: str, now: float) -> float | None:
    return None if (number := _number(value, now)) is None else number / 1000


def _seconds_or_date(value: str, now: float) -> float | None:
    number = _number(value, now)
    return _date(value, now) if number is None else number


def _date(value: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):  # its parser is older than its promise of ValueError
        return None
    return _from_now(moment if moment.tzinfo else moment.replace(tzinfo=UTC), now)


def _reset(value: str, now: float) -> float | None:
    if (number := _number(value, now)) is not None:
        return _of_number(number, now)
    if _is_duration(value):
        return sum(float(count) * _IN_SECONDS[unit] for count, unit in _pieces(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return _from_now(moment, now) if moment.tzinfo else None


def _of_number(number: float, now: float) -> float:
    if number < _EPOCH:
        return number
    return (number if number < 1000 * _EPOCH else number / 1000) - now


def _from_now(moment: datetime, now: float) -> float:
    return (moment - datetime.fromtimestamp(0, UTC)).total_seconds() - now


_PLAIN: tuple[tuple[str, Reading], ...] = (("retry-after-ms", _milliseconds), ("retry-after", _seconds_or_date))
