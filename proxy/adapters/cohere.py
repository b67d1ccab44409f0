"""How is Cohere reached?

Its base URL is a bare host, as in its SDK. https://docs.cohere.com/reference/about
"""

import msgspec

from proxy.adapters.http import HTTPProvider
from proxy.ports import Headers


class _Named(msgspec.Struct):
    name: str


class _ModelList(msgspec.Struct):
    models: list[_Named]


class Cohere(HTTPProvider):
    paths = {"cohere": "/v2/chat"}  # noqa: RUF012  the base declares it a ClassVar
    # https://docs.cohere.com/reference/list-models: a page has 20 by default, and 1000 at most.
    models_path = "/v1/models?endpoint=chat&page_size=1000"

    def credentials(self, key: str) -> Headers:
        return [("authorization", f"Bearer {key}")] if key else []

    def ids_in(self, body: bytes) -> list[str]:
        return [row.name for row in msgspec.json.decode(body, type=_ModelList).models]
