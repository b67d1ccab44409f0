"""Does docs/configuration.md say what the schema and the presets say, and config.yaml show every key of them?"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from msgspec import UNSET, Struct, inspect

from proxy.config import layered, load
from proxy.config.conversion import Conversion
from proxy.config.environment import Leaf, leaves
from proxy.config.layers import gathered
from proxy.config.reading import read
from proxy.config.schema import (
    JWT,
    APIKey,
    Budget,
    ClientKeyRow,
    Fault,
    Faults,
    File,
    LimitsRow,
    Model,
    Price,
    ProviderRow,
    RouteRow,
    TargetRow,
)
from proxy.config.values import Mistakes, Node, Series, Table
from proxy.reports.probe import WAIT

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / "config.yaml"
PRESETS = gathered(None, {}, {}).presets


TABLES = ("aliases", "routes", "providers", "keys", "prices", "budgets")
NAMED: dict[str, type[Struct]] = {
    "routes.NAME": RouteRow,
    "routes.NAME.targets": TargetRow,
    "keys.NAME": ClientKeyRow,
    "prices.PROVIDER/MODEL": Price,
    "budgets.NAME": Budget,
    "faults.providers.NAME": Fault,
    "providers.NAME.api_keys": APIKey,
}


def tables() -> dict[str, str]:
    """What stands between the page's marks."""
    return {
        "keys": "\n".join(_keys()),
        "named": "\n".join(_rows_by_name()),
        "providers": "\n".join(_rows()),
        "words": "\n" + ", ".join(f"`{word}`" for word in PRESETS.not_instances) + ".\n",
        "presets": "\n".join(_presets()),
    }


def _keys() -> Iterator[str]:
    yield from ("", "| key | variable | default | |", "|---|---|---|---|")
    yield "| | `PILLION_CONFIG` | none | The configuration file, unless `--config` names one. |"
    wait = "How long `pillion wait` waits, unless `--timeout` says so."
    yield f"| | `PILLION_WAIT_TIMEOUT` | {WAIT:g} seconds | {wait} |"
    for leaf in leaves(File):
        more = f", `{leaf.variable()}_FILE`" if leaf.is_secret else ""
        yield f"| `{'.'.join(leaf.keys)}` | `{leaf.variable()}`{more} | {_default(leaf)} | {_described(leaf)} |"
    for key in TABLES:
        yield f"| `{key}` | | none | {_sentence(File, key)} |"
    yield f"| `limits.models` | | none | {_sentence(LimitsRow, 'models')} |"
    yield f"| `jwt.keys` | | none | {_sentence(JWT, 'keys')} |"
    yield f"| `faults.providers` | | none | {_sentence(Faults, 'providers')} |"
    yield ""


def _rows_by_name() -> Iterator[str]:
    """Of tables whose keys are names of the operator's."""
    for above, schema in NAMED.items():
        yield from ("", f"| key of `{above}` | default | |", "|---|---|---|")
        for leaf in leaves(schema):
            yield f"| `{'.'.join(leaf.keys)}` | {_default(leaf)} | {_described(leaf)} |"
    yield ""


def _rows() -> Iterator[str]:
    yield from ("", "| key of `providers.NAME` | variable | default | |", "|---|---|---|---|")
    for leaf in leaves(ProviderRow):
        variable = "" if leaf.keys[0] in ("keys", "preset") else f"`{leaf.variable('PILLION_<NAME>')}`"
        more = f", `{leaf.variable('PILLION_<NAME>')}_FILE`" if leaf.is_secret else ""
        yield f"| `{'.'.join(leaf.keys)}` | {variable}{more} | {_default(leaf)} | {_described(leaf)} |"
    for key in ("headers", "body"):
        yield f"| `{key}` | | none | {_sentence(ProviderRow, key)} |"
    yield from ("", "| key of a row of `models` | default | |", "|---|---|---|")
    for leaf in leaves(Model):
        if leaf.keys[0] != "timers":
            yield f"| `{'.'.join(leaf.keys)}` | {_default(leaf)} | {_described(leaf)} |"
    yield f"| `timers` | the provider's | {_sentence(Model, 'timers')} |"
    yield ""


def _presets() -> Iterator[str]:
    yield from ("", "| preset | kind | base URL | keys | |", "|---|---|---|---|---|")
    for name, row in PRESETS.providers.items():
        words = {"to be named": row.by_name, "free": row.free, "always there": row.always}
        notes = [*(word for word, holds in words.items() if holds), *row.dialects]
        keys = ", ".join(f"`{key}`" for key in row.keys)
        yield f"| `{name}` | {row.kind} | {row.base_url or 'your own'} | {keys or 'none'} | {', '.join(notes)} |"
    synonyms = ", ".join(f"`{word}` is `{name}`" for word, name in PRESETS.synonyms.items())
    yield from ("", f"Other words that may stand before a model's slash: {synonyms}.", "")


def _default(leaf: Leaf) -> str:
    match leaf.default:
        case None | [] | {}:
            return "none"
        case bool():
            return str(leaf.default).lower()
        case value:
            shown = f"{value:g}" if isinstance(value, float) else f"`{value}`"
            return "" if value is UNSET else f"{shown} {leaf.unit}".rstrip()


def _described(leaf: Leaf) -> str:
    is_list = isinstance(leaf.kind, inspect.ListType)
    kind = leaf.kind.item_type if isinstance(leaf.kind, inspect.ListType) else leaf.kind
    options = ", ".join(f"`{option}`" for option in kind.values) if isinstance(kind, inspect.LiteralType) else ""
    return leaf.description + (f" {'Any' if is_list else 'One'} of {options}." if options else "")


def _sentence(schema: Any, key: str) -> str:
    info = inspect.type_info(schema)
    assert isinstance(info, inspect.StructType)
    kind = next(field.type for field in info.fields if field.encode_name == key)
    assert isinstance(kind, inspect.Metadata)
    return str((kind.extra_json_schema or {})["description"])


def filled(page: str) -> str:
    for name, text in tables().items():
        before, mark, rest = page.partition(f"<!-- {name} -->")
        page = f"{before}{mark}{text}<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    return page


def test_the_page_is_what_the_schema_and_the_presets_say() -> None:
    assert filled(PAGE.read_text()) == PAGE.read_text(), "python -m tests.test_config_docs writes the tables anew"


def test_every_key_has_its_sentence() -> None:
    assert [
        leaf.keys
        for schema in (File, ProviderRow, Model, *NAMED.values())
        for leaf in leaves(schema)
        if not leaf.description
    ] == []


# --- config.yaml -----------------------------------------------------------------------------------------------------


def uncommented() -> str:
    """A `#` that is followed by a key, or by the indentation of one, hides a value; one with a blank is prose."""
    return re.sub(r"(?m)^#(?=\S|  )", "", EXAMPLE.read_text())


def test_the_example_changes_nothing() -> None:
    assert layered(EXAMPLE, {}).file == layered(None, {}).file


def own_certificate(folder: Path) -> None:
    """Where the examples have one."""
    ours = trustme.CA().issue_cert("pillion")
    ours.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    ours.private_key_pem.write_to_path(str(folder / "tls.key"))


def test_the_example_is_right_with_everything_in_it(tmp_path: Path) -> None:
    whole = tmp_path / "config.yaml"
    (tmp_path / "vertex.json").write_text("{}")
    own_certificate(tmp_path)
    text = uncommented().replace("/run/secrets/", f"{tmp_path}/")
    whole.write_text(text.replace("\ntransparent: ", "\n#"))  # which goes with no key of ours
    config = load(whole, {"MY_APP_KEY": "x", "OPENAI_API_KEY": "y"})
    assert list(config.providers) == [
        "openai", "openai-east", "azure", "bedrock", "gemini", "vertex", "ollama", "my-vllm"
    ]  # fmt: skip
    assert config.providers["openai-east"].key_names == ("OPENAI_EAST_API_KEY",)


def test_the_data_is_fit_to_be_read() -> None:
    for name in ("presets.yaml", "models.yaml"):
        lines = (ROOT / "proxy" / name).read_text().splitlines()
        assert [line for line in lines if len(line) > 120] == []


def test_the_example_shows_every_key() -> None:
    mistakes = Mistakes()
    tree = read(uncommented(), "config.yaml", mistakes)
    Conversion(mistakes).struct(tree, File)
    assert mistakes.lines() == []
    assert set(_leaf_keys(File)) - set(_shown(tree)) == set()
    rows = tree.at("providers")
    assert isinstance(rows, Table)
    assert {*_leaf_keys(ProviderRow), ("headers",), ("body",)} - {
        keys for row in rows.entries.values() for keys in _shown(row)
    } == set()
    models = tree.at("providers", "my-vllm", "models")
    assert isinstance(models, Series)
    assert {"name", *Model.__struct_fields__} - set(_shown_names(models.items[1])) == set()


def test_the_example_shows_every_key_of_what_has_a_name() -> None:
    tree = read(uncommented(), "config.yaml", Mistakes())
    for place, schema in NAMED.items():
        above = place.removeprefix("providers.NAME.").partition(".NAME")[0].partition(".PROVIDER")[0].split(".")
        if schema not in (APIKey, TargetRow):
            rows = tree.at(*above)
            assert isinstance(rows, Table), place
            shown = {keys for row in rows.entries.values() for keys in _shown(row)}
            assert {*_leaf_keys(schema)} - shown == set(), place


def _leaf_keys(schema: Any) -> Iterator[tuple[str, ...]]:
    return (leaf.keys for leaf in leaves(schema))


def _shown(node: Node, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield above
    if isinstance(node, Table):
        for key, item in node.entries.items():
            yield from _shown(item, (*above, key))


def _shown_names(node: Node) -> list[str]:
    assert isinstance(node, Table)
    return list(node.entries)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
