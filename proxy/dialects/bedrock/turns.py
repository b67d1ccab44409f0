"""How is a conversation said to Bedrock?

Converse wants turns that alternate, beginning with the user's, with tool results at the start of a turn. Other wires do
not, so that neighbours are merged and results moved. A cachePoint follows the block that it marks, and moves with it.
"""

from itertools import groupby

from msgspec.structs import replace

from proxy.canon import Part, Request, Text, Turn
from proxy.dialects.bedrock.documents import BESIDE_A_DOCUMENT, uncited
from proxy.dialects.bedrock.encode_blocks import Blocks, Medium, Unit
from proxy.dialects.bedrock.words import API, NAME, family_of
from proxy.errors import Unrepresentable
from proxy.grammar.claude.models import Takes, no_prefill
from proxy.grammar.claude.prefill import strip
from proxy.grammar.fields import Object
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import says_nothing, unaccepted


class Conversation:
    """The turns of one request."""

    def __init__(self, request: Request, takes: Takes, dropped: Receipt) -> None:
        self._request = request
        self._takes = takes
        self._own = request.wire == NAME  # then the turns go out as they came
        self._claude = family_of(request.model) == "claude"
        self._dropped = dropped
        self._blocks = Blocks(request, dropped)

    def parted(self) -> tuple[list[Object], list[Object]]:
        """The blocks of `system`, and the messages. Raises Unrepresentable."""
        turns = self._request.turns
        count = 0
        while count < len(turns) and self._leads(turns[count]):
            count += 1
        system = [block for turn in turns[:count] for block in _flat(self._units(turn))]
        return system, self._messages(turns[count:])

    def _leads(self, turn: Turn) -> bool:
        return turn.at == "system" if self._own else turn.role in ("system", "developer")

    def _messages(self, turns: list[Turn]) -> list[Object]:
        if self._own:
            return self._as_they_came(turns)
        merged, last = self._merged(turns)
        if not merged:
            raise says_nothing(self._request, API)
        if merged[0][0] != "user":
            at = turns[0].at
            message = f"{at}: Bedrock's Converse requires the first message to be the user's, not the assistant's."
            raise Unrepresentable(message, param=at)
        if merged[-1][0] == "assistant" and not self._takes.prefill:
            raise no_prefill(last)
        if merged[-1][0] == "assistant" and self._claude:
            strip(merged[-1][1], lambda unit: unit[0] if "text" in unit[0] else None, self._dropped)
        return [{"role": role, "content": _flat(_ordered(units))} for role, units in merged]

    def _merged(self, turns: list[Turn]) -> tuple[list[tuple[str, list[Unit]]], str]:
        """The roles in turn, each with all that it says; and the path of the last turn that says something."""
        merged: list[tuple[str, list[Unit]]] = []
        last = ""
        for turn in turns:
            role = "assistant" if turn.role == "assistant" else "user"
            units = self._late(turn) if turn.role in ("system", "developer") else self._units(turn)
            last = turn.at if units else last
            if merged and merged[-1][0] == role:
                merged[-1][1].extend(units)
            elif units:
                merged.append((role, units))
        return merged, last

    def _as_they_came(self, turns: list[Turn]) -> list[Object]:
        """The messages of a request that came in this wire. An assistant's turn that held nothing but another
        provider's thoughts is empty now: it is left out, and its neighbours are merged.
        """
        said: list[Object] = []
        is_left_out = False
        for turn in turns:
            content = _flat(self._units(turn))
            was_left_out, is_left_out = is_left_out, not content and turn.role == "assistant"
            if was_left_out and said and said[-1]["role"] == turn.role:
                said[-1]["content"] += content
            elif not is_left_out:
                said.append({**turn.extra, "role": turn.role, "content": content})
        return said

    def _late(self, turn: Turn) -> list[Unit]:
        """A system turn in mid-chat. Most models refuse that role there, so that the user's turn carries it."""
        units = self._units(turn)
        if units:
            self._dropped.add("turn.place")
        for unit in units:
            unit[0]["text"] = f"<system>\n{unit[0]['text']}\n</system>"
        return units

    def _units(self, turn: Turn) -> list[Unit]:
        if not self._own:
            self._dropped.left(turn.extra)
            for part in turn.parts:
                _check_place(part, turn)
        parts = turn.parts if self._own else _solid(turn.parts)
        if turn.role in ("system", "developer") and not self._own:
            parts = [uncited(part, self._dropped) for part in parts]
        return [unit for part in parts if (unit := self._blocks.unit(part))]


def _solid(parts: list[Part]) -> list[Part]:
    """The parts, with each blank text at the end of the text before it, as no block may be blank."""
    if not any(map(_is_blank, parts)):
        return parts  # nearly always
    said: list[Part] = []
    for is_blank, run in groupby(parts, _is_blank):
        last = said[-1] if said else None
        if is_blank and isinstance(last, Text) and last.text:
            said[-1] = replace(last, text=last.text + "".join(part.text for part in run if isinstance(part, Text)))
        else:
            said += run
    return said


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text) and part.is_plain and part.text.isspace()


def _check_place(part: Part, turn: Turn) -> None:
    if turn.role in ("system", "developer") and not isinstance(part, Text):
        raise unaccepted(part, API, f"{noun_of(part)} in a system prompt, only text")
    if turn.role == "assistant" and isinstance(part, Medium):
        raise unaccepted(part, API, f"{noun_of(part)} in assistant messages, only in user messages")


def _ordered(units: list[Unit]) -> list[Unit]:
    """The blocks with results first, and never a document without text, which Converse refuses."""
    blocks = [unit[0] for unit in units]
    if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
        units = [*units, [{"text": BESIDE_A_DOCUMENT}]]
    return sorted(units, key=lambda unit: "toolResult" not in unit[0])


def _flat(units: list[Unit]) -> list[Object]:
    return [block for unit in units for block in unit]
