"""Is the pillion of this configuration up?

What `pillion healthcheck` and `pillion wait` ask, over a plain socket. A container runs the former every few seconds,
so it must import neither an HTTP client nor the whole configuration: where the address is written plainly, as it nearly
always is, it is read here. Anything else is left to the configuration itself.
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
WAIT = 25.0  # seconds until `wait` gives up

_PLACES = ("metrics_address", "listen")  # the former answers to the end; the latter is closed during the drain
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
    """Why it is still not ready after so many seconds; nothing as soon as it is."""
    until = monotonic() + seconds
    while (why := _why_not(where, "/readiness")) and monotonic() < until:
        sleep(PAUSE)
    return why


# --- the address, where it is written plainly ------------------------------------------------------------------------


def plain(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Question | None:
    """The question that was typed; None where it is another command, or not plain."""
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
    """How many seconds to wait, where no flag says so; as text."""
    return environ.get("PILLION_WAIT_TIMEOUT") or f"{WAIT:g}"


def _flags(words: Sequence[str]) -> dict[str, str] | None:
    """`--name value` and `--name=value`; None where anything else was typed."""
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
    """What the file says of the two addresses; None unless each stands on a line that is plain by itself."""
    try:
        with open(path, encoding="utf-8") as file:  # importing pathlib would be a tenth of the whole command
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
    said = f"with status {status[0].decode()}" if status and status[0].isdigit() else "with something that is not HTTP"
    return f"{where} answered {path} {said}"


def connected(where: Address) -> socket.socket:
    """Raises OSError."""
    if not where.path:
        host = where.reached.host.encode()  # for a str, the idna codec would be loaded
        return socket.create_connection((host, where.port), PATIENCE)  # type: ignore[arg-type]
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(PATIENCE)
        sock.connect(where.path)
    except BaseException:
        sock.close()
        raise
    return sock
