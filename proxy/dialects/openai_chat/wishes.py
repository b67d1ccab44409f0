"""What does a client of chat completions say to pillion, in a body that is else for a model?

Four fields of the first level, which no provider sees: docs/unified.md. They are cut out where they stand, and nothing
else of the body moves, so that both lanes go on as if they had not been said. `thinking_mode` alone leaves something
behind: the wire's own `reasoning_effort`.

OpenRouter and Vercel have a `provider` as well, which is an object: whatever is no string is theirs, and passes.
https://openrouter.ai/docs/features/provider-routing
"""

from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.grammar.fields import Fields, encode_json, is_number, wrong, wrong_word
from proxy.ports import NO_WISHES, Wishes
from proxy.wishes import cost_limit

FIELDS = ("provider", "thinking_mode", "context_window", "cost_limit")

# What `thinking_mode` says, in this wire's words; "auto" leaves the measure to the model, as silence does.
MODES = {"off": "none", "low": "low", "medium": "medium", "high": "high", "auto": None}

# The wire's own word for the same (https://platform.openai.com/docs/api-reference/chat/create), and its hosts':
# OpenRouter's `reasoning`, `thinking` of DeepSeek and Z.ai, `enable_thinking` of Qwen's.
EFFORT = "reasoning_effort"
RIVALS = (EFFORT, "reasoning", "thinking", "enable_thinking")

WIDEST = 10**9  # tokens; no model has a window near it


def wishes_in(envelope: Envelope) -> tuple[Wishes, Envelope]:
    """What is said to us, and the body without it. Raises BadRequest, with the field's path."""
    if envelope.lacks(FIELDS):
        return NO_WISHES, envelope
    ours = [key for key in FIELDS if key in envelope]
    if "provider" in ours and not _is_text_or_null(envelope.raw("provider")):
        ours.remove("provider")
    if not ours:
        return NO_WISHES, envelope
    top = Fields({key: envelope.get(key) for key in ours}, "")
    provider = top.need_name("provider") if "provider" in top.rest else ""
    wishes = Wishes(provider=provider, context=_window(top), cost_limit=_cost_limit(top, envelope))
    effort = _effort(top, envelope)
    rest = Envelope(envelope.without(*ours))
    if effort is None:
        return wishes, rest
    edited = Envelope(rest.edit({EFFORT: encode_json(effort)}))
    return wishes._replace(spelled={EFFORT: "thinking_mode"}), edited


def _is_text_or_null(raw: bytes | None) -> bool:
    return raw is not None and raw.startswith((b'"', b"n"))


def _effort(top: Fields, envelope: Envelope) -> str | None:
    """The wire's own word; None where nothing is to be said."""
    mode = top.text("thinking_mode")
    if mode is None:
        return None
    if mode not in MODES:
        raise wrong_word("thinking_mode", f"one of {', '.join(MODES)}", mode)
    for key in RIVALS:
        if envelope.raw(key) not in (None, b"null"):
            raise BadRequest(
                f"thinking_mode and {key} both say how much to think: leave one out.", param="thinking_mode"
            )
    return MODES[mode]


def _window(top: Fields) -> int | None:
    tokens = top.integer("context_window")
    if tokens is not None and not 0 < tokens <= WIDEST:
        raise wrong_word("context_window", f"a number of tokens from 1 to {WIDEST}", str(tokens))
    return tokens


def _cost_limit(top: Fields, envelope: Envelope) -> int | None:
    """Nano-dollars. A number is read as it was written: a double has no tenth of a dollar."""
    value = top.rest.get("cost_limit")
    if value is None:
        return None
    if isinstance(value, str):
        return cost_limit(value, "cost_limit")
    raw = envelope.raw("cost_limit")
    if not is_number(value) or raw is None:
        raise wrong("cost_limit", "a number of dollars, or a string that spells one", value)
    return cost_limit(raw.decode(), "cost_limit")
