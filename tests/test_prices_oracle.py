"""Does every usage cost what genai-prices says, of which our list is made, to the last digit?

Its reading of a name, a date, a tier and a usage against ours: of every recording, of every model, and of whatever
hypothesis thinks of.
"""

import decimal
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import msgspec
from genai_prices import Usage as Theirs
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy import registry
from proxy.canon import BUCKETS, Usage
from proxy.envelope import Envelope
from proxy.grammar.counts import SANE
from proxy.prices import is_absurd
from proxy.prices.counts import DETAILS
from proxy.prices.lists import Catalogue, Model
from proxy.prices.price import MOST as DEAREST
from proxy.spending.extent import Longest, extent, tier
from tests import recordings
from tests.laws import examples
from tests.test_prices import COUNTS, FILE, LISTS, NOW, every_list, exact, used
from tools import build_prices

LISTED = sorted(set(LISTS.values()) - {""})
Said = dict[str, Any]  # JSON

catalogue = Catalogue(FILE["lists"])
snapshot = get_snapshot()


# --- what the oracle says ---------------------------------------------------------------------------------------------


class Oracle(NamedTuple):
    provider: types.Provider
    model: types.ModelInfo

    def cost(self, usage: Theirs, when: datetime = NOW, context: dict[str, str] | None = None) -> Fraction:
        with decimal.localcontext(prec=200):
            cost = self.model.calc_price(
                usage, self.provider, genai_request_timestamp=when, price_context=context
            ).total_price
        return Fraction(cost) * 10**9


@cache
def oracle(listing: str, model: str) -> Oracle | None:
    provider = next(provider for provider in snapshot.providers if provider.id == listing)
    found = provider.find_model(model, all_providers=snapshot.providers)
    return Oracle(provider, found) if found is not None else None


def known(listing: str, model: str) -> tuple[Oracle, Model]:
    expected, found = oracle(listing, model), catalogue.find(listing, model)
    assert expected is not None
    assert found is not None
    return expected, found[1]


def theirs(usage: Usage) -> Theirs:
    """The same tokens in the oracle's words, where the wider counts hold the narrower.

    Where nobody says which of the cached tokens were sound, and some of the others were, all of them count as sound.
    """
    told = usage.extra
    if "billed_units" in told:
        return Theirs(**{key: told["billed_units"][key] for key in ("input_tokens", "output_tokens")})

    def of(modalities: tuple[object, ...], *keys: str) -> int:
        rows = [row for key in keys for row in told.get(key, ())]
        return sum(row.get("tokenCount", 0) for row in rows if row.get("modality") in modalities)

    image, video, audio = ("IMAGE", "DOCUMENT", 2, 5), ("VIDEO", 3), ("AUDIO", 4)
    read, cached, written = ("promptTokensDetails", "toolUsePromptTokensDetails"), "cacheTokensDetails", "candidates"
    citations, sound = told.get("citation_tokens", 0), of(audio, cached)
    if cached not in told and (usage.audio_input or of(audio, read[0])):
        sound = usage.cache_read
    return Theirs(
        input_tokens=usage.total_input,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write + usage.cache_write_1h,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.audio_input + sound,
        cache_audio_read_tokens=sound,
        input_image_tokens=of(image, *read),
        cache_image_read_tokens=of(image, cached),
        input_video_tokens=of(video, *read),
        output_tokens=usage.total_output + citations,
        output_reasoning_tokens=usage.reasoning,
        output_audio_tokens=usage.audio_output,
        output_image_tokens=of(image, f"{written}TokensDetails"),
        output_video_tokens=of(video, f"{written}TokensDetails"),
        output_citation_tokens=citations,
        web_searches=usage.searches + told.get("num_search_queries", 0),
    )


def tier_context(expected: Oracle, row: Model, usage: Usage) -> dict[str, str] | None:
    """The tier that an answer names, as the oracle wants to be told of it; None where it has one price for all."""
    if usage.tier not in row.by_tier(NOW.timestamp()):
        return None
    variants = expected.model.price_variants or ()
    return next(variant.when for variant in variants if [*variant.when.values()] == [usage.tier])


def priced(row: Model, usage: Usage) -> Usage:
    """Without the searches, where the row does not price them: they cost what the dearest one does."""
    return usage if "search" in row.standard(NOW.timestamp()) else replace(usage, searches=0)


def hourless(expected: Oracle, row: Model, usage: Usage, when: datetime = NOW) -> Usage:
    """Without what Claude wrote for an hour, where the oracle takes it for five minutes and our row does not."""
    an_hour, minutes = (
        expected.cost(Theirs(input_tokens=1, cache_write_tokens=1, cache_write_1h_tokens=n), when) for n in (1, 0)
    )
    return replace(usage, cache_write_1h=0) if "claude" in row.id and an_hour == minutes else usage


def is_whole(row: Model, when: datetime = NOW) -> bool:
    return {"input", "output"} <= row.standard(when.timestamp()).keys()


# --- every recording --------------------------------------------------------------------------------------------------

DIALECTS = {
    "chat_completions": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
    "converse": "bedrock",
    "converse-stream": "bedrock",
    "v2_chat": "cohere",
}
ELSEWHERE = {"moonshotai": "moonshot", "vertex-anthropic": "vertex"}  # what a recording calls a preset


class Heard(NamedTuple):
    """A recorded answer, as our own meter read it."""

    row: recordings.Row
    listing: str
    model: str
    usage: Usage


def heard() -> Iterator[Heard]:
    for row in recordings.load("*"):
        listing = LISTS.get(ELSEWHERE.get(row["provider"], row["provider"]), "")
        if row["status"] == 200 and row["endpoint"] in DIALECTS and listing:
            meter = registry.dialect(DIALECTS[row["endpoint"]]).meter(row["framing"] != "json")
            meter.feed(recordings.body(row))
            meter.close()
            if meter.usage is not None:
                yield Heard(row, listing, row["model"] or meter.model, meter.usage)


HEARD = list(heard())


@recordings.needs_recordings
def test_every_recorded_usage_costs_what_the_oracle_says() -> None:
    seen, wrong = 0, []
    for row, listing, model, usage in HEARD:
        expected, found = oracle(listing, model), catalogue.find(listing, model)
        assert (expected is None) == (found is None), model
        if expected is None or found is None or not is_whole(found[1]):
            continue
        seen += 1
        recordings.replayed(row)
        price = every_list.of(listing, model, NOW.timestamp(), usage.tier)
        usage = priced(found[1], usage)
        cost = expected.cost(theirs(usage), NOW, tier_context(expected, found[1], usage))
        if (exact(price, usage), price.cost(usage), price.is_known) != (cost, round(cost), True):
            wrong.append(f"{row['id']}: {float(exact(price, usage))}, and the oracle {float(cost)}")
    assert wrong == []
    assert seen > 1200


# What hosts say that the oracle does not read, or reads otherwise than they bill it, and in which words it does. The
# tier is not for it to read, and of searches it reads Anthropic's alone.


def _modalities_as_words(usage: Said) -> None:
    """Some answers of Google's have them as the numbers of its protocol buffers, on which the oracle breaks."""
    for rows in usage.values():
        for row in rows if isinstance(rows, list) else ():
            if isinstance(number := row["modality"], int):
                row["modality"] = MODALITIES[number]


def _hits_under_one_name(usage: Said) -> None:
    """DeepSeek and Mistral have words of their own for what was cached."""
    for own in ("prompt_cache_hit_tokens", "num_cached_tokens"):
        if own in usage:
            usage.setdefault("prompt_tokens_details", {}).setdefault("cached_tokens", usage[own])


def _hits_within_the_prompt(usage: Said) -> None:
    """xAI on Azure counts a cached prompt of its own, longer than the client's; the oracle refuses that. Nobody knows
    how much of the client's was cached.
    """
    details = usage.get("prompt_tokens_details") or {}
    if details.get("cached_tokens") and details["cached_tokens"] > usage["prompt_tokens"]:
        details["cached_tokens"] = 0


def _thoughts_beside_the_rest(usage: Said) -> None:
    """Of Gemini's thoughts its OpenAI wire tells in the total alone, and Google bills them as output."""
    usage["completion_tokens"] = usage["total_tokens"] - usage["prompt_tokens"]


MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
RESPELLINGS: dict[str, tuple[Callable[[Said], None], ...]] = {
    "gemini": (_modalities_as_words,),
    "vertex": (_modalities_as_words,),
    "deepseek": (_hits_under_one_name,),
    "mistral": (_hits_under_one_name,),
    "azure": (_hits_within_the_prompt,),
    "gemini-openai": (_thoughts_beside_the_rest,),
}
# Which of the oracle's readings an endpoint has, where the provider's list has one of that name.
FLAVOURS = {"chat_completions": "chat", "responses": "responses"}


@recordings.needs_recordings
def test_every_whole_answer_is_read_as_the_oracle_reads_it() -> None:
    seen, different, respelled = 0, set(), set()
    for row, listing, model, usage in HEARD:
        expected, found = oracle(listing, model), catalogue.find(listing, model)
        flavour = "" if expected is None else _flavour(row, expected.provider)
        if row["framing"] != "json" or expected is None or found is None or not flavour:
            continue
        seen += 1
        said, answer = json.loads(recordings.body(row)), _in_its_words(row)
        if said != answer:
            respelled.add(row["provider"])
        _, read = expected.provider.extract_usage(answer, api_flavor=flavour)
        usage = priced(found[1], usage)
        read.web_searches = usage.searches
        cost = expected.cost(read, NOW, tier_context(expected, found[1], usage))
        if exact(every_list.of(listing, model, NOW.timestamp(), usage.tier), usage) != cost:
            different.add(row["id"])
    assert different == set()
    assert respelled == RESPELLINGS.keys()  # none of them is there for nothing
    assert seen > 1000


def _in_its_words(row: recordings.Row) -> Said:
    answer: Said = json.loads(recordings.body(row))
    for respell in RESPELLINGS.get(row["provider"], ()):
        respell(answer.get("usage") or answer.get("usageMetadata") or {})
    return answer


def _flavour(row: recordings.Row, provider: types.Provider) -> str:
    """ "" where the oracle reads no such answers."""
    named = [extractor.api_flavor for extractor in provider.extractors or ()]
    wanted = "anthropic" if row["provider"] == "vertex-anthropic" else FLAVOURS.get(row["endpoint"], "default")
    if wanted in named:
        return wanted
    is_default = row["provider"] != "bedrock-mantle" and "default" in named
    return "default" if is_default else ""


# --- every model ------------------------------------------------------------------------------------------------------


def names(row: Model) -> Iterator[str]:
    """Some of the names that a row has: each that it says whole, or the beginning of."""
    yield row.id
    for clause in row.match.get("or", [row.match]):
        yield from (text for kind, text in clause.items() if kind in ("equals", "starts_with"))


NAMES = sorted(
    {
        (listing, name)
        for listing in LISTED
        for row in catalogue.lists[listing].models
        for name in names(msgspec.json.decode(row, type=Model))
    }
)


FOUND = {(listing, name): found[1] for listing, name in NAMES if (found := catalogue.find(listing, name))}


def test_every_name_means_the_same_row() -> None:
    for listing, name in NAMES:
        expected, found = oracle(listing, name), catalogue.find(listing, name)
        assert (found[1].id if found else None) == (expected.model.id if expected else None), (listing, name)


suffixes = st.sampled_from(["", "-latest", "-20251211", "-20251399", ":free", "-mini", "@20250805", "-v1:0", "-TTS"])


@given(st.sampled_from(NAMES), suffixes, st.sampled_from(["", "us.", "models/", "openai/"]), st.booleans())
def test_any_name_means_the_same_row(name: tuple[str, str], suffix: str, prefix: str, upper: bool) -> None:
    listing, spelt = name[0], prefix + name[1] + suffix
    spelt = spelt.upper() if upper else spelt
    expected, found = oracle(listing, spelt), catalogue.find(listing, spelt)
    assert (found[1].id if found else None) == (expected.model.id if expected else None)


def test_every_model_costs_what_the_oracle_says() -> None:
    seen = 0
    for listing, name in NAMES:
        expected, found = oracle(listing, name), catalogue.find(listing, name)
        if expected is None or found is None or not is_whole(found[1]) or _is_free(found[1]):
            continue
        seen += 1
        price = every_list.of(listing, name, NOW.timestamp())
        usage = hourless(expected, found[1], COUNTS)
        assert exact(price, usage) == expected.cost(theirs(usage)), (listing, name)
        assert price.source == "genai-prices 0.2.3"
        assert price.is_known
    assert seen > 2000


def _is_free(row: Model) -> bool:
    return row.prices[0].rates == build_prices.NOTHING


def test_a_name_that_says_so_is_free() -> None:
    price = every_list.of("openrouter", "deepseek/deepseek-r1:free", NOW.timestamp())
    assert price.cost(COUNTS) == price.bound(10**6, 10**6) == 0
    assert price.is_known


WHOLE = [key for key, row in FOUND.items() if is_whole(row)]
few = st.one_of(st.integers(0, 100), st.integers(0, 500_000), st.integers(0, SANE))
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What Google tells of pictures and sound is a part of the buckets, and so it is here."""
    image, video, cached_audio, painted = (draw(st.integers(0, 10**6)) for _ in range(4))
    details: dict[str, Any] = {
        "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": image}, {"modality": "VIDEO", "tokenCount": video}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": cached_audio}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": painted}],
    }
    counts = {bucket: draw(few) for bucket in BUCKETS}
    counts["input"] += image + video
    counts["cache_read"] += cached_audio
    counts["output"] += painted
    return used(counts | {"searches": draw(st.integers(0, 20))}, draw(st.sampled_from([{}, details])))


@settings(max_examples=examples(200))
@given(st.sampled_from(WHOLE), usages(), moments)
def test_any_usage_costs_what_the_oracle_says(name: tuple[str, str], usage: Usage, when: datetime) -> None:
    listing, model = name
    expected, found = known(listing, model)
    row = found.standard(when.timestamp())
    assume({"input", "output"} <= row.keys() and not is_absurd(usage))
    assume("search" in row or not usage.searches)  # else it costs what the dearest one does
    usage = hourless(expected, found, usage, when)
    price = every_list.of(listing, model, when.timestamp())
    cost = expected.cost(theirs(usage), when)
    assert exact(price, usage) == cost
    assert price.cost(usage) == min(round(cost), DEAREST)


TIERED = [
    (listing, name, tier)
    for listing, name in NAMES
    if (found := catalogue.find(listing, name)) and found[0] == listing  # a list's tiers are unknown where it is fallen
    for tier in found[1].tiers  # back on, to the oracle
]
lately = st.datetimes(datetime(2026, 10, 15), datetime(2028, 1, 1), timezones=st.just(UTC))


@settings(max_examples=examples(200))
@given(st.sampled_from(TIERED), usages().map(lambda usage: replace(usage, searches=0)), lately)
def test_any_tier_costs_what_the_oracle_says(name: tuple[str, str, str], usage: Usage, when: datetime) -> None:
    listing, model, tier = name
    expected, found = known(listing, model)
    assume(not is_absurd(usage))
    assume(
        {"input", "output"} <= found.by_tier(when.timestamp()).get(tier, {}).keys()
    )  # else it is no model that chats
    variants = expected.model.price_variants or ()
    context = next(variant.when for variant in variants if [*variant.when.values()] == [tier])
    usage = hourless(expected, found, usage, when)
    price = every_list.of(listing, model, when.timestamp(), tier)
    assert exact(price, usage) == expected.cost(theirs(usage), when, context)
    assert price.is_known


# --- bounds -----------------------------------------------------------------------------------------------------------

parts = st.lists(st.integers(0, 300_000), min_size=5, max_size=5)


@settings(max_examples=examples(200))
@given(st.sampled_from(NAMES), parts, parts, st.integers(0, 10), moments)
def test_no_usage_within_a_bound_is_dearer(
    name: tuple[str, str], read: list[int], written: list[int], spare: int, when: datetime
) -> None:
    listing, model = name
    image, painted = {"modality": "IMAGE", "tokenCount": read[0]}, {"modality": "IMAGE", "tokenCount": written[0]}
    details = {"promptTokensDetails": [image], "candidatesTokensDetails": [painted]}
    usage = used(dict(zip(BUCKETS, read + written[:3], strict=True)), details)
    price = every_list.of(listing, model, when.timestamp())
    assert price.cost(usage) <= price.bound(usage.total_input + spare, usage.total_output + spare)


@recordings.needs_recordings
def test_nothing_that_was_recorded_cost_more_than_it_was_bound_to() -> None:
    """What a request says of its answer's length counts; where it says nothing, what was written."""
    seen, dearer = 0, set()
    for row, listing, model, usage in HEARD:
        if not isinstance(row.get("request_json"), dict):
            continue
        envelope, bounds = _asked(row), registry.dialect(DIALECTS[row["endpoint"]]).bounds
        known = extent(envelope, bounds, Longest(usage.total_output, usage.total_output), model)
        if known.is_open or known.output is None:
            continue
        seen += 1
        elided = sum(each["chars"] for each in row["request_elided"])
        price = every_list.of(listing, model, NOW.timestamp(), tier(envelope, bounds))
        is_billed_so = "billed_units" not in usage.extra  # Cohere's models read a preamble that nobody pays for
        longer = usage.total_input > known.input + elided and is_billed_so
        if longer or price.cost(usage) > price.bound(known.input + elided, known.output):
            dearer.add(row["id"])
    assert not dearer
    assert seen > 1000


def _asked(row: recordings.Row) -> Envelope:
    """As tersely as it can be said."""
    return Envelope(json.dumps(row["request_json"], separators=(",", ":"), ensure_ascii=False).encode())


def test_a_fee_is_for_what_has_no_bound_or_is_in_the_bound() -> None:
    """By request: in it. By search and citation: the models that search unasked, and else a tool of the provider's."""
    nothing, bounds = Envelope(b"{}"), registry.dialect("openai_chat").bounds
    cites = {model for (_, model), row in FOUND.items() if "citation" in row.standard(NOW.timestamp())}
    assert cites
    assert all(extent(nothing, bounds, Longest(), model).is_open for model in cites)
    kinds = {kind for row in FOUND.values() for kind in row.standard(NOW.timestamp())}
    assert kinds - set(BUCKETS) - DETAILS.keys() == {"search", "request", "citation"}
    for listing, name in NAMES:
        price = every_list.of(listing, name, NOW.timestamp())
        assert price.cost(Usage()) <= price.bound(0, 0)


def test_the_dearest_is_no_cheaper_than_any_row() -> None:
    """In any bucket, in any tier, at any time."""
    one_name = {(listing, row.id): name for (listing, name), row in FOUND.items()}
    for (listing, _), name in one_name.items():
        dearest, row = every_list._dearest(listing), FOUND[listing, name]
        turns = [turn for dated in row.prices for turn in dated.turns(NOW.timestamp())]
        for when in (NOW.timestamp(), 0.0, *turns):
            price = every_list.of(listing, name, when)
            for each in {id(each): each for each in (price, *price.tiers.values())}.values():
                assert all(each.cost(usage) <= dearest.cost(usage) for usage in ONE_OF_EACH), (listing, name)


ONE_OF_EACH = [used({bucket: 10**6}) for bucket in BUCKETS]
