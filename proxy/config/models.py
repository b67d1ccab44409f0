"""What is known of a model by its name alone?

models.yaml has rows by patterns; a provider's own rows for its models win over them, key by key. For a model's timers
the order is, from the bottom up: the preset's, those in models.yaml, the provider's, the model's own.
"""

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from proxy.config.conversion import Conversion
from proxy.config.reading import read
from proxy.config.schema import Model
from proxy.config.values import Mistakes, Node, Origin, Scalar, Series, Table, is_null, merged, moved, table, texts
from proxy.packaged import packaged

REMEMBERED = 1000  # models that are kept; it is clients who choose names

_DATA = Origin("preset")

# `us.anthropic.` before Bedrock's names, `openai.` before Mantle's. (A dot in a version follows a digit.)
_vendors = re.compile(r"(?:[a-z]+(?:-[a-z]+)*\.)+").match
_special = re.compile(r"[*?\[]")


class Family(NamedTuple):
    """A row of models.yaml."""

    patterns: tuple[str, ...]
    beginnings: tuple[str, ...]  # the patterns up to their first special character
    facts: Table

    def has(self, name: str) -> bool:
        """Does a pattern fit? Few families begin as the name does, and only their patterns are compiled."""
        return name.startswith(self.beginnings) and any(fnmatchcase(name, pattern) for pattern in self.patterns)


class Around(NamedTuple):
    """A provider's timers: its preset's, below those in models.yaml, and its own, above them."""

    under: Node | None = None
    over: Node | None = None


_SILENT = Around()


class Cards:
    """What is known of a provider's models. `rows`: the configured ones, already merged with models.yaml."""

    def __init__(self, rows: Iterable[Model] = (), timers: Around = _SILENT) -> None:
        self._rows = {row.name: row for row in rows}
        self._timers = Around(*(node and moved(node, _DATA) for node in timers))  # its origins do not matter here
        self._met: dict[str, Model | None] = {}

    def __repr__(self) -> str:
        return f"<Cards {list(self._rows.values())}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cards) and (self._rows, self._timers) == (other._rows, other._timers)

    __hash__ = None  # type: ignore[assignment]

    def alike(self) -> Iterator[tuple[str, str]]:
        """The names that say nothing, and those of the models behind them."""
        return ((row.name, row.like) for row in self._rows.values() if row.like)

    def of(self, model: str) -> Model | None:
        """What is known of the model; None where that is nothing."""
        if model in self._rows:
            return self._rows[model]
        if model in self._met:
            return self._met[model]
        facts = _facts(model, Table({}, _DATA), self._timers)
        named = {"name": Scalar(model, "text", _DATA), **facts.entries}
        card = Conversion(Mistakes()).struct(Table(named, _DATA), Model) if facts.entries else None
        if len(self._met) >= REMEMBERED:
            self._met.clear()
        self._met[model] = card
        return card


@cache
def families() -> tuple[Family, ...]:
    """The rows, in their order."""
    mistakes = Mistakes()
    text = packaged("models.yaml").read_text(encoding="utf-8")
    rows = moved(read(text, "models.yaml", mistakes), _DATA)
    mistakes.raise_any()
    return tuple(_families(table(rows).at("models")))


def _families(rows: Node | None) -> Iterator[Family]:
    for row in rows.items if isinstance(rows, Series) else ():
        facts = dict(table(row).entries)
        patterns = tuple(texts(facts.pop("match")))
        yield Family(patterns, tuple(_special.split(pattern)[0] for pattern in patterns), Table(facts, row.origin))


def known(model: str) -> Table:
    """What models.yaml says: for each key, the first row that matches and has it."""
    names = _names(model)
    rows = [family.facts for family in families() if any(family.has(name) for name in names)]
    return merged(*reversed(rows))


def _names(model: str) -> set[str]:
    """The spellings of a name: whole, and without the path and the vendors before it."""
    whole = model.lower()
    names = {whole, whole.rpartition("/")[2]}
    return names | {name[found.end() :] for name in names if (found := _vendors(name))}


def with_cards(row: Table, timers: Around) -> Table:
    """A provider's row, with all that is known of each of its models."""
    models = row.at("models")
    if not isinstance(models, Series):
        return row
    items = tuple(_item(item, timers) for item in models.items)
    return row._replace(entries={**row.entries, "models": models._replace(items=items)})


def _item(item: Node, timers: Around) -> Node:
    name = item if isinstance(item, Scalar) else table(item).at("name")
    said = table(item).at("timers")
    if not isinstance(name, Scalar) or not (is_null(said) or isinstance(said, Table)):
        return item  # a mistake, which the conversion notes
    like = table(item).at("like")
    facts = _facts((like if isinstance(like, Scalar) and not is_null(like) else name).text, table(item), timers)
    if isinstance(item, Scalar) and not facts.entries:
        return item
    return Table({"name": name, **facts.entries}, item.origin)


def _facts(model: str, said: Table, timers: Around) -> Table:
    """What models.yaml says, and over it what is `said` of the model; its timers between those of its provider."""
    found = known(model)
    facts = merged(found, said)
    if not is_null(facts.at("timers")):
        facts.entries["timers"] = merged(timers.under, found.at("timers"), timers.over, said.at("timers"))
    return facts
