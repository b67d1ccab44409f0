"""How does a seal travel as a `thoughtSignature`?

The field is bytes, base64 in JSON, which Google's SDKs decode and encode again: a seal goes out in the standard
alphabet of base64 and comes back in the URL-safe one. Other providers' seals may be any text: if one is not base64 it
is wrapped, and so is a redacted thought, for which this wire has no form.
"""

from base64 import b64decode, b64encode

from proxy.grammar.alphabets import in_standard_alphabet

_SEAL, _REDACTED = b"pillion:seal:", b"pillion:redacted:"


def seal_out(seal: str) -> str:
    """The seal as this wire can carry it."""
    data = _bytes_of(seal)
    plain = data is not None and _text_of(data) == seal and not data.startswith((_SEAL, _REDACTED))
    return seal if plain else _text_of(_SEAL + seal.encode())


def redacted_out(redacted: str) -> str:
    return _text_of(_REDACTED + redacted.encode())


def seal_in(signature: str) -> tuple[str, str]:
    """What a client sent back: a seal and "", or "" and a redacted thought."""
    standard = in_standard_alphabet(signature)
    data = _bytes_of(standard)
    if data is None:
        return signature, ""
    if data.startswith(_SEAL):
        return data[len(_SEAL) :].decode(errors="replace"), ""
    if data.startswith(_REDACTED):
        return "", data[len(_REDACTED) :].decode(errors="replace")
    return standard, ""


def _text_of(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes_of(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None
