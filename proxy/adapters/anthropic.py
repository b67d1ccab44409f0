"""How is Anthropic reached?

Its base URL is a bare host, as in its SDK. The client's own `anthropic-version` and `anthropic-beta` travel with its
body; a translated body has neither, and gets the version that the anthropic dialect writes. An OAuth token in place of
a key is sent as one; the app that has it names the beta that goes with it.
https://docs.anthropic.com/en/api/versioning
"""

from collections.abc import Awaitable

from msgspec.structs import replace

from proxy.adapters.http import HTTPProvider
from proxy.envelope import Envelope
from proxy.grammar.claude.betas import lifted
from proxy.ports import Answer, Headers, Outgoing

VERSION = "2023-06-01"
_BEARERS = "sk-ant-oat"  # how tokens begin, as Claude Code has them; as x-api-key they are refused


class Anthropic(HTTPProvider):
    prefills = True
    paths = {"anthropic": "/v1/messages"}  # noqa: RUF012  the base declares it a ClassVar
    count_paths = {"anthropic": "/v1/messages/count_tokens"}  # noqa: RUF012  likewise
    models_path = "/v1/models?limit=1000"  # a page has 20 by default
    list_headers = {"anthropic-version": VERSION}  # noqa: RUF012  likewise

    def credentials(self, key: str) -> Headers:
        if key.startswith(_BEARERS):
            return [("authorization", f"Bearer {key}")]
        return [("x-api-key", key)] if key else []

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        """A body of Bedrock's InvokeModel contains what Anthropic expects in headers."""
        if b'"anthropic_' in outgoing.body:
            head, body = lifted(outgoing.headers, Envelope(outgoing.body).without("anthropic_version"))
            outgoing = replace(outgoing, headers=head, body=body)
        if not any(name == "anthropic-version" for name, _ in outgoing.headers):
            outgoing = replace(outgoing, headers=[*outgoing.headers, ("anthropic-version", VERSION)])
        return super().send(outgoing)
