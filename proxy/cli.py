"""What was typed, and what is to be done?

argv to config, and the commands: serve (also without a word), check, version.
"""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import uvloop

from proxy import __version__
from proxy.app import App
from proxy.config import Config, load
from proxy.errors import ConfigError

USAGE_ERROR = 2
ECHO_SHOWN = ("echo", "text", "tool", "json", "think", "error-429")  # of many


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0, 1 where the address is taken, 2 where the configuration cannot be used."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "version":
        print(f"pillion {__version__}")
        return 0
    try:
        config = load(arguments.config)
        if arguments.command == "check":
            return asyncio.run(_check(config))
        return _serve(config)
    except ConfigError as error:
        print(f"pillion: {error}", file=sys.stderr)
        return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pillion", description="An LLM gateway that rides beside one app.")
    parser.set_defaults(config=None)
    with_config = argparse.ArgumentParser(add_help=False)
    with_config.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="config.yaml")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", parents=[with_config], help="run the gateway (what `pillion` alone does)")
    commands.add_parser("check", parents=[with_config], help="read the configuration and say what is wrong with it")
    commands.add_parser("version", help="print the version")
    return parser


async def _check(config: Config) -> int:
    """Everything that serving would make, made and let go."""
    app = App(config)
    await app.close()
    print(f"ok: {', '.join(app.catalog.adapters)}")
    return 0


def _serve(config: Config) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        uvloop.run(_run(config))
    except OSError as error:
        reason = (error.strerror or str(error)).rpartition(": ")[2]  # uvloop's names the address as well
        print(f"pillion: cannot listen on {config.host}:{config.port}: {reason}", file=sys.stderr)
        return 1
    return 0


async def _run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = App(config)
    try:
        await app.open()
        _spare_the_collector()
        print(_greeting(app), flush=True)
        await stop.wait()
    finally:
        await app.close()


def _spare_the_collector() -> None:
    """What lives as long as the process need not be looked at on every collection.

    A request makes a few dozen objects that the collector tracks and no cycle that lives; the default threshold of 700
    has it run every few requests (docs/decisions/0003-wire.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _greeting(app: App) -> str:
    """Where, who, what, and the one line that the app needs."""
    host, port = app.server.address
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    config = app.config
    models = {name: ", ".join(provider.models) or "any that it lists" for name, provider in config.providers.items()}
    providers = [f"{name:10} {config.providers[name].base_url}  models: {models[name]}" for name in config.providers]
    lines = [
        f"pillion {__version__} listens on {base}",
        *[f"  {line}" for line in providers],
        f"  {'echo':10} built in, offline  models: {', '.join(ECHO_SHOWN)} (docs/echo.md)",
        f"  In your app: export OPENAI_BASE_URL={base}/v1 ANTHROPIC_BASE_URL={base}",
    ]
    if not config.client_key:
        lines.append("  No client key is set (PILLION_CLIENT_KEY): every process on this host may use it.")
    return "\n".join(lines)
