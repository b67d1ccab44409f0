"""What does an error say, wherever in its body the host has put it?

Every wire has one place for it. But what stands before a provider (a gateway, a framework, a cloud's own front) answers
in a shape of its own, whichever wire it was asked in.
"""

from proxy.grammar.fields import UNREADABLE, decode_json

_MOST = 20  # errors in a list that are worth repeating
# Each is one host's or another's: `errors` Cloudflare's, `Message` that of Amazon's front, `error_msg` Baidu's,
# `base_resp` MiniMax's.
_PLACES = (
    *("message", "Message", "detail", "msg", "error", "errors"),
    *("error_message", "error_msg", "base_resp", "status_msg", "reason"),
)


def message_in(error: object, deep: int = 5) -> str:
    """The texts in the first place where hosts put their message that has any."""
    match error:
        case str():
            return error.strip()
        case {"loc": [*place], "msg": str(said)}:  # FastAPI's, and so Mistral's: the place is half of what it says
            return f"{'.'.join(map(str, place))}: {said}"
        case {"message": "Provider returned error", "metadata": {"raw": str(raw)}} if (
            deep and raw.strip()
        ):  # OpenRouter
            return message_in(_read(raw), deep - 1) or raw.strip()
        case dict() if deep:
            texts = (message_in(error.get(key), deep - 1) for key in _PLACES)
            return next(filter(None, texts), "")
        case list() if deep:
            texts = (message_in(one, deep - 1) for one in error[:_MOST])
            return "; ".join(dict.fromkeys(filter(None, texts)))
        case _:
            return ""


def _read(text: str) -> object:
    """What a provider behind the host has said: JSON, or a sentence."""
    try:
        return decode_json(text.encode())
    except UNREADABLE:
        return text
