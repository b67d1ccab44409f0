"""Does the house still stand as DESIGN.md drew it: arrows down, one owner per library, no forbidden tricks?"""

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROXY = ROOT / "proxy"

# What stands beside `proxy`; names that begin with a dot are the tools' own.
TOP = {
    *("proxy", "tests", "tools", "docs", "deploy"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "Containerfile"),
    *("config.yaml", "setup.cfg", "pyproject.toml"),
}

# From the roof down. A module imports from lower floors only; a newcomer must be placed here before the test passes.
# Where several patterns fit, the longest counts.
FLOORS = [
    ["__main__"],
    ["cli"],
    ["commands"],
    ["process.serving"],
    ["process.reloading"],
    ["process.greeting"],
    ["app"],
    ["assembly"],
    ["supplies", "typed"],
    ["routes"],
    ["spending.adoption"],
    ["spending.accounting", "reports.rehearsal", "reports.watched"],
    ["server", "admin", "reports.*", "dispatch", "registry", "access.minting", "middleware", "middleware.*"],
    ["failover.way"],
    ["failover.candidates", "failover.failures", "failover.hedging", "failover.race", "failover.sofar"],
    ["limits.*"],
    ["lanes.*"],
    ["failover.plan", "spending.used"],
    "catalog catalog.* access.tokens reports.usage_report reports.explain failover.health failover.keystate".split(),
    ["adapters.*"],
    "dialects.* upstream access.* edge.origins edge.handover edge.remote edge.delivery edge.stamp reports.families"
    " routing reports.probe store store.* sealing.makers sealing.vault logs spending.alerts prices prices.*"
    " answers.flights reports.replies".split(),
    ["grammar.searching", "grammar.shapes"],
    ["grammar.watching", "grammar.refusals", "grammar.whole", "failover.faults"],
    "failover.* spending.* logs.redaction grammar.* budgets budgets.* wishes access.keyring access.rights access.named"
    " answers answers.* edge.onlookers edge.keptawake edge.exchange edge.lateness edge.trust edge.release"
    " sealing.pieces reports.sight reports.gauges reports.exposition".split(),
    "fleet ports ports.* framing framing.* envelope envelope.* grammar.fields grammar.knobs grammar.receipts"
    " grammar.thinking grammar.counts grammar.textual edge.wire edge.names edge.door edge.failures edge.listening"
    " edge.hosts edge.room edge.receiving config config.* access.accents access.shown sealing.* reports.outcome"
    " limits.ratelimits failover.retries failover.breaker failover.balance failover.cooldown".split(),
    ["failover.waits", "headers"],
    "canon canon.* errors edge.address edge.alarm edge.flow edge.pulse edge.requests"
    " access.allowance logs.writer grammar.alphabets grammar.repeats limits.gcra spending.money spending.names"
    " spending.tokens files folders failover.recent failover.percentile __init__".split(),
    "limits.resets edge.heads edge.inbound edge.kernel edge.loading edge.outbox edge.patience".split(),
    ["edge.aside", "process.memory", "late", "lean", "packaged"],
    # Rooms whose own file is empty but for what the room is for.
    "access adapters dialects edge failover grammar lanes limits process reports sealing spending".split(),
]
# Who may import from its own floor, and what.
NEIGHBOURS = [
    ("access.rights", "access.named"),
    ("adapters.*", "adapters.http"),
    ("adapters.*", "adapters.keys"),
    ("adapters.http", "adapters.cards"),
    ("adapters.http", "adapters.listing"),
    ("dialects.anthropic.invoke", "dialects.bedrock*"),  # one vendor's body in the other's envelope
    ("dialects.bedrock.count", "dialects.anthropic.parse"),  # likewise
    ("edge.exchange", "edge.lateness"),
    ("lanes.*", "lanes.*"),
    ("store", "store.*"),
    ("store.*", "store.*"),
    ("limits.*", "limits.*"),
    ("answers", "answers.*"),
    ("answers.*", "answers.*"),
    ("framing", "framing.*"),
    ("framing.*", "framing.*"),
    ("ports", "ports.*"),
    ("ports.*", "ports.*"),
    ("ports.*", "envelope"),
    ("envelope", "envelope.*"),
    ("envelope.*", "envelope.*"),
    ("grammar.receipts", "grammar.fields"),
    ("grammar.receipts", "grammar.knobs"),
    ("grammar.counts", "grammar.fields"),
    ("sealing.seals", "grammar.fields"),
    ("sealing.provenance", "sealing.forms"),
    ("sealing.provenance", "sealing.register"),
    ("edge.listening", "edge.room"),
    ("upstream", "edge.origins"),
    ("config", "config.*"),
    ("prices", "prices.*"),
    ("prices.*", "prices.*"),
    ("config.*", "config.*"),
    ("canon", "canon.*"),
    ("canon.*", "canon.*"),
    ("budgets", "budgets.*"),
    ("catalog", "catalog.*"),
    ("catalog.*", "catalog.*"),
    ("budgets.*", "budgets.*"),
]
# Who may import less of the floors below than there is.
ONLY = {
    "dialects.*": "grammar.* framing framing.* envelope ports wishes canon errors".split(),
    "envelope*": ["errors"],
}
# Who alone may import a library, or a part of one: the longest name counts.
OWNERS = {
    "aiohttp": "upstream edge.wire edge.failures edge.flow edge.origins edge.release edge.remote edge.trust"
    " lean".split(),
    "aiohttp.web*": ["edge.keptawake"],
    "aiohttp.StreamReader": ["edge.keptawake"],  # these three are common to its two sides
    "aiohttp.abc": ["edge.keptawake", "edge.names"],
    "aiohttp.http": ["edge.keptawake"],
    "aiohttp_sse": ["edge.keptawake"],
    "httptools": ["edge.exchange", "edge.requests"],
    "google": ["adapters.google.login"],
    "botocore": ["adapters.bedrock.credentials", "adapters.bedrock.signing"],
    "aiobotocore": ["adapters.bedrock.credentials"],
    "prometheus_client": ["reports.families", "reports.exposition"],
    "prometheus_async": [],  # `late` loads it by name
    "jwt": ["access.tokens"],
    "redis": ["store.connection"],
    "sqlite3": [
        f"store.{file}" for file in "database reasons opening beginning remains comeback usage writer ledger".split()
    ],
    "yaml": ["config.reading"],
    "os.environ": ["config.loading", "config.source", "config.descriptors", "reports.probe", "lean"],
    "os.environb": [],
    "os.getenv": [],
    "importlib.import_module": ["registry", "late"],
    "pickle": [],
    "subprocess": [],
    "ctypes": ["process.memory"],
}
FORBIDDEN_CALLS = {"exec", "eval", "__import__"}
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "managers", "base", "impl", "service", "services"}


def faults(name: str, source: str, known: set[str]) -> list[str]:
    """What is wrong with a module, a line each. `known` holds the names of all modules; none starts with `proxy.`"""
    tree = ast.parse(source)
    return [
        *_of_name(name),
        *_of_opening(name, tree),
        *(fault for imported in _imports(tree, known) for fault in _of_import(name, imported)),
        *(fault for node in ast.walk(tree) for fault in _of_node(name, node)),
    ]


def _of_name(name: str) -> Iterator[str]:
    if _floor(name) is None:
        yield f"{name} has no floor"
    if name.rpartition(".")[2].lstrip("_") in FORBIDDEN_NAMES:
        yield f"{name} is named for nothing"


def _of_opening(name: str, tree: ast.Module) -> Iterator[str]:
    text = ast.get_docstring(tree) or ""
    first_line, first_sentence = text.partition("\n")[0], re.split(r"(?<=[.?!])\s", text)[0]
    if not _is_package(name) and "?" not in first_line + first_sentence:
        yield f"{name} opens without a question"


def _imports(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """What is imported, or reached through a module: a.b for `import a.b`, `from a import b` and `a.b` alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                is_ours = source.partition(".")[0] == "proxy"
                yield source if is_ours and whole.removeprefix("proxy.") not in known else whole
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owned = f"{node.value.id}.{node.attr}"
            if any(_within(owned, part) for part in OWNERS if "." in part):
                yield owned


def _of_import(name: str, imported: str) -> Iterator[str]:
    if imported.startswith("."):
        yield f"{name} imports {imported} by a relative name"
    elif imported.partition(".")[0] == "proxy":
        yield from _of_arrow(name, imported.removeprefix("proxy").removeprefix(".") or "__init__")
    else:
        owned = max((key for key in OWNERS if _within(imported, key)), key=len, default=None)
        if owned is not None and name not in OWNERS[owned]:
            yield f"{name} imports {imported}, which belongs to {' and '.join(OWNERS[owned]) or 'nobody'}"


def _of_arrow(name: str, imported: str) -> Iterator[str]:
    floor, its_floor = _floor(name), _floor(imported)
    if floor is None or its_floor is None or its_floor < floor:
        yield f"{name} imports {imported}, which is not below it"
    elif (
        floor == its_floor
        and not _are_one(name, imported)
        and not any(fnmatchcase(name, who) and fnmatchcase(imported, whom) for who, whom in NEIGHBOURS)
    ):
        yield f"{name} imports {imported}, its neighbour"
    for who, allowed in ONLY.items():
        if fnmatchcase(name, who) and floor != its_floor and not any(fnmatchcase(imported, each) for each in allowed):
            yield f"{name} imports {imported}, and of lower floors may import only {', '.join(allowed)}"


def _are_one(name: str, other: str) -> bool:
    """Are they rooms of one folder, such as the faces of one wire?"""
    return name.count(".") + other.count(".") > 2 and name.split(".")[:2] == other.split(".")[:2]


def _of_node(name: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name != "registry":
        inner = [each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)]
        yield from (f"{name}, line {each.lineno}: imports inside {node.name}()" for each in inner)
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in FORBIDDEN_CALLS:
            yield f"{name}, line {node.lineno}: calls {called}()"
        if called.startswith("yaml.") and "load" in called and not _is_safe(node):
            yield f"{name}, line {node.lineno}: calls {called}() without a safe loader"


def _is_safe(call: ast.Call) -> bool:
    """Is it `yaml.safe_load(text)`, or `yaml.load` (or `load_all`) with a SafeLoader?"""
    assert isinstance(call.func, ast.Attribute)
    loaders = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "Loader")]
    return call.func.attr.startswith("safe_") or (
        call.func.attr in {"load", "load_all"} and any("SafeLoader" in ast.unparse(each) for each in loaders)
    )


def _floor(name: str) -> int | None:
    fitting = ((len(each), n) for n, floor in enumerate(FLOORS) for each in floor if fnmatchcase(name, each))
    return max(fitting, default=(0, None))[1]


def _within(imported: str, owned: str) -> bool:
    return fnmatchcase(imported, owned) or imported.startswith(f"{owned}.")


def _is_package(name: str) -> bool:
    return (PROXY / name.replace(".", "/")).is_dir() or name == "__init__"


def _modules() -> dict[str, Path]:
    """Each module's name, `proxy.` left off; a package goes by the name of its folder."""
    paths = PROXY.rglob("*.py")
    return {".".join(path.relative_to(PROXY).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = _modules()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_keeps_the_rules(name: str) -> None:
    assert faults(name, MODULES[name].read_text(), set(MODULES)) == []


def _needed(name: str) -> Iterator[tuple[str, str]]:
    """The permissions that this module makes use of, of OWNERS and of NEIGHBOURS."""
    for imported in _imports(ast.parse(MODULES[name].read_text()), set(MODULES)):
        if imported.partition(".")[0] != "proxy":
            yield from ((key, name) for key in OWNERS if _within(imported, key))
        elif _floor(name) == _floor(ours := imported.removeprefix("proxy.")) and not _are_one(name, ours):
            yield from (pair for pair in NEIGHBOURS if fnmatchcase(name, pair[0]) and fnmatchcase(ours, pair[1]))


def test_nobody_may_do_what_nobody_does() -> None:
    """A permission that nobody needs any more would let in what nobody wants."""
    given = {*NEIGHBOURS, *((key, owner) for key, owners in OWNERS.items() for owner in owners)}
    assert given - {found for name in MODULES for found in _needed(name)} == set()


def test_the_modules_are_found() -> None:
    assert {"__init__", "canon", "adapters", "middleware"} <= set(MODULES)


KNOWN = {"canon", "errors", "ports", "envelope", "framing", "config", "upstream", "server", "app", "dialects.gemini"}


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("canon", "from proxy.ports import Call", "canon imports ports, which is not below it"),
        ("canon", "from proxy import ports", "canon imports ports, which is not below it"),
        ("server", "import proxy.app", "server imports app, which is not below it"),
        ("server", "if True:\n  import proxy.unheard", "server imports unheard, which is not below it"),
        ("server", "from proxy.dispatch import go", "server imports dispatch, its neighbour"),
        ("admin", "import proxy.server", "admin imports server, its neighbour"),
        ("errors", "import proxy.canon", "errors imports canon, its neighbour"),
        ("middleware.cost", "import proxy.middleware.auth", "middleware.cost imports middleware.auth, its neighbour"),
        ("adapters.azure", "import proxy.adapters.openai", "adapters.azure imports adapters.openai, its neighbour"),
        ("adapters.azure", "import proxy.adapters.echo.script", "adapters.azure imports adapters.echo.script, its"),
        ("dialects.gemini", "import proxy.dialects.cohere", "dialects.gemini imports dialects.cohere, its neighbour"),
        ("dialects.gemini", "from proxy.config import Knob", "dialects.gemini imports config, and of lower floors"),
        ("framing", "import proxy.envelope", "framing imports envelope, its neighbour"),
        ("ports", "import proxy.framing", "ports imports framing, its neighbour"),
        ("envelope", "import proxy.canon", "envelope imports canon, and of lower floors may import only"),
        ("middleware.auth", "from ..errors import X", "middleware.auth imports ..errors.X by a relative name"),
        ("newcomer", "", "newcomer has no floor"),
        ("upstream", "from aiohttp import web", "imports aiohttp.web, which belongs to edge.keptawake"),
        ("upstream", "from aiohttp.web_log import X", "imports aiohttp.web_log.X, which belongs to edge.keptawake"),
        ("upstream", "import aiohttp\naiohttp.web.run_app()", "imports aiohttp.web, which belongs to edge.keptawake"),
        ("server", "from aiohttp import ClientSession", "belongs to upstream and edge.wire"),
        ("server", "from aiohttp.http_writer import X", "belongs to upstream and edge.wire"),
        ("upstream", "from aiohttp.http import X", "belongs to edge.keptawake"),
        ("server", "import aiohttp", "server imports aiohttp, which belongs to upstream and edge.wire"),
        ("dispatch", "from aiohttp_sse import sse_response", "belongs to edge.keptawake"),
        ("upstream", "import httptools", "belongs to edge.exchange and edge.requests"),
        ("adapters.vertex", "import botocore.auth", "belongs to adapters.bedrock"),
        ("adapters.vertex", "from aiobotocore.session import X", "belongs to adapters.bedrock"),
        ("middleware.cost", "import prometheus_client", "belongs to reports.families and"),
        ("server", "from prometheus_async import aio", "which belongs to nobody"),
        ("cli", "import yaml", "belongs to config"),
        ("cli", "import os\nos.environ['X']", "cli imports os.environ, which belongs to config"),
        ("cli", "import os\nos.getenv('X')", "cli imports os.getenv, which belongs to nobody"),
        ("cli", "from os import environ as e", "cli imports os.environ, which belongs to config"),
        ("cli", "from importlib import import_module", "belongs to registry"),
        ("config", "import pickle", "belongs to nobody"),
        ("config", "from subprocess import run", "belongs to nobody"),
        ("cli", "def main():\n  if 1:\n    import json", "cli, line 4: imports inside main()"),
        ("cli", "async def main():\n  from json import loads", "cli, line 3: imports inside main()"),
        ("cli", "eval('1')", "cli, line 2: calls eval()"),
        ("cli", "exec('1')", "cli, line 2: calls exec()"),
        ("cli", "__import__('os')", "cli, line 2: calls __import__()"),
        ("config", "yaml.load(x)", "calls yaml.load() without a safe loader"),
        ("config", "yaml.load(x, Loader=yaml.Loader)", "calls yaml.load() without a safe loader"),
        ("config", "yaml.unsafe_load(x)", "calls yaml.unsafe_load() without a safe loader"),
        ("config", "yaml.full_load_all(x)", "calls yaml.full_load_all() without a safe loader"),
        ("middleware.utils", "", "middleware.utils is named for nothing"),
        ("adapters._base", "", "adapters._base is named for nothing"),
    ],
)  # fmt: skip
def test_each_rule_bites(name: str, source: str, fault: str) -> None:
    found = faults(name, f'"""What is it?"""\n{source}', KNOWN)
    assert any(fault in each for each in found), found


@pytest.mark.parametrize(
    "source", ["", "import json", '"""It is this. So.\n\nOr is it?"""', '"""This.\n\nWhat is it?"""']
)
def test_a_module_without_a_question_is_found(source: str) -> None:
    assert faults("cli", source, KNOWN) == ["cli opens without a question"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("adapters.azure", "from proxy.adapters.http import X\nfrom proxy.upstream import Y\nimport proxy.config"),
        ("adapters.echo.script", "import proxy.adapters.echo.schema"),
        ("dialects.gemini", "import proxy.dialects.gemini.parse"),
        ("dialects.gemini", "from proxy import canon\nfrom proxy.framing import sse\nimport msgspec"),
        ("ports.calls", "import proxy.envelope\nfrom proxy.canon import Event\nimport proxy.ports.dialects"),
        ("edge.keptawake", "from aiohttp import web\nimport aiohttp.web_log\nfrom proxy import __version__"),
        ("upstream", "import aiohttp\naiohttp.ClientSession()\nfrom os import getpid"),
        ("config.loading", "import os\nos.environ"),
        ("config.reading", "import yaml\nyaml.safe_load(x)\nyaml.load(x, yaml.CSafeLoader)"),
        ("config.reading", "import yaml\nyaml.load(x, Loader=SafeLoader)\nclass Words(yaml.SafeLoader): pass"),
        ("registry", "from importlib import import_module\ndef load():\n  import json"),
        ("cli", "from importlib.metadata import version\nmodel.eval()\nself.environ"),
    ],
)  # fmt: skip
def test_what_is_allowed_passes(name: str, source: str) -> None:
    assert faults(name, f'"""What is it?"""\n{source}', KNOWN) == []


@pytest.mark.parametrize("room", sorted(PROXY.glob("*/**/__init__.py")), ids=lambda room: room.parent.name)
def test_a_room_that_lists_its_files_lists_all_of_them(room: Path) -> None:
    text = ast.get_docstring(ast.parse(room.read_text())) or ""
    listed = re.findall(r"^    (\w+) {2,}\S", text, re.MULTILINE)
    assert not listed or sorted([*listed, "__init__"]) == sorted(path.stem for path in room.parent.glob("*.py"))


def test_the_guide_names_all_rooms_and_all_that_stands_beside_them() -> None:
    chapter = (ROOT / "CONTRIBUTING.md").read_text().partition("## The rooms\n")[2].partition("\n## ")[0]
    rooms, beside = (
        set(re.findall(r"(?:^| {2})(\w+) {2,}", block, re.MULTILINE)) for block in chapter.split("```")[1::2]
    )
    assert rooms == {path.parent.name for path in PROXY.glob("*/__init__.py")}
    assert beside == {path.stem for path in PROXY.glob("*.py") if not path.stem.startswith("__")}


def test_nothing_else_was_committed_at_the_top() -> None:
    """Such as what a pillion that was started here has written."""
    git = ["git", "-C", str(ROOT), "ls-files"]
    tracked = subprocess.run(git, capture_output=True, text=True, check=False).stdout.splitlines()
    if not tracked:
        pytest.skip("this is no checkout of git's, so nothing says which files belong to it")
    assert {name for path in tracked if not (name := path.partition("/")[0]).startswith(".")} == TOP
