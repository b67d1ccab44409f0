"""How many tokens did Anthropic count, and how does a client read them?"""

from proxy.canon import Usage
from proxy.dialects.anthropic.words import DELTA_FIELDS, END_FIELDS
from proxy.grammar.fields import Object, are_counts, as_list, as_object, as_text, count_of, is_null_beside, placed

_COUNTED = frozenset(
    "input_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation output_tokens"
    " output_tokens_details".split()
)


_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
_NONE = (0, 0, 0, 0, 0)
_OF_THE_ANSWER = ("message", "fallback_message")  # turns that the top-level counts have
_OF_THIS_MODEL = ("message", "compaction")  # and those of the model that was asked
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
    """None where there are zeros alone: a model that read nothing and wrote nothing has told nothing.

    The top-level counts are those of the answer. What was spent beside it is told by turns, and is billed as well.
    """
    thought, tools = as_object(told.get("output_tokens_details")), as_object(told.get("server_tool_use"))
    parts = [told, *_aside(told)]
    read, cached, written, hour, output = map(sum, zip(*map(_counts, parts), strict=True))
    thinking = min(count_of(thought.get("thinking_tokens")), output)
    usage = Usage(
        input=read,
        cache_read=cached,
        cache_write=written - hour,
        cache_write_1h=hour,
        output=output - thinking,
        reasoning=thinking,
        searches=count_of(tools.get("web_search_requests")),
        tier=_tier(told),
        is_odd=not (
            all(map(_are_well, parts))
            and are_counts(thought, ("thinking_tokens",))
            and are_counts(tools, ("web_search_requests",))
        ),
        extra={key: value for key, value in told.items() if key not in _COUNTED and value is not None},
    )
    return usage if usage.total_input or usage.total_output or usage.is_odd else None


def _aside(told: Object) -> list[Object]:
    """The turns that the top-level counts leave out: those that shortened the conversation, and another model's.

    https://platform.claude.com/docs/en/build-with-claude/compaction
    """
    if "iterations" not in told:
        return []
    turns = map(as_object, as_list(told["iterations"]))
    return [turn for turn in turns if as_text(turn.get("type")) not in _OF_THE_ANSWER]


def _counts(told: Object) -> tuple[int, int, int, int, int]:
    """Read, read from the cache, written to it, of that for an hour, and written."""
    made = as_object(told.get("cache_creation"))
    minutes, hour = count_of(made.get(_MINUTES)), count_of(made.get(_HOUR))
    written = count_of(told.get("cache_creation_input_tokens")) or hour + minutes
    read, cached = count_of(told.get("input_tokens")), count_of(told.get("cache_read_input_tokens"))
    return read, cached, written, min(hour, written), count_of(told.get("output_tokens"))


def _are_well(told: Object) -> bool:
    return (
        are_counts(told, _COUNTS)
        and not is_null_beside(told, "input_tokens", "output_tokens")
        and are_counts(as_object(told.get("cache_creation")), (_MINUTES, _HOUR))
    )


def _tier(told: Object) -> str:
    """A speed is told beside the tier, and has the price: https://platform.claude.com/docs/en/build-with-claude/fast-mode

    So has a place to which inference is kept. A turn of another model has a price that no list of this one's tells.
    """
    if "iterations" in told:
        kinds = (as_text(as_object(turn).get("type")) for turn in as_list(told["iterations"]))
        if another := next((kind for kind in kinds if kind not in _OF_THIS_MODEL), ""):
            return another
    speed = as_text(told.get("speed"))
    tier = speed if speed not in ("", "standard") else as_text(told.get("service_tier"))
    return placed(tier, as_text(told.get("inference_geo")))


def usage_fields(usage: Usage | None) -> Object:
    usage = usage or Usage()
    read, cached, written, hour, output = map(sum, zip(_NONE, *map(_counts, _aside(usage.extra)), strict=True))
    minutes = written - hour
    return {key: value for key, value in usage.extra.items() if key not in _BESIDE} | {
        "input_tokens": usage.input + usage.audio_input - read,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h - written,
        "cache_read_input_tokens": usage.cache_read - cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write - minutes,
            "ephemeral_1h_input_tokens": usage.cache_write_1h - hour,
        },
        "output_tokens": usage.total_output - output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def beside(usage: Usage | None, keys: tuple[str, ...]) -> Object:
    """What came with the counts, under these names."""
    extra = usage.extra if usage is not None else {}
    return {key: extra[key] for key in keys if key in extra}
