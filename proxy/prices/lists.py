"""Which row of the price list is a model's, and what does it say at a given moment?

prices.json has a list for each provider that a preset names. A row may be valid from some day on, or during some hours
of each day; from one such moment to the next its prices do not change, and are worked out once.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from itertools import takewhile
from math import inf
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, field

from proxy.packaged import packaged
from proxy.prices.rates import Amount, Row

R = TypeVar("R", "Model", msgspec.Raw)  # a row, or one that is still to be read
# For a thousand searches by the provider's own tools, where its list has no price: https://docs.x.ai/docs/models#tools-pricing
SEARCHES = {"x-ai": "5"}
DAY = 86400  # seconds; unix time has no leap seconds

Clause = dict[str, Any]  # which names match: {"starts_with": "gpt-4o"}, {"or": [clause, clause]}


class Dated(Struct, frozen=True, omit_defaults=True):
    """Prices, and when they are valid: from a day on; or during some hours (UTC), perhaps past midnight; or always."""

    rates: dict[str, str | dict[int, str]]
    since: date | None = None
    hours: tuple[time, time] | None = None

    def is_valid(self, when: float) -> bool:
        if self.since is not None:
            return when >= _midnight(self.since)
        if self.hours is None:
            return True
        begin, end = map(_seconds, self.hours)
        now = when % DAY
        return begin <= now < end if begin <= end else now >= begin or now < end

    def turns(self, when: float) -> Iterator[float]:
        """The moments around this one at which it becomes valid or invalid."""
        if self.since is not None:
            yield _midnight(self.since)
        for clock in self.hours or ():
            today = when // DAY * DAY + _seconds(clock)
            yield from (today - DAY, today, today + DAY)


class Model(Struct, frozen=True, omit_defaults=True):
    """A row. Of `prices` the last valid one counts; if there is none, the first.

    `tiers`: what is dearer or cheaper in another tier; there the first valid one counts, for each kind.
    """

    id: str
    match: Clause
    prices: list[Dated]
    tiers: dict[str, list[Dated]] = field(default_factory=dict)

    def standard(self, when: float) -> Row:
        valid = (dated.rates for dated in reversed(self.prices) if dated.is_valid(when))
        return next(valid, self.prices[0].rates)

    def by_tier(self, when: float) -> Mapping[str, Row]:
        """The valid ones, each completed by the standard prices."""
        standard, rows = self.standard(when), {}
        for tier, variants in self.tiers.items():
            if valid := [dated.rates for dated in variants if dated.is_valid(when)]:
                rows[tier] = {kind: amount for rates in (standard, *reversed(valid)) for kind, amount in rates.items()}
        return rows

    def span(self, when: float) -> tuple[float, float]:
        """From when until when its prices are the same as at this moment."""
        every = [*self.prices, *(dated for variants in self.tiers.values() for dated in variants)]
        turns = {turn for dated in every for turn in dated.turns(when)}
        since = max((turn for turn in turns if turn <= when), default=-inf)
        return since, min((turn for turn in turns if turn > when), default=inf)


class Listing(Struct, Generic[R], frozen=True):
    """A provider's list. `dearest`: the highest price of each kind, in this list and those that it falls back on."""

    models: list[R]
    dearest: dict[str, Amount]
    fallback: list[str] = []


class _Matching(Struct):
    """What of a row says whose it is."""

    match: Clause


_matching = msgspec.json.Decoder(_Matching).decode
_model = msgspec.json.Decoder(Model).decode


class Index:
    """Finds the first row of a list whose clause a name matches. Most rows have whole names, which need no search.

    Rows are read when they are found: a sidecar asks for few, and those of one list take 0.2 MiB.
    """

    def __init__(self, rows: Sequence[msgspec.Raw]) -> None:
        self._rows = rows
        self._whole: dict[str, int] = {}  # the number of the first row that has the name
        self._others: list[tuple[int, Clause]] = []  # rows that match by more than whole names
        for number, row in enumerate(rows):
            match = _matching(row).match
            clauses: Sequence[Clause] = match.get("or", [match])
            whole = [clause["equals"] for clause in clauses if "equals" in clause]
            for name in whole:
                self._whole.setdefault(name, number)
            if len(whole) < len(clauses):
                self._others.append((number, match))

    def find(self, name: str) -> Model | None:
        """`name`: in lower case."""
        end = self._whole.get(name, len(self._rows))
        before = takewhile(lambda other: other[0] < end, self._others)
        number = next((number for number, match in before if is_match(match, name)), end)
        return _model(self._rows[number]) if number < len(self._rows) else None


class _File(Struct, frozen=True):
    source: str
    dearest: dict[str, Amount]
    lists: dict[str, msgspec.Raw]


class Catalogue:
    """The lists that were asked for, and those on which they fall back."""

    def __init__(self, names: Iterable[str]) -> None:
        """Raises UnknownList."""
        file = msgspec.json.decode(packaged("prices.json").read_bytes(), type=_File)
        self.source = file.source
        self.dearest: Row = file.dearest  # of all lists
        self.lists: dict[str, Listing[msgspec.Raw]] = {}
        self._indices: dict[str, Index] = {}
        for name in names:
            if name not in file.lists:
                raise UnknownList(name, sorted(file.lists))
            self._read(name, file.lists)

    def _read(self, name: str, lists: Mapping[str, msgspec.Raw]) -> None:
        if name in self.lists:
            return
        mine = lists[name].copy()  # else a row would keep the whole file
        listing = self.lists[name] = msgspec.json.decode(mine, type=Listing[msgspec.Raw])
        if name in SEARCHES:
            listing.dearest.setdefault("search", SEARCHES[name])
        self._indices[name] = Index(listing.models)
        for other in listing.fallback:
            self._read(other, lists)

    def find(self, name: str, model: str) -> tuple[str, Model] | None:
        """The row of a model, as the provider spells it, and the list that it is in; None where there is none."""
        spelt = model.lower()
        for spelling in dict.fromkeys((spelt, _dashed(spelt), _arn.sub("", spelt))):
            for each in (name, *self.lists[name].fallback):
                if row := self._indices[each].find(spelling):
                    return each, row
        return None


class UnknownList(LookupError):
    """`there_are`: the names of those that there are."""

    def __init__(self, name: str, there_are: Sequence[str]) -> None:
        super().__init__(name)
        self.there_are = there_are


def is_match(clause: Clause, name: str) -> bool:
    """Does the name match? Both are in lower case."""
    ((kind, wanted),) = clause.items()
    return _CLAUSES[kind](name, wanted)


_CLAUSES: Mapping[str, Callable[[str, Any], bool]] = {
    "equals": str.__eq__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "regex": lambda name, pattern: re.search(pattern, name) is not None,
    "or": lambda name, clauses: any(is_match(clause, name) for clause in clauses),
    "and": lambda name, clauses: all(is_match(clause, name) for clause in clauses),
}


def _dashed(name: str) -> str:
    """gpt-5.2-20251211, as some gateways have it, for gpt-5.2-2025-12-11."""
    return _compact.sub(_as_date, name)


# The ARN of a model of Bedrock's, which says no more than its id. A list may know only some models by it.
_arn = re.compile(r"^arn:aws[a-z-]*:bedrock:[a-z0-9-]*:[0-9]*:(?:foundation-model|inference-profile)/")

_compact = re.compile(r"-(20[0-9]{6})(?=-|:|$)")


def _as_date(found: re.Match[str]) -> str:
    try:
        return f"-{datetime.strptime(found[1], '%Y%m%d').replace(tzinfo=UTC).date()}"
    except ValueError:  # eight digits that are no day
        return found[0]


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second
