"""How does pillion run, from its start to its end?

    starting --open--> ready --SIGTERM--> waiting --min_sigterm_delay--> draining --all answered--> gone
                                             |                              |
                                             +--- a second signal ----------+--- max_sigterm_delay ---> cut, gone

While it waits it says that it is not ready and serves on, because a load balancer needs a moment to notice, and lets
each client's connection end with its next answer, because a client that keeps it would not notice at all. While it
drains, nobody new gets in and what is under way finishes. A client whose answer is cut is told so, on its own wire.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any

import uvloop

import proxy.lean  # noqa: F401  # before whatever else imports aiohttp
from proxy import logs
from proxy.access.budgeted import in_vain
from proxy.access.keyring import Rows
from proxy.app import App
from proxy.config import Config, Source, handed_over
from proxy.edge.handover import Handed, taken
from proxy.edge.listening import CannotListen
from proxy.edge.release import check_aiohttp
from proxy.edge.room import Room, descriptors
from proxy.errors import ConfigError, GatewayError
from proxy.logs import Log
from proxy.logs.redaction import Redaction, secrets_of
from proxy.process.greeting import greet, overlooked, warn
from proxy.process.memory import give_back
from proxy.process.reloading import Reloading
from proxy.supplies import check_adapters

CANNOT_LISTEN = 1
CUT = 3  # exit code: answers were cut
LAST_WORDS = 0.5  # seconds for the last event of a cut answer to reach its client
LAST_BREATH = 2.0  # seconds for the process to go once all is closed; more than the log takes for its last lines
HURRIED = 0.3  # the same after a second signal: with LAST_WORDS less than a second
STDERR = 2  # descriptor

log = logging.getLogger("pillion")


def serve(config: Config, source: Source) -> int:
    """The exit code. `source`: where the configuration came from. Raises ConfigError.

    The process is ours: it ends soon after this has returned, even if its caller does not end it.
    """
    handed = taken(handed_over())
    _fill_descriptors()
    give_back()
    check_aiohttp()
    check_adapters(config)
    hide = Redaction(secrets_of(config))
    lines = logs.start(config.log, hide)
    try:
        with closing(lines.sink):
            return uvloop.run(_run(config, source, lines, hide, handed))
    except CannotListen as error:
        logs.complain([str(error)], config.log.format)
        return CANNOT_LISTEN


def check(config: Config) -> int:
    """Make everything that serving would make, and throw it away. Raises ConfigError."""
    check_aiohttp()
    minted, missing = asyncio.run(_tried(config))
    warnings = [*config.warnings, *overlooked(config), *in_vain(config, minted)]
    if missing:  # no mistake of the configuration's, which may be checked on another machine than it is for
        warnings.append(f"pillion does not start here: {missing}")
    for warning in warnings:
        print(f"pillion: warning: {warning}", file=sys.stderr)
    names = [name for name, provider in config.providers.items() if not provider.assumed]
    print(f"ok: {', '.join([*names, 'echo'])}")
    return 0


async def _tried(config: Config) -> tuple[Rows, str]:
    """Make the app and close it; the minted keys that it found, and what it misses. Raises ConfigError."""
    app = App(config)
    try:
        app.now.check_headers()
        return app.clients.ring.found, app.accounting.ledger.missing
    finally:
        await app.close()


async def _run(config: Config, source: Source, lines: Log, hide: Redaction, handed: Sequence[Handed]) -> int:
    """Raises ConfigError, CannotListen."""
    _check_loop()
    app = App(config, log=lines, room=Room(descriptors()), hide=hide)
    reloading = Reloading(app, source, lines)
    signals = _listen_to_signals(app.admin.stop, app.hurry, reloading.ask)
    try:
        app.now.check_headers()
        await _open(app, handed)
        _spare_the_collector()
        await greet(app, lines)
        async with reloading:
            await app.admin.stop.wait()
        by = signals[0] if signals else "/quitquitquit"
        log.info("stopping, because of %s", by, extra={"event": "draining", "by": by})
        cut = await drain(app, app.hurry)
    finally:
        await app.close()
    code = CUT if cut else 0
    log.info("stopped", extra={"event": "stopped", "exit_code": code, "cut": cut})
    _go_anyway(code, app.hurry.is_set())
    return code


def _go_anyway(code: int, is_hurried: bool) -> None:
    """Everything is closed by now, and written. But both loop and interpreter wait for their threads, and one that asks
    a name server which is gone, or a cloud for credentials, may hang for a minute in which nobody serves.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _go_within, HURRIED, code)
    _go_within(HURRIED if is_hurried else LAST_BREATH, code)


def _go_within(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


async def _open(app: App, handed: Sequence[Handed]) -> None:
    """Raises CannotListen, ConfigError."""
    try:
        await app.open(handed)
    except CannotListen:  # where somebody meant to say another address, and by a name that is none of ours
        warn(app.config, app.clients.ring.found)
        raise


def _fill_descriptors() -> None:
    """Where one of the first three is closed (`>&-`), a socket would take its number, and the greeting go out on it."""
    for descriptor in range(STDERR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", closefd=False)


def _check_loop() -> None:
    """In debug mode asyncio logs the arguments of each slow step, and those are prompts. Raises ConfigError."""
    if asyncio.get_running_loop().get_debug():
        raise ConfigError(
            "asyncio is in debug mode, which would log prompts: unset PYTHONASYNCIODEBUG, and leave out -X dev"
        )


def _listen_to_signals(stop: asyncio.Event, hurry: asyncio.Event, reload: Callable[[], None]) -> list[str]:
    """The first signal sets `stop`, every further one `hurry`. Returns a list that fills with their names.

    SIGHUP means `reload`, unless it came because the terminal in which pillion was started was closed.
    """
    came: list[str] = []
    had_terminal = _has_terminal()

    def tell(name: str) -> None:
        (hurry if came else stop).set()
        came.append(name)

    def hang_up() -> None:
        if had_terminal and not _has_terminal():
            tell(signal.SIGHUP.name)
        else:
            reload()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number.name)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return came


def _has_terminal() -> bool:
    """Is there a controlling terminal, which ends us when it is closed?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


async def drain(app: App, hurry: asyncio.Event) -> int:
    """Let what is under way finish, within the delays of the configuration; how many answers had to be cut."""
    loop, config = asyncio.get_running_loop(), app.config
    deadline = loop.time() + config.max_sigterm_delay
    app.admin.ready = False
    app.dismiss()
    await _wait_for(asyncio.sleep(config.min_sigterm_delay), hurry)
    app.retire()
    await _wait_for(app.left(), hurry, deadline - loop.time())
    cut = app.cut(GatewayError("pillion is shutting down: try again.", status=503, code="shutting_down"))
    if cut:
        what, were = ("1 answer was", "it was") if cut == 1 else (f"{cut} answers were", "they were")
        words = "%s cut off, because %s not finished when pillion had to stop"
        log.warning(words, what, were, extra={"event": "cut", "cut": cut})
        await _wait_for(app.left(), asyncio.Event(), LAST_WORDS)
    return cut


async def _wait_for(doing: Coroutine[Any, Any, None], hurry: asyncio.Event, seconds: float | None = None) -> None:
    """Until it is done, or `hurry` is set, or so many seconds have passed."""
    tasks = [asyncio.create_task(each) for each in (doing, hurry.wait())]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _spare_the_collector() -> None:
    """What lives as long as the process need not be looked at in every collection.

    A request makes a few dozen objects that the collector tracks, and no lasting cycle; with the default threshold of
    700 it would run every few requests (docs/decisions/0003-wire.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
