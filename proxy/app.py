"""What exists, and in which order does a request meet it?

The composition root: everything is made here, once, and handed what it needs. The order of the middlewares is the
list in `App.__init__`.
"""

import ssl
from collections.abc import Mapping

from proxy import registry, routes
from proxy.admin import Admin
from proxy.catalog import Catalog
from proxy.config import Config
from proxy.dispatch import Dispatch, chain
from proxy.middleware.auth import Auth
from proxy.middleware.failover import Failover
from proxy.middleware.intake import Intake
from proxy.middleware.metrics import Metrics
from proxy.ports import Adapter, Handler, Middleware
from proxy.server import Route, Server
from proxy.upstream import Upstream
from proxy.vault import Vault


class App:
    """pillion, put together. Made, opened and closed inside a running loop. Raises ConfigError."""

    def __init__(self, config: Config, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: whom to trust among providers, where it is not the system's choice."""
        self.config = config
        makers = {name: registry.adapter(provider.kind) for name, provider in config.providers.items()}
        self.upstream = Upstream(tls)  # from here on there is something to close: no ConfigError any more
        adapters: dict[str, Adapter] = {
            name: make(config.providers[name], self.upstream) for name, make in makers.items()
        }
        self.catalog = _catalog(config, adapters | {"echo": registry.adapter("echo")("echo")})
        self.metrics = Metrics()
        self.admin = Admin(self.catalog, self.metrics.registry)
        auth = Auth(config.client_key)
        middlewares: list[Middleware] = [
            self.metrics,  # what happened?
            auth,  # who is asking?
            Intake(config.max_request_timeout),  # what do they ask for?
            Failover(self.catalog.resolve),  # whom do we ask?
        ]
        chat = chain(middlewares, Dispatch(registry.dialect, Vault(), config.strict))
        self.server = Server(_routes(chat, self.admin, auth), registry.dialect)

    async def open(self) -> None:
        """Raises OSError where the address is taken."""
        await self.server.open(self.config.host, self.config.port)
        self.admin.ready = True

    async def close(self) -> None:
        self.admin.ready = False
        await self.server.close()
        await self.upstream.close()


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
    )


def _routes(chat: Handler, admin: Admin, auth: Auth) -> list[Route]:
    """Who knows no key may see that we live, and nothing else."""
    guarded = [*routes.missing(), *routes.lists(admin)]  # what is served stands behind what is not, and wins
    behind_auth = [route._replace(handler=chain([auth], route.handler)) for route in guarded]
    return [*behind_auth, *routes.probes(admin), *routes.chats(chat)]
