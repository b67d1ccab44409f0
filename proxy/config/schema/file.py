"""What may stand at the top of config.yaml, and how does pillion itself serve?"""

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
        Literal["debug", "info", "warning", "error"], Meta(description="The lowest level that is logged.")
    ] = "info"


class AdminRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A separate listener for those who operate pillion."""

    address: Annotated[
        str | None, Meta(description="A separate address for the admin routes: HOST:PORT or unix:/path.")
    ] = None


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers that are given again to the same question."""

    enabled: Annotated[
        bool, Meta(description="Cache all requests; otherwise those that send `x-pillion-cache: on`, or by route.")
    ] = False
    ttl: Annotated[Seconds, Meta(description="How long an answer may be used.")] = 300.0
    size: Annotated[
        Annotated[int, Meta(ge=0, le=2**34, extra={"unit": "bytes"})],
        Meta(description="What all answers together may take."),
    ] = 64 * 1024 * 1024
    shared: Annotated[bool, Meta(description="Give one client key's answers to the others as well.")] = False
    stored: Annotated[bool, Meta(description="Also keep them in the state directory, for after a restart.")] = False
    single_flight: Annotated[
        bool, Meta(description="Ask the provider only once for equal requests that are under way together.")
    ] = False


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong on purpose."""

    status: Annotated[Annotated[int, Meta(ge=400, le=599)] | None, Meta(description="Answer this status.")] = None
    delay: Annotated[Delay, Meta(description="Answer this much later.")] = 0.0
    cut: Annotated[Count | None, Meta(description="Break the answer off after so many bytes.")] = None
    rate: Annotated[Share, Meta(description="For this share of the requests.")] = 1.0


class Faults(Struct, kw_only=True, forbid_unknown_fields=True):
    """Things that go wrong on purpose, for an app's own tests."""

    enabled: Annotated[
        bool,
        Meta(description="Let requests fail on purpose: by `faults.providers`, or by the header `x-pillion-fault`."),
    ] = False
    providers: Annotated[dict[str, Fault], Meta(description="What fails, by provider; `*`: at all of them.")] = field(
        default_factory=dict
    )


class Overload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much pillion takes on at once."""

    max_connections: Annotated[
        Count | None, Meta(description="Connections of clients; by default what the process's descriptors allow.")
    ] = None
    max_requests: Annotated[
        Count | None, Meta(description="Requests to models that are under way at once; by default any number.")
    ] = None
    max_queue: Annotated[
        Annotated[int, Meta(ge=0, le=10**6)],
        Meta(description="Requests that wait beyond those; all others get a 503 at once."),
    ] = 100
    wait: Annotated[Delay, Meta(description="How long a request waits at most.")] = 10.0


class File(Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of pillion, an LLM gateway that rides beside one app."""

    listen: Annotated[str, Meta(description="Where apps find pillion: HOST:PORT or unix:/path.")] = LISTEN
    metrics_address: Annotated[
        str | None,
        Meta(description="A second address for /metrics and the probes, without a key: HOST:PORT or unix:/path."),
    ] = None
    admin: Annotated[AdminRow, Meta(description="The admin listener.")] = AdminRow()
    allowed_hosts: Annotated[
        list[str],
        Meta(description="Further names that a Host header may have. Others are refused, against DNS rebinding."),
    ] = field(default_factory=list)
    allow_open: Annotated[bool, Meta(description="Allow listening beyond loopback without a client key.")] = False
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
        Delay, Meta(description="How long to go on serving after SIGTERM, not ready, before the drain begins.")
    ] = 0.0
    max_sigterm_delay: Annotated[
        Delay, Meta(description="How long after SIGTERM requests under way may take to finish.")
    ] = 60.0
    quitquitquit: Annotated[bool, Meta(description="Stop on POST /quitquitquit.")] = False
    log: Annotated[Log, Meta(description="What is logged, and how.")] = Log()
    strict: Annotated[bool, Meta(description="Refuse a request with a parameter that the provider's wire lacks.")] = (
        False
    )
    fetch_images: Annotated[
        bool, Meta(description="Fetch remote images for providers that do not take image URLs.")
    ] = False
    upstream: Annotated[
        str | None, Meta(description="PROVIDER or PROVIDER/MODEL that gets all traffic, whatever the app asks for.")
    ] = None
    default_model: Annotated[str | None, Meta(description="The model for names that nobody knows: PROVIDER/MODEL.")] = (
        None
    )
    aliases: Annotated[
        dict[str, str],
        Meta(description="Other names for models: the name that the app uses, and the PROVIDER/MODEL it stands for."),
    ] = field(default_factory=dict)
    providers: Annotated[
        dict[str, ProviderRow | None],
        Meta(description="Providers by name. One whose key is in the environment needs no row."),
    ] = field(default_factory=dict)
    keys: Annotated[
        dict[str, ClientKeyRow], Meta(description="Client keys by name. `pillion keys add` makes further ones.")
    ] = field(default_factory=dict)
    jwt: Annotated[JWT, Meta(description="Tokens of an identity provider, in place of keys.")] = field(
        default_factory=JWT
    )
    transparent: Annotated[
        str | None,
        Meta(description="The one provider that gets the app's own key unchanged; pillion then asks for no key."),
    ] = None
    limits: Annotated[LimitsRow, Meta(description="Rate limits.")] = field(default_factory=LimitsRow)
    prices: Annotated[dict[str, Price], Meta(description="Prices by PROVIDER/MODEL. They win over the price list.")] = (
        field(default_factory=dict)
    )
    unknown_price: Annotated[
        Literal["dearest", "refuse", "free"],
        Meta(description="The price of a model without one: that of the provider's dearest, a refusal, or nothing."),
    ] = "dearest"
    budgets: Annotated[dict[str, Budget], Meta(description="What may be spent, by a name of yours.")] = field(
        default_factory=dict
    )
    alerts: Annotated[Alerts, Meta(description="Where a budget that nears its end is reported.")] = Alerts()
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
    routes: Annotated[dict[str, RouteRow], Meta(description="Model names of yours, and the targets of each.")] = field(
        default_factory=dict
    )
    failover: Annotated[Failover, Meta(description="Whom to ask when a target fails.")] = Failover()
    retry: Annotated[Retry, Meta(description="When a target is asked again.")] = field(default_factory=Retry)
    hedge: Annotated[Hedge, Meta(description="A second target while the first is silent.")] = Hedge()
    breaker: Annotated[Breaker, Meta(description="When a target is left alone.")] = Breaker()
    health: Annotated[Health, Meta(description="Health checks of the providers.")] = Health()
    overload: Annotated[Overload, Meta(description="How much pillion takes on at once.")] = Overload()
    faults: Annotated[Faults, Meta(description="What goes wrong on purpose.")] = field(default_factory=Faults)
    workers: Annotated[Count, Meta(description="Processes that serve; more than 1 is refused.")] = 1
    reload: Annotated[bool, Meta(description="Read the file again when it changes; SIGHUP always does so.")] = True
    explain: Annotated[
        Annotated[int, Meta(ge=0, le=10**5)], Meta(description="How many past requests GET /v1/explain knows.")
    ] = 1000
