"""Is docs/matrix.md up to date, is all of a request in it, and is nothing lost in silence but what it says?"""

from msgspec import to_builtins
from msgspec.structs import fields

from proxy.canon import Request
from tools.matrix import MODELS, PAGE, bucket, outcome, page, said, word_out, words_in
from tools.probes import PROBES, Probe

EVERY = [probe for probes in PROBES.values() for probe in probes]

# What no cell asks for: the address, what a client says of how it asked, and what only shows in the answer.
UNASKED = {
    "wire",
    "model",
    "call",
    "as_array",
    "ask_usage",
    "thoughts",
    "cache_points",
    "searches",
    "ways",
    "hinted",
    "include_usage",
    "limit_field",
    "longest",
    "names",
}


def probe(name: str) -> Probe:
    return next(each for each in EVERY if each.name == name)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python -m tools.matrix writes it anew"


def test_every_field_of_a_request_is_asked_for() -> None:
    def differing(each: Probe) -> set[str]:
        asks, silent = to_builtins(each.asks), to_builtins(each.silent)
        return {key for key in asks if asks[key] != silent[key]}

    asked = set().union(*map(differing, EVERY))
    assert {field.name for field in fields(Request)} - asked == UNASKED


def test_a_name_stands_once_in_its_group() -> None:
    for group, probes in PROBES.items():
        assert len({each.name for each in probes}) == len(probes), group


def test_nothing_is_lost_in_silence() -> None:
    each_with = [(each, wire, model) for each in EVERY for wire, models in MODELS.items() for model in models]
    assert [(each.name, wire) for each, wire, model in each_with if outcome(each, wire, model) == "gone"] == []


def test_a_cell_tells_its_outcomes_apart() -> None:
    found = {
        outcome(probe("image by URL"), "bedrock", "m"),
        outcome(probe("seed"), "anthropic", "m"),
        outcome(probe("temperature above 1"), "anthropic", "claude-sonnet-4-5"),
        outcome(probe("temperature"), "anthropic", "claude-sonnet-4-5"),
        outcome(probe("choice: auto"), "cohere", "m"),
        outcome(probe("citations")._replace(asks=probe("citations").silent), "cohere", "m"),
    }
    assert found == {"refused", "receipt", "nearest", "carried", "so anyway", "gone"}


def test_what_a_client_can_say() -> None:
    assert [said(probe("n"), wire) for wire in ("openai_chat", "anthropic")] == ["yes", "no"]
    assert said(probe("developer"), "gemini") == "nearly"


def test_tokens_and_endings() -> None:
    assert bucket("cache_write_1h", "anthropic") == "told apart"
    assert bucket("cache_write_1h", "openai_chat") == "in cache_write"
    assert bucket("reasoning", "ollama") == "in output"
    assert words_in("content_filter", "bedrock") == "`content_filtered`, `guardrail_intervened`"
    assert word_out("pause", "cohere") == "`MAX_TOKENS`"
