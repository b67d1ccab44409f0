"""What does the running pillion say about its providers? The command `pillion providers`.

It asks the listener for operators, where there is one; else that for apps, which answers as long as clients have no
keys of their own.
"""

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from proxy.access.clients import configured_keys
from proxy.config import Address, Config
from proxy.logs import visible
from proxy.reports.probe import connected, told

_HEAD = ("provider", "status", "latency", "checked", "keys", "targets", "host")
_LONGEST = 200  # characters of an error


def providers(config: Config, typed: Namespace) -> int:
    """The exit code."""
    where = config.admin_address or config.listen
    try:
        key = _key(config)
        status, body = _asked(where, "/v1/providers", key)
        if status == HTTPStatus.UNAUTHORIZED and not key:
            how = "set PILLION_CLIENT_KEY to one that it knows"
            if config.admin_address is None:  # with a key, the listener for apps says that it does not tell this
                how += ", and PILLION_ADMIN_ADDRESS to its admin listener, which alone tells this"
            return told(f"{where} asks for a client key: {how}")
        said = json.loads(body)
        if status != 200:
            raise HTTPException(said["error"]["message"])
        print(json.dumps(said["data"], indent=2) if typed.json else _table(said["data"]))
    except OSError as error:
        return told(f"{where}: {(error.strerror or str(error)).lower()}")
    except HTTPException as error:
        return told(f"{where} answered: {visible(str(error)) or 'nothing'}")
    except (ValueError, LookupError, TypeError, RecursionError):
        return told(f"{where} answered, but is not a pillion of this version")
    return 0


def _asked(where: Address, path: str, key: str) -> tuple[int, bytes]:
    """The status and the body. Raises OSError, HTTPException."""
    connection = HTTPConnection("localhost")
    connection.sock = connected(where)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _key(config: Config) -> str:
    """A client key, where the configuration has one; of minted keys only digests are kept."""
    return next((each.key.reveal() for each in configured_keys(config) if each.key), "")


# --- for people ------------------------------------------------------------------------------------------------------


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([*lines, *_errors(rows)])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:g} ms"
    states = Counter(target["state"] for target in row["targets"])
    return (
        row["id"],
        row["status"],
        latency,
        row["checked_at"] or "-",
        _keys(row["keys"]) if row["keys"] else "-",
        _counts(states) or "-",
        row["host"] or "-",
    )


def _keys(keys: Mapping[str, int]) -> str:
    left_out = _counts({state: count for state, count in keys.items() if state != "count"})
    return f"{keys['count']} ({left_out})" if left_out else str(keys["count"])


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _errors(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["error"]:
            detail = f" ({row['error_detail']})" if row["error_detail"] else ""
            yield f"{row['id']}: {visible(row['error'] + detail, _LONGEST)}"
