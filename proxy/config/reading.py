"""What does a YAML file say, and on which line?

The sole owner of yaml. It reads events, not values, so that YAML 1.1's guesses (`no`, `12:30`, `0123`) decide nothing,
every key keeps its line, and a duplicate is noticed. What a mistake or an attacker can write is bounded here: size,
depth, and what the aliases add up to.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from proxy.config.secret import why_unreadable
from proxy.config.values import Keys, Kind, Mistakes, Node, Origin, Scalar, Series, Table, what
from proxy.errors import ConfigError

LARGEST = 1024 * 1024  # bytes
DEEPEST = 32
MOST = 20_000  # values, counted again for each alias

_KINDS: dict[str, Kind] = {"int": "number", "float": "number", "bool": "boolean", "null": "null", "timestamp": "date"}
# YAML 1.1 takes them for text, JSON and YAML 1.2 for numbers; json.dumps(0.00003) is 3e-05.
_EXPONENT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?[eE][+-]?[0-9]+")
# What is not printable: https://yaml.org/spec/1.1/#c-printable
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def contents(path: Path) -> str:
    """The text of the file. Raises ConfigError."""
    try:
        with path.open("rb") as opened:
            data = opened.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigError(f"{path}: longer than {LARGEST} bytes, the limit for a configuration")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}") from None


def read(text: str, source: str, mistakes: Mistakes) -> Table:
    """The document as a tree. Raises ConfigError where it is not YAML; milder mistakes are noted."""
    if found := _CONTROL.search(text):
        before = text.count("\n", 0, found.start())
        raise ConfigError(f"{source}:{before + 1}: contains a control character (U+{ord(found[0]):04X})")
    try:
        return _Composer(_Loader(text), source, mistakes).document()
    except yaml.MarkedYAMLError as error:  # not its str(), which quotes the line: a key may stand in it
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}{line}: {_why(error, text)}") from None


def _why(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    if mark and mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        return "a tab where YAML requires spaces"
    if mark and mark.line < len(lines) and lines[mark.line][: mark.column + 1].endswith("${"):
        return "a value with ${ must be in quotes between { } or [ ]"
    return error.problem or error.context or "not valid YAML"


class _Composer:
    """From events to a tree. Recursive, and no deeper than DEEPEST."""

    def __init__(self, loader: Any, source: str, mistakes: Mistakes) -> None:
        self._loader = loader
        self._source = source
        self._mistakes = mistakes
        self._anchors: dict[str, tuple[Node, int]] = {}  # and the number of values in each
        self._count = 0

    def document(self) -> Table:
        root: Node = Table({}, Origin(self._source, 1))
        documents = 0
        while self._loader.check_event():
            event = self._loader.get_event()
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._fatal(event, "begins a second YAML document: the file must have only one")
                root = self._node(self._loader.get_event(), ())
        if isinstance(root, Table):
            return root
        if not (isinstance(root, Scalar) and root.kind == "null"):
            raise ConfigError(f"{root.origin}: expected a mapping (key: value), got {what(root)}")
        return Table({}, root.origin)

    def _node(self, event: Any, keys: Keys, origin: Origin | None = None) -> Node:
        origin = origin or self._origin(event)
        if len(keys) > DEEPEST:
            raise self._fatal(event, f"nested more than {DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, origin)
        if event.tag is not None:
            raise self._fatal(event, "YAML tags (!...) are not supported: leave out the tag")
        before = self._count
        self._counted(event, 1)
        match event:
            case yaml.MappingStartEvent():
                node: Node = self._table(keys, origin)
            case yaml.SequenceStartEvent():
                node = self._series(keys, origin)
            case _:
                node = Scalar(event.value, self._kind(event), origin)
        if event.anchor:
            self._anchors[event.anchor] = (node, self._count - before)
        return node

    def _table(self, keys: Keys, origin: Origin) -> Table:
        entries: dict[str, Node] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            key, at = self._key(event, keys), self._origin(event)
            node = self._node(self._loader.get_event(), (*keys, key), at)
            if key in entries:
                self._mistakes.add(at, (*keys, key), f"duplicate key; the first is on line {entries[key].origin.line}")
            else:
                entries[key] = node
        return Table(entries, origin)

    def _series(self, keys: Keys, origin: Origin) -> Series:
        items: list[Node] = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*keys, f"[{len(items)}]")))
        return Series(tuple(items), origin)

    def _key(self, event: Any, keys: Keys) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise self._fatal(event, "a key must be a plain word")
        if self._tag(event) == "merge":
            raise self._fatal(
                event, "YAML merge keys (<<) are not supported: a provider's row can name a `preset` instead"
            )
        kind = self._kind(event)
        if kind != "text":
            problem = f"YAML reads this key as {what(Scalar(event.value, kind, self._origin(event)))}: put it in quotes"
            self._mistakes.add(self._origin(event), (*keys, event.value), problem)
        return str(event.value)

    def _alias(self, event: Any, origin: Origin) -> Node:
        if event.anchor not in self._anchors:
            raise self._fatal(event, "a YAML alias must refer to a value that is complete before it")
        node, count = self._anchors[event.anchor]
        self._counted(event, count)
        return node._replace(origin=origin)

    def _counted(self, event: Any, count: int) -> None:
        self._count += count
        if self._count > MOST:
            raise self._fatal(event, f"more than {MOST} values, counting aliases each time they are used")

    def _tag(self, event: Any) -> str:
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)).rpartition(":")[2]

    def _kind(self, event: Any) -> Kind:
        if event.implicit[0] and _EXPONENT.fullmatch(event.value):  # and not in quotes
            return "number"
        return _KINDS.get(self._tag(event), "text")

    def _origin(self, event: Any) -> Origin:
        return Origin(self._source, event.start_mark.line + 1)

    def _fatal(self, event: Any, problem: str) -> ConfigError:
        return ConfigError(f"{self._origin(event)}: {problem}")
