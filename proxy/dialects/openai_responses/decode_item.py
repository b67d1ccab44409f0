"""What has one item of an answer said so far, and what of it is new?

A thought is one block, and so is a call; a message has a block for each part of its content. All other items come
whole, when they are done.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.canon import (
    Citation,
    Close,
    Delta,
    Event,
    Opaque,
    Open,
    Part,
    Refusal,
    Start,
    Text,
    Thinking,
    ToolCall,
)
from proxy.dialects.openai_responses.citations import citations_of
from proxy.dialects.openai_responses.parse_input import drawn, texts_of
from proxy.dialects.openai_responses.seals import opened
from proxy.dialects.openai_responses.words import CALLS, NAME, OF_CALL
from proxy.errors import excerpt
from proxy.grammar.arguments import NONE, as_json
from proxy.grammar.fields import Object, as_list, as_object, as_text, nonsense


class Sentence:
    """The events of an answer that are still to be handed on, and the kinds of its blocks."""

    def __init__(self) -> None:
        self.kinds: set[type[Part]] = set()
        self._started = False
        self._blocks = 0
        self._out: list[Event] = []

    def start(self, start: Start) -> None:
        if not self._started:
            self._started = True
            self._out.append(start)

    def open(self, part: Part) -> "Block":
        self.kinds.add(type(part))
        block = Block(self._blocks, type(part), self._out)
        self._blocks += 1
        self._out.append(Open(index=block.index, part=part))
        return block

    def said(self) -> list[Event]:
        out = self._out.copy()
        self._out.clear()
        return out


class Block(Struct):
    """An open block, and how much of it was handed on."""

    index: int
    kind: type[Part]
    out: list[Event]
    pieces: list[str] = []
    cited: int = 0
    scored: int = 0

    def more(
        self, text: str, signature: str = "", citations: list[Citation] | None = None, logprobs: list[Any] | None = None
    ) -> None:
        if not (text or signature or citations or logprobs):
            return
        said = Delta(
            index=self.index, text=text, signature=signature, citations=citations or [], logprobs=logprobs or []
        )
        if text:
            self.pieces.append(text)
        self.cited += len(said.citations)
        self.scored += len(said.logprobs)
        self.out.append(said)

    def rest(self, whole: str) -> str:
        """The part of the whole text that is missing so far; empty if the host contradicts itself."""
        heard = "".join(self.pieces)
        return whole[len(heard) :] if whole.startswith(heard) else ""

    def close(self) -> None:
        self.out.append(Close(index=self.index))


class Item:
    """One item. `name` is its id, if the host has given one."""

    def __init__(self, sentence: Sentence, name: str) -> None:
        self.name = name
        self._sentence = sentence
        self._kind = ""
        self._value: Object = {}  # the item as the host last sent it
        self._blocks: dict[int, Block] = {}  # by content_index
        self._waiting = ""  # the arguments of a call whose name has not come yet
        self._thought = ("", 0)  # which text is handed on, the summary or the reasoning itself, and its current part
        self._done = False

    # whole

    def tell(self, value: Object, done: bool, cut: bool = False) -> None:
        """The item as the host sends it whole. `done`: there will be no more of it. `cut`: nor of the answer, which is
        not complete.
        """
        if self._done or not value:
            return
        self._must_be(as_text(value.get("type")))
        self.name = self.name or as_text(value.get("id"))
        self._value = value
        if self._kind in CALLS and as_text(value.get("name")):
            self._call()
        if done:
            self.settle(cut)

    def settle(self, cut: bool = False) -> None:
        """There will be no more of it: hand on whatever is still missing.

        Some hosts send no arguments if a function takes none. Of a call that was cut off nobody knows them.
        """
        if self._done:
            return
        self._done = True
        match self._kind:
            case "message":
                for number, part in enumerate(as_list(self._value.get("content"))):
                    self._part(number, as_object(part))
            case "reasoning":
                self._reasoned()
            case kind if kind in CALLS:
                block, said = self._call(), as_json(self._value.get(CALLS[kind]))
                block.more(block.rest("" if kind == "function_call" and said in NONE else said))
                if kind == "function_call" and not (block.pieces or cut or self._value.get("status") == "incomplete"):
                    block.more("{}")
            case _:
                self._aside(self._value)
        for block in self._blocks.values():
            block.close()

    def _must_be(self, kind: str) -> None:
        if self._kind not in ("", kind):
            raise nonsense(f"an item changed its type from {excerpt(self._kind)!r} to {excerpt(kind)!r}")
        self._kind = kind

    def _part(self, number: int, part: Object) -> None:
        """A part of a message's content."""
        match part.get("type"):
            case "output_text":
                block = self._block(Text, number)
                cited, scored = as_list(part.get("annotations")), as_list(part.get("logprobs"))
                told = citations_of(cited[block.cited :])
                block.more(block.rest(as_text(part.get("text"))), citations=told, logprobs=scored[block.scored :])
            case "refusal":
                block = self._block(Refusal, number)
                block.more(block.rest(as_text(part.get("refusal"))))
            case _:  # an unknown part goes on with a message around it, which clients know as an item
                self._aside({"type": "message", "role": "assistant", "content": [part]})

    def _reasoned(self) -> None:
        """The thought as a whole. One without a text or a seal is left out."""
        seal, speaks = as_text(self._value.get("encrypted_content")), self._thought[0]
        text = texts_of(self._value.get(speaks)) if speaks else ""
        if not speaks:
            text = texts_of(self._value.get("summary")) or texts_of(self._value.get("content"))
        if not (text or seal or self._blocks):
            return
        shell = opened(seal)
        block = self._block(Thinking, 0, replace(shell, id=self.name, signature=""))
        block.more(block.rest(text), signature=shell.signature)

    def _aside(self, value: Object) -> None:
        """Adds a block that comes whole: an image, or something that only this wire understands."""
        if value:
            self._sentence.open(drawn(value) or Opaque(wire=NAME, value=value)).close()

    # in pieces

    def speak(self, kind: type[Text | Refusal], place: object, text: str, logprobs: list[Any]) -> None:
        if not self._done:
            self._must_be("message")
            self._block(kind, place).more(text, logprobs=logprobs)

    def cite(self, place: object, annotation: object) -> None:
        if not self._done:
            self._must_be("message")
            self._block(Text, place).more("", citations=citations_of([annotation]))

    def think(self, source: str, place: object, text: str) -> None:
        """A piece of the summary or of the reasoning itself. Only the one that comes first is handed on."""
        number = place if isinstance(place, int) else 0
        if self._done or not text or self._thought[0] not in ("", source):
            return
        self._must_be("reasoning")
        block = self._block(Thinking, 0, Thinking(id=self.name))
        gap = "\n\n" if block.pieces and self._thought[1] != number else ""
        self._thought = (source, number)
        block.more(gap + text)

    def argue(self, kind: str, text: str) -> None:
        if self._done:
            return
        self._must_be(kind)
        begun = bool(self._blocks[0].pieces if 0 in self._blocks else self._waiting)
        if kind == "function_call" and text in NONE and not begun:
            return
        if 0 in self._blocks:
            self._blocks[0].more(text)
        else:
            self._waiting += text

    # blocks

    def _block(self, kind: type[Part], place: object, shell: Part | None = None) -> Block:
        number = place if isinstance(place, int) else 0
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = self._sentence.open(shell or self._spoken(kind))
        if block.kind is not kind:
            raise nonsense("a delta does not fit the type of its block")
        return block

    def _spoken(self, kind: type[Part]) -> Part:
        phase = as_text(self._value.get("phase"))
        extra = {"phase": phase} if phase else {}
        return Refusal(extra=extra) if kind is Refusal else Text(extra=extra)

    def _call(self) -> Block:
        """The block of a call. Raises UpstreamError if the call has no name."""
        if 0 in self._blocks:
            return self._blocks[0]
        value, name = self._value, as_text(self._value.get("name"))
        if not name:
            raise nonsense("a call has no name")
        extra = {key: more for key, more in value.items() if key not in OF_CALL and more is not None}
        shell = ToolCall(
            id=as_text(value.get("call_id")) or self.name,
            name=name,
            kind="custom" if self._kind == "custom_tool_call" else "function",
            extra=extra,
        )
        block = self._blocks[0] = self._sentence.open(shell)
        block.more(self._waiting)
        return block
