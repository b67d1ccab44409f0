"""What is a request told that a limit refuses, and when may it come again?

A client must keep to its own limit; where the limit is a provider's or a model's, another target may answer. A limit
that a provider has announced is told as if the provider had refused, which spares asking it.
"""

from proxy.errors import Busy, GatewayError, Headers, OverLimit
from proxy.limits.gcra import SECOND
from proxy.limits.need import Need
from proxy.limits.scope import Kind, Scope, What

MILLISECOND = 10**6  # nanoseconds
AGAIN = SECOND  # where nobody knows when


class OverTargetLimit(OverLimit):
    """The operator's limit of a provider or a model."""

    elsewhere = True


_ERRORS: dict[Kind, type[OverLimit]] = {"client": OverLimit, "provider": OverTargetLimit, "model": OverTargetLimit}


def refusal(scope: Scope, what: What, need: Need, wait: int | None) -> GatewayError:
    """`wait`: nanoseconds until it would pass; None where nobody knows."""
    message = f"{scope.sentence(what, need)}: try again {_again(wait)}."
    lines = _retry_after(AGAIN if wait is None else wait)
    if scope.kind == "announced":
        return Busy(message, provider=scope.name.partition("/")[0], code="provider_rate_limit", headers=lines)
    return _ERRORS[scope.kind](message, headers=lines)


def too_large(scope: Scope, what: What, need: Need) -> OverLimit:
    """The error for a request that could never pass. SDKs ask again after a 429, unless they are told not to."""
    message = f"{scope.sentence(what, need)}. It can never pass: make it smaller."
    return _ERRORS[scope.kind](message, code="request_exceeds_limit", headers=[("x-should-retry", "false")])


def _again(wait: int | None) -> str:
    return "when one of them has ended" if wait is None else f"in {_seconds(wait)} s"


def _seconds(wait: int) -> int:
    return max(1, -(-wait // SECOND))


def _retry_after(wait: int) -> Headers:
    """In whole seconds (RFC 9110, 10.2.3), and as the SDKs of OpenAI and of Anthropic like it better."""
    return [("retry-after", str(_seconds(wait))), ("retry-after-ms", str(max(1, -(-wait // MILLISECOND))))]
