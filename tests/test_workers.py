"""Is a pillion of several processes refused, since each of them would count only its own requests?"""

from pathlib import Path

import pytest

from proxy.config import load
from proxy.errors import ConfigError
from tests.test_cli import run


@pytest.mark.parametrize("command", ["serve", "check"])
def test_several_are_refused_with_what_to_do(tmp_path: Path, command: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("strict: true\nworkers: 4\n")
    code, out, said = run(command, "--config", str(file))
    assert (code, out) == (2, "")
    assert f"{file}:2: workers: must be 1, but is 4: limits, budgets and the ledger are kept in one process" in said
    for word in ("limits", "budgets", "state_dir", "address", "store"):
        assert word in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("environ", [{}, {"PILLION_WORKERS": "1"}])
def test_one_is_what_there_is(environ: dict[str, str]) -> None:
    assert load(environ=environ).workers == 1


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_nothing_else_is_a_number_of_them(count: str) -> None:
    with pytest.raises(ConfigError, match="workers"):
        load(environ={"PILLION_WORKERS": count})
