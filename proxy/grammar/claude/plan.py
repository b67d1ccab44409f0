"""How is thinking asked of this Claude, for a client of another wire?

Older models take a budget in tokens, newer ones an effort; `models` knows which. One is converted into the other, and
what changes on the way is receipted. max_tokens limits thoughts and answer together.
https://platform.claude.com/docs/en/build-with-claude/thinking
"""

from msgspec import Struct
from msgspec.structs import replace

from proxy.canon import Reasoning, Request
from proxy.grammar.claude.budgets import BUDGETS, DEFAULT_MAX_TOKENS, budget_for, is_forced, moved_to, room_for
from proxy.grammar.claude.models import Takes
from proxy.grammar.fields import Object, as_object
from proxy.grammar.thinking import SHOWS_UNASKED, is_undecided, moot

# From other wires' words for showing thoughts to `thinking.display`. "auto" and "none" cross without loss.
DISPLAYS = {"auto": "summarized", "concise": "summarized", "detailed": "summarized", "none": "omitted"}

_UNSAID = "high"  # the effort of a model when none is given


class Plan(Struct, frozen=True):
    max_tokens: int
    thinking: Object = {}
    effort: str | None = None
    moved: frozenset[str] = frozenset()  # fields to receipt


def plan(request: Request, takes: Takes) -> Plan:
    """What this model takes of a request from another wire."""
    reasoning, room = request.reasoning, room_of(request)
    if reasoning is None:
        return Plan(room)
    if reasoning.off or reasoning.budget == 0 or reasoning.effort == "none":
        is_said = _is_of_answer(request, reasoning)
        unthinking = _unthinking(room, takes, reasoning.effort if is_said else None)
        return unthinking if is_said else replace(unthinking, moved=unthinking.moved.union(moot(reasoning)))
    if is_undecided(reasoning):
        return _shown(_undecided(request, takes), request, reasoning, takes)
    if reasoning.budget is None and reasoning.effort is None:
        by_itself = takes.thinks and not is_forced(request)
        return _shown(Plan(room), request, reasoning, takes._replace(thinks=by_itself))
    if _is_of_answer(request, reasoning) and reasoning.effort in takes.efforts:
        return _shown(Plan(room, effort=reasoning.effort), request, reasoning, takes)
    if _by_budget(reasoning, takes):
        return _shown(_with_budget(request, reasoning), request, reasoning, takes)
    if "adaptive" in takes.thinking:
        return _shown(_with_effort(request, reasoning, takes), request, reasoning, takes)
    return _without(room)


def room_of(request: Request) -> int:
    return DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens


def _without(room: int) -> Plan:
    return Plan(room, moved=frozenset({"reasoning"}))


def _unthinking(room: int, takes: Takes, effort: str | None) -> Plan:
    """`effort`: that of the answer, which is said as well where the model takes it."""
    if takes.off is None:  # it always thinks, so let it think little
        return Plan(room, effort=takes.efforts[0], moved=frozenset({"reasoning"}))
    off = {"type": takes.off} if takes.off else {}
    if effort is None or effort in takes.efforts:
        return Plan(room, off, effort)
    return Plan(room, off, moved=frozenset({"reasoning.effort"}))


def _shown(plan: Plan, request: Request, reasoning: Reasoning, takes: Takes) -> Plan:
    """Ask for the thoughts to be shown. A model with a budget shows them anyway; one with an effort, since Opus 4.7,
    only if it is asked to.

    https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-7
    """
    if reasoning.summary is None:
        hides = "display" in as_object(request.extra.get("thinking"))  # what the chat's parser left: "omitted"
        if request.wire in SHOWS_UNASKED and plan.thinking.get("type") == "adaptive" and not hides:
            return replace(plan, thinking={**plan.thinking, "display": "summarized"})
        return plan
    display, thinking = DISPLAYS.get(reasoning.summary), plan.thinking
    if not thinking and takes.thinks and not plan.moved:
        thinking = {"type": "adaptive"}
    if display is None or not thinking:
        return replace(plan, moved=plan.moved | {"reasoning.summary"})
    if thinking["type"] == "adaptive":
        thinking = {**thinking, "display": display}
    said = thinking["type"] == "adaptive" or display == "summarized"
    moved = () if said and reasoning.summary in ("auto", "none") else ("reasoning.summary",)
    return replace(plan, thinking=thinking, moved=plan.moved.union(moved))


def _undecided(request: Request, takes: Takes) -> Plan:
    room = room_of(request)
    if "adaptive" not in takes.thinking or is_forced(request):
        return Plan(room, moved=frozenset({"reasoning.adaptive"}))
    return Plan(room + (BUDGETS[_UNSAID] if request.max_tokens is None else 0), {"type": "adaptive"})


# --- by effort -------------------------------------------------------------------------------------------------------


def _is_of_answer(request: Request, reasoning: Reasoning) -> bool:
    """Is it the effort of the whole answer, and thinking was not asked for? Only Claude's own clients tell the two
    apart: https://platform.claude.com/docs/en/build-with-claude/effort
    """
    return request.wire == "anthropic" and not reasoning.adaptive and reasoning.budget is None


def _by_budget(reasoning: Reasoning, takes: Takes) -> bool:
    if "enabled" not in takes.thinking:
        return False
    return reasoning.budget is not None or "adaptive" not in takes.thinking


def _with_effort(request: Request, reasoning: Reasoning, takes: Takes) -> Plan:
    asked = reasoning.effort or _effort_of(reasoning.budget or 0)
    if asked not in BUDGETS or is_forced(request):
        return _without(room_of(request))
    effort = _nearest(asked, takes)
    exact = reasoning.budget is None and effort == asked
    room = room_of(request) + (BUDGETS[effort] if request.max_tokens is None else 0)
    return Plan(room, {"type": "adaptive"}, effort, frozenset() if exact else frozenset({"reasoning"}))


def _effort_of(budget: int) -> str:
    """The lowest effort that stands for so many tokens; "" where there are none."""
    return next((effort for effort, tokens in BUDGETS.items() if 0 < budget <= tokens), "max" if budget > 0 else "")


def _nearest(effort: str, takes: Takes) -> str:
    """The effort, or the next lower one that the model takes, or its lowest."""
    words = list(BUDGETS)
    lower = [word for word in takes.efforts if words.index(word) <= words.index(effort)]
    return lower[-1] if lower else takes.efforts[0]


# --- by budget -------------------------------------------------------------------------------------------------------


def _with_budget(request: Request, reasoning: Reasoning) -> Plan:
    """At least the minimum, and less than max_tokens."""
    given = budget_for(request, reasoning)
    if given is None:
        return _without(room_of(request))
    thinking = {"type": "enabled", "budget_tokens": given}
    return Plan(room_for(request, given), thinking, moved=frozenset(moved_to(given, reasoning)))
