"""Is what few need loaded when it is needed, and not before?"""

import subprocess
import sys
import threading
from typing import Any

import pytest

from proxy import late
from proxy.edge import loading

LATE = [late.KEPT_AWAKE, late.TIME, late.CLOSE_MATCHES]
# What these bring, and what importlib.resources would.
NEVER = ["aiohttp.web", "aiohttp_sse", "prometheus_async", "wrapt", "difflib", "importlib.metadata", "zipfile"]


def test_what_serves_loads_none_of_it() -> None:
    look = f"import sys, proxy.process.serving; print([name for name in {NEVER} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "[]"


@pytest.mark.parametrize("place", LATE)
def test_each_is_there(place: str) -> None:
    assert callable(late.load(place))


async def test_it_is_loaded_once_and_the_loop_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def load(place: str) -> Any:
        threads.append(threading.current_thread())
        return place

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(loading, "_loaded", {})
    assert [await loading.loaded("module:name") for _ in range(2)] == ["module:name"] * 2
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
