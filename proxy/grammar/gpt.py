"""Which knobs does this model of OpenAI's take from a client of another wire?

Models that reason take no sampling knobs while they do, some take no stop strings, and each has its own efforts;
anything else is a 400. A client of OpenAI's own wires knows that, or learns it from the host, so this is for the
others. A name that no row matches takes everything. https://developers.openai.com/api/docs/guides/reasoning and
.../guides/latest-model

`sampling` in models.yaml says something similar, and is a table of its own: it decides when the operator's configured
temperature gives way, on OpenAI's own wires too; it covers other vendors, and config.yaml may overrule it. This one
knows efforts and stop strings as well, and goes by what the request asks for. A test has the two agree.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from proxy.canon import Reasoning, Request
from proxy.grammar.knobs import knobs
from proxy.grammar.receipts import Receipt
from proxy.grammar.thinking import SAYS_NONE, effort_of, moot


class Takes(NamedTuple):
    efforts: tuple[str, ...]  # none: whatever is asked goes on as it is
    silent: bool = False  # does not reason unless asked to
    samples: bool = False  # takes sampling knobs even while it reasons, as open models do
    stops: bool = False  # takes stop strings
    most_in_chat: str = "max"  # the highest effort that Chat Completions takes


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LOW_TO_HIGH, _LOW_TO_XHIGH, _LOW_TO_MAX = EFFORTS[2:5], EFFORTS[2:6], EFFORTS[2:]

# The first pattern counts that matches the beginning of the name, after any vendor's prefix.
_MODELS = [
    (re.compile(rf"(?:.*[/:]|openai\.)?(?:{pattern})").match, takes)
    for pattern, takes in (
        (r"gpt-4o.*-search", Takes((), stops=True)),  # it does not reason, but takes no sampling knobs either
        (r"gpt-5-chat", None),
        (r"gpt-5\.\d-chat", Takes(("medium",))),
        (r"gpt-5-pro", Takes(("high",))),
        (r"gpt-5\.\d-pro", Takes(EFFORTS[3:6])),
        (r"gpt-5\.1-codex-max|gpt-5\.[2-9]-codex", Takes(_LOW_TO_XHIGH)),
        (r"o1(?!\d)", Takes(_LOW_TO_HIGH, stops=True)),
        (r"o[34](?!\d)|gpt-5(?:\.1)?-codex", Takes(_LOW_TO_HIGH)),
        (r"gpt-5\.1", Takes(("none", *_LOW_TO_HIGH), silent=True)),
        (r"gpt-5\.[2-4]", Takes(("none", *_LOW_TO_XHIGH), silent=True)),
        (r"gpt-5\.5", Takes(("none", *_LOW_TO_XHIGH), stops=True)),
        (r"gpt-5\.[6-9]|gpt-6-(?:sol|luna|terra)", Takes(("none", *_LOW_TO_MAX), stops=True)),
        (r"gpt-5", Takes(EFFORTS[1:5])),
        (r"gpt-[6-9]", Takes(_LOW_TO_MAX, stops=True, most_in_chat="xhigh")),
        (r"gpt-oss", Takes(_LOW_TO_HIGH, samples=True, stops=True)),
    )
]

_SAMPLING = knobs("temperature top_p logprobs top_logprobs frequency_penalty presence_penalty logit_bias")
_STOPS = knobs("stop")


def fitted(request: Request, dropped: Receipt, in_chat: bool) -> Request:
    """A request from another wire, as its model takes it. `in_chat`: it goes to Chat Completions."""
    takes = _takes_of(request.model)
    if takes is None:
        return request
    reasoning = _fitted(request, takes, dropped, in_chat)
    refused = {} if takes.stops else _STOPS
    if not takes.samples and _reasons(reasoning, takes):
        refused = refused | _SAMPLING
    gone = {key: idle for key, idle in refused.items() if getattr(request, key) is not None}
    dropped.lacking({key: idle for key, idle in gone.items() if key != "temperature" or not request.hinted})
    return replace(request, reasoning=reasoning, **dict.fromkeys(gone))


@lru_cache(maxsize=256)
def _takes_of(model: str) -> Takes | None:
    name = model.lower()
    return next((takes for matches, takes in _MODELS if matches(name)), None)


def _reasons(reasoning: Reasoning | None, takes: Takes) -> bool:
    if reasoning is None or reasoning.effort is None:
        return not takes.silent
    return reasoning.effort != "none"


def _fitted(request: Request, takes: Takes, dropped: Receipt, in_chat: bool) -> Reasoning | None:
    """The wish to reason, with an effort that the model knows: the one asked for, else the next higher, else its
    highest. A budget asks for the effort that it would pay for, and the receipt names it anyway.

    Clients of OpenAI's other wire already use the words of its models, but a budget is none of those.
    """
    reasoning = request.reasoning
    if reasoning is None:
        return None
    if request.wire in SAYS_NONE and (reasoning.effort is not None or reasoning.budget is None):
        return reasoning
    asked = "none" if reasoning.off or reasoning.budget == 0 else reasoning.effort
    if asked is None and reasoning.budget is not None:
        asked = effort_of(reasoning.budget)
    if asked not in EFFORTS or not takes.efforts:
        return reasoning
    known = [effort for effort in takes.efforts if not in_chat or _rank(effort) <= _rank(takes.most_in_chat)]
    effort = next((word for word in known if _rank(word) >= _rank(asked)), known[-1])
    if effort != asked and asked in ("none", reasoning.effort):
        dropped.add("reasoning")
    dropped.update(moot(reasoning))
    budget = None if asked == "none" else reasoning.budget
    return replace(reasoning, effort=effort, budget=budget, off=False)


_rank = EFFORTS.index


def takes_free_text(wire: str, model: str) -> bool:
    """Can it call tools with text that is not JSON?"""
    return wire in SAYS_NONE and _is_five_or_later(model.lower()) is not None


_is_five_or_later = re.compile(r"(?:.*[/:]|openai\.)?gpt-[5-9]").match
