"""Which code answers to a name?

Rows of "module:Class", loaded on first use, so that a provider nobody configured costs nothing. What is not a row is
looked for among the entry points of installed packages (groups `pillion.adapters` and `pillion.dialects`).
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from proxy.errors import ConfigError
from proxy.ports import Dialect

ADAPTERS = {
    "openai": "proxy.adapters.openai:OpenAI",
    "anthropic": "proxy.adapters.anthropic:Anthropic",
    "echo": "proxy.adapters.echo:Echo",
}

DIALECTS = {
    "openai_chat": "proxy.dialects.openai_chat:OpenAIChat",
    "anthropic": "proxy.dialects.anthropic:Anthropic",
}

_dialects: dict[str, Dialect] = {}


def adapter(kind: str) -> Any:
    """The class that serves providers of this kind. Raises ConfigError, with the kinds that there are."""
    return _load(ADAPTERS, "pillion.adapters", kind)


def dialect(name: str) -> Dialect:
    """The dialect of this name: one instance, since a dialect has no state. Raises ConfigError."""
    if name not in _dialects:
        _dialects[name] = _load(DIALECTS, "pillion.dialects", name)()
    return _dialects[name]


def _load(rows: Mapping[str, str], group: str, name: str) -> Any:
    if name in rows:
        module, _, attribute = rows[name].partition(":")
        return getattr(import_module(module), attribute)
    metadata = import_module("importlib.metadata")  # slow, and needed by those who bring their own alone
    for entry in metadata.entry_points(group=group):
        if entry.name == name:
            return entry.load()
    raise ConfigError(f"there is no {group.removeprefix('pillion.').rstrip('s')} {name!r}; there are {', '.join(rows)}")
