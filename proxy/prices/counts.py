"""What was counted that has no bucket in Usage: what only one host bills, and pictures among the tokens?

It is in `Usage.extra`, as its own wire spells it. Nothing here relies on a type or a sign.
"""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from proxy.canon import BUCKETS, Usage
from proxy.grammar.counts import SANE, are_counts, count_of
from proxy.grammar.fields import as_list, as_object

# Counts besides the tokens, and where they are. Both are Perplexity's, https://docs.perplexity.ai/getting-started/pricing:
# most of its models search for a fee by request, so that there a search has a price only where the list says so.
CALLS: Mapping[str, str] = {"search": "num_search_queries", "citation": "citation_tokens"}


class Detail(NamedTuple):
    """Tokens of a bucket that may have their own price: of these modalities, `within` these lists less `without`."""

    bucket: str
    modalities: tuple[object, ...]
    within: tuple[str, ...]
    without: tuple[str, ...] = ()
    told_by: tuple[str, ...] = ()  # lists that show that there are any, where the ones above are missing

    @property
    def seen_in(self) -> tuple[str, ...]:
        return self.within + self.told_by


_IMAGE, _VIDEO, _AUDIO = ("IMAGE", "DOCUMENT", 2, 5), ("VIDEO", 3), ("AUDIO", 4)  # names, and the numbers of the enum
_READ, _CACHED = ("promptTokensDetails", "toolUsePromptTokensDetails"), ("cacheTokensDetails",)

# Google's, https://ai.google.dev/api/generate-content#UsageMetadata: a page of a document is an image.
DETAILS: Mapping[str, Detail] = {
    "image_input": Detail("input", _IMAGE, _READ, _CACHED),
    "video_input": Detail("input", _VIDEO, _READ, _CACHED),
    "image_cache_read": Detail("cache_read", _IMAGE, _CACHED),
    "video_cache_read": Detail("cache_read", _VIDEO, _CACHED),
    "audio_cache_read": Detail("cache_read", _AUDIO, _CACHED, told_by=_READ),
    "image_output": Detail("output", _IMAGE, ("candidatesTokensDetails",)),
    "video_output": Detail("output", _VIDEO, ("candidatesTokensDetails",)),
}


def is_absurd(usage: Usage) -> bool:
    """Is a count negative, or more than anybody can have used? Such a bucket costs nothing, and should be flagged."""
    return any(not 0 <= getattr(usage, bucket) <= SANE for bucket in BUCKETS)


def sane(usage: Usage) -> Usage:
    """The same, with 0 in every absurd bucket."""
    absurd = [bucket for bucket in BUCKETS if not 0 <= getattr(usage, bucket) <= SANE]
    return replace(usage, **dict.fromkeys(absurd, 0))


def billed(usage: Usage) -> Usage:
    """What is billed. Cohere's models also read a preamble of its own, and Cohere tells apart what it bills.

    No tokens are billed where some were read or written: then nobody has counted what is billed.
    https://docs.cohere.com/reference/chat: `usage.billed_units`
    """
    told = as_object(usage.extra.get("billed_units"))
    if told.get("input_tokens") is None or told.get("output_tokens") is None or not are_counts(told, _BILLED):
        return usage
    read, written = count_of(told["input_tokens"]), count_of(told["output_tokens"])
    if (usage.total_input and not read) or (usage.total_output and not written):
        return usage
    return Usage(input=read, output=written)


_BILLED = ("input_tokens", "output_tokens")


def details(usage: Usage) -> dict[str, int]:
    """How many tokens there were of each kind of DETAILS; no bucket gives more than it has."""
    left = {bucket: getattr(usage, bucket) for bucket in ("input", "cache_read", "output")}
    found = {}
    for kind, detail in DETAILS.items():
        within = sum(_tokens(usage, key, detail.modalities) for key in detail.within)
        without = sum(_tokens(usage, key, detail.modalities) for key in detail.without)
        found[kind] = min(max(0, within - without), left[detail.bucket])
        left[detail.bucket] -= found[kind]
    if _CACHED[0] not in usage.extra and (usage.audio_input or _tokens(usage, _READ[0], _AUDIO)):
        found["audio_cache_read"] = left["cache_read"]  # nobody says which of them were sound, which is the dearer kind
    return found


def _tokens(usage: Usage, key: str, modalities: tuple[object, ...]) -> int:
    rows = map(as_object, as_list(usage.extra.get(key)))
    return sum(count_of(row.get("tokenCount")) for row in rows if row.get("modality") in modalities)
