"""What would a provider say, if there were none?

`echo` stands in for one: offline, deterministic, and seen through ports.Answer like any OpenAI-compatible host. The
model's name says what it does (script.py, and docs/echo.md for those who use it); here is how that is spelt on
the wire, and how it goes out in time. https://platform.openai.com/docs/api-reference/chat-streaming has the shapes.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from math import inf
from typing import Any, Protocol

import msgspec

from proxy.adapters.echo.ask import Ask, prompt_tokens, read
from proxy.adapters.echo.script import (
    PLAIN,
    Beat,
    Behaviour,
    Piece,
    Said,
    Script,
    behaviour,
    compose,
    is_behaviour,
    streamed,
    whole,
)
from proxy.errors import BadRequest, Down, UpstreamError
from proxy.framing import sse
from proxy.ports import NO_HINTS, UNKNOWN, Abilities, Answer, Health, Hints, Outgoing

CREATED = 1735689600  # 2025-01-01T00:00:00Z, whenever it is

# By status, `type` and `code` as OpenAI has them, where it has them.
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


class Clock(Protocol):
    def now(self) -> float:
        """Seconds."""
        ...

    async def reach(self, moment: float, gone: asyncio.Event) -> None:
        """Wait for `moment`, `inf` being never; but return as soon as `gone` is set."""
        ...


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def reach(self, moment: float, gone: asyncio.Event) -> None:
        if moment <= self.now():
            await asyncio.sleep(0)  # a reader of thousands of tokens leaves room for others, as with a socket
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if moment == inf else moment):
                await gone.wait()


class Echo:
    """The offline provider."""

    dialects: Sequence[str] = ("openai_chat",)
    real = False
    ask_usage = True
    no_urls: Collection[str] = ()

    def __init__(self, name: str, *, clock: Clock | None = None) -> None:
        self.name = name
        self._clock = clock or LoopClock()

    def __repr__(self) -> str:
        return f"<Echo {self.name}>"

    def takes(self, model: str) -> Sequence[str]:
        return self.dialects

    def lacks(self, dialect: str) -> None:
        raise AssertionError("echo has every endpoint")

    def counts(self, dialect: str) -> bool:
        return False

    def has_other_key(self, model: str) -> bool:
        return False

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        """There is no key."""

    def hints(self, model: str) -> Hints:
        return NO_HINTS

    def abilities(self, model: str) -> Abilities:
        return UNKNOWN

    async def send(self, outgoing: Outgoing) -> Answer:
        try:
            return self._answer(outgoing.body)
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

    async def health(self) -> Health:
        return Health(True, 0.0)

    def _answer(self, body: bytes) -> Answer:
        ask = read(body)
        manner = behaviour(ask.model)
        ident = _ident(body, manner.seed)
        if manner.source == "error":
            return self._error(manner, ident)
        page = _Page(ask, compose(ask, manner), ident)
        if ask.stream:
            headers = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": f"req_{ident}"}
            return EchoAnswer(200, headers, streamed(page.events(), manner), self._clock)
        headers = {"content-type": "application/json", "x-request-id": f"req_{ident}"}
        return EchoAnswer(200, headers, whole(page.body(), page.count, manner), self._clock)

    def _error(self, manner: Behaviour, ident: str) -> Answer:
        """The error that the model's name asks for."""
        status, retry = manner.number, manner.retry
        if status == 429 and retry is None:
            retry = 1
        kind, code = _ERRORS.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
        error = {"message": f"Echo answers {status}, as asked.", "type": kind, "param": None, "code": code}
        headers = {"content-type": "application/json", "x-request-id": f"req_{ident}"}
        if retry is not None:
            headers["retry-after"] = str(retry)
        beats = whole(msgspec.json.encode({"error": error}), 0, manner)
        return EchoAnswer(status, headers, beats, self._clock)

    def _refusal(self, refused: BadRequest, body: bytes) -> Answer:
        """The error that the request itself has earned."""
        error = {
            "message": refused.message,
            "type": "invalid_request_error",
            "param": refused.param,
            "code": refused.code,
        }
        headers = {"content-type": "application/json", "x-request-id": f"req_{_ident(body, 0)}"}
        beats = whole(msgspec.json.encode({"error": error}), 0, Behaviour())
        return EchoAnswer(refused.status, headers, beats, self._clock)


class EchoAnswer:
    """Beats on their way out, each at its time. The head is there at once."""

    def __init__(self, status: int, headers: Mapping[str, str], beats: Iterator[Beat], clock: Clock) -> None:
        self.status = status
        self.headers = headers
        self._beats = beats
        self._next: Beat | None = None  # kept until it is said: a wait that was cancelled loses nothing
        self._clock = clock
        self._start = clock.now()
        self._gone = asyncio.Event()

    async def chunk(self) -> bytes:
        if self._next is None:
            self._next = next(self._beats, None)
        if self._next is None:
            return b""
        if not self._gone.is_set():
            await self._clock.reach(self._start + self._next.at, self._gone)
        if self._gone.is_set():
            raise Down("The connection to the provider was let go.", code="upstream_aborted")
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
        """No timer runs here."""

    def ended(self) -> bool:
        return False  # a token comes after the other

    def abort(self) -> None:
        self._gone.set()


class _Page:
    """One answer, as OpenAI spells it: all at once, or an event for each token."""

    def __init__(self, ask: Ask, script: Script, ident: str) -> None:
        self._ask = ask
        self._script = script
        self._ident = ident
        self._choices = range(ask.n or 1)
        self._kinds = {piece.kind for piece in script.pieces}
        self._prompt = prompt_tokens(ask)
        self.count = len(script.pieces) * len(self._choices)  # tokens of the answer

    def events(self) -> Iterator[Said]:
        role = {"role": "assistant", "content": None if self._is_silent() else ""}
        for choice in self._choices:
            yield Said(self._event(choice, role), 0)
        said = 0
        for piece in self._script.pieces:
            for choice in self._choices:
                yield Said(self._event(choice, self._delta(piece, choice)), said)
                said += 1
        for choice in self._choices:
            yield Said(self._event(choice, {}, self._script.finish), said)
        if self._shows_usage():
            yield Said(self._chunk([], self._usage()), said)
        yield Said(sse(b"[DONE]"), said)

    def body(self) -> bytes:
        choices = [
            {"index": choice, "message": self._message(choice), "finish_reason": self._script.finish}
            for choice in self._choices
        ]
        return msgspec.json.encode({**self._head("chat.completion"), "choices": choices, "usage": self._usage()})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._ident}",
            "object": kind,
            "created": CREATED,
            "model": self._ask.model,
            "system_fingerprint": "fp_echo",
        }

    def _event(self, choice: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._chunk([{"index": choice, "delta": delta, "finish_reason": finish}], None)

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        chunk = {**self._head("chat.completion.chunk"), "choices": choices}
        return sse(msgspec.json.encode({**chunk, "usage": usage} if self._shows_usage() else chunk))

    def _message(self, choice: int) -> dict[str, Any]:
        message = {"role": "assistant", "content": None if self._is_silent() else self._text("content")}
        if "reasoning_content" in self._kinds:
            message["reasoning_content"] = self._text("reasoning_content")
        message["refusal"] = self._text("refusal") if "refusal" in self._kinds else None
        calls = [self._whole_call(piece, choice) for piece in self._script.pieces if piece.opens]
        return {**message, "tool_calls": calls} if calls else message

    def _text(self, kind: str, call: int = 0) -> str:
        pieces = self._script.pieces
        return "".join(piece.text for piece in pieces if (piece.kind, piece.call, piece.opens) == (kind, call, False))

    def _delta(self, piece: Piece, choice: int) -> dict[str, Any]:
        match piece.kind:
            case "function" | "custom":
                spelt = self._opening(piece, choice) if piece.opens else {piece.kind: {_argument(piece): piece.text}}
                return {"tool_calls": [{"index": piece.call, **spelt}]}
            case kind:
                return {kind: piece.text}

    def _whole_call(self, piece: Piece, choice: int) -> dict[str, Any]:
        call = self._opening(piece, choice)
        call[piece.kind][_argument(piece)] = self._text(piece.kind, piece.call)
        return call

    def _opening(self, piece: Piece, choice: int) -> dict[str, Any]:
        ident = _ident(f"{self._ident} {choice} {piece.call}".encode(), 0)
        return {"id": f"call_{ident}", "type": piece.kind, piece.kind: {"name": piece.text, _argument(piece): ""}}

    def _is_silent(self) -> bool:
        """Where OpenAI says null, not an empty text."""
        return not self._kinds.isdisjoint({"refusal", "function", "custom"})

    def _shows_usage(self) -> bool:
        return self._ask.stream_options is not None and self._ask.stream_options.include_usage is True

    def _usage(self) -> dict[str, Any]:
        reasoning = sum(piece.kind == "reasoning_content" for piece in self._script.pieces) * len(self._choices)
        return {
            "prompt_tokens": self._prompt,
            "completion_tokens": self.count,
            "total_tokens": self._prompt + self.count,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }


def _argument(piece: Piece) -> str:
    return "arguments" if piece.kind == "function" else "input"


def _ident(data: bytes, seed: int) -> str:
    return blake2b(data, digest_size=12, key=str(seed).encode()).hexdigest()
