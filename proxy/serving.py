"""How does pillion run, from its first breath to its last?

    starting --open--> ready --SIGTERM--> waiting --min_sigterm_delay--> draining --all answered--> gone
                                             |                              |
                                             +--- a second signal ----------+--- max_sigterm_delay ---> cut, gone

While it waits it is not ready and serves on, as whoever sends it requests needs a moment to notice. Once it drains
nobody new gets in, and what is under way finishes. What is cut is told so, in its client's own words.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop

from proxy import __version__, logs, registry
from proxy.app import App, fingerprint
from proxy.config import Address, Config
from proxy.errors import ConfigError, GatewayError
from proxy.listening import CannotListen
from proxy.logs import Log
from proxy.redaction import Redaction, secrets_of
from proxy.room import Room, descriptors
from proxy.upstream import check_aiohttp

CANNOT_LISTEN = 1
CUT = 3  # exit code: answers were cut
LAST_WORDS = 0.5  # seconds that what is cut has to reach its client
ECHO_SHOWN = ("echo", "text", "tool", "json", "think", "error-429")  # of many

log = logging.getLogger("pillion")


def serve(config: Config) -> int:
    """The exit code. Raises ConfigError."""
    check_aiohttp()
    _check_kinds(config)
    lines = logs.start(config.log, Redaction(secrets_of(config)))
    try:
        return uvloop.run(_run(config, lines))
    except CannotListen as error:
        print(f"pillion: {error}", file=sys.stderr)
        return CANNOT_LISTEN
    finally:
        lines.sink.close()


def check(config: Config) -> int:
    """Everything that serving would make, made and let go. Raises ConfigError."""
    check_aiohttp()
    _check_kinds(config)
    asyncio.run(_made(config))
    names = [name for name, provider in config.providers.items() if not provider.assumed]
    print(f"ok: {', '.join([*names, 'echo'])}")
    return 0


async def _made(config: Config) -> None:
    await App(config).close()


def _check_kinds(config: Config) -> None:
    """Is there an adapter for every provider? Raises ConfigError, a line for each that has none."""
    problems = []
    for name, provider in config.providers.items():
        try:
            registry.adapter(provider.kind)
        except ConfigError as error:
            problems.append(f"providers.{name}.kind: {error}")
    if problems:
        raise ConfigError("\n".join(problems))


# --- the life of a process -------------------------------------------------------------------------------------------


async def _run(config: Config, lines: Log) -> int:
    """Raises ConfigError, CannotListen."""
    _check_loop()
    app = App(config, log=lines, room=Room(descriptors()))
    hurry = asyncio.Event()
    _listen_to_signals(app.admin.stop, hurry)
    try:
        await app.open()
        _spare_the_collector()
        print(await _greeting(app), flush=True)
        log.info("pillion %s is ready, configuration %s", __version__, fingerprint(config), extra={"event": "started"})
        await app.admin.stop.wait()
        log.info("told to stop", extra={"event": "draining"})
        cut = await drain(app, hurry)
    finally:
        await app.close()
    log.info("gone", extra={"event": "stopped"})
    return CUT if cut else 0


def _check_loop() -> None:
    """In its debug mode asyncio logs what each slow step was called with, and that is prompts. Raises ConfigError."""
    if asyncio.get_running_loop().get_debug():
        raise ConfigError("asyncio is in debug mode, which is no way to serve: unset PYTHONASYNCIODEBUG and -X dev")


def _listen_to_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """The first says stop, every other one hurry."""
    told = [stop]

    def tell() -> None:
        told.pop().set()
        told.append(hurry)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell)


async def drain(app: App, hurry: asyncio.Event) -> int:
    """Let what is under way finish, within the delays of the configuration; how many answers had to be cut."""
    loop, config = asyncio.get_running_loop(), app.config
    deadline = loop.time() + config.max_sigterm_delay
    app.admin.ready = False
    await _unless(hurry, asyncio.sleep(config.min_sigterm_delay))
    app.retire()
    await _unless(hurry, app.left(), deadline - loop.time())
    cut = app.cut(GatewayError("pillion is shutting down; ask again.", status=503, code="shutting_down"))
    if cut:
        log.warning("%d answers were cut: they were not finished when pillion had to end", cut)
        await _unless(asyncio.Event(), app.left(), LAST_WORDS)
    return cut


async def _unless(hurry: asyncio.Event, doing: Coroutine[Any, Any, None], seconds: float | None = None) -> None:
    """Until it is done, or there is hurry, or as many seconds have passed."""
    tasks = [asyncio.create_task(each) for each in (doing, hurry.wait())]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _spare_the_collector() -> None:
    """What lives as long as the process need not be looked at on every collection.

    A request makes a few dozen objects that the collector tracks and no cycle that lives; the default threshold of 700
    has it run every few requests (docs/decisions/0003-wire.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


# --- the greeting ----------------------------------------------------------------------------------------------------


async def _greeting(app: App) -> str:
    """Where, who, what, and the one line that the app needs."""
    config, main = app.config, app.addresses[0]
    lines = [f"pillion {__version__} listens on {_url(main)}"]
    lines += [f"  {line}" for line in await _providers(app)]
    lines.append(f"  {'echo':10} built in, offline  models: {', '.join(ECHO_SHOWN)} (docs/echo.md)")
    lines += [f"  {what} on {_url(where)}" for what, where in _others(app)]
    lines.append(f"  In your app: {_export(main)}")
    if not config.client_key:
        lines.append("  No client key is set (PILLION_CLIENT_KEY): every process on this host may use it.")
    return "\n".join(lines)


async def _providers(app: App) -> list[str]:
    """An assumed one is told of if it is there: nobody has asked for it."""
    rows = [row for row in app.config.providers.values() if not row.assumed]
    maybe = [row for row in app.config.providers.values() if row.assumed]
    found = await asyncio.gather(*(app.catalog.adapters[row.name].health() for row in maybe))
    rows += [row for row, health in zip(maybe, found, strict=True) if health.ok]
    return [f"{row.name:10} {row.base_url}  models: {', '.join(row.models) or 'any that it lists'}" for row in rows]


def _others(app: App) -> list[tuple[str, Address]]:
    config, addresses = app.config, app.addresses[1:]
    whats = ["admin"] if config.admin_address is not None else []
    whats += ["metrics and probes"] if config.metrics_address is not None else []
    return list(zip(whats, addresses, strict=True))


def _url(address: Address) -> str:
    return str(address) if address.path else f"http://{address}"


def _export(address: Address) -> str:
    if address.path:
        return f"an HTTP client over {address.path}, base URL http://localhost/v1"
    return f"export OPENAI_BASE_URL={_url(address)}/v1 ANTHROPIC_BASE_URL={_url(address)}"
