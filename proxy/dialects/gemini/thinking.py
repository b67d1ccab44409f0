"""How is a model of Google's told how much to think?

Gemini 3 and later take a level, 2.5 a number of tokens, older ones nothing
(https://ai.google.dev/gemini-api/docs/thinking). Only the model's name tells which is meant.
"""

import re

from proxy.canon import Reasoning
from proxy.dialects.gemini.words import BUDGET_BOUNDS, MAY_BE_OFF, MOST, THINKING_BUDGETS, THINKING_LEVELS
from proxy.fields import Object
from proxy.receipts import Receipt

_generation = re.compile(r"gemini-(\d+)(?:\.(\d+))?").search


def generation(model: str) -> tuple[int, int]:
    """Such as (2, 5). A name without a number (`gemini-flash-latest`, a tuned model's) stands for the newest."""
    found = _generation(model)
    return (int(found[1][:9]), int((found[2] or "0")[:9])) if found else (99, 0)


def thinking_config(reasoning: Reasoning, model: str, own: bool, dropped: Receipt) -> Object | None:
    """`thinkingConfig`; None where there is nothing to say. `own`: the client said it in this wire's words."""
    if own:
        return _as_said(reasoning)
    asked = reasoning.budget if reasoning.budget is not None else reasoning.effort
    if reasoning.off or asked in (0, "none"):
        return _silenced(model, dropped)
    if asked is None and reasoning.summary is None:
        return None
    if generation(model) < (2, 5):
        dropped.add("reasoning")
        return None
    said: Object = {"includeThoughts": True}  # the client's wire shows what was thought, once it was asked for
    if reasoning.budget is not None:
        said["thinkingBudget"] = _bounded(reasoning.budget, model, dropped)
    elif reasoning.effort is not None:
        said |= _effort(reasoning.effort, model, dropped)
    return said


def _as_said(reasoning: Reasoning) -> Object:
    said: Object = {}
    if reasoning.effort is not None:
        said["thinkingLevel"] = reasoning.effort.upper()
    if reasoning.budget is not None or reasoning.off:
        said["thinkingBudget"] = 0 if reasoning.off else reasoning.budget
    if reasoning.summary is not None:
        said["includeThoughts"] = True
    return said


def _silenced(model: str, dropped: Receipt) -> Object | None:
    if MAY_BE_OFF in model:
        return {"thinkingBudget": 0}
    if generation(model) >= (2, 5):  # an older one does not think, unasked or asked
        dropped.add("reasoning")
    return None


def _effort(effort: str, model: str, dropped: Receipt) -> Object:
    if effort in MOST:
        dropped.add("reasoning")
        effort = "high"
    if effort not in THINKING_LEVELS:
        dropped.add("reasoning")
        return {}
    if generation(model) >= (3, 0):
        return {"thinkingLevel": THINKING_LEVELS[effort]}
    return {"thinkingBudget": THINKING_BUDGETS[effort]}


def _bounded(budget: int, model: str, dropped: Receipt) -> int:
    for name, least, most in BUDGET_BOUNDS:
        if name in model and not least <= budget <= most:
            dropped.add("reasoning.budget")
            return min(max(budget, least), most)
    return budget
