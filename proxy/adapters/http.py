"""What do all providers have in common that are reached over HTTP?

A subclass says where its endpoints are (`paths`, or `target` where that takes more than a pattern; `models_path`), how
it shows a key (`credentials`) and how it lists its models (`ids_in`). One that must sign each request, or edit a key of
the envelope, does so in `send`, which ends in `post`. The rest is here: request heads built once, keys used in turn,
the model list cached for a while, health checked by the cheapest endpoint there is.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import ClassVar
from urllib.parse import quote

import msgspec

from proxy.adapters.cards import abilities_of, hints_of
from proxy.adapters.keys import Asked, Key, Keys
from proxy.adapters.listing import ModelList, answers, ids
from proxy.config import Provider, Secret, Timers
from proxy.edge.exchange import Exchange
from proxy.edge.origins import Origin
from proxy.edge.trust import trusting
from proxy.errors import BadRequest, Down, UpstreamError
from proxy.headers import ACCOUNTS, CREDENTIALS, spell
from proxy.logs.redaction import Redaction, secrets_of_provider
from proxy.ports import Abilities, Answer, Headers, Health, Hints, Outgoing
from proxy.upstream import Upstream

LACKS = 300.0  # seconds for which the host is believed to have no such endpoint
LIST_PAGES = 5  # of one list that are fetched
KEPT = 256  # request heads that are cached, and models whose cards are
SIDE_TIMEOUT = 5.0  # seconds for a model list


class HTTPProvider(ABC):
    """A provider behind a base URL. It holds the credentials, and sends them only to its own origin."""

    real = True
    paths: ClassVar[Mapping[str, str]]  # dialect: path below the base URL; `{model}` stands for the model's name
    count_paths: ClassVar[Mapping[str, str]] = {}  # likewise, for the dialects in which the provider counts tokens
    models_path: str  # with its query
    whose_key = "pillion's"
    no_urls: Collection[str] = ()
    prefills: ClassVar[bool] = False  # continues a last turn of the assistant's, if the model does
    list_headers: ClassVar[Mapping[str, str]] = {}  # headers for the model list, besides the key

    def __init__(self, config: Provider, upstream: Upstream, lent: Sequence[Secret] = ()) -> None:
        """`lent`: secrets besides the configured ones, which the adapter gets for a while."""
        self.name = config.name
        self.ask_usage = config.ask_usage
        self.call_id_length = config.call_id_length
        self.thoughts = config.thoughts
        self.cache_points = config.cache_points
        self.searches = config.searches
        self.dialects: Sequence[str] = config.dialects or tuple(self.paths)
        if not config.takes_urls:
            self.no_urls = tuple(self.paths)
        self._config = config
        self._redact = Redaction([*secrets_of_provider(config), *lent])
        self._lent = lent
        self.keys = Keys(
            config.name, config.api_keys or ((config.api_key, 1),), lambda key: spell(self.credentials(key))
        )
        self._is_keyed = bool(self.keys)  # we choose among keys, and may leave one out
        self._ours = _said_by(config, holds_key=bool(self.keys or lent))
        self._upstream = upstream
        self._proxy = config.proxy.reveal()
        own = config.ca, config.cert, config.cert_key
        self._tls = trusting(*own) if config.ca or config.cert else None  # from the files as they are now
        self._origin = self._at(config.timers)
        self._via = upstream.trail.via(config.name)
        self._via_line = spell([self._via])  # after the client's own Via, as the hops are listed in order
        self.hints: Callable[[str], Hints] = lru_cache(KEPT)(partial(hints_of, config))
        self.abilities: Callable[[str], Abilities] = lru_cache(KEPT)(partial(abilities_of, config, self.prefills))
        self._lacking: set[str] = set()  # dialects for which the host has no endpoint ...
        self._lacking_until = 0.0  # ... and until when we believe that
        self._heads: dict[str, bytes] = {}  # by target
        self._spelled: tuple[Headers, bytes] = ([], b"")  # the configured headers, and their lines on the wire
        self._listed = ModelList()
        self.check_within = SIDE_TIMEOUT  # seconds for a health check; the app says otherwise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} at {self._origin.url.origin()}>"

    def takes(self, model: str) -> Sequence[str]:
        if self._lacking and time.monotonic() < self._lacking_until:
            return [dialect for dialect in self.dialects if dialect not in self._lacking]
        return self.dialects

    def do_without(self, dialect: str) -> None:
        self._lacking.add(dialect)
        self._lacking_until = time.monotonic() + LACKS
        if self._lacking.issuperset(self.dialects):
            self._lacking.clear()  # it is the host that is not there, and not an endpoint of its

    def counts(self, dialect: str) -> bool:
        return dialect in self.count_paths

    def may_ask(self, model: str) -> bool:
        return self.keys.may_ask(model)

    def has_other_key(self, model: str) -> bool:
        return self.keys.has_good(model)

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        if self._is_keyed and isinstance(answer, Exchange) and isinstance(answer.asked, Asked):
            self.keys.refused(answer.asked, error)

    def keys_state(self) -> Mapping[str, int]:
        """How many keys there are (`count`), and how many are left out: `cooling` for a while, `failed` for good."""
        return self.keys.counts()

    @abstractmethod
    def credentials(self, key: str) -> Headers:
        """The headers that show this key, which may be "". Called from `__init__` on."""

    def configured(self) -> Headers:
        """The operator's other headers, as they are now: one whose value is in a file may change."""
        return [(name.lower(), value.reveal()) for name, value in self._config.headers.items()]

    def said_twice(self) -> list[str]:
        """The configured headers that the key is shown in as well."""
        shown = {name for name, _ in self.credentials(self.keys.good().value)}
        shown |= {"authorization"} if self._lent else set()
        return [name for name in self._config.headers if name.lower() in shown]

    def hold_clients_key(self) -> None:
        """The key belongs to the client, who may then also say which account pays."""
        self._is_keyed = False
        self.whose_key = "the app's own"
        self._ours = _said_by(self._config, holds_key=False)

    def hide(self, text: str) -> str:
        """A provider's words without our key, which some repeat when they refuse it."""
        return self._redact(text)

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        """The answer's head, whatever its status. Raises UpstreamError."""
        return self.post(outgoing, self.target(outgoing), outgoing.body)

    def target(self, outgoing: Outgoing) -> str:
        """The request's path and query, below the base URL."""
        paths = self.count_paths if outgoing.operation == "count_tokens" else self.paths
        path = paths[outgoing.dialect]
        if "{model}" in path:
            path = path.replace("{model}", segment(outgoing.model))
        return f"{path}?{outgoing.query}" if outgoing.query else path

    async def post(self, outgoing: Outgoing, target: str, body: bytes, credentials: bytes | None = None) -> Answer:
        """Send it. Raises UpstreamError.

        `credentials`: header lines in place of a key of ours. What the host repeats of them is redacted.
        """
        key, began = None, time.monotonic()
        if credentials is None:
            key = self.keys.pick(outgoing.model)
            credentials = key.lines
        theirs = spell(self._less_ours(outgoing.headers))
        ours = self._configured_lines() + credentials
        head = (self._heads.get(target) or self._head(target)) + ours + theirs + self._via_line
        try:
            answer = await self._upstream.send(
                self._origin_of(outgoing.model),
                head,
                body,
                stream=outgoing.stream,
                total=outgoing.timeout,
                allowed=outgoing.allowed,
            )
        except UpstreamError as error:
            error.provider = self.name
            raise
        answer.headers = self._redact.headers(answer.headers)
        if key is not None and answer.status >= 400:
            answer.asked = Asked(key, outgoing.model, began)  # its dialect will find out what it means
        elif key is not None and self.keys.leaves_out and outgoing.operation != "count_tokens":  # that uses no quota
            self.keys.answered(Asked(key, outgoing.model, began))
        return answer

    def _less_ours(self, lines: Headers) -> Headers:
        """The client's headers without those that the operator sets."""
        if self._ours.isdisjoint(map(itemgetter(0), lines)):
            return lines
        return [line for line in lines if line[0] not in self._ours]

    def _origin_of(self, model: str) -> Origin:
        """The base URL, with this model's timers."""
        timers = self._config.timers_for(model)
        return self._origin if timers == self._config.timers else self._at(timers)

    def _at(self, timers: Timers) -> Origin:
        return self._upstream.origin(self._config.base_url, timers, self._proxy, self._tls)

    async def models(self, via: str = "") -> list[str]:
        """The configured ids, then the provider's, which are fetched at most every five minutes."""
        await self._listed.renew(partial(self._ask_models, via))
        if self._listed.error is not None and not (self._listed.ids or self._config.models):
            self._listed.raise_error()
        return list(dict.fromkeys([*self._config.models, *self._listed.ids]))

    def has(self, model: str) -> bool:
        return model in self._config.models or model in self._listed.ids

    def denies(self, model: str) -> bool:
        return bool(self._listed.ids) and not self.has(model)

    async def health(self) -> Health:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.check_within):
                await self.check(self.keys.good())
        except TimeoutError:
            detail = f"{self.name} did not answer within {self.check_within:g} s."
            return Health(False, self.check_within, detail, answers=False)
        except UpstreamError as error:
            return Health(False, time.monotonic() - started, error.message, answers(error), error.detail)
        return Health(True, time.monotonic() - started)

    async def check(self, key: Key) -> None:
        """Make a request that costs nothing, however long it takes. Raises UpstreamError."""
        await self._ask_models(key=key)

    async def try_failed_keys(self, seconds: float) -> None:
        """Check whether a refused key is good again.

        Where the model list is open to everybody this proves nothing; there a key comes back when it is replaced, or
        when no other is left and each is used in its turn.
        """
        await self.keys.try_failed(self.check, seconds)

    async def _ask_models(self, via: str = "", key: Key | None = None) -> list[str]:
        """With a `key`, which is to be checked, whoever checks it sets the time."""
        ids: list[str] = []
        path, seconds = self.models_path, SIDE_TIMEOUT if key is None else None
        for _ in range(LIST_PAGES):
            body = await self._ask_page(path, key or self.keys.good(), via, seconds)
            try:
                ids += self.ids_in(body)
                path = self.next_page(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                message = f"{self.name} did not answer with a list of models."
                raise Down(message, provider=self.name, code="upstream_protocol") from None
            if not path:
                break
        return ids

    async def _ask_page(self, path: str, key: Key, via: str, seconds: float | None) -> bytes:
        name, ours = self._via
        way = (name, f"{via}, {ours}" if via else ours)
        fixed = dict([("accept-encoding", "identity"), way, *self.list_headers.items()])
        headers = fixed | dict([*self.configured(), *self.credentials(key.value)])
        status, body = await self._upstream.get(self._origin, path, headers, seconds)
        if status != 200:
            message = f"{self.name} answered the request for its list of models with status {status}."
            raise Down(message, provider=self.name, upstream_status=status)
        return body

    def ids_in(self, body: bytes) -> list[str]:
        """The ids in a model list, or in one page of it. Raises msgspec.DecodeError."""
        return ids(body)

    def next_page(self, body: bytes) -> str:
        """The path of the next page; empty where there is none. Raises msgspec.DecodeError."""
        return ""

    def _configured_lines(self) -> bytes:
        """Rebuilt only when a value has changed."""
        if self._config.headers and (said := self.configured()) != self._spelled[0]:
            self._spelled = (said, spell(said))
        return self._spelled[1]

    def _head(self, target: str) -> bytes:
        host = self._origin.url.raw_authority.rpartition("@")[2]
        fixed = [("host", host), ("content-type", "application/json"), ("accept-encoding", "identity")]
        if len(self._heads) >= KEPT:  # clients choose the query, and with some providers the model
            self._heads.clear()
        head = self._heads[target] = self._origin.start(target, fixed)
        return head


def segment(model: str) -> str:
    """The model as one segment of a path. Raises BadRequest: a dot or two are none, not even percent-encoded.

    https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4
    """
    if model in (".", ".."):
        raise BadRequest(f"model: {model!r} cannot be a model's name at this provider.", param="model")
    return quote(model, safe="", errors="surrogateescape")


def _said_by(config: Provider, holds_key: bool) -> frozenset[str]:
    """The headers that the operator sets, in place of the client's: the configured ones, and the account of the key."""
    named = frozenset(map(str.lower, config.headers))
    shows = holds_key or config.org_id or config.project or CREDENTIALS & named
    return named | ACCOUNTS if shows else named
