"""What exists for as long as pillion runs?

The composition root: the listeners, the metrics and the pool of connections are made here, once. What depends on the
configuration is an Assembly, and a reload puts another one in its place (`become`).
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from proxy import registry
from proxy.access.clients import Clients
from proxy.access.salt import Salt
from proxy.admin import Admin
from proxy.assembly import Assembly, Lasting
from proxy.budgets import Spent
from proxy.catalog import Catalog
from proxy.config import Address, Breaker, Config
from proxy.edge.handover import Handed, share
from proxy.edge.hosts import Hosts
from proxy.edge.listening import CannotListen
from proxy.edge.remote import Fetcher
from proxy.edge.room import MANY, Room
from proxy.errors import GatewayError
from proxy.failover.breaker import Rules
from proxy.failover.health import Health
from proxy.failover.keystate import KeyStates
from proxy.failover.standing import Standings
from proxy.fleet import Fleet
from proxy.lanes.heeding import Heeding
from proxy.logs import SILENT, Log
from proxy.logs.redaction import Redaction, secrets_of
from proxy.middleware.cache import Cache
from proxy.middleware.metrics import Metrics
from proxy.middleware.overload import Overload
from proxy.middleware.ratelimit import RateLimit
from proxy.reports import watched
from proxy.reports.active import Active
from proxy.reports.explain import Explain
from proxy.routing import Route
from proxy.sealing.makers import whose
from proxy.sealing.provenance import Provenance
from proxy.sealing.register import Register
from proxy.sealing.vault import Vault
from proxy.server import Check, Server
from proxy.spending.accounting import Accounting
from proxy.spending.adoption import Adoption
from proxy.supplies import Supplies, supplies_of
from proxy.upstream import Upstream


class App:
    """pillion, put together. Made, opened and closed inside a running loop. Raises ConfigError."""

    def __init__(
        self,
        config: Config,
        tls: ssl.SSLContext | None = None,
        log: Log = SILENT,
        room: Room | None = None,
        hide: Redaction | None = None,
    ) -> None:
        """`tls`: which providers to trust, in place of the system's choice. `log`: takes a line for each request.
        `room`: limits the connections of clients. `hide`: takes secrets out of the log; a reload tells it the new ones.
        """
        supplies = supplies_of(config)
        self.config = config
        self.fleet = Fleet() if config.store else None
        self.store = registry.store()(config.store, self.fleet) if self.fleet else None
        self.room = room or Room()
        self.room.allow(config.overload.max_connections)
        self.upstream = Upstream(tls)  # from here on there is something to close: no ConfigError any more
        self.hurry = asyncio.Event()  # once it is set, nobody is waited for when we end
        self.accounting = Accounting(config, supplies.budgets, self.upstream.tell, self.fleet, self.hurry)
        self.upstream.outbox.before = self.accounting.ledger.flush  # no provider hears of what is not written down
        self._hide = hide or Redaction(secrets_of(config))
        self.metrics = Metrics(config.named_models(), self._hide)
        self.lasting = self._lasting(config, log)
        self.now = Assembly(config, supplies, self.lasting)
        self.clients.ring.agree(supplies.minted)
        self.adoption = Adoption(self.clients.ring, self.accounting, lambda: self.config)
        self.lasting.cache.become(config.cache, config.fingerprint, self.now.wants_cache)
        self.lasting.provenance.become(*whose(config, self.now.adapters.values()))
        self._look_after(self.now)
        self.admin = Admin(self.now.planner, self.metrics.told)
        self.server, self.operators, self.cluster = (self._server(*shown) for shown in self._shown(self.now))
        self._watch(log)

    def _lasting(self, config: Config, log: Log) -> Lasting:
        limits = {name: row.limits for name, row in config.providers.items()}
        explain = Explain(config.explain, self._hide)
        return Lasting(
            log=log,
            upstream=self.upstream,
            fetcher=Fetcher(),
            metrics=self.metrics,
            accounting=self.accounting,
            limits=RateLimit(config.limits, limits, fleet=self.fleet),
            cache=Cache(config.cache, config.state_dir),
            overload=Overload(config.overload.max_requests or MANY, config.overload),
            standings=Standings(_rules(config.breaker)),
            hedges=Counter(),
            faults=Counter(),
            health=Health(),
            keystates=KeyStates(config.state_dir, self.fleet),
            vault=Vault(),
            heeding=Heeding(),
            provenance=Provenance(Register(config.state_dir) if config.state_dir is not None else None),
            salt=Salt(config.state_dir),
            active=Active(self._hide),
            explain=explain,
            hide=self._hide,
        )

    @property
    def catalog(self) -> Catalog:
        return self.now.catalog

    @property
    def clients(self) -> Clients:
        return self.now.clients

    # --- another configuration ---

    async def become(self, config: Config) -> None:
        """Serve by another configuration from now on. Calls that are under way go on as they began.

        Raises ConfigError, LedgerUnavailable and whatever an adapter raises; then nothing has changed.
        """
        async with self.accounting.turn:
            supplies = await asyncio.to_thread(supplies_of, config, self.clients.ring)
            spent = await self.accounting.reckoned(supplies.budgets)
            self._swap(config, supplies, spent)  # nothing is awaited from here on: meanwhile more could be spent

    def _swap(self, config: Config, supplies: Supplies, spent: Sequence[Spent]) -> None:
        """First everything that may fail, then everything that shows. Raises ConfigError, and what adapters raise."""
        later, lasting = Assembly(config, supplies, self.lasting, self.now), self.lasting
        later.check_headers()
        shown = list(self._shown(later))
        self.accounting.become(supplies.budgets, spent, config.webhook)
        supplies.clients.ring.agree(supplies.minted)
        lasting.limits.become(config.limits, {name: row.limits for name, row in config.providers.items()})
        lasting.overload.become(config.overload.max_requests or MANY, config.overload)
        lasting.cache.become(config.cache, config.fingerprint, later.wants_cache)
        lasting.standings.become(_rules(config.breaker), {*later.kept, "echo"})
        lasting.provenance.become(*whose(config, later.adapters.values()))
        self._look_after(later)
        self.metrics.become(config.named_models())
        self._hide.become(secrets_of(config))
        self.room.allow(config.overload.max_connections)
        self.admin.become(later.planner)
        lasting.explain.become(config.explain)
        for server, (there, checks) in zip((self.server, self.operators, self.cluster), shown, strict=True):
            server.become(there, later.patience, config.body_limit, checks)
        self.config, self.now = config, later

    def _look_after(self, now: Assembly) -> None:
        """Keys, and the health checks: of a provider that nobody configured, health is only asked on request."""
        there = {name: one for name, one in now.adapters.items() if not now.config.providers[name].assumed}
        for one in now.adapters.values():
            one.check_within = now.config.health.timeout
        self.lasting.keystates.become({name: one.keys for name, one in now.adapters.items()})
        self.lasting.health.become(now.config.health, there)

    def _shown(self, now: Assembly) -> Iterator[tuple[list[Route], Sequence[Check]]]:
        """For apps, for operators and for the cluster: the routes, and the checks before them."""
        hosts = Hosts(now.config.allowed_hosts)
        yield now.for_apps(self.admin), now.checks(hosts)
        yield now.for_operators(self.admin), now.checks(hosts)
        yield now.for_cluster(self.admin), now.checks(Hosts(now.config.allowed_hosts, private=True))

    def _server(self, there: Sequence[Route], checks: Sequence[Check]) -> Server:
        patience, write = self.now.patience, self.accounting.ledger.flush
        return Server(there, registry.dialect, patience, self.config.body_limit, checks, self.room, write)

    # --- what is told of it ---

    def _watch(self, log: Log) -> None:
        """Show in the metrics what others count."""
        metrics, lasting = self.metrics, self.lasting
        watched.pillion(metrics, lambda: self.config)
        watched.clients(metrics, self.room, lambda: [server for _, server in self._all()])
        watched.overload(metrics, lasting.overload, lambda: self.config.overload.max_requests)
        watched.faults(metrics, lasting.faults)
        watched.upstream(metrics, self.upstream)
        metrics.watch("pillion_log_lines_lost_total", "Log lines that were lost.", lambda: log.sink.lost)
        metrics.watch("pillion_requests_in_flight", "Calls to models in progress.", lambda: len(lasting.active))
        watched.money(metrics, self.accounting.budgets, self.accounting.ledger, self.accounting.alerts)
        watched.limits(metrics, lasting.limits)
        if self.fleet is not None:
            watched.fleet(metrics, self.fleet)
        watched.cache(metrics, lasting.cache)
        watched.targets(metrics, lasting.standings)
        watched.hedges(metrics, lasting.hedges)
        watched.providers(metrics, lasting.health, lambda: self.now.adapters)

    # --- its life ---

    async def open(self, handed: Sequence[Handed] = ()) -> None:
        """`handed`: sockets to use in place of those that would be opened here.

        Raises CannotListen where an address is taken, and ConfigError. Call `close` also after a failure.
        """
        shares = await share(handed, [address for address, _ in self._all()])
        for (address, server), socks in zip(self._all(), shares, strict=True):
            try:
                await server.open(address, socks)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise CannotListen(f"cannot listen on {address}: {why}") from None
        if self.store is not None:
            await self.store.open()
        await self.accounting.open()
        await self.lasting.cache.open()
        await self.lasting.provenance.open()
        for _, server in self._all():
            server.start()
        self.admin.ready = True
        self.lasting.health.open()

    @property
    def addresses(self) -> list[Address]:
        """Where it listens: for apps, then for operators, then for the cluster."""
        return [server.address for _, server in self._all()]

    def dismiss(self) -> None:
        """Serve on, but let each client leave with its next answer: whoever stays is cut off when we end."""
        for _, server in self.listeners:
            server.dismiss()

    def retire(self) -> None:
        """Let no more requests in. The cluster's listener stays open: it says that we are not ready, and is scraped."""
        for _, server in self.listeners:
            server.retire()

    async def left(self) -> None:
        """Wait until every client has its answer and is gone."""
        await asyncio.gather(*(server.left() for _, server in self.listeners))

    def cut(self, error: GatewayError) -> int:
        """End the answers that are under way, each with an error on its client's wire; how many there were."""
        return sum(server.cut(error) for _, server in self.listeners)

    async def close(self) -> None:
        """Everything in turn, also where something before it fails to: the ledger has rows to write."""
        self.admin.ready = False
        closings = [
            self.lasting.health.close,
            *(server.close for _, server in self._all()),
            self.lasting.keystates.close,
            self.lasting.cache.close,
            self.adoption.close,
            self.accounting.close,
            *([self.store.close] if self.store is not None else []),
            self.upstream.close,
            self.lasting.fetcher.close,
        ]
        async with AsyncExitStack() as stack:  # which begins with the last
            for close in reversed(closings):
                stack.push_async_callback(close)

    @property
    def listeners(self) -> list[tuple[Address, Server]]:
        """Those for apps and for operators."""
        admin = self.config.admin_address
        return [(self.config.listen, self.server), *([(admin, self.operators)] if admin is not None else [])]

    def _all(self) -> list[tuple[Address, Server]]:
        cluster = self.config.metrics_address
        return [*self.listeners, *([(cluster, self.cluster)] if cluster is not None else [])]


def _rules(breaker: Breaker) -> Rules:
    """A share of failures means something only after more outcomes than it takes failures in a row."""
    least = max(20, 4 * breaker.failures)
    return Rules(breaker.failures, least=least, cool=breaker.cooldown, longest=breaker.longest, ramp=breaker.ramp)
