"""What has a provider said of its own limits, and when will it let the next request pass?

OpenAI, Anthropic and most others refill their limits continuously: of 5,000 requests a minute one is back after 12 ms,
and that is what `x-ratelimit-reset-requests` says then; so it is with Groq's limits of a day. So what is left grows in
a straight line up to the whole limit at the moment of the reset; where the limit is not told, nothing is added before
the reset. What is asked for meanwhile is subtracted, and the next answer tells anew. After the reset nothing is known.

Whether a request takes the tokens that it may write from the beginning depends on the vendor: with OpenAI it does, with
Anthropic it does not, and is refused when nothing is left.
https://platform.openai.com/docs/guides/rate-limits and https://platform.claude.com/docs/en/api/rate-limits
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from proxy.limits.gcra import SECOND
from proxy.limits.need import Need
from proxy.limits.ratelimits import is_count, seconds_until
from proxy.limits.resets import http_date
from proxy.limits.scope import Scope, Waits, What

LONGEST = 3600 * SECOND  # for so long a provider is taken at its word: its clock may be wrong
YEAR = 365 * 86400.0  # seconds
# With so much left nothing need be remembered: nobody asks for as much before another answer tells anew.
PLENTY: Mapping[What, int] = {"requests": 1_000, "tokens": 5_000_000}

Count = Callable[[Need], int]


class Row(NamedTuple):
    """The headers that tell of a limit, and how much of it a request takes."""

    what: What
    count: Count
    left: str
    limit: str
    reset: str


def _one(need: Need) -> int:
    return 1


def _read(need: Need) -> int:
    return need.read


def _all(need: Need) -> int:
    return need.read + (need.write if need.says else 0)


def _openai(what: What, count: Count) -> Row:
    names = (f"x-ratelimit-{word}-{what}" for word in ("remaining", "limit", "reset"))
    return Row(what, count, *names)


def _anthropic(name: str, what: What, count: Count) -> Row:
    names = (f"anthropic-ratelimit-{name}-{word}" for word in ("remaining", "limit", "reset"))
    return Row(what, count, *names)


ROWS = (
    _openai("requests", _one),
    _openai("tokens", _all),
    _anthropic("requests", "requests", _one),
    _anthropic("input-tokens", "tokens", _read),
    _anthropic("output-tokens", "tokens", _one),
    _anthropic("tokens", "tokens", _one),  # of whichever of the two is the tighter
)
_LEFT = {row.left: PLENTY[row.what] for row in ROWS}


class Announced:
    """One limit, as the last answer told of it."""

    __slots__ = ("_at", "_count", "_full", "_headers", "_left", "_row", "_told", "_wall", "what")

    def __init__(self, row: Row) -> None:
        self.what = row.what
        self._row = row
        self._count = row.count
        self._at = self._told = self._left = 0
        self._headers: Mapping[str, str] = {}
        self._wall = 0.0
        self._full: int | None = None  # the moment when it is; None: not yet read

    def hear(self, headers: Mapping[str, str], at: int, wall: float) -> None:
        """`headers`: of an answer that came `at` this moment by our clock, and at that moment by the `wall`.

        An answer that is older than the last one is ignored, and so is the same one when it comes again. Only what is
        left is read here; the rest is read when that does not suffice.
        """
        left = headers[self._row.left]
        if at >= self._at and headers is not self._headers and is_count(left):
            self._told = self._left = int(left)
            self._at, self._headers, self._wall, self._full = at, headers, wall, None

    def wait(self, need: Need, now: int, ahead: Sequence[Need] = ()) -> int:
        """Nanoseconds until the provider may let the request pass."""
        short = self._count(need) - self._left + sum(map(self._count, ahead))
        if short <= 0:
            return 0
        if self._full is None:
            self._full = self._at + self._reset()
        until, limit = self._full, self._headers.get(self._row.limit, "")
        if is_count(limit) and int(limit) > self._told:
            until = min(until, self._at - (-short * (self._full - self._at) // (int(limit) - self._told)))
        return max(0, min(until, self._at + LONGEST) - now)

    def add(self, need: Need, sign: int) -> None:
        """A request takes its need; with a sign of -1 it does not, after all."""
        self._left -= sign * self._count(need)

    def _reset(self) -> int:
        """Nanoseconds from that answer; 0 where it is not told, or cannot be read."""
        seconds = seconds_until(self._headers.get(self._row.reset, ""), self._then())
        return 0 if seconds is None else round(min(seconds, YEAR) * SECOND)

    def _then(self) -> float:
        """When the answer came, by the provider's own clock if it told its date: ours may be wrong."""
        said = http_date(self._headers.get("date", ""))
        return self._wall if said is None else said


class Announcements(Scope):
    """What is known of one model at one provider."""

    __slots__ = ("_known",)

    def __init__(self, provider: str, model: str) -> None:
        super().__init__("announced", f"{provider}/{model}", counts_tokens=True)
        self._known: dict[str, Announced] = {}

    def __repr__(self) -> str:
        return f"<Announcements of {self.name}: {', '.join(self._known) or 'none'}; {len(self.queue)} wait>"

    def hear(self, rows: Sequence[Row], headers: Mapping[str, str], at: int, wall: float) -> None:
        """`rows`: those of the limits that the answer tells of."""
        for row in rows:
            if row.left not in self._known:
                self._known[row.left] = Announced(row)
            self._known[row.left].hear(headers, at, wall)

    def take(self, need: Need, now: int) -> int | None:
        for each in self._known.values():
            if each.wait(need, now):
                return None
        for each in self._known.values():
            each.add(need, 1)
        return 0

    def undo(self, need: Need) -> None:
        for each in self._known.values():
            each.add(need, -1)

    def settle(self, mark: int, need: Need, used: int | None, now: int) -> None:
        """Nothing is given back: the next answer tells what is left."""

    def waits(self, need: Need, now: int, ahead: Sequence[Need] = ()) -> Waits:
        return [(each.what, each.wait(need, now, ahead)) for each in self._known.values()]

    def exceeded(self, need: Need) -> None:
        """Never: the provider may count in another way, so it is asked when its limit is full."""

    def sentence(self, what: What, need: Need) -> str:
        provider, _, model = self.name.partition("/")
        return f"{provider} reports that its limit of {what} for {model} is used up"


def rows_in(headers: Mapping[str, str]) -> list[Row]:
    """The limits that an answer tells of. `headers`: names in lower case."""
    return [row for row in ROWS if row.left in headers]


def leave_plenty(headers: Mapping[str, str]) -> bool:
    """Is so much left of all limits that an answer tells of that none of them matters?"""
    for name in _LEFT.keys() & headers:
        if not is_count(left := headers[name]) or int(left) < _LEFT[name]:
            return False
    return True
