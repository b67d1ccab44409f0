"""Which block is each choice of an answer in, and which calls has it made?

A choice has one block open at a time: a block of another kind closes the one before it. Only tool calls overlap, with
each other and with what follows, so they stay open until the answer ends. A call opens once its name is known.
"""

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from proxy.canon import Close, Delta, Part, ToolCall
from proxy.dialects.openai_chat.seals import unsealed
from proxy.grammar.arguments import NONE, as_json, is_object
from proxy.grammar.fields import Object, as_object, nonsense, text_in
from proxy.grammar.sentence import Sentence

_OF_CALL = frozenset("index id type function custom".split())  # the known keys of a call; others go to `extra`


class Call(Struct):
    """A tool call as it arrives. `index` is that of its block, once it is open; until then `arguments` gathers."""

    index: int | None = None
    id: str = ""
    name: str = ""
    kind: Literal["function", "custom"] = "function"
    arguments: str = ""
    silent: bool = True  # no arguments have come yet
    at_once: bool = False  # its first piece held all of its arguments, and it has no id
    extra: Object = {}


class Voice(Struct):
    """One choice: the block that it is in, and the calls that it has made."""

    number: int
    kind: str = ""  # of the open block
    key: int | None = None  # of the open block, if it is thinking
    index: int = 0  # of the open block
    calls: list[Call] = []
    known: dict[int | str, Call] = {}  # by the wire's index, or by id if it has none
    raw: str = ""  # its finish_reason
    sequence: str | None = None


class Voices(Sentence):
    """The choices of an answer. `streamed`: their tool calls come in pieces."""

    def __init__(self, streamed: bool) -> None:
        super().__init__()
        self._streamed = streamed
        self._id: str | None = None  # of the answer; None until Start is out

    def _in(self, voice: Voice, kind: str, shell: Callable[[], Part], key: int | None = None) -> int:
        """The index of the choice's block of this kind (and key), which is opened if it is not the open one."""
        same = voice.kind == kind and (key is None or voice.key is None or key == voice.key)
        if not same:
            self._close(voice)
            voice.kind, voice.key = kind, key
            voice.index = self._open(shell(), voice.number)
        elif key is not None:
            voice.key = key
        return voice.index

    def _close(self, voice: Voice) -> None:
        if voice.kind:
            self._out.append(Close(index=voice.index))
            voice.kind = ""

    def _aside(self, voice: Voice, part: Part) -> None:
        """Adds a block that comes whole."""
        self._close(voice)
        self._whole(part, voice.number)

    # tool calls

    def _called(self, voice: Voice, said: Object) -> None:
        calls = said.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise nonsense("tool_calls is not an array")
        for item in calls or ():
            if not isinstance(item, dict):
                raise nonsense("a tool call is not a JSON object")
            self._fragment(voice, item)
        legacy = as_object(said.get("function_call"))
        if text_in(legacy, "name") or as_json(legacy.get("arguments")):
            rest = {key: value for key, value in legacy.items() if key not in ("name", "arguments")}
            self._fragment(voice, {"index": -1, "function": legacy, "function_call": rest})

    def _fragment(self, voice: Voice, item: Object) -> None:
        function, custom = as_object(item.get("function")), as_object(item.get("custom"))
        inner = custom if item.get("type") == "custom" else function or custom
        name, named = text_in(inner, "name"), text_in(item, "id")
        text = as_json(inner.get("arguments") if inner is function else inner.get("input"))
        call = self._which(voice, item.get("index"), named, name, text)
        if inner is function and call.silent and text in NONE:
            text = ""
        if call.index is None:
            call.id, call.name = call.id or named, call.name or name
            call.kind = "function" if inner is function else "custom"
            call.extra = call.extra | {key: item[key] for key in item if key not in _OF_CALL and item[key] is not None}
        if call.silent and not call.id:
            call.at_once = is_object(text)
        call.silent = call.silent and not text
        if call.index is None:
            call.arguments += text
            if call.name:
                self._open_call(voice, call)
        elif (seal := unsealed(item)[0]) or text:
            self._out.append(Delta(index=call.index, text=text, signature=seal))

    def _which(self, voice: Voice, index: object, named: str, name: str, text: str) -> Call:
        """The call that a fragment belongs to.

        Some hosts leave out the index (Mistral), or give every call the same one: then a new id with a name means a new
        call; without any ids (Google's, at times) another name does, and a name after a call that has come at once. In
        a whole message every entry is a new call.
        """
        key = index if isinstance(index, int) else named
        call = voice.known.get(key) if self._streamed else None
        if call is not None and name and _is_another(call, name, named, text):
            call = None
        if call is None and key == "" and not name and voice.calls:
            call = voice.calls[-1]
        if call is None:
            call = Call()
            voice.calls.append(call)
            if key != "":
                voice.known[key] = call
        return call

    def _end_call(self, voice: Voice, call: Call, is_whole: bool) -> None:
        """Some hosts send no arguments if a function takes none. Of a call that was cut off nobody knows them."""
        self._open_call(voice, call)
        if is_whole and call.silent and call.kind == "function" and call.index is not None:
            self._out.append(Delta(index=call.index, text="{}"))

    def _open_call(self, voice: Voice, call: Call) -> None:
        if call.index is not None:
            return
        self._close(voice)
        made = f"call_{re.sub('[^A-Za-z0-9]', '', self._id or '')[:40]}_{self._blocks}"
        seal, extra = unsealed(call.extra)
        shell = ToolCall(id=call.id or made, name=call.name, kind=call.kind, extra=extra)
        call.index = self._open(shell, voice.number)
        if call.arguments or seal:
            self._out.append(Delta(index=call.index, text=call.arguments, signature=seal))


def _is_another(call: Call, name: str, named: str, text: str) -> bool:
    """Is a piece with a name, and perhaps an id, the beginning of another call?"""
    if named or call.id:
        return bool(named and call.id) and named != call.id
    return (call.at_once and text != "") or (call.name != "" and name != call.name)
