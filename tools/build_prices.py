"""What do the models of our presets' providers cost?

Writes proxy/prices.json, out of what the installed genai-prices knows. `python -m tools.build_prices DATE` writes it
anew, the date being the day on which that version of the package came out; a test holds the file to what this makes.
What the package says in units that no answer tells us, or by a context that no request of ours has, is left out by
name; anything that is not named here ends the build.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import msgspec
import yaml
from genai_prices import types
from genai_prices.data import providers
from msgspec.structs import replace

from proxy.prices.lists import Clause, Dated, Listing, Model
from proxy.prices.rates import Amount, Row, price_of, starts

PROXY = Path(__file__).resolve().parent.parent / "proxy"
FILE = PROXY / "prices.json"
PACKAGE = "genai-prices"

# Their words for what has a price, and ours.
KINDS = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "input_image_mtok": "image_input",
    "input_video_mtok": "video_input",
    "cache_audio_read_mtok": "audio_cache_read",
    "cache_image_read_mtok": "image_cache_read",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
    "output_image_mtok": "image_output",
    "output_video_mtok": "video_output",
    "output_citation_mtok": "citation",
    "web_searches_kcount": "search",
    "requests_kcount": "request",
}
# Of transcription, speech, OCR and rerank, which are none of our routes; and of searches in stored files, of which no
# answer tells the number.
UNCOUNTED = frozenset(
    "audio_hours input_audio_hours input_mchars input_text_messages_kcount input_document_kpages"
    " input_annotated_document_kpages storage_searches_kcount".split()
)
TIERS = frozenset({"service_tier", "processing", "speed"})  # what a variant may depend on, and we can tell
UNTOLD = frozenset({"search_type", "route"})  # and what no answer tells

# Models without any price are free where their name says so, and where the provider's page does:
# https://ai.google.dev/gemini-api/docs/pricing. Others have one that nobody has written down.
FREE = ":free"
FREE_OF_CHARGE = {"google": frozenset({"gemma-3", "gemma-3n", "gemma-4-26b-a4b-it", "gemma-4-31b-it"})}
NOTHING: dict[str, str | dict[int, str]] = {"input": "0", "output": "0"}

# What Claude writes to a cache for an hour costs twice the input wherever it is sold; the package knows that of some of
# its rows only. No other vendor counts it apart and leaves out its price.
# https://platform.claude.com/docs/en/about-claude/pricing#prompt-caching
CLAUDE, HOUR = "claude", Decimal(2)


class Unforeseen(SystemExit):
    """The package says something that must first be thought about."""


def build(day: str) -> bytes:
    """The file. `day`: YYYY-MM-DD. One line for each model, so that a new snapshot can be read as a difference."""
    every = {provider.id: provider for provider in providers}
    lists = {name: _listing(name, every) for name in _names(every)}
    head = {
        "source": f"{PACKAGE} {version(PACKAGE)}",
        "date": day,
        "licence": _licence(),
        "dearest": _dearest(row for listing in lists.values() for row in _rows(listing.models)),
    }
    bodies = [_encoded(name, listing) for name, listing in lists.items()]
    return _json(head)[:-1] + b',\n"lists":{\n' + b",\n".join(bodies) + b"}}\n"


def _encoded(name: str, listing: Listing[Model]) -> bytes:
    models = b",\n".join(map(_json, listing.models))
    head = _json({name: {"fallback": listing.fallback, "dearest": listing.dearest}})
    return head[1:-2] + b',"models":[\n' + models + b"]}"


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _names(every: Mapping[str, types.Provider]) -> list[str]:
    """The lists that our presets name, and those on which they fall back."""
    presets = yaml.safe_load((PROXY / "presets.yaml").read_text(encoding="utf-8"))["providers"]
    named = {row["prices"] for row in presets.values() if "prices" in row}
    return sorted(named.union(*(every[name].fallback_model_providers or () for name in named)))


def _licence() -> str:
    """The package's own, which must go where its data goes."""
    found = next(path for path in distribution(PACKAGE).files or () if path.name == "LICENSE")
    return found.read_text(encoding="utf-8")


# --- a list ----------------------------------------------------------------------------------------------------------


def _listing(name: str, every: Mapping[str, types.Provider]) -> Listing[Model]:
    models = [_model(name, model) for model in every[name].models]
    if len({model.id for model in models}) < len(models):
        raise Unforeseen(f"{name}: two models of one name")
    fallback = every[name].fallback_model_providers or []
    within = [*models, *(_model(other, model) for other in fallback for model in every[other].models)]
    return Listing(models, _dearest(_rows(within)), fallback)


def _model(name: str, model: types.ModelInfo) -> Model:
    prices = model.prices
    rows = [types.ConditionalPrice(prices=prices)] if isinstance(prices, types.ModelPrice) else prices
    price = _price_of_claude if CLAUDE in model.id else _dated
    dated = [price(row.prices, row.constraint) for row in rows]
    if model.id.endswith(FREE) or model.id in FREE_OF_CHARGE.get(name, ()):
        dated = [row if row.rates else Dated(NOTHING) for row in dated]
    tiers: dict[str, list[Dated]] = {}
    for variant in model.price_variants or ():
        if (tier := _tier(variant.when)) and (row := price(variant.prices, variant.constraint)).rates:
            tiers.setdefault(tier, []).append(row)
    return Model(model.id, _clause(model.match), dated, dict(sorted(tiers.items())))


def _tier(when: Mapping[str, str]) -> str:
    """The word for a tier; "" where the variant depends on something else."""
    ((context, word),) = when.items()
    if context not in TIERS | UNTOLD:
        raise Unforeseen(f"a price depends on {context}")
    return word if context in TIERS else ""


def _dated(prices: types.ModelPrice, constraint: object) -> Dated:
    said = {key: value for key, value in vars(prices).items() if value is not None}
    if strange := said.keys() - KINDS.keys() - UNCOUNTED:
        raise Unforeseen(f"a price for {strange}")
    rates = {kind: _amount(said[key]) for key, kind in KINDS.items() if key in said}
    match constraint:
        case None:
            return Dated(rates)
        case types.StartDateConstraint(start_date=day):
            return Dated(rates, since=day)
        case types.TimeOfDateConstraint(start_time=begin, end_time=end):
            return Dated(rates, hours=(_utc(begin), _utc(end)))
        case _:
            raise Unforeseen(f"a price depends on {constraint}")


def _price_of_claude(prices: types.ModelPrice, constraint: object) -> Dated:
    dated = _dated(prices, constraint)
    return replace(dated, rates=_with_hours(dated.rates))


def _with_hours(rates: dict[str, str | dict[int, str]]) -> dict[str, str | dict[int, str]]:
    """With a price for what is written for an hour, behind that for five minutes."""
    if "cache_write" not in rates or "cache_write_1h" in rates:
        return rates
    if "input" not in rates:
        raise Unforeseen("what Claude writes for five minutes has a price, and neither the input nor an hour has one")
    hour: str | dict[int, str]
    if isinstance(said := rates["input"], str):
        hour = _text(Decimal(said) * HOUR)
    else:
        hour = {start: _text(Decimal(each) * HOUR) for start, each in said.items()}
    all_of_it = rates | {"cache_write_1h": hour}
    return {kind: all_of_it[kind] for kind in KINDS.values() if kind in all_of_it}


def _utc(clock: time) -> time:
    if clock.utcoffset():
        raise Unforeseen(f"a price by another clock than UTC: {clock}")
    return clock.replace(tzinfo=None)


def _amount(value: Decimal | types.TieredPrices) -> str | dict[int, str]:
    if isinstance(value, Decimal):
        return _text(value)
    return {0: _text(value.base)} | {tier.start: _text(tier.price) for tier in value.tiers}


def _clause(clause: Any) -> Clause:
    """All but a regular expression is looked for in lower case, whatever the case of either."""
    match clause:
        case types.ClauseOr(or_=clauses):
            return {"or": [_clause(each) for each in clauses]}
        case types.ClauseAnd(and_=clauses):
            return {"and": [_clause(each) for each in clauses]}
        case types.ClauseRegex(regex=pattern):
            return {"regex": pattern}
        case _:
            ((kind, text),) = vars(clause).items()
            return {kind: text.lower()}


# --- the dearest -----------------------------------------------------------------------------------------------------


def _rows(models: Iterable[Model]) -> Iterator[Row]:
    """Every row of prices that was ever valid, in whatever tier."""
    for model in models:
        standards = [dated.rates for dated in model.prices]
        variants = [dated.rates for rows in model.tiers.values() for dated in rows]
        yield from standards
        yield from ({**standard, **variant} for standard in standards for variant in variants)


def _dearest(rows: Iterable[Row]) -> dict[str, Amount]:
    """Of each kind the most that a row makes it cost."""
    found: dict[str, Fraction] = {}
    for row in rows:
        for kind in KINDS.values():
            for start in (0, *starts(row)):
                found[kind] = max(found.get(kind, Fraction(0)), price_of(row, kind, start) or Fraction(0))
    return {kind: _text(Decimal(most.numerator) / most.denominator) for kind, most in found.items() if most}


def _text(dollars: Decimal) -> str:
    return f"{dollars.normalize():f}"


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise Unforeseen("usage: python -m tools.build_prices YYYY-MM-DD")
    FILE.write_bytes(build(date.fromisoformat(arguments[0]).isoformat()))


if __name__ == "__main__":
    main(sys.argv[1:])
