"""What do so many tokens of each kind cost, to the last digit?

A price is a decimal fraction of a dollar for a million tokens. It becomes a whole number over a denominator that all
prices of a model share, so that sums are exact and are rounded once.
"""

from bisect import bisect_left
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from math import lcm
from operator import mul, or_

from msgspec import Struct
from msgspec.structs import astuple

from proxy.canon import BUCKETS, Usage
from proxy.grammar.counts import SANE, count_of
from proxy.prices.counts import CALLS, DETAILS, billed, details, is_absurd, sane
from proxy.spending.money import NANOS

# In dollars; if it depends on the prompt's length, by the number of tokens that the prompt must exceed.
Amount = str | Mapping[int, str]
Row = Mapping[str, Amount]

# Each kind of token or call, and the kinds whose price it has: the first that the row has. If a row prices only one of
# two properties (sound, cached), that price holds for both together.
CHAINS: Mapping[str, tuple[str, ...]] = {
    "input": ("input",),
    "cache_read": ("cache_read", "input"),
    "cache_write": ("cache_write", "input"),
    "cache_write_1h": ("cache_write_1h", "cache_write", "input"),
    "audio_input": ("audio_input", "input"),
    "image_input": ("image_input", "input"),
    "video_input": ("video_input", "input"),
    "audio_cache_read": ("audio_cache_read", "cache_read", "audio_input", "input"),
    "image_cache_read": ("image_cache_read", "cache_read", "image_input", "input"),
    "video_cache_read": ("cache_read", "video_input", "input"),
    "output": ("output",),
    "reasoning": ("reasoning", "output"),
    "audio_output": ("audio_output", "output"),
    "image_output": ("image_output", "output"),
    "video_output": ("video_output", "output"),
    "citation": ("citation", "output"),
    "tool_search": ("search",),
    "search": ("search",),
    "request": ("request",),
}
BY_THOUSAND = frozenset({"tool_search", "search", "request"})  # the others by the million
FEES = frozenset({"search", "request"})  # without a price these cost nothing; all else costs the dearest

_READ = [kind for kind, chain in CHAINS.items() if chain[-1] == "input"]
_WRITTEN = [kind for kind, chain in CHAINS.items() if chain[-1] == "output" and kind not in CALLS]
_NO_ROW: Row = {}


class Band(Struct, frozen=True):
    """The prices for prompts up to some length, over the common denominator."""

    tokens: tuple[int, ...]  # by bucket
    details: tuple[tuple[str, int], ...]  # how much more, or less, a token costs than others of its bucket
    calls: tuple[tuple[str, int], ...]  # the key in `extra` of a number of calls, and the price of one
    beside: frozenset[str]  # the keys in `extra` that `details` and `calls` go by
    search: int  # by the provider's own tool
    request: int
    most_read: int  # the dearest kind
    most_written: int


class Rates:
    """A row's prices. What the row does not say costs what `dearest` says."""

    __slots__ = ("_bands", "_starts", "denominator", "is_free")

    def __init__(self, row: Row, dearest: Row = _NO_ROW) -> None:
        exact = [_exact(row, dearest, start) for start in (0, *starts(row, dearest))]
        self.denominator = lcm(*(price.denominator for prices in exact for price in prices.values()))
        self._starts = starts(row, dearest)
        self._bands = [_band(prices, self.denominator) for prices in exact]
        self.is_free = not any(price for prices in exact for price in prices.values())

    def total(self, usage: Usage) -> int:
        """Nano-dollars, times the denominator. Absurd counts cost nothing."""
        if usage.extra and "billed_units" in usage.extra:
            usage = billed(usage)
        counts: tuple[int, ...] = astuple(usage)[: len(BUCKETS)]
        if not 0 <= reduce(or_, counts) <= SANE and is_absurd(usage):
            return self.total(sane(usage))
        band = self._bands[bisect_left(self._starts, usage.total_input)] if self._starts else self._bands[0]
        total: int = sum(map(mul, counts, band.tokens))
        if (usage.extra and not band.beside.isdisjoint(usage.extra)) or (usage.audio_input and usage.cache_read):
            total += _beside(band, usage)
        return total + usage.searches * band.search + band.request

    def most(self, read: int, written: int) -> int:
        """The same, for the dearest usage with at most so many tokens read and written."""
        only = self._bands[0]
        if read < 0 or written < 0:
            read, written = max(0, read), max(0, written)
        if not self._starts or read <= self._starts[0]:
            return only.most_read * read + only.most_written * written + only.request
        ends = [min(read, end) for end in self._starts] + [read]
        begun = bisect_left(self._starts, read) + 1
        return max(
            band.most_read * end + band.most_written * written + band.request
            for band, end in zip(self._bands[:begun], ends, strict=False)
        )


def times(row: Row, factor: Decimal) -> Row:
    """The same row with all tokens dearer by this factor; fees per call stay."""
    return {kind: amount if kind in BY_THOUSAND else _times(amount, factor) for kind, amount in row.items()}


def _times(amount: Amount, factor: Decimal) -> Amount:
    if isinstance(amount, str):
        return str(Decimal(amount) * factor)
    return {start: str(Decimal(each) * factor) for start, each in amount.items()}


def starts(*rows: Row) -> list[int]:
    """The lengths of a prompt beyond which some price changes."""
    return sorted({n for row in rows for amount in row.values() if not isinstance(amount, str) for n in amount if n})


def price_of(row: Row, kind: str, start: int = 0) -> Fraction | None:
    """Dollars, for a prompt longer than `start`; None where the row does not say."""
    said = next((row[name] for name in CHAINS[kind] if name in row), None)
    if said is None or isinstance(said, str):
        return None if said is None else Fraction(said)
    return Fraction(said[max(n for n in said if n <= start)])


def _exact(row: Row, dearest: Row, start: int) -> dict[str, Fraction]:
    """Nano-dollars for one of each kind."""
    prices = {}
    for kind in CHAINS:
        price = price_of(row, kind, start)
        if price is None and kind not in FEES:
            price = price_of(dearest, kind, start)
        prices[kind] = (price or Fraction(0)) * NANOS / (1000 if kind in BY_THOUSAND else 10**6)
    return prices


def _band(prices: Mapping[str, Fraction], denominator: int) -> Band:
    whole = {kind: int(price * denominator) for kind, price in prices.items()}
    more = {kind: whole[kind] - whole[detail.bucket] for kind, detail in DETAILS.items()}
    by_detail = tuple((kind, difference) for kind, difference in more.items() if difference)
    calls = tuple((key, whole[kind]) for kind, key in CALLS.items() if whole[kind])
    return Band(
        tokens=tuple(whole[bucket] for bucket in BUCKETS),
        details=by_detail,
        calls=calls,
        beside=frozenset(key for key, _ in calls).union(*(DETAILS[kind].seen_in for kind, _ in by_detail)),
        search=whole["tool_search"],
        request=whole["request"],
        most_read=max(whole[kind] for kind in _READ),
        most_written=max(whole[kind] for kind in _WRITTEN),
    )


def _beside(band: Band, usage: Usage) -> int:
    total = 0
    for key, price in band.calls:
        total += count_of(usage.extra.get(key)) * price
    if band.details:
        found = details(usage)
        total += sum(found[kind] * difference for kind, difference in band.details)
    return total
