"""Does a price hold what it says: rounded once, by the tier and the day, and nothing free by accident?"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
import yaml
from genai_prices import types
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import prices as module
from proxy.canon import BUCKETS, Usage
from proxy.config import schema
from proxy.errors import ConfigError
from proxy.grammar.counts import SANE
from proxy.prices import Price, Prices, UnknownPrice, is_absurd
from proxy.prices.lists import Clause, Dated, Index, Model
from proxy.prices.price import MOST as DEAREST
from proxy.prices.rates import Rates
from tools import build_prices

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FILE = json.loads(build_prices.FILE.read_bytes())
PRESETS = yaml.safe_load((build_prices.PROXY / "presets.yaml").read_text())["providers"]
LISTS = {name: row.get("prices", "") for name, row in PRESETS.items()}
COUNTS = Usage(input=8191, cache_read=127, cache_write=31, cache_write_1h=61, output=4093, reasoning=2039)

every_list = Prices({name: name for name in FILE["lists"]}, {}, [], "dearest")


def used(counts: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Usage:
    """`counts`: by bucket."""
    return Usage(**counts, extra=dict(extra or {}))


def priced(provider: str = "openai", unknown: str = "dearest", **overrides: schema.Price) -> Prices:
    """`overrides`: models of the provider, in words that may stand here."""
    lists = {provider: LISTS.get(provider, ""), "nobody": ""}
    named = {f"{provider}/{model.replace('_', '-')}": price for model, price in overrides.items()}
    return Prices(lists, named, ["ollama"], unknown)


def exact(price: Price, usage: Usage) -> Fraction:
    """Nano-dollars before they are rounded."""
    return Fraction(price.rates.total(usage), price.rates.denominator)


# --- sums -------------------------------------------------------------------------------------------------------------


def test_a_bound_covers_what_lies_below_a_threshold() -> None:
    """Beyond the threshold a price may fall: the dearest prompt is then a shorter one."""
    rates = Rates({"input": {0: "2", 1000: "1"}, "output": "1"})
    price = Price("test", rates)
    assert price.cost(Usage(input=1000)) == 2_000_000
    assert price.cost(Usage(input=1001)) == 1_001_000
    assert price.bound(1001, 0) == 2_000_000
    assert price.bound(-5, -5) == 0


@pytest.mark.parametrize(("tokens", "nanos"), [(1, 0), (3, 2), (5, 2), (7, 4), (0, 0)])
def test_half_a_nano_dollar_goes_to_the_even_one(tokens: int, nanos: int) -> None:
    price = Price("test", Rates({"input": "0.0005", "output": "0"}))
    assert price.cost(Usage(input=tokens)) == nanos


def test_more_than_half_goes_up() -> None:
    price = Price("test", Rates({"input": "0.0007", "output": "0"}))
    assert [price.cost(Usage(input=tokens)) for tokens in (1, 2)] == [1, 1]
    assert price.bound(2, 0) == 2


# --- tiers ------------------------------------------------------------------------------------------------------------


def test_a_tier_is_named_in_many_ways() -> None:
    price = every_list.of("openai", "gpt-5", NOW.timestamp())
    priority = price.at("priority")
    assert priority.cost(COUNTS) > price.cost(COUNTS) > price.at("flex").cost(COUNTS)
    for word in ("", "auto", "default", "ON_DEMAND", "standard", "scale"):
        assert price.at(word) is price
    for word in ("PRIORITY", "SERVICE_TIER_PRIORITY", "ON_DEMAND_PRIORITY"):
        assert price.at(word) is priority
    assert priority.at("default") is price


def test_a_tier_without_a_price_is_never_free() -> None:
    price = every_list.of("openai", "gpt-4", NOW.timestamp())
    unknown, flex = price.at("turbo"), price.at("flex")
    assert (unknown.source, unknown.is_known) == ("dearest of openai", False)
    assert unknown.cost(Usage(output=10**6)) == 600 * 10**9
    assert (flex.source, flex.is_known, flex.cost(COUNTS)) == (price.source, False, price.cost(COUNTS))
    assert unknown.at("default") is price


def test_the_tier_that_served_counts_and_not_the_one_that_was_asked_for() -> None:
    price = every_list.of("openai", "gpt-5", NOW.timestamp(), "priority")
    served = Usage(input=1000, tier="default")
    assert price.cost(served) == price.at("default").cost(Usage(input=1000)) < price.cost(Usage(input=1000))
    assert price.cost(served, "priority") == price.cost(Usage(input=1000))


# --- what stands beside the tokens ------------------------------------------------------------------------------------


def test_searches_by_the_provider_cost_what_they_cost() -> None:
    searched = Usage(searches=3)
    assert every_list.of("anthropic", "claude-sonnet-4-5", NOW.timestamp()).cost(searched) == 30_000_000
    # claude-3-opus has no price for them, so they cost what they do elsewhere at Anthropic's
    assert every_list.of("anthropic", "claude-3-opus-latest", NOW.timestamp()).cost(searched) == 30_000_000


def test_perplexity_is_paid_by_request_or_by_search() -> None:
    told = {"num_search_queries": 7, "citation_tokens": 1000}
    assert every_list.of("perplexity", "sonar-pro", NOW.timestamp()).cost(Usage()) == 14_000_000
    research = every_list.of("perplexity", "sonar-deep-research", NOW.timestamp())
    assert research.cost(Usage(extra=told)) == 7 * 5_000_000 + 1000 * 2_000
    plain = every_list.of("perplexity", "sonar", NOW.timestamp())
    assert plain.cost(Usage(extra={"num_search_queries": 7})) == 12_000_000


def test_no_picture_has_more_tokens_than_were_counted() -> None:
    """gemini-2.5-flash-image: 2.5 dollars for text, 30 for pictures."""
    price = every_list.of("google", "gemini-2.5-flash-image", NOW.timestamp())
    painted = {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}
    assert price.cost(Usage(output=1300, extra=painted)) == 1290 * 30_000 + 10 * 2_500
    assert price.cost(Usage(output=10, extra=painted)) == 10 * 30_000


def test_cohere_bills_other_tokens_than_were_read() -> None:
    price = every_list.of("cohere", "command-a-03-2025", NOW.timestamp())
    told = {"billed_units": {"input_tokens": 57, "output_tokens": 20}}
    assert price.cost(Usage(input=1378, cache_read=112, output=94, extra=told)) == price.cost(
        Usage(input=57, output=20)
    )
    assert price.cost(Usage(input=57, extra={"billed_units": {"search_units": 1}})) == price.cost(Usage(input=57))


_KEYS = (
    "service_tier serviceTier trafficType speed server_tool_use web_search_requests num_search_queries citation_tokens"
    " billed_units input_tokens output_tokens promptTokensDetails toolUsePromptTokensDetails cacheTokensDetails"
    " candidatesTokensDetails modality tokenCount x"
).split()
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["IMAGE", "priority"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(
    st.sampled_from(["gpt-5", "claude-sonnet-4-5", "gemini-2.5-flash-image", "sonar-deep-research", "command-a", "?"]),
    st.dictionaries(st.sampled_from(_KEYS), json_values),
    st.lists(st.integers(-(10**30), 10**30), min_size=8, max_size=8),
    st.text(max_size=12),
)
def test_whatever_a_provider_tells_costs_something_from_nothing_up(
    model: str, extra: dict[str, Any], counts: list[int], tier: str
) -> None:
    usage = used(dict(zip(BUCKETS, counts, strict=True)), extra)
    for listing in ("openai", "anthropic", "google", "perplexity", "cohere"):
        assert 0 <= every_list.of(listing, model, NOW.timestamp(), tier).cost(usage) <= DEAREST


@pytest.mark.parametrize("count", [-1, SANE + 1, -(10**40), 2**39, 2**40, 10**40])
@pytest.mark.parametrize("bucket", BUCKETS)
def test_an_absurd_count_costs_nothing_and_is_told(bucket: str, count: int) -> None:
    price = every_list.of("openai", "gpt-5", NOW.timestamp())
    usage = used({"output": 100, bucket: count})
    is_sane = 0 <= count <= SANE
    assert is_absurd(usage) is not is_sane
    rest = Usage() if bucket == "output" else Usage(output=100)
    assert (price.cost(usage) == price.cost(rest)) is not is_sane


def test_no_cost_outgrows_the_ledger() -> None:
    price = priced(x=schema.Price(input=10**9, output=10**9)).of("openai", "x", 0.0)
    usage = used(dict.fromkeys(BUCKETS, SANE))
    assert price.cost(usage) == price.bound(usage.total_input, usage.total_output) == DEAREST < 2**63


def test_a_sane_count_is_not_told() -> None:
    assert not is_absurd(Usage())
    assert not is_absurd(used(dict.fromkeys(BUCKETS, SANE)))


# --- when -------------------------------------------------------------------------------------------------------------


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_price_changes_with_the_hour_and_the_day_and_back() -> None:
    prices = priced("deepseek")

    def input_price(when: str) -> int:
        return prices.of("deepseek", "deepseek-v4-pro", _at(when)).cost(Usage(input=10**6))

    off, peak, first, second = 660_000_000, 1_320_000_000, 435_000_000, 660_000_000
    assert input_price("2026-11-21T00:59:59") == off
    assert input_price("2026-11-21T01:00:00") == peak
    assert input_price("2026-11-21T03:59:59.999") == peak
    assert input_price("2026-11-21T04:00:00") == off
    assert input_price("2026-11-21T06:00:00") == peak
    assert input_price("2026-11-22T05:00:00") == off
    assert input_price("2026-08-16T23:59:59") == first  # a clock that goes back
    assert input_price("2026-08-17T00:00:00") == second
    assert input_price("1969-12-31T23:00:00") == first


def test_a_price_is_worked_out_once_while_it_stands_still() -> None:
    prices = priced("deepseek")
    morning = prices.of("deepseek", "deepseek-chat", _at("2026-11-21T01:00:00"))
    assert prices.of("deepseek", "deepseek-chat", _at("2026-11-21T16:29:00")) is morning
    assert prices.of("deepseek", "deepseek-chat-x", _at("2026-11-21T16:29:00")) is morning
    assert prices.of("deepseek", "deepseek-chat", _at("2026-11-21T16:30:00")) is not morning


# --- a row ------------------------------------------------------------------------------------------------------------


def test_a_cache_that_claude_writes_for_an_hour_costs_twice_the_input_wherever_it_is_sold() -> None:
    """Half of these rows said nothing of it, so that it cost what five minutes do."""
    seen = 0
    for listing, said in FILE["lists"].items():
        for row in said["models"]:
            if "claude" not in row["id"] or not any("cache_write" in dated["rates"] for dated in row["prices"]):
                continue
            seen += 1
            rates = Rates(msgspec.json.decode(msgspec.json.encode(row), type=Model).standard(NOW.timestamp()))
            price = Price("test", rates)
            assert price.exact(Usage(cache_write_1h=1)) == 2 * price.exact(Usage(input=1)), (listing, row["id"])
    assert seen == 130


def test_the_first_row_that_matches_counts() -> None:
    either: Clause = {"or": [{"equals": "m-2"}, {"contains": "2"}]}
    clauses: list[Clause] = [{"equals": "m-1"}, either, {"starts_with": "m"}, {"equals": "m-3"}]
    rows = [Model(str(number), clause, []) for number, clause in enumerate(clauses)]
    index = Index([msgspec.Raw(msgspec.json.encode(row)) for row in rows])
    found = {name: row.id if (row := index.find(name)) else None for name in ("m-1", "m-2", "m-3", "x2", "x")}
    assert found == {"m-1": "0", "m-2": "1", "m-3": "2", "x2": "1", "x": None}


def test_of_two_variants_of_a_tier_the_first_that_is_valid_counts_for_each_kind() -> None:
    variants = [Dated({"input": "5"}, since=date(2026, 1, 2)), Dated({"input": "3", "output": "4"})]
    row = Model("m", {"equals": "m"}, [Dated({"input": "1", "output": "2", "search": "9"})], {"fast": variants})
    assert row.by_tier(_at("2026-01-01")) == {"fast": {"input": "3", "output": "4", "search": "9"}}
    assert row.by_tier(_at("2026-01-02")) == {"fast": {"input": "5", "output": "4", "search": "9"}}


def test_hours_may_span_midnight() -> None:
    night = Dated({}, hours=(time(16, 30), time(0, 30)))
    assert [night.is_valid(_at(f"2026-01-01T{hour}")) for hour in ("00:29", "00:30", "16:29", "16:30")] == [1, 0, 0, 1]


# --- what the operator says -------------------------------------------------------------------------------------------


def test_an_override_wins_and_holds_in_every_tier() -> None:
    prices = priced(gpt_5=schema.Price(input=0.15, output=0.6, cache_read=0.07, request=0.001))
    price = prices.of("openai", "gpt-5", NOW.timestamp(), "priority")
    usage = Usage(input=1, cache_read=1, cache_write=1, cache_write_1h=1, audio_input=1, output=1, reasoning=1)
    assert price.cost(usage) == 150 * 4 + 70 + 600 * 2 + 1_000_000
    assert (price.source, price.is_known, price.is_free) == ("config", True, False)
    assert price.cost(Usage(searches=1)) == 1_000_000 + 10_000_000


@given(st.floats(0, 10**9), st.floats(0, 10**9), st.integers(0, 10**6))
def test_an_override_is_the_decimal_that_was_written(read: float, written: float, tokens: int) -> None:
    price = priced(x=schema.Price(input=read, output=written)).of("openai", "x", 0.0)
    expected = (Fraction(Decimal(repr(read))) + Fraction(Decimal(repr(written)))) * tokens * 1000
    assert exact(price, Usage(input=tokens, output=tokens)) == expected


def test_an_override_of_nothing_is_free() -> None:
    price = priced(x=schema.Price(input=0, output=0)).of("openai", "x", 0.0)
    assert price.is_free
    assert price.cost(Usage(input=5, searches=1)) == 0


def test_an_override_wins_over_free() -> None:
    prices = Prices({"ollama": ""}, {"ollama/big": schema.Price(input=1, output=1)}, ["ollama"], "dearest")
    assert prices.of("ollama", "big", 0.0).source == "config"
    assert prices.of("ollama", "small", 0.0).source == "free"


def test_a_machine_of_ones_own_is_free() -> None:
    price = priced().of("ollama", "whatever", 0.0, "priority")
    assert (price.source, price.is_known, price.is_free, price.cost(COUNTS)) == ("free", True, True, 0)
    assert price.bound(10**9, 10**9) == 0


# --- what nobody knows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "source", "fee"), [("openai", "dearest of openai", 0), ("nobody", "dearest of all lists", 14_000_000)]
)
def test_an_unknown_model_costs_what_the_dearest_does(provider: str, source: str, fee: int) -> None:
    price = priced().of(provider, "mystery", NOW.timestamp())
    assert (price.source, price.is_known, price.is_free) == (source, False, False)
    assert price.cost(Usage(output=10**6)) == 600 * 10**9 + fee


@pytest.mark.parametrize("name", ["anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"])
def test_the_arn_of_a_model_costs_what_the_model_does(name: str) -> None:
    prices, now = Prices({"bedrock": "aws"}, {}, [], "refuse"), NOW.timestamp()
    for arn in (
        f"arn:aws:bedrock:us-east-1::foundation-model/{name}",
        f"arn:aws-us-gov:bedrock:us-gov-west-1:1:inference-profile/us-gov.{name}",
    ):
        assert prices.of("bedrock", arn, now).cost(COUNTS) == prices.of("bedrock", name, now).cost(COUNTS)
    with pytest.raises(UnknownPrice):
        prices.of("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", now)


def test_an_unknown_model_is_free_where_the_operator_says_so() -> None:
    price = priced(unknown="free").of("openai", "mystery", NOW.timestamp())
    assert (price.source, price.is_known, price.is_free) == ("free", False, True)


@pytest.mark.parametrize(
    ("name", "times", "is_known"),
    [
        ("anthropic/claude-sonnet-4.5:floor", 1, True),
        ("anthropic/claude-sonnet-4.5:exacto", 1, True),
        ("anthropic/claude-sonnet-4.5:nitro", 1, False),
        ("anthropic/claude-sonnet-4.5:online", 1, False),
        ("nobody/knows:free", 0, True),
        ("nobody/knows:nitro", None, False),
        ("nobody/knows:free:online", None, False),  # which has a fee
        ("anthropic/claude-sonnet-4.5:sideways", None, False),
        (":nitro", None, False),
    ],
)
def test_a_route_of_openrouters_costs_what_the_model_does(name: str, times: int | None, is_known: bool) -> None:
    model = every_list.of("openrouter", "anthropic/claude-sonnet-4.5", NOW.timestamp())
    price = every_list.of("openrouter", name, NOW.timestamp())
    dearest = every_list.of("openrouter", "mystery", NOW.timestamp())
    expected = dearest.cost(COUNTS) if times is None else times * model.cost(COUNTS)
    assert (price.cost(COUNTS), price.is_known) == (expected, is_known)


def test_the_operators_price_of_a_model_holds_for_its_routes() -> None:
    prices = priced("openrouter", "refuse", mystery=schema.Price(input=1, output=1))
    assert prices.of("openrouter", "mystery:nitro", NOW.timestamp()).source == "config"


AUDIO_READ = [{"modality": "AUDIO", "tokenCount": 900}, {"modality": "TEXT", "tokenCount": 100}]


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        # Of gemini-2.5-flash: 0.3 dollars for a million of text, 0.03 cached; 1 for a million of sound, 0.1 cached.
        (Usage(input=500, cache_read=500), 500 * 300 + 500 * 30),
        (Usage(input=50, audio_input=450, cache_read=500), 50 * 300 + 450 * 1000 + 500 * 100),
        (Usage(cache_read=1000, extra={"promptTokensDetails": AUDIO_READ}), 1000 * 100),
        (
            Usage(cache_read=1000, extra={"promptTokensDetails": AUDIO_READ, "cacheTokensDetails": AUDIO_READ}),
            900 * 100 + 100 * 30,
        ),
    ],
)
def test_what_was_cached_is_sound_where_nobody_says_what_it_was(usage: Usage, nanos: int) -> None:
    assert every_list.of("google", "gemini-2.5-flash", NOW.timestamp()).cost(usage) == nanos


def test_a_known_model_in_an_unknown_tier_is_not_free_even_so() -> None:
    price = priced(unknown="free").of("openai", "gpt-5", NOW.timestamp(), "turbo")
    assert (price.is_known, price.is_free) == (False, False)


@pytest.mark.parametrize(
    ("model", "tier"), [("mystery", ""), ("gpt-5", "turbo"), ("text-embedding-3-small", ""), ("whisper-1", "")]
)
def test_what_nobody_knows_is_refused_where_the_operator_says_so(model: str, tier: str) -> None:
    with pytest.raises(UnknownPrice, match=f"openai/{model}.*unknown_price") as caught:
        priced(unknown="refuse").of("openai", model, NOW.timestamp(), tier)
    assert (caught.value.status, caught.value.code) == (400, "unknown_price")
    assert tier in caught.value.message


def test_what_is_known_is_not_refused() -> None:
    assert priced(unknown="refuse").of("openai", "gpt-5", NOW.timestamp(), "default").is_known


@pytest.mark.parametrize(("provider", "source"), [("openai", "dearest of openai"), ("nobody", "dearest of nobody")])
def test_an_unknown_model_costs_no_less_than_one_with_a_price_of_the_operators(provider: str, source: str) -> None:
    said = {
        f"{provider}/dear": schema.Price(input=3000, output=5000),
        f"{provider}/cheap": schema.Price(input=1, output=1),
    }
    prices = Prices(
        {"openai": "openai", "nobody": ""}, {**said, "other/x": schema.Price(input=9000, output=9000)}, [], "dearest"
    )
    price = prices.of(provider, "mystery", NOW.timestamp())
    assert (price.source, price.is_known) == (source, False)
    assert price.cost(Usage(input=1000, output=1000)) == 8_000_000_000
    assert prices.of(provider, "cheap", NOW.timestamp()).cost(Usage(input=1000)) == 1_000_000
    alone = Prices({provider: "openai"}, {f"{provider}/cheap": schema.Price(input=1, output=1)}, [], "dearest")
    assert alone.of(provider, "mystery", NOW.timestamp()).source == "dearest of openai"


def test_a_hole_costs_what_the_dearest_does() -> None:
    """An embedding model has no price for output: should one ever write, it is no gift."""
    price = every_list.of("openai", "text-embedding-3-small", NOW.timestamp())
    assert (price.source, price.is_known) == ("genai-prices 0.2.3 and dearest of openai", False)
    assert price.cost(Usage(input=10**6)) == 20_000_000
    assert price.cost(Usage(output=10**6)) == 600 * 10**9


def test_a_model_without_any_price_is_unknown() -> None:
    price = every_list.of("openai", "whisper-1", NOW.timestamp())
    assert (price.source, price.is_known) == ("dearest of openai", False)


# --- the memory of it -------------------------------------------------------------------------------------------------


def test_names_that_clients_choose_are_not_kept_for_ever() -> None:
    prices = priced()
    for number in range(2 * module.REMEMBERED + 5):
        prices.of("openai", f"gpt-4o-{number}", NOW.timestamp())
    prices.of("openai", "gpt-4o-" + "x" * 10**6, NOW.timestamp())
    assert len(prices._met) <= module.REMEMBERED
    assert len(prices._rows) <= 3
    assert max(len(model) for _, model in prices._met) <= module.LONGEST


def test_a_name_longer_than_any_is_unknown() -> None:
    assert not priced().of("openai", "gpt-4o-" + "x" * module.LONGEST, NOW.timestamp()).is_known


def test_no_list_is_read_for_what_is_free() -> None:
    prices = Prices({"ollama": ""}, {}, ["ollama", "echo"], "dearest")
    assert prices.of("echo", "x", 0.0).is_free
    assert "_catalogue" not in vars(prices)


def test_lists_are_read_before_the_first_request() -> None:
    assert "_catalogue" in vars(priced())
    assert set(priced()._catalogue.lists) == {"openai"}
    assert set(priced("azure")._catalogue.lists) > {"azure", "openai"}


def test_a_list_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(
        ConfigError, match=r"providers\.mine\.prices: there is no price list opnai: must be one of .*openai"
    ):
        Prices({"mine": "opnai"}, {}, [], "dearest")


def test_prices_show_themselves() -> None:
    prices = priced()
    assert repr(prices) == "<Prices of openai (openai)>"
    assert repr(prices.of("openai", "gpt-5", NOW.timestamp())) == "<Price genai-prices 0.2.3>"
    assert repr(prices.of("openai", "mystery", NOW.timestamp())) == "<Price dearest of openai, a guess>"
    assert repr(prices.of("ollama", "x", NOW.timestamp())) == "<Price free, free>"


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_what_the_tool_makes() -> None:
    assert build_prices.FILE.read_bytes() == build_prices.build(FILE["date"]), "run python -m tools.build_prices DATE"


def test_the_file_says_where_it_is_from_and_under_which_licence() -> None:
    assert FILE["source"] == "genai-prices 0.2.3"
    assert "MIT License" in FILE["licence"]
    assert "Pydantic Services Inc." in FILE["licence"]


def test_a_preset_has_a_list_or_is_free_or_is_known_to_have_none() -> None:
    without = {name for name, row in PRESETS.items() if "prices" not in row and not row.get("free")}
    assert without == {
        "nvidia", "huggingface", "alibaba", "crusoe", "vercel-gateway", "ollama-cloud",
        "deepinfra", "sambanova", "nebius", "novita", "hyperbolic", "baseten", "minimax",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: build_prices._tier({"weather": "fair"}), "depends on weather"),
        (lambda: build_prices._dated(types.ModelPrice(input_furlongs=Decimal(1)), None), "input_furlongs"),
        (lambda: build_prices._dated(types.ModelPrice(), object()), "depends on"),
        (lambda: build_prices._with_hours({"cache_write": "1"}), "an hour"),
        (lambda: build_prices.main([]), "usage"),
    ],
)
def test_what_the_tool_does_not_know_ends_it(build: Callable[[], object], what: str) -> None:
    with pytest.raises(build_prices.Unforeseen, match=what):
        build()
