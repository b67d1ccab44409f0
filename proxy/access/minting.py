"""How are keys for clients made, listed and revoked?

`pillion keys add NAME`, `pillion keys list` and `pillion keys revoke NAME`. A key is printed once, by itself, so that
it can be captured in a variable; all other words go to standard error.
"""

import secrets
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import NamedTuple

import msgspec

from proxy.access.allowance import Limits
from proxy.access.budgeted import budgets_of
from proxy.access.clients import configured_keys
from proxy.access.keyring import FILE, Minted, Rows, change, read
from proxy.config import Config, KeyBudget
from proxy.config.secret import digest_of, why_unreadable
from proxy.config.spending import CLIENT_NAME, DEFAULT_CLIENT, moment
from proxy.errors import ConfigError

PREFIX = "pil_"
RANDOM = 32  # bytes, of which urlsafe base64 makes 43 characters

_NONE = "-"
_SPANS = {"day": "a day", "month": "a month", "total": "in total"}
_NO_PROVIDER = "no such provider, neither in the configuration nor among the presets"


class Listed(NamedTuple):
    """A key as it is listed: nothing from which it could be made."""

    name: str
    origin: str  # minted, or configured
    created: datetime | None
    expires: datetime | None
    models: Sequence[str]
    providers: Sequence[str]
    limits: Limits
    budget: KeyBudget | None


def keys(config: Config, typed: Namespace) -> int:
    """The exit code. Raises ConfigError."""
    match typed.what:
        case "add":
            _add(config, typed)
        case "revoke":
            _revoke(config, typed.name)
        case _:
            _list(config, typed.json)
    return 0


def _add(config: Config, typed: Namespace) -> None:
    if config.transparent is not None:
        raise ConfigError(
            f"transparent: apps send their own keys for {config.transparent}, so they cannot send a client key"
        )
    key = PREFIX + secrets.token_urlsafe(RANDOM)
    row = Minted(
        name=_new_name(config, typed.name),
        sha256=digest_of(key).hex(),
        created=datetime.now(UTC).replace(microsecond=0),
        expires=_end(typed.expires),
        models=_models(config, typed.models),
        providers=_providers(config, typed.providers),
        limits=Limits(typed.rpm, typed.tpm, typed.concurrent),
        budget=_budget(typed),
    )
    folder, told = _folder(config), False

    def kept(rows: Rows) -> Rows:
        nonlocal told
        rows, told = _told(key, _with(config, rows, row)), True
        return rows

    try:
        change(folder, kept)
    except ConfigError as error:
        raise ConfigError(f"{error}; the key that was printed does not count" if told else str(error)) from None
    print(
        f"pillion: this key is shown only once: just its digest is stored, in {folder}. A pillion that runs with that"
        " state_dir accepts it within a second.",
        file=sys.stderr,
    )
    if _is_first_strict(config, row):
        words = (
            "this is the first strict budget here, and it needs the ledger: without one, the key is refused and pillion"
        )
        print(f"pillion: {words} does not start (`pillion ledger init` creates one).", file=sys.stderr)


def _told(key: str, rows: Rows) -> Rows:
    """Print the key before it is kept: one that is kept and that nobody has seen would lock everybody out."""
    try:
        print(key, flush=True)
    except OSError:
        raise ConfigError("the key could not be printed, so it was not saved") from None
    return rows


def _revoke(config: Config, name: str) -> None:
    is_configured = any(each.client.name == name for each in configured_keys(config))
    if is_configured and not any(row.name == name for row in _minted(config)):
        raise ConfigError(f"{name} is a key of the configuration: remove it there")
    folder = _folder(config)
    change(folder, lambda rows: _without(rows, name))
    print(f"revoked {name}")
    if is_configured:  # which hid the other, until it is removed
        print(f"pillion: {name} of the configuration is another key, and still counts", file=sys.stderr)
    if not (_minted(config) or config.has_keys):
        left = f"that was the last key, but clients still need one. To let in everybody, delete {folder / FILE}"
        print(f"pillion: {left} and restart pillion.", file=sys.stderr)


def _list(config: Config, as_json: bool) -> None:
    rows = list(_listed(config))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode([row._asdict() for row in rows])).decode())
    else:
        print(_table([[name.upper() for name in Listed._fields], *map(_cells, rows)]))


# --- what is asked for -----------------------------------------------------------------------------------------------


def _folder(config: Config) -> Path:
    if config.state_dir is None:
        raise ConfigError("there is no folder to keep keys in: set PILLION_STATE_DIR")
    return config.state_dir


def _new_name(config: Config, name: str) -> str:
    if not CLIENT_NAME.fullmatch(name):
        raise ConfigError("a key's name must be 1 to 64 characters: letters, digits or any of .-_@+")
    if name == DEFAULT_CLIENT:
        raise ConfigError(f"{name} is the name of the key in client_key: choose another name")
    if any(each.client.name == name for each in config.keys):
        raise ConfigError(f"the configuration already has a key named {name}: choose another name")
    return name


def _end(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        end = datetime.fromtimestamp(moment(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError('--expires must be a date, such as "2027-01-31" or "2027-01-31T12:00:00Z"') from None
    if end.timestamp() <= time():
        raise ConfigError(f"--expires {text} is in the past")
    return end


def _providers(config: Config, names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if not _is_known(config, name):
            raise ConfigError(f"--providers {name}: {_NO_PROVIDER}")
    return tuple(names)


def _models(config: Config, patterns: Sequence[str]) -> tuple[str, ...]:
    for pattern in patterns:
        provider, slash, model = pattern.partition("/")
        if not (slash and model):
            raise ConfigError(f"--models {pattern}: must be PROVIDER/MODEL, where * matches anything")
        if "*" not in provider and not _is_known(config, provider):
            raise ConfigError(f"--models {pattern}: {_NO_PROVIDER}")
    return tuple(patterns)


def _budget(typed: Namespace) -> KeyBudget | None:
    said = {"window": typed.budget_window, "mode": typed.budget_mode}
    terms = {name: word for name, word in said.items() if word is not None}
    if typed.budget is None and terms:
        raise ConfigError(f"--budget-{next(iter(terms))} needs --budget, the amount in dollars")
    return None if typed.budget is None else KeyBudget(usd=typed.budget, **terms)


def _is_first_strict(config: Config, row: Minted) -> bool:
    """Has it the first strict budget that there is? Those need a ledger that was opened for them."""
    others = budgets_of(config, tuple(each for each in _minted(config) if each.name != row.name))
    strict = any(each.mode == "strict" for each in others.values())
    return row.budget is not None and row.budget.mode == "strict" and not strict


def _is_known(config: Config, provider: str) -> bool:
    """Presets count as well: the serving pillion may have keys for providers that this command has not."""
    return provider == "echo" or provider in config.providers or provider in config.ways


def _with(config: Config, rows: Rows, row: Minted) -> Rows:
    """Raises ConfigError."""
    if any(each.name == row.name for each in rows):
        raise ConfigError(f"there is already a key named {row.name}: revoke it first, or choose another name")
    budgets_of(config, (*rows, row))
    return (*rows, row)


def _without(rows: Rows, name: str) -> Rows:
    left = tuple(row for row in rows if row.name != name)
    if len(left) == len(rows):
        there = f"minted keys: {', '.join(row.name for row in rows)}" if rows else "no keys have been minted"
        raise ConfigError(f"there is no minted key named {name}; {there}")
    return left


# --- what is shown ---------------------------------------------------------------------------------------------------


def _listed(config: Config) -> Iterator[Listed]:
    for client, *_, budget in configured_keys(config):
        expires = datetime.fromtimestamp(client.expires, UTC) if client.expires is not None else None
        yield Listed(client.name, "configured", None, expires, client.models, client.providers, client.limits, budget)
    for row in _minted(config):
        limits = row.limits or config.limits.client
        yield Listed(row.name, "minted", row.created, row.expires, row.models, row.providers, limits, row.budget)


def _minted(config: Config) -> Rows:
    """Raises ConfigError where they cannot be read."""
    if config.state_dir is None:
        return ()
    path = config.state_dir / FILE
    try:
        return read(path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}") from None


def _cells(row: Listed) -> list[str]:
    limits = {
        "requests a minute": row.limits.requests_per_minute,
        "tokens a minute": row.limits.tokens_per_minute,
        "at once": row.limits.concurrent,
    }
    told = [f"{count} {what}" for what, count in limits.items() if count is not None]
    dates = [when.isoformat(timespec="seconds") if when is not None else "" for when in (row.created, row.expires)]
    budget = "" if row.budget is None else f"${row.budget.usd:g} {_SPANS[row.budget.window]}, {row.budget.mode}"
    cells = [row.name, row.origin, *dates, ",".join(row.models), ",".join(row.providers), ", ".join(told), budget]
    return [cell or _NONE for cell in cells]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
