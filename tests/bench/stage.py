"""Who takes part in a run?

The stand-in upstream, and in front of it nginx, a bare proxy of aiohttp's, and pillion. All listen on loopback ports
that the kernel picked, and write into one folder.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import NamedTuple

from tests.bench.server import Server
from tests.bench.traffic import READINESS, NotMeasured, exchange

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PACKAGES = {"gcc": "gcc libc6-dev", "nginx": "nginx-light", "wrk": "wrk"}  # what each tool comes in, on Debian
# nginx is installed where an ordinary user's PATH does not look.
ENVIRON = {"PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])}


class Stage(NamedTuple):
    folder: Path
    upstream: Server
    nginx: Server
    bare: Server
    pillion: Server


def need_tools() -> None:
    """Raises NotMeasured, with what to install."""
    missing = [tool for tool in PACKAGES if shutil.which(tool, path=ENVIRON["PATH"]) is None]
    if missing:
        packages = " ".join(PACKAGES[tool] for tool in missing)
        raise NotMeasured(f"there is no {' and no '.join(missing)} (Debian: apt-get install {packages})")


@contextmanager
def staged(folder: Path, on_disk: bool) -> Iterator[Stage]:
    """All of them, each having answered well, until the block is left. `on_disk`: pillion's ledger is.

    Raises NotMeasured.
    """
    compiled(folder)
    with (
        standing_in(folder) as upstream,
        _nginx(folder, upstream) as nginx,
        _bare(folder, upstream) as bare,
        pillion(folder, upstream, on_disk) as gateway,
    ):
        for server in (upstream, nginx, bare):
            server.await_good(exchange())
        gateway.await_good(READINESS)
        yield Stage(folder, upstream, nginx, bare, gateway)


def pillion(folder: Path, upstream: Server, on_disk: bool = False) -> Server:
    """This checkout, under the interpreter that runs us.

    Nothing of our own environment reaches it: a key that is set there would make one more provider.
    """
    port = free_port()
    environ = {
        "OPENAI_API_KEY": "sk-bench",
        "PILLION_OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1",
        "PILLION_LISTEN": f"127.0.0.1:{port}",
        "PILLION_STATE_DIR": str(folder / f"state-{port}") if on_disk else "",
    }
    command = [sys.executable, "-m", "proxy", "serve"]
    return Server(command, port, folder / "pillion.log", environ, CHECKOUT)


def compiled(folder: Path) -> None:
    command = ["gcc", "-O2", "-o", str(folder / "upstream"), str(HERE / "upstream.c")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise NotMeasured(f"gcc cannot compile upstream.c:\n{ran.stderr}")


def standing_in(folder: Path) -> Server:
    port = free_port()
    return Server([str(folder / "upstream"), str(port)], port, folder / "upstream.log", ENVIRON, folder)


def _nginx(folder: Path, upstream: Server) -> Server:
    port = free_port()
    template = Template((HERE / "nginx.conf").read_text())
    conf = folder / "nginx.conf"
    conf.write_text(template.substitute(folder=folder, port=port, upstream=upstream.port))
    command = [shutil.which("nginx", path=ENVIRON["PATH"]) or "nginx", "-c", str(conf), "-p", str(folder)]
    return Server(command, port, folder / "nginx.log", ENVIRON, folder)


def _bare(folder: Path, upstream: Server) -> Server:
    port = free_port()
    command = [sys.executable, str(HERE / "bare.py"), str(port), f"http://127.0.0.1:{upstream.port}"]
    return Server(command, port, folder / "bare.log", ENVIRON, CHECKOUT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
