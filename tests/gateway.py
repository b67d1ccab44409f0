"""A pillion in this process, as users get it: a real listener, the real chain, and an environment of the test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.app import App
from proxy.config import load


class Gateway:
    def __init__(self, app: App) -> None:
        host, port = app.server.address
        self.app = app
        self.host = host
        self.port = port
        self.url = f"http://{host}:{port}"


@asynccontextmanager
async def pillion(**environ: str) -> AsyncIterator[Gateway]:
    """Serve with this environment and no config file: `pillion(OPENAI_API_KEY="x", PILLION_OPENAI_BASE_URL=...)`."""
    app = App(load(environ={"PILLION_LISTEN": "127.0.0.1:0", **environ}))
    try:
        await app.open()
        yield Gateway(app)
    finally:
        await app.close()
