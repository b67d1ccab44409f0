"""What does this model cost at this provider, now?

The operator's own price comes first; then what runs on a machine of the operator's, for free; then the provider's price
list. For a model that is in none of these the operator has decided (docs/decisions/0015-prices.md).
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import cached_property
from math import inf

from msgspec import Struct

from proxy.canon import NO_USAGE, Iteration, Usage
from proxy.config import NOWHERE, Places, schema
from proxy.errors import BadRequest, ConfigError, excerpt
from proxy.prices.counts import is_absurd
from proxy.prices.lists import Catalogue, Model, UnknownList
from proxy.prices.price import CHEAPER, MOST, OTHER, STANDARD, Price
from proxy.prices.rates import Rates, Row, times

__all__ = ["EVEN", "Price", "Prices", "UnknownPrice", "is_absurd"]

# Of a list, the place to which inference may be kept, and how much dearer all tokens are there:
# https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing
PLACES = {"anthropic": ("us", Decimal("1.1"))}

# Of a list, the words behind a colon that say how the host is to route a model, and whether it costs the same then: the
# fastest host may serve it in a dearer tier, and a search has a fee.
# https://openrouter.ai/docs/guides/routing/model-variants
ROUTES = {"openrouter": {"floor": True, "exacto": True, "nitro": False, "online": False}}
FREE_ROUTES = {"openrouter": "free"}  # and the one that is free for every model that has it

REMEMBERED = 1000  # names of models that are kept; clients choose them
LONGEST = 256  # characters; no list has a longer name

EVEN = (1000, 1000)  # tokens read and written, by which prices are compared

_NOTHING = Rates({"input": "0", "output": "0"})
_FREE, _TAKEN_FOR_FREE = Price("free", _NOTHING), Price("free", _NOTHING, is_known=False)


class UnknownPrice(BadRequest):
    """Nobody knows what the request costs, and `unknown_price: refuse` stands."""

    code = "unknown_price"


class Span(Struct, frozen=True):
    """A price, and when it is valid, in seconds since 1970."""

    price: Price
    since: float = -inf
    until: float = inf


class Prices:
    """At all configured providers. If any is not free, the lists are read at once, and not with a request."""

    def __init__(
        self,
        lists: Mapping[str, str],
        overrides: Mapping[str, schema.Price],
        free: Collection[str],
        unknown: str,
        places: Places = NOWHERE,
        alike: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """`lists`: by provider, the name of its list, or ""; `unknown`: dearest, refuse or free; `alike`: by provider
        and model, the name in the list. Raises ConfigError.
        """
        self._alike = alike or {}
        self._places = places
        self._lists = {provider: name for provider, name in lists.items() if name}
        self._free = frozenset(free)
        self._unknown = unknown
        self._guesses: dict[str, Price] = {}
        self._rows: dict[tuple[str, str, str], Span] = {}
        self._met: dict[tuple[str, str], Span] = {}
        if not self._free.issuperset(lists):
            _ = self._catalogue
        self._overrides = {model: self._override(model, price) for model, price in overrides.items()}

    def __repr__(self) -> str:
        return f"<Prices of {', '.join(f'{name} ({source})' for name, source in self._lists.items()) or 'no list'}>"

    def of(self, provider: str, model: str, when: float, tier: str = "") -> Price:
        """`when`: seconds since 1970; `tier`: a service tier in the provider's words. Raises UnknownPrice."""
        span = self._met.get((provider, model))
        if span is None or not span.since <= when < span.until:
            span = self._look_up(provider, model, when)
        price = span.price.at(tier)
        if not price.is_known and self._unknown == "refuse":
            raise _refusal(provider, model, tier)
        return price

    def cost(self, provider: str, price: Price, usage: Usage, when: float) -> tuple[int, bool]:
        """Nano-dollars for all that was used, rounded once; is the price known? `price`: of the model that answered."""
        if not usage.beside:
            return price.cost(usage), price.is_known
        total, is_known = price.exact(usage), price.is_known
        for ran in usage.beside:
            its, is_its = self._beside(provider, price, ran, when)
            fee = its.exact(NO_USAGE)  # for a request, of which there was only one
            total, is_known = total + its.exact(ran.usage) - fee, is_known and is_its
        return min(round(total), MOST), is_known

    def _beside(self, provider: str, price: Price, ran: Iteration, when: float) -> tuple[Price, bool]:
        """The price of a model that ran within the same request, and is it known?"""
        tier = ran.usage.tier
        if not ran.model or price.is_free:  # where the answer counts as free nothing was set aside
            return price.at(tier), True
        try:
            its = self.of(provider, ran.model, when, tier)
        except UnknownPrice:
            return price.at(tier), False
        return its, its.is_known

    @cached_property
    def _catalogue(self) -> Catalogue:
        try:
            return Catalogue(self._lists.values())
        except UnknownList as error:
            name = str(error.args[0])
            provider = next(each for each, named in self._lists.items() if named == name)
            there_are = ", ".join(error.there_are)
            place = self._places.told("providers", provider, "prices")
            raise ConfigError(f"{place}: there is no price list {name}: must be one of {there_are}") from None

    def _look_up(self, provider: str, model: str, when: float) -> Span:
        span = self._find(provider, model, when)
        if len(self._met) >= REMEMBERED:
            self._met.clear()
        if len(model) <= LONGEST:
            self._met[provider, model] = span
        return span

    def _find(self, provider: str, model: str, when: float) -> Span:
        if override := self._overrides.get(f"{provider}/{model}"):
            return Span(override)
        if provider in self._free:
            return Span(_FREE)
        name, model = self._lists.get(provider, ""), self._alike.get((provider, model), model)
        if not name or len(model) > LONGEST:
            return Span(self._unlisted(provider, name))
        if found := self._catalogue.find(name, model):
            return self._listed(name, *found, when)
        return self._routed(provider, name, model, when)

    def _routed(self, provider: str, name: str, model: str, when: float) -> Span:
        """Of a model that is in no list: by the model's own, where its name says only how it is to be routed."""
        base, _, route = model.rpartition(":")
        if base and route == FREE_ROUTES.get(name):
            return Span(_FREE)
        if base and (is_same := ROUTES.get(name, {}).get(route)) is not None:
            span = self._find(provider, base, when)
            if is_same or f"{provider}/{base}" in self._overrides:
                return span
            if not span.price.is_free:
                return Span(span.price.guessed(), span.since, span.until)
        return Span(self._unlisted(provider, name))

    def _listed(self, name: str, of: str, row: Model, when: float) -> Span:
        """Of a row, which may be in a list (`of`) that the provider's falls back on. Remembered for all its models."""
        key = (name, of, row.id)
        span = self._rows.get(key)
        if span is None or not span.since <= when < span.until:
            span = self._rows[key] = Span(self._with_tiers(name, row, when), *row.span(when))
        return span

    def _with_tiers(self, name: str, row: Model, when: float) -> Price:
        """The standard price of a row, with those of the other tiers."""
        standard_row = row.standard(when)
        if not standard_row.keys() & {"input", "output"}:
            return self._guess(name)
        tiers: dict[str, Price] = {}
        standard = self._of_row(name, standard_row, tiers)
        dearest = self._dearest(name)
        tiers |= dict.fromkeys(STANDARD, standard)
        tiers |= dict.fromkeys(CHEAPER, Price(standard.source, standard.rates, False, tiers))
        tiers |= {tier: self._of_row(name, rates, tiers) for tier, rates in row.by_tier(when).items()}
        if name in PLACES:
            rows = {**dict.fromkeys(STANDARD, standard_row), **row.by_tier(when)}
            place, factor = PLACES[name]
            tiers |= {f"{tier}@{place}": self._of_row(name, times(each, factor), tiers) for tier, each in rows.items()}
        tiers[OTHER] = Price(dearest.source, dearest.rates, False, tiers)
        return standard

    def _of_row(self, name: str, row: Row, tiers: Mapping[str, Price]) -> Price:
        """What the row does not say costs the dearest of its list; without input or output the price is a guess."""
        source, is_whole = self._catalogue.source, {"input", "output"} <= row.keys()
        rates = Rates(row, self._catalogue.lists[name].dearest)
        return Price(source if is_whole else f"{source} and dearest of {name}", rates, is_whole, tiers)

    def _unlisted(self, provider: str, name: str) -> Price:
        """What an unknown model costs: no less than one to which the operator has given a price there."""
        guess = self._guess(name)
        if guess is _TAKEN_FOR_FREE:
            return guess
        said = [price for model, price in self._overrides.items() if model.partition("/")[0] == provider]
        dearest = max([guess, *said], key=lambda price: price.bound(*EVEN))
        return guess if dearest is guess else Price(f"dearest of {provider}", dearest.rates, False)

    def _guess(self, name: str) -> Price:
        """What an unknown model costs. `name`: its provider's list; "" where there is none."""
        return _TAKEN_FOR_FREE if self._unknown == "free" else self._dearest(name)

    def _dearest(self, name: str) -> Price:
        if name not in self._guesses:
            row: Row = self._catalogue.lists[name].dearest if name else self._catalogue.dearest
            if name in PLACES:
                row = times(row, PLACES[name][1])  # nor does anybody know where it was served
            self._guesses[name] = Price(f"dearest of {name or 'all lists'}", Rates(row), False)
        return self._guesses[name]

    def _override(self, model: str, said: schema.Price) -> Price:
        """What is not said costs the same as `input` or `output`; a provider's own search what its list says."""
        prices = {kind: getattr(said, kind) for kind in _SAID}
        row = {kind: _text(prices[_SAID[kind]] if price is None else price) for kind, price in prices.items()}
        row["request"] = str(1000 * Decimal(_text(said.request or 0.0)))
        rates = Rates(row)
        name = self._lists.get(model.partition("/")[0], "")
        if name and not rates.is_free:
            rates = Rates(row, {"search": self._catalogue.lists[name].dearest.get("search", "0")})
        return Price("config", rates)


# What config.yaml may say of a price, and what is meant where it says nothing.
_SAID = {
    "input": "input",
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "input",
    "audio_input": "input",
    "output": "output",
    "reasoning": "output",
    "audio_output": "output",
}


def _text(dollars: float) -> str:
    """The decimal as the operator wrote it, not the binary fraction's digits."""
    return repr(dollars)


def _refusal(provider: str, model: str, tier: str) -> UnknownPrice:
    name = excerpt(f"{provider}/{model}", LONGEST)
    within = f" in the tier {excerpt(tier, LONGEST)}" if tier else ""
    return UnknownPrice(
        f"The price of {name}{within} is unknown, and unknown_price is refuse: set it under prices in config.yaml,"
        f" as {name},"
        " or set unknown_price to dearest or free.",
        param="model",
    )
