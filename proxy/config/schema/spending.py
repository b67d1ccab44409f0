"""Who may ask, how much in how long, and what may it cost?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count, Limits
from proxy.config.schema.scalars import Delay, Dollars, SecretText, Share, Unshown


class Queue(Struct, frozen=True, forbid_unknown_fields=True):
    """Where requests that a limit would refuse wait for their turn, in the order of their arrival."""

    seconds: Annotated[
        Delay, Meta(description="How long a request may wait for a limit; 0: requests are refused at once.")
    ] = 0.0
    length: Annotated[Count, Meta(description="How many requests may wait.")] = 100


class LimitsRow(Struct, kw_only=True, forbid_unknown_fields=True):
    """Limits besides those of single providers and client keys."""

    client: Annotated[Limits, Meta(description="Limits of each client key that has none of its own.")] = Limits()
    models: Annotated[dict[str, Limits], Meta(description="Limits of models, by PROVIDER/MODEL.")] = field(
        default_factory=dict
    )
    queue: Annotated[Queue, Meta(description="Where requests wait that a limit would refuse.")] = Queue()


class KeyBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent in a window, and what happens at the end of it."""

    usd: Annotated[Dollars, Meta(description="Dollars that may be spent.")]
    window: Annotated[
        Literal["day", "month", "total"], Meta(description="Per day, per month (both in UTC), or in total.")
    ] = "month"
    mode: Annotated[
        Literal["strict", "lenient"],
        Meta(description="`strict`: never exceeded; `lenient`: the request that exceeds it is still served."),
    ] = "strict"
    alert: Annotated[
        Share, Meta(description="The share of the budget at which the log, a metric and the webhook report it.")
    ] = 0.8
    at_end: Annotated[
        Literal["refuse", "cheaper"],
        Meta(
            description="What happens to a request that the budget cannot pay for: refuse it, or try a cheaper target."
        ),
    ] = "refuse"
    unbounded_usd: Annotated[
        Dollars | None,
        Meta(
            description="How much to reserve for a request whose cost has no bound. By default a strict budget"
            " refuses those."
        ),
    ] = None
    stop_streams: Annotated[
        bool, Meta(description="Stop a live stream once it has spent what was reserved for it.")
    ] = False


class Budget(KeyBudget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent. Without a client, a provider or a model it covers all that pillion spends."""

    client: Annotated[
        str | None, Meta(description="Only what this client key spends; `*`: each key has such a budget of its own.")
    ] = None
    provider: Annotated[str | None, Meta(description="Only what is spent at this provider.")] = None
    model: Annotated[str | None, Meta(description="Only what is spent on this model: PROVIDER/MODEL.")] = None


class ClientKeyRow(Unshown, Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that an app may show, and what it may do with it."""

    key: Annotated[SecretText | None, Meta(description="The key itself.")] = None
    sha256: Annotated[str | None, Meta(description="Instead of the key, its SHA-256 in hex.")] = None
    models: Annotated[
        list[str], Meta(description="The models it may use: PROVIDER/MODEL, where * matches anything. All by default.")
    ] = field(default_factory=list)
    providers: Annotated[list[str], Meta(description="The providers it may use. All by default.")] = field(
        default_factory=list
    )
    limits: Annotated[Limits, Meta(description="Its own limits.")] = Limits()
    budget: Annotated[KeyBudget | None, Meta(description="Its own budget, which has the key's name.")] = None
    expires: Annotated[
        str | None,
        Meta(description='The last day or moment on which it is valid: "2027-01-31", "2027-01-31T12:00:00Z".'),
    ] = None


class JWT(Struct, kw_only=True, forbid_unknown_fields=True):
    """Tokens of an identity provider in place of keys; needs the extra `jwt`."""

    jwks: Annotated[
        str | None,
        Meta(description="The identity provider's public keys: an https URL (on this machine also http), or a file."),
    ] = None
    issuer: Annotated[str | None, Meta(description="The issuer that a token must name.")] = None
    audience: Annotated[str | None, Meta(description="The audience that a token must name.")] = None
    algorithms: Annotated[list[str], Meta(description="The signature algorithms that are accepted.")] = field(
        default_factory=lambda: ["RS256", "ES256"]
    )
    claim: Annotated[str, Meta(description="The claim that names the client.")] = "sub"
    keys: Annotated[
        dict[str, str], Meta(description="Values of the claim, and the client key that each stands for.")
    ] = field(default_factory=dict)


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, in dollars per million tokens. What has no price here costs as `input` or `output` does."""

    input: Annotated[Dollars, Meta(description="Dollars for a million input tokens, not from a cache.")]
    output: Annotated[Dollars, Meta(description="Dollars for a million output tokens.")]
    cache_read: Annotated[
        Dollars | None,
        Meta(description="Likewise, input tokens read from a cache. What has no price costs as one of the two above."),
    ] = None
    cache_write: Annotated[Dollars | None, Meta(description="Input tokens written to a cache for five minutes.")] = None
    cache_write_1h: Annotated[Dollars | None, Meta(description="Input tokens written to a cache for an hour.")] = None
    reasoning: Annotated[Dollars | None, Meta(description="Reasoning tokens.")] = None
    audio_input: Annotated[Dollars | None, Meta(description="Audio tokens of the input.")] = None
    audio_output: Annotated[Dollars | None, Meta(description="Audio tokens of the output.")] = None
    request: Annotated[
        Dollars | None, Meta(description="Dollars for each request, besides its tokens; not for a million.")
    ] = None


class Alerts(Unshown, Struct, frozen=True, forbid_unknown_fields=True):
    """Where a budget that nears its end is reported."""

    webhook: Annotated[SecretText | None, Meta(description="A URL to which alerts are sent, as a POST of JSON.")] = None


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of what every attempt cost."""

    synchronous: Annotated[
        Literal["normal", "full"],
        Meta(description="`normal` survives a killed process; `full` also a power cut, and waits for the disk."),
    ] = "normal"
    create: Annotated[
        bool,
        Meta(
            description="Create a new ledger where a strict budget needs one that is missing or corrupt;"
            " the budget begins anew."
        ),
    ] = False
    keep_days: Annotated[Count, Meta(description="How many days single rows are kept; sums are kept forever.")] = 400
