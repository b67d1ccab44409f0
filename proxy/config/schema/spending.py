"""Who may ask, how much in how long, and what may it cost?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count, Limits
from proxy.config.schema.scalars import Delay, Dollars, SecretText, Share


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


class KeyBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent in a window, and what happens at the end of it."""

    usd: Annotated[Dollars, Meta(description="How much.")]
    window: Annotated[
        Literal["day", "month", "total"], Meta(description="In a day, in a month (both UTC), or at all.")
    ] = "month"
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


class Budget(KeyBudget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent. Without a client, a provider or a model it is all that pillion spends."""

    client: Annotated[str | None, Meta(description="By this client key; `*`: by each of them.")] = None
    provider: Annotated[str | None, Meta(description="At this provider.")] = None
    model: Annotated[str | None, Meta(description="For this model: PROVIDER/MODEL.")] = None


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
    budget: Annotated[
        KeyBudget | None, Meta(description="What it may spend by itself: a budget that goes by its name.")
    ] = None
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
