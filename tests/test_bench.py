"""Does `make bench` fail where a bar does not hold, name what misses it, and ask what each wire's client would?"""

import asyncio
import json
import math
import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import chain, run, waves
from tests.bench.report import Report, Row, Starts
from tests.bench.run import PASSED, SCENARIOS, TRANSLATED
from tests.bench.traffic import WIRES, NotMeasured, exchange
from tests.client import OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion


def row(scenario: str = "unary", wire: str = PASSED, ratio: float = 1.0, failed: int = 0) -> Row:
    beside = "nginx" if wire == PASSED else "pass-through"
    figures = {"beside_us": 10.0, "pillion_us": 10.0 * ratio, "per_second": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}
    return Row(scenario, "about", 32, wire, beside, ratio=ratio, ratios=[ratio], failed=failed, **figures)


GOOD = Report(
    date="2026-01-01",
    cores=2,
    python="3.11.0",
    rows=[row(scenario, wire) for scenario in SCENARIOS for wire in WIRES],
    starts=Starts(ready=[0.3], chat=[0.3]),
    resident=dict.fromkeys(SCENARIOS, 50.0),
    rss_mib=90.0,
)


def with_row(changed: Row) -> Report:
    return replace(GOOD, rows=[*GOOD.rows, changed])


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        (with_row(row("unary", ratio=9.1)), "unary openai: 9.10 times nginx, where 9 is the bar"),
        (with_row(row("burst", ratio=4.6)), "burst openai: 4.60 times nginx, where 4.5 is the bar"),
        (with_row(row("paced", ratio=3.1)), "paced openai: 3.10 times nginx, where 3 is the bar"),
        *(
            (with_row(row(scenario, wire, 2.1)), f"{scenario} {wire}: 2.10 times pass-through, where 2 is the bar")
            for scenario in ("unary", "burst", "paced")
            for wire in TRANSLATED
        ),
        (with_row(row("long", ratio=4.6)), "long openai: 4.60 times nginx, where 4.5 is the bar"),
        (with_row(row("long", "gemini", 5.1)), "long gemini: 5.10 times pass-through, where 5 is the bar"),
        (with_row(row("burst", "gemini", failed=1)), "burst gemini: 1 requests failed, where none may"),
        (replace(GOOD, starts=Starts([0.5, 0.7, 0.8], [1.0])), "ready after 0.70 s, where 0.3 s is the bar"),
        (replace(GOOD, resident={"unary": 50.0, "paced": 60.1}), "paced: 60.1 MiB, where 60 MiB is the bar"),
    ],
)
def test_each_bar_bites_and_names_what_misses_it(
    report: Report, fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.faults() == [fault]
    assert ended(report, monkeypatch) == run.BROKEN
    assert capsys.readouterr().err == f"bench: {fault}\n"


def test_what_holds_every_bar_ends_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert (GOOD.faults(), ended(GOOD, monkeypatch), capsys.readouterr().err) == ([], 0, "")


def ended(report: Report, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a run that measures this."""

    @contextmanager
    def staged(folder: Path, on_disk: bool) -> Iterator[None]:
        yield

    monkeypatch.setattr(run, "staged", staged)
    monkeypatch.setattr(run, "need_tools", lambda: None)
    monkeypatch.setattr(run, "_measure", lambda stage, arguments: report)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    return run.main()


def test_the_page_has_a_row_for_each_wire_and_says_the_bar() -> None:
    rows = [line.split(" | ") for line in GOOD.markdown().splitlines() if line.startswith("| ")]
    assert {len(cells) for cells in rows} == {10}
    said = [(cells[0].partition(":")[0].strip("| "), cells[1], cells[5]) for cells in rows[1:]]
    assert said[:2] == [("unary", "openai", "9"), ("unary", "anthropic", "2")]
    assert len(said) == len(SCENARIOS) * len(WIRES)


def test_each_lane_is_the_first_of_some_round() -> None:
    assert [run.in_turn("abc", number) for number in range(4)] == [[*"abc"], [*"bca"], [*"cab"], [*"abc"]]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_what_is_asked_reaches_an_upstream_of_openais_wire(wire: str, scenario: str) -> None:
    _, _, stream, paced, is_long, _ = SCENARIOS[scenario]
    asked = exchange(wire, stream=stream, paced=paced, is_long=is_long)
    said = (OPENAI.stream, "text/event-stream") if stream else (OPENAI.whole, "application/json")
    answer = Scenario(body=said[0], headers=[("content-type", said[1])])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, asked.method, asked.path, asked.body.encode(), list(asked.headers.items()))
        sent = json.loads(evil.requests[0].body)
    assert (got.status, got.header("x-pillion-dropped")) == (200, None)
    assert sent["model"] == f"gpt-4o-mini{'-paced' if paced else ''}"
    assert (sent["temperature"], bool(sent.get("stream"))) == (0.7, stream)
    assert len(json.dumps(sent)) // 100_000 == (3 if is_long else 0)


def test_make_bench_runs_every_table_of_figures() -> None:
    folder = Path(run.__file__).parent
    tables = {path.name for path in folder.glob("*.py") if "\nROWS: Rows = " in path.read_text()}
    recipe = (folder.parent.parent / "Makefile").read_text().partition("\nbench: ")[2].partition("\n\n")[0]
    assert {"figures.py", *tables} <= set(re.findall(r"tests/bench/(\w+\.py)", recipe))


# --- the parts of the chain ------------------------------------------------------------------------------------------


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    """Of thirty values it leaves out nine at either end: a fair coin falls so more seldom than once in twenty."""
    values = [float(n) for n in range(30)]
    assert chain.estimated(values[::-1]) == (9.0, 14.5, 20.0)
    assert chain.estimated(values[: chain.FEWEST]) == (0.0, 2.5, 5.0)
    dice, missed = random.Random(7), 0
    for _ in range(2000):
        low, _, high = chain.estimated([dice.expovariate(1) for _ in range(30)])
        missed += not low <= math.log(2) <= high
    assert missed < 0.05 * 2000


@pytest.mark.parametrize(("bar", "verdict"), [(9.0, "over"), (15.0, "cannot be told"), (20.0, "holds")])
def test_a_bar_holds_or_not_where_that_can_be_told(bar: float, verdict: str) -> None:
    assert chain.Estimate(9.5, 14.5, 20.0).verdict(bar) == verdict


@pytest.mark.parametrize("stream", [False, True])
async def test_each_of_so_many_answers_is_heard_to_its_end(stream: bool) -> None:
    speech = Scenario(body=OPENAI.stream if stream else OPENAI.whole, framing="chunked" if stream else "length")
    async with Evil(answering=lambda _: speech) as evil:
        assert await asyncio.to_thread(waves.ask, exchange(stream=stream), [evil.port], 3, 4) == 12
        assert len(evil.requests) == 12


async def test_two_are_asked_at_once_as_often_as_each_other() -> None:
    whole = Scenario(body=OPENAI.whole)
    async with Evil(answering=lambda _: whole) as one, Evil(answering=lambda _: whole) as other:
        assert await asyncio.to_thread(waves.ask, exchange(), [one.port, other.port], 3, 4) == 12
        assert len(one.requests) == len(other.requests) == 12


@pytest.mark.parametrize(
    "refused", [Scenario(status=500, body=b"no"), Scenario(body=OPENAI.whole, cut_at=9, how="fin")]
)
async def test_an_answer_that_is_none_is_not_counted(refused: Scenario) -> None:
    async with Evil(refused) as evil:
        with pytest.raises(NotMeasured):
            await asyncio.to_thread(waves.ask, exchange(), [evil.port], 1, 1)
