"""How many tokens does a request have, before it is sent?

https://platform.openai.com/docs/api-reference/responses/input-tokens
"""

from proxy.canon import Request
from proxy.dialects.openai_responses.encode import Encoding
from proxy.dialects.openai_responses.faults import error_in, fault
from proxy.dialects.openai_responses.words import COUNTED
from proxy.grammar.fields import dump, nonsense, object_in


def count_body(request: Request) -> bytes:
    """The request as it would be sent, without the fields that a count does not take."""
    return dump({key: value for key, value in Encoding(request).body().items() if key in COUNTED})


def count_read(body: bytes) -> int:
    """Raises UpstreamError."""
    said = object_in(body)
    if said.get("error"):
        raise fault(error_in(said))
    tokens = said.get("input_tokens")
    if type(tokens) is not int or tokens < 0:
        raise nonsense("it has no valid input_tokens")
    return tokens


def count_answer(tokens: int) -> bytes:
    return dump({"object": "response.input_tokens", "input_tokens": tokens})
