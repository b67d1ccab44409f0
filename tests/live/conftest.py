"""When is the live suite collected, and what may a run of it cost?"""

import os

import pytest

from tests.live.providers import worst_case
from tests.live.purse import ALLOWED

collect_ignore_glob = [] if os.environ.get("PILLION_LIVE") == "1" else ["test_*.py"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Nobody has been asked yet."""
    asked = [item for item in session.items if "test_live_provider" in item.name and "[echo-" not in item.name]
    if len(asked) > ALLOWED:
        raise pytest.UsageError(f"{len(asked)} calls, and PILLION_LIVE_CALLS allows {ALLOWED}")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        for line in worst_case(os.environ):
            reporter.write_line(line)
