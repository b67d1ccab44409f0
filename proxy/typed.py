"""What may be typed?

serve (the default), check, config schema, config show, keys, spend, ledger, providers, wait, healthcheck, version; and
a flag for each variable of the configuration.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from proxy import __version__
from proxy.access.allowance import Count
from proxy.config import Flag, flags, instead_of_flag
from proxy.reports import probe
from proxy.spending.money import NANOS, nanos_of

VERSION = f"pillion {__version__}"


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Exits with 2 where they are not understood."""
    pillion = parser()
    arguments, rest = pillion.parse_known_args(_with_command(words))
    if rest:
        pillion.error(_not_understood(rest))
    return arguments


def _with_command(words: Sequence[str]) -> Sequence[str]:
    """`pillion --listen ...` means `pillion serve --listen ...`."""
    is_ours = bool(words) and words[0].startswith("--") and words[0] not in ("--help", "--version")
    return ["serve", *words] if is_ours else words


def _not_understood(words: Sequence[str]) -> str:
    """Without the flags' values, which may be keys."""
    names = [word.partition("=")[0] for word in words if word.startswith("-")]
    if not names:
        hint = f"; did you mean --config {words[0]}?" if words[0].endswith((".yaml", ".yml")) else ""
        return f"unrecognized arguments: {' '.join(words)}{hint}"
    there = {flag.variable: flag.name for flag in flags()}
    said = f"unrecognized arguments: {' '.join(names)}"
    for name in names:
        variable = instead_of_flag(name)
        if variable in there:
            said += f"; did you mean --{there[variable]}?"
        elif variable:
            said += f"; set the variable {variable} instead"
    return said


def parser() -> argparse.ArgumentParser:
    pillion = argparse.ArgumentParser(prog="pillion", description="An LLM gateway that runs beside one app.")
    pillion.set_defaults(config=None)
    pillion.add_argument("--version", action="version", version=VERSION, help="print the version")
    commands = pillion.add_subparsers(dest="command", metavar="COMMAND")
    serve_help = "run the gateway (the default command)"
    told, usage = _configured(is_told=True), "pillion serve [-h] [--config FILE] [FLAG ...]"
    commands.add_parser("serve", parents=[told], allow_abbrev=False, help=serve_help, usage=usage)
    hidden = _configured(is_told=False)
    _add(commands, "check", "report the mistakes in the configuration", hidden)
    what = _subcommands(commands.add_parser("config", help="print the configuration in force, or its schema"))
    what.add_parser("schema", help="print the JSON Schema of config.yaml, for editors")
    _add(what, "show", "print what is in force, without secrets, and where each value comes from", hidden)
    _add_keys(_subcommands(commands.add_parser("keys", help="create, list and revoke client keys")), hidden)
    _add_spend(_add(commands, "spend", "print what has been spent", hidden))
    books = _subcommands(commands.add_parser("ledger", help="create a ledger"))
    _add(books, "init", "create a new ledger, where a strict budget needs one that is missing", hidden)
    there = _add(commands, "providers", "print the state of the running pillion's providers", hidden)
    there.add_argument("--json", action="store_true", help="print JSON")
    wait = _add(commands, "wait", "wait until pillion is ready", hidden)
    wait.add_argument(
        "--timeout",
        type=_seconds,
        default=probe.longest_wait(),
        metavar="SECONDS",
        help=f"give up after this long; {probe.WAIT:g} by default (PILLION_WAIT_TIMEOUT)",
    )
    _add(commands, "healthcheck", "exit with 0 if pillion is alive (for a container's health check)", hidden)
    commands.add_parser("version", help="print the version")
    return pillion


Parsers = argparse._SubParsersAction  # which has no public name


def _add(
    parsers: "Parsers[argparse.ArgumentParser]", name: str, about: str, configured: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """A command that reads the configuration, and leaves it to `serve` to tell of the flags."""
    epilog = "Also takes the flags of `pillion serve`, which override the configuration file."
    return parsers.add_parser(name, parents=[configured], allow_abbrev=False, help=about, epilog=epilog)


def _subcommands(parser: argparse.ArgumentParser) -> "Parsers[argparse.ArgumentParser]":
    """Subcommands; without one, the command prints what there is."""
    parser.set_defaults(alone=parser)
    return parser.add_subparsers(dest="what", metavar="WHAT")


def _add_keys(kinds: "Parsers[argparse.ArgumentParser]", configured: argparse.ArgumentParser) -> None:
    made = _add(kinds, "add", "create a key, and print it once", configured)
    made.add_argument("name", metavar="NAME", help="the client's name, in the log, limits and budgets")
    made.add_argument(
        "--models",
        type=_names,
        default=[],
        metavar="A,B",
        help="only these models: PROVIDER/MODEL, where * matches anything",
    )
    made.add_argument("--providers", type=_names, default=[], metavar="A,B", help="only these providers")
    made.add_argument(
        "--expires",
        metavar="DATE",
        help="the last day or moment on which it is valid: 2027-01-31, or 2027-01-31T12:00:00Z",
    )
    made.add_argument("--rpm", type=_count, metavar="N", help="requests per minute")
    made.add_argument("--tpm", type=_count, metavar="N", help="input and output tokens per minute")
    made.add_argument("--concurrent", type=_count, metavar="N", help="requests in progress at the same time")
    made.add_argument("--budget", type=_usd, metavar="USD", help="dollars that it may spend in each window")
    windows = ("day", "month", "total")
    made.add_argument("--budget-window", choices=windows, help="the budget's window, in UTC; month by default")
    modes = ("strict", "lenient")
    made.add_argument(
        "--budget-mode", choices=modes, help="strict, the default: never exceeded; lenient: one request may exceed it"
    )
    shown = _add(kinds, "list", "list the client keys", configured)
    shown.add_argument("--json", action="store_true", help="print JSON")
    gone = _add(kinds, "revoke", "revoke a key that `keys add` created", configured)
    gone.add_argument("name", metavar="NAME", help="the client's name")


def _add_spend(spend: argparse.ArgumentParser) -> None:
    spend.add_argument("--since", metavar="DATE", help="from this time on: 2027-01-31, or 2027-01-31T12:00:00Z")
    spend.add_argument("--until", metavar="DATE", help="before this time")
    by = "group by day, hour, provider, model, key; day by default"
    spend.add_argument("--by", dest="group_by", action="append", metavar="A,B", help=by)
    spend.add_argument("--client", metavar="NAME", help="only this client")
    form = spend.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")


def _configured(is_told: bool) -> argparse.ArgumentParser:
    """The flags of every command that reads the configuration: one for each variable that holds no secret.

    `is_told`: does its help tell of them? There are seventy, among which nobody finds a command's own.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the configuration file; without it the one in PILLION_CONFIG, if any",
    )
    for flag in flags():
        parser.add_argument(
            f"--{flag.name}",
            dest=flag.variable,
            metavar=flag.placeholder,
            nargs="?" if flag.is_switch else None,
            const="true" if flag.is_switch else None,
            default=argparse.SUPPRESS,
            help=_about(flag) if is_told else argparse.SUPPRESS,
        )
    return parser


def _about(flag: Flag) -> str:
    default = f"; {flag.default} by default" if flag.default else ""
    return f"{flag.description} ({flag.variable}{default})"


def _names(text: str) -> list[str]:
    """Raises ArgumentTypeError where there is none: an empty shell variable must not make a key that may do all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("must name at least one; leave it out for all")
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
    raise argparse.ArgumentTypeError("must be a number of seconds from 0 to 86400 (as must PILLION_WAIT_TIMEOUT)")
