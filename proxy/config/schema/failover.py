"""Whom to ask, whom next, and how long to wait in between?"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count
from proxy.config.schema.scalars import Delay, Seconds, Share, Weight


class TargetRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a route's targets."""

    target: Annotated[str, Meta(description="PROVIDER/MODEL.")]
    weight: Annotated[Weight, Meta(description="Its share, relative to the others.")] = 1


class RouteRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model name of yours, and who serves it."""

    targets: Annotated[list[str | TargetRow], Meta(description="Each is PROVIDER/MODEL, or a row with a weight.")]
    strategy: Annotated[
        Literal["order", "weighted", "least_latency", "least_cost", "sticky"],
        Meta(description="Which target to try first."),
    ] = "order"
    cache: Annotated[bool | None, Meta(description="Cache its answers? By default as `cache` says.")] = None


class Failover(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to ask when a target fails and no route says so."""

    fallback_order: Annotated[
        list[str],
        Meta(
            description="Where to fall back to, in this order: PROVIDER or PROVIDER/MODEL. The model's own provider"
            " comes first."
        ),
    ] = field(default_factory=list)
    others: Annotated[
        bool,
        Meta(description="After those, try every other provider that has a model of that name, or a default model."),
    ] = True
    deadline: Annotated[Seconds, Meta(description="Time after which no further attempt begins.")] = 600.0
    resume: Annotated[
        bool, Meta(description="When a stream breaks, let another target continue its text, where one can.")
    ] = False


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, and when, a failed target is asked again."""

    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=20)], Meta(description="How often the same target is retried.")
    ] = 2
    initial_delay: Annotated[Delay, Meta(description="The longest pause before the first retry.")] = 0.5
    max_delay: Annotated[
        Delay, Meta(description="The longest pause; a provider that asks for a longer one is not retried.")
    ] = 8.0
    backoff_factor: Annotated[
        Annotated[float, Meta(ge=1, le=100)], Meta(description="The factor by which the pause grows with each retry.")
    ] = 2.0
    retryable_errors: Annotated[
        list[str],
        Meta(description="The kinds of error (operations.md lists them) after which the same target is retried."),
    ] = field(default_factory=lambda: ["rate_limit", "server_error", "network_error", "timeout"])
    budget: Annotated[
        Share, Meta(description="The share of requests that may be retries, in addition to three every ten seconds.")
    ] = 0.2


class Hedge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second target that is asked while the first one is still silent."""

    enabled: Annotated[bool, Meta(description="Ask a second target while the first is still silent.")] = False
    after: Annotated[
        Delay, Meta(description="How long to wait before that; 0: as long as 95 of 100 answers take to begin.")
    ] = 0.0
    share: Annotated[Share, Meta(description="The largest share of requests for which to do so.")] = 0.05


class Breaker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a failing target is left alone, and for how long."""

    failures: Annotated[
        Count, Meta(description="Consecutive failures after which a target is not used for a while.")
    ] = 5
    cooldown: Annotated[Seconds, Meta(description="How long it is not used; doubled each time its probe fails.")] = 10.0
    longest: Annotated[Seconds, Meta(description="The longest time for which it is not used.")] = 300.0
    ramp: Annotated[Delay, Meta(description="Time over which it gets back its full share of requests.")] = 10.0


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health checks of the providers."""

    interval: Annotated[Delay, Meta(description="Time between two health checks of a provider; 0: no checks.")] = 300.0
    timeout: Annotated[Seconds, Meta(description="Time within which a provider must answer, or count as down.")] = 5.0
