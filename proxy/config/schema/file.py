"""What may stand in config.yaml, from its top, and how does pillion itself serve?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count
from proxy.config.schema.failover import Breaker, Failover, Health, Hedge, Retry, RouteRow
from proxy.config.schema.providers import ProviderRow
from proxy.config.schema.scalars import Delay, Seconds, SecretText, Share
from proxy.config.schema.spending import JWT, Alerts, Budget, ClientKeyRow, Ledger, LimitsRow, Price
from proxy.edge.address import LISTEN


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """How long an app may take."""

    header: Annotated[Seconds, Meta(description="How long an app may take for the head of a request.")] = 10.0
    body: Annotated[Seconds, Meta(description="How long an app may take for the whole body of a request.")] = 300.0
    body_stall: Annotated[Seconds, Meta(description="How long an app may be silent within the body of a request.")] = (
        30.0
    )
    keep_alive: Annotated[Seconds, Meta(description="How long an app may keep a connection with no request on it.")] = (
        75.0
    )
    write_stall: Annotated[Seconds, Meta(description="How long an app may read nothing of its answer.")] = 60.0


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to standard error, and how."""

    format: Annotated[
        Literal["auto", "human", "json"],
        Meta(description="How the log looks; `auto`: human on a terminal, JSON elsewhere."),
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is worth a line in the log.")
    ] = "info"


class AdminRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A listener of its own for whoever operates pillion."""

    address: Annotated[
        str | None, Meta(description="Where the admin routes are, if apart: HOST:PORT or unix:/path.")
    ] = None


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers that are given again to the same question."""

    enabled: Annotated[
        bool, Meta(description="For all requests; else for those that ask, in `x-pillion-cache: on`, or by route.")
    ] = False
    ttl: Annotated[Seconds, Meta(description="How long an answer is good.")] = 300.0
    size: Annotated[
        Annotated[int, Meta(ge=0, le=2**34, extra={"unit": "bytes"})], Meta(description="What all of them may take.")
    ] = 64 * 1024 * 1024
    shared: Annotated[bool, Meta(description="One client key's answers are given to the others as well.")] = False
    stored: Annotated[bool, Meta(description="Keep them in the state directory as well, for after a restart.")] = False
    single_flight: Annotated[
        bool, Meta(description="Ask the provider once for the same questions that come at once.")
    ] = False


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong on purpose."""

    status: Annotated[Annotated[int, Meta(ge=400, le=599)] | None, Meta(description="It answers this status.")] = None
    delay: Annotated[Delay, Meta(description="It is so late.")] = 0.0
    cut: Annotated[Count | None, Meta(description="Its answer breaks off after so many bytes.")] = None
    rate: Annotated[Share, Meta(description="In this share of the requests.")] = 1.0


class Faults(Struct, kw_only=True, forbid_unknown_fields=True):
    """Things that go wrong on purpose, for an app's own tests."""

    enabled: Annotated[bool, Meta(description="They do, and the header `x-pillion-fault` counts.")] = False
    providers: Annotated[dict[str, Fault], Meta(description="By provider; `*`: at all of them.")] = field(
        default_factory=dict
    )


class Overload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much pillion takes on at once."""

    max_connections: Annotated[
        Count | None, Meta(description="Of clients; none: what the descriptors of the process allow.")
    ] = None
    max_requests: Annotated[Count | None, Meta(description="To models, under way at once; none: any number.")] = None
    max_queue: Annotated[
        Annotated[int, Meta(ge=0, le=10**6)], Meta(description="That wait beyond that; the others get a 503 at once.")
    ] = 100
    wait: Annotated[Delay, Meta(description="How long one of them waits.")] = 10.0


class File(Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of pillion, an LLM gateway that rides beside one app."""

    listen: Annotated[str, Meta(description="Where apps find pillion: HOST:PORT or unix:/path.")] = LISTEN
    metrics_address: Annotated[
        str | None,
        Meta(description="Where /metrics and the probes are as well, without a key: HOST:PORT or unix:/path."),
    ] = None
    admin: Annotated[AdminRow, Meta(description="The admin listener.")] = AdminRow()
    allowed_hosts: Annotated[
        list[str],
        Meta(
            description="Further names that a Host header may have; a web page that points its name here has another."
        ),
    ] = field(default_factory=list)
    allow_open: Annotated[
        bool, Meta(description="Listen elsewhere than on loopback although there is no client key.")
    ] = False
    client_key: Annotated[SecretText | None, Meta(description="The key that apps must show.")] = None
    body_limit: Annotated[
        Annotated[int, Meta(ge=1024, le=2**32, extra={"unit": "bytes"})],
        Meta(description="The longest body of a request."),
    ] = 64 * 1024 * 1024
    client: Annotated[Client, Meta(description="How long an app may take.")] = Client()
    max_request_timeout: Annotated[
        Seconds, Meta(description="The most that an app may ask for in `x-pillion-timeout`.")
    ] = 3600.0
    min_sigterm_delay: Annotated[
        Delay, Meta(description="Serve on for so long after SIGTERM, not ready, before the drain begins.")
    ] = 0.0
    max_sigterm_delay: Annotated[Delay, Meta(description="Let what is in flight finish for so long after SIGTERM.")] = (
        60.0
    )
    quitquitquit: Annotated[bool, Meta(description="Stop at POST /quitquitquit.")] = False
    log: Annotated[Log, Meta(description="What is logged, and how.")] = Log()
    strict: Annotated[bool, Meta(description="Refuse a request where a knob of it cannot cross to the provider.")] = (
        False
    )
    fetch_images: Annotated[
        bool, Meta(description="Fetch a remote image for a provider that takes none by its URL.")
    ] = False
    upstream: Annotated[
        str | None, Meta(description="PROVIDER or PROVIDER/MODEL that gets all traffic, whatever the app asks for.")
    ] = None
    default_model: Annotated[
        str | None, Meta(description="What a model name that nobody knows means: PROVIDER/MODEL.")
    ] = None
    aliases: Annotated[
        dict[str, str],
        Meta(description="Other names for models: what the app says, and the PROVIDER/MODEL that is meant."),
    ] = field(default_factory=dict)
    providers: Annotated[
        dict[str, ProviderRow | None],
        Meta(description="Providers by name; one whose key is in the environment needs no row."),
    ] = field(default_factory=dict)
    keys: Annotated[
        dict[str, ClientKeyRow], Meta(description="Client keys by name; `pillion keys add` makes others.")
    ] = field(default_factory=dict)
    jwt: Annotated[JWT, Meta(description="Tokens of an identity provider, in place of keys.")] = field(
        default_factory=JWT
    )
    transparent: Annotated[
        str | None,
        Meta(description="The one provider that gets the app's own key as it is; pillion then asks for none."),
    ] = None
    limits: Annotated[LimitsRow, Meta(description="How much in how long.")] = field(default_factory=LimitsRow)
    prices: Annotated[
        dict[str, Price], Meta(description="Of models: PROVIDER/MODEL and what it costs; they win over the price list.")
    ] = field(default_factory=dict)
    unknown_price: Annotated[
        Literal["dearest", "refuse", "free"],
        Meta(description="What a model costs that no price is known of: what the provider's dearest does, or nothing."),
    ] = "dearest"
    budgets: Annotated[dict[str, Budget], Meta(description="What may be spent, by a name of yours.")] = field(
        default_factory=dict
    )
    alerts: Annotated[Alerts, Meta(description="Who is told of a budget that nears its end.")] = Alerts()
    state_dir: Annotated[
        str | None,
        Meta(description="Where the ledger and minted keys are; else pillion's folder in the XDG state directory."),
    ] = None
    ledger: Annotated[Ledger, Meta(description="What every attempt cost.")] = Ledger()
    store: Annotated[
        SecretText | None,
        Meta(
            description="redis://HOST:PORT/DB through which a fleet shares limits, budgets and which keys are left out;"
            " rediss://HOST:PORT/DB?ssl_ca_certs=FILE for TLS. Wants the extra `redis`."
        ),
    ] = None
    cache: Annotated[Cache, Meta(description="Answers that are given again.")] = Cache()
    routes: Annotated[dict[str, RouteRow], Meta(description="Model names of yours, and the targets of each.")] = field(
        default_factory=dict
    )
    failover: Annotated[Failover, Meta(description="Whom to ask where a target fails.")] = Failover()
    retry: Annotated[Retry, Meta(description="When a target is asked again.")] = field(default_factory=Retry)
    hedge: Annotated[Hedge, Meta(description="A second target while the first is silent.")] = Hedge()
    breaker: Annotated[Breaker, Meta(description="When a target is left alone.")] = Breaker()
    health: Annotated[Health, Meta(description="How providers are looked after.")] = Health()
    overload: Annotated[Overload, Meta(description="How much pillion takes on at once.")] = Overload()
    faults: Annotated[Faults, Meta(description="What goes wrong on purpose.")] = field(default_factory=Faults)
    workers: Annotated[Count, Meta(description="Processes that serve.")] = 1
    reload: Annotated[bool, Meta(description="Read the file again when it changes; SIGHUP does so anyway.")] = True
    explain: Annotated[
        Annotated[int, Meta(ge=0, le=10**5)], Meta(description="Requests that GET /v1/explain can tell of.")
    ] = 1000
