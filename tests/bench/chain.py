"""What do the parts of the chain cost, by the processor's time of a request?

    python tests/bench/chain.py [--rounds 8] [--secs 2]

One pillion with a client key, limits and a budget, beside others that lack a part of the chain (`lessened.py`), asked
in turn by the same load, as run.py does it. Each figure is the median of the differences of a round, and stands beside
its bar: 25 us for auth, limits, cost and ledger, 10 us for failover and what is known of calls under way, and of a
paced stream 3 %. The exit code: 1 where one does not hold.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from tests.bench.run import SCENARIOS, Lane, Scenario, in_turn, sliced
from tests.bench.server import Server
from tests.bench.stage import CHECKOUT, HERE, compiled, free_port, need_tools, standing_in
from tests.bench.traffic import READINESS, exchange, load

CONFIG = """\
providers: {openai: {api_key: sk-bench, base_url: "http://127.0.0.1:%d/v1"}}
keys: {app: {key: sk-client}}
limits: {client: {requests_per_minute: 100000000, tokens_per_minute: 1000000000}}
budgets: {all: {usd: 1000000, window: month}}
ledger: {create: true}
"""
LESS: Mapping[str, list[str]] = {"all": [], "no money": ["money"], "no failover": ["failover"]}
BARS = {"no money": 25.0, "no failover": 10.0}  # microseconds
SHARE = 0.03  # of a paced stream


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--secs", type=int, default=2)
    arguments = parser.parse_args()
    need_tools()
    with tempfile.TemporaryDirectory(prefix="pillion-bench-") as folder, ExitStack() as stack:
        servers = _servers(Path(folder), stack)
        is_over = False
        for name in ("unary", "burst", "paced"):
            scenario = SCENARIOS[name]
            taken = _taken(Path(folder), servers, scenario, arguments.rounds, arguments.secs)
            for line, holds in _told(name, scenario, taken):
                print(line, flush=True)
                is_over = is_over or not holds
    return int(is_over)


def _servers(folder: Path, stack: ExitStack) -> dict[str, Server]:
    compiled(folder)
    upstream = stack.enter_context(standing_in(folder))
    servers = {}
    for name, less in LESS.items():
        port, home = free_port(), folder / name.replace(" ", "-")
        home.mkdir()
        (home / "config.yaml").write_text(CONFIG % upstream.port)
        environ = {
            "PILLION_CONFIG": str(home / "config.yaml"),
            "PILLION_STATE_DIR": str(home),
            "PILLION_LISTEN": f"127.0.0.1:{port}",
        }
        command = [sys.executable, str(HERE / "lessened.py"), *less]
        servers[name] = stack.enter_context(Server(command, port, home / "pillion.log", environ, CHECKOUT))
        servers[name].await_good(READINESS)
    return servers


def _taken(
    folder: Path, servers: Mapping[str, Server], scenario: Scenario, rounds: int, seconds: int
) -> dict[str, list[float]]:
    """Microseconds of CPU for one request, by who was asked, round by round."""
    asked = exchange(stream=scenario.stream, paced=scenario.paced)
    lanes = {name: Lane(server, asked) for name, server in servers.items()}
    taken: dict[str, list[float]] = {name: [] for name in lanes}
    for lane in lanes.values():
        lane.server.await_good(asked)
        load(asked, lane.server.port, scenario.connections, 1, folder)
    for number in range(rounds):
        for name in in_turn(list(lanes), number):
            taken[name].append(sliced(folder, lanes[name], scenario.connections, seconds * scenario.longer).cpu_us)
    return taken


def _told(name: str, scenario: Scenario, taken: Mapping[str, list[float]]) -> Iterator[tuple[str, bool]]:
    whole = median(taken["all"])
    yield f"{name:6} all of it: {whole:.0f} us", True
    for less, bar in BARS.items():
        more = median(mine - other for mine, other in zip(taken["all"], taken[less], strict=True))
        most = SHARE * whole if scenario.paced else bar
        holds = more <= most
        yield f"{name:6} {less}: {more:+.1f} us less, where {most:.0f} is the bar{'' if holds else '  <- over'}", holds


if __name__ == "__main__":
    sys.exit(main())
