"""What do all providers that are reached over HTTP share?

A subclass says where its endpoints are (`paths`, `models_path`) and how it shows its key (`credentials`); the rest is
here: request heads made once, the model list kept for a while, health by the cheapest endpoint there is.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from proxy.config import Provider
from proxy.errors import Down, UpstreamError
from proxy.headers import spell
from proxy.ports import Answer, Headers, Health, Outgoing
from proxy.upstream import Upstream, request_head

LIST_LIFE = 300.0  # seconds that a model list is believed
LIST_RETRY = 30.0  # seconds before a list that failed is asked for again
SIDE_TIMEOUT = 5.0  # seconds for a model list or a health check


class _Named(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Named]


class HTTPProvider(ABC):
    """A provider behind a base URL. Holds its credentials, and shows them to its own origin only."""

    real = True
    paths: ClassVar[Mapping[str, str]]  # dialect: path below the base URL
    models_path: ClassVar[str]
    list_headers: ClassVar[Mapping[str, str]] = {}  # what a model list is asked with, beside the key

    def __init__(self, config: Provider, upstream: Upstream) -> None:
        self.name = config.name
        self.ask_usage = config.ask_usage
        self.dialects = tuple(self.paths)
        self._config = config
        self._upstream = upstream
        self._origin = upstream.origin(config.base_url, config.timers)
        self._heads = {dialect: self._head(path) for dialect, path in self.paths.items()}
        self._listed: list[str] = []
        self._listed_until = 0.0
        self._list_error: UpstreamError | None = None
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} at {self._origin.url.origin()}>"

    @abstractmethod
    def credentials(self) -> Headers:
        """The headers that show the key; none where there is no key."""

    def hide(self, text: str) -> str:
        """A provider's words less our key, which some repeat when they refuse it."""
        key = self._config.api_key
        return text.replace(key.reveal(), "***") if key else text

    async def send(self, outgoing: Outgoing) -> Answer:
        head = self._heads[outgoing.dialect] + spell(outgoing.headers)
        if outgoing.query:
            head = head.replace(b" HTTP/1.1", b"?%b HTTP/1.1" % outgoing.query.encode("ascii"), 1)
        try:
            return await self._upstream.send(self._origin, head, outgoing.body, stream=outgoing.stream)
        except UpstreamError as error:
            error.provider = self.name
            raise

    async def models(self) -> list[str]:
        """Configured ids first, then the provider's, which are asked for at most every five minutes."""
        async with self._asking:  # a second caller waits for the first one's list
            if time.monotonic() >= self._listed_until:
                await self._refresh()
        if self._list_error is not None and not (self._listed or self._config.models):
            raise self._list_error
        return list(dict.fromkeys([*self._config.models, *self._listed]))

    def has(self, model: str) -> bool:
        return model in self._config.models or model in self._listed

    async def health(self) -> Health:
        started = asyncio.get_running_loop().time()
        try:
            await self._ask_models()
        except UpstreamError as error:
            return Health(False, asyncio.get_running_loop().time() - started, error.message)
        return Health(True, asyncio.get_running_loop().time() - started)

    async def _refresh(self) -> None:
        try:
            self._listed = await self._ask_models()
        except UpstreamError as error:
            self._list_error, life = error, LIST_RETRY
        else:
            self._list_error, life = None, LIST_LIFE
        self._listed_until = time.monotonic() + life

    async def _ask_models(self) -> list[str]:
        fixed = {"accept-encoding": "identity", **self.list_headers}
        headers = fixed | dict([*self._config.headers.items(), *self.credentials()])
        status, body = await self._upstream.get(self._origin, self.models_path, headers, SIDE_TIMEOUT)
        if status != 200:
            raise Down(f"{self.name} answered {status} for its model list.", provider=self.name, upstream_status=status)
        try:
            return [row.id for row in msgspec.json.decode(body, type=_ModelList).data]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Down(f"{self.name} answered no model list.", provider=self.name, code="upstream_protocol") from None

    def _head(self, path: str) -> bytes:
        url = self._origin.url
        host = url.raw_authority.rpartition("@")[2]
        fixed = [("host", host), ("content-type", "application/json"), ("accept-encoding", "identity")]
        configured = [(name.lower(), value) for name, value in self._config.headers.items()]
        return request_head(url.raw_path.rstrip("/") + path, [*fixed, *configured, *self.credentials()])
