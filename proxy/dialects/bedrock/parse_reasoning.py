"""How much does a client of Converse let the model think?

additionalModelRequestFields go to the model as they are, so that each family has its own words there: Claude's, the
same as on its own wire; `reasoning_config`, which was AWS's first name for those; Nova's; and an effort. What other
wires know is taken from there; what they do not know stays where it was, and so do the words of a second family.
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
"""

from collections.abc import Callable, Mapping

from proxy.canon import Reasoning
from proxy.dialects.bedrock.reasoning import said_by_client
from proxy.grammar.fields import Fields, Left, Object, as_object, merged


def reasoning_of(more: Fields, effort: str | None) -> tuple[Reasoning | None, Object]:
    """The reasoning, and the client's own spelling of it, where we would spell it differently on this wire.

    `effort`: what outputConfig says.
    """
    before = more.rest.copy()
    word = _effort(more) if effort is None else effort
    reasoning = _thoughts(more, word) or (None if word is None else Reasoning(effort=word))
    if reasoning is None or (word == effort and merged(said_by_client(reasoning), more.rest) == before):
        return reasoning, {}
    taken = {key: value for key, value in before.items() if more.rest.get(key) != value}
    config = {} if effort is None else {"outputConfig": {"effort": effort}}
    return reasoning, {"additionalModelRequestFields": taken, **config}


def _effort(more: Fields) -> str | None:
    if type(word := more.rest.get("reasoning_effort")) is str:
        del more.rest["reasoning_effort"]
        return word
    config = dict(as_object(more.rest.get("output_config")))
    if type(word := config.pop("effort", None)) is not str:
        return None
    _leave(more, "output_config", config)
    return word


def _thoughts(more: Fields, effort: str | None) -> Reasoning | None:
    for key, read in _FAMILIES.items():
        said = dict(as_object(more.rest.get(key)))
        reasoning = read(said)
        if reasoning is not None and (reasoning.effort is None or effort is None):
            _leave(more, key, said)
            reasoning.effort = reasoning.effort or effort
            return reasoning
    return None


def _leave(more: Fields, key: str, rest: Object) -> None:
    del more.rest[key]
    if rest:
        more.rest[key] = Left(rest)


def _claudes(said: Object) -> Reasoning | None:
    match said:
        case {"type": "enabled", "budget_tokens": budget} if type(budget) is int:
            del said["type"], said["budget_tokens"]
            reasoning = Reasoning(budget=budget)
        case {"type": "disabled"}:
            del said["type"]
            reasoning = Reasoning(off=True)
        case {"type": "adaptive"}:
            del said["type"]
            reasoning = Reasoning(adaptive=True)
        case _:
            return None
    if said.get("display") == "summarized":
        del said["display"]
        reasoning.summary = "auto"
    return reasoning


def _novas(said: Object) -> Reasoning | None:
    match said:
        case {"type": "enabled", "maxReasoningEffort": str(word)}:
            del said["type"], said["maxReasoningEffort"]
            return Reasoning(effort=word)
        case {"type": "disabled"}:
            del said["type"]
            return Reasoning(off=True)
        case _:
            return None


_FAMILIES: Mapping[str, Callable[[Object], Reasoning | None]] = {
    "thinking": _claudes,
    "reasoning_config": _claudes,
    "reasoningConfig": _novas,
}
