"""Which paths are there, what is behind each, and on which listener?

Every path that a vendor's SDK may call, vendor by vendor. A route's dialect is the one that its clients speak. Where a
vendor puts the model into the path, the path goes on behind the route's own part (`tail`), and its end (`ends`) says
which of several routes is meant.

Three listeners: `for_apps`, where the models are; `for_cluster`, for the kubelet and Prometheus; and `for_operators`.
The middlewares before each handler come from the assembly (`Ways`).
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from proxy.access.rights import Whose, everybodys
from proxy.admin import Admin
from proxy.dispatch import chain
from proxy.errors import GatewayError, Unsupported
from proxy.ports import Call, Handler, Middleware, Reply
from proxy.reports.active import Active
from proxy.reports.books import Books
from proxy.reports.explain import Explain
from proxy.reports.rehearsal import Rehearsal
from proxy.reports.roster import Roster
from proxy.routing import ANY, Route, instead

GOOGLES = ("", "/v1", "/v1beta", "/v1beta1", "/v1alpha")  # the versions in which Google's SDKs ask
BARE = ("",)  # no version before the path: it names one itself, or has none
BARE_YET = ("/api", "/v2", "/model")  # the paths of NOT_YET that are so
PUBLISHED = ("/projects", "/publishers")  # how Vertex AI's paths begin
OF_GOOGLE = "/publishers/google/models"
ANY_MODEL = ""  # Vercel's SDK puts `models/` before a name that has no slash, and takes another for a path

# Routes that a vendor has and we do not serve yet: a clear 501 instead of a 404 that looks like a typing error. By the
# dialect of the error; "": several vendors have the path, and the caller's headers tell which one is meant.
NOT_YET = {
    "": ("/completions", "/embeddings", "/moderations", "/rerank", "/batches", "/files", "/uploads", "/images",
         "/audio", "/realtime", "/fine_tuning", "/assistants", "/threads", "/vector_stores", "/conversations",
         "/containers", "/evals", "/skills", "/videos", "/agents", "/vaults", "/chatkit", "/decisions", "/live",
         "/organization", "/safety", "/content_provenance_checks", "/webhook_endpoints", "/webhook_event_types",
         "/openai", *PUBLISHED),
    "openai_responses": ("/responses",),
    "anthropic": ("/complete", "/messages/batches", "/sessions", "/environments", "/memory_stores", "/deployments",
                  "/deployment_runs", "/dreams", "/tunnels", "/user_profiles", "/organizations"),
    "gemini": ("/cachedContents", "/interactions", "/tunedModels", "/fileSearchStores", "/upload"),
    "bedrock": ("/model", "/guardrail", "/guardrail-checks", "/async-invoke"),
    "ollama": ("/api",),
    "cohere": ("/embed", "/embed-jobs", "/classify", "/tokenize", "/detokenize", "/summarize", "/generate",
               "/datasets", "/connectors", "/finetuning", "/check-api-key", "/v2"),
}  # fmt: skip

STORED = "/chat/completions"  # behind it, those that OpenAI has kept; itself it takes chats


class Ways(NamedTuple):
    """The middlewares before a handler, the outermost first."""

    anybody: Sequence[Middleware]  # no key is asked for
    keyed: Sequence[Middleware]
    operators: Sequence[Middleware]
    call: Sequence[Middleware]  # to a model


class Desk(NamedTuple):
    """What answers questions about requests, money and providers. `whose`: which client's share a caller may see."""

    books: Books
    active: Active
    explain: Explain
    rehearsal: Rehearsal
    roster: Roster
    whose: Whose


def for_apps(admin: Admin, desk: Desk, ways: Ways, dispatch: Handler, quits: Sequence[Route]) -> list[Route]:
    """Without a key one can see that we live, and nothing else. A later route wins, so what is missing comes first."""
    metrics = Route("GET", "/metrics", "metrics", partial(admin.metrics, desk.whose))
    keyed = [*missing(), *lists(admin), metrics, *reports(desk, desk.whose)]
    return [
        *_behind(ways.keyed, keyed),
        *_behind([*ways.keyed, _operators_only(desk.whose)], [*providers(admin, desk), *quits]),
        *_behind(ways.anybody, [*probes(admin), greeting(admin)]),
        *_behind(ways.call, chats(dispatch)),
    ]


def for_cluster(admin: Admin, ways: Ways) -> list[Route]:
    """No key is asked for, so nothing here costs money or shows a secret."""
    metrics = Route("GET", "/metrics", "metrics", partial(admin.metrics, everybodys), versions=BARE)
    return _behind(ways.anybody, [*probes(admin), metrics])


def for_operators(admin: Admin, desk: Desk, ways: Ways, quits: Sequence[Route]) -> list[Route]:
    metrics = Route("GET", "/metrics", "metrics", partial(admin.metrics, everybodys))
    keyed = [metrics, *reports(desk, everybodys), *providers(admin, desk)]
    return [*_behind(ways.operators, [*keyed, *quits]), *_behind(ways.anybody, probes(admin))]


def _behind(way: Sequence[Middleware], routes: Sequence[Route]) -> list[Route]:
    """One chain for all routes of a handler: each of its steps takes half a KiB."""
    chains = {handler: chain(way, handler) for handler in {route.handler for route in routes}}
    return [replace(route, handler=chains[route.handler]) for route in routes]


def reports(desk: Desk, whose: Whose) -> list[Route]:
    """What each client may know about its own requests, and operators about all."""
    return [
        Route("GET", "/usage", "usage", partial(desk.books.usage, whose)),
        Route("GET", "/budgets", "budgets", partial(desk.books.budgets, whose)),
        Route("GET", "/explain", "explain", partial(desk.explain.tell, whose), tail=True),
        Route("POST", "/explain", "explain", partial(desk.rehearsal.tell, whose)),
        Route("GET", "/requests/active", "active", partial(desk.active.all, whose)),
        Route("DELETE", "/requests/active", "cancel", partial(desk.active.cancel, whose), tail=True),
        Route("POST", "/requests/active", "cancel", partial(desk.active.cancel, whose), tail=True, ends="/cancel"),
    ]


def providers(admin: Admin, desk: Desk) -> list[Route]:
    return [
        Route("GET", "/providers", "providers", desk.roster.tell),
        Route("GET", "/providers", "health", admin.provider_health, tail=True),
    ]


def _operators_only(whose: Whose) -> Middleware:
    """Once clients have keys of their own, this is on the admin listener alone. A key may be minted at any time."""

    async def turn_away(call: Call, handler: Handler) -> Reply:
        if whose(call) is not None:
            raise GatewayError(
                "Where clients have keys, this is only on the admin listener (PILLION_ADMIN_ADDRESS).",
                status=404,
                kind="invalid_request",
                code="admin_listener_only",
            )
        return await handler(call)

    return turn_away


def quits(admin: Admin) -> list[Route]:
    return [Route("POST", "/quitquitquit", "quit", admin.quit, versions=BARE)]


def probes(admin: Admin) -> list[Route]:
    """What anybody who can reach us may see: that we live."""
    return [
        Route("GET", "/startup", "startup", admin.startup),
        Route("GET", "/readiness", "readiness", admin.readiness),
        Route("GET", "/liveness", "liveness", admin.liveness),
    ]


def greeting(admin: Admin) -> Route:
    """What Ollama's command line asks first, without a key."""
    return Route("GET", "/", "liveness", admin.greeting, "ollama", versions=BARE)


def chats(chat: Handler) -> list[Route]:
    tail = partial(_tail, chat)
    return [
        Route("POST", "/chat", "chat", chat, "unified_chat"),
        Route("POST", "/chat/completions", "chat", chat, "openai_chat"),
        Route("POST", "/responses", "chat", chat, "openai_responses"),
        Route("POST", "/responses/input_tokens", "count_tokens", chat, "openai_responses"),
        Route("POST", "/openai/v1/chat/completions", "chat", chat, "openai_chat", versions=BARE),
        Route("POST", "/openai/v1/responses", "chat", chat, "openai_responses", versions=BARE),
        Route("POST", "/openai/v1/responses/input_tokens", "count_tokens", chat, "openai_responses", versions=BARE),
        Route("POST", "/openai/responses", "chat", chat, "openai_responses", versions=BARE),
        tail("/openai/deployments", "/chat/completions", "azure_chat"),
        Route("POST", "/messages", "chat", chat, "anthropic"),
        Route("POST", "/messages/count_tokens", "count_tokens", chat, "anthropic"),
        *(each for start in ("/models", ANY_MODEL, *PUBLISHED) for each in _of_gemini(chat, start)),
        *(each for start in PUBLISHED for each in _of_claude_at_google(chat, start)),
        tail("/model", "/converse", "bedrock"),
        tail("/model", "/converse-stream", "bedrock"),
        tail("/model", "/count-tokens", "bedrock", "count_tokens"),
        tail("/model", "/invoke", "bedrock_invoke"),
        tail("/model", "/invoke-with-response-stream", "bedrock_invoke"),
        Route("POST", "/api/chat", "chat", chat, "ollama_chat", versions=BARE),
        Route("POST", "/api/generate", "generate", chat, "ollama", versions=BARE),
        Route("POST", "/v2/chat", "chat", chat, "cohere", versions=BARE),
    ]


def _tail(
    chat: Handler, path: str, ends: str, dialect: str, operation: str = "chat", versions: Sequence[str] = BARE
) -> Route:
    return Route("POST", path, operation, chat, dialect, tail=True, ends=ends, versions=versions)


def _of_gemini(chat: Handler, start: str) -> list[Route]:
    tail = partial(_tail, chat, start, versions=GOOGLES)
    return [
        tail(":generateContent", "gemini"),
        tail(":streamGenerateContent", "gemini"),
        tail(":countTokens", "gemini", "count_tokens"),
    ]


def _of_claude_at_google(chat: Handler, start: str) -> list[Route]:
    tail = partial(_tail, chat, start, versions=GOOGLES)
    return [
        tail(":rawPredict", "anthropic_vertex"),
        tail(":streamRawPredict", "anthropic_vertex"),
        tail("/count-tokens:rawPredict", "anthropic_vertex", "count_tokens"),
    ]


def lists(admin: Admin) -> list[Route]:
    """The models, in the shape that each vendor's clients know."""
    return [
        Route("GET", "/models", "models", admin.models),
        Route("GET", "/models", "model", admin.model, tail=True),
        *(
            route
            for start in ("/openai/v1/models", "/openai/models")
            for route in (
                Route("GET", start, "models", admin.models, "openai_chat", versions=BARE),
                Route("GET", start, "model", admin.model, "openai_chat", tail=True, versions=BARE),
            )
        ),
        Route("GET", "/models", "models", admin.models, "gemini", versions=GOOGLES[2:]),
        Route("GET", "/models", "model", admin.model, "gemini", tail=True, versions=GOOGLES[2:]),
        Route("GET", OF_GOOGLE, "models", admin.models, "gemini_vertex", versions=GOOGLES),
        Route("GET", "/projects", "models", admin.models, "gemini_vertex", tail=True, ends=OF_GOOGLE, versions=GOOGLES),
        *(
            Route("GET", start, "model", admin.model, "gemini_vertex", tail=True, versions=GOOGLES)
            for start in PUBLISHED
        ),
        Route("GET", "/api/tags", "models", admin.models, "ollama", versions=BARE),
        Route("POST", "/api/show", "model", admin.show, "ollama", versions=BARE),
        Route("GET", "/api/version", "version", admin.version, "ollama", versions=BARE),
        Route("GET", "/api/ps", "models", admin.loaded, "ollama", versions=BARE),
    ]


def missing() -> list[Route]:
    """The routes that are known and not served."""
    unserved = [
        Route(ANY, path, "missing", refusal, dialect, tail=tail, versions=BARE if path in BARE_YET else GOOGLES)
        for dialect, paths in NOT_YET.items()
        for path in paths
        for refusal in [partial(not_yet, path)]
        for tail in (False, True)
    ]
    return [
        *unserved,
        Route(ANY, STORED, "missing", partial(not_yet, STORED), "openai_chat", tail=True),
        Route("POST", "/models", "missing", no_verb, tail=True, versions=GOOGLES),
        Route("POST", "/models", "missing", no_verb, "gemini", tail=True, versions=GOOGLES[2:]),
        Route("GET", "/responses", "missing", no_websocket, "openai_responses"),
        Route("GET", "/openai/v1/responses", "missing", no_websocket, "openai_responses", versions=BARE),
        Route("GET", "/openai/responses", "missing", no_websocket, "openai_responses", versions=BARE),
    ]


async def not_yet(path: str, call: Call) -> Reply:
    """OpenAI's and Anthropic's SDKs ask thrice at any status from 500 on, unless they are told that it is no use."""
    rest = f"/{call.rest}" if call.rest else ""
    asked = f"{path}{rest}"
    raise Unsupported(f"pillion does not serve {asked} yet.{instead(asked)}", headers=[("x-should-retry", "false")])


async def no_verb(call: Call) -> Reply:
    """Gemini's other verbs stand behind a colon; a POST to a model itself has the wrong method."""
    if ":" in call.rest:
        return await not_yet("/models", call)
    raise GatewayError("A model takes only GET, HEAD.", status=405, kind="invalid_request", code="method_not_allowed",
                       headers=[("allow", "GET, HEAD")])  # fmt: skip


async def no_websocket(call: Call) -> Reply:
    """Clients that try a websocket first fall back to HTTP at this status."""
    if call.headers.get("upgrade", "").lower() == "websocket":
        raise GatewayError(
            "pillion does not support websockets: use POST.",
            status=426,
            kind="invalid_request",
            code="websocket_not_supported",
        )
    raise GatewayError("/responses takes only POST.", status=405, kind="invalid_request", code="method_not_allowed",
                       headers=[("allow", "POST")])  # fmt: skip
