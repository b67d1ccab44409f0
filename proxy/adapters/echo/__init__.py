"""What would a provider say, if there were none?

`echo` takes the place of one: offline and deterministic, with answers like any OpenAI-compatible host's. The model's
name says what it does (script.py, and docs/echo.md for users), and page.py writes it on the wire; this module sends it
at the right times.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import NamedTuple, Protocol

import msgspec

from proxy.adapters.echo.ask import Ask, read
from proxy.adapters.echo.page import Page, ident_of
from proxy.adapters.echo.script import PLAIN, Beat, Behaviour, behaviour, compose, is_behaviour, streamed, whole
from proxy.edge.aside import LARGE, aside
from proxy.edge.failures import within
from proxy.errors import BadRequest, Down, Timeout, UpstreamError
from proxy.ports import NO_HINTS, UNKNOWN, Abilities, Answer, Health, Hints, Outgoing

# By status: `type` and `code` as OpenAI uses them, where it has some.
_ERRORS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("server_error", "service_unavailable"),
    504: ("server_error", "timeout"),
    529: ("server_error", "overloaded"),
}

_LABORIOUS = ("tool", "json", "tokens")  # a short request may ask for much


class Clock(Protocol):
    def now(self) -> float:
        """Seconds."""
        ...

    async def reach(self, moment: float, gone: asyncio.Event) -> None:
        """Wait until `moment`, `inf` being never, but return as soon as `gone` is set."""
        ...


class Limit(NamedTuple):
    """Of an answer's time, in seconds."""

    left: float = inf
    allowed: float | None = None  # by the client, in all


NO_LIMIT = Limit()


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def reach(self, moment: float, gone: asyncio.Event) -> None:
        if moment <= self.now():
            await asyncio.sleep(0)  # others must get a turn while somebody reads thousands of tokens, as with a socket
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if moment == inf else moment):
                await gone.wait()


class Echo:
    """The offline provider."""

    dialects: Sequence[str] = ("openai_chat",)
    real = False
    ask_usage = True
    call_id_length: int | None = None
    thoughts = "refused"
    whose_key = "pillion's"
    cache_points = False
    searches = False
    no_urls: Collection[str] = ()

    def __init__(self, name: str, *, clock: Clock | None = None) -> None:
        self.name = name
        self._clock = clock or LoopClock()

    def __repr__(self) -> str:
        return f"<Echo {self.name}>"

    def takes(self, model: str) -> Sequence[str]:
        return self.dialects

    def do_without(self, dialect: str) -> None:
        raise AssertionError("echo has every endpoint")

    def counts(self, dialect: str) -> bool:
        return False

    def may_ask(self, model: str) -> bool:
        return True

    def has_other_key(self, model: str) -> bool:
        return False

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        """There is no key."""

    def hints(self, model: str) -> Hints:
        return NO_HINTS

    def abilities(self, model: str) -> Abilities:
        return UNKNOWN

    async def send(self, outgoing: Outgoing) -> Answer:
        total = NO_LIMIT if outgoing.timeout is None else Limit(outgoing.timeout, outgoing.allowed)
        try:
            return await self._answer(outgoing.body, total)
        except BadRequest as error:
            return self._refusal(error, outgoing.body)
        except RecursionError:
            return self._refusal(
                BadRequest("The request body is nested too deeply.", code="invalid_json"), outgoing.body
            )

    def hide(self, text: str) -> str:
        return text

    async def models(self, via: str = "") -> list[str]:
        return list(PLAIN)

    def has(self, model: str) -> bool:
        return is_behaviour(model)

    def denies(self, model: str) -> bool:
        return not self.has(model)

    async def health(self) -> Health:
        return Health(True, 0.0)

    async def _answer(self, body: bytes, total: Limit) -> Answer:
        ask = await aside(len(body), read, body)
        manner = behaviour(ask.model)
        ident = ident_of(body, manner.seed)
        if manner.source == "error":
            return self._error(manner, ident, total)
        beats = await aside(LARGE + 1 if manner.source in _LABORIOUS else len(body), _beats, ask, manner, ident)
        media_type = "text/event-stream; charset=utf-8" if ask.stream else "application/json"
        headers = {"content-type": media_type, "x-request-id": f"req_{ident}"}
        return EchoAnswer(200, headers, beats, self._clock, total)

    def _error(self, manner: Behaviour, ident: str, total: Limit) -> Answer:
        """The error that the model's name asks for."""
        status, retry = manner.number, manner.retry
        if status == 429 and retry is None:
            retry = 1
        kind, code = _ERRORS.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
        error = {
            "message": f"Echo answers with status {status}, as requested.",
            "type": kind,
            "param": None,
            "code": code,
        }
        headers = {"content-type": "application/json", "x-request-id": f"req_{ident}"}
        if retry is not None:
            headers["retry-after"] = str(retry)
        beats = whole(msgspec.json.encode({"error": error}), 0, manner)
        return EchoAnswer(status, headers, beats, self._clock, total)

    def _refusal(self, refused: BadRequest, body: bytes) -> Answer:
        """The error for a request that is itself wrong."""
        error = {
            "message": refused.message,
            "type": "invalid_request_error",
            "param": refused.param,
            "code": refused.code,
        }
        headers = {"content-type": "application/json", "x-request-id": f"req_{ident_of(body, 0)}"}
        beats = whole(msgspec.json.encode({"error": error}), 0, Behaviour())
        return EchoAnswer(refused.status, headers, beats, self._clock)


def _beats(ask: Ask, manner: Behaviour, ident: str) -> Iterator[Beat]:
    """Raises BadRequest."""
    page = Page(ask, compose(ask, manner), ident)
    if ask.stream:
        return streamed(page.events(), manner)
    return whole(page.body(), page.count, manner)


class EchoAnswer:
    """Beats, each sent at its time. The head is there at once. `total`: seconds for the whole answer."""

    def __init__(
        self, status: int, headers: Mapping[str, str], beats: Iterator[Beat], clock: Clock, total: Limit = NO_LIMIT
    ) -> None:
        self.status = status
        self.headers = headers
        self._beats = beats
        self._next: Beat | None = None  # kept until it is sent, so that a cancelled wait loses nothing
        self._clock = clock
        self._start = clock.now()
        self._total = total
        self._gone = asyncio.Event()

    async def chunk(self) -> bytes:
        if self._next is None:
            self._next = next(self._beats, None)
        if self._next is None:
            return b""
        if not self._gone.is_set():
            await self._clock.reach(self._start + min(self._next.at, self._total.left), self._gone)
        if self._gone.is_set():
            raise Down("pillion closed the connection to the provider.", code="upstream_aborted")
        if self._next.at > self._total.left:
            raise Timeout(f"The provider's answer did not end {within(*self._total)}.", code="total_timeout")
        if self._next.data is None:
            raise Down("The provider's answer was cut short.", code="upstream_cut")
        data, self._next = self._next.data, None
        return data

    async def read(self, limit: int) -> bytes:
        body = bytearray()
        while chunk := await self.chunk():
            body += chunk
            if len(body) > limit:
                self.abort()
                raise Down(f"The provider's answer is longer than {limit} bytes.", code="upstream_too_long")
        return bytes(body)

    def begun(self) -> None:
        """Only the client's own timers apply here."""

    def concluded(self) -> None:
        """It ends with its last token."""

    def ended(self) -> bool:
        return False  # tokens come one by one

    def abort(self) -> None:
        self._gone.set()
