"""How is the Gemini API reached?

Its base URL is a bare host, as in its SDK. Whichever version the client uses, pillion asks v1beta, which has all that
v1 has; `api_version` sets another one. An OAuth token in place of a key is sent as one, and the row's `project` pays.
What every request should say, such as `safetySettings`, goes into the row's `body`.
https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/oauth
"""

from collections.abc import Awaitable
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from proxy.adapters.google.asking import is_token, next_page, query, shown, verb
from proxy.adapters.http import HTTPProvider
from proxy.config import Provider
from proxy.dialects.gemini.count import WHOLE
from proxy.envelope import Envelope
from proxy.grammar.fields import encode_json
from proxy.ports import Answer, Headers, Outgoing
from proxy.upstream import Upstream

_COLLECTIONS = ("models", "tunedModels")


class _Named(msgspec.Struct):
    name: str


class _Page(msgspec.Struct):
    models: list[_Named]


class Gemini(HTTPProvider):
    paths = {"gemini": "/{version}/{model}:{verb}"}  # noqa: RUF012  the base declares it a ClassVar
    count_paths = {"gemini": "/{version}/{model}:countTokens"}  # noqa: RUF012  likewise

    def __init__(self, config: Provider, upstream: Upstream) -> None:
        super().__init__(config, upstream)
        self._version = config.api_version or "v1beta"
        # https://ai.google.dev/api/models#method:-models.list: a page has 50 by default, 1000 at most
        self.models_path = f"/{self._version}/models?pageSize=1000"

    def credentials(self, key: str) -> Headers:
        payer = self._config.project
        pays = [("x-goog-user-project", payer)] if payer and is_token(key) else []
        return [*shown(key), *pays]

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        if outgoing.operation == "count_tokens":
            outgoing = replace(outgoing, body=_within_request(outgoing))
        return super().send(outgoing)

    def target(self, outgoing: Outgoing) -> str:
        paths = self.count_paths if outgoing.operation == "count_tokens" else self.paths
        path = paths[outgoing.dialect]
        asked = path.format(version=self._version, model=_resource(outgoing.model), verb=verb(outgoing))
        return asked + query(outgoing)

    def ids_in(self, body: bytes) -> list[str]:
        return [row.name.removeprefix("models/") for row in msgspec.json.decode(body, type=_Page).models]

    def next_page(self, body: bytes) -> str:
        return next_page(self.models_path, body)


def _resource(model: str) -> str:
    """The model's name with its collection, as in the path."""
    collection, slash, name = model.partition("/")
    if slash and collection in _COLLECTIONS:
        return f"{collection}/{quote(name, safe='')}"
    return f"models/{quote(model, safe='')}"


def _within_request(outgoing: Outgoing) -> bytes:
    """A body for counting. More than `contents` the Gemini API takes only as a whole request; Vertex AI takes its
    fields.

    https://ai.google.dev/api/tokens#method:-models.counttokens
    """
    envelope = Envelope(outgoing.body)
    if any(key in envelope for key in WHOLE) or envelope.keys() == ["contents"]:
        return outgoing.body
    whole = envelope.edit({"model": encode_json(_resource(outgoing.model))})
    return b'{"generateContentRequest":%b}' % whole
