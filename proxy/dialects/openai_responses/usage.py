"""How many tokens did a host count, and how is that told to a client?"""

from typing import Any

from proxy.canon import Iteration, Usage
from proxy.grammar.counts import are_counts, count_of, is_null_beside, others_in
from proxy.grammar.fields import Object, as_list, as_object, as_text

SEARCH = "web_search_call"  # the item for a search by the provider's own tool

_COUNTED = {"input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens"}
_INPUTS = {"cached_tokens", "cache_write_tokens"}
_OUTPUTS = {"reasoning_tokens"}
_MAIN = ("input_tokens", "output_tokens")
_COUNTS = (*_MAIN, "total_tokens")


# The tool that paints, and the model that it runs where nobody names one; none of its kind is dearer.
PAINTING, _PAINTER = "image_generation", "gpt-image-1"


def said_usage(said: object, tier: object, output: list[Any], ran: object = None, tools: object = None) -> Usage | None:
    """Disjoint buckets from nested ones: the details are parts of the totals, and no part may exceed its whole. Tokens
    that are only in `total_tokens` are reasoning, as in Chat Completions: what a host bills is never guessed too low.

    `tier` and `output`: the response's fields beside its counts. `ran`: `tool_usage`, which these do not include;
    `tools`: what its tools are.
    """
    if not isinstance(said, dict) or not said:
        return None
    inputs, outputs = as_object(said.get("input_tokens_details")), as_object(said.get("output_tokens_details"))
    read, written = count_of(said.get("input_tokens")), count_of(said.get("output_tokens"))
    cached = min(count_of(inputs.get("cached_tokens")), read)
    stored = min(count_of(inputs.get("cache_write_tokens")), read - cached)
    thought = min(count_of(outputs.get("reasoning_tokens")), written)
    untold = max(0, count_of(said.get("total_tokens")) - read - written)
    extra = others_in(said, _COUNTED)
    for key, details, known in (
        ("input_tokens_details", inputs, _INPUTS),
        ("output_tokens_details", outputs, _OUTPUTS),
    ):
        if rest := others_in(details, known):
            extra[key] = rest
    painted = _painted(as_object(as_object(ran).get("image_gen")), tools)
    return Usage(
        beside=() if painted is None else (painted,),
        input=read - cached - stored,
        cache_read=cached,
        cache_write=stored,
        output=written - thought,
        reasoning=thought + untold,
        searches=max(sum(map(_is_search, output)), _told_searches(said)),
        tier=as_text(tier),
        is_odd=not (
            are_counts(said, _COUNTS)
            and not is_null_beside(said, *_MAIN)
            and are_counts(inputs, _INPUTS)
            and are_counts(outputs, _OUTPUTS)
        ),
        extra=extra,
    )


def _told_searches(said: Object) -> int:
    """Those that xAI counts, also on X: these are no items of OpenAI's."""
    told = as_object(said.get("server_side_tool_usage_details"))
    return count_of(told.get("web_search_calls")) + count_of(told.get("x_search_calls"))


def _painted(told: Object, tools: object) -> Iteration | None:
    """What the pictures took, of which each kind of token has its price; in the words in which Google tells them apart.

    https://platform.openai.com/docs/api-reference/responses/object: `tool_usage`
    """
    read, written = count_of(told.get("input_tokens")), count_of(told.get("output_tokens"))
    if not (read or written):
        return None
    inputs, outputs = as_object(told.get("input_tokens_details")), as_object(told.get("output_tokens_details"))
    cached = min(count_of(told.get("cached_tokens")), read)
    kinds = {
        "promptTokensDetails": count_of(inputs.get("image_tokens")),
        "cacheTokensDetails": count_of(as_object(told.get("cached_tokens_details")).get("cached_image_tokens")),
        "candidatesTokensDetails": written - min(count_of(outputs.get("text_tokens")), written),
    }
    usage = Usage(
        input=read - cached,
        cache_read=cached,
        output=written,
        extra={key: [{"modality": "IMAGE", "tokenCount": count}] for key, count in kinds.items()},
    )
    named = (as_text(tool.get("model")) for tool in map(as_object, as_list(tools)) if tool.get("type") == PAINTING)
    return Iteration(next(filter(None, named), _PAINTER), usage)


def _is_search(item: object) -> bool:
    """Is it a search that is billed? To open a page, or to find a word on it, is free.

    https://platform.openai.com/docs/guides/tools-web-search, Output and citations; older answers name no action.
    """
    value = as_object(item)
    return value.get("type") == SEARCH and as_object(value.get("action")).get("type", "search") == "search"


def usage_fields(usage: Usage) -> Object:
    read, written = usage.total_input, usage.total_output
    inputs = {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write + usage.cache_write_1h}
    return usage.extra | {
        "input_tokens": read,
        "input_tokens_details": as_object(usage.extra.get("input_tokens_details")) | inputs,
        "output_tokens": written,
        "output_tokens_details": as_object(usage.extra.get("output_tokens_details"))
        | {"reasoning_tokens": usage.reasoning},
        "total_tokens": read + written,
    }
