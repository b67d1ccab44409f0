"""What does a client read when a budget refuses its request?

Which budget it is, what is left of it, what the request may cost, and whether it helps to wait. `Retry-After` is there
only where the end of the window is what to wait for: where it is for other requests to end, they may do so at any time.
"""

from collections.abc import Mapping
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


def refusal(counter: Counter, bound: int | None, cause: Cause, now: float) -> OverBudget:
    amount = counter.amount(bound)
    costs = (
        "the cost of this request has no known bound"
        if amount is None
        else f"this request may cost up to {dollars(amount)}"
    )
    parts = (f"Budget {_name(counter)} has {_left(counter)}, but {costs}.", HINTS[cause], _anew(counter, cause))
    wait = counter.resets_at if cause == "spent" else None
    error = OverBudget(
        " ".join(filter(None, parts)),
        headers=() if wait is None else [("retry-after", str(max(ceil(wait - now), 1)))],
    )
    error.cheaper = counter.terms.cheaper
    return error


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
