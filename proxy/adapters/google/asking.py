"""How is Google asked, in whichever of its two houses?

What the Gemini API and Vertex AI have in common: how a key is shown, how an operation is named behind the model, and
how a stream is framed.
https://cloud.google.com/docs/authentication/api-keys-use
"""

from proxy.ports import Headers, Outgoing

# How tokens begin that Google takes for a login, as an API key never does: OAuth 2.0 access tokens, and signed JWTs.
# https://cloud.google.com/docs/authentication/token-types
_TOKENS = ("ya29.", "eyJ")

# By dialect: for a whole answer, and for a stream.
_VERBS = {
    "gemini": ("generateContent", "streamGenerateContent"),
    "anthropic": ("rawPredict", "streamRawPredict"),
    "openai_chat": ("", ""),
}


def is_token(key: str) -> bool:
    return key.startswith(_TOKENS)


def shown(key: str) -> Headers:
    """The header that shows a key, or a token that stands in its place."""
    if is_token(key):
        return [("authorization", f"Bearer {key}")]
    return [("x-goog-api-key", key)] if key else []


def verb(outgoing: Outgoing) -> str:
    return _VERBS[outgoing.dialect][outgoing.stream]


def next_page(path: str, token: str) -> str:
    """Where a list goes on; "" where that was all of it."""
    return f"{path}&pageToken={token}" if token else ""


def query(outgoing: Outgoing) -> str:
    """The client's own, where the request is its own: without `alt`, a stream of Gemini's is one JSON array.

    Where we wrote the request there is none, and Server-Sent Events are asked for. What Anthropic's clients say there
    (`beta=true`) their SDK for Vertex AI leaves out, since Google refuses what it does not know.
    """
    if outgoing.dialect == "anthropic":
        return ""
    wants_events = outgoing.dialect == "gemini" and outgoing.stream and not outgoing.as_array
    said = outgoing.query or ("alt=sse" if wants_events else "")
    return f"?{said}" if said else ""
