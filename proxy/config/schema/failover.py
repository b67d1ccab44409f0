"""Whom to ask, whom next, and how long to wait in between?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count
from proxy.config.schema.scalars import Delay, Seconds, Share


class TargetRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a route's targets."""

    target: Annotated[str, Meta(description="PROVIDER/MODEL.")]
    weight: Annotated[Count, Meta(description="Its share, relative to the others'.")] = 1


class RouteRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model name of yours, and who serves it."""

    targets: Annotated[list[str | TargetRow], Meta(description="Each is PROVIDER/MODEL, or a row with a weight.")]
    strategy: Annotated[
        Literal["order", "weighted", "least_latency", "least_cost", "sticky"],
        Meta(description="Which of them to ask first."),
    ] = "order"
    cache: Annotated[bool | None, Meta(description="Cache its answers? By default as `cache` says.")] = None


class Failover(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to ask when a target fails and no route says so."""

    fallback_order: Annotated[
        list[str], Meta(description="PROVIDER or PROVIDER/MODEL, in this order, after the model's own provider.")
    ] = field(default_factory=list)
    others: Annotated[
        bool, Meta(description="Then every other provider that has a model of that name, or a default one.")
    ] = True
    deadline: Annotated[Seconds, Meta(description="No further attempt begins after this time.")] = 600.0
    resume: Annotated[
        bool, Meta(description="When a stream breaks, let another target continue its text, where one can.")
    ] = False


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, and when, a failed target is asked again."""

    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=20)], Meta(description="How often a target is asked again.")
    ] = 2
    initial_delay: Annotated[Delay, Meta(description="The longest pause before the first retry.")] = 0.5
    max_delay: Annotated[
        Delay, Meta(description="The longest pause; a provider that asks for more is not asked again.")
    ] = 8.0
    backoff_factor: Annotated[
        Annotated[float, Meta(ge=1, le=100)], Meta(description="The factor by which the pause grows each time.")
    ] = 2.0
    retryable_errors: Annotated[
        list[str], Meta(description="The kinds of error after which the same target is asked again.")
    ] = field(default_factory=lambda: ["rate_limit", "server_error", "network_error", "timeout"])
    budget: Annotated[
        Share, Meta(description="The share of requests that may be retries, besides three in ten seconds.")
    ] = 0.2


class Hedge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second target that is asked while the first one is still silent."""

    enabled: Annotated[bool, Meta(description="Ask a second target while the first is silent.")] = False
    after: Annotated[
        Delay, Meta(description="How long to wait first; 0: as long as 95 of 100 answers take to begin.")
    ] = 0.0
    share: Annotated[Share, Meta(description="For at most this share of requests.")] = 0.05


class Breaker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a failing target is left alone, and for how long."""

    failures: Annotated[Count, Meta(description="Failures in a row after which a target is left alone.")] = 5
    cooldown: Annotated[
        Seconds, Meta(description="How long it is left alone; doubled each time that its probe fails.")
    ] = 10.0
    longest: Annotated[Seconds, Meta(description="The longest time for which it is left alone.")] = 300.0
    ramp: Annotated[Delay, Meta(description="How long it takes to get its full share of requests again.")] = 10.0


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health checks of the providers."""

    interval: Annotated[Delay, Meta(description="The time between two checks of a provider; 0: no checks.")] = 300.0
    timeout: Annotated[Seconds, Meta(description="A provider that has not answered by then is unwell.")] = 5.0
