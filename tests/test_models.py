"""Is a model known by its name, whoever spells it, and is what is known put to use as little as it should be?"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Config, Model, Provider, layered, load, show
from proxy.config.conversion import Conversion
from proxy.config.models import REMEMBERED, Cards, Family, families, known
from proxy.config.values import DEFAULT, Mistakes, Scalar, Table
from tests.client import ANTHROPIC, OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

KEY = "sk-canary-0123456789"


def card(model: str) -> Model:
    found = Cards().of(model)
    assert found is not None
    return found


def sample(pattern: str) -> str:
    """A name that it matches: nothing for a star, and the first of what stands in brackets."""
    return re.sub(r"\[(.).*?\]", r"\1", pattern).replace("*", "")


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "context", "max_output", "abilities"),
    [
        ("claude-opus-5-5", 1000000, 128000, "tools images documents thinking"),
        ("claude-sonnet-4-6", 1000000, 128000, "tools images documents thinking"),
        ("claude-haiku-4-5-20251001", 200000, 64000, "tools images documents thinking"),
        ("claude-opus-4-1-20250805", 200000, 32000, "tools images documents thinking"),
        ("claude-sonnet-4-20250514", 200000, 64000, "tools images documents thinking"),
        ("claude-3-7-sonnet@20250219", 200000, 64000, "tools images documents thinking"),
        ("claude-3-5-sonnet-20241022", 200000, 8192, "tools images documents"),
        ("claude-3-5-sonnet-20240620", 200000, 4096, "tools images documents"),
        ("claude-3-5-haiku-latest", 200000, 8192, "tools"),
        ("claude-3-haiku-20240307", 200000, 4096, "tools images"),
        ("claude-instant-1.2", 100000, 4096, ""),
        ("us.anthropic.claude-haiku-5-5", 1000000, 128000, "tools images documents thinking"),
        ("gpt-6.1-sol", 1050000, 128000, "tools images documents thinking"),
        ("gpt-5.6-sol", 1050000, 128000, "tools images documents thinking"),
        ("gpt-5.4-mini-2026-03-17", 400000, 128000, "tools images documents thinking"),
        ("gpt-5-mini", 400000, 128000, "tools images documents thinking"),
        ("gpt-5-pro", 400000, 272000, "tools images documents thinking"),
        ("gpt-5.1-chat-latest", 128000, 16384, "tools images documents thinking"),
        ("gpt-4.1-nano", 1047576, 32768, "tools images documents"),
        ("gpt-4o-2024-08-06", 128000, 16384, "tools images documents"),
        ("gpt-4o-2024-05-13", 128000, 4096, "tools images documents"),
        ("gpt-4o-mini-search-preview", 128000, 16384, ""),
        ("gpt-4-0613", 8192, 8192, "tools"),
        ("gpt-3.5-turbo", 16385, 4096, "tools"),
        ("o3-mini", 200000, 100000, "tools documents thinking"),
        ("o4-mini-2025-04-16", 200000, 100000, "tools images documents thinking"),
        ("gpt-oss:20b", 131072, 131072, "tools thinking"),
        ("gemini-4-argon", 1048576, 65536, "tools images documents thinking"),
        ("gemini-3-pro-preview", 1048576, 65536, "tools images documents thinking"),
        ("gemini-2.5-flash", 1048576, 65536, "tools images documents thinking"),
        ("gemini-2.5-flash-preview-tts", 24576, 16384, ""),
        ("gemini-2.0-flash-001", 1048576, 8192, "tools images documents"),
        ("amazon.nova-micro-v1:0", 128000, None, "tools"),
        ("us.amazon.nova-2-lite-v1:0", 1000000, 65535, "tools images documents thinking"),
        ("amazon.titan-text-express-v1", 8192, 8192, ""),
        ("command-a-03-2025", 256000, 8000, "tools"),
        ("command-a-reasoning-08-2025", 256000, 32000, "tools thinking"),
        ("cohere.command-r-plus-v1:0", 128000, 4000, "tools"),
        ("command", 4096, 4096, ""),
        ("mistral-large-2411", 131072, None, "tools"),
        ("pixtral-12b-2409", 131072, None, "tools images"),
        ("deepseek-v4-flash", 1000000, 384000, "tools thinking"),
        ("deepseek-reasoner", 131072, 65536, "tools thinking"),
        ("grok-4-fast-non-reasoning", 2000000, None, "tools images"),
        ("grok-4.3", 1000000, None, "tools images thinking"),
        ("qwen3-max", 262144, 65536, "tools"),
        ("llama3.1", 131072, None, "tools"),
        ("Meta-Llama-3.1-8B-Instruct", 131072, None, "tools"),
        ("meta.llama3-8b-instruct-v1:0", 8192, None, ""),
    ],
)
def test_what_is_known(model: str, context: int, max_output: int | None, abilities: str) -> None:
    found = card(model)
    can = {"tools": found.tools, "images": found.images, "documents": found.documents, "thinking": found.thinking}
    assert (found.context, found.max_output) == (context, max_output)
    assert [name for name, has in can.items() if has] == abilities.split()


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-5", "Claude-Sonnet-4-5", "anthropic/claude-sonnet-4.5", "anthropic.claude-sonnet-4-5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "publishers/anthropic/models/claude-sonnet-4-5@20250929",
        "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)  # fmt: skip
def test_whoever_spells_a_name_it_is_the_same_model(name: str) -> None:
    found = card(name)
    assert (found.name, found.max_output, found.thinking) == (name, 64000, True)


@pytest.mark.parametrize("name", ["models/gemini-2.5-pro", "gpt-4.1", "openai.gpt-5.5", "qwen2.5:14b", "grok-4.5"])
def test_a_version_is_no_vendor(name: str) -> None:
    assert card(name).tools


@pytest.mark.parametrize(
    "name", ["", "/", ".", "a.b.c.", "my-model", "gpt", "claude", "text-embedding-3-small", "ü[*?"]
)
def test_of_what_nobody_knows_nothing_is_said(name: str) -> None:
    assert Cards().of(name) is None


@pytest.mark.parametrize("family", families(), ids=lambda family: family.patterns[0])
def test_a_row_says_what_a_models_row_may_say(family: Family) -> None:
    conversion = Conversion(mistakes := Mistakes())
    conversion.struct(Table({"name": Scalar("m", "text", DEFAULT), **family.facts.entries}, DEFAULT), Model)
    assert mistakes.lines() == []


@pytest.mark.parametrize("pattern", [pattern for family in families() for pattern in family.patterns])
def test_no_pattern_is_behind_another_that_says_it_all(pattern: str) -> None:
    family = next(family for family in families() if pattern in family.patterns)
    found = known(sample(pattern))
    assert pattern == pattern.lower()
    assert any(found.at(key) is node for key, node in family.facts.entries.items() if isinstance(node, Scalar)) or (
        found.at("timers", "first_event") is not None
    )
    both = card(sample(pattern))
    assert (both.max_output or 0) <= (both.context or 10**9)


# --- a provider's cards ----------------------------------------------------------------------------------------------


def provider(text: str, tmp_path: Path) -> Provider:
    file = tmp_path / "config.yaml"
    file.write_text(f"providers: {{x: {{base_url: 'http://h', {text}}}}}")
    return load(file, {}).providers["x"]


def test_what_is_configured_stands_above_the_table(tmp_path: Path) -> None:
    row = provider("models: [gpt-4o, {name: o3, max_output: 5, tools: false}, {name: mine, context: 7}]", tmp_path)
    assert row.models == ("gpt-4o", "o3", "mine")
    found = {model: row.card(model) for model in (*row.models, "gpt-4.1", "unheard-of")}
    assert found["gpt-4o"] == card("gpt-4o")
    assert found["gpt-4.1"] == card("gpt-4.1")
    assert found["o3"] is not None
    assert (found["o3"].max_output, found["o3"].tools, found["o3"].context) == (5, False, 200000)
    assert found["mine"] == Model(name="mine", context=7)
    assert found["unheard-of"] is None


def test_the_timers_of_a_model_have_all_that_is_said_of_its_provider(tmp_path: Path) -> None:
    row = provider("timers: {idle: 5}, models: [{name: o3, timers: {total: 9}}]", tmp_path)
    found = {model: row.timers_for(model) for model in ("o3", "o1", "gpt-4o", "unheard-of")}
    assert {model: (timers.first_event, timers.idle, timers.total) for model, timers in found.items()} == {
        "o3": (600, 5, 9), "o1": (600, 5, 600), "gpt-4o": (120, 5, 600), "unheard-of": (120, 5, 600),
    }  # fmt: skip


def test_a_model_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = Cards()
    first = [cards.of(name) for name in ("gpt-4o", "unheard-of")]
    monkeypatch.setattr("proxy.config.models.known", None)
    assert [cards.of(name) for name in ("gpt-4o", "unheard-of")] == first


def test_names_that_clients_make_up_are_not_kept_for_ever() -> None:
    cards = Cards()
    for number in range(REMEMBERED + 5):
        cards.of(f"made-up-{number}")
    assert len(cards._met) == 5


def test_the_same_configuration_looks_the_same(tmp_path: Path) -> None:
    def made() -> Config:
        (tmp_path / "config.yaml").write_text("providers: {ollama: {models: [gpt-4o]}}")
        return load(tmp_path / "config.yaml", {})

    one = made()
    one.providers["ollama"].card("asked-for")
    assert repr(one) == repr(made())


def test_config_show_tells_what_the_table_says(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("providers: {openai: {models: [gpt-4o, unheard-of, {name: o3, tools: false}]}}")
    shown = show(layered(file, {"OPENAI_API_KEY": KEY})).replace(str(file), "config.yaml")
    lines = shown[shown.index("    models:") :].splitlines()
    assert lines[1] == "      - name: gpt-4o  # config.yaml:1"
    for line in (
        "        max_output: 16384  # preset", "      - unheard-of  # config.yaml:1",
        "        max_output: 100000  # preset", "        tools: false  # config.yaml:1",
    ):  # fmt: skip
        assert line in lines


# --- on the wire -----------------------------------------------------------------------------------------------------

SAID = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip


async def sent(model: str, asked: dict[str, Any], **environ: str) -> dict[str, Any]:
    """What Anthropic gets of a chat client's request."""
    answer = Scenario(body=json.dumps(SAID).encode(), headers=[("content-type", "application/json")])
    async with Evil(answer) as evil, pillion(**ANTHROPIC.environ(evil.url), **environ) as gateway:
        body = {"model": f"anthropic/{model}", "messages": [{"role": "user", "content": "Hi"}], **asked}
        got = await chat(gateway, OPENAI, json.dumps(body).encode())
        assert got.status == 200, got.body
        return dict(json.loads(evil.requests[-1].body))


@pytest.mark.parametrize(
    ("model", "asked", "limit"),
    [
        ("claude-3-5-haiku-latest", {}, 8192),
        ("claude-3-haiku-20240307", {}, 4096),
        ("claude-unheard-of", {}, 4096),
        ("claude-3-5-haiku-latest", {"max_tokens": 7}, 7),
    ],
)
async def test_where_a_wire_demands_a_limit_it_is_the_models(model: str, asked: dict[str, Any], limit: int) -> None:
    assert (await sent(model, asked))["max_tokens"] == limit


async def test_the_operators_limit_comes_before_the_models() -> None:
    assert (await sent("claude-3-5-haiku-latest", {}, PILLION_ANTHROPIC_MAX_TOKENS="99"))["max_tokens"] == 99


@pytest.mark.parametrize(("asked", "stops"), [({}, ["ours"]), ({"stop": ["theirs"]}, ["theirs"])])
async def test_a_body_fills_what_a_request_lacks(asked: dict[str, Any], stops: list[str], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("providers: {anthropic: {body: {stop_sequences: [ours], service_tier: standard_only}}}")
    got = await sent("claude-3-5-haiku-latest", asked, PILLION_CONFIG=str(file))
    assert (got["stop_sequences"], got["service_tier"]) == (stops, "standard_only")
