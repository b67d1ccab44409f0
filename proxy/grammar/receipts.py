"""What does a client hear of that its target's wire cannot say: that it was left out, or that it is refused?

Tuning is left out, and the receipt names it. But an answer of another kind than was asked for is none: several where
the wire gives one, or anything but text. And what a client demanded in words of its own wire alone nobody else
understands. Whatever is named has the client's own name: docs/decisions/0010-receipts.md
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from proxy.canon import Document, Part, Request, Text, Tool, ToolCall, ToolChoice
from proxy.errors import Unrepresentable
from proxy.grammar.fields import Object, paths

NAMES_TOLD = 50  # a header of any length would break the client's parser


class Receipt:
    """The names of what is left out of one request, each once. `wire` is the one that the request goes out on."""

    def __init__(self, request: Request, wire: str) -> None:
        self._request = request
        self._own = request.wire == wire
        self._name_of = request.name_of
        self._names: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, field: str) -> None:
        """`field` is our name for it."""
        self._names.add(self._name_of(field))

    def update(self, fields: Iterable[str]) -> None:
        for field in fields:
            self.add(field)

    def unsealed(self, part: Text | ToolCall) -> None:
        """Where the wire has no place for such a seal. Another provider's is gone: see proxy/sealing/seals.py."""
        if part.signature:
            self.add("tool_call.signature" if isinstance(part, ToolCall) else "text.signature")

    def uncited(self, document: Document) -> None:
        """Where the wire quotes no documents."""
        if document.context:
            self.add("document.context")
        self.unquoted(document)

    def unquoted(self, document: Document) -> None:
        """Where no answer tells which of its passages it rests on."""
        if document.cited:
            self.add("document.cited" if document.origin is None else "found.cited")

    def left(self, extra: Object) -> None:
        """What only the wire of origin has a word for."""
        self._names.update(paths(extra))

    def carried(self, extra: Object) -> Object:
        """The same, kept where this is the wire of origin."""
        if self._own:
            return extra
        self.left(extra)
        return {}

    def marks(self, part: Part | Tool) -> Object:
        """What of a part goes out beside what it says, where the wire has no cache points."""
        if part.cache is not None:
            self.add("cache")
        return self.carried(part.extra)

    def narrowed(self, request: Request) -> Request:
        """Where the wire has no word for a choice among some of the tools: the others are not on offer.

        Raises Unrepresentable.
        """
        choice = request.tool_choice
        if choice is None or not choice.among:
            return request
        tools = [tool for tool in request.tools if tool.name in choice.among]
        if not tools:
            at = self._name_of("tool_choice")
            raise Unrepresentable(f"{at} names no tool that is on offer.", param=at)
        self.update(["tool_choice", "tools"] if len(tools) < len(request.tools) else ["tool_choice"])
        return replace(request, tools=tools, tool_choice=ToolChoice(choice.mode))

    def lacking(self, knobs: Mapping[str, tuple[object, ...]]) -> None:
        """The knobs that the wire lacks. With each stands what it may ask for because it is so anyway."""
        for key, idle in knobs.items():
            value = getattr(self._request, key)
            if value is not None and value not in idle:
                self.add(key)


def shortened(names: Sequence[str]) -> list[str]:
    """As many as fit into a header or a line of the log, and how many more there are."""
    more = len(names) - NAMES_TOLD
    return [*names[:NAMES_TOLD], f"and {more} more"] if more > 0 else list(names)


def names_in(body: Object, spelled: Mapping[str, str], by_key: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """What this client calls our fields. `by_key`: where the body has the key, it says these otherwise."""
    found = [more for key, more in by_key.items() if key in body]
    return {key: name for names in (spelled, *found) for key, name in names.items()} if found else spelled


def refuse_demands(request: Request, wire: str) -> None:
    """For a request of another wire; what no tools can meet is a demand as well. Raises Unrepresentable.

    `wire` is the name of this one, for people.
    """
    for at in paths(request.demands):
        raise Unrepresentable(f"{at}: there is no word for it in {wire}.", param=at)
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "tool") and not request.tools:
        at = request.name_of("tool_choice")
        raise Unrepresentable(f"{at} asks for a tool, and there are none.", param=at)


def stored_elsewhere(at: str) -> Unrepresentable:
    """Of a file that lies at another provider."""
    what = "is a file that another provider keeps: send its bytes, or ask the provider that has it"
    return Unrepresentable(f"{at} {what}.", param=at)


def refuse_several(request: Request, wire: str) -> None:
    """Where an answer is one. Raises Unrepresentable."""
    if request.n not in (None, 1):
        at = request.name_of("n")
        raise Unrepresentable(f"{at} is {request.n}, and {wire} gives one answer.", param=at)


def refuse_beyond_text(request: Request, wire: str) -> None:
    """Where an answer is text. Raises Unrepresentable."""
    if request.modalities and (others := set(request.modalities) - {"text"}):
        at = request.name_of("modalities")
        raise Unrepresentable(f"{at} asks for {min(others)}, and {wire} answers in text alone.", param=at)
