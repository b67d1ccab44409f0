"""Is what few need loaded when it is needed, and not before?"""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE
from typing import Any

import pytest

from proxy import admin, late
from proxy.edge import loading
from proxy.edge.address import Address
from tests.client import OPENAI, PATIENCE, ask, chat
from tests.gateway import pillion
from tests.test_cli import environ

LATE = [place for name, place in vars(late).items() if name.isupper()]
SCRAPED = ["prometheus_client", "http.server", "socketserver", "wsgiref"]  # what a scrape brings
# What these bring, and what importlib.resources would; and what brings C++'s library.
NEVER = [
    "aiohttp.web",
    "aiohttp_sse",
    "prometheus_async",
    "wrapt",
    "difflib",
    "html",
    "proxy.dialects.ollama",
    "importlib.metadata",
    "zipfile",
    "frozenlist._frozenlist",
    *SCRAPED,
]
# A pillion that says on SIGUSR2 which of SCRAPED it has loaded.
TELLING = f"""
import signal, sys
from proxy.cli import main
signal.signal(signal.SIGUSR2, lambda *_: print([name for name in {SCRAPED} if name in sys.modules], flush=True))
sys.exit(main(["serve"]))
"""


def test_what_serves_loads_none_of_it() -> None:
    """Not even with the adapter of the Ollama that is assumed everywhere."""
    loaded = "import sys, proxy.process.serving; from proxy import registry; registry.adapter('ollama')"
    look = f"{loaded}; print([name for name in {NEVER} if name in sys.modules])"
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


# --- a scrape --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["listen", "metrics"])
async def test_the_first_scrape_loads_prometheus_client_and_knows_what_was_before_it(listener: str) -> None:
    environment = environ(PILLION_METRICS_ADDRESS="127.0.0.1:0", PILLION_LOG_FORMAT="json")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TELLING, env=environment, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            started = json.loads(await process.stderr.readline())
            at, asked = (Address("127.0.0.1", int(started[name].rpartition(":")[2])) for name in ("listen", listener))
            for _ in range(2):
                assert (await chat(at, OPENAI, OPENAI.request(model="echo/text"))).status == 200
            assert (await ask(asked, "GET", "/readiness")).status == 200
            process.send_signal(signal.SIGUSR2)
            assert await process.stdout.readline() == b"[]\n"
            told = (await ask(asked, "GET", "/metrics")).body.decode()
            process.send_signal(signal.SIGUSR2)
            assert await process.stdout.readline() == f"{SCRAPED}\n".encode()
    finally:
        process.kill()
        await process.communicate()
    assert 'pillion_requests_total{model="text",operation="chat",provider="echo",status="200"} 2.0\n' in told


async def test_who_scrapes_first_at_once_is_answered_and_from_one_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ["/metrics", "/providers/echo/health"] * 3
    all_wait, waiting = threading.Event(), 0

    async def loaded(place: str) -> Any:
        nonlocal waiting
        waiting += place == late.FAMILIES
        if waiting == len(paths):
            all_wait.set()
        return await loading.loaded(place)

    def load(place: str) -> Any:
        assert all_wait.wait(PATIENCE)
        return late.load(place)

    monkeypatch.setattr(admin, "loaded", loaded)
    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(loading, "_loaded", {late.TIME: late.load(late.TIME)})
    async with pillion() as gateway:
        got = await asyncio.gather(*(ask(gateway, "GET", path) for path in paths))
        told = (await ask(gateway, "GET", "/metrics")).body.decode()
    assert [one.status for one in got] == [200] * len(paths)
    assert all(one.body.startswith(b"# HELP process_") for one in got[::2])
    assert 'pillion_health_check_seconds_count{provider="echo"} 3.0\n' in told


async def test_where_it_cannot_be_loaded_a_scrape_fails_with_the_reason_in_the_log_and_the_next_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "_loaded", {})
    async with pillion() as gateway:
        with monkeypatch.context() as missing:
            missing.setitem(sys.modules, "prometheus_client", None)
            missing.delitem(sys.modules, "proxy.reports.families", raising=False)
            got = await ask(gateway, "GET", "/metrics")
        again = await ask(gateway, "GET", "/metrics")
    assert (got.status, OPENAI.error(got.body)["code"]) == (500, "internal_error")
    assert "ModuleNotFoundError: import of prometheus_client halted" in caplog.text
    assert again.status == 200
