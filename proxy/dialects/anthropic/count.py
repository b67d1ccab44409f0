"""How many tokens has a request, before it is sent?

https://platform.claude.com/docs/en/api/messages-count-tokens
"""

from proxy.canon import Request
from proxy.dialects.anthropic.encode import Encoding
from proxy.dialects.anthropic.faults import fault
from proxy.dialects.anthropic.words import UNCOUNTED
from proxy.grammar.fields import dump, nonsense, object_in


def count_body(request: Request) -> bytes:
    """The request as it would be sent, without what is no part of the prompt."""
    return dump({key: value for key, value in Encoding(request).body().items() if key not in UNCOUNTED})


def count_read(body: bytes) -> int:
    """Raises UpstreamError."""
    said = object_in(body)
    if "error" in said:
        raise fault(said["error"])
    tokens = said.get("input_tokens")
    if type(tokens) is not int or tokens < 0:
        raise nonsense("it has no valid input_tokens")
    return tokens


def count_answer(tokens: int) -> bytes:
    return dump({"input_tokens": tokens})
