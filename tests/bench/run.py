"""What does a request cost that goes through pillion, beside one that goes through nginx?

    python tests/bench/run.py [--scenario unary burst paced] [--wire anthropic responses gemini]
                              [--secs 2] [--rounds 5] [--on-disk] [--json | --markdown] [--no-bars]

CPU and not requests per second, since the load, the upstream and whoever is measured share the machine's cores. The
kernel's account of CPU time (user and system, of the whole process tree) over the requests that were answered moves
little from run to run. Whatever else the machine does, it does to all alike: nginx, a bare proxy of aiohttp's,
pillion as it passes an answer through, and the same pillion as it translates it for clients of other wires, are asked
in turn, in slices of a few seconds, and each round begins with another. Every figure is the median of its rounds, and
every ratio is of two slices of one round. What is under way when a slice ends was paid for and is not counted, on
both sides; so those of `paced`, whose streams last half a second, are twice as long. Then come five starts, in which a
client asks every five milliseconds until it is answered; and the memory of processes that each carry one scenario
alone, as in the yardstick, for as long as a pillion is asked for one wire.

The exit code: 0, 1 where a bar does not hold, 2 where nothing could be measured.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from tests.bench.report import Report, Row, Starts
from tests.bench.server import Server
from tests.bench.stage import Stage, need_tools, pillion, staged
from tests.bench.traffic import READINESS, WIRES, Exchange, Load, NotMeasured, exchange, load

WARM_UP = 1  # seconds
STARTS = 5
BROKEN, UNMEASURED = 1, 2  # exit codes
LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PASSED = "openai"  # the wire that the upstream speaks itself
OTHERS = ("nginx", "aiohttp")  # beside whom pillion is measured as it passes through
TRANSLATED = [wire for wire in WIRES if wire != PASSED]


class Scenario(NamedTuple):
    about: str
    connections: int
    stream: bool = False
    paced: bool = False
    is_long: bool = False  # what is asked
    longer: int = 1  # its slices, than others


SCENARIOS = {
    "unary": Scenario("one JSON answer of 1 KB", 32),
    "burst": Scenario("a stream of 50 events that arrive at once", 32, stream=True),
    "long": Scenario("a request of 300 KiB, as agents send, and one JSON answer", 8, is_long=True),
    "paced": Scenario("a stream of 50 events, 10 ms apart", 200, stream=True, paced=True, longer=2),
}


class Lane(NamedTuple):
    """Who is asked, and what."""

    server: Server
    exchange: Exchange


def main() -> int:
    arguments = _arguments()
    for number in LEAVE:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _leave)
    try:
        need_tools()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pillion-bench-")))
            stage = stack.enter_context(staged(folder, arguments.on_disk))
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
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="which (all)")
    parser.add_argument("--wire", nargs="*", choices=TRANSLATED, default=TRANSLATED, help="which are translated (all)")
    parser.add_argument("--secs", type=_positive, default=2, help="seconds of a slice (2)")
    parser.add_argument("--rounds", type=_positive, default=5, help="rounds (5)")
    parser.add_argument("--on-disk", action="store_true", help="with pillion's ledger on disk, and not in memory")
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
    rows = [row for name in arguments.scenario for row in _rows(stage, name, arguments)]
    rss = stage.pillion.rss()
    starts = _starts(stage)
    return Report(
        date=date.today().isoformat(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        rows=rows,
        starts=starts,
        resident={name: _resident(stage, name, arguments) for name in arguments.scenario},
        rss_mib=rss,
    )


class Slice(NamedTuple):
    load: Load
    cpu_us: float  # for one request


def _rows(stage: Stage, name: str, arguments: argparse.Namespace) -> list[Row]:
    """One scenario, by each wire. Raises NotMeasured."""
    scenario, seconds = SCENARIOS[name], arguments.secs * SCENARIOS[name].longer
    lanes = _lanes(stage, scenario, arguments.wire)
    _progress(f"{name}: {arguments.rounds} rounds of {len(lanes)} times {seconds} s")
    for lane in lanes.values():
        lane.server.await_good(lane.exchange)
        load(lane.exchange, lane.server.port, scenario.connections, WARM_UP, stage.folder)
    taken: dict[str, list[Slice]] = {who: [] for who in lanes}
    for number in range(arguments.rounds):
        for who in in_turn(list(lanes), number):
            taken[who].append(sliced(stage.folder, lanes[who], scenario.connections, seconds))
    passed = [_row(name, PASSED, other, taken[other], taken[PASSED]) for other in OTHERS]
    return [*passed, *(_row(name, wire, "pass-through", taken[PASSED], taken[wire]) for wire in arguments.wire)]


def _lanes(stage: Stage, scenario: Scenario, wires: Sequence[str]) -> dict[str, Lane]:
    stream, paced, is_long = scenario.stream, scenario.paced, scenario.is_long
    asked = {wire: exchange(wire, stream=stream, paced=paced, is_long=is_long) for wire in (PASSED, *wires)}
    ours = {wire: Lane(stage.pillion, what) for wire, what in asked.items()}
    others = zip(OTHERS, (stage.nginx, stage.bare), strict=True)
    return {**{who: Lane(server, asked[PASSED]) for who, server in others}, **ours}


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """All of them, from another one on in each round."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def sliced(folder: Path, lane: Lane, connections: int, seconds: int) -> Slice:
    before = lane.server.cpu()
    told = load(lane.exchange, lane.server.port, connections, seconds, folder)
    return Slice(told, (lane.server.cpu() - before) / told.requests * 1e6)


def _row(scenario: str, wire: str, beside: str, theirs: Sequence[Slice], ours: Sequence[Slice]) -> Row:
    ratios = [mine.cpu_us / other.cpu_us for mine, other in zip(ours, theirs, strict=True)]
    return Row(
        scenario=scenario,
        about=SCENARIOS[scenario].about,
        connections=SCENARIOS[scenario].connections,
        wire=wire,
        beside=beside,
        beside_us=median(each.cpu_us for each in theirs),
        pillion_us=median(each.cpu_us for each in ours),
        ratio=median(ratios),
        ratios=ratios,
        per_second=median(each.load.requests / each.load.seconds for each in ours),
        p50_ms=median(each.load.p50 for each in ours),
        p99_ms=median(each.load.p99 for each in ours),
        failed=sum(each.load.failed for each in [*theirs, *ours]),
    )


def _starts(stage: Stage) -> Starts:
    """Of a pillion beside the one that was loaded, which idles by now. Bytecode is compiled, the ledger in memory."""
    _progress(f"{STARTS} starts")
    starts = Starts(ready=[], chat=[])
    for _ in range(STARTS):
        with pillion(stage.folder, stage.upstream) as server:
            starts.ready.append(server.await_good(READINESS))
            starts.chat.append(server.await_good(exchange()))
    return starts


def _resident(stage: Stage, name: str, arguments: argparse.Namespace) -> float:
    """MiB of a pillion that has passed through this scenario, and nothing else. Raises NotMeasured."""
    scenario, seconds = SCENARIOS[name], arguments.secs * SCENARIOS[name].longer
    _progress(f"{name}: the memory")
    asked = exchange(stream=scenario.stream, paced=scenario.paced, is_long=scenario.is_long)
    with pillion(stage.folder, stage.upstream, arguments.on_disk) as server:
        server.await_good(asked)
        for _ in range(arguments.rounds):
            if failed := load(asked, server.port, scenario.connections, seconds, stage.folder).failed:
                raise NotMeasured(f"the memory of {name}: {failed} requests failed")
        return server.rss()


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
