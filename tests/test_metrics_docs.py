"""Does docs/operations.md list every family that a scrape has, with its labels, and no other?"""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy.config import Source
from proxy.process.reloading import Reloading
from tests.client import OPENAI, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion, registry
from tests.redisserver import redis

OPERATIONS = Path(__file__).parent.parent / "docs/operations.md"
JSON = ("Content-Type", "application/json")
ENVIRON = {
    "PILLION_HEDGE_ENABLED": "true",
    "PILLION_FAULTS_ENABLED": "true",
    "PILLION_OVERLOAD_MAX_REQUESTS": "10",
    "PILLION_BUDGETS": '{"all": {"usd": 1}}',
    "PILLION_LEDGER_CREATE": "true",
}


def documented() -> dict[str, set[str]]:
    """The labels of each name in the table, as they stand."""
    section = OPERATIONS.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    found: dict[str, set[str]] = {}
    for names, labels in re.findall(r"^\| (`[^|]*`) \|([^|]*)\|", section, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            assert name not in found, f"{name} is there twice"
            found[name] = set(re.findall(r"\w+", labels))
    return found


class Scrape:
    """What was told, and by which labels each family may be told, though nothing is counted yet."""

    def __init__(self, text: str, families: Iterable[Metric]) -> None:
        self.text = text
        told = (each for each in text_string_to_metric_families(text) if each.name.startswith("pillion_"))
        # prometheus-client has a family of its own for the time at which a histogram of its own was made
        self.kinds = {_name(family): family.type for family in told if not family.name.endswith("_created")}
        self.names = set(self.kinds)
        self.labels: dict[str, set[str]] = {name: set() for name in self.names}
        for family in families:
            self.labels.get(_name(family), set()).update(getattr(family, "_labelnames", ()))


def _name(family: Metric) -> str:
    """As operators ask for it."""
    return family.name.removeprefix("pillion_") + ("_total" if family.type == "counter" else "")


@pytest.fixture
async def scrape(tmp_path: Path) -> Scrape:
    """What is told where all that can be switched on is, and a request has been answered and one has failed."""
    (tmp_path / "none.yaml").write_text("")
    limited = Scenario(status=429, headers=[JSON], body=b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}')
    scenario = Scenario(headers=[JSON], body=OPENAI.whole)
    async with redis() as server, Evil(limited, scenario, scenario, scenario) as evil:
        environ = {
            **ENVIRON,
            **OPENAI.environ(evil.url),
            "PILLION_STORE": server.url,
            "PILLION_STATE_DIR": str(tmp_path),
        }
        async with pillion(**environ) as gateway:
            Reloading(gateway.app, Source(tmp_path / "none.yaml", {}, {}), None)  # type: ignore[arg-type]
            for _ in range(3):
                await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
            await ask(gateway, "GET", "/v1/providers/openai/health")
            await ask(gateway, "GET", "/nowhere")
            text = (await ask(gateway, "GET", "/metrics")).body.decode()
            return Scrape(text, registry(gateway.app).collect())


def test_each_family_is_in_the_table_and_nothing_else_is(scrape: Scrape) -> None:
    told = documented()
    assert sorted(scrape.names - told.keys()) == []
    assert sorted(told.keys() - scrape.names) == []


def test_each_label_is_named_beside_its_family(scrape: Scrape) -> None:
    told = documented()
    missing = {name: labels - told[name] for name, labels in scrape.labels.items() if labels - told[name]}
    assert missing == {}


def test_each_family_says_what_it_counts(scrape: Scrape) -> None:
    helped = dict(re.findall(r"^# HELP (pillion_\w+) (.*)$", scrape.text, re.MULTILINE))
    assert helped
    assert [name for name, about in helped.items() if not about.endswith(".")] == []


def test_what_only_grows_is_a_counter_by_its_name_and_its_type(scrape: Scrape) -> None:
    """`rate()` is for nothing else."""
    counters = {name for name, kind in scrape.kinds.items() if kind == "counter"}
    assert counters == {name for name in scrape.names if name.endswith("_total")}
