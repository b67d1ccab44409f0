"""What does a server that we started cost, and how is it stopped, and nothing else with it?

Linux only: the kernel's own account of CPU and memory is read from /proc.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from types import TracebackType

from tests.bench.traffic import Exchange, NotMeasured

ANSWER_PATIENCE = 30.0  # seconds that a server has for its first good answer
STOP_PATIENCE = 10.0  # seconds between SIGTERM and SIGKILL
POLL = 0.005  # seconds
LOG_SHOWN = 2000  # characters

# Fields 6, and 16 and 17, of /proc/PID/stat (proc(5)), less 3: counted from behind the name, which may hold blanks.
_SESSION = slice(3, 4)
_CHILDREN = slice(13, 15)  # the CPU, user and system, of those that it has waited for
_TICKS = os.sysconf("SC_CLK_TCK")  # of that in a second


class Server:
    """A command that listens on a port, in a session of its own: whatever it forks is counted, and stopped, with it."""

    def __init__(self, command: Sequence[str], port: int, log: Path, environ: Mapping[str, str], folder: Path) -> None:
        """`log` takes what it prints; `folder` is where it runs."""
        self.port = port
        self._name = log.stem
        self._log = log
        self._began = time.monotonic()
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ, cwd=folder,
                start_new_session=True,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Server {self._name} {self._popen.pid} on port {self.port}>"

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def await_good(self, exchange: Exchange) -> float:
        """Seconds from the start of the process to its first good answer. Raises NotMeasured."""
        while True:
            try:
                exchange.once(self.port, ANSWER_PATIENCE)
                return self._age()
            except (OSError, HTTPException, NotMeasured) as error:
                if self._has_ended():
                    raise NotMeasured(f"{self._name} ended of itself. {self._printed()}") from None
                if self._age() > ANSWER_PATIENCE:
                    raise NotMeasured(f"{self._name} gave no good answer: {error}. {self._printed()}") from None
            time.sleep(POLL)

    def cpu(self) -> float:
        """Seconds of CPU, user and system, that its session has used until now."""
        pids = list(self._session())
        gone = sum(int(ticks) for pid in pids for ticks in _stat(pid)[_CHILDREN]) / _TICKS
        return gone + sum(map(_run, pids)) / 1e9

    def rss(self) -> float:
        """Resident memory of its session in MiB: VmRSS, in which a page that two processes share counts twice."""
        return sum(_resident(pid) for pid in self._session()) / 1024

    def peak(self) -> float:
        """The most memory, in MiB, that was resident at once since it was last asked."""
        of = Path(f"/proc/{self._popen.pid}")
        lines = (of / "status").read_text().splitlines()
        (of / "clear_refs").write_text("5")  # proc(5): the peak begins anew
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self) -> None:
        """End the session, first kindly. Until its leader is reaped, at the very end, no other group has its number."""
        if self._popen.returncode is not None:
            return
        os.killpg(self._popen.pid, signal.SIGTERM)
        patient_until = time.monotonic() + STOP_PATIENCE
        while not self._has_ended() and time.monotonic() < patient_until:
            time.sleep(POLL)
        os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _age(self) -> float:
        return time.monotonic() - self._began

    def _printed(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return f"It printed:\n{text[-LOG_SHOWN:]}" if text else "It printed nothing."

    def _session(self) -> Iterator[str]:
        leader = [str(self._popen.pid)]
        return (pid for pid in os.listdir("/proc") if pid.isdecimal() and _stat(pid)[_SESSION] == leader)


def _stat(pid: str) -> list[str]:
    """The fields from the state on; none where the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _run(pid: str) -> int:
    """Nanoseconds on a CPU, of its threads that are there: a tick, of ten milliseconds, is much of a slice."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def _resident(pid: str) -> int:
    """In KiB; none where the process has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
