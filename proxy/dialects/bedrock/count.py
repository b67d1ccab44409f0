"""How many tokens has a request, before it is sent?

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html: `input` holds a request to
Converse, or the body of one to InvokeModel.
"""

from base64 import b64decode

from proxy.canon import Opaque, Request, Turn
from proxy.dialects.anthropic.parse import parse_prompt
from proxy.dialects.bedrock.encode import Encoding
from proxy.dialects.bedrock.faults import fault_of_no_answer
from proxy.dialects.bedrock.parse import parse_request
from proxy.dialects.bedrock.words import NAME
from proxy.envelope import parse_object
from proxy.errors import BadRequest
from proxy.grammar.fields import Fields, Object, dump, nonsense, object_in, wrong_word
from proxy.ports import Peek

VERB = "count-tokens"

_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")  # ConverseTokensRequest


def count_parse(body: Object, peek: Peek) -> Request:
    """Raises BadRequest, with the field's path."""
    match Fields(body, "").need_inner("input").rest:
        case {"converse": converse, **more} if not more:
            return parse_request(Fields(converse, "input.converse"), peek)
        case {"invokeModel": invoked, **more} if not more:
            return _invoked(Fields(invoked, "input.invokeModel"), peek)
        case members:
            raise wrong_word("input", "an object with exactly one member, converse or invokeModel", ", ".join(members))


def _invoked(fields: Fields, peek: Peek) -> Request:
    """A body for Claude is in Anthropic's words; those of other families can only be counted by Bedrock."""
    at = fields.path("body")
    text = fields.need_text("body")
    try:
        body = parse_object(b64decode(text, validate=True))
    except (ValueError, BadRequest) as error:
        raise BadRequest(f"{at} must be a JSON object in base64: {error}", param=at) from None
    if body.pop("anthropic_version", None) is not None:
        return parse_prompt(Fields(body | {"model": peek.model}, at))
    whole = Opaque(wire=NAME, value={"invokeModel": body}, at=at)
    return Request(wire=NAME, model=peek.model, turns=[Turn(role="user", parts=[whole], at=at)])


def count_body(request: Request) -> bytes:
    """The request to Converse, without what is no part of the prompt. Raises Unrepresentable."""
    said = Encoding(request).body()
    return dump({"input": {"converse": {key: said[key] for key in _COUNTED if key in said}}})


def count_read(body: bytes) -> int:
    """Raises UpstreamError."""
    said = object_in(body)
    tokens = said.get("inputTokens")
    if type(tokens) is int and tokens >= 0:
        return tokens
    raise fault_of_no_answer(body) if "message" in said else nonsense("it has no valid inputTokens")


def count_answer(tokens: int) -> bytes:
    return dump({"inputTokens": tokens})
