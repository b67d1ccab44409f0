"""What do the environment variables say?

Every key of the file that is not a table has one: PILLION_ and the key, nested keys joined by underscores. A provider's
begin with PILLION_<NAME>_; its API key may also stand in the vendor's own variable. A secret may stand in a file that
NAME_FILE names. An empty variable counts as unset.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import UNSET, Struct, inspect

from proxy.config.conversion import default_of
from proxy.config.schema import File, Preset, ProviderRow
from proxy.config.secret import secret_text, why_unreadable
from proxy.config.values import DEFAULT, Keys, Mistakes, Origin, Scalar, Table, given

UNNAMED = {"keys", "preset"}  # keys of a row that no variable can set
_OF_A_PROVIDER = re.compile(r"(?P<ours>PILLION_)?(?P<name>[A-Z0-9_]+?)_(?P<what>API_KEYS?(?:_FILE)?|BASE_URL)")

BESIDE = {"PILLION_CONFIG", "PILLION_WAIT_TIMEOUT"}  # variables that are no keys of the file
# https://curl.se/libcurl/c/libcurl-env.html
_EGRESS = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


class Leaf(NamedTuple):
    """A key that a variable can set."""

    keys: Keys
    kind: inspect.Type
    is_secret: bool
    default: Any
    description: str
    unit: str  # "" where it has none

    def variable(self, prefix: str = "PILLION") -> str:
        return "_".join([prefix, *self.keys]).upper()


@cache
def leaves(schema: type[Struct]) -> tuple[Leaf, ...]:
    info = inspect.type_info(schema)
    assert isinstance(info, inspect.StructType)
    return tuple(_leaves(info, ()))


def _leaves(info: inspect.StructType, above: Keys) -> Iterator[Leaf]:
    for field in info.fields:
        keys = (*above, field.encode_name)
        for kind in _kinds(field.type):
            if isinstance(kind, inspect.StructType):
                yield from _leaves(kind, keys)
            elif not isinstance(kind, inspect.DictType):
                default = UNSET if field.required else default_of(field)
                yield Leaf(keys, kind, is_secret(field.type), default, _description(field.type), _unit(field.type))


def _kinds(kind: inspect.Type) -> Iterator[inspect.Type]:
    match kind:
        case inspect.Metadata():
            yield from _kinds(kind.type)
        case inspect.UnionType():
            for each in kind.types:
                yield from _kinds(each)
        case inspect.NoneType():
            return
        case _:
            yield kind


def _description(kind: inspect.Type) -> str:
    return (kind.extra_json_schema or {}).get("description", "") if isinstance(kind, inspect.Metadata) else ""


def _unit(kind: inspect.Type) -> str:
    return (kind.extra or {}).get("unit", "") if isinstance(kind, inspect.Metadata) else ""


def is_secret(kind: inspect.Type) -> bool:
    """Is the type marked as secret, or the type of what it holds?"""
    match kind:
        case inspect.Metadata():
            return "secret" in (kind.extra or {}) or is_secret(kind.type)
        case inspect.UnionType():
            return any(is_secret(each) for each in kind.types)
        case inspect.DictType():
            return is_secret(kind.value_type)
        case inspect.ListType():
            return is_secret(kind.item_type)
        case _:
            return False


class Environment:
    """The variables, and the flags of the command line, which have the same names and win over them."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, str], mistakes: Mistakes) -> None:
        self._environ = environ
        self._flags = flags
        self._mistakes = mistakes

    def server(self) -> Table:
        """Everything except the providers."""
        return self._table(leaves(File), "PILLION", ())

    def row(self, name: str, key_names: Iterable[str]) -> Table:
        taken = {leaf.variable() for leaf in leaves(File)}
        named = [
            leaf
            for leaf in leaves(ProviderRow)
            if leaf.keys[0] not in UNNAMED and leaf.variable(prefix(name)) not in taken
        ]
        table = self._table(named, prefix(name), ("providers", name))
        if "api_key" not in table.entries:
            keys = (self._value(variable, True, ("providers", name, "api_key")) for variable in key_names)
            if found := next(filter(None, keys), None):
                table.entries["api_key"] = found
        return table

    def vendors(self, name: str, variables: Mapping[str, Iterable[str]]) -> Table:
        """The keys of a row for which the vendor has its own variables, such as AWS_REGION."""
        found = {
            key: node
            for key, names in variables.items()
            for variable in reversed(list(names))
            if (node := self._value(variable, False, ("providers", name, key)))
        }
        return Table(dict(found), DEFAULT)

    def has(self, variable: str) -> bool:
        """Is this variable set, or the one that names its file?"""
        return bool(self._environ.get(variable) or self._environ.get(f"{variable}_FILE"))

    def has_row(self, name: str) -> bool:
        """Do our own variables make this a configured provider?"""
        said = prefix(name)
        return (
            bool(self._environ.get(f"{said}_BASE_URL")) or self.has(f"{said}_API_KEY") or self.has(f"{said}_API_KEYS")
        )

    def instances(self, presets: Mapping[str, Preset], taken: set[str], words: Iterable[str]) -> dict[str, str]:
        """Providers that exist by variables with a suffix, and the preset of each: `openai-east: openai`.

        `taken`: variables and prefixes of providers that mean something else. `words`: suffixes that do.
        """
        found: dict[str, str] = {}
        stems = {True: {_upper(name): name for name in presets}, False: _stems(_by_key(presets))}
        for variable in self._environ:
            match = _OF_A_PROVIDER.fullmatch(variable) if self._environ[variable] else None
            if match is None or {variable.removesuffix("_FILE"), f"PILLION_{match['name']}"} & taken:
                continue
            is_ours = bool(match["ours"])
            if not is_ours and (
                match["what"].removesuffix("_FILE") != "API_KEY" or {*match["name"].split("_")} & set(words)
            ):
                continue
            stem = max((stem for stem in stems[is_ours] if match["name"].startswith(f"{stem}_")), key=len, default="")
            suffix = match["name"].removeprefix(f"{stem}_").strip("_")
            if stem and suffix:
                preset = stems[is_ours][stem]
                found[_instance(preset, suffix)] = preset
        return found

    def placeless(
        self, presets: Mapping[str, Preset], providers: Collection[str], words: Iterable[str]
    ) -> Iterator[str]:
        """A sentence for each variable that looks like an instance's key and makes no provider.

        Either a key alone is not enough for that preset (vLLM), or the preset's key ends in another word (HF_TOKEN).
        `words`: endings that mean something else.
        """
        named = {name: row for name, row in presets.items() if row.by_name}
        stems = {stem: name for stem, name in _stems(named).items() if stem not in _stems(_by_key(presets))}
        for variable, name in self._suffixed(stems, "API_KEY"):
            if name not in providers:
                yield f"{variable} alone does not configure a provider: set {prefix(name)}_BASE_URL as well"
        for variable, name in self._suffixed(_stems(_by_key(presets), "TOKEN"), "TOKEN"):
            if name not in providers and not {*_upper(name).split("_")} & set(words):
                yield f"{variable} does not configure a provider: set the key of {name} as {prefix(name)}_API_KEY"

    def _suffixed(self, stems: Mapping[str, str], ending: str) -> Iterator[tuple[str, str]]:
        """The variables that are called like an instance's key, and the instance's name. `stems`: as of `_stems`."""
        is_key = re.compile(rf"({'|'.join(stems)})_([A-Z0-9_]+?)_{ending}(?:_FILE)?").fullmatch
        for match in filter(None, map(is_key, sorted(filter(self._environ.get, self._environ)))):
            yield match[0], _instance(stems[match[1]], match[2])

    def egress(self, direct: Sequence[str]) -> Iterator[str]:
        """A sentence if a system-wide egress proxy is set and no provider uses one. `direct`: who is asked without."""
        if direct and (said := next(filter(self._environ.get, _EGRESS), "")):
            ours = f"{prefix(direct[0])}_PROXY, or providers.{direct[0]}.proxy"
            yield f"{said} has no effect: pillion calls providers without a proxy, unless they have their own ({ours})"

    def _table(self, wanted: Iterable[Leaf], before: str, above: Keys) -> Table:
        """A tree of the leaves that are set."""
        root = Table({}, DEFAULT)
        for leaf in wanted:
            node = self._value(leaf.variable(before), leaf.is_secret, (*above, *leaf.keys))
            if node is None:
                continue
            place = root
            for key in leaf.keys[:-1]:
                below = place.entries.setdefault(key, Table({}, DEFAULT))
                assert isinstance(below, Table)
                place = below
            place.entries[leaf.keys[-1]] = node
        return root

    def _value(self, variable: str, is_secret: bool, keys: Keys) -> Scalar | None:
        """A secret may stand in a file, and has no flag."""
        if text := self._flags.get(variable):
            flag = variable.removeprefix("PILLION_").lower().replace("_", "-")
            return given(text, Origin(f"flag --{flag}"), hidden=False)
        origin, text = Origin(f"environment {variable}"), self._environ.get(variable, "")
        if text := text if is_secret else self._bare(text, origin, keys):
            return given(text, origin, hidden=is_secret)
        path = self._environ.get(f"{variable}_FILE") if is_secret else None
        return self._in_file(Path(path), f"{variable}_FILE", keys) if path else None

    def _bare(self, text: str, origin: Origin, keys: Keys) -> str:
        """Without the blanks and quotes around it that an env file of docker's hands over as they stand there."""
        text = text.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            self._mistakes.add(origin, keys, "is in quotes, which are taken for a part of it: leave them out")
            return text[1:-1]
        return text

    def _in_file(self, path: Path, variable: str, keys: Keys) -> Scalar | None:
        origin = Origin(f"file {variable}", file=path)
        try:
            text = secret_text(path)
        except (OSError, ValueError) as error:
            self._mistakes.add(origin, keys, f"{path}: {why_unreadable(error)}")
            return None
        if not text:
            self._mistakes.add(origin, keys, f"{path} is empty")
        return given(text, origin, hidden=True)


def prefix(provider: str) -> str:
    return f"PILLION_{_upper(provider)}"


def way(name: str, preset: Preset) -> str:
    """How the preset of this name becomes a configured provider."""
    own = "BASE_URL" if preset.free else "API_KEY"
    variables = [f"{prefix(name)}_{own}"] if preset.by_name else preset.keys
    ways = [f"set {' or '.join(variables)}"] if variables else []
    return ", or ".join([*ways, "name it under `providers`"] if preset.finds_credentials else ways)


def own_key(provider: str, preset_name: str, preset: Preset) -> str:
    """The variable that holds an instance's key: OPENAI_EAST_API_KEY for openai-east."""
    stem = _stems(_by_key({preset_name: preset}))
    suffix = provider.removeprefix(f"{preset_name}-")
    if stem and suffix != provider:
        return f"{next(iter(stem))}_{_upper(suffix)}_API_KEY"
    return f"{_upper(provider)}_API_KEY"


def _instance(preset: str, suffix: str) -> str:
    return f"{preset}-{suffix.lower().replace('_', '-')}"


def _by_key(presets: Mapping[str, Preset]) -> dict[str, Preset]:
    """The presets that become a provider by their key alone."""
    return {name: row for name, row in presets.items() if not row.by_name}


def _stems(presets: Mapping[str, Preset], ending: str = "API_KEY") -> dict[str, str]:
    """OPENAI for openai: the first variable of its key, without the _API_KEY."""
    keyed = {name: row.keys[0] for name, row in presets.items() if row.keys}
    return {key.removesuffix(f"_{ending}"): name for name, key in keyed.items() if key.endswith(f"_{ending}")}


def _upper(name: str) -> str:
    return re.sub("[^A-Z0-9]", "_", name.upper())
