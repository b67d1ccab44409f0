"""After which errors is it worth asking again, the same target or another one?

One table, by an error's own name, then by its status, then by its kind. The operator says after which kinds of error
the same target is asked again (`retryable_errors`); the rows say where that would be in vain all the same.

                        | the same target again         | another target
    ------------------- | ----------------------------- | --------------
    rate limit, 529     | yes, not before it says       | yes, and in a route before a retry
    5xx                 | yes, but for 501, 505 and 508 | yes
    network             | yes, but for a bad TLS peer   | yes
    timeout             | yes, where nothing was begun  | yes, and that one first (`WAITED`)
    409, 425            | yes, as after a 5xx           | yes
    authentication      | no                            | yes: it is the key's fault
    quota               | no                            | yes
    404, 405, 410, 413  | no                            | yes: it has that model, or takes that much;
                        |                               | so where a 400 says that (grammar/complaints.py),
                        |                               | or that it keeps no such conversation
    any other 4xx       | no                            | no: the request is wrong everywhere
    content refused     | no                            | no: nobody is asked until somebody gives in
    our own 4xx         | no                            | only where this target's wire is what cannot say it
"""

from collections.abc import Collection
from math import inf
from time import time
from typing import NamedTuple

from proxy.errors import GatewayError, Kind, UpstreamError
from proxy.failover.waits import asked_by


class Verdict(NamedTuple):
    again: bool  # may the same target be asked once more?
    elsewhere: bool  # may another one?
    wait: float | None = None  # seconds that the provider asks for


class _Rule(NamedTuple):
    again: bool  # where the operator has its kind retried at all
    elsewhere: bool
    kind: Kind | None = None  # that `retryable_errors` is asked about, where it is not the error's own


_RETRIED, _ELSEWHERE, _STOP = _Rule(True, True), _Rule(False, True), _Rule(False, False)

_BY_NAME: dict[str, _Rule] = {
    # Ours: of the network, of timers, of answers that are none.
    "tls_error": _ELSEWHERE,  # a certificate does not become right
    "first_event_timeout": _ELSEWHERE,  # these four had their time, and are paid for
    "idle_timeout": _ELSEWHERE,
    "quiet_timeout": _ELSEWHERE,
    "total_timeout": _ELSEWHERE,
    "pull_timeout": _ELSEWHERE,  # a model is on its way, and will be for a while
    "upstream_protocol": _ELSEWHERE,  # whoever speaks no HTTP, or sends a page, does so again
    "upstream_redirect": _ELSEWHERE,
    "upstream_too_long": _ELSEWHERE,
    "upstream_aborted": _STOP,  # it was we who let go
    "unrepresentable": _ELSEWHERE,
    # The providers', and ours: there may be more room elsewhere.
    "context_length_exceeded": _ELSEWHERE,
    # What was said is refused, under whichever status.
    "content_filter": _STOP,  # https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
    "content_policy_violation": _STOP,
    "invalid_prompt": _STOP,  # https://platform.openai.com/docs/api-reference/responses/object, under `error`
    "data_inspection_failed": _STOP,  # https://help.aliyun.com/zh/model-studio/error-code
}
NOT_KEPT = "previous_response_not_found"  # the conversation is one that another provider keeps, or nobody any more
# The providers' alone: where a name means nobody at all we say `model_not_found` ourselves, and nobody is asked.
_BY_WORD: dict[str, _Rule] = {
    "model_not_found": _ELSEWHERE,
    "model_unable": _ELSEWHERE,
    NOT_KEPT: _ELSEWHERE,
    "request_too_large": _ELSEWHERE,
    "unsupported_location": _ELSEWHERE,
}
_LATER = _Rule(True, True, "server_error")
_BY_STATUS: dict[int, _Rule] = {
    404: _ELSEWHERE,
    405: _ELSEWHERE,
    409: _LATER,  # a lock that was held; the vendors' own SDKs ask again
    410: _ELSEWHERE,
    413: _ELSEWHERE,
    425: _LATER,
    501: _ELSEWHERE,
    505: _ELSEWHERE,
    508: _ELSEWHERE,  # what comes round to us does so again, and each round would ask as often
}
_BY_KIND: dict[str, _Rule] = {"invalid_request": _Rule(True, False)}  # every other kind: _RETRIED


def verdict(error: GatewayError, retryable: Collection[str], now: float) -> Verdict:
    """`retryable`: kinds of error after which the same target is asked again. `now`: seconds since 1970."""
    if not isinstance(error, UpstreamError):  # ours: nobody was asked, and we would say the same again
        rule = _BY_NAME.get(error.code)
        return Verdict(False, error.elsewhere if rule is None else rule.elsewhere)
    rule = _rule(error)
    again = rule.again and (rule.kind or error.kind) in retryable and is_of_use(error)
    return Verdict(again, rule.elsewhere, asked_by(error, now))


def _rule(error: UpstreamError) -> _Rule:
    for name in (error.code, error.upstream_type):
        if rule := _BY_NAME.get(name.lower()) or _BY_WORD.get(name.lower()):
            return rule
    return _BY_STATUS.get(error.status) or _BY_KIND.get(error.kind, _RETRIED)


def full_wait(error: GatewayError) -> float | None:
    """Seconds for which a target, or a limit of ours, asks to wait, though they be more than a request may be told;
    None where nobody says, or it is in vain.
    """
    return asked_by(error, time(), inf) if is_of_use(error) else None


def is_of_use(error: GatewayError) -> bool:
    """To ask again: OpenAI, Anthropic and we say in a header where it is in vain, and their SDKs obey it."""
    return not any(
        name.lower() == "x-should-retry" and value.strip().lower() == "false" for name, value in error.headers
    )


# The whole timer ran out, and may well do so again: after these the same target is asked only where there is no other.
WAITED = frozenset({"connect_timeout", "tls_timeout", "headers_timeout"})
