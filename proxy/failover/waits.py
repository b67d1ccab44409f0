"""How long does a provider ask us to wait?

The plainest of its headers that says so counts. One that cannot be read, or whose time is over, is passed over. Of one
that came several times, as where a gateway on the way has added its own, the longest wait counts.

    retry-after-ms                         milliseconds, a number; Azure's and OpenAI's
    retry-after                            seconds, a number, or an HTTP date in any of its three spellings
                                           https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    x-ratelimit-reset, x-ratelimit-reset-* when a limit is full again, in any of the spellings of limits/resets.py
    anthropic-ratelimit-*-reset
"""

import re
from collections.abc import Callable, Iterator, Mapping
from math import ceil

from proxy.errors import GatewayError, Headers, UpstreamError
from proxy.limits.resets import MILLISECONDS, SECONDS, http_date, seconds_from

LONGEST = 60.0  # seconds that a request may be told to wait; who says more means that it is not to ask again

Reading = Callable[[str, float], float | None]  # a value, and the time; seconds from now, None where it says none

_is_number = re.compile(r"(?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:[eE][+-]?\d{1,3})?", re.ASCII).fullmatch


def asked_by(error: GatewayError, now: float, longest: float = LONGEST) -> float | None:
    """By an error's headers. A point in time is by the provider's clock, if its date tells that: ours may be wrong."""
    then, lines = None, error.headers
    if isinstance(error, UpstreamError):
        then = http_date(error.date)
        lines = lines if error.heard is None else error.heard  # the translated ones are by our own clock
    headers = {name.lower(): value for name, value in lines}
    return retry_after(headers, now if then is None else then, longest)


def retry_after(headers: Mapping[str, str], now: float, longest: float = LONGEST) -> float | None:
    """Seconds, at most `longest`; None where nothing is said. `headers`: names in lower case. `now`: since 1970."""
    for name, reading in _PLAIN:
        if name in headers and (seconds := _longest(headers[name], reading, now)) is not None:
            return min(seconds, longest)
    resets = (_ahead(seconds_from(value.strip(), now, _unit(name))) for name, value in _spent(headers))
    waits = [seconds for seconds in resets if seconds is not None]
    return min(max(waits), longest) if waits else None


def shortened(headers: Headers, seconds: float) -> Headers:
    """An error's headers, which ask for no longer a wait than this."""
    waits = {"retry-after": ceil(seconds), "retry-after-ms": ceil(seconds * 1000)}
    return [(name, str(waits.get(name.lower(), value))) for name, value in headers]


def _longest(value: str, reading: Reading, now: float) -> float | None:
    """Of all lines of one header, which come joined to one list."""
    said = (_ahead(reading(one.strip(), now)) for one in _lines(value))
    return max((seconds for seconds in said if seconds is not None), default=None)


_lines = re.compile("(?<!Mon|Tue|Wed|Thu|Fri|Sat|Sun|day),").split  # a date has a comma too, behind its weekday


def _ahead(seconds: float | None) -> float | None:
    return seconds if seconds is not None and seconds >= 0 else None


def _spent(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The resets of those limits that are used up.

    There is a reset for every limit, but a limit with something left is not why we were refused; if it is after all,
    our own pause does.
    """
    for name, value in headers.items():
        if _is_reset(name) and not _number(headers.get(name.replace("reset", "remaining"), "0").strip()):
            yield name, value


_is_reset = re.compile(r"x-ratelimit-reset(?:-[\w-]*)?|anthropic-ratelimit-[\w-]*reset").fullmatch


def _unit(name: str) -> float:
    """Of a bare number: Azure's, in the headers that it shares with OpenAI, or Together's and Cerebras'."""
    return MILLISECONDS if name in _OF_AZURE else SECONDS


_OF_AZURE = frozenset({"x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"})


def _number(value: str) -> float | None:
    return float(value) if _is_number(value) else None


def _milliseconds(value: str, now: float) -> float | None:
    return None if (number := _number(value)) is None else number / 1000


def _seconds_or_date(value: str, now: float) -> float | None:
    number = _number(value)
    return _date(value, now) if number is None else number


def _date(value: str, now: float) -> float | None:
    moment = http_date(value)
    return None if moment is None else moment - now


_PLAIN: tuple[tuple[str, Reading], ...] = (("retry-after-ms", _milliseconds), ("retry-after", _seconds_or_date))
