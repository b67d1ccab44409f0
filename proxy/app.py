"""What exists, and in which order does a request meet it?

The composition root: everything is made here, once, and handed what it needs. The order of the middlewares is the
list in `App._ways`.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from platform import python_version

from proxy import __version__, registry, routes
from proxy.accounting import Accounting, prices_of
from proxy.adapters.echo import Echo
from proxy.admin import Admin
from proxy.books import Books
from proxy.breaker import Rules
from proxy.catalog import Catalog
from proxy.clients import Clients
from proxy.config import Address, Breaker, Config, Provider
from proxy.dispatch import Dispatch
from proxy.door import Patience
from proxy.errors import GatewayError
from proxy.hosts import Hosts
from proxy.listening import CannotListen
from proxy.logs import SILENT, Log
from proxy.middleware.auth import Auth
from proxy.middleware.failover import Failover
from proxy.middleware.intake import Intake
from proxy.middleware.journal import Journal
from proxy.middleware.metrics import Metrics
from proxy.middleware.ratelimit import RateLimit
from proxy.middleware.summary import summary
from proxy.middleware.transparent import Transparent, keyless, lent
from proxy.plan import Planner
from proxy.ports import Adapter, Middleware
from proxy.provenance import Provenance
from proxy.redaction import Redaction, secrets_of
from proxy.remote import Fetcher
from proxy.room import Room
from proxy.routing import Route
from proxy.server import Server
from proxy.standing import Standings
from proxy.upstream import Upstream
from proxy.vault import Vault


class App:
    """pillion, put together. Made, opened and closed inside a running loop. Raises ConfigError."""

    def __init__(
        self, config: Config, tls: ssl.SSLContext | None = None, log: Log = SILENT, room: Room | None = None
    ) -> None:
        """`tls`: whom to trust among providers, where it is not the system's choice. `log`: where requests are told.
        `room`: how many connections clients may have, where there is a limit.
        """
        self.config = config
        self.room = room or Room()
        self.clients = Clients(config)
        self._tokens = registry.tokens() if config.jwt.jwks else None
        makers = {name: registry.adapter(provider.kind) for name, provider in config.providers.items()}
        prices = prices_of(config)
        self.upstream = Upstream(tls)  # from here on there is something to close: no ConfigError any more
        adapters: dict[str, Adapter] = {
            name: make(self._provider(name), self.upstream) for name, make in makers.items()
        }
        self._fetcher = Fetcher() if config.fetch_images else None
        self.catalog = _catalog(config, adapters | {"echo": Echo("echo")})
        self.standings = Standings(_rules(config.breaker))
        self.metrics = Metrics(_models(config), Redaction(secrets_of(config)))
        self.accounting = Accounting(config, prices, self.upstream.tell, self.metrics.paid)
        self.admin = Admin(self.catalog, self.metrics.registry)
        books = Books(self.accounting.ledger, self.accounting.budgets, self.clients.are_asked)
        ways = self._ways(log)
        provenance = Provenance(_shared(adapters.values()))
        dispatch = Dispatch(registry.dialect, Vault(), config.strict, self._fetcher, provenance)
        self._hosts = Hosts(config.allowed_hosts)
        operated = routes.operated(self.admin)
        quits = routes.quits(self.admin) if config.quitquitquit else []
        there = [*(routes.apart() if self.clients.are_asked() else operated), *quits]
        self.server = self._server(routes.for_apps(self.admin, books, ways, dispatch, there), self._hosts)
        self.listeners = [(config.listen, self.server)]
        if config.admin_address is not None:
            there = routes.for_operators(self.admin, books, ways, [*operated, *quits])
            self.listeners.append((config.admin_address, self._server(there, self._hosts)))
        self.cluster = self._server(routes.for_cluster(self.admin, ways), Hosts(config.allowed_hosts, private=True))
        self._watch(log)

    def _ways(self, log: Log) -> routes.Ways:
        """What asks no model meets the beginning of the list alone."""
        auth, config = self._auth(), self.config
        middlewares: list[Middleware] = [
            Journal(log),  # what is there to say of it?
            self.metrics,  # what happened?
            auth,  # who is asking?
            Intake(config.max_request_timeout, self.catalog.named),  # what do they ask for?
            summary,  # what did it take, for a client that wants to know?
            RateLimit(config.limits, {name: provider.limits for name, provider in config.providers.items()}),  # now?
            self.accounting.cost,  # can they afford it, and what did it cost?
            self._failover(),  # whom do we ask, and whom next?
            *([auth.lend] if isinstance(auth, Transparent) else []),  # with whose key?
            self.metrics.attempt,  # and what came of that?
        ]
        keyed = middlewares[: middlewares.index(auth) + 1]
        return routes.Ways(anybody=keyed[:1], keyed=keyed, call=middlewares)

    def _auth(self) -> Auth | Transparent:
        config, upstream = self.config, self.upstream
        if config.transparent is not None:
            row = config.providers.get(config.transparent)  # echo has none, and takes no key
            make = partial(lent, registry.adapter(row.kind), row, upstream) if row is not None else None
            return Transparent(config.transparent, make, config.limits.client)
        if self._tokens is None:
            return Auth(self.clients)
        return Auth(self.clients, self._tokens(config.jwt, upstream, self.clients.named, config.limits.client).client)

    def _provider(self, name: str) -> Provider:
        """In transparent mode pillion shows none of its own keys to the one provider that there is."""
        provider = self.config.providers[name]
        return keyless(provider) if name == self.config.transparent else provider

    def _failover(self) -> Failover:
        config = self.config
        planner = Planner(
            self.catalog,
            config.routes,
            config.failover,
            {name: provider.model for name, provider in config.providers.items()},
            local=[name for name, provider in config.providers.items() if provider.free],
            alone=bool(config.upstream or config.transparent),
        )
        return Failover(
            planner, self.standings, config.retry, config.failover.deadline, self.accounting.estimate, _well
        )

    def _watch(self, log: Log) -> None:
        """What others than the metrics count, or know."""
        watch, state, upstream = self.metrics.watch, self.metrics.state, self.upstream
        state("pillion_build", "What runs.", version=__version__, python=python_version())
        state("pillion_config", "The configuration in force, secrets left out.", hash=fingerprint(self.config))
        watch("pillion_client_connections", "That clients have open.", self._connections)
        watch("pillion_client_connections_limit", "That they may have.", lambda: self.room.limit)
        watch(
            "pillion_client_connections_turned_away_total",
            "For want of room: told 503, or closed while idle.",
            lambda: self.room.turned_away,
        )
        self.metrics.tally("pillion_refused_total", "Requests that reached no route.", ["code"], self._refused)
        watch("pillion_upstream_connections_in_use", "To providers, with a call on them.", lambda: upstream.in_use)
        watch("pillion_upstream_connections_pooled", "To providers, waiting for a call.", lambda: upstream.pooled)
        watch("pillion_log_lines_lost_total", "Lines of the log that nobody took.", lambda: log.sink.lost)

    def _server(self, there: Sequence[Route], hosts: Hosts) -> Server:
        config, client = self.config, self.config.client
        patience = Patience(client.header, client.body_stall, client.body, client.keep_alive, client.write_stall)
        checks = (hosts.check, self.upstream.trail.check)
        return Server(there, registry.dialect, patience, config.body_limit, checks, self.room)

    async def open(self) -> None:
        """Raises CannotListen where an address is taken, and ConfigError; whoever opens closes, also then."""
        for address, server in self._all():
            try:
                await server.open(*address)
            except OSError as error:
                raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from None
        await self.accounting.open()
        for _, server in self._all():
            server.start()
        self.admin.ready = True

    @property
    def addresses(self) -> list[Address]:
        """Where it listens: for apps, then for operators, then for the cluster; each as it is configured."""
        return [address if address.path else Address(*server.address) for address, server in self._all()]

    def retire(self) -> None:
        """Let no more requests in. The cluster's listener stays: it tells that we are not ready, and how we end."""
        for _, server in self.listeners:
            server.retire()

    async def left(self) -> None:
        """Until every client has its answer, and is gone."""
        await asyncio.gather(*(server.left() for _, server in self.listeners))

    def cut(self, error: GatewayError) -> int:
        """End the answers that are under way, each in its client's words; how many there were."""
        return sum(server.cut(error) for _, server in self.listeners)

    async def close(self) -> None:
        self.admin.ready = False
        for _, server in self._all():
            await server.close()
        await self.accounting.close()
        await self.upstream.close()
        if self._fetcher is not None:
            await self._fetcher.close()

    def _connections(self) -> int:
        return sum(server.connections for _, server in self._all())

    def _refused(self) -> Mapping[tuple[str, ...], float]:
        counts = sum((server.refused for _, server in self._all()), Counter[str]())
        return {(code,): count for code, count in counts.items()}

    def _all(self) -> list[tuple[Address, Server]]:
        cluster = self.config.metrics_address
        return [*self.listeners, *([(cluster, self.cluster)] if cluster is not None else [])]


def _rules(breaker: Breaker) -> Rules:
    """A share of failures says nothing before there are some more outcomes than failures in a row would take."""
    least = max(20, 4 * breaker.failures)
    return Rules(breaker.failures, least=least, cool=breaker.cooldown, longest=breaker.longest, ramp=breaker.ramp)


def _well(provider: str) -> bool:
    return True


def _shared(adapters: Iterable[Adapter]) -> set[str]:
    """The wires that more than one of them takes."""
    wires = Counter(wire for adapter in adapters for wire in adapter.dialects)
    return {wire for wire, takers in wires.items() if takers > 1}


def fingerprint(config: Config) -> str:
    """The same for the same configuration. No secret has a part in it, for who guesses one could try it on this."""
    return sha256(repr(config).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _models(config: Config) -> Mapping[str, Collection[str]]:
    """Those that the operator names, by provider."""
    names = [*config.aliases.values(), config.default_model or "", config.upstream or ""]
    named = [name.partition("/") for name in names]
    return {
        name: {*row.models, row.model, *(model for provider, _, model in named if provider == name)}
        for name, row in config.providers.items()
    }


def _catalog(config: Config, adapters: Mapping[str, Adapter]) -> Catalog:
    return Catalog(
        adapters,
        aliases=config.aliases,
        synonyms=config.synonyms,
        serves=config.serves,
        default_model=config.default_model,
        presets=config.presets,
        upstream=config.upstream,
        defaults={name: provider.model for name, provider in config.providers.items()},
        local=[name for name, row in config.providers.items() if row.kind == "ollama" and not row.assumed],
        assumed=[name for name, row in config.providers.items() if row.assumed],
    )
