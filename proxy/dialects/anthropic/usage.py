"""How many tokens did Anthropic count, and how does a client read them?"""

from proxy.canon import Usage
from proxy.dialects.anthropic.words import DELTA_FIELDS, END_FIELDS
from proxy.grammar.fields import Object, are_counts, as_object, as_text, count_of, is_null_beside, placed

_COUNTED = frozenset(
    "input_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation output_tokens"
    " output_tokens_details".split()
)


_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
_MINUTES, _HOUR = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"

# No counts, but they come with the last of them, and no other event has a place for them: they ride in `extra`.
_BESIDE = frozenset(DELTA_FIELDS + END_FIELDS)


class Tally:
    """What a stream has told of its tokens: counts are cumulative, a later one wins, an absent one leaves the last."""

    def __init__(self) -> None:
        self._told: Object = {}

    def add(self, usage: object, beside: Object | None = None) -> Usage | None:
        """`beside`: what came with the counts, and is none."""
        if isinstance(usage, dict):
            self._told.update((k, value) for k, value in usage.items() if value is not None or k not in self._told)
        self._told |= beside or {}
        return usage_of(self._told)


def usage_of(told: Object) -> Usage | None:
    """None where there are zeros alone: a model that read nothing and wrote nothing has told nothing."""
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
    return usage if usage.total_input or usage.total_output or usage.is_odd else None


def _tier(told: Object) -> str:
    """A speed is told beside the tier, and has the price: https://platform.claude.com/docs/en/build-with-claude/fast-mode

    So has a place to which inference is kept.
    """
    speed = as_text(told.get("speed"))
    tier = speed if speed not in ("", "standard") else as_text(told.get("service_tier"))
    return placed(tier, as_text(told.get("inference_geo")))


def usage_fields(usage: Usage | None) -> Object:
    usage = usage or Usage()
    return {key: value for key, value in usage.extra.items() if key not in _BESIDE} | {
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
    """What came with the counts, under these names."""
    extra = usage.extra if usage is not None else {}
    return {key: extra[key] for key in keys if key in extra}
