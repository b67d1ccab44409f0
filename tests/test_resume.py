"""Is who wants broken streams to be gone on with told that nobody does so yet?"""

import pytest

from proxy.config import load
from proxy.errors import ConfigError


def test_it_is_refused_and_not_ignored() -> None:
    with pytest.raises(ConfigError, match=r"failover\.resume: is not there yet"):
        load(environ={"PILLION_FAILOVER_RESUME": "true"})
    assert load(environ={"PILLION_FAILOVER_RESUME": "false"}).failover.resume is False
