"""What does a client read when a budget refuses its request?

Which budget it is, what is left of it, what the request may cost, and whether it helps to wait. `Retry-After` is the
end of the window, or a second where it is for other requests to end, which they may do at any time. It is not there
where no wait helps. SDKs ask thrice within seconds unless `x-should-retry` tells them that it is no use.
"""

from collections.abc import Collection, Iterator, Mapping
from math import ceil

from proxy.budgets.counter import Cause, Counter
from proxy.budgets.windows import SPANS, rfc3339
from proxy.errors import OverBudget
from proxy.spending.money import dollars

HINTS: Mapping[Cause, str] = {
    "unbounded": "A strict budget, or one that a fleet shares, refuses such a request unless `unbounded_usd` says what"
    " to reserve for it. Limit the length of the answer, and leave out what only the provider can price: tools that it"
    " runs, models that search, state and files that it keeps, audio, video and PDFs.",
    "alone": "Another such request is in progress, and only one may run at a time unless `unbounded_usd` says what to"
    " reserve for it.",
    "too_dear": "That is more than the whole budget.",
    "spent": "",
    "reserved": "Try again when requests in progress have ended.",
}
ELSEWHERE = "Other sidecars of the fleet hold what is left of it: try again in some seconds."
PASSING: Collection[Cause] = ("alone", "reserved")  # which other requests take with them when they end
SOON = 60.0  # seconds for which SDKs wait at most


def refusal(counter: Counter, bound: int | None, cause: Cause, now: float) -> OverBudget:
    amount = counter.amount(bound)
    costs = (
        "the cost of this request has no known bound"
        if amount is None
        else f"this request may cost up to {dollars(amount)}"
    )
    hint = ELSEWHERE if cause == "reserved" and not counter.reserved else HINTS[cause]
    parts = (f"Budget {_name(counter)} has {_left(counter)}, but {costs}.", hint, _anew(counter, cause))
    error = OverBudget(" ".join(filter(None, parts)), headers=list(_headers(counter, cause, now)))
    error.cheaper = counter.terms.cheaper
    return error


def _headers(counter: Counter, cause: Cause, now: float) -> Iterator[tuple[str, str]]:
    if cause in PASSING:
        yield "retry-after", "1"
        return
    resets_at = counter.resets_at if cause == "spent" else None
    if resets_at is not None:
        yield "retry-after", str(max(ceil(resets_at - now), 1))
    if resets_at is None or resets_at - now > SOON:
        yield "x-should-retry", "false"


def _name(counter: Counter) -> str:
    return f"`{counter.terms.name}`" + (f" of client {counter.client}" if counter.client else "")


def _left(counter: Counter) -> str:
    span = SPANS[counter.terms.window]
    aside = f" ({dollars(counter.reserved)} more are reserved for requests in progress)" if counter.reserved else ""
    return f"{dollars(counter.remaining)} of its {dollars(counter.limit)} dollars left {span}{aside}"


def _anew(counter: Counter, cause: Cause) -> str:
    if cause in ("unbounded", "too_dear"):
        return ""
    if counter.resets_at is None:
        return "It does not reset."
    return f"It resets at {rfc3339(counter.resets_at)}."
