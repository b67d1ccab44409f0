"""Is everything there that the pages, the comments and the docstrings name: files, headings, modules, verbs of make?"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config import load
from proxy.typed import parser
from tests.test_config_docs import own_certificate

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    ROOT / "Makefile", ROOT / "Containerfile", ROOT / "config.yaml", ROOT / "setup.cfg", ROOT / "pyproject.toml",
    *(path for room in ("proxy", "tests", "tools", "deploy") for path in sorted((ROOT / room).rglob("*"))
      if path.suffix in {".py", ".sh", ".yaml", ".service"}),
]  # fmt: skip

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
FROM_THE_ROOT = re.compile(r"(?<![\w./-])(?:proxy|tests|tools|docs|deploy)/[\w./-]*\w")
FROM_A_ROOM = re.compile(r"`([\w-]+/[\w./-]+\.(?:py|yaml|md|sh|json))`")  # `edge/wire.py` of proxy/
MODULE = re.compile(r"-m ((?:proxy|tests|tools)(?:\.\w+)*)")
VERB = re.compile(r"(?:`|^)make ([a-z]+)", re.MULTILINE)

BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENVIRON = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x", "MOBILE_KEY": "a-key-of-16-characters"}
# Behind `pillion`, of a line in a block or a unit's ExecStart: up to what a shell does with it.
TYPED = re.compile(r"^(?:ExecStart\w*=\S*/)?pillion (-?-?[a-z][^#>|&\n]*)", re.MULTILINE)


def is_there(path: str) -> bool:
    return (ROOT / path).exists() or (ROOT / "proxy" / path).exists()


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def headings(page: Path) -> set[str]:
    """As they stand behind a `#`."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def missing(page: Path) -> Iterator[str]:
    text, makefile = page.read_text(), (ROOT / "Makefile").read_text()
    yield from (path for path in FROM_THE_ROOT.findall(text) + FROM_A_ROOM.findall(text) if not is_there(path))
    yield from (name for name in MODULE.findall(text) if not is_module(name))
    yield from (verb for verb in VERB.findall(text) if f"\n{verb}: " not in makefile)
    for path, heading in LINK.findall(text):
        there = page.parent / path if path else page
        if not there.exists() or (heading and heading not in headings(there)):
            yield f"{path}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert list(missing(page)) == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "deploy" / "pillion.service"], ids=lambda page: page.name)
def test_what_a_page_has_typed_can_be_typed(page: Path) -> None:
    text = page.read_text()
    blocks = BLOCK.findall(text) if page.suffix == ".md" else [text]
    typed = [shlex.split(line) for block in blocks for line in TYPED.findall(block)]
    assert [words for words in typed if not is_command(words)] == []


@pytest.mark.parametrize(
    "text", [block for page in PAGES for block in YAML.findall(page.read_text())], ids=lambda text: text.split(":")[0]
)
def test_what_a_page_configures_can_be_used(text: str, tmp_path: Path) -> None:
    own_certificate(tmp_path)
    (tmp_path / "config.yaml").write_text(text.replace("/run/secrets/tls.", f"{tmp_path}/tls."))
    assert load(tmp_path / "config.yaml", ENVIRON).warnings == ()


def connected() -> list[tuple[str, str]]:
    """Each row of the first table of docs/providers.md: a provider, and the environment that makes it one."""
    page = (ROOT / "docs" / "providers.md").read_text()
    return re.findall(r"^\| `([\w-]+)`[^|]*\|([^|]*)\|", page, re.MULTILINE)


@pytest.mark.parametrize(("provider", "environment"), connected())
def test_what_a_page_connects_is_a_provider(provider: str, environment: str) -> None:
    environ = dict(each.split("=", 1) for each in re.findall(r"`([A-Z_]+=[^`]*)`", environment))
    assert load(None, environ).providers.keys() & {provider}
    assert load(None, {}).providers.keys() <= {"ollama"}  # which needs nothing


def is_command(words: list[str]) -> bool:
    """A word such as NAME may stand for any text."""
    try:
        parser().parse_args(words)
    except SystemExit:
        return False
    return True


def test_what_a_source_names_is_there() -> None:
    named = {(path, str(source)) for source in SOURCES for path in FROM_THE_ROOT.findall(source.read_text())}
    assert [each for each in sorted(named) if not is_there(each[0])] == []
