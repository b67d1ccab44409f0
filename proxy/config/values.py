"""What was written, and where?

The tree that every layer of the configuration is read into, before it is checked. Each value knows where it stands, so
that a mistake can be shown with its line, and `config show` can say who decided.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from proxy.config.secret import Item, items
from proxy.errors import ConfigError

Keys: TypeAlias = tuple[str, ...]  # the path to a value: ("providers", "openai", "models", "[0]")
Kind = Literal["text", "number", "boolean", "null", "date", "given"]  # given: by a variable; the schema says as what

LONGEST_SHOWN = 40  # characters of a key's name in a message: a longer one may be a misplaced secret


class Origin(NamedTuple):
    source: str  # config.yaml, or `environment PILLION_LISTEN`
    line: int = 0
    file: Path | None = None  # holds nothing but the value, and is read again when it changes
    item: Item | None = None  # where that holds several values

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def told(self) -> str:
        """The place for a message; "" where the operator did not write it."""
        return "" if self.source in ("default", "preset") else str(self)


DEFAULT = Origin("default")


class Scalar(NamedTuple):
    text: str
    kind: Kind
    origin: Origin
    hidden: bool = False  # it may be a secret, so no message shows it

    def __repr__(self) -> str:
        """Any may be a secret: which they are, only the schema says."""
        return f"<Scalar {self.origin}>"


class Series(NamedTuple):
    items: tuple["Node", ...]
    origin: Origin


class Table(NamedTuple):
    entries: dict[str, "Node"]
    origin: Origin

    def at(self, *keys: str) -> "Node | None":
        """What stands under these keys, one below the other."""
        node: Node | None = self
        for key in keys:
            node = node.entries.get(key) if isinstance(node, Table) else None
        return node


Node: TypeAlias = Scalar | Series | Table


def given(text: str, origin: Origin, hidden: bool) -> Scalar:
    """A value from a variable or a flag. `hidden`: it may be a secret."""
    return Scalar(text, "given", origin, hidden)


def separated(node: Scalar) -> Series:
    """The items of a list that a variable or a file holds."""
    found = items(node.text)
    return Series(
        tuple(
            Scalar(text, node.kind, node.origin._replace(item=Item(n, len(found))), node.hidden)
            for n, text in enumerate(found)
        ),
        node.origin,
    )


class Places:
    """Where each value stands, for mistakes that are only found when it is put to use.

    Its repr is always the same, so that a line that moves does not make another configuration.
    """

    def __init__(self, origins: Mapping[Keys, Origin] | None = None) -> None:
        self._origins = origins or {}

    def __repr__(self) -> str:
        return "<Places>"

    def nearest(self, keys: Keys) -> Origin:
        """A missing key has no place, but the table that lacks it has one."""
        above = (keys[:n] for n in range(len(keys), 0, -1))
        places = [*above, (*keys, "api_key")]  # the last may be why there is such a provider
        origins = (self._origins[place] for place in places if place in self._origins)
        return next((origin for origin in origins if origin.told), DEFAULT)

    def told(self, *keys: str) -> str:
        """How a mistake's line begins: `config.yaml:3: providers.x.kind`."""
        return ": ".join(filter(None, [self.nearest(keys).told, spelled(keys)]))


NOWHERE = Places()


def is_null(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and node.kind == "null")


def is_unset(node: Node) -> bool:
    """Did it refer to variables that hold nothing? Where names are the operator's, a plain null is a mistake."""
    return isinstance(node, Scalar) and node.kind == "null" and node.hidden


def table(node: Node | None) -> Table:
    """The node, where it is a table; else an empty one, in its place."""
    return node if isinstance(node, Table) else Table({}, DEFAULT if node is None else node.origin)


def merged(*layers: Node | None) -> Table:
    """Tables laid over each other, the last one on top. A null leaves what lies below it."""
    entries: dict[str, Node] = {}
    origin = DEFAULT
    for layer in layers:
        if not isinstance(layer, Table):
            continue
        origin = origin if layer.origin is DEFAULT else layer.origin
        for key, node in layer.entries.items():
            below = entries.get(key)
            if isinstance(node, Table) and isinstance(below, Table):
                entries[key] = merged(below, node)
            elif below is None or not is_null(node):
                entries[key] = node
    return Table(entries, origin)


def moved(node: Node, origin: Origin) -> Node:
    """The same tree, all of it with this origin."""
    match node:
        case Table():
            return Table({key: moved(item, origin) for key, item in node.entries.items()}, origin)
        case Series():
            return Series(tuple(moved(item, origin) for item in node.items), origin)
        case Scalar():
            return node._replace(origin=origin)


def texts(node: Node | None) -> list[str]:
    """The scalars of a list."""
    if isinstance(node, Scalar) and node.kind == "given":
        node = separated(node)
    return [item.text for item in node.items if isinstance(item, Scalar)] if isinstance(node, Series) else []


def what(node: Node) -> str:
    """The kind of a node, for a message."""
    match node:
        case Table():
            return "a mapping"
        case Series():
            return "a list"
        case Scalar(kind="null"):
            return "nothing"
        case Scalar(kind="text" | "given"):
            return "text"
        case Scalar():
            return f"a {node.kind}"


def spelled(keys: Keys) -> str:
    """`providers.openai.models[0]`."""
    return "".join(_named(key) if key.startswith("[") else f".{_named(key)}" for key in keys).removeprefix(".")


def _named(key: str) -> str:
    return key if key.isprintable() and len(key) <= LONGEST_SHOWN else f"(a key of {len(key)} characters)"


class Mistakes:
    """All that is wrong, one line each, to be reported at once."""

    def __init__(self) -> None:
        self._found: list[tuple[Origin, Keys, str]] = []

    def add(self, origin: Origin, keys: Keys, problem: str) -> None:
        self._found.append((origin, keys, problem))

    def within(self, *keys: str) -> bool:
        """Is there a mistake at this place, or at one around it? Then what follows from it is no news."""
        return any(keys[: len(known)] == known for _, known, _ in self._found if known)

    def lines(self) -> list[str]:
        in_order = sorted(self._found, key=lambda found: (not found[0].line, found[0].line))  # the file's come first
        told = [": ".join(filter(None, [origin.told, spelled(keys), text])) for origin, keys, text in in_order]
        return list(dict.fromkeys(told))

    def raise_any(self, besides: Iterable[str] = ()) -> None:
        """Raises ConfigError, if there are any. `besides`: what is no mistake, but may be why something is missing."""
        if self._found:
            raise ConfigError("\n".join([*self.lines(), *besides]))
