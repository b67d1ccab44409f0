"""What exists, and in which order does a request meet it?

The composition root: everything is made here, once, and handed what it needs. The order of the middlewares is the
list in `App.__init__`.
"""

import ssl
from collections.abc import Mapping

from proxy import registry
from proxy.admin import Admin
from proxy.catalog import Catalog
from proxy.config import Config
from proxy.dispatch import Dispatch, chain
from proxy.errors import Unsupported
from proxy.middleware.auth import Auth
from proxy.middleware.failover import Failover
from proxy.middleware.intake import intake
from proxy.middleware.metrics import Metrics
from proxy.ports import Adapter, Call, Handler, Middleware, Reply
from proxy.server import ANY, Route, Server
from proxy.upstream import Upstream

# Routes that are somebody's, and not served yet: a clear 501 instead of a 404 that looks like a typing error.
NOT_YET = (
    "/responses", "/completions", "/embeddings", "/moderations", "/rerank", "/batches", "/files", "/uploads",
    "/messages/count_tokens", "/messages/batches", "/images", "/audio", "/realtime", "/fine_tuning", "/assistants",
    "/threads", "/vector_stores", "/conversations", "/v1beta", "/api", "/model", "/openai", "/v2", "/projects",
)  # fmt: skip


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
            intake,  # what do they ask for?
            Failover(self.catalog.resolve),  # whom do we ask?
        ]
        chat = chain(middlewares, Dispatch(registry.dialect))
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
    )


def _routes(chat: Handler, admin: Admin, auth: Auth) -> list[Route]:
    """Every path there is. Who knows no key may see that we live, and nothing else."""

    def guarded(handler: Handler) -> Handler:
        return chain([auth], handler)

    open_routes = [
        Route("GET", "/startup", "startup", admin.startup),
        Route("GET", "/readiness", "readiness", admin.readiness),
        Route("GET", "/liveness", "liveness", admin.liveness),
    ]
    guarded_routes = [
        Route("POST", "/chat/completions", "chat", chat, dialect="openai_chat"),
        Route("POST", "/chat", "chat", chat, dialect="openai_chat"),
        Route("POST", "/messages", "chat", chat, dialect="anthropic"),
        Route("GET", "/models", "models", guarded(admin.models)),
        Route("GET", "/models", "model", guarded(admin.model), tail=True),
        Route("GET", "/providers", "providers", guarded(admin.providers)),
        Route("GET", "/providers", "health", guarded(admin.provider_health), tail=True),
        Route("GET", "/metrics", "metrics", guarded(admin.metrics)),
    ]
    missing = [Route(ANY, path, "missing", guarded(_not_yet), tail=tail) for path in NOT_YET for tail in (False, True)]
    missing.append(Route("POST", "/models", "missing", guarded(_not_yet), tail=True))  # Gemini's :generateContent
    return open_routes + guarded_routes + missing


async def _not_yet(call: Call) -> Reply:
    raise Unsupported("pillion knows this route and does not serve it yet.")
