"""In which of its two spellings did a client send a key, or a number?

Google reads every key in camelCase and in snake_case, at any level (https://protobuf.dev/programming-guides/json/), and
its own SDKs mix them. One pass turns all keys into camelCase, so that other modules need only that. Objects whose keys
are the client's own are left as they are.
"""

import re
from collections.abc import Mapping
from typing import Any

from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.grammar.fields import Object

# Objects whose keys are the client's own: arguments, results, labels. Schemas are here because schema.py reads them.
_FREE = frozenset(
    "args response labels partMetadata headers customMetadata"
    " schema parameters parametersJsonSchema responseSchema responseJsonSchema _responseJsonSchema".split()
)

_snake = re.compile(rb'_[A-Za-z0-9_]*"[ \t\r\n]*:|\\u').search
_word = re.compile(r"[A-Za-z]+").sub
_capital = re.compile(r"[A-Z]").sub
_hump = re.compile(r"(?<=[A-Za-z0-9])_([a-z0-9])").sub


def camel(key: str) -> str:
    return _hump(lambda found: found[1].upper(), key) if "_" in key else key


def as_sent(path: str, body: bytes) -> str:
    """The path of a field as this body spells it: in snake_case where the camelCase is nowhere in it."""
    return _word(lambda found: _key_as_sent(found[0], body), path)


def _key_as_sent(key: str, body: bytes) -> str:
    snake = _capital(lambda found: "_" + found[0].lower(), key)
    is_snake = b'"%b"' % snake.encode() in body and b'"%b"' % key.encode() not in body
    return snake if snake != key and is_snake else key


def as_spelled(fields: Mapping[str, Any], envelope: Envelope) -> Object:
    """Fields of the operator's, each under the key that the client has for it: two spellings of one are refused."""
    theirs = {camel(key): key for key in envelope.members}
    spelled: Object = {}
    for key, value in fields.items():
        name = theirs.get(camel(key), key)
        there = envelope.raw(name) or b""
        both = isinstance(value, Mapping) and there.startswith(b"{") and camel(key) not in _FREE
        spelled[name] = as_spelled(value, Envelope(there)) if both else value
    return spelled


def may_be_snake(body: bytes) -> bool:
    """May a key of this JSON be in snake_case? To search the text once is cheaper than to look at each key."""
    return (b"_" in body or b"\\u" in body) and _snake(body) is not None


def in_camel(value: Any, at: str = "") -> Any:
    """The value with its keys in camelCase. Raises BadRequest where a key came in both spellings."""
    if isinstance(value, list):
        return [in_camel(item, f"{at}[{number}]") for number, item in enumerate(value)]
    return camel_keys(value, at, _FREE) if isinstance(value, dict) else value


def camel_keys(value: Object, at: str, free: frozenset[str]) -> Object:
    spelled: Object = {}
    for key, item in value.items():
        name = camel(key)
        path = f"{at}.{name}" if at else name
        if name in spelled:
            message = f"{path} was given twice, in camelCase and in snake_case: give one of them."
            raise BadRequest(message, param=path)
        spelled[name] = item if name in free else in_camel(item, path)
    return spelled


def unquoted(value: object) -> object:
    """Google reads a number in quotes as that number: https://protobuf.dev/programming-guides/json/"""
    if isinstance(value, str) and (found := _is_number(value)):
        return float(value) if found[1] else int(value)
    return value


_is_number = re.compile(r"-?[0-9]{1,40}([.][0-9]{1,40}|(?:[.][0-9]{1,40})?[eE][-+]?[0-9]{1,3})?").fullmatch
