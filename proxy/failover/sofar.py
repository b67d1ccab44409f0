"""What has a client been told so far of an answer that broke, and can another target go on from there?

This is read from the very bytes that the client got, in its own wire, whichever lane they came by. Another target can
go on with one text, open or closed, and with nothing else: no thought, no call, no refusal, no second choice, nothing
about a text's tokens or sources, and no answer that has told how it ended. What a translated answer has said besides,
and the client has not been told yet, `Call.is_mixed` says.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from proxy.canon import Close, Delta, Event, Finish, Open, Request, Start, Text, Usage
from proxy.errors import UpstreamError
from proxy.failover.splice import Splice
from proxy.ports import Dialect

BATCH = 16 * 1024  # bytes that are decoded at once; of those only the text is kept
LONGEST = 1024 * 1024  # characters of a text that are kept

_SHELL = Text()


class SoFar:
    """Sees every chunk on its way to the client."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._decoder = dialect.decoder(True)
        self._chunks: list[bytes] = []
        self._size = 0  # bytes of them
        self._is_one_text = True
        self._start: Start | None = None
        self._texts: list[str] = []
        self._length = 0  # characters of them
        self.index: int | None = None  # of the text
        self.is_open = False  # the text

    def __repr__(self) -> str:
        return f"<SoFar {self._length} characters, {self._size} bytes not yet read>"

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def tap(self, chunk: bytes) -> None:
        if self._is_one_text:
            self._chunks.append(chunk)
            self._size += len(chunk)
            if self._size > BATCH:
                self._read()

    def may_be_resumed(self) -> bool:
        """Asked once, when the stream has broken.

        No head goes out before a block has opened. Some wires tell nothing of a text before its first word: where that
        has not come, the text is as good as open.
        """
        self._read()
        if self.index is None and self._start is not None and not self._dialect.refers:
            self.index, self.is_open = 0, True
        return self._is_one_text and self.index is not None and not self._has_ended()

    def events(self) -> Iterator[Event]:
        """What the client was told, in as few events as say it."""
        if self._start is not None:
            yield self._start
        if self.index is not None:
            yield Open(index=self.index, part=_SHELL)
            yield Delta(index=self.index, text=self.text)
            if not self.is_open:
                yield Close(index=self.index)

    def spliced(self, blanks: str, used: Usage) -> Splice:
        """What makes another answer the rest of this one. `blanks`: at the end of its text; `used`: by it."""
        assert self.index is not None  # it may be resumed
        return Splice(self.index, self.is_open, blanks, used)

    def _read(self) -> None:
        heard, self._chunks, self._size = b"".join(self._chunks), [], 0
        try:
            self._note(self._decoder.feed(heard))
        except UpstreamError:  # we cannot tell what the client makes of it
            self._is_one_text = False
        if not self._is_one_text:
            self._texts.clear()

    def _note(self, events: Iterable[Event]) -> None:
        self._is_one_text = self._is_one_text and all(map(self._take, events))

    def _has_ended(self) -> bool:
        """Has it told its end, all but the wire's last word? Then there is nothing to add to it."""
        try:
            return any(isinstance(event, Finish) for event in self._decoder.close())
        except UpstreamError:
            return False

    def _take(self, event: Event) -> bool:
        """Note what it says; could the answer still be resumed after it?"""
        match event:
            case Start():
                self._start = event
            case Open():
                is_first, self.index, self.is_open = self.index is None, event.index, True
                return is_first and event.choice == 0 and event.part == _SHELL
            case Delta():
                self._texts.append(event.text)
                self._length += len(event.text)
                return event.is_text and self._length <= LONGEST
            case Close():
                self.is_open = False
            case Usage():  # the last counts, behind the last block, stand beside the reason why it ended
                return self.is_open or self.index is None
            case Finish():
                return False
            case _:
                assert_never(event)
        return True


def asks_for_text(request: Request) -> bool:
    """May the answer be a mere text, which any other model could continue?

    Not after a thought, even one that nobody saw, and not where the text as a whole must have some shape.
    """
    thinks = request.reasoning is not None and not request.reasoning.off
    is_shaped = request.format is not None and request.format.kind != "text"
    is_forced = request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")
    return not (thinks or is_shaped or is_forced or request.logprobs or (request.n or 1) > 1)


def parted(text: str) -> tuple[str, str]:
    """The text that a model can be asked to continue, which must not end in a blank, and the blanks at its end."""
    solid = text.rstrip()
    return solid, text[len(solid) :]
