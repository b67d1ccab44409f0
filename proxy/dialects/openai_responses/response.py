"""What does a response say besides its items?

https://platform.openai.com/docs/api-reference/responses/object: it repeats its request, and the SDK's types require
many of those fields.
"""

from collections.abc import Callable

from proxy.canon import Request, Start, Stop, Usage
from proxy.dialects.openai_responses.encode import Encoding
from proxy.dialects.openai_responses.moderation import told
from proxy.dialects.openai_responses.usage import usage_fields
from proxy.dialects.openai_responses.words import COMPLETE, ECHOED, STOP_WORDS
from proxy.grammar.endings import word_for
from proxy.grammar.fields import Object
from proxy.grammar.ids import answer_id
from proxy.grammar.openai import TIERS

NOTHING: Object = {
    "id": "",
    "object": "response",
    "created_at": 0,
    "completed_at": None,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "model": "",
    "output": [],
    "usage": None,
    **ECHOED,
}


def begun(start: Start, request: Request, clock: Callable[[], float]) -> Object:
    """The response before it has any items."""
    created = int(clock()) if start.created is None else start.created
    model = start.model or request.model
    name = answer_id(start, request, "resp_", length=48)
    return {**NOTHING, "id": name, "created_at": created, "model": model, **_echo(request)}


def _echo(request: Request) -> Object:
    encoding = Encoding(request)
    settings = encoding.settings() | encoding.instructions()
    echo = {key: settings[key] for key in ECHOED if key in settings}
    for key in ("text", "reasoning"):
        if key in echo:
            echo[key] = ECHOED[key] | echo[key]
    if "tools" in echo:
        echo["tools"] = [_offered(tool) for tool in echo["tools"]]
    return echo | {"store": False}  # nothing is stored here, whatever the client asked for


def _offered(tool: Object) -> Object:
    """A response always has these fields of a function."""
    return {"parameters": None, "strict": False, **tool} if tool["type"] == "function" else tool


def status_of(stop: Stop) -> str:
    """The status of a response and of its last item; the earlier items are complete."""
    return COMPLETE if word_for(stop, STOP_WORDS) == COMPLETE else "incomplete"


def ended(
    head: Object, output: list[Object], stop: Stop, usage: Usage | None, now: int, moderation: Object | None
) -> Object:
    """The response at its end."""
    status = status_of(stop)
    complete = status == COMPLETE
    found = {} if moderation is None else {"moderation": told(moderation)}
    served = {"service_tier": usage.tier} if usage is not None and usage.tier in TIERS else {}
    return {
        **head,
        **served,
        **found,
        "completed_at": now if complete else None,
        "status": status,
        "incomplete_details": None if complete else {"reason": word_for(stop, STOP_WORDS)},
        "output": output,
        "usage": None if usage is None else usage_fields(usage),
    }
