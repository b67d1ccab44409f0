"""How is a cache point of one wire said on another?

Claude's (`cache_control`, and Bedrock's `cachePoint`) last five minutes or an hour. OpenAI's, on both its wires from
GPT-5.6 on (`prompt_cache_breakpoint`), last half an hour or twelve hours at least.
https://platform.claude.com/docs/en/build-with-claude/prompt-caching and
https://platform.openai.com/docs/guides/prompt-caching
"""

from proxy.canon import Document, Image, Text, ToolResult, Turn
from proxy.grammar.fields import Fields, Object, Verbatim, as_object
from proxy.grammar.receipts import BREAKPOINT, Receipt

_CLAUDES = {"5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h"}


class Automatic(Object):
    """The cache point that a request's own `cache_control` sets by itself, at the end of the last message.

    (.../build-with-claude/prompt-caching#automatic-caching; OpenRouter has it in Chat Completions.)
    """


def cache_at_the_end(top: Fields, turns: list[Turn]) -> None:
    """Say of the last part that it is a cache point, for the wires that have none for a request as a whole."""
    said = top.rest["cache_control"]
    last = turns[-1].parts[-1] if turns and turns[-1].parts else None
    if isinstance(said, dict) and isinstance(last, Text | Image | Document | ToolResult):
        top.rest["cache_control"] = Verbatim(said)
        if last.cache is None:
            last.cache = Automatic(said)


def breakpoint_in(fields: Fields) -> Object | None:
    """OpenAI's cache point at the end of a part, taken from its fields; None where there is none."""
    if "mode" not in as_object(fields.rest.get(BREAKPOINT)):
        return None
    return fields.object(BREAKPOINT)


def is_openais(cache: Object | None) -> bool:
    return cache is not None and "mode" in cache


def lifetime(cache: Object, dropped: Receipt) -> Object:
    """The `ttl` of Claude's that lasts as long; where none does, the longest, which the receipt names."""
    ttl = cache.get("ttl")
    if ttl == "12h":
        dropped.add(f"{BREAKPOINT}.ttl")
    return {"ttl": _CLAUDES[ttl]} if isinstance(ttl, str) and ttl in _CLAUDES else {}
