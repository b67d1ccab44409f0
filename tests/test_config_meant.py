"""What is a key called here that has another name elsewhere?"""

from pathlib import Path

import pytest

from proxy.config import load
from proxy.errors import ConfigError

ROW = "keys: {mobile: {key: a-key-of-a-client-of-ours, %s}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auth: {}", "auth: unknown key; did you mean keys, jwt or transparent?"),
        ("client_keys: {}", "client_keys: unknown key; did you mean keys?"),
        ("oidc: {}", "oidc: unknown key; did you mean jwt?"),
        ("queue: {}", "queue: unknown key; did you mean limits.queue?"),
        (
            "cost_limit: 1",
            "cost_limit: unknown key; did you mean budgets, or, for one request, its header x-pillion-cost-limit?",
        ),
        ("webhook: x", "webhook: unknown key; did you mean alerts.webhook?"),
        ("redis: x", "redis: unknown key; did you mean store: redis://HOST:PORT?"),
        ("single_flight: true", "single_flight: unknown key; did you mean cache.single_flight?"),
        ("rpm: 5", "rpm: unknown key; did you mean limits.client.requests_per_minute?"),
        (ROW % "rpm: 5", "keys.mobile.rpm: unknown key; did you mean limits.requests_per_minute?"),
        ("limits: {tpm: 5}", "limits.tpm: unknown key; did you mean client.tokens_per_minute?"),
        ("limits: {client: {rpm: 5}}", "limits.client.rpm: unknown key; did you mean requests_per_minute?"),
        ("limits: {providers: {}}", "limits.providers: unknown key; did you mean providers.NAME.limits?"),
        (
            "limits: {keys: {}}",
            "limits.keys: unknown key; did you mean client, or keys.NAME.limits for a key's own?",
        ),
        ("limits: {queue: {timeout: 5}}", "limits.queue.timeout: unknown key; did you mean seconds?"),
        ("budgets: {all: {usd: 5, period: day}}", "budgets.all.period: unknown key; did you mean window?"),
        ("budgets: {all: {usd: 5, key: mobile}}", "budgets.all.key: unknown key; did you mean client?"),
        ("budgets: {all: {usd: 5, threshold: 0.8}}", "budgets.all.threshold: unknown key; did you mean alert?"),
        ("budgets: {all: {usd: 5, strict: true}}", "budgets.all.strict: unknown key; did you mean mode: strict?"),
        ("budgets: {all: {usd: 5, on_exhausted: x}}", "budgets.all.on_exhausted: unknown key; did you mean at_end?"),
        (
            "prices: {echo/x: {input: 1, output: 2, cached_input: 1}}",
            "prices.echo/x.cached_input: unknown key; did you mean cache_read?",
        ),
        ("cache: {max_bytes: 5}", "cache.max_bytes: unknown key; did you mean size, in bytes?"),
        ("ledger: {path: x}", "ledger.path: unknown key; did you mean state_dir, at the top of the file?"),
        ("ledger: {pth: x}", "ledger.pth: unknown key; the known keys are synchronous, create, keep_days"),
        (
            "model_list: []",
            "model_list: unknown key; it is LiteLLM's: docs/migrating.md has what to write in its place",
        ),
    ],
)
def test_a_key_is_found_by_what_it_is_called_elsewhere(tmp_path: Path, text: str, said: str) -> None:
    assert _told(tmp_path, text) == said


def test_all_that_is_missing_in_a_budget_of_another_shape_is_told(tmp_path: Path) -> None:
    daily = "keys.mobile.budget.daily: unknown key; did you mean window: day, with usd?"
    assert _told(tmp_path, ROW % "budget: {daily: 5}") == f"{daily}\nkeys.mobile.budget: usd is missing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: [{name: mobile}]", "keys: expected a mapping (key: value), got a list; write NAME: {...} for each row"),
        ("aliases: [x]", "aliases: expected a mapping (key: value), got a list"),
        (
            "cache: true",
            "cache: expected a mapping (key: value), got a boolean; did you mean {enabled: true}?",
        ),
        ("ledger: true", "ledger: expected a mapping (key: value), got a boolean"),
        (
            ROW % "budget: 5",
            "keys.mobile.budget: expected a mapping (usd: ...), got a number; did you mean {usd: 5}?",
        ),
        ("budgets: {day: 5}", "budgets.day: expected a mapping (usd: ...), got a number; did you mean {usd: 5}?"),
    ],
)
def test_what_is_no_mapping_is_told_how_it_is_written_as_one(tmp_path: Path, text: str, said: str) -> None:
    assert _told(tmp_path, text) == said


def _told(folder: Path, text: str) -> str:
    """What is wrong, without the places."""
    file = folder / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    return "\n".join(line.split(": ", 1)[1] for line in str(caught.value).splitlines())
