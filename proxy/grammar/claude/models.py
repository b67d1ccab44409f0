"""What does this Claude model take, whoever hosts it?

Each generation takes less: effort has come to thinking, and budgets, sampling, prefill and forced tools have gone, each
with a 400. A name that no row matches is an older model, or another vendor's.
https://platform.claude.com/docs/en/build-with-claude/thinking, .../effort, .../about-claude/models/migration-guide, and
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html
"""

import re
from functools import lru_cache
from math import inf
from typing import Literal, NamedTuple

from proxy.canon import Request
from proxy.errors import Unrepresentable
from proxy.grammar.fields import Object, without_nulls
from proxy.grammar.receipts import Receipt


class Takes(NamedTuple):
    thinking: tuple[str, ...] = ("enabled",)  # what turns it on: `enabled` with a budget, `adaptive` with an effort
    thinks: bool = False  # even when not asked to
    off: str | None = "disabled"  # what turns it off; "": leaving it unsaid; None: nothing
    efforts: tuple[str, ...] = ()
    sampling: Literal["all", "one", "none"] = "all"  # one: either temperature or top_p
    prefill: bool = True  # continues a last turn of the assistant's
    forced: bool = True  # can be made to call a tool
    system: bool = False  # takes a system turn in the middle of the chat
    single: bool = False  # in Converse: can be limited to one call at a time


_UP_TO_MAX = ("low", "medium", "high", "max")
_ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_SILENT = Takes(thinking=(), off="")
_BUDGETED = Takes(sampling="one")
_EITHER = Takes(("enabled", "adaptive"), efforts=_UP_TO_MAX, sampling="one", prefill=False, single=True)
_ADAPTIVE = Takes(("adaptive",), off="", efforts=_ALL_EFFORTS, sampling="none", prefill=False, single=True)
_FIVE = _ADAPTIVE._replace(thinks=True, off="disabled", system=True)

# The first pattern found in the name counts; dots in the name are read as dashes. A date is not a version.
_MODELS = [
    (re.compile(pattern), takes)
    for pattern, takes in (
        (r"claude-[a-z]+-([6-9]|[1-9]\d)(?!\d)", _FIVE._replace(off=None, forced=False)),  # models to come
        (r"(opus-5-[5-9]|(fable|mythos)-5-[1-9])(?!\d)", _FIVE._replace(off=None, forced=False)),
        (r"sonnet-5-[5-9](?!\d)", _FIVE._replace(off="between_tools", forced=False)),
        (r"(fable|mythos)-5", _FIVE._replace(off=None)),
        (r"(opus|sonnet|haiku)-5", _FIVE),
        (r"opus-4-[89](?!\d)", _ADAPTIVE._replace(system=True)),
        (r"opus-4-7(?!\d)", _ADAPTIVE),
        (r"mythos-preview", _ADAPTIVE._replace(thinks=True, off=None, efforts=_UP_TO_MAX)),
        (r"(opus|sonnet)-4-6(?!\d)", _EITHER),
        (r"(opus|sonnet|haiku)-4-5(?!\d)", _BUDGETED._replace(single=True)),
        (r"opus-4-1(?!\d)", _BUDGETED),
        (r"claude-(instant|v?[12]|3-(?!7))", _SILENT),
    )
]


@lru_cache(maxsize=256)
def takes_of(model: str) -> Takes:
    name = model.lower().replace(".", "-")
    return next((takes for pattern, takes in _MODELS if pattern.search(name)), Takes())


def no_prefill(at: str) -> Unrepresentable:
    """The error for a last turn of the assistant's, where `prefill` is false."""
    message = f"{at}: this model requires the last message to be the user's, not the assistant's."
    return Unrepresentable(message, param=at)


def knobs_of(request: Request, takes: Takes, thinks: bool) -> Object:
    """The client's temperature, top_p and top_k, and the operator's temperature where the model takes it with them."""
    gives_way = request.hinted and not _takes_hint(takes, thinks, request.top_p)
    temperature = None if gives_way else request.temperature
    knobs = {"temperature": temperature, "top_p": request.top_p, "top_k": request.top_k}
    return without_nulls(knobs)


def does_think(thinking: Object) -> bool:
    """Is it told to think? `thinking`: the field of that name."""
    return thinking.get("type") in ("enabled", "adaptive")


def hinted_to(model: str, thinking: object, top_p: object, temperature: float | None) -> float | None:
    """The operator's temperature, if a body on Claude's own wire with this `thinking` and `top_p` takes it."""
    thinks = isinstance(thinking, dict) and does_think(thinking)
    return temperature if _takes_hint(takes_of(model), thinks, top_p) else None


# Of Claude's knobs, whoever hosts it; of the others' at Bedrock it is no different.
RANGES = {"temperature": (0.0, 1.0), "top_p": (0.0, 1.0), "top_k": (0.0, inf)}


def sampled(request: Request, takes: Takes, thinks: bool, dropped: Receipt) -> Object:
    """The knobs from another wire that the model takes, together with each other and with its thinking."""
    said = knobs_of(request, takes, thinks)
    for key, value in list(said.items()):
        doubled = takes.sampling == "one" and key == "top_p" and "temperature" in said
        if takes.sampling == "none" or doubled or (thinks and not _thinks_with(key, value)):
            del said[key]
            if key == "top_k" or value != 1:  # 1 is the default
                dropped.add(key)
    return said


def _thinks_with(key: str, value: float) -> bool:
    """Is this knob's value taken together with thinking?"""
    return {"temperature": value == 1, "top_p": 0.95 <= value <= 1, "top_k": False}[key]


def _takes_hint(takes: Takes, thinks: bool, top_p: object) -> bool:
    """Does the model take the operator's temperature, given what the client says?"""
    return not thinks and (takes.sampling == "all" or (takes.sampling == "one" and top_p is None))
