"""Which layer says what, and what do they say together?

From the bottom up: the defaults, a preset, the vendor's own variables, the file, our variables, the flags. They are
laid over each other as trees, key by key, before anything is converted, so that each value still knows its origin.
"""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from proxy.config.address import leads_away, leads_to
from proxy.config.conversion import Conversion
from proxy.config.elsewhere import left_behind
from proxy.config.environment import Environment, own_key, prefix
from proxy.config.expansion import Expansion
from proxy.config.models import Around, with_cards
from proxy.config.reading import contents, read
from proxy.config.schema import File, Preset, Presets
from proxy.config.unknown import unknown
from proxy.config.useless import (
    misled,
    mistaken_keys,
    mixed_up,
    per_token,
    too_much,
    untrusted,
    without_key,
    without_model,
)
from proxy.config.values import (
    DEFAULT,
    Keys,
    Mistakes,
    Node,
    Origin,
    Scalar,
    Table,
    is_null,
    merged,
    moved,
    table,
    texts,
)
from proxy.edge.address import Address, address
from proxy.packaged import packaged

# Keys of a preset that a row does not inherit.
_OF_A_PRESET = {"by_name", "always", "finds_credentials", "variables", "places", "keys", "key_forms", "elsewhere"}


class Row(NamedTuple):
    """A provider's layers, laid over each other."""

    name: str
    node: Node
    preset: Preset
    key_names: tuple[str, ...]
    timers: Around
    assumed: bool = False  # the operator has not configured it


class Layers(NamedTuple):
    file: File
    rows: Mapping[str, Row]
    presets: Presets
    origins: Mapping[Keys, Origin]
    nulls: Collection[Keys]  # the keys of what was a null, and so has its default
    mistakes: Mistakes
    unheeded: tuple[str, ...]  # variables without an effect, a sentence each; they are no mistakes
    doubtful: tuple[str, ...]  # likewise what can hardly be meant
    home: Path | None = None  # the folder for state by the rules of the operating system

    @property
    def state_dir(self) -> Path | None:
        """Where state is kept; None: nowhere."""
        return Path(self.file.state_dir).absolute() if self.file.state_dir else self.home


class _Data(NamedTuple):
    """presets.yaml, read."""

    presets: Presets
    tree: Table


def gathered(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str], text: str | None = None
) -> Layers:
    """All layers, with what is wrong in `mistakes`. `text`: the file's, if it has been read. Raises ConfigError where
    the file is not YAML.
    """
    mistakes = Mistakes()
    data = _data()
    environment = Environment(environ, flags, mistakes)
    file = Table({}, DEFAULT)
    if path is not None:
        file = read(contents(path) if text is None else text, str(path), mistakes)
    top = merged(Expansion(environ, mistakes).of(file), environment.server())
    providers = top.at("providers")
    rows = Rows(data, environment, table(providers), mistakes).all(_upstream(top, data.presets), _transparent(top))
    if is_null(providers) or isinstance(providers, Table):  # else it is a mistake, which the conversion notes
        top.entries["providers"] = Table({name: row.node for name, row in rows.items()}, DEFAULT)
    conversion = Conversion(mistakes)
    said = conversion.struct(top, File)
    absent = {name: row for name, row in data.presets.providers.items() if name not in rows or rows[name].assumed}
    unheeded = (
        *unknown(environ, rows, data.presets.providers),
        *environment.placeless(data.presets.providers, rows, data.presets.not_instances),
        *environment.egress(_without_proxy(said, rows)),
        *left_behind(environ, said, absent, _listening(said)),
    )
    doubtful = (
        *mistaken_keys(said),
        *mixed_up(said, data.presets, conversion.origins),
        *untrusted(environ),
        *misled(said, {name: row.preset.base_url or "" for name, row in rows.items()}),
        *per_token(said),
        *too_much(said),
        *without_model(said, data.presets),
        *without_key(said, data.presets, {name: row.key_names for name, row in rows.items()}, conversion.origins),
    )
    places = conversion.origins, conversion.nulls
    return _apart(Layers(said, rows, data.presets, *places, mistakes, unheeded, doubtful, _state_dir(environ)))


def _without_proxy(file: File, rows: Mapping[str, Row]) -> list[str]:
    """The configured providers on other machines, if no provider at all has a proxy."""
    there = {name: row for name, row in file.providers.items() if row is not None and not rows[name].assumed}
    if any(row.proxy for row in there.values()):
        return []
    return [name for name, row in there.items() if leads_away(row.base_url or "")]


def _state_dir(environ: Mapping[str, str]) -> Path | None:
    """https://specifications.freedesktop.org/basedir-spec/latest/: a relative path counts as unset."""
    if (said := Path(environ.get("XDG_STATE_HOME") or "")).is_absolute():
        return said / "pillion"
    home = Path(environ.get("HOME") or "")
    return home / ".local" / "state" / "pillion" if home.is_absolute() else None


def _apart(layers: Layers) -> Layers:
    """Without assumed providers whose address is ours: pillion may listen in Ollama's own place."""
    listening, providers = _listening(layers.file), layers.file.providers
    urls = {name: row.base_url for name, row in providers.items() if row and layers.rows[name].assumed}
    ours = {name for where in listening for name, url in urls.items() if url and leads_to(url, where)}
    kept = {name: row for name, row in providers.items() if name not in ours}
    rows = {name: row for name, row in layers.rows.items() if name not in ours}
    return layers._replace(file=replace(layers.file, providers=kept), rows=rows)


def _listening(file: File) -> list[Address]:
    return [where for where in map(address, listeners(file).values()) if where is not None]


def listeners(file: File) -> dict[Keys, str]:
    """The configured addresses of the listeners, by key."""
    said = {
        ("listen",): file.listen,
        ("metrics_address",): file.metrics_address,
        ("admin", "address"): file.admin.address,
    }
    return {keys: text for keys, text in said.items() if text is not None}


@cache
def _data() -> _Data:
    mistakes = Mistakes()
    tree = read(packaged("presets.yaml").read_text(encoding="utf-8"), "presets.yaml", mistakes)
    presets = Conversion(mistakes).struct(tree, Presets)
    mistakes.raise_any()
    return _Data(presets, table(moved(tree, Origin("preset"))))


def _upstream(top: Table, presets: Presets) -> str:
    """The provider that gets all traffic. A row that is called like a synonym is itself."""
    node = top.at("upstream")
    name = node.text.partition("/")[0] if isinstance(node, Scalar) else ""
    return name if name in table(top.at("providers")).entries else presets.synonyms.get(name, name)


def _transparent(top: Table) -> str:
    node = top.at("transparent")
    return node.text if isinstance(node, Scalar) else ""


class Rows:
    """Makes the providers' rows from what is `written` in the file, the presets and the variables."""

    def __init__(self, data: _Data, environment: Environment, written: Table, mistakes: Mistakes) -> None:
        self._data = data
        self._presets = data.presets.providers
        self._environment = environment
        self._written = written
        self._mistakes = mistakes

    def all(self, upstream: str, transparent: str) -> dict[str, Row]:
        """Those that the file names, those whose key or base URL is set, the one that gets all traffic, the one that
        gets the app's own key, and those that are always there.
        """
        keyed = [
            name
            for name, preset in self._presets.items()
            if name == transparent or self._is_set(name, preset, upstream)
        ]
        instances = self._environment.instances(self._presets, self._taken(), self._data.presets.not_instances)
        names = dict.fromkeys([*self._written.entries, *keyed, *instances])
        rows = {name: self._row(name, instances.get(name, "")) for name in names}
        said = {prefix(name) for name in rows}
        always = [name for name, preset in self._presets.items() if preset.always and prefix(name) not in said]
        return rows | {name: self._row(name, "")._replace(assumed=True) for name in always}

    def _is_set(self, name: str, preset: Preset, upstream: str) -> bool:
        has_key = any(self._environment.has(key) for key in preset.keys)
        needs_none = preset.free or preset.finds_credentials
        if name == upstream and (has_key or needs_none):
            return True
        return (has_key and not preset.by_name) or self._environment.has_row(name)

    def _taken(self) -> set[str]:
        """Variables and prefixes that belong to a known provider, and so make no instance."""
        keys = {key for preset in self._presets.values() for key in preset.keys}
        said = {key for name in self._written.entries for key in texts(self._written.at(name, "keys"))}
        return keys | said | {prefix(name) for name in [*self._presets, *self._written.entries]}

    def _row(self, name: str, instance_of: str) -> Row:
        row = self._written.entries.get(name)
        chosen = self._preset(name, table(row), instance_of)
        preset = self._presets.get(chosen, Preset())
        if chosen != name:  # another account, so the vendor's own variables are not about it
            preset = replace(preset, variables={})
        own = preset.keys if chosen == name else [own_key(name, chosen, preset)]
        key_names = tuple(texts(table(row).entries.get("keys")) or own)
        base, said = self._preset_row(chosen), merged(row, self._environment.row(name, key_names))
        below = merged(
            self._timers(merged(base, said).at("kind")), base, self._environment.vendors(name, preset.variables)
        )
        timers = Around(below.at("timers"), said.at("timers"))
        is_odd = not is_null(row) and not isinstance(row, Table)
        merge = with_cards(merged(below, said), timers)
        node = row if row and is_odd else merge._replace(origin=row.origin if row else merge.origin)
        return Row(name, node, preset, key_names, timers)

    def _preset(self, name: str, row: Table, instance_of: str) -> str:
        """The name of the preset under a row: the one that it names, or with which its own name begins; "" if none."""
        said = row.at("preset")
        if isinstance(said, Scalar) and not is_null(said):
            if said.text not in self._presets:
                problem = f"is not a preset; the presets are {', '.join(self._presets)}"
                self._mistakes.add(said.origin, ("providers", name, "preset"), problem)
            return said.text
        if name in self._presets:
            return name
        if {"kind", "base_url"} & row.entries.keys():
            return ""  # a host of its own
        return instance_of or max((each for each in self._presets if name.startswith(f"{each}-")), key=len, default="")

    def _timers(self, kind: Node | None) -> Table:
        """Those of the preset that is named like the kind: what speaks Ollama's API loads models as Ollama does."""
        timers = self._preset_row(kind.text).at("timers") if isinstance(kind, Scalar) else None
        return Table({"timers": timers} if timers else {}, DEFAULT)

    def _preset_row(self, name: str) -> Table:
        row = table(self._data.tree.at("providers", name))
        return Table({key: node for key, node in row.entries.items() if key not in _OF_A_PRESET}, row.origin)
