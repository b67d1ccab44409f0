"""Is the pillion of this configuration up?

What `pillion healthcheck` and `pillion wait` ask, by hand over a socket. A container runs the former every few seconds,
so it must not cost what a client of HTTP costs to import, nor a whole configuration: where it is put plainly, as it
nearly always is, the address is read here. Whatever is not plain is for the whole configuration to understand.
"""

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import NamedTuple

from proxy.edge.address import LISTEN, Address, address

NOT_UP = 1  # exit code
PATIENCE = 4.0  # seconds for one answer
PAUSE = 0.1  # seconds between two questions
WAIT = 25.0  # seconds until whoever waits gives up

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  whoever listens everywhere listens here
_PLACES = ("metrics_address", "listen")  # the former answers to the end, the latter is closed while we drain
_PLAIN = re.compile(r"""(metrics_address|listen):[ ]+(["']?)([^\s"']+)\2(?:[ ]+\#.*)?[ ]*""")  # a line of the file
_SECONDS = re.compile(r"[0-9]{1,4}(?:\.[0-9]+)?")


class Question(NamedTuple):
    command: str
    where: Address
    seconds: float = WAIT


def told(problem: str) -> int:
    """The exit code."""
    if problem:
        print(f"pillion: {problem}", file=sys.stderr)
    return NOT_UP if problem else 0


def ask(question: Question) -> str:
    """Why the answer is no; nothing where it is yes."""
    if question.command == "wait":
        return wait(question.where, question.seconds)
    return healthcheck(question.where)


def healthcheck(where: Address) -> str:
    """Why it is not alive; nothing where it is."""
    return _why_not(where, "/liveness")


def wait(where: Address, seconds: float) -> str:
    """Why it is not ready, after as many seconds; nothing as soon as it is."""
    until = monotonic() + seconds
    while (why := _why_not(where, "/readiness")) and monotonic() < until:
        sleep(PAUSE)
    return why


# --- where it is, put plainly ----------------------------------------------------------------------------------------


def plain(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Question | None:
    """The question that was typed; None where it is another command, or takes more to understand."""
    command, *rest = words or [""]
    flags = _flags(rest)
    if command not in ("healthcheck", "wait") or flags is None:
        return None
    path = flags.pop("config", "") or environ.get("PILLION_CONFIG", "")
    seconds = flags.pop("timeout", "") or longest_wait(environ)
    said = _in_file(path) if path else {}
    if said is None or not _SECONDS.fullmatch(seconds) or not flags.keys() <= {*_PLACES}:
        return None
    said = said | {name: text for name in _PLACES if (text := environ.get(f"PILLION_{name.upper()}"))} | flags
    where = address(next((said[name] for name in _PLACES if name in said), LISTEN))
    return where and Question(command, where, float(seconds))


def longest_wait(environ: Mapping[str, str] = os.environ) -> str:
    """For how many seconds to wait, where no flag says it; as it is written."""
    return environ.get("PILLION_WAIT_TIMEOUT") or f"{WAIT:g}"


def _flags(words: Sequence[str]) -> dict[str, str] | None:
    """`--name value` and `--name=value`."""
    flags: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        value = value if equals else next(rest, "")
        if not name.startswith("--") or not value or value.startswith("-"):
            return None
        flags[name.removeprefix("--").replace("-", "_")] = value
    return flags


def _in_file(path: str) -> dict[str, str] | None:
    """What the file says of the two, in lines that mean the same whatever stands around them."""
    try:
        with open(path, encoding="utf-8") as file:  # pathlib would be a tenth of all that this takes
            lines = file.read().splitlines()
    except (OSError, ValueError):
        return None
    telling = [line for line in lines if any(name in line for name in _PLACES) and not line.lstrip().startswith("#")]
    found = [_PLAIN.fullmatch(line) for line in telling]
    said = {match[1]: match[3] for match in found if match}
    return said if len(said) == len(telling) else None


# --- over a socket ---------------------------------------------------------------------------------------------------


def _why_not(where: Address, path: str) -> str:
    try:
        with connected(where) as sock, sock.makefile("rb") as answer:
            sock.sendall(f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
            status = answer.readline(256).split(b" ")[1:2]
    except OSError as error:
        return f"{where}: {(error.strerror or str(error)).lower()}"
    if status == [b"200"]:
        return ""
    said = status[0].decode() if status and status[0].isdigit() else "no HTTP"
    return f"{where} answers {said} to {path}"


def connected(where: Address) -> socket.socket:
    """Raises OSError."""
    if not where.path:
        host = _ANYWHERE.get(where.host, where.host).encode()  # for text a codec would have to be loaded
        return socket.create_connection((host, where.port), PATIENCE)  # type: ignore[arg-type]
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(PATIENCE)
        sock.connect(where.path)
    except BaseException:
        sock.close()
        raise
    return sock
