"""What may stand in config.yaml, and in presets.yaml?

Every key with its type, its default and its sentence: the messages, the JSON Schema, `config show`, the names of the
variables and docs/configuration.md are all made of these structs. In `extra`, `secret` marks what is never shown, and
`expected` and `unit` are words for messages.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count, Limits
from proxy.edge.address import LISTEN

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400, extra={"unit": "seconds"})]
Delay: TypeAlias = Annotated[float, Meta(ge=0, le=86400, extra={"unit": "seconds"})]
Dollars: TypeAlias = Annotated[float, Meta(ge=0, le=10**9, extra={"unit": "dollars"})]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
SecretText: TypeAlias = Annotated[str, Meta(extra={"secret": True})]


class Timers(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a provider may take for each phase; docs/decisions/0004-timers.md says why these."""

    connect: Annotated[Seconds, Meta(description="How long a provider may take to a connection, TLS included.")] = 10.0
    headers: Annotated[Seconds, Meta(description="How long a provider may take to the head of a stream's answer.")] = (
        30.0
    )
    first_event: Annotated[
        Seconds,
        Meta(
            description="How long a provider may take to the first event of a stream that says something; presets give"
            " some models more."
        ),
    ] = 120.0
    idle: Annotated[Seconds, Meta(description="How long a provider may be silent once a stream has begun.")] = 60.0
    total: Annotated[
        Seconds, Meta(description="How long a provider may take for a whole answer. A live stream has no total.")
    ] = 600.0


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


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that is known without asking the provider, and what is known of it."""

    name: Annotated[str, Meta(description="As the provider spells it.")]
    context: Annotated[Count | None, Meta(description="Tokens that question and answer may have.")] = None
    max_output: Annotated[Count | None, Meta(description="Tokens that an answer may have.")] = None
    system: Annotated[bool | None, Meta(description="Does it take a system prompt?")] = None
    tools: Annotated[bool | None, Meta(description="Does it call tools?")] = None
    images: Annotated[bool | None, Meta(description="Does it see images?")] = None
    documents: Annotated[bool | None, Meta(description="Does it read documents (PDF and its like)?")] = None
    thinking: Annotated[bool | None, Meta(description="Can it think before it answers?")] = None
    prefill: Annotated[
        bool | None, Meta(description="Does it go on with a last turn of its own, at a provider of Claude's?")
    ] = None
    timers: Annotated[Timers | None, Meta(description="Where they differ from the provider's.")] = None


class Queue(Struct, frozen=True, forbid_unknown_fields=True):
    """Where requests that a limit would refuse wait for their turn, in the order of their arrival."""

    seconds: Annotated[Delay, Meta(description="For so long at most; 0: a limit refuses at once.")] = 0.0
    length: Annotated[Count, Meta(description="So many at most.")] = 100


class LimitsRow(Struct, kw_only=True, forbid_unknown_fields=True):
    """Limits that are no provider's and no client key's own."""

    client: Annotated[Limits, Meta(description="Of each client key that has none of its own.")] = Limits()
    models: Annotated[dict[str, Limits], Meta(description="Of models: PROVIDER/MODEL and its limits.")] = field(
        default_factory=dict
    )
    queue: Annotated[Queue, Meta(description="For requests that a limit would refuse.")] = Queue()


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent. Without a client, a provider or a model it is all that pillion spends."""

    usd: Annotated[Dollars, Meta(description="How much.")]
    window: Annotated[
        Literal["day", "month", "total"], Meta(description="In a day, in a month (both UTC), or at all.")
    ] = "month"
    client: Annotated[str | None, Meta(description="By this client key; `*`: by each of them.")] = None
    provider: Annotated[str | None, Meta(description="At this provider.")] = None
    model: Annotated[str | None, Meta(description="For this model: PROVIDER/MODEL.")] = None
    mode: Annotated[
        Literal["strict", "lenient"],
        Meta(description="`strict`: never more; `lenient`: the request that crosses the line is still served."),
    ] = "strict"
    alert: Annotated[Share, Meta(description="The share at which the log, a metric and the webhook tell.")] = 0.8
    at_end: Annotated[
        Literal["refuse", "cheaper"],
        Meta(description="What happens to a request that it cannot pay: refused, or sent to a cheaper target."),
    ] = "refuse"
    unbounded_usd: Annotated[
        Dollars | None,
        Meta(description="Reserved for a request whose cost has no bound; without it, a strict budget refuses such."),
    ] = None
    stop_streams: Annotated[bool, Meta(description="Stop a live stream that has spent what was reserved for it.")] = (
        False
    )


class ClientKeyRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that an app may show, and what it may do with it."""

    key: Annotated[SecretText | None, Meta(description="The key itself.")] = None
    sha256: Annotated[str | None, Meta(description="In its place, its SHA-256 in hex.")] = None
    models: Annotated[
        list[str], Meta(description="The models it may ask for, PROVIDER/MODEL with * for any part; none: all.")
    ] = field(default_factory=list)
    providers: Annotated[list[str], Meta(description="The providers it may reach; none: all.")] = field(
        default_factory=list
    )
    limits: Annotated[Limits, Meta(description="Its own limits.")] = Limits()
    expires: Annotated[
        str | None, Meta(description='Its last day, or moment: "2027-01-31", "2027-01-31T12:00:00Z".')
    ] = None


class JWT(Struct, kw_only=True, forbid_unknown_fields=True):
    """Tokens of an identity provider in place of keys; wants the extra `jwt`."""

    jwks: Annotated[str | None, Meta(description="Where its keys are: an https URL, or a file.")] = None
    issuer: Annotated[str | None, Meta(description="Who must have issued a token.")] = None
    audience: Annotated[str | None, Meta(description="For whom it must be.")] = None
    algorithms: Annotated[list[str], Meta(description="How it may be signed.")] = field(
        default_factory=lambda: ["RS256", "ES256"]
    )
    claim: Annotated[str, Meta(description="The claim that names the client.")] = "sub"
    keys: Annotated[dict[str, str], Meta(description="What the claim says, and the client key that it counts as.")] = (
        field(default_factory=dict)
    )


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, in dollars for a million tokens. What is not said costs what `input` or `output` does."""

    input: Annotated[Dollars, Meta(description="Fresh tokens that it reads.")]
    output: Annotated[Dollars, Meta(description="Tokens that it writes.")]
    cache_read: Annotated[Dollars | None, Meta(description="Tokens that it had read before.")] = None
    cache_write: Annotated[Dollars | None, Meta(description="Tokens that it keeps for five minutes.")] = None
    cache_write_1h: Annotated[Dollars | None, Meta(description="Tokens that it keeps for an hour.")] = None
    reasoning: Annotated[Dollars | None, Meta(description="Tokens that it thinks.")] = None
    audio_input: Annotated[Dollars | None, Meta(description="Tokens of sound that it hears.")] = None
    audio_output: Annotated[Dollars | None, Meta(description="Tokens of sound that it makes.")] = None
    request: Annotated[Dollars | None, Meta(description="Each request, in dollars and not by the million.")] = None


class Alerts(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told of a budget that nears its end."""

    webhook: Annotated[SecretText | None, Meta(description="A URL that gets a POST of JSON.")] = None


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it is written down what every attempt cost."""

    synchronous: Annotated[
        Literal["normal", "full"],
        Meta(description="`normal` survives a killed process, `full` a power cut as well, and waits for the disk."),
    ] = "normal"
    create: Annotated[
        bool, Meta(description="Begin a new ledger where a strict budget counts on one that is not there.")
    ] = False
    keep_days: Annotated[Count, Meta(description="How long single rows stay; sums stay for ever.")] = 400


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


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and when a target is asked again that failed."""

    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=20)], Meta(description="How often a target is asked again.")
    ] = 2
    initial_delay: Annotated[Delay, Meta(description="The longest pause before the first time.")] = 0.5
    max_delay: Annotated[Delay, Meta(description="The longest pause of all, where the provider names none.")] = 8.0
    backoff_factor: Annotated[
        Annotated[float, Meta(ge=1, le=100)], Meta(description="By how much the pause grows each time.")
    ] = 2.0
    retryable_errors: Annotated[
        list[str], Meta(description="The kinds of error after which the same target is asked again.")
    ] = field(default_factory=lambda: ["rate_limit", "server_error", "network_error", "timeout"])
    budget: Annotated[
        Share, Meta(description="The share of requests that may be retries, beside three in ten seconds.")
    ] = 0.2


class Hedge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second target that is asked while the first one is still silent."""

    enabled: Annotated[bool, Meta(description="Do so.")] = False
    after: Annotated[
        Delay, Meta(description="After so long; 0: after the time in which 95 of 100 answers have begun.")
    ] = 0.0
    share: Annotated[Share, Meta(description="At most this share of requests.")] = 0.05


class Failover(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to ask where a target fails, and no route says it."""

    fallback_order: Annotated[
        list[str], Meta(description="PROVIDER or PROVIDER/MODEL, in this order, behind the model's own provider.")
    ] = field(default_factory=list)
    others: Annotated[
        bool, Meta(description="Then every other provider that has a model of that name, or a default one.")
    ] = True
    deadline: Annotated[Seconds, Meta(description="No attempt is begun after so long, whatever is left to try.")] = (
        120.0
    )
    resume: Annotated[
        bool, Meta(description="Have another target go on with a text whose stream broke, where one can.")
    ] = False


class Breaker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a target that fails is left alone, and for how long."""

    failures: Annotated[Count, Meta(description="After so many failures in a row.")] = 5
    cooldown: Annotated[Seconds, Meta(description="For so long; twice as long each time that its probe fails.")] = 10.0
    longest: Annotated[Seconds, Meta(description="But never longer.")] = 300.0
    ramp: Annotated[Delay, Meta(description="How long it takes to its full share of requests again.")] = 10.0


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How providers are looked after that nobody asks."""

    interval: Annotated[Delay, Meta(description="Ask each provider how it is so often; 0: never.")] = 300.0
    timeout: Annotated[Seconds, Meta(description="It is unwell that has not answered by then.")] = 5.0


class TargetRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a route's targets."""

    target: Annotated[str, Meta(description="PROVIDER/MODEL.")]
    weight: Annotated[Count, Meta(description="Its share, beside the others'.")] = 1


class RouteRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model name of yours, and who serves it."""

    targets: Annotated[list[str | TargetRow], Meta(description="PROVIDER/MODEL each, or rows with a weight.")]
    strategy: Annotated[
        Literal["order", "weighted", "least_latency", "least_cost", "sticky"],
        Meta(description="Whom of them to ask first."),
    ] = "order"
    cache: Annotated[bool | None, Meta(description="Are its answers kept? As `cache` says, where nothing is said.")] = (
        None
    )


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


class APIKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a provider's several keys."""

    key: Annotated[SecretText, Meta(description="The key.")]
    weight: Annotated[Count, Meta(description="Its share, beside the others'.")] = 1


class ProviderRow(Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider. What a row does not say, the preset of its name says."""

    preset: Annotated[
        str | None, Meta(description="The preset to begin with, where it is not the one of the provider's name.")
    ] = None
    kind: Annotated[str, Meta(description="The adapter: `openai` for every host that speaks its wire.")] = "openai"
    base_url: Annotated[
        str | None, Meta(description="Where it is: http(s)://HOST[:PORT][/PATH]; `{location}` stands for the location.")
    ] = None
    api_key: Annotated[SecretText | None, Meta(description="The key, unless a variable holds it.")] = None
    api_keys: Annotated[
        list[SecretText | APIKey],
        Meta(description="Several keys in place of one, used by turns: keys, or rows with a weight."),
    ] = field(default_factory=list)
    keys: Annotated[list[str], Meta(description="Variables that may hold the key; they win over `api_key`.")] = field(
        default_factory=list
    )
    model: Annotated[str | None, Meta(description="Its default model: what `upstream: PROVIDER` means.")] = None
    max_tokens: Annotated[Count | None, Meta(description="For requests that name none.")] = None
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None, Meta(description="For requests that name none.")
    ] = None
    org_id: Annotated[str | None, Meta(description="The organisation that pays.")] = None
    project: Annotated[str | None, Meta(description="The project: OpenAI's, Google Cloud's.")] = None
    location: Annotated[str | None, Meta(description="The region: Bedrock's, Vertex's.")] = None
    api_version: Annotated[
        str | None, Meta(description="Of its API: Azure's dated ones (without it, its v1 API), Gemini's, Vertex's.")
    ] = None
    credentials: Annotated[
        str | None, Meta(description="A file: Vertex's, such as a service account's JSON; else Google's own search.")
    ] = None
    profile: Annotated[
        str | None, Meta(description="Bedrock's: the AWS profile that has the credentials; else AWS's own search.")
    ] = None
    headers: Annotated[dict[str, SecretText], Meta(description="Sent with every request. Never shown.")] = field(
        default_factory=dict
    )
    timers: Annotated[Timers, Meta(description="How long it may take for each phase.")] = Timers()
    proxy: Annotated[SecretText | None, Meta(description="An egress proxy: http://[USER:PASSWORD@]HOST:PORT.")] = None
    ca: Annotated[str | None, Meta(description="A file of CA certificates to trust, in place of the system's.")] = None
    models: Annotated[list[str | Model], Meta(description="Models that are known without asking: names, or rows.")] = (
        field(default_factory=list)
    )
    serves: Annotated[list[str], Meta(description="Bare model names that begin so are this provider's.")] = field(
        default_factory=list
    )
    ask_usage: Annotated[bool, Meta(description="`false` for a host that refuses `stream_options`.")] = True
    takes_urls: Annotated[
        bool, Meta(description="`false` for a host that takes an image as bytes alone, and by no URL.")
    ] = True
    counts_tokens: Annotated[
        bool, Meta(description="`true` for a host that counts a request's tokens at `/responses/input_tokens`.")
    ] = False
    dialects: Annotated[
        list[str], Meta(description="The wires that it takes, where they are not the adapter's: [openai_chat].")
    ] = field(default_factory=list)
    body: Annotated[
        dict[str, Any],
        Meta(description="Fields of the provider's own wire, for requests that lack them. Shown as they are."),
    ] = field(default_factory=dict)
    pull: Annotated[
        bool, Meta(description="Ollama's: fetch what it has not of `model` and `models`, and ask again.")
    ] = False
    free: Annotated[bool, Meta(description="It costs nothing: a model on a machine of your own.")] = False
    limits: Annotated[Limits, Meta(description="How much pillion may ask of it.")] = Limits()
    prices: Annotated[
        str | None,
        Meta(description="The name of its price list in proxy/prices.json; none: nobody knows its prices."),
    ] = None


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


class Preset(ProviderRow, kw_only=True, forbid_unknown_fields=True):
    """A provider as data. Beside what a row says:"""

    by_name: bool = False  # a key alone does not make it a provider: another preset has the same one
    always: bool = False  # it is a provider though the operator says nothing of it
    variables: dict[str, list[str]] = field(default_factory=dict)  # key of the row: variables of the vendor's own
    places: dict[str, str] = field(default_factory=dict)  # base URLs of locations whose host is spelled otherwise


class Presets(Struct, kw_only=True, forbid_unknown_fields=True):
    """presets.yaml."""

    providers: dict[str, Preset]
    synonyms: dict[str, str]
    not_instances: list[str] = field(default_factory=list)  # words that never name an instance (environment.py)
