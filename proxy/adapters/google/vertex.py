"""How is Vertex AI reached?

There Google's own models speak Gemini, Anthropic's the Messages API, and every other publisher's (`meta/...`) OpenAI's
Chat Completions. The path names project, location, publisher and model; bodies for Claude differ from Anthropic's in
envelope keys. `api_version: v1beta1` selects previews.

It logs in with google-auth (login.py); or with the row's `api_key`, which is an access token or, for Google's models,
an API key of express mode, whose paths have no project.
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference,
.../docs/partner-models/claude/use-claude, .../docs/start/express-mode/vertex-ai-express-mode-api-reference and
.../docs/migrate/openai/overview
"""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from proxy.adapters.google.asking import is_token, next_page, query, shown, verb
from proxy.adapters.google.login import Login
from proxy.adapters.http import HTTPProvider
from proxy.adapters.keys import Key
from proxy.config import Provider
from proxy.dialects.gemini.count import WHOLE
from proxy.envelope import Envelope
from proxy.errors import Refused, unsent
from proxy.grammar.claude.betas import lifted
from proxy.grammar.fields import encode_json
from proxy.ports import Answer, Headers, Outgoing
from proxy.upstream import Upstream

_VERSION = b'"vertex-2023-10-16"'  # Vertex AI's version of Anthropic's wire
_GOOGLE, _ANTHROPIC = "google", "anthropic"
_TAKEN = {_GOOGLE: ("gemini",), _ANTHROPIC: ("anthropic",)}
_TUNED = "endpoints/"  # the beginning of a tuned model's name, which is a project's own

# The fields of a request that counting does not have, in both spellings. None is part of the prompt.
# https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
_UNCOUNTED = "model safetySettings safety_settings toolConfig tool_config labels serviceTier service_tier store".split()


class _Named(msgspec.Struct):
    name: str


class _Page(msgspec.Struct, rename="camel"):
    publisher_models: list[_Named] = []


class Vertex(HTTPProvider):
    prefills = True
    paths = {  # noqa: RUF012  the base declares it a ClassVar
        "gemini": "{place}/{model}:{verb}",
        "anthropic": "{place}/{model}:{verb}",
        "openai_chat": "{place}/endpoints/openapi/chat/completions",
    }
    count_paths = {  # noqa: RUF012  likewise
        "gemini": "{place}/{model}:countTokens",
        "anthropic": "{place}/publishers/anthropic/models/count-tokens:rawPredict",
    }
    no_urls = ("anthropic",)  # "URL sources are not supported"; for Gemini they are
    models_path = "/v1beta1/publishers/google/models?pageSize=1000"  # only this version has the list

    def __init__(self, config: Provider, upstream: Upstream) -> None:
        self._login = None if config.api_key or config.api_keys else Login(config)
        super().__init__(config, upstream, [] if self._login is None else [self._login.token])
        self.dialects = tuple(self.paths)

    def takes(self, model: str) -> Sequence[str]:
        return _TAKEN.get(_published(model)[0], ("openai_chat",))

    def credentials(self, key: str) -> Headers:
        return self._login.headers if self._login is not None else shown(key)

    async def send(self, outgoing: Outgoing) -> Answer:
        login = self._login
        with unsent():
            lines = None if login is None else await login.lines()
        if outgoing.dialect == _ANTHROPIC:
            head, body = lifted(outgoing.headers, outgoing.body)
            outgoing = replace(outgoing, headers=head, body=body)
        answer = await self.post(outgoing, self.target(outgoing), _body(outgoing), lines)
        if answer.status == 401 and login is not None:
            login.refused()
        return answer

    def target(self, outgoing: Outgoing) -> str:
        paths = self.count_paths if outgoing.operation == "count_tokens" else self.paths
        publisher, name = _published(outgoing.model)
        place, model = self._place(publisher), _resource(publisher, name)
        return paths[outgoing.dialect].format(place=place, model=model, verb=verb(outgoing)) + query(outgoing)

    def ids_in(self, body: bytes) -> list[str]:
        return [row.name.rpartition("/")[2] for row in msgspec.json.decode(body, type=_Page).publisher_models]

    def denies(self, model: str) -> bool:
        """The list has Google's own models alone."""
        publisher, name = _published(model)
        return publisher == _GOOGLE and not name.startswith(_TUNED) and super().denies(name)

    def next_page(self, body: bytes) -> str:
        return next_page(self.models_path, body)

    async def _ask_page(self, path: str, key: Key, via: str, seconds: float | None) -> bytes:
        if self._login is not None:
            await self._login.lines()
        return await super()._ask_page(path, key, via, seconds)

    def _place(self, publisher: str) -> str:
        """Version, project and location. Raises Refused where project or location is unknown."""
        config, version = self._config, self._config.api_version or "v1"
        key = self.keys.good().value
        if publisher == _GOOGLE and key and not is_token(key):
            return f"/{version}"
        project = config.project or (self._login.project if self._login is not None else "")
        if not project or not config.location:
            raise _nowhere(self.name, "location" if project else "project")
        return f"/{version}/projects/{quote(project, safe='')}/locations/{quote(config.location, safe='')}"


def _published(model: str) -> tuple[str, str]:
    """A model's publisher, and its name without it."""
    publisher, slash, name = model.partition("/")
    if slash and not model.startswith(_TUNED):
        return publisher, name
    return (_ANTHROPIC if model.startswith("claude") else _GOOGLE), model


def _resource(publisher: str, name: str) -> str:
    """As in the path, where a name is one segment: with `..` in it, it would lead to what the client did not name, and
    its key may not use. A version follows an `@`, which is not encoded.
    """
    if name.startswith(_TUNED):
        return _TUNED + quote(name.removeprefix(_TUNED), safe="")
    return f"publishers/{publisher}/models/{quote(name, safe='@')}"


def _nowhere(provider: str, lacks: str) -> Refused:
    return Refused(
        f"{provider} has no {lacks}: set GOOGLE_CLOUD_{lacks.upper()}, or the provider's `{lacks}`.",
        provider=provider,
        status=401,
        kind="authentication",
        code=f"no_{lacks}",
    )


def _body(outgoing: Outgoing) -> bytes:
    """The body, with the envelope that Vertex AI expects."""
    counts = outgoing.operation == "count_tokens"
    match outgoing.dialect:
        case "gemini":
            return _lifted(outgoing.body) if counts else outgoing.body
        case "anthropic":
            return _claudes(outgoing, counts)
        case _:
            return outgoing.body


def _claudes(outgoing: Outgoing, counts: bool) -> bytes:
    """The path names the model, except when counting. `stream` stays: Claude reads it in the body."""
    envelope = Envelope(outgoing.body)
    edits = {} if "anthropic_version" in envelope else {"anthropic_version": _VERSION}
    if counts:
        return envelope.edit(edits | {"model": encode_json(_published(outgoing.model)[1])})
    return Envelope(envelope.without("model")).edit(edits)


def _lifted(body: bytes) -> bytes:
    """A body for counting that holds a whole request: Vertex AI takes the request's fields directly."""
    envelope = Envelope(body)
    whole = next(filter(None, map(envelope.raw, WHOLE)), None)
    return body if whole is None else Envelope(whole).without(*_UNCOUNTED)
