"""How is base64 read that may be in either of its alphabets?

https://www.rfc-editor.org/rfc/rfc4648#section-5: the URL-safe one has "-" and "_" for "+" and "/". Google's SDKs write
that, everybody else the standard one.
"""

_STANDARD = str.maketrans("-_", "+/")


def in_standard_alphabet(text: str) -> str:
    return text.translate(_STANDARD)
