"""How is a model of Google's told how much to think?

Gemini 3 and later take a level, 2.5 a number of tokens, older ones nothing
(https://ai.google.dev/gemini-api/docs/thinking). Only the model's name shows which it takes.
"""

import re
from collections.abc import Sequence

from proxy.canon import Request
from proxy.dialects.gemini.words import (
    BUDGET_BOUNDS,
    LEVELS_OF,
    MAY_BE_OFF,
    MOST,
    THINKING_BUDGETS,
    THINKING_LEVELS,
    UNDECIDED,
)
from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt
from proxy.grammar.thinking import half_of, moot

_generation = re.compile(r"gemini-(\d+)(?:\.(\d+))?").search


def generation(model: str) -> tuple[int, int]:
    """Such as (2, 5). A name without a number (`gemini-flash-latest`, a tuned model's) means the newest."""
    found = _generation(model)
    return (int(found[1][:9]), int((found[2] or "0")[:9])) if found else (99, 0)


def thinking_config(request: Request, dropped: Receipt) -> Object | None:
    """The `thinkingConfig` for a request from another wire; None where there is nothing to say."""
    reasoning, model = request.reasoning, request.model
    if reasoning is None:
        return None
    asked = reasoning.budget if reasoning.budget is not None else reasoning.effort
    if reasoning.off or asked in (0, "none"):
        dropped.update(moot(reasoning))
        return _silenced(model, dropped)
    if asked is None and reasoning.summary is None and not reasoning.adaptive:
        return None
    if generation(model) < (2, 5):
        dropped.add("reasoning")
        return None
    said: Object = {"includeThoughts": True}  # other wires show thoughts to clients that ask the model to think
    if reasoning.budget is not None:
        said["thinkingBudget"] = _bounded(reasoning.budget, model, dropped)
        dropped.update(["reasoning.effort"] if reasoning.effort is not None else ())  # there is room for one of them
    elif reasoning.effort is not None:
        said |= _effort(reasoning.effort, request, dropped)
    elif reasoning.adaptive and generation(model) < (3, 0):  # later ones decide by default
        said["thinkingBudget"] = UNDECIDED
    return said


def as_said(request: Request) -> Object | None:
    """The `thinkingConfig` of a request that came in this wire, as its client said it."""
    reasoning = request.reasoning
    if reasoning is None:
        return None
    said: Object = {}
    if reasoning.effort is not None:
        said["thinkingLevel"] = reasoning.effort.upper()
    if reasoning.budget is not None or reasoning.off:
        said["thinkingBudget"] = 0 if reasoning.off else reasoning.budget
    if reasoning.adaptive:
        said["thinkingBudget"] = UNDECIDED
    if reasoning.summary is not None:
        said["includeThoughts"] = True
    return said


def _silenced(model: str, dropped: Receipt) -> Object | None:
    if MAY_BE_OFF in model:
        return {"thinkingBudget": 0}
    if generation(model) < (2, 5):  # an older one never thinks
        return None
    dropped.add("reasoning")
    if generation(model) < (3, 0) or "-image" in model:  # not all of these take a level
        return None
    return {"thinkingLevel": THINKING_LEVELS[_efforts_of(model)[0]]}  # it always thinks, so let it think least


def _effort(effort: str, request: Request, dropped: Receipt) -> Object:
    if effort in MOST:
        dropped.add("reasoning")
        effort = "high"
    if effort not in THINKING_LEVELS:
        dropped.add("reasoning")
        return {}
    if generation(request.model) >= (3, 0):
        return {"thinkingLevel": THINKING_LEVELS[_nearest(effort, request.model, dropped)]}
    limit, budget = request.max_tokens, THINKING_BUDGETS[effort]
    if limit is not None:
        budget = max(1, half_of(limit, budget))  # 0 would turn it off
    return {"thinkingBudget": _within(budget, request.model)}


def _efforts_of(model: str) -> Sequence[str]:
    """The efforts that the model has a level for, the least first."""
    version = generation(model)
    rows = (efforts for name, since, efforts in LEVELS_OF if name in model and version >= since)
    return next(rows, tuple(THINKING_LEVELS))


def _nearest(effort: str, model: str, dropped: Receipt) -> str:
    """The effort, or the next higher one that the model has a level for, as Google's own OpenAI endpoint chooses."""
    words = list(THINKING_LEVELS)
    known = next(word for word in _efforts_of(model) if words.index(word) >= words.index(effort))
    if known != effort:
        dropped.add("reasoning")
    return known


def _bounded(budget: int, model: str, dropped: Receipt) -> int:
    within = _within(budget, model)
    if within != budget:
        dropped.add("reasoning.budget")
    return within


def _within(budget: int, model: str) -> int:
    """The nearest budget that the model takes."""
    bounds = ((least, most) for name, least, most in BUDGET_BOUNDS if name in model)
    least, most = next(bounds, (budget, budget))
    return min(max(budget, least), most)
