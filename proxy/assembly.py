"""What is made from one configuration?

Adapters, a catalog, the chain of middlewares and the routes before it: all that a request meets, built anew for each
configuration (docs/decisions/0023-reload.md). What outlives a configuration is handed in (`Lasting`). The order of the
middlewares is the list in `Assembly._make_ways`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from proxy import registry, routes
from proxy.access.salt import Salt
from proxy.adapters.echo import Echo
from proxy.adapters.http import HTTPProvider
from proxy.admin import Admin
from proxy.catalog import Catalog
from proxy.catalog.given import Given
from proxy.config import Config, Provider
from proxy.dispatch import Dispatch
from proxy.edge.hosts import Hosts
from proxy.edge.patience import Patience
from proxy.edge.remote import Fetcher
from proxy.errors import ConfigError
from proxy.failover.health import Health
from proxy.failover.hedging import Hedging
from proxy.failover.keystate import KeyStates
from proxy.failover.plan import Planner
from proxy.failover.standing import Standings
from proxy.lanes.heeding import Heeding
from proxy.logs import Log
from proxy.logs.redaction import Redaction
from proxy.middleware.auth import Auth
from proxy.middleware.cache import Cache
from proxy.middleware.failover import Failover
from proxy.middleware.faults import Faults, refuse
from proxy.middleware.intake import Intake
from proxy.middleware.journal import Journal
from proxy.middleware.metrics import Metrics
from proxy.middleware.overload import Overload
from proxy.middleware.ratelimit import RateLimit
from proxy.middleware.resume import Resume
from proxy.middleware.summary import summary
from proxy.middleware.transparent import Transparent, keyless, lent
from proxy.middleware.witness import Witness
from proxy.ports import Adapter, Call, Handler, Middleware
from proxy.reports.active import Active
from proxy.reports.books import Books
from proxy.reports.explain import Explain
from proxy.reports.rehearsal import UNFETCHED, Rehearsal
from proxy.reports.roster import Roster
from proxy.routing import Route, Routing
from proxy.sealing.provenance import Provenance
from proxy.sealing.vault import Vault
from proxy.server import Check
from proxy.spending.accounting import Accounting, Charges
from proxy.supplies import Supplies
from proxy.upstream import Upstream

if TYPE_CHECKING:
    from proxy.access.tokens import Tokens

_SAID_TWICE = "is already sent along with the API key: remove one of the two"


class Lasting(NamedTuple):
    """What lives as long as pillion runs, and is handed from one configuration to the next."""

    log: Log
    upstream: Upstream
    fetcher: Fetcher
    metrics: Metrics
    accounting: Accounting
    limits: RateLimit
    cache: Cache
    overload: Overload
    standings: Standings
    hedges: Counter[tuple[str, str]]  # by provider and outcome
    faults: Counter[tuple[str, ...]]  # by provider and fault
    health: Health
    keystates: KeyStates
    vault: Vault
    provenance: Provenance
    heeding: Heeding
    salt: Salt  # of the names that the keys of apps go by
    active: Active
    explain: Explain
    hide: Redaction


class Assembly:
    """`before`: the assembly that this one replaces. A provider whose row is unchanged keeps its adapter."""

    def __init__(self, config: Config, supplies: Supplies, lasting: Lasting, before: "Assembly | None" = None) -> None:
        self.config = config
        self.clients = supplies.clients
        self.charges = Charges(lasting.accounting, supplies.prices, lasting.metrics.paid)
        self._supplies = supplies
        self._lasting = lasting
        self._rows = {name: self._row(provider) for name, provider in config.providers.items()}
        self.kept = {name for name, row in self._rows.items() if before is not None and before.serves(row)}
        self.adapters = {name: self._adapter(name, before) for name in self._rows}
        self.catalog = _catalog(config, {**self.adapters, "echo": Echo("echo")})
        self.faults = self._make_faults()
        self.planner = self._make_planner()
        self.tokens = self._make_tokens(before)
        self._intake = Intake(config.max_request_timeout, self.catalog.named)
        self._failover = self._make_failover()
        self._ways = self._make_ways()
        self._dispatch = self._make_dispatch(lasting.fetcher)
        self._desk = self._make_desk()

    def __repr__(self) -> str:
        return f"<Assembly of {', '.join(self.catalog.adapters)}>"

    # --- the routes of each listener ---

    def for_apps(self, admin: Admin) -> list[Route]:
        return routes.for_apps(admin, self._desk, self._ways, self._dispatch, self._quits(admin))

    def for_operators(self, admin: Admin) -> list[Route]:
        return routes.for_operators(admin, self._desk, self._ways, self._quits(admin))

    def for_cluster(self, admin: Admin) -> list[Route]:
        return routes.for_cluster(admin, self._ways)

    def checks(self, hosts: Hosts) -> Sequence[Check]:
        """First whether we sent it ourselves: by a name that is none of ours, Host would hide that."""
        return self._lasting.upstream.trail.check, hosts.check, self.faults.check if self.faults else refuse

    @property
    def patience(self) -> Patience:
        client = self.config.client
        return Patience(client.header, client.body, client.body_stall, client.keep_alive, client.write_stall)

    def _quits(self, admin: Admin) -> list[Route]:
        return routes.quits(admin) if self.config.quitquitquit else []

    # --- the chain ---

    def _make_ways(self) -> routes.Ways:
        """A request that asks no model meets only the beginning of the list, and keeps to its client's time."""
        auth, config, lasting = self._auth(), self.config, self._lasting
        journal = Journal(lasting.log)
        observers, active = (journal.ended, lasting.metrics.ended, lasting.explain.keep), lasting.active
        witness = Witness(*observers, at_once=[active.ended], said=active.said)
        middlewares: list[Middleware] = [
            witness,  # who hears of its end?
            auth,  # who is asking?
            active,  # is it still under way?
            *([lasting.overload] if config.overload.max_requests else []),  # is there a place for them?
            self._intake,  # what do they ask for?
            summary,  # what did it take, for a client that wants to know?
            lasting.limits,  # may they, now?
            lasting.cache,  # do we already know?
            self.charges.cost,  # can they afford it, and what did it cost?
            self._with_resume(),  # whom do we ask, and whom next?
            *([auth.lend] if isinstance(auth, Transparent) else []),  # with whose key?
            *([self.faults] if self.faults else []),  # what goes wrong on purpose?
        ]
        keyed = [*middlewares[: middlewares.index(auth) + 1], self._intake.without_model]
        # In transparent mode there is no key that would tell an operator from anybody else.
        operators = [each for each in keyed if not isinstance(each, Transparent)]
        anybody: list[Middleware] = [Witness(journal.ended)]
        return routes.Ways(anybody=anybody, keyed=keyed, operators=operators, call=middlewares)

    def _auth(self) -> Auth | Transparent:
        config, upstream = self.config, self._lasting.upstream
        if config.transparent is not None:
            row = config.providers.get(config.transparent)  # echo has none, and takes no key
            make = partial(lent, self._supplies.makers[row.name], row, upstream) if row is not None else None
            return Transparent(config.transparent, make, config.limits.client, self._lasting.salt)
        return Auth(self.clients, self.tokens.client if self.tokens is not None else None)

    def _make_tokens(self, before: "Assembly | None") -> "Tokens | None":
        config, make = self.config, self._supplies.tokens
        if make is None:
            return None
        tokens = make(config.jwt, self._lasting.upstream, self.clients.named, config.limits.client)
        if before is not None and before.tokens is not None:
            tokens.follow(before.tokens)
        return tokens

    def _make_planner(self) -> Planner:
        config = self.config
        return Planner(
            self.catalog,
            config.routes,
            config.failover,
            {name: provider.model for name, provider in config.providers.items()},
            local=[name for name, provider in config.providers.items() if provider.free],
            alone=_is_alone(config),
        )

    def _make_failover(self) -> Failover:
        config, estimate = self.config, self.charges.estimate
        hedging = Hedging(config.hedge, self._lasting.hedges) if config.hedge.enabled else None
        standings, deadline = self._lasting.standings, config.failover.deadline
        is_well, tell = self._lasting.health.is_well, self._lasting.metrics.attempted
        return Failover(self.planner, standings, config.retry, deadline, estimate, is_well, hedging=hedging, tell=tell)

    def _with_resume(self) -> Failover | Resume:
        """Failover, inside of Resume where the operator wants that."""
        wants = self.config.failover.resume
        return Resume(self._failover, self._lasting.metrics.broke) if wants else self._failover

    def _make_dispatch(self, fetcher: Fetcher) -> Handler:
        config, lasting = self.config, self._lasting
        fetching = fetcher if config.fetch_images else None
        known = lasting.provenance, lasting.heeding
        return Dispatch(registry.dialect, lasting.vault, config.strict, fetching, *known).answer

    def wants_cache(self, call: Call) -> bool | None:
        """Are the answers of its route cached? None where the route does not say."""
        route = self.config.routes.get(call.model)
        return None if route is None else route.cache

    # --- the reports ---

    def _make_desk(self) -> routes.Desk:
        accounting, lasting = self._lasting.accounting, self._lasting
        return routes.Desk(
            Books(accounting.ledger, accounting.budgets),
            lasting.active,
            lasting.explain,
            Rehearsal(
                Routing(routes.chats(self._dispatch)),
                registry.dialect,
                self._intake,
                self._failover,
                self.charges.cost,
                self._make_dispatch(UNFETCHED),
            ),
            Roster(self.catalog.adapters, self._rows, lasting.standings, lasting.health, lasting.hide),
            self.clients.whose,
        )

    # --- the providers ---

    def serves(self, row: Provider) -> bool:
        """Is there a provider with exactly this row? Not where the row names files: they may have changed."""
        return not (row.ca or row.cert or row.credentials) and self._rows.get(row.name) == row

    def _row(self, provider: Provider) -> Provider:
        """In transparent mode the one provider gets no key of pillion's own."""
        return keyless(provider) if provider.name == self.config.transparent else provider

    def _adapter(self, name: str, before: "Assembly | None") -> HTTPProvider:
        if before is not None and name in self.kept:
            return before.adapters[name]
        return self._supplies.makers[name](self._rows[name], self._lasting.upstream)

    def _make_faults(self) -> Faults | None:
        rules = self.config.faults
        return Faults(rules, self._names(), registry.dialect, self._lasting.faults) if rules.enabled else None

    def _names(self) -> Mapping[str, str]:
        """Each name of a provider, and the provider that it stands for."""
        there = self.catalog.adapters
        return {name: name for name in there} | {
            word: name for word, name in self.config.synonyms.items() if name in there
        }

    def check_headers(self) -> None:
        """Is a configured header one that the adapter sends with the key as well? Only the adapter knows.

        Raises ConfigError, a line for each mistake.
        """
        places = self.config.places
        if problems := [
            f"{places.told('providers', adapter.name, 'headers', header)}: {_SAID_TWICE}"
            for adapter in self.adapters.values()
            for header in adapter.said_twice()
        ]:
            raise ConfigError("\n".join(problems))


def _is_alone(config: Config) -> bool:
    """Does all traffic go to one place?"""
    return bool(config.upstream or config.transparent)


def _catalog(config: Config, adapters: Mapping[str, Adapter]) -> Catalog:
    given = Given(
        aliases=config.aliases,
        synonyms=config.synonyms,
        serves=config.serves,
        default_model=config.default_model,
        ways=config.ways,
        upstream=config.upstream,
        defaults={name: provider.model for name, provider in config.providers.items()},
        local=[name for name, row in config.providers.items() if row.kind == "ollama" and not row.assumed],
        assumed=[name for name, row in config.providers.items() if row.assumed],
        routes={} if _is_alone(config) else {n: [to for to, _ in row.targets] for n, row in config.routes.items()},
        transparent=config.transparent,
    )
    return Catalog(adapters, given)
