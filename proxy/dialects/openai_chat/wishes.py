"""What does a client of chat completions say to pillion itself, in a body that is otherwise for a model?

Four top-level fields, which no provider sees: docs/unified.md. They are cut out of the body, and the rest of its bytes
stay as they are, so that both lanes go on as if these fields had never been there. Only `thinking_mode` leaves
something behind: the wire's own `reasoning_effort`.

OpenRouter and Vercel have a `provider` as well, which is an object. So a `provider` that is no string is theirs, and
passes through.
https://openrouter.ai/docs/features/provider-routing
"""

from msgspec.structs import replace

from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.grammar.fields import Fields, encode_json, is_number, wrong, wrong_word
from proxy.ports import NO_WISHES, Wishes
from proxy.wishes import cost_limit

FIELDS = ("provider", "thinking_mode", "context_window", "cost_limit")

# The `reasoning_effort` for each `thinking_mode`. "auto" leaves it to the model, like no effort at all.
MODES = {"off": "none", "low": "low", "medium": "medium", "high": "high", "auto": None}

# The wire's own field for the same (https://platform.openai.com/docs/api-reference/chat/create), and those of its
# hosts: `reasoning` (OpenRouter), `thinking` (DeepSeek, Z.ai), `enable_thinking` (Qwen).
EFFORT = "reasoning_effort"
RIVALS = (EFFORT, "reasoning", "thinking", "enable_thinking")

WIDEST = 10**9  # tokens; no model's window comes near


def wishes_in(envelope: Envelope) -> tuple[Wishes, Envelope]:
    """What the client says to us, and the body without it. Raises BadRequest, with the field's path."""
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
    return replace(wishes, spelled={EFFORT: "thinking_mode"}), edited


def _is_text_or_null(raw: bytes | None) -> bool:
    return raw is not None and raw.startswith((b'"', b"n"))


def _effort(top: Fields, envelope: Envelope) -> str | None:
    """The `reasoning_effort` to send; None if there is none."""
    mode = top.text("thinking_mode")
    if mode is None:
        return None
    if mode not in MODES:
        raise wrong_word("thinking_mode", f"one of {', '.join(MODES)}", mode)
    for key in RIVALS:
        if envelope.raw(key) not in (None, b"null"):
            message = f"thinking_mode and {key} both set how much to think: give one of them."
            raise BadRequest(message, param="thinking_mode")
    return MODES[mode]


def _window(top: Fields) -> int | None:
    tokens = top.integer("context_window")
    if tokens is not None and not 0 < tokens <= WIDEST:
        raise wrong_word("context_window", f"a number of tokens from 1 to {WIDEST}", str(tokens))
    return tokens


def _cost_limit(top: Fields, envelope: Envelope) -> int | None:
    """In nano-dollars. A number is read from its digits in the body, as a float cannot hold 0.1 dollars exactly."""
    value = top.rest.get("cost_limit")
    if value is None:
        return None
    if isinstance(value, str):
        return cost_limit(value, "cost_limit")
    raw = envelope.raw("cost_limit")
    if not is_number(value) or raw is None:
        raise wrong("cost_limit", "a number of dollars, or a string that holds one", value)
    return cost_limit(raw.decode(), "cost_limit")
