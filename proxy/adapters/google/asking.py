"""What do the Gemini API and Vertex AI have in common?

How a key is shown, how the operation is named after the model, and how a stream is framed.
https://cloud.google.com/docs/authentication/api-keys-use
"""

from urllib.parse import quote

import msgspec

from proxy.ports import Headers, Outgoing

# The beginnings of OAuth 2.0 access tokens and of signed JWTs, with which no API key begins.
# https://cloud.google.com/docs/authentication/token-types
_TOKENS = ("ya29.", "eyJ")

# By dialect: the verb for a whole answer, and for a stream.
_VERBS = {
    "gemini": ("generateContent", "streamGenerateContent"),
    "anthropic": ("rawPredict", "streamRawPredict"),
    "openai_chat": ("", ""),
}


class _Page(msgspec.Struct, rename="camel"):
    """Of a list, whatever it lists."""

    next_page_token: str = ""


def is_token(key: str) -> bool:
    return key.startswith(_TOKENS)


def shown(key: str) -> Headers:
    """The header that shows a key, or a token used as one."""
    if is_token(key):
        return [("authorization", f"Bearer {key}")]
    return [("x-goog-api-key", key)] if key else []


def verb(outgoing: Outgoing) -> str:
    return _VERBS[outgoing.dialect][outgoing.stream]


def next_page(path: str, body: bytes) -> str:
    """The path of the page after this one; "" after the last. `path`: of the first. Raises msgspec.DecodeError."""
    token = msgspec.json.decode(body, type=_Page).next_page_token
    return f"{path}&pageToken={quote(token, safe='')}" if token else ""


def query(outgoing: Outgoing) -> str:
    """The client's query, if the request is in Gemini's own wire: without `alt`, a stream is one JSON array.

    A request that we translated has none, and asks for Server-Sent Events. The query of Anthropic's clients
    (`beta=true`) is dropped, as their SDK for Vertex AI does: Google refuses parameters that it does not know.
    """
    if outgoing.dialect == "anthropic":
        return ""
    wants_events = outgoing.dialect == "gemini" and outgoing.stream and not outgoing.as_array
    said = outgoing.query or ("alt=sse" if wants_events else "")
    return f"?{said}" if said else ""
