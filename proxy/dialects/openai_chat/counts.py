"""How many tokens did a host count, if it counts exactly as OpenAI does?

Nearly every answer does: it has OpenAI's own fields and no others, with whole numbers that are consistent. msgspec
reads those in one step, which is fast. `usage.py` understands everything else, and gives the same result for these.
https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from proxy.canon import Usage
from proxy.grammar.counts import SANE
from proxy.grammar.fields import Object

Count = Annotated[int, Meta(ge=0, le=SANE)]


class _PromptDetails(Struct, forbid_unknown_fields=True, frozen=True):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    audio_tokens: Count = 0


class _CompletionDetails(Struct, forbid_unknown_fields=True, frozen=True):
    reasoning_tokens: Count = 0
    audio_tokens: Count = 0
    accepted_prediction_tokens: Count | UnsetType = UNSET
    rejected_prediction_tokens: Count | UnsetType = UNSET


class _Counts(Struct, forbid_unknown_fields=True, frozen=True):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: _PromptDetails = _PromptDetails()
    completion_tokens_details: _CompletionDetails = _CompletionDetails()


def plain(said: Object, tier: str, searches: int) -> Usage | None:
    """None if anything is not as OpenAI says it."""
    try:
        counts = msgspec.convert(said, _Counts)
    except msgspec.ValidationError:
        return None
    read, written = counts.prompt_tokens_details, counts.completion_tokens_details
    fresh = counts.prompt_tokens - read.cached_tokens - read.cache_write_tokens - read.audio_tokens
    output = counts.completion_tokens - written.reasoning_tokens - written.audio_tokens
    if fresh < 0 or output < 0 or counts.total_tokens > counts.prompt_tokens + counts.completion_tokens:
        return None
    return Usage(
        input=fresh,
        cache_read=read.cached_tokens,
        cache_write=read.cache_write_tokens,
        audio_input=read.audio_tokens,
        output=output,
        reasoning=written.reasoning_tokens,
        audio_output=written.audio_tokens,
        searches=searches,
        tier=tier,
        extra=_predicted(written),
    )


def _predicted(written: _CompletionDetails) -> Object:
    """The parts of the completion that have no bucket of their own."""
    accepted, rejected = written.accepted_prediction_tokens, written.rejected_prediction_tokens
    if accepted is UNSET and rejected is UNSET:
        return {}
    parts = {"accepted_prediction_tokens": accepted, "rejected_prediction_tokens": rejected}
    return {"completion_tokens_details": {name: count for name, count in parts.items() if count is not UNSET}}
