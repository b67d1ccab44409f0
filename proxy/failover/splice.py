"""How does a second answer become the end of the first one?

    first     Start Open(0) Delta Delta              x
    second                            Start Open(0) Delta Delta Close(0) Usage Finish
    client    Start Open(0) Delta Delta             Delta Delta Close(0) Usage Finish

Its Start is left out, its first text goes on in the block that is open, every other block gets a new index, and its
counts are added to those of the first one. Blanks that the client has already read are not said twice: no model can be
asked to continue after a blank, so it may begin with the same ones.
"""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from operator import eq
from typing import assert_never

from msgspec.structs import replace

from proxy.canon import BUCKETS, Close, Delta, Event, Finish, Open, Start, Text, Usage
from proxy.errors import GatewayError
from proxy.ports import Decoder, Renderer

_ADDED = (*BUCKETS, "searches")


class Splice:
    """`index`: of the text so far, which `is_open` or closed; `blanks`: at its end. `used`: by the first answer."""

    def __init__(self, index: int, is_open: bool, blanks: str, used: Usage) -> None:
        self._open = index if is_open else None
        self._blanks = blanks
        self._used = used
        self._next = index + 1
        self._indexes: dict[int, int] = {}  # ours, by theirs
        self._first: int | None = None  # the text that goes on, by their index

    def feed(self, events: Iterable[Event]) -> Iterator[Event]:
        """The rest of the first one's sentence."""
        for event in events:
            match event:
                case Start():
                    pass
                case Open():
                    yield from self._opened(event)
                case Delta():
                    yield from self._said(event)
                case Close():
                    yield Close(index=self._indexes[event.index])
                case Usage():
                    yield summed(self._used, event)
                case Finish():
                    yield from self._closed()
                    yield event
                case _:
                    assert_never(event)

    def _opened(self, event: Open) -> Iterator[Event]:
        is_text = isinstance(event.part, Text) and not self._indexes
        if is_text:
            self._first = event.index
        if is_text and self._open is not None:
            self._indexes[event.index], self._open = self._open, None
            return
        yield from self._closed()
        self._indexes[event.index] = self._next
        yield replace(event, index=self._next)
        self._next += 1

    def _closed(self) -> Iterator[Event]:
        """The text that was open, where nothing has gone on with it."""
        if self._open is not None:
            yield Close(index=self._open)
            self._open = None

    def _said(self, event: Delta) -> Iterator[Event]:
        text = self._unsaid(event.text) if self._blanks and event.index == self._first else event.text
        if text or not event.is_text:
            yield replace(event, index=self._indexes[event.index], text=text)

    def _unsaid(self, text: str) -> str:
        same = sum(1 for _ in takewhile(bool, map(eq, text, self._blanks)))
        self._blanks = "" if same < len(text) else self._blanks[same:]
        return text[same:]


def summed(used: Usage, usage: Usage) -> Usage:
    """What both used. All that is no count is the later one's."""
    return replace(usage, **{name: getattr(used, name) + getattr(usage, name) for name in _ADDED})


class Rest:
    """The bytes of the second answer, as its client reads them. `fault`: what broke it, after all that it said."""

    def __init__(self, decoder: Decoder, splice: Splice, renderer: Renderer) -> None:
        self.fault: GatewayError | None = None
        self._decoder = decoder
        self._splice = splice
        self._renderer = renderer

    def feed(self, chunk: bytes) -> bytes:
        return self._told(self._decoder.feed(chunk))

    def close(self) -> bytes:
        return self._told(self._decoder.close())

    def _told(self, events: Iterator[Event]) -> bytes:
        out = bytearray()
        try:
            for event in self._splice.feed(events):
                out += self._renderer.feed(event)
        except GatewayError as error:
            self.fault = error
        return bytes(out)
