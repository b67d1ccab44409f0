"""How much does a client of this wire let the model think?"""

from proxy.canon import Reasoning, Request
from proxy.grammar.claude.plan import DISPLAYS, Plan, room_of
from proxy.grammar.fields import Object, as_list, as_object
from proxy.grammar.receipts import Receipt


def plan_as_asked(request: Request) -> Plan:
    """The plan of a request that came in this wire: what its client said."""
    reasoning, room = request.reasoning or Reasoning(), room_of(request)
    thinking: Object = {}
    if reasoning.off:
        thinking["type"] = "disabled"
    if reasoning.adaptive:
        thinking["type"] = "adaptive"
    if reasoning.budget is not None:
        thinking |= {"type": "enabled", "budget_tokens": reasoning.budget}
    if reasoning.summary is not None:
        thinking["display"] = DISPLAYS.get(reasoning.summary, reasoning.summary)
    return Plan(room, thinking, reasoning.effort)


def unthinking(body: Object, dropped: Receipt) -> None:
    """Switch thinking off, and drop the edits that clear thoughts, which are refused where thinking is off.

    https://platform.claude.com/docs/en/build-with-claude/context-editing
    """
    dropped.add("reasoning")
    del body["thinking"]
    managed = as_object(body.get("context_management"))
    edits = as_list(managed.get("edits"))
    kept = [edit for edit in edits if not str(as_object(edit).get("type")).startswith("clear_thinking")]
    if len(kept) < len(edits):
        dropped.left({"context_management.edits": edits})
        body["context_management"] = {**managed, "edits": kept}
