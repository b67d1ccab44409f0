"""What is left out of a request, as the target's wire cannot express it, and how is the client told?

Tuning is left out, and the receipt names it, in the client's own words: docs/decisions/0010-receipts.md. What must not
be left out is refused (refusals.py).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from proxy.canon import Document, Part, Refusal, Request, Text, Tool, ToolCall, ToolChoice
from proxy.errors import Unrepresentable
from proxy.grammar.fields import Object, paths
from proxy.grammar.knobs import IDLE_FIELDS

NAMES_TOLD = 50  # a longer header might break the client's parser
LONGEST_NAME = 200  # characters of each in a header; clients choose them
BREAKPOINT = "prompt_cache_breakpoint"  # what both wires of OpenAI call a cache point
Ranges = Mapping[str, tuple[float, float]]  # of knobs, by our names, both ends included
_index = re.compile(r"\[[0-9]+\]")


class Receipt:
    """The names of what is left out of one request, each once. `wire`: the one that the request is sent on."""

    def __init__(self, request: Request, wire: str) -> None:
        self._request = request
        self._own = request.wire == wire
        self._name_of = request.name_of
        self._names: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, field: str) -> None:
        """`field`: our name for it."""
        self._names.add(self._name_of(field))

    def update(self, fields: Iterable[str]) -> None:
        for field in fields:
            self.add(field)

    def stops(self, stop: list[str] | None, most: int) -> list[str] | None:
        """The first of the stop strings, as many as the wire takes: it refuses a request with more. None for none."""
        if not stop or len(stop) <= most:
            return stop or None
        self.add("stop")
        return stop[:most]

    def uncached(self, cache: Object) -> None:
        """For a wire, or a place in it, without cache points."""
        self.add(BREAKPOINT if "mode" in cache else "cache")

    def unsealed(self, part: Text | ToolCall) -> None:
        """For a wire without a place for a seal. Another provider's is gone already: see proxy/sealing/seals.py."""
        if part.signature:
            self.add("tool_call.signature" if isinstance(part, ToolCall) else "text.signature")

    def blank(self, part: Text | Refusal) -> None:
        """For a wire that refuses a text of white space alone."""
        self._names.add(_index.sub("", part.at) or self._name_of("turn.trailing_space"))

    def moved(self, part: Part) -> None:
        """For a wire that takes such a part from somebody else alone."""
        self._names.add(_index.sub("", part.at))

    def uncited(self, document: Document) -> None:
        """For a wire that quotes no documents."""
        if document.context:
            self.add("document.context")
        self.unquoted(document)

    def unquoted(self, document: Document) -> None:
        """For an answer that does not say on which of the document's passages it rests."""
        if document.cited:
            self.add("document.cited" if document.origin is None else "found.cited")

    def left(self, extra: Object) -> None:
        """Add what only the wire of origin has words for, unless it asks for what is so anyway."""
        self._names.update(paths(extra, idle=IDLE_FIELDS))

    def carried(self, extra: Object) -> Object:
        """`extra`, where this is the wire of origin; else nothing, and a receipt for it."""
        if self._own:
            return extra
        self.left(extra)
        return {}

    def marks(self, part: Part | Tool) -> Object:
        """What a part carries beside its content, for a wire without cache points."""
        if part.cache is not None:
            self.uncached(part.cache)
        return self.carried(part.extra)

    def narrowed(self, request: Request) -> Request:
        """For a wire that cannot restrict the choice to some of the tools: the other tools are not offered.

        Raises Unrepresentable.
        """
        choice = request.tool_choice
        if choice is None or not choice.among:
            return request
        tools = [tool for tool in request.tools if tool.name in choice.among]
        if not tools:
            at = self._name_of("tool_choice")
            raise Unrepresentable(f"{at} names only tools that the request does not offer.", param=at)
        self.update(["tool_choice", "tools"] if len(tools) < len(request.tools) else ["tool_choice"])
        return replace(request, tools=tools, tool_choice=ToolChoice(choice.mode))

    def within(self, request: Request, ranges: Ranges) -> Request:
        """With the knobs brought into the ranges that the wire, or the model, takes: it refuses other values."""
        if self._own:
            return request
        near: dict[str, float | None] = {}
        for name, (least, most) in ranges.items():
            value = getattr(request, name)
            if value is None:
                continue
            if name == "top_k" and value <= 0:  # no limit, on every wire that knows the value
                near[name] = 0 if least <= 0 else None
            elif not least <= value <= most:
                near[name] = min(max(value, least), most)
                self.update(() if name == "temperature" and request.hinted else (name,))
        return replace(request, **near) if near else request

    def lacking(self, knobs: Mapping[str, tuple[object, ...]]) -> None:
        """Add the knobs that the wire lacks, unless their value changes nothing: those values stand with each."""
        for key, idle in knobs.items():
            value = getattr(self._request, key)
            if value is not None and value not in idle:
                self.add(key)


def shortened(names: Sequence[str]) -> list[str]:
    """As many names as fit into a header or a log line, and how many more there are."""
    more = len(names) - NAMES_TOLD
    return [*names[:NAMES_TOLD], f"and {more} more"] if more > 0 else list(names)


def in_header(names: Sequence[str]) -> Iterator[str]:
    """The same names, each cut to length."""
    for name in shortened(names):
        yield name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."


def names_in(body: Object, spelled: Mapping[str, str], by_key: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """What this client calls our fields. `by_key`: other names for some, where the body has that key."""
    if body.keys().isdisjoint(by_key):
        return spelled
    found = [more for key, more in by_key.items() if key in body]
    return {key: name for names in (spelled, *found) for key, name in names.items()}
