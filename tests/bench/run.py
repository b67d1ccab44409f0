"""What does a request cost that goes through pillion, beside one that goes through nginx?

    python tests/bench/run.py [--scenario unary burst paced translate] [--secs 4] [--rounds 3]
                              [--json | --markdown] [--no-bars]

CPU and not requests per second, since the load, the upstream and whoever is measured share the machine's cores. The
kernel's account of CPU time (user and system, of the whole process tree) over the requests that were answered moves
little from run to run, and nginx, measured in turn with pillion in the same minute, takes out what the machine adds:
the ratio is the figure to quote. What is under way when a round ends was paid for and is not counted, on both sides:
rounds of less than three seconds mislead in `paced`, whose streams last half of one. `translate` has pillion itself as
the other side, as it passes the same answers through. Last comes the memory, and five starts, in which a client asks
every five milliseconds until it is answered.

The exit code: 0, 1 where a bar does not hold, 2 where nothing could be measured.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from tests.bench.report import Report, Row, Starts
from tests.bench.server import Server
from tests.bench.stage import Stage, need_tools, pillion, staged
from tests.bench.traffic import READINESS, Exchange, Load, NotMeasured, anthropic, load, openai

WARM_UP = 2  # seconds
STARTS = 5
BROKEN, UNMEASURED = 1, 2  # exit codes
LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Scenario(NamedTuple):
    """An exchange through pillion, and the one that it is measured against."""

    name: str
    about: str
    connections: int
    ours: Exchange
    beside: Literal["nginx", "pass-through"]
    theirs: Exchange


def _same(name: str, about: str, connections: int, exchange: Exchange) -> Scenario:
    return Scenario(name, f"{about}, {connections} connections", connections, exchange, "nginx", exchange)


SCENARIOS = [
    _same("unary", "one JSON answer of 1 KB", 32, openai()),
    _same("burst", "a stream of 50 events that arrive at once", 32, openai(stream=True)),
    _same("paced", "a stream of 50 events, 10 ms apart", 200, openai(stream=True, paced=True)),
    Scenario("translate", "unary, asked in Anthropic's words", 32, anthropic(), "pass-through", openai()),
    Scenario(
        "translate stream", "burst, asked in Anthropic's words", 32,
        anthropic(stream=True), "pass-through", openai(stream=True),
    ),
]  # fmt: skip
GROUPS = list(dict.fromkeys(scenario.name.split()[0] for scenario in SCENARIOS))


def main() -> int:
    arguments = _arguments()
    for number in LEAVE:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _leave)
    try:
        need_tools()
        with tempfile.TemporaryDirectory(prefix="pillion-bench-") as folder, staged(Path(folder)) as stage:
            report = _measure(stage, arguments)
    except NotMeasured as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNMEASURED
    shown = report.json if arguments.json else report.markdown if arguments.markdown else report.text
    print(shown())
    faults = [] if arguments.no_bars else report.faults()
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return BROKEN if faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", nargs="+", choices=GROUPS, default=GROUPS, help="which (all)")
    parser.add_argument("--secs", type=_positive, default=4, help="seconds of load in a round (4)")
    parser.add_argument("--rounds", type=_positive, default=3, help="rounds (3)")
    parser.add_argument("--no-bars", action="store_true", help="only print")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="for a program")
    shown.add_argument("--markdown", action="store_true", help="for the README")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is wanted, not {text!r}")
    return int(text)


def _leave(number: int, frame: object) -> None:
    """Leave by way of every `with`, so that nothing that we started stays behind; a second signal must not cut that."""
    for each in LEAVE:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _measure(stage: Stage, arguments: argparse.Namespace) -> Report:
    chosen = [scenario for scenario in SCENARIOS if scenario.name.split()[0] in arguments.scenario]
    rows = [_compare(stage, scenario, arguments.secs, arguments.rounds) for scenario in chosen]
    rss = stage.pillion.rss()
    return Report(
        date=date.today().isoformat(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        rows=rows,
        starts=_starts(stage),
        rss_mib=rss,
    )


class Round(NamedTuple):
    load: Load
    cpu_us: float  # for one request


def _compare(stage: Stage, scenario: Scenario, seconds: int, rounds: int) -> Row:
    """The two sides in turn; which goes first changes from round to round. Raises NotMeasured."""
    _progress(f"{scenario.name}: {rounds} rounds of twice {seconds} s")
    sides = {
        "beside": (stage.nginx if scenario.beside == "nginx" else stage.pillion, scenario.theirs),
        "pillion": (stage.pillion, scenario.ours),
    }
    for server, exchange in sides.values():
        server.await_good(exchange)
        load(exchange, server.port, scenario.connections, WARM_UP, stage.folder)
    taken: dict[str, list[Round]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in list(sides) if number % 2 == 0 else reversed(sides):
            server, exchange = sides[side]
            taken[side].append(_round(stage.folder, server, exchange, scenario.connections, seconds))
    return _row(scenario, taken["beside"], taken["pillion"])


def _round(folder: Path, server: Server, exchange: Exchange, connections: int, seconds: int) -> Round:
    before = server.cpu()
    told = load(exchange, server.port, connections, seconds, folder)
    return Round(told, (server.cpu() - before) / told.requests * 1e6)


def _row(scenario: Scenario, beside: Sequence[Round], ours: Sequence[Round]) -> Row:
    beside_us = median(each.cpu_us for each in beside)
    pillion_us = median(each.cpu_us for each in ours)
    return Row(
        scenario=scenario.name,
        about=scenario.about,
        beside=scenario.beside,
        beside_us=beside_us,
        pillion_us=pillion_us,
        ratio=pillion_us / beside_us,
        ratios=[mine.cpu_us / other.cpu_us for mine, other in zip(ours, beside, strict=True)],
        per_second=median(each.load.requests / each.load.seconds for each in ours),
        p50_ms=median(each.load.p50 for each in ours),
        p99_ms=median(each.load.p99 for each in ours),
        failed=sum(each.load.failed for each in [*beside, *ours]),
    )


def _starts(stage: Stage) -> Starts:
    """Of a pillion beside the one that was loaded, which idles by now; the bytecode is compiled."""
    _progress(f"{STARTS} starts")
    starts = Starts(ready=[], chat=[])
    for _ in range(STARTS):
        with pillion(stage.folder, stage.upstream) as server:
            starts.ready.append(server.await_good(READINESS))
            starts.chat.append(server.await_good(openai()))
    return starts


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
