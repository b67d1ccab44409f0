"""Does each name find its code, and does a wrong one hear what there is?"""

import gc
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from proxy import registry
from proxy.errors import ConfigError

# How clients ask at a cloud's own routes, and at ours, by the wire that they speak there.
FACES = {
    "azure_chat": "openai_chat",
    "unified_chat": "openai_chat",
    "anthropic_vertex": "anthropic",
    "gemini_vertex": "gemini",
    "ollama_chat": "ollama",
}


@pytest.mark.parametrize("name", registry.DIALECTS)
def test_a_dialect_is_one_instance_and_knows_its_name(name: str) -> None:
    assert registry.dialect(name).name == FACES.get(name, name)
    assert registry.dialect(name) is registry.dialect(name)


@pytest.mark.parametrize("kind", registry.ADAPTERS)
def test_an_adapter_is_a_class(kind: str) -> None:
    assert isinstance(registry.adapter(kind), type)


def test_a_name_that_nobody_has_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError, match=r"there is no adapter 'opnai': must be one of openai, azure, .*cohere$"):
        registry.adapter("opnai")
    with pytest.raises(ConfigError, match=r"there is no dialect 'smoke': must be one of openai_chat, .*cohere"):
        registry.dialect("smoke")


def test_an_installed_package_may_bring_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint("mine", "collections:Counter", group)] if group == "pillion.adapters" else []

    monkeypatch.setattr("importlib.metadata.entry_points", found)
    made: Any = registry.adapter("mine")
    assert made.__name__ == "Counter"
    with pytest.raises(ConfigError):
        registry.dialect("mine")


def _found() -> Any:
    return type("Module", (), {"Anthropic": bool})


def _broken() -> Any:
    raise ImportError


@pytest.mark.parametrize("module", [_found, _broken])
def test_an_import_is_not_searched_for_garbage(monkeypatch: pytest.MonkeyPatch, module: Callable[[], Any]) -> None:
    during = []

    def load(name: str) -> Any:
        during.append(gc.isenabled())
        return module()

    monkeypatch.setattr(registry, "import_module", load)
    with suppress(ImportError):
        registry.adapter("anthropic")
    assert (during, gc.isenabled()) == ([False], True)


def test_what_nobody_configured_is_never_loaded() -> None:
    look = "import sys, proxy.registry; print([m for m in sys.modules if m.startswith(('proxy.a', 'proxy.dialects.'))])"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "[]"
