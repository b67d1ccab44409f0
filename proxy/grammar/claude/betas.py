"""How does a request ask for Claude's beta features?

At Anthropic and Vertex AI in a header (https://platform.claude.com/docs/en/api/beta-headers), at Bedrock in the body:
at the top for InvokeModel, among additionalModelRequestFields for Converse. Bedrock refuses a whole request for one
beta that it does not know, and agents name a dozen that only Anthropic has: so of a header it gets the betas that AWS
documents. What Bedrock's own clients write in a body is passed on as it is.
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html
"""

from proxy.envelope import Envelope
from proxy.grammar.fields import as_list
from proxy.ports import Headers

HEADER = "anthropic-beta"
KEY = "anthropic_beta"

OF_BEDROCK = frozenset(
    "computer-use-2024-10-22 computer-use-2025-01-24 computer-use-2025-11-24 token-efficient-tools-2025-02-19"
    " interleaved-thinking-2025-05-14 output-128k-2025-02-19 dev-full-thinking-2025-05-14 context-1m-2025-08-07"
    " context-management-2025-06-27 effort-2025-11-24 tool-search-tool-2025-10-19 tool-examples-2025-10-29".split()
)


def named_in(header: str) -> list[str]:
    """The betas in a client's header."""
    return [name for one in header.split(",") if (name := one.strip())]


def lifted(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """The headers with the body's betas added, and the body without them."""
    if b'"anthropic_beta"' not in body:
        return headers, body
    envelope = Envelope(body)
    said = [name for key, value in headers if key == HEADER for name in named_in(value)]
    named = [name for name in as_list(envelope.get(KEY)) if isinstance(name, str)]
    line = [(HEADER, ",".join(dict.fromkeys([*said, *named])))] if said or named else []
    return [*(one for one in headers if one[0] != HEADER), *line], envelope.without(KEY)
