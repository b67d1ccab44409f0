"""Which numbers do the metrics show that are kept elsewhere?

Connections, money, limits, targets and the cache: each number is kept where it is needed, and read when somebody
scrapes. Labels are bounded: of the budgets that each client has of its own, only those that have spent most are shown;
and targets that the metrics do not count by their own names are one target of their provider's.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import nlargest
from platform import python_version
from time import monotonic
from typing import get_args

from proxy import __version__
from proxy.adapters.http import HTTPProvider
from proxy.budgets import Budgets, Statement
from proxy.config import Config
from proxy.edge.room import Room
from proxy.failover.breaker import State
from proxy.failover.health import Checked, Health
from proxy.failover.standing import Standing, Standings
from proxy.fleet import Fleet
from proxy.middleware.cache import Cache
from proxy.middleware.metrics import OTHER, Metrics
from proxy.middleware.overload import Overload
from proxy.middleware.ratelimit import RateLimit
from proxy.server import Server
from proxy.spending.alerts import Alerts
from proxy.spending.money import NANOS
from proxy.store import Ledger
from proxy.upstream import Upstream

CLIENTS = 100  # how many clients' own budgets are shown
MOMENT = 0.1  # seconds for which one look at the budgets serves all of their families
STATES: tuple[State, ...] = get_args(State)

Counts = Mapping[tuple[str, ...], float]


def pillion(metrics: Metrics, config: Callable[[], Config]) -> None:
    about, version = "The version of pillion and of Python.", {"version": __version__, "python": python_version()}
    metrics.state("pillion_build", about, **version)
    about = "A hash of the configuration in force, without its secrets."
    metrics.tally("pillion_config_info", about, ["hash"], lambda: {(config().fingerprint,): 1})


def clients(metrics: Metrics, room: Room, servers: Callable[[], Sequence[Server]]) -> None:
    def refused() -> Counts:
        counts = sum((server.refused for server in servers()), Counter[str]())
        return {(code,): count for code, count in counts.items()}

    watch = metrics.watch
    about = "Open connections from clients."
    watch("pillion_client_connections", about, lambda: sum(server.connections for server in servers()))
    watch("pillion_client_connections_limit", "The most connections that clients may have.", lambda: room.limit)
    about = "Connections for which there was no room: answered with 503, or closed while idle."
    watch("pillion_client_connections_turned_away_total", about, lambda: room.turned_away)
    metrics.tally("pillion_refused_total", "Requests refused before they reached a route.", ["code"], refused)


def overload(metrics: Metrics, queue: Overload, most: Callable[[], int | None]) -> None:
    def limit() -> Counts:
        return {} if (count := most()) is None else {(): count}

    metrics.watch("pillion_requests_queued", "Requests waiting for a place.", lambda: queue.queued)
    about = "The most requests that may be in progress at the same time."
    metrics.tally("pillion_requests_limit", about, [], limit)


def faults(metrics: Metrics, counts: Counts) -> None:
    about = "Attempts with an injected fault."
    metrics.tally("pillion_faults_total", about, ["provider", "fault"], lambda: counts)


def upstream(metrics: Metrics, pool: Upstream) -> None:
    watch = metrics.watch
    watch("pillion_upstream_connections_in_use", "Connections to providers in use.", lambda: pool.in_use)
    watch("pillion_upstream_connections_pooled", "Idle connections to providers.", lambda: pool.pooled)


def money(metrics: Metrics, budgets: Budgets, ledger: Ledger, alerts: Alerts) -> None:
    look = _Look(budgets)
    labels = ["budget", "client", "window"]
    for name, about, read in (
        ("limit", "what may be spent.", lambda row: row.limit),
        ("spent", "what was spent in this window.", lambda row: row.spent),
        ("reserved", "what is reserved for requests in progress.", lambda row: row.reserved),
        ("remaining", "what is neither spent nor reserved.", lambda row: row.remaining),
    ):
        metrics.tally(f"pillion_budget_{name}_usd", f"Dollars: {about}", labels, look.dollars(read))
    about = "Alerts: the threshold was reached, all was spent, or a request cost more than was reserved."
    metrics.tally("pillion_budget_alerts_total", about, ["kind", "budget"], lambda: _told(alerts.counts))
    metrics.watch("pillion_budget_alerts_lost_total", "Alerts that the webhook never accepted.", lambda: alerts.lost)
    metrics.watch("pillion_ledger_pending_rows", "Rows not yet written to the database.", lambda: ledger.pending)
    metrics.watch("pillion_ledger_lost_rows_total", "Rows that were lost.", lambda: ledger.lost)
    metrics.watch(
        "pillion_ledger_uncovered_total", "Attempts whose rows a crash would have lost.", lambda: ledger.uncovered
    )
    metrics.watch("pillion_ledger_failed", "1 while the ledger cannot be written.", lambda: bool(ledger.failed))


class _Look:
    """One look at all budgets, shared by all families about them."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._rows: list[Statement] = []
        self._until = 0.0

    def dollars(self, read: Callable[[Statement], int]) -> Callable[[], Counts]:
        return lambda: {(row.name, row.client, row.window): read(row) / NANOS for row in self._now()}

    def _now(self) -> list[Statement]:
        if monotonic() >= self._until:
            rows = self._budgets.statements()
            own = nlargest(CLIENTS, (row for row in rows if row.client), key=lambda row: row.spent)
            self._rows = [*(row for row in rows if not row.client), *own]
            self._until = monotonic() + MOMENT
        return self._rows


def limits(metrics: Metrics, counted: RateLimit) -> None:
    about = "Requests that a rate limit refused or sent elsewhere, by whose limit it is and what it limits."
    metrics.tally("pillion_limit_refusals_total", about, ["scope", "limit"], lambda: _told(counted.refused))
    metrics.watch("pillion_limit_queue", "Requests waiting for a rate limit.", lambda: counted.queued)


def fleet(metrics: Metrics, told: Fleet) -> None:
    metrics.watch("pillion_store_up", "1 while the store that a fleet shares can be reached.", lambda: told.is_up)
    about = "Requests that were decided without the store: by a share of a limit, or without a lease."
    metrics.watch("pillion_store_fallbacks_total", about, lambda: told.fallbacks)
    metrics.watch("pillion_fleet_members", "Sidecars that share the store, when last counted.", lambda: told.members)


def cache(metrics: Metrics, counted: Cache) -> None:
    metrics.tally(
        "pillion_cache_requests_total",
        "Cache lookups, by outcome.",
        ["outcome"],
        lambda: {("hit",): counted.hits, ("miss",): counted.misses, ("shared",): counted.shared},
    )
    answers = counted.answers
    metrics.watch("pillion_cache_answers", "Answers in the cache.", lambda: len(answers))
    metrics.watch("pillion_cache_bytes", "Bytes of the answers in the cache.", lambda: answers.bytes)
    metrics.watch(
        "pillion_cache_evictions_total",
        "Answers that were dropped from the cache to make room.",
        lambda: answers.evictions,
    )


def providers(metrics: Metrics, health: Health, adapters: Callable[[], Mapping[str, HTTPProvider]]) -> None:
    def found(read: Callable[[Checked], float]) -> Callable[[], Counts]:
        return lambda: {(name,): read(one) for name, one in health.all().items()}

    place = ["provider"]
    about = "1 if the provider answered the last health check, else 0."
    metrics.tally("pillion_provider_up", about, place, found(lambda one: one.is_there))
    about = "How long the last health check took."
    metrics.tally("pillion_provider_check_seconds", about, place, found(lambda one: one.latency))
    about = "Keys out of use: for a while (cooling), or until they are replaced (failed)."
    metrics.tally(
        "pillion_provider_keys_out",
        about,
        [*place, "state"],
        lambda: {
            (name, state): count
            for name, one in adapters().items()
            for state, count in one.keys_state().items()
            if state != "count"
        },
    )


def targets(metrics: Metrics, standings: Standings) -> None:
    def told() -> Iterator[tuple[tuple[str, str], Standing]]:
        for one in standings:
            name, model = one.target.adapter.name, one.target.model
            yield (name, model if metrics.has_place(name, model) else OTHER), one

    def states() -> Counts:
        """Of several, each state that one of them is in."""
        found = {(*where, one.breaker.state) for where, one in told()}
        return {(*where, state): (*where, state) in found for where, _ in told() for state in STATES}

    def in_flight() -> Counts:
        counts: Counter[tuple[str, ...]] = Counter()
        for where, one in told():
            counts[where] += one.latency.in_flight
        return counts

    place = ["provider", "model"]
    metrics.tally(
        "pillion_target_state", "1 for the state that a target's breaker is in.", [*place, "state"],
        states,
    )  # fmt: skip
    metrics.tally(
        "pillion_target_in_flight", "Attempts in progress, by target.", place, in_flight,
    )  # fmt: skip
    metrics.tally(
        "pillion_target_latency_seconds", "Recent time to the first event; it fades without new ones.", place,
        lambda: {where: one.latency.value for where, one in told() if one.latency.value and where[1] != OTHER},
    )  # fmt: skip


def hedges(metrics: Metrics, counts: Mapping[tuple[str, str], int]) -> None:
    about = "Second targets asked while the first was silent, by whether they answered first."
    metrics.tally("pillion_hedges_total", about, ["provider", "outcome"], lambda: _told(counts))


def _told(counts: Mapping[tuple[str, str], int]) -> Counts:
    return {(first, second): count for (first, second), count in counts.items()}
