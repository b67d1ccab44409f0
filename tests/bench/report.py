"""What came out, does it hold, and how is it shown?"""

import json
from dataclasses import asdict, dataclass
from statistics import median

# Of CPU per request: to nginx's, where pillion passes through. That of `long` is our own: what was measured, and a
# quarter more.
RATIO_BARS = {"unary": 9.0, "burst": 4.5, "long": 4.5, "paced": 3.0}
# The same bars again, to a bare proxy's: they were set where that one cost so many times what nginx did. How much
# dearer than nginx anything in Python is depends on the machine.
BARE = {"unary": 7.1, "burst": 3.5, "long": 1.8, "paced": 2.4}
BARS = {
    "nginx": RATIO_BARS,
    "aiohttp": {name: round(bar / BARE[name], 2) for name, bar in RATIO_BARS.items()},
    "pass-through": {"unary": 2.0, "burst": 2.0, "long": 5.0, "paced": 2.0},
}
READY_BAR = 0.3  # seconds, in the median
MEMORY_BAR = 60.0  # MiB


@dataclass(frozen=True)
class Row:
    """One scenario, asked on one wire. The figures are medians; times of CPU are microseconds for one request."""

    scenario: str
    about: str
    connections: int
    wire: str  # that the client speaks
    beside: str  # what pillion is measured against: nginx, a bare proxy of aiohttp's, or itself as it passes through
    beside_us: float
    pillion_us: float
    ratio: float
    ratios: list[float]  # round by round: how noisy was the machine?
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int  # requests, of pillion and of what it is measured against

    @property
    def bar(self) -> float:
        return BARS[self.beside][self.scenario]

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.wire}"


@dataclass(frozen=True)
class Starts:
    """Seconds from the start of the process to the first good answer, start by start."""

    ready: list[float]
    chat: list[float]


@dataclass(frozen=True)
class Report:
    date: str
    cores: int
    python: str
    rows: list[Row]
    starts: Starts
    resident: dict[str, float]  # MiB after a scenario that was passed through, each in a process of its own
    rss_mib: float  # after all scenarios in all words, in one process

    def faults(self) -> list[str]:
        """The bars that do not hold, a line each."""
        ready = median(self.starts.ready)
        return [
            *(fault for row in self.rows for fault in _of_row(row)),
            *([f"ready after {ready:.2f} s, where {READY_BAR} s is the bar"] if ready > READY_BAR else []),
            *(
                f"{name}: {mib:.1f} MiB, where {MEMORY_BAR:.0f} MiB is the bar"
                for name, mib in self.resident.items()
                if mib > MEMORY_BAR
            ),
        ]

    def json(self) -> str:
        return json.dumps(asdict(self) | {"faults": self.faults()}, indent=2)

    def text(self) -> str:
        names = f"{'':16} {'CPU beside':>26} {'pillion':>9} {'ratio':>6} {'bar':>4}"
        head = f"{names} {'req/s':>7} {'p50':>9} {'p99':>9} failed"
        return "\n".join([head, *map(_line, self.rows), *self._notes()])

    def markdown(self) -> str:
        head = (
            "| asked | in the words of | CPU beside | pillion's CPU | ratio | bar | requests/s | p50 | p99 | failed |"
        )
        rule = "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
        return "\n".join([head, rule, *map(_cells, self.rows), "", *self._notes()])

    def _notes(self) -> list[str]:
        each = ", ".join(f"{name} {mib:.1f}" for name, mib in self.resident.items())
        return [
            f"Ready {_spread(self.starts.ready)} after the start, first chat completion {_spread(self.starts.chat)}.",
            f"MiB resident after one scenario alone: {each} (bar {MEMORY_BAR:.0f}); after all of them in all words: "
            f"{self.rss_mib:.0f}.",
            f"CPU is user and system time for one request. {self.cores} cores, Python {self.python}, {self.date}.",
        ]


def _of_row(row: Row) -> list[str]:
    over = [f"{row.name}: {row.ratio:.2f} times {row.beside}, where {row.bar:g} is the bar"]
    return (over if row.ratio > row.bar else []) + (
        [f"{row.name}: {row.failed} requests failed, where none may"] if row.failed else []
    )


def _line(row: Row) -> str:
    cost = f"{row.beside:>15} {row.beside_us:7.1f} us {row.pillion_us:6.1f} us {row.ratio:6.2f} {row.bar:4g}"
    return f"{row.name:16} {cost} {row.per_second:7.0f} {row.p50_ms:6.1f} ms {row.p99_ms:6.1f} ms {row.failed:6}"


def _cells(row: Row) -> str:
    return (
        f"| {row.scenario}: {row.about}, {row.connections} connections | {row.wire} "
        f"| {row.beside} {row.beside_us:.0f} µs | {row.pillion_us:.0f} µs | {row.ratio:.2f} | {row.bar:g} "
        f"| {row.per_second:,.0f} | {row.p50_ms:.1f} ms | {row.p99_ms:.1f} ms | {row.failed} |"
    )


def _spread(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
