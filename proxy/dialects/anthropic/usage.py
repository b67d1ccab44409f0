"""How many tokens did Anthropic count, and how does a client get the counts?"""

from typing import Any

from msgspec.structs import replace

from proxy.canon import Iteration, Usage
from proxy.dialects.anthropic.words import DELTA_FIELDS, END_FIELDS
from proxy.grammar.counts import are_counts, count_of, is_null_beside, placed
from proxy.grammar.fields import Object, as_list, as_object, as_text

_COUNTED = frozenset(
    "input_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation output_tokens"
    " output_tokens_details".split()
)


_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
_MINUTES, _HOUR = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"

# Iterations that the counts at the top include. They do not include compaction's, nor those of an advisor, which is
# another model.
# https://platform.claude.com/docs/en/build-with-claude/compaction#understanding-usage
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool
_FALLBACK = "fallback_message"
_WITHIN = frozenset(("message", _FALLBACK))

# These are no counts, but come with the last counts, and no canonical event has a field for them: `extra` carries them.
_BESIDE = frozenset(DELTA_FIELDS + END_FIELDS)


class Tally:
    """What a stream has said of its tokens. Counts are cumulative: a later one wins, an absent one changes nothing."""

    def __init__(self) -> None:
        self._told: Object = {}

    def add(self, usage: object, beside: Object | None = None) -> Usage | None:
        """`beside`: what came with the counts, and is no count."""
        if isinstance(usage, dict):
            self._told.update((k, value) for k, value in usage.items() if value is not None or k not in self._told)
        self._told |= beside or {}
        return usage_of(self._told)


def usage_of(told: Object) -> Usage | None:
    """None where all counts are zero: a model that read nothing and wrote nothing has counted nothing."""
    made, thought = as_object(told.get("cache_creation")), as_object(told.get("output_tokens_details"))
    tools = as_object(told.get("server_tool_use"))
    minutes, hour = count_of(made.get(_MINUTES)), count_of(made.get(_HOUR))
    written = count_of(told.get("cache_creation_input_tokens")) or hour + minutes
    output = count_of(told.get("output_tokens"))
    thinking = min(count_of(thought.get("thinking_tokens")), output)
    usage = Usage(
        input=count_of(told.get("input_tokens")),
        cache_read=count_of(told.get("cache_read_input_tokens")),
        cache_write=written - min(hour, written),
        cache_write_1h=min(hour, written),
        output=output - thinking,
        reasoning=thinking,
        searches=count_of(tools.get("web_search_requests")),
        tier=_tier(told),
        is_odd=not (
            are_counts(told, _COUNTS)
            and not is_null_beside(told, "input_tokens", "output_tokens")
            and are_counts(made, (_MINUTES, _HOUR))
            and are_counts(thought, ("thinking_tokens",))
            and are_counts(tools, ("web_search_requests",))
        ),
        extra={key: value for key, value in told.items() if key not in _COUNTED and value is not None},
    )
    if told.get("iterations"):
        usage = _with_beside(usage, as_list(told["iterations"]))
    return usage if usage.total_input or usage.total_output or usage.beside or usage.is_odd else None


def _with_beside(usage: Usage, iterations: list[Any]) -> Usage:
    """Add the iterations that the counts at the top leave out, with those of unknown kinds: never guess too low.

    And the model to which Anthropic has fallen back, which a stream that had begun can name only here.
    """
    beside, is_odd, model = [], usage.is_odd, ""
    for told in map(as_object, iterations):
        if told.get("type") == _FALLBACK:
            model = as_text(told.get("model"))
        if as_text(told.get("type")) not in _WITHIN and (counted := usage_of({**told, "iterations": None})) is not None:
            beside.append(Iteration(as_text(told.get("model")), replace(counted, tier=usage.tier, extra={})))
            is_odd = is_odd or counted.is_odd
    return replace(usage, beside=tuple(beside), is_odd=is_odd, model=model) if beside or model else usage


def _tier(told: Object) -> str:
    """What sets the price. A speed, beside the tier, does: https://platform.claude.com/docs/en/build-with-claude/fast-mode

    So does a place that inference is kept to.
    """
    speed = as_text(told.get("speed"))
    tier = speed if speed not in ("", "standard") else as_text(told.get("service_tier"))
    return placed(tier, as_text(told.get("inference_geo")))


def usage_fields(usage: Usage | None) -> Object:
    usage = usage or Usage()
    extra = {key: value for key, value in usage.extra.items() if key not in _BESIDE}
    if usage.searches and "server_tool_use" not in extra:  # another wire's
        extra["server_tool_use"] = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
    return extra | {
        "input_tokens": usage.input + usage.audio_input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.total_output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def beside(usage: Usage | None, keys: tuple[str, ...]) -> Object:
    """What came with the counts under these keys."""
    extra = usage.extra if usage is not None else {}
    return {key: extra[key] for key in keys if key in extra}
