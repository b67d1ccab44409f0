"""What are people and the log told when pillion has started?"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from time import time

from proxy import __version__
from proxy.access.budgeted import in_vain
from proxy.access.keyring import Rows
from proxy.app import App
from proxy.config import Address, Config, Provider
from proxy.failover.keyshare import SHORTEST
from proxy.logs import Log
from proxy.ports import Adapter

GLANCE = 0.5  # seconds in which a provider that nobody configured must answer, to be in the greeting
OTHERS = {"admin": "admin", "metrics": "metrics and probes"}  # what the other listeners are for
STDOUT = 1  # descriptor
ECHO_SHOWN = ("echo", "text", "tool", "json", "think", "error-429")  # of many

log = logging.getLogger("pillion")


async def greet(app: App, lines: Log) -> None:
    """A few lines for people on standard output, and one line in the log."""
    is_greeted = lines.is_for_people or os.isatty(STDOUT)
    if is_greeted:
        with suppress(OSError):  # nobody may be reading it
            os.write(STDOUT, f"{await greeting(app)}\n".encode("utf-8", "surrogateescape"))
    there = [name for name, row in app.config.providers.items() if not row.assumed]
    where = {name: str(address) for name, address in [("listen", app.addresses[0]), *_others(app)]}
    is_open = not (app.config.transparent or app.clients.are_asked())
    words = "pillion %s is ready, configuration %s" + ("; no client key is needed" if is_open else "")
    extra = {"event": "started", **where, "providers": [*there, "echo"], "asks_for_keys": not is_open}
    if not is_greeted:
        extra["in_your_app"] = _export(app.addresses[0])
    log.info(words, __version__, app.config.fingerprint, extra=extra)
    warn(app.config, app.clients.ring.found)


def warn(config: Config, minted: Rows, before: Config | None = None) -> None:
    """Log what the operator has said in vain. `before`: the configuration until now, whose warnings are no news."""
    known = set() if before is None else {*before.warnings, *overlooked(before), *in_vain(before, minted)}
    for warning in config.unheeded:
        if warning not in known:
            log.warning("%s", warning, extra={"event": "unknown_variable"})
    for warning in (*config.doubtful, *overlooked(config)):
        if warning not in known:
            log.warning("%s", warning, extra={"event": "doubtful_setting"})
    for warning in in_vain(config, minted):
        if warning not in known:
            log.warning("%s", warning, extra={"event": "unknown_client"})


def overlooked(config: Config) -> Iterator[str]:
    """A sentence for what is no mistake, but easily missed; part of it comes with the time alone."""
    for held in config.keys:
        if (end := held.client.expires) is not None and end <= time():
            when = f"the key expired at {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC"
            yield f"keys.{held.client.name}.expires: {when}, and is refused: remove it, or give it a later date"
    if config.store and (short := [name for name, row in config.providers.items() if _has_untold(row)]):
        why = f"a key with fewer than {SHORTEST} characters could be guessed from what Redis is told of it"
        yield f"store: {why}, so each sidecar finds out by itself which keys are refused: see {', '.join(short)}"


def _has_untold(row: Provider) -> bool:
    """Has it keys that a fleet is not told of? A single one is asked in any case."""
    return len(row.api_keys) > 1 and any(len(key.reveal()) < SHORTEST for key, _ in row.api_keys)


async def greeting(app: App) -> str:
    """Where, who, what, and the one line that the app needs."""
    main = app.addresses[0]
    lines = [f"pillion {__version__} listens on {_url(main)}"]
    lines += [f"  {line}" for line in await _providers(app)]
    lines.append(f"  {'echo':10} built in, offline  models: {', '.join(ECHO_SHOWN)} (docs/echo.md)")
    lines += [f"  {OTHERS[name]} on {_url(where)}" for name, where in _others(app)]
    lines.append(f"  In your app: {_export(main)}")
    lines.append(f"  {_who_may(app)}")
    return "\n".join(lines)


def _who_may(app: App) -> str:
    config, clients = app.config, app.clients
    if config.transparent is not None:
        return f"Apps must send their own API keys, which go only to {config.transparent}."
    if not clients.are_asked():
        who = "any process on this host" if app.addresses[0].is_local else "anybody who reaches this address"
        return f"No client key is set (PILLION_CLIENT_KEY, or `pillion keys add NAME`): {who} can use pillion."
    tokens = f", or a token of {config.jwt.issuer}" if config.jwt.jwks else ""
    return f"Apps must send a client key ({clients.configured} configured, {clients.minted} minted){tokens}."


async def _providers(app: App) -> list[str]:
    """Those that are configured, and of the assumed ones (nobody configured them) those that answer."""
    rows = [row for row in app.config.providers.values() if not row.assumed]
    maybe = [row for row in app.config.providers.values() if row.assumed]
    found = await asyncio.gather(*(_is_there(app.catalog.adapters[row.name]) for row in maybe))
    rows += [row for row, is_there in zip(maybe, found, strict=True) if is_there]
    return [f"{row.name:10} {row.base_url}  models: {', '.join(row.models) or 'all that it lists'}" for row in rows]


async def _is_there(adapter: Adapter) -> bool:
    """Asked for a moment only: a port that accepts and then says nothing must not look like a start that hangs."""
    try:
        async with asyncio.timeout(GLANCE):
            return (await adapter.health()).ok
    except TimeoutError:
        return False


def _others(app: App) -> list[tuple[str, Address]]:
    config, addresses = app.config, app.addresses[1:]
    names = ["admin"] if config.admin_address is not None else []
    names += ["metrics"] if config.metrics_address is not None else []
    return list(zip(names, addresses, strict=True))


def _url(address: Address) -> str:
    return str(address) if address.path else f"http://{address}"


def _export(address: Address) -> str:
    if address.path:
        return f"an HTTP client over {address.path}, base URL http://localhost/v1"
    url = _url(address.reached)
    return f"export OPENAI_BASE_URL={url}/v1 ANTHROPIC_BASE_URL={url}"
