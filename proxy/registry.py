"""Which code answers to a name?

Rows of "module:Class" and "module:function", loaded on first use: a provider that nobody configured costs nothing, and
a command that needs no server loads none. Names that are not in the rows are looked for among the entry points of
installed packages (groups `pillion.adapters`, `pillion.dialects` and `pillion.commands`).
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from proxy.access.tokens import Tokens
    from proxy.adapters.http import HTTPProvider
    from proxy.ports import Dialect
    from proxy.store.redis import Redis

ADAPTERS = {
    "openai": "proxy.adapters.openai:OpenAI",
    "azure": "proxy.adapters.azure:Azure",
    "anthropic": "proxy.adapters.anthropic:Anthropic",
    "gemini": "proxy.adapters.google.gemini:Gemini",
    "vertex": "proxy.adapters.google.vertex:Vertex",
    "bedrock": "proxy.adapters.bedrock:Bedrock",
    "ollama": "proxy.adapters.ollama:Ollama",
    "cohere": "proxy.adapters.cohere:Cohere",
}

DIALECTS = {
    "openai_chat": "proxy.dialects.openai_chat:OpenAIChat",
    "azure_chat": "proxy.dialects.openai_chat.azure:AzureChat",
    "unified_chat": "proxy.dialects.openai_chat.unified:UnifiedChat",
    "openai_responses": "proxy.dialects.openai_responses:OpenAIResponses",
    "anthropic": "proxy.dialects.anthropic:Anthropic",
    "anthropic_vertex": "proxy.dialects.anthropic.vertex:AnthropicVertex",
    "gemini": "proxy.dialects.gemini:Gemini",
    "gemini_vertex": "proxy.dialects.gemini.vertex:GeminiVertex",
    "bedrock": "proxy.dialects.bedrock:Bedrock",
    "bedrock_invoke": "proxy.dialects.anthropic.invoke:Invoke",
    "ollama": "proxy.dialects.ollama:Ollama",
    "ollama_chat": "proxy.dialects.ollama:OllamaChat",
    "cohere": "proxy.dialects.cohere:Cohere",
}

# Loaded by the one command that needs it: without an HTTP server and client the others start in a third of the time.
COMMANDS = {
    "any": "proxy.commands:do",
    "serve": "proxy.process.serving:serve",
    "check": "proxy.process.serving:check",
    "keys": "proxy.access.minting:keys",
    "spend": "proxy.reports.spend:spend",
    "ledger": "proxy.reports.spend:ledger",
    "providers": "proxy.reports.terminal:providers",
}

# Needed only by a configuration that names it, and with libraries of its own.
EXTRAS = {"tokens": "proxy.access.tokens:Tokens", "store": "proxy.store.redis:Redis"}

_dialects: "dict[str, Dialect]" = {}


def adapter(kind: str) -> "type[HTTPProvider]":
    """The class that serves providers of this kind, or one of the same shape.

    Raises ConfigError, with the kinds that there are. Echo is not among them: there is always exactly one.
    """
    made: type[HTTPProvider] = _load(ADAPTERS, "pillion.adapters", kind)
    return made


def no_adapter(kind: str) -> str:
    """Why no adapter serves providers of this kind; "" where one does. Loads nothing."""
    group = "pillion.adapters"
    return "" if kind in ADAPTERS or _brought(group, kind) else _none_of(ADAPTERS, group, kind)


def command(name: str) -> Any:
    """The function that runs a command, from Config to the exit code; `any` finds the command in what was typed.

    Raises ConfigError where a library that it needs is missing.
    """
    try:
        return _load(COMMANDS, "pillion.commands", name)
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        if library == "proxy":
            raise
        how = "reinstall what pillion needs with pip install --upgrade pillion"
        raise ConfigError(f"{library} cannot be imported ({error.msg}): {how}") from None


def tokens() -> "type[Tokens]":
    """The class that checks an identity provider's tokens. Raises ConfigError where its library is not installed."""
    made: type[Tokens] = _load(EXTRAS, "pillion.extras", "tokens")
    return made


def store() -> "type[Redis]":
    """The class that carries a fleet's questions to Redis. Raises ConfigError where its library is not installed."""
    made: type[Redis] = _load(EXTRAS, "pillion.extras", "store")
    return made


def dialect(name: str) -> "Dialect":
    """The dialect of this name: one instance, since a dialect has no state. Raises ConfigError."""
    if name not in _dialects:
        _dialects[name] = _load(DIALECTS, "pillion.dialects", name)()
    return _dialects[name]


def _load(rows: Mapping[str, str], group: str, name: str) -> Any:
    if name in rows:
        module, _, attribute = rows[name].partition(":")
        with _no_collection():
            return getattr(import_module(module), attribute)
    for entry in _brought(group, name):
        return entry.load()
    raise ConfigError(_none_of(rows, group, name))


@contextmanager
def _no_collection() -> Iterator[None]:
    """What an import makes is no garbage: looking for some takes a sixth of the time that pillion needs to start."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _brought(group: str, name: str) -> Sequence[Any]:
    """The entry points of this name in installed packages."""
    metadata = import_module("importlib.metadata")  # slow, and only needed for names that are not ours
    return [entry for entry in metadata.entry_points(group=group) if entry.name == name]


def _none_of(rows: Mapping[str, str], group: str, name: str) -> str:
    return f"there is no {group.removeprefix('pillion.').rstrip('s')} {name!r}: must be one of {', '.join(rows)}"
