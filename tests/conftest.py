"""What holds for every test? The loop it runs on, the stillness after it, and the count of recordings replayed."""

import gc
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop
from hypothesis import settings

from tests import laws, recordings
from tests.doorstep import ear
from tests.quiesce import Loop, loop_of_test, quiesced

__all__ = ["ear", "loop_of_test", "quiesced"]

# No process that a test starts finds what is kept for the person who runs the tests.
_STATE = tempfile.TemporaryDirectory(prefix="pillion-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name

# The same cases in each run, so that what passed here passes there; the soak looks for new ones.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("new", deadline=None, print_blob=True)
settings.load_profile("new" if laws.SOAK else "same")


def pytest_configure() -> None:
    """Of what is collected nothing is garbage: looking for some takes a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """The tests and what they import stay to the end, and are not looked at again each time that garbage is."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], Loop]]:
    """The loop that users get."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist is done: what it replayed counts."""
    output = getattr(node, "workeroutput", {})
    recordings.count(set(output.get("replayed", ())))
    laws.taken.update(output.get("splits", {}))
    laws.figures.update(output.get("figures", {}))
    laws.measured.update(output.get("measured", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["replayed"] = sorted(recordings.count())
        output["splits"] = dict(laws.taken)
        output["figures"] = laws.figures
        output["measured"] = laws.measured
    elif _too_few(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure, (count, whole) in sorted(laws.figures.items()):
        terminalreporter.write_line(f"{figure}: {count:,} of {whole:,} ({count / whole:.0%})")
    for figure, text in sorted(laws.measured.items()):
        terminalreporter.write_line(f"{figure}: {text}")
    if not recordings.present():
        terminalreporter.write_line(f"recordings replayed: none, {recordings.why_absent()}")
    else:
        terminalreporter.write_line(f"recordings replayed: {len(recordings.count())} distinct of {recordings.total()}")
    if laws.taken:
        share = "all" if laws.SOAK else f"{laws.SPLITS / laws.MOST_SPLITS:.0%} of what make soak takes"
        terminalreporter.write_line(f"seeded splits of recorded streams: {laws.taken['splits']}, {share}")
    if _too_few(config):
        terminalreporter.write_line(f"too few: the whole suite replays at least {recordings.MINIMUM}", red=True)
        terminalreporter.write_line("(a machine that has none says so: PILLION_RECORDINGS=none)")


def _too_few(config: pytest.Config) -> bool:
    """Recordings that are not where they should be are too few as well."""
    return not recordings.waived() and _is_whole(config) and len(recordings.count()) < recordings.MINIMUM


def _is_whole(config: pytest.Config) -> bool:
    """Was every test asked for: no path, no -k, no -m and the like?"""
    chosen = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "collectonly", "maxfail")
    return config.args_source is not config.ArgsSource.ARGS and not any(config.getoption(name, None) for name in chosen)
