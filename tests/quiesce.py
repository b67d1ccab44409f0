"""Is the process as still after a test as it was before?

Descriptors (files, pipes, sockets) and tasks must be back at the baseline taken before the test, exactly, once every
other fixture is torn down; and nothing may have gone wrong on the loop without anyone hearing of it. A connection that
waits in a pool is an open socket, and counts as one. A loop needs a few turns to close what it was told to close, so
the check polls it for at most two seconds; a test that left nothing behind pays one turn.
"""

import asyncio
import gc
import logging
import os
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_asyncio import is_async_test

PATIENCE = 5.0  # seconds
TURNS = 50
_POLL = 0.005  # seconds

Loop = asyncio.AbstractEventLoop


class Still:
    """The baseline: what was open and running when the test began."""

    def __init__(self, loop: Loop | None) -> None:
        self._loop = loop
        self._tasks = set() if loop is None else asyncio.all_tasks(loop)
        self._open = Counter(descriptors().values())

    def leaks(self) -> list[str]:
        """What differs now, a line each: descriptors come and gone, and tasks."""
        now = descriptors()
        come, gone = Counter(now.values()), self._open.copy()
        come.subtract(self._open)
        gone.subtract(now.values())
        sockets = _sockets() if any(target.startswith("socket:") for target in come) else {}
        lines = [f"still open: {sockets.get(target, target)}" for target in sorted((+come).elements())]
        lines += [f"closed, though the test did not open it: {target}" for target in sorted((+gone).elements())]
        return lines + [f"still running: {task!r}" for task in self._running()]

    def settle(self) -> list[str]:
        """What still differs after PATIENCE seconds of the loop's turning, and TURNS of it: machines stand still."""
        patient_until, turns = time.monotonic() + PATIENCE, 1
        self._turn(0)
        while leaks := self.leaks():
            if turns > TURNS and time.monotonic() > patient_until:
                return leaks
            self._turn(_POLL)
            turns += 1
        return []

    def _turn(self, seconds: float) -> None:
        if self._loop is None:
            time.sleep(seconds)
        else:
            self._loop.run_until_complete(asyncio.sleep(seconds))

    def _running(self) -> list[asyncio.Task[Any]]:
        tasks = set() if self._loop is None else asyncio.all_tasks(self._loop) - self._tasks
        return sorted(tasks, key=lambda task: task.get_name())


class Complaints(logging.Handler):
    """What went wrong on a loop and reached nobody: unhandled exceptions, tasks destroyed while pending.

    It listens twice: as the exception handler of the test's loop, and to asyncio's logger for loops of others.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(f"logged by asyncio: {record.getMessage()}")

    def on_loop(self, loop: Loop, context: dict[str, Any]) -> None:
        """A handshake that fails in the very turn of the loop in which its task is cancelled has nobody to tell, as
        asyncio drops what that task was waiting for.
        """
        if isinstance(context.get("exception"), ssl.SSLError) and "never retrieved" in str(context.get("message")):
            return
        about = context.get("exception") or context.get("task") or context.get("future")
        self.heard.append(f"unhandled on the loop: {context.get('message')} {about!r}")


def descriptors() -> dict[int, str]:
    """Each open descriptor and what it points at, as Linux tells it."""
    targets = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            targets[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor that listed the directory
            continue
    return targets


@pytest.fixture
async def loop_of_test() -> Loop:
    """The test's loop, with whatever it opens for itself open by now.

    With its first stream libuv opens /dev/null, to have a descriptor to spare should it run out, and keeps it.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()
    return loop


@pytest.fixture(autouse=True)
def quiesced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind.

    Autouse, and at conftest level, so that it is set up before the test's other fixtures and checks after they are
    gone. It asks for the loop itself, and not by an argument, as a test that is not async must not get one.
    """
    loop: Loop | None = request.getfixturevalue("loop_of_test") if is_async_test(request.node) else None
    complaints = Complaints()
    logging.getLogger("asyncio").addHandler(complaints)
    if loop is not None:
        loop.set_exception_handler(complaints.on_loop)
    still = Still(loop)
    try:
        yield
        faults = still.settle()
        gc.collect(1)  # a task destroyed, or an exception never retrieved, is told of by its finaliser
    finally:
        logging.getLogger("asyncio").removeHandler(complaints)
    faults += complaints.heard
    if faults:
        gc.collect()  # what this test leaked must not vanish under the next one
        pytest.fail("not quiet after the test:\n  " + "\n  ".join(faults), pytrace=False)


def _sockets() -> dict[str, str]:
    """What each TCP or Unix socket of this machine is, by the name that /proc/self/fd gives it."""
    told = {}
    for family in ("tcp", "tcp6", "unix"):
        for line in Path(f"/proc/self/net/{family}").read_text().splitlines()[1:]:
            word = line.split()
            if family == "unix":
                told[f"socket:[{word[6]}]"] = f"socket: unix {' '.join(word[7:])}"
            else:
                told[f"socket:[{word[9]}]"] = f"socket: {family} {_address(word[1])} to {_address(word[2])}"
    return told


def _address(spelt: str) -> str:
    """`0100007F:1F90` is 127.0.0.1:8080: the port in hexadecimal, the address in the machine's byte order."""
    host, port = spelt.split(":")
    octets = ".".join(str(octet) for octet in reversed(bytes.fromhex(host))) if len(host) == 8 else host
    return f"{octets}:{int(port, 16)}"
