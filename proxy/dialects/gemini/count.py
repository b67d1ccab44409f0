"""How many tokens would a chat be?

https://ai.google.dev/api/tokens: a client sends the contents alone, or a whole request as `generateContentRequest`;
Vertex AI takes the request's fields as they are. Google's own answer is a number, and what it is made of.
"""

from proxy.canon import Request
from proxy.dialects.gemini.faults import error_in, fault
from proxy.dialects.gemini.parse import bare, parse_request
from proxy.dialects.gemini.spelling import camel
from proxy.errors import BadRequest
from proxy.fields import UNREADABLE, Object, as_object, as_text, decode_json, dump, nonsense, wrong
from proxy.ports import Peek

_WHOLE = "generateContentRequest"


def parse_count(body: Object) -> Request:
    spelled = [key for key in body if camel(key) == _WHOLE]
    if not spelled:
        return _request(body)
    if len(body) > 1:
        message = f"{_WHOLE} says the whole request: give nothing beside it."
        raise BadRequest(message, param=_WHOLE)
    whole = body[spelled[0]]
    if not isinstance(whole, dict):
        raise wrong(_WHOLE, "an object", whole)
    return _request(whole)


def _request(body: Object) -> Request:
    return parse_request(body, Peek(bare(as_text(body.get("model"))), stream=False))


def counting_body(model: str, encoded: bytes) -> bytes:
    """The contents alone where there is nothing else, which every host takes; else a whole request."""
    body = as_object(decode_json(encoded))
    if body.keys() == {"contents"}:
        return encoded
    return dump({_WHOLE: {"model": f"models/{bare(model)}", **body}})


def counted(body: bytes) -> int:
    try:
        said = decode_json(body)
    except UNREADABLE:
        raise nonsense("it is no JSON") from None
    if error := error_in(said):
        raise fault(error)
    tokens = as_object(said).get("totalTokens", 0)  # a count of nothing is left out
    if type(tokens) is not int or tokens < 0 or not isinstance(said, dict):
        raise nonsense("totalTokens is no number")
    return tokens
