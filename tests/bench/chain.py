"""What do the parts of the chain cost, by the processor's time of a request?

    python tests/bench/chain.py [--scenario unary burst paced] [--rounds 30]

One pillion with a client key, limits and a budget, beside others that lack a part of the chain (`lessened.py`), and
beside one that lacks nothing, for what two differ in that are the same. They are asked in turn, so few requests each
(`waves.py`) that whatever else the machine does meets them all alike, and each turn begins with another; so many turns
are a round. After a few rounds all are started anew, because two processes that do the same may differ by 3 us for as
long as they live, by where things lie in their memory. What a part costs is the median of the differences of the
rounds, with the interval in which the true one lies in 95 of 100 runs; it stands beside its bar: 25 us for auth,
limits, cost and ledger, 10 us for failover and what is known of calls under way, and of a paced stream 3 %. A bar holds
where the whole interval is below it, and does not where all of it is above.

The exit code: 0, 1 where a bar does not hold, 2 where it cannot be told: by more rounds it can.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import comb
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from tests.bench.run import SCENARIOS, Scenario, in_turn
from tests.bench.server import Server
from tests.bench.stage import CHECKOUT, HERE, compiled, free_port, need_tools, standing_in
from tests.bench.traffic import READINESS, Exchange, exchange
from tests.bench.waves import ask

CONFIG = """\
providers: {openai: {api_key: sk-bench, base_url: "http://127.0.0.1:%d/v1"}}
keys: {app: {key: sk-client}}
limits: {client: {requests_per_minute: 100000000, tokens_per_minute: 1000000000}}
budgets: {all: {usd: 1000000, window: month}}
ledger: {create: true}
"""
ALL, AGAIN = "all", "nothing, for comparison"
LESS: Mapping[str, list[str]] = {ALL: [], AGAIN: [], "no money": ["money"], "no failover": ["failover"]}
BARS = {"no money": 25.0, "no failover": 10.0}  # microseconds
SHARE = 0.03  # of a paced stream
TIMES = {"unary": 12, "burst": 6, "paced": 2}  # requests of each connection in a turn
TURNS = {"unary": 15, "burst": 15, "paced": 1}  # in a round
HEAT = 4  # rounds of the same processes: in as many turns each is the first once
WARM = 5  # turns before the first round
LEDGER = 0.7  # seconds in which what was asked last has been written down
SURE = 0.95
FEWEST = 6  # rounds of which the whole range is as sure
UNSURE = 2  # exit code


class Estimate(NamedTuple):
    """Microseconds for one request."""

    low: float
    middle: float
    high: float

    def verdict(self, bar: float) -> str:
        return "holds" if self.high <= bar else "over" if self.low > bar else "cannot be told"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", nargs="+", choices=TIMES, default=list(TIMES))
    parser.add_argument("--rounds", type=int, default=30, help=f"at least {FEWEST} (30)")
    arguments = parser.parse_args()
    if arguments.rounds < FEWEST:
        parser.error(f"fewer than {FEWEST} rounds say nothing so surely")
    need_tools()
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="pillion-bench-") as folder:
        compiled(Path(folder))
        for name in arguments.scenario:
            taken: dict[str, list[float]] = {who: [] for who in LESS}
            for heat in range(0, arguments.rounds, HEAT):
                _run_heat(Path(folder), name, min(HEAT, arguments.rounds - heat), taken)
            for line, verdict in _told(name, SCENARIOS[name], taken):
                print(line, flush=True)
                verdicts.append(verdict)
    return 1 if "over" in verdicts else UNSURE if "cannot be told" in verdicts else 0


def _servers(folder: Path, stack: ExitStack) -> dict[str, Server]:
    upstream = stack.enter_context(standing_in(folder))
    servers = {}
    for name, less in LESS.items():
        port, home = free_port(), Path(tempfile.mkdtemp(dir=folder))
        (home / "config.yaml").write_text(CONFIG % upstream.port)
        environ = {
            "PILLION_CONFIG": str(home / "config.yaml"),
            "PILLION_STATE_DIR": str(home),
            "PILLION_LISTEN": f"127.0.0.1:{port}",
            "PYTHONHASHSEED": "0",  # by which dicts lie otherwise in each process
        }
        command = [sys.executable, str(HERE / "lessened.py"), *less]
        servers[name] = stack.enter_context(Server(command, port, home / "pillion.log", environ, CHECKOUT))
        servers[name].await_good(READINESS)
    return servers


def _run_heat(folder: Path, name: str, rounds: int, taken: Mapping[str, list[float]]) -> None:
    """Add to what was `taken`: microseconds of CPU for one request, by who was asked, round by round."""
    scenario = SCENARIOS[name]
    asked = exchange(stream=scenario.stream, paced=scenario.paced)
    with ExitStack() as stack:
        servers = _servers(folder, stack)
        for server in servers.values():
            server.await_good(asked)
            ask(asked, server.port, scenario.connections, WARM * TIMES[name])
        for number in range(rounds):
            for who, each in _round(servers, asked, scenario.connections, name, number).items():
                taken[who].append(each)


def _round(
    servers: Mapping[str, Server], asked: Exchange, connections: int, name: str, number: int
) -> dict[str, float]:
    time.sleep(LEDGER)
    before = {who: server.cpu() for who, server in servers.items()}
    asked_for = dict.fromkeys(servers, 0)
    for turn in range(TURNS[name]):
        for who in in_turn(list(servers), number * TURNS[name] + turn):
            asked_for[who] += ask(asked, servers[who].port, connections, TIMES[name])
    time.sleep(LEDGER)
    return {who: (server.cpu() - before[who]) / asked_for[who] * 1e6 for who, server in servers.items()}


def _told(name: str, scenario: Scenario, taken: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, str]]:
    whole = median(taken[ALL])
    yield f"{name:6} all of it: {whole:.0f} us", ""
    for less in filter(ALL.__ne__, LESS):
        one = estimated([mine - other for mine, other in zip(taken[ALL], taken[less], strict=True)])
        line = f"{name:6} {less}: {one.middle:+.1f} us less ({one.low:+.1f} to {one.high:+.1f})"
        if less not in BARS:
            yield line, ""
            continue
        bar = SHARE * whole if scenario.paced else BARS[less]
        yield f"{line}, where {bar:.0f} is the bar: {one.verdict(bar)}", one.verdict(bar)


def estimated(values: Sequence[float]) -> Estimate:
    """The median, and between which two of the values it lies: whatever their distribution, by the sign test."""
    ordered, count = sorted(values), len(values)
    beyond, outside = 0, 1 / 2**count  # how many at either end are left out, and the chance that it lies out there
    while 2 * (outside + comb(count, beyond + 1) / 2**count) <= 1 - SURE and beyond + 1 < count // 2:
        beyond += 1
        outside += comb(count, beyond) / 2**count
    return Estimate(ordered[beyond], median(ordered), ordered[-1 - beyond])


if __name__ == "__main__":
    sys.exit(main())
