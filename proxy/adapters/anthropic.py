"""How is Anthropic reached?

Its base URL is a bare host, as its SDK has it. The client's own `anthropic-version` and `anthropic-beta` travel with
its body; where a body was translated there is none, and the version that the anthropic dialect writes is named.
https://docs.anthropic.com/en/api/versioning
"""

from collections.abc import Awaitable

from proxy.adapters.http import HTTPProvider
from proxy.ports import Answer, Headers, Outgoing

VERSION = "2023-06-01"


class Anthropic(HTTPProvider):
    paths = {"anthropic": "/v1/messages"}  # noqa: RUF012  the base declares it a ClassVar
    count_paths = {"anthropic": "/v1/messages/count_tokens"}  # noqa: RUF012  likewise
    models_path = "/v1/models"
    list_headers = {"anthropic-version": VERSION}  # noqa: RUF012  likewise

    def credentials(self) -> Headers:
        key = self._config.api_key
        return [("x-api-key", key.reveal())] if key else []

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        if not any(name == "anthropic-version" for name, _ in outgoing.headers):
            outgoing = outgoing._replace(headers=[*outgoing.headers, ("anthropic-version", VERSION)])
        return super().send(outgoing)
