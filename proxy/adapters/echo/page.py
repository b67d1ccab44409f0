"""How is what echo says written on OpenAI's wire: all at once, or with an event for each token?

https://platform.openai.com/docs/api-reference/chat-streaming has the shapes.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from proxy.adapters.echo.ask import Ask, prompt_tokens
from proxy.adapters.echo.script import Piece, Said, Script
from proxy.framing import sse

CREATED = 1735689600  # 2025-01-01T00:00:00Z, so that answers are always the same


class Page:
    """One answer."""

    def __init__(self, ask: Ask, script: Script, ident: str) -> None:
        self._ask = ask
        self._script = script
        self._ident = ident
        self._choices = range(ask.n or 1)
        self._kinds = {piece.kind for piece in script.pieces}
        self._prompt = prompt_tokens(ask)
        self._texts = _joined(script.pieces)
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
        return self._texts.get((kind, call), "")

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
        ident = ident_of(f"{self._ident} {choice} {piece.call}".encode(), 0)
        return {"id": f"call_{ident}", "type": piece.kind, piece.kind: {"name": piece.text, _argument(piece): ""}}

    def _is_silent(self) -> bool:
        """Does OpenAI write null in place of an empty text?"""
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


def _joined(pieces: Iterable[Piece]) -> dict[tuple[str, int], str]:
    """What is said of each kind and in each call, read once: there may be as many of them as choices."""
    texts: dict[tuple[str, int], list[str]] = {}
    for piece in pieces:
        if not piece.opens:
            texts.setdefault((piece.kind, piece.call), []).append(piece.text)
    return {place: "".join(said) for place, said in texts.items()}


def _argument(piece: Piece) -> str:
    return "arguments" if piece.kind == "function" else "input"


def ident_of(data: bytes, seed: int) -> str:
    return blake2b(data, digest_size=12, key=str(seed).encode()).hexdigest()
