"""Whom to ask, whom next, and how long to wait with it?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count
from proxy.config.schema.scalars import Delay, Seconds, Share


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


class Failover(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to ask where a target fails, and no route says it."""

    fallback_order: Annotated[
        list[str], Meta(description="PROVIDER or PROVIDER/MODEL, in this order, behind the model's own provider.")
    ] = field(default_factory=list)
    others: Annotated[
        bool, Meta(description="Then every other provider that has a model of that name, or a default one.")
    ] = True
    deadline: Annotated[
        Seconds, Meta(description="No attempt is begun after so long: none behind one that stalls for longer.")
    ] = 600.0
    resume: Annotated[
        bool, Meta(description="Have another target go on with a text whose stream broke, where one can.")
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
