"""What are the arguments of a call: JSON text, or the object that it spells?

Wires differ, and hosts of one wire do; ours are the text, as the model wrote it.
"""

import msgspec

from proxy.grammar.fields import UNREADABLE, Object, encode_json


def as_json(value: object) -> str:
    """The text; a few hosts send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return encode_json(value).decode()


def as_given(arguments: str) -> Object:
    """The object. What a model wrote wrongly, or not to the end, is handed on for all to see."""
    try:
        value = _object_of(arguments or "{}")
    except (*UNREADABLE, UnicodeEncodeError):
        return {"malformed_arguments": arguments}
    return value


_object_of = msgspec.json.Decoder(Object).decode
