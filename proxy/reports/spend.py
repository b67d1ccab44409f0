"""What was spent, and is there a ledger? The commands `pillion spend` and `pillion ledger init`."""

import sys
from argparse import Namespace
from pathlib import Path
from time import time

from proxy.config import Config
from proxy.errors import BadRequest, ConfigError
from proxy.reports.usage_report import as_csv, as_json, as_table, asked
from proxy.store import begin, read_usage

FLAGS = {"since": "--since", "until": "--until", "group_by": "--by"}  # by the names that a URL has for them


def spend(config: Config, typed: Namespace) -> int:
    """The exit code. Raises ConfigError."""
    words = {name: said for name in FLAGS if (said := getattr(typed, name)) is not None}
    if typed.group_by is not None:
        words["group_by"] = ",".join(typed.group_by)  # `--by A --by B` is `--by A,B`
    try:
        query = asked(words)._replace(client=typed.client)
    except BadRequest as error:
        raise ConfigError(error.message.rstrip(".").replace(error.param or "", FLAGS[error.param or ""], 1)) from None
    groups = read_usage(_folder(config), query)
    if typed.json:
        print(as_json(groups, query.by).decode())
    elif typed.csv:
        sys.stdout.write(as_csv(groups, query.by))
    else:
        print(as_table(groups, query.by))
    return 0


def ledger(config: Config, typed: Namespace) -> int:
    """The exit code. Raises ConfigError."""
    print(begin(_folder(config), time()))
    return 0


def _folder(config: Config) -> Path:
    """Raises ConfigError."""
    if config.state_dir is None:
        raise ConfigError("there is no folder for the ledger: set PILLION_STATE_DIR")
    return config.state_dir
