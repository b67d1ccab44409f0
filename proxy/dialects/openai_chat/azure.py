"""How do clients of Azure OpenAI ask, who name the deployment in the path?

At /openai/deployments/{deployment}/chat/completions, and otherwise in the plain chat wire, so that every host of that
wire takes the request verbatim. Azure ignores a `model` in the body, and so do we: the SDK lets people write anything
there. The dialect keeps the wire's name, since only the path differs.
https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference#chat-completions
"""

from proxy.canon import Request
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.parse import parse_request
from proxy.envelope import Envelope, parse_object
from proxy.errors import BadRequest
from proxy.grammar.fields import Fields
from proxy.ports import Path, Peek

_END = "/chat/completions"


class AzureChat(OpenAIChat):
    """For clients only. The inherited `forward` puts the model into the body that goes out."""

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """`path.rest` is what follows `deployments/`."""
        deployment = path.rest.removesuffix(_END)
        if not deployment or deployment == path.rest:
            raise BadRequest(f"The path must name a deployment and end in {_END}.", status=404, code="unknown_url")
        top = Fields({key: envelope.get(key) for key in ("model", "stream")}, "")
        top.text("model")
        return Peek(deployment, top.flag("stream") or False)

    def parse(self, body: bytes, peek: Peek) -> Request:
        return parse_request(Fields(parse_object(body) | {"model": peek.model}, ""))
