"""What are the arguments of a call: JSON text, or the object that it spells?

Wires differ in this, and so do hosts of one wire. The canonical form is the text, as the model wrote it.
"""

import msgspec

from proxy.grammar.fields import UNREADABLE, Object, encode_json

# What hosts write where there are none: https://github.com/langchain-ai/langchain/pull/33896 (Groq),
# https://github.com/vllm-project/vllm/issues/43851
NONE = ("", "null")


def as_json(value: object) -> str:
    """The text; a few hosts send the object instead."""
    if value is None or isinstance(value, str):
        return value or ""
    return encode_json(value).decode()


def as_given(arguments: str) -> Object:
    """A call's arguments as an object."""
    if arguments in NONE:
        return {}
    try:
        return _object_of(arguments)
    except (*UNREADABLE, UnicodeEncodeError):
        return malformed(arguments)


def is_object(arguments: str) -> bool:
    """Is it the text of a JSON object, from beginning to end?"""
    try:
        _object_of(arguments)
    except (*UNREADABLE, UnicodeEncodeError):
        return False
    return True


def malformed(arguments: str) -> Object:
    """Text that is broken or cut off is kept under a key of ours, where everybody can see it."""
    return {"malformed_arguments": arguments}


_object_of = msgspec.json.Decoder(Object).decode
