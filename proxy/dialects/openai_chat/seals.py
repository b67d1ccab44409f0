"""Where is the signature of a tool call, which Gemini wants back?

In the call's `extra_content`, as with Gemini's own host of this wire:
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from proxy.grammar.fields import Object, as_object


def unsealed(extra: Object) -> tuple[str, Object]:
    """A call's signature, and the rest of its `extra`."""
    content = as_object(extra.get("extra_content"))
    google = as_object(content.get("google"))
    seal = google.get("thought_signature")
    if not isinstance(seal, str) or not seal:
        return "", extra
    google = {key: value for key, value in google.items() if key != "thought_signature"}
    content = {key: value for key, value in content.items() if key != "google"} | ({"google": google} if google else {})
    rest = {key: value for key, value in extra.items() if key != "extra_content"}
    return seal, rest | ({"extra_content": content} if content else {})


def sealed(extra: Object, seal: str) -> Object:
    """A call's extra fields with its seal among them, where Google's hosts put it: the mirror of `unsealed`."""
    if not seal:
        return extra
    content = as_object(extra.get("extra_content"))
    google = as_object(content.get("google")) | {"thought_signature": seal}
    return extra | {"extra_content": content | {"google": google}}
