"""How do clients of Azure OpenAI ask, which name the deployment in the path?

/openai/deployments/{deployment}/chat/completions, and beyond that the chat wire as it is, so that every host of that
wire takes the request verbatim. Azure passes over a `model` in the body, and so do we: the SDK lets people write any
there. The name is the wire's own, as the clients' face of it differs in the path alone.
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
    """The clients' face. `forward`, as it is, puts the model into the body that goes out."""

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """`path.rest`: what stands behind `deployments/`."""
        deployment = path.rest.removesuffix(_END)
        if not deployment or deployment == path.rest:
            raise BadRequest(f"The path must name a deployment and end in {_END}.", status=404, code="unknown_url")
        top = Fields({key: envelope.get(key) for key in ("model", "stream")}, "")
        top.text("model")
        return Peek(deployment, top.flag("stream") or False)

    def parse(self, body: bytes, peek: Peek) -> Request:
        return parse_request(Fields(parse_object(body) | {"model": peek.model}, ""))
