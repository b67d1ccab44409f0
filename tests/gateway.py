"""How is a pillion used in this process, as users get it? With a real listener, the real chain, and an environment of
the test's own.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from proxy.app import App
from proxy.config import load
from proxy.logs import SILENT, Log
from proxy.reports.families import Families

# A provider that fails is asked once, and never left alone: most tests want to see what came of that.
DEFAULTS = {
    "PILLION_LISTEN": "127.0.0.1:0",
    "PILLION_ALLOWED_HOSTS": "pillion, h",
    "PILLION_RETRY_MAX_RETRIES": "0",
    "PILLION_FAILOVER_OTHERS": "false",
    "PILLION_BREAKER_FAILURES": "1000000",
    "PILLION_HEALTH_INTERVAL": "0",  # and an upstream is asked for what the test asks for
}


class Gateway:
    def __init__(self, app: App) -> None:
        host, port, _ = app.server.address
        self.app = app
        self.host = host
        self.port = port
        self.url = f"http://{host}:{port}"


@asynccontextmanager
async def pillion(**environ: str) -> AsyncIterator[Gateway]:
    """Serve with this environment alone: `pillion(OPENAI_API_KEY="x")`, `pillion(**config_file(text, folder))`."""
    async with telling(SILENT, environ) as gateway:
        yield gateway


@asynccontextmanager
async def telling(log: Log, environ: Mapping[str, str]) -> AsyncIterator[Gateway]:
    """The same, with a log."""
    async with opened(App(load(environ={**DEFAULTS, **environ}), log=log)) as gateway:
        yield gateway


@asynccontextmanager
async def opened(app: App) -> AsyncIterator[Gateway]:
    """One that the test has put together."""
    try:
        await app.open()
        yield Gateway(app)
    finally:
        await app.close()


def registry(app: App) -> CollectorRegistry:
    """What a scrape would read."""
    return Families(app.metrics.told).registry


def config_file(text: str, folder: Path) -> dict[str, str]:
    """The environment in which there is a config.yaml of this text, and a state directory beside it."""
    (folder / "config.yaml").write_text(text)
    return {"PILLION_CONFIG": str(folder / "config.yaml"), "PILLION_STATE_DIR": str(folder / "state")}
