"""What do the parts of the chain cost, by the processor's time of a request?

    python tests/bench/chain.py [--scenario unary burst paced] [--less nothing money failover] [--rounds 30]

One pillion with a client key, limits and a budget, beside others that lack a part of the chain (`lessened.py`), and
beside one that lacks nothing, for what two differ in that are the same. They are asked in turn, so few requests each
(`waves.py`) that whatever else the machine does meets them all alike, and each turn begins with another; so many turns
are a round. Paced streams leave the processor time enough for two servers: so the first one and each of the others are
asked at once, which tells far more exactly. After a few rounds all are started anew, because two processes that do the
same may differ by 3 us for as long as they live, by where things lie in their memory. What a part costs is the median
of the differences of the rounds, with the interval in which the true one lies in 95 of 100 runs; it stands beside its
bar: 25 us for auth, limits, cost and ledger, 10 us for failover and what is known of calls under way, and of a paced
stream 3 %. A bar holds where the whole interval is below it, and does not where all of it is above.

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
ALL = "all"
LESS: Mapping[str, list[str]] = {"nothing": [], "money": ["money"], "failover": ["failover"]}
BARS = {"money": 25.0, "failover": 10.0}  # microseconds
SHARE = 0.03  # of a paced stream
TIMES = {"unary": 12, "burst": 6, "paced": 4}  # requests of each connection in a turn
TURNS = {"unary": 15, "burst": 15, "paced": 1}  # in a round
HEAT = 4  # rounds of the same processes: in as many turns each is the first once
WARM = {"unary": 5, "burst": 5, "paced": 2}  # turns before the first round
LEDGER = 0.7  # seconds in which what was asked last has been written down
SURE = 0.95
FEWEST = 6  # rounds of which the whole range is as sure
UNSURE = 2  # exit code

Pairs = dict[str, list[tuple[float, float]]]  # microseconds of CPU for one request: of all, and of it less that part


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
    parser.add_argument("--less", nargs="+", choices=LESS, default=list(LESS))
    parser.add_argument("--rounds", type=int, default=30, help=f"at least {FEWEST} (30)")
    arguments = parser.parse_args()
    if arguments.rounds < FEWEST:
        parser.error(f"fewer than {FEWEST} rounds say nothing so surely")
    need_tools()
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="pillion-bench-") as folder:
        compiled(Path(folder))
        for name in arguments.scenario:
            taken: Pairs = {less: [] for less in arguments.less}
            for heat in range(0, arguments.rounds, HEAT):
                for beside in [[less] for less in taken] if SCENARIOS[name].paced else [list(taken)]:
                    names = in_turn([ALL, *beside], heat // HEAT)
                    _run_heat(Path(folder), name, names, min(HEAT, arguments.rounds - heat), taken)
            for line, verdict in _told(name, SCENARIOS[name], taken):
                print(line, flush=True)
                verdicts.append(verdict)
    return 1 if "over" in verdicts else UNSURE if "cannot be told" in verdicts else 0


def _servers(folder: Path, names: Sequence[str], stack: ExitStack) -> dict[str, Server]:
    upstream = stack.enter_context(standing_in(folder))
    servers = {}
    for name in names:
        port, home = free_port(), Path(tempfile.mkdtemp(dir=folder))
        (home / "config.yaml").write_text(CONFIG % upstream.port)
        environ = {
            "PILLION_CONFIG": str(home / "config.yaml"),
            "PILLION_STATE_DIR": str(home),
            "PILLION_LISTEN": f"127.0.0.1:{port}",
            "PYTHONHASHSEED": "0",  # by which dicts lie otherwise in each process
        }
        command = [sys.executable, str(HERE / "lessened.py"), *LESS.get(name, [])]
        servers[name] = stack.enter_context(Server(command, port, home / "pillion.log", environ, CHECKOUT))
        servers[name].await_good(READINESS)
    return servers


def _run_heat(folder: Path, name: str, names: Sequence[str], rounds: int, taken: Pairs) -> None:
    """Add to what was `taken` so many rounds of these servers."""
    asked = exchange(stream=SCENARIOS[name].stream, paced=SCENARIOS[name].paced)
    with ExitStack() as stack:
        servers = _servers(folder, names, stack)
        for server in servers.values():
            server.await_good(asked)
        for turn in range(WARM[name]):
            _turn(servers, asked, name, turn)
        for number in range(rounds):
            each = _round(servers, asked, name, number)
            for less in filter(ALL.__ne__, names):
                taken[less].append((each[ALL], each[less]))


def _round(servers: Mapping[str, Server], asked: Exchange, name: str, number: int) -> dict[str, float]:
    time.sleep(LEDGER)
    before = {who: server.cpu() for who, server in servers.items()}
    turns = TURNS[name]
    answers = sum(_turn(servers, asked, name, number * turns + turn) for turn in range(turns))
    time.sleep(LEDGER)
    return {who: (server.cpu() - before[who]) / answers * 1e6 for who, server in servers.items()}


def _turn(servers: Mapping[str, Server], asked: Exchange, name: str, number: int) -> int:
    """How many answers each server gave."""
    connections, times = SCENARIOS[name].connections, TIMES[name]
    if SCENARIOS[name].paced:
        return ask(asked, [server.port for server in servers.values()], connections, times)
    answers = [ask(asked, [servers[who].port], connections, times) for who in in_turn(list(servers), number)]
    return answers[0]


def _told(name: str, scenario: Scenario, taken: Pairs) -> Iterator[tuple[str, str]]:
    whole = median(mine for pairs in taken.values() for mine, _ in pairs)
    yield f"{name:6} all of it: {whole:.0f} us", ""
    for less, pairs in taken.items():
        one = estimated([mine - other for mine, other in pairs])
        line = f"{name:6} {less}: {one.middle:+.1f} us ({one.low:+.1f} to {one.high:+.1f})"
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
