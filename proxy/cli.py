"""What was typed, and what is to be done?

argv to config, and the commands: serve (also without a word), check, config schema, config show, version.
"""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import uvloop

from proxy import __version__, registry
from proxy.app import App
from proxy.config import Config, flags, json_schema, layered, load, show
from proxy.errors import ConfigError

USAGE_ERROR = 2
ECHO_SHOWN = ("echo", "text", "tool", "json", "think", "error-429")  # of many


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0, 1 where the address is taken, 2 where the configuration cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        return _do(arguments)
    except ConfigError as error:
        print("\n".join(f"pillion: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return USAGE_ERROR


def _do(arguments: argparse.Namespace) -> int:
    """Raises ConfigError."""
    typed = {flag.variable: value for flag in flags() if (value := getattr(arguments, flag.variable, None)) is not None}
    match arguments.command, getattr(arguments, "what", None):
        case "version", _:
            print(f"pillion {__version__}")
        case "config", "schema":
            print(json_schema())
        case "config", _:
            print(show(layered(arguments.config, flags=typed)), end="")
        case "check", _:
            return asyncio.run(_check(load(arguments.config, flags=typed)))
        case _:
            return _serve(load(arguments.config, flags=typed))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pillion", description="An LLM gateway that rides beside one app.")
    parser.set_defaults(config=None)
    with_config = _configured()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serve_help, check_help = "run the gateway (what `pillion` alone does)", "say what is wrong with the configuration"
    commands.add_parser("serve", parents=[with_config], allow_abbrev=False, help=serve_help)
    commands.add_parser("check", parents=[with_config], allow_abbrev=False, help=check_help)
    whats = commands.add_parser("config", help="what can be configured, and what is")
    what = whats.add_subparsers(dest="what", metavar="WHAT", required=True)
    what.add_parser("schema", help="print the JSON Schema of config.yaml, for editors")
    show_help = "print the configuration in force, without its secrets, and where each value is from"
    what.add_parser("show", parents=[with_config], allow_abbrev=False, help=show_help)
    commands.add_parser("version", help="print the version")
    return parser


def _configured() -> argparse.ArgumentParser:
    """What every command takes that reads the configuration: a flag for each variable that holds no secret."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="config.yaml (PILLION_CONFIG)"
    )
    for flag in flags():
        parser.add_argument(
            f"--{flag.name}",
            dest=flag.variable,
            metavar="VALUE",
            nargs="?" if flag.is_switch else None,
            const="true" if flag.is_switch else None,
            default=argparse.SUPPRESS,
            help=f"{flag.description} ({flag.variable})",
        )
    return parser


async def _check(config: Config) -> int:
    """Everything that serving would make, made and let go."""
    _check_kinds(config)
    app = App(config)
    await app.close()
    print(f"ok: {', '.join(app.catalog.adapters)}")
    return 0


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
