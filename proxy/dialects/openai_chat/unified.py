"""How does one ask at /v1/chat, pillion's own endpoint?

In plain chat completions, with pillion's own fields (wishes.py), and the answer says what it took. Nothing else
differs, so that any client of that wire may ask here.

Cohere's v1 API had the same path. Its bodies have a `message` and no `messages`, and Cohere's SDK can still send them.
Such a client is told where Cohere's v2 API is, in an error that its SDK can read.
https://docs.cohere.com/v1/reference/chat
"""

from msgspec.structs import replace

from proxy.dialects.openai_chat import OpenAIChat
from proxy.envelope import Envelope
from proxy.errors import GatewayError, Unsupported
from proxy.grammar.fields import dump
from proxy.ports import Path, Peek, Wishes


class CoheresFirst(Unsupported):
    """A request in Cohere's v1 API, which pillion does not serve."""


class UnifiedChat(OpenAIChat):
    """For clients only. Providers get plain chat completions."""

    def wishes(self, envelope: Envelope) -> tuple[Wishes, Envelope]:
        wishes, rest = super().wishes(envelope)
        return replace(wishes, summary=True), rest

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        if "message" in envelope and "messages" not in envelope:
            raise CoheresFirst(
                "`message` belongs to Cohere's v1 API, which pillion does not serve: use Cohere's v2 API at /v2/chat,"
                " or send OpenAI's `messages` to /v1/chat."
            )
        return super().peek(envelope, path)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        if isinstance(error, CoheresFirst):
            return dump({"message": error.message, "id": request_id})
        return super().error(error, request_id)
