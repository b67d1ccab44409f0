"""Which command was typed, and who runs it?

What a single command needs is imported only once that command was typed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy import registry
from proxy.config import Config, Source, flags, json_schema, load, log_format, show
from proxy.edge.address import Address
from proxy.errors import ConfigError
from proxy.logs import complain
from proxy.reports import probe
from proxy.typed import VERSION, parsed

USAGE_ERROR = 2
_NO_LISTENERS = {"keys", "spend", "ledger", "providers", "wait", "healthcheck"}  # they need no client key to be safe
_NEARBY = Path("config.yaml")  # what `make run` loads, and who types `pillion check` beside it may think is meant


def do(words: Sequence[str]) -> int:
    """The exit code."""
    arguments = parsed(words)
    typed = {flag.variable: value for flag in flags() if (value := getattr(arguments, flag.variable, None)) is not None}
    try:
        return _carry_out(arguments, typed)
    except ConfigError as error:
        is_logged = arguments.command in (None, "serve")
        complain(str(error).splitlines(), log_format(typed) if is_logged else "human")
        return USAGE_ERROR


def _carry_out(arguments: argparse.Namespace, typed: dict[str, str]) -> int:
    """Raises ConfigError."""
    if arguments.command in _NO_LISTENERS:  # who types `keys` may be about to make the key that is missing
        typed = typed | {"PILLION_ALLOW_OPEN": "1"}
    source = Source(arguments.config, typed, no_adapter=registry.no_adapter)
    if "alone" in arguments and arguments.what is None:
        arguments.alone.print_help(sys.stderr)
        return USAGE_ERROR
    match arguments.command, getattr(arguments, "what", None):
        case "version", _:
            print(VERSION)
        case "config", "schema":
            print(json_schema())
        case "config", _:
            print(show(source.layered()), end="")
            _tell_of_unread(source)
        case ("keys" | "spend" | "ledger" | "providers") as command, _:
            return _run(command, source, arguments)
        case "healthcheck", _:
            return probe.told(probe.healthcheck(_where(load(arguments.config, flags=typed))))
        case "wait", _:
            return probe.told(probe.wait(_where(load(arguments.config, flags=typed)), arguments.timeout))
        case "check", _:
            code = _run("check", source)
            _tell_of_unread(source)
            return code
        case _:
            return _run("serve", source, source)
    return 0


def _run(command: str, source: Source, *more: argparse.Namespace | Source) -> int:
    """`more`: the command's further arguments. Raises ConfigError."""
    loaded = source.load()  # before the libraries, so that its mistakes are shown at once
    code: int = registry.command(command)(loaded, *more)
    return code


def _tell_of_unread(source: Source) -> None:
    if not source.has_file and os.path.isfile(_NEARBY):
        said = f"{_NEARBY} was not read, since neither --config nor PILLION_CONFIG names it"
        print(f"pillion: warning: {said}", file=sys.stderr)


def _where(config: Config) -> Address:
    """The listener that answers health questions: see probe."""
    return config.metrics_address or config.listen
