"""How many tokens has a request, before it is sent?

https://ai.google.dev/api/tokens: a client sends only the contents, or a whole request as `generateContentRequest`;
Vertex AI takes the request's fields as they are. Google answers with a number, and with its parts.
"""

from proxy.canon import Request
from proxy.dialects.gemini.faults import error_in, fault
from proxy.dialects.gemini.parse import bare, parse_request
from proxy.dialects.gemini.spelling import in_camel
from proxy.errors import BadRequest
from proxy.grammar.fields import Object, as_object, decode_json, dump, json_of, nonsense, wrong
from proxy.ports import Peek

WHOLE = ("generateContentRequest", "generate_content_request")


def parse_count(body: Object, peek: Peek) -> Request:
    spelled = [key for key in body if key in WHOLE]
    if not spelled:
        return parse_request(in_camel(body), peek)
    if len(body) > 1:
        message = f"{WHOLE[0]} is the whole request: give no other field beside it."
        raise BadRequest(message, param=WHOLE[0])
    whole = body[spelled[0]]
    if not isinstance(whole, dict):
        raise wrong(WHOLE[0], "an object", whole)
    return parse_request(in_camel(whole), peek)


def counting_body(model: str, encoded: bytes) -> bytes:
    """Only the contents where there is nothing else, as every host takes them; else a whole request."""
    body = as_object(decode_json(encoded))
    if body.keys() == {"contents"}:
        return encoded
    return dump({WHOLE[0]: {"model": f"models/{bare(model)}", **body}})


def counted(body: bytes) -> int:
    said = json_of(body)
    if error := error_in(said):
        raise fault(error)
    tokens = as_object(said).get("totalTokens", 0)  # a zero is left out
    if type(tokens) is not int or tokens < 0 or not isinstance(said, dict):
        raise nonsense("it has no valid totalTokens")
    return tokens
