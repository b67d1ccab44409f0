"""What may stand at the top of config.yaml, and how does pillion itself serve?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count
from proxy.config.schema.failover import Breaker, Failover, Health, Hedge, Retry, RouteRow
from proxy.config.schema.providers import ProviderRow
from proxy.config.schema.scalars import Delay, Seconds, SecretText, Share, Unshown
from proxy.config.schema.spending import JWT, Alerts, Budget, ClientKeyRow, Ledger, LimitsRow, Price
from proxy.edge.address import LISTEN


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """How long an app may take."""

    header: Annotated[Seconds, Meta(description="How long an app may take to send a request's head.")] = 10.0
    body: Annotated[Seconds, Meta(description="How long an app may take to send a request's whole body.")] = 300.0
    body_stall: Annotated[Seconds, Meta(description="How long an app may pause while sending a request's body.")] = 30.0
    keep_alive: Annotated[Seconds, Meta(description="How long an app may keep an idle connection open.")] = 75.0
    write_stall: Annotated[Seconds, Meta(description="How long an app may stop reading its answer.")] = 60.0


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to standard error, and how."""

    format: Annotated[
        Literal["auto", "human", "json"],
        Meta(description="The log's format; `auto`: human on a terminal, JSON elsewhere."),
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The lowest level that is logged.", extra={"also": {"warn": "warning"}}),
    ] = "info"


class AdminRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A separate listener for those who operate pillion."""

    address: Annotated[
        str | None, Meta(description="A separate address for the admin routes: HOST:PORT or unix:/path.")
    ] = None


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers that are given again to the same question."""

    enabled: Annotated[
        bool,
        Meta(
            description="Cache the answers of all requests; otherwise only of those with `x-pillion-cache: on`, or"
            " as their route says."
        ),
    ] = False
    ttl: Annotated[Seconds, Meta(description="How long an answer may be used.")] = 300.0
    size: Annotated[
        Annotated[int, Meta(ge=0, le=2**34, extra={"unit": "bytes"})],
        Meta(
            description="The most that all cached answers together may take; one that takes over a quarter of it"
            " is not kept."
        ),
    ] = 64 * 1024 * 1024
    shared: Annotated[
        bool, Meta(description="Share cached answers between client keys. Not together with `transparent`.")
    ] = False
    stored: Annotated[
        bool, Meta(description="Also keep answers in the state directory, so that they survive a restart.")
    ] = False
    single_flight: Annotated[
        bool, Meta(description="Ask the provider only once for equal requests that are in progress at the same time.")
    ] = False


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong on purpose."""

    status: Annotated[Annotated[int, Meta(ge=400, le=599)] | None, Meta(description="Answer with this status.")] = None
    delay: Annotated[Delay, Meta(description="Answer this much later.")] = 0.0
    cut: Annotated[Count | None, Meta(description="Cut the answer off after this many bytes.")] = None
    rate: Annotated[Share, Meta(description="For this share of the requests.")] = 1.0


class Faults(Struct, kw_only=True, forbid_unknown_fields=True):
    """Things that go wrong on purpose, for an app's own tests."""

    enabled: Annotated[
        bool,
        Meta(description="Let requests fail on purpose: by `faults.providers`, or by the header `x-pillion-fault`."),
    ] = False
    providers: Annotated[dict[str, Fault], Meta(description="What fails, by provider; `*`: at every provider.")] = (
        field(default_factory=dict)
    )


class Overload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much pillion takes on at once."""

    max_connections: Annotated[
        Count | None,
        Meta(description="The most connections from clients; by default as many as the file descriptor limit allows."),
    ] = None
    max_requests: Annotated[
        Count | None,
        Meta(description="The most requests to models in progress at the same time; unlimited by default."),
    ] = None
    max_queue: Annotated[
        Annotated[int, Meta(ge=0, le=10**6)],
        Meta(description="The most requests that wait for a place; any more get a 503 at once."),
    ] = 100
    wait: Annotated[Delay, Meta(description="How long a request may wait for a place.")] = 10.0


class File(Unshown, Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of pillion, an LLM gateway that rides beside one app."""

    listen: Annotated[str, Meta(description="Where apps find pillion: HOST:PORT or unix:/path.")] = LISTEN
    metrics_address: Annotated[
        str | None,
        Meta(description="A second address for /metrics and the probes, without a key: HOST:PORT or unix:/path."),
    ] = None
    admin: Annotated[AdminRow, Meta(description="The admin listener.")] = AdminRow()
    allowed_hosts: Annotated[
        list[str],
        Meta(
            description="Additional names to accept in Host headers. Others are refused, as a protection against DNS"
            " rebinding."
        ),
    ] = field(default_factory=list)
    allow_open: Annotated[bool, Meta(description="Allow listening beyond loopback without a client key.")] = False
    client_key: Annotated[SecretText | None, Meta(description="The key that apps must send.")] = None
    body_limit: Annotated[
        Annotated[int, Meta(ge=1024, le=2**32, extra={"unit": "bytes"})],
        Meta(description="The longest body of a request."),
    ] = 64 * 1024 * 1024
    client: Annotated[Client, Meta(description="How long an app may take.")] = Client()
    max_request_timeout: Annotated[
        Seconds, Meta(description="The most that an app may ask for in `x-pillion-timeout`.")
    ] = 3600.0
    min_sigterm_delay: Annotated[
        Delay, Meta(description="How long to keep serving after SIGTERM, as not ready, before the drain begins.")
    ] = 0.0
    max_sigterm_delay: Annotated[
        Delay, Meta(description="How long after SIGTERM requests in progress may take to finish.")
    ] = 60.0
    quitquitquit: Annotated[bool, Meta(description="Stop on POST /quitquitquit.")] = False
    log: Annotated[Log, Meta(description="What is logged, and how.")] = Log()
    strict: Annotated[bool, Meta(description="Refuse requests with a parameter that the provider's API lacks.")] = False
    fetch_images: Annotated[
        bool, Meta(description="Fetch remote images for providers that do not take image URLs.")
    ] = False
    upstream: Annotated[
        str | None, Meta(description="PROVIDER or PROVIDER/MODEL that gets all traffic, whatever the app asks for.")
    ] = None
    default_model: Annotated[str | None, Meta(description="The model for unknown names: PROVIDER/MODEL.")] = None
    aliases: Annotated[
        dict[str, str],
        Meta(description="Other names for models: the name that the app uses, and the PROVIDER/MODEL it stands for."),
    ] = field(default_factory=dict)
    providers: Annotated[
        dict[str, ProviderRow | None],
        Meta(description="Providers by name. One whose key is in the environment needs no row."),
    ] = field(default_factory=dict)
    keys: Annotated[
        dict[str, ClientKeyRow], Meta(description="Client keys by name. `pillion keys add` creates more.")
    ] = field(default_factory=dict)
    jwt: Annotated[JWT, Meta(description="Tokens of an identity provider, in place of keys.")] = field(
        default_factory=JWT
    )
    transparent: Annotated[
        str | None,
        Meta(description="The one provider, which gets the app's own key unchanged; pillion then needs no client key."),
    ] = None
    limits: Annotated[LimitsRow, Meta(description="Rate limits.")] = field(default_factory=LimitsRow)
    prices: Annotated[
        dict[str, Price],
        Meta(description="Prices by PROVIDER/MODEL, in dollars for a million tokens. They override the price list."),
    ] = field(default_factory=dict)
    unknown_price: Annotated[
        Literal["dearest", "refuse", "free"],
        Meta(
            description="What a model without a price costs: as much as its provider's dearest, or nothing; or"
            " refuse its requests."
        ),
    ] = "dearest"
    budgets: Annotated[dict[str, Budget], Meta(description="What may be spent, by a name of your choice.")] = field(
        default_factory=dict
    )
    alerts: Annotated[Alerts, Meta(description="Where to report a budget that is nearly used up.")] = Alerts()
    state_dir: Annotated[
        str | None,
        Meta(description="The folder of the ledger and minted keys; by default in the XDG state directory."),
    ] = None
    ledger: Annotated[Ledger, Meta(description="What every attempt cost.")] = Ledger()
    store: Annotated[
        SecretText | None,
        Meta(
            description="redis://HOST:PORT/DB, through which a fleet shares limits, budgets and the state of provider"
            " keys; rediss://HOST:PORT/DB?ssl_ca_certs=FILE for TLS. Needs the extra `redis`."
        ),
    ] = None
    cache: Annotated[Cache, Meta(description="The cache of answers.")] = Cache()
    routes: Annotated[dict[str, RouteRow], Meta(description="Model names of your own, and the targets of each.")] = (
        field(default_factory=dict)
    )
    failover: Annotated[Failover, Meta(description="Whom to ask when a target fails.")] = Failover()
    retry: Annotated[Retry, Meta(description="When a target is retried.")] = field(default_factory=Retry)
    hedge: Annotated[Hedge, Meta(description="A second target while the first is silent.")] = Hedge()
    breaker: Annotated[Breaker, Meta(description="When a target is not used for a while.")] = Breaker()
    health: Annotated[Health, Meta(description="Health checks of the providers.")] = Health()
    overload: Annotated[Overload, Meta(description="How much pillion takes on at once.")] = Overload()
    faults: Annotated[Faults, Meta(description="What goes wrong on purpose.")] = field(default_factory=Faults)
    workers: Annotated[Count, Meta(description="Number of processes; must be 1.")] = 1
    reload: Annotated[bool, Meta(description="Read the file again when it changes; SIGHUP always does so.")] = True
    explain: Annotated[
        Annotated[int, Meta(ge=0, le=10**5)], Meta(description="How many past requests GET /v1/explain remembers.")
    ] = 1000
