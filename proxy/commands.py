"""What was typed, and which command runs it?

argv to config, and the commands: serve (the default), check, config schema, config show, keys, spend, ledger,
providers, wait, healthcheck, version. What a single command needs is imported only once that command was typed.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from proxy import __version__, registry
from proxy.access.allowance import Count
from proxy.config import Config, Source, flags, json_schema, load, log_format, show
from proxy.edge.address import Address
from proxy.errors import ConfigError
from proxy.logs import complain
from proxy.reports import probe
from proxy.spending.money import NANOS, nanos_of

USAGE_ERROR = 2
VERSION = f"pillion {__version__}"


def do(words: Sequence[str]) -> int:
    """The exit code."""
    arguments = _parser().parse_args(words)
    typed = {flag.variable: value for flag in flags() if (value := getattr(arguments, flag.variable, None)) is not None}
    try:
        return _do(arguments, typed)
    except ConfigError as error:
        is_logged = arguments.command in (None, "serve")
        complain(str(error).splitlines(), log_format(typed) if is_logged else "human")
        return USAGE_ERROR


def _do(arguments: argparse.Namespace, typed: dict[str, str]) -> int:
    """Raises ConfigError."""
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
        case ("keys" | "spend" | "ledger" | "providers") as command, _:
            return _run(command, source, arguments)
        case "healthcheck", _:
            return probe.told(probe.healthcheck(_where(load(arguments.config, flags=typed))))
        case "wait", _:
            return probe.told(probe.wait(_where(load(arguments.config, flags=typed)), arguments.timeout))
        case "check", _:
            return _run("check", source)
        case _:
            return _run("serve", source, source)
    return 0


def _run(command: str, source: Source, *more: argparse.Namespace | Source) -> int:
    """`more`: the command's further arguments. Raises ConfigError."""
    loaded = source.load()  # before the libraries, so that its mistakes are shown at once
    try:
        do = registry.command(command)
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        if library == "proxy":
            raise
        how = "install what pillion needs: pip install --upgrade pillion"
        raise ConfigError(f"{library} cannot be imported ({error.msg}); {how}") from None
    code: int = do(loaded, *more)
    return code


def _where(config: Config) -> Address:
    """The listener that answers health questions: see probe."""
    return config.metrics_address or config.listen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pillion", description="An LLM gateway that rides beside one app.")
    parser.set_defaults(config=None)
    parser.add_argument("--version", action="version", version=VERSION, help="print the version")
    with_config = _configured()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serve_help, check_help = "run the gateway (the default)", "say what is wrong with the configuration"
    commands.add_parser("serve", parents=[with_config], allow_abbrev=False, help=serve_help)
    commands.add_parser("check", parents=[with_config], allow_abbrev=False, help=check_help)
    what = _whats(commands.add_parser("config", help="show what can be configured, and what is"))
    what.add_parser("schema", help="print the JSON Schema of config.yaml, for editors")
    show_help = "print the configuration in force, without its secrets, and where each value comes from"
    what.add_parser("show", parents=[with_config], allow_abbrev=False, help=show_help)
    _add_keys(commands.add_parser("keys", help="make, list and revoke client keys"), with_config)
    _add_spend(commands.add_parser("spend", parents=[with_config], allow_abbrev=False, help="show what was spent"))
    books = _whats(commands.add_parser("ledger", help="the record of what was spent"))
    init_help = "begin a new ledger, where a strict budget needs one and it is missing"
    books.add_parser("init", parents=[with_config], allow_abbrev=False, help=init_help)
    there_help = "show the state of the running pillion's providers"
    there = commands.add_parser("providers", parents=[with_config], allow_abbrev=False, help=there_help)
    there.add_argument("--json", action="store_true", help="as JSON")
    wait = commands.add_parser("wait", parents=[with_config], allow_abbrev=False, help="wait until pillion is ready")
    wait.add_argument(
        "--timeout",
        type=_seconds,
        default=probe.longest_wait(),
        metavar="SECONDS",
        help=f"how long at most, by default {probe.WAIT:g} (PILLION_WAIT_TIMEOUT)",
    )
    health_help = "is pillion alive? (for a container's health check)"
    commands.add_parser("healthcheck", parents=[with_config], allow_abbrev=False, help=health_help)
    commands.add_parser("version", help="print the version")
    return parser


def _whats(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Subcommands; without one, the command prints what there is."""
    parser.set_defaults(alone=parser)
    return parser.add_subparsers(dest="what", metavar="WHAT")


def _add_keys(keys: argparse.ArgumentParser, with_config: argparse.ArgumentParser) -> None:
    whats = _whats(keys)
    made = whats.add_parser("add", parents=[with_config], allow_abbrev=False, help="make a key, and print it once")
    made.add_argument("name", metavar="NAME", help="its name in the log, in metrics and in the ledger")
    models_help = "PROVIDER/MODEL, with * for any part; by default all"
    made.add_argument("--models", type=_names, default=[], metavar="A,B", help=models_help)
    made.add_argument("--providers", type=_names, default=[], metavar="A,B", help="which it may ask; by default all")
    made.add_argument("--expires", metavar="DATE", help='its last day, or its end: "2027-01-31T12:00:00Z"')
    made.add_argument("--rpm", type=_count, metavar="N", help="requests that may begin in a minute")
    made.add_argument("--tpm", type=_count, metavar="N", help="tokens in and out, in a minute")
    made.add_argument("--concurrent", type=_count, metavar="N", help="requests under way at once")
    made.add_argument("--budget", type=_usd, metavar="USD", help="what it may spend, in dollars")
    windows_help = "in a day, a month (both UTC), or in total; by default a month"
    made.add_argument("--budget-window", choices=("day", "month", "total"), help=windows_help)
    modes_help = "strict (the default): never more; lenient: at most one request more"
    made.add_argument("--budget-mode", choices=("strict", "lenient"), help=modes_help)
    shown = whats.add_parser("list", parents=[with_config], allow_abbrev=False, help="list the keys")
    shown.add_argument("--json", action="store_true", help="as JSON")
    gone = whats.add_parser("revoke", parents=[with_config], allow_abbrev=False, help="revoke a minted key")
    gone.add_argument("name", metavar="NAME", help="its name")


def _add_spend(spend: argparse.ArgumentParser) -> None:
    spend.add_argument("--since", metavar="DATE", help="from this time on: 2027-01-31, or 2027-01-31T12:00:00Z")
    spend.add_argument("--until", metavar="DATE", help="up to this time")
    groups_help = "group by day (the default), hour, provider, model, key"
    spend.add_argument("--by", dest="group_by", metavar="A,B", help=groups_help)
    spend.add_argument("--client", metavar="NAME", help="only by this client key")
    form = spend.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--csv", action="store_true", help="as CSV")


def _configured() -> argparse.ArgumentParser:
    """The flags of every command that reads the configuration: one for each variable that holds no secret."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="config.yaml (PILLION_CONFIG)"
    )
    for flag in flags():
        parser.add_argument(
            f"--{flag.name}",
            dest=flag.variable,
            metavar=flag.placeholder,
            nargs="?" if flag.is_switch else None,
            const="true" if flag.is_switch else None,
            default=argparse.SUPPRESS,
            help=f"{flag.description} ({flag.variable})",
        )
    return parser


def _names(text: str) -> list[str]:
    """Raises ArgumentTypeError where there is none: an empty shell variable must not make a key that may do all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("names nothing; leave it out for all")
    return names


def _count(text: str) -> int:
    """Raises ArgumentTypeError, of which argparse makes a usage error."""
    try:
        return msgspec.convert(int(text), Count)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 1000000000") from None


def _usd(text: str) -> float:
    """Raises ArgumentTypeError, of which argparse makes a usage error."""
    try:
        return nanos_of(text) / NANOS
    except ValueError:
        raise argparse.ArgumentTypeError("must be a number of dollars, from 0 to 1000000000") from None


def _seconds(text: str) -> float:
    """Raises ArgumentTypeError, of which argparse makes a usage error."""
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= 86400:
            return seconds
    raise argparse.ArgumentTypeError("must be a number of seconds from 0 to 86400 (PILLION_WAIT_TIMEOUT likewise)")
