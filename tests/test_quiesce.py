"""Does the bench itself bite: the check for stillness, and the count of recordings replayed?"""

import json
import os
from pathlib import Path

import pytest

from tests.quiesce import Still

pytest_plugins = ["pytester"]

CONFTEST = """
import uvloop
from tests import quiesce
from tests.quiesce import loop_of_test, quiesced

quiesce.PATIENCE = 0.1

def pytest_asyncio_loop_factories():
    return {"uvloop": uvloop.new_event_loop}
"""

SUITE = """
import asyncio, os, socket
import pytest

KEPT = []

def test_still(): pass

def test_file(): KEPT.append(os.open("/dev/zero", os.O_RDONLY))

def test_closed_what_it_did_not_open(): os.close(KEPT.pop())

async def test_task(): KEPT.append(asyncio.create_task(asyncio.sleep(60), name="left behind"))

async def test_socket(): KEPT.append(socket.create_server(("127.0.0.1", 0)))

async def test_callback_raises(): asyncio.get_running_loop().call_soon(lambda: 1 / 0)

async def test_exception_never_retrieved():
    async def broken():
        raise LookupError("nobody asked")
    asyncio.create_task(broken())
    await asyncio.sleep(0)

async def test_task_destroyed():
    async def waits():
        await asyncio.get_running_loop().create_future()
    asyncio.create_task(waits())
    await asyncio.sleep(0)

def test_loop_of_its_own():
    async def broken():
        asyncio.get_running_loop().call_soon(lambda: [][0])
        await asyncio.sleep(0)
    asyncio.run(broken())

@pytest.fixture
async def served():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    yield
    server.close()
    await server.wait_closed()

async def test_closed_by_its_fixture(served): pass

async def test_closed_a_little_later():
    async def soon():
        with socket.create_server(("127.0.0.1", 0)):
            for _ in range(10):
                await asyncio.sleep(0)
    KEPT.append(asyncio.create_task(soon()))
"""

FAULTS = {
    "test_file": "still open: /dev/zero",
    "test_closed_what_it_did_not_open": "closed, though the test did not open it: /dev/zero",
    "test_task": "left behind",
    "test_socket": "still open: socket: tcp 127.0.0.1:",
    "test_callback_raises": "unhandled on the loop: Exception in callback",
    "test_exception_never_retrieved": "nobody asked",
    "test_task_destroyed": "Task was destroyed but it is pending",
    "test_loop_of_its_own": "logged by asyncio: Exception in callback",
}


def test_every_leak_fails_its_own_test_and_is_named(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rE")
    result.assert_outcomes(passed=11, errors=len(FAULTS))
    sections = result.stdout.str().split("ERROR at teardown of ")[1:]
    for (test, fault), section in zip(FAULTS.items(), sections, strict=True):
        assert section.startswith(f"{test} ")
        assert fault in section


def test_a_descriptor_is_told_by_what_it_points_at(tmp_path: Path) -> None:
    still = Still(None)
    path = tmp_path / "kept"
    descriptor = os.open(path, os.O_CREAT)
    leaks = still.leaks()
    os.close(descriptor)
    assert leaks == [f"still open: {path}"]
    assert still.leaks() == []


# --- recordings ------------------------------------------------------------------------------------------------------

COUNTING = """
from tests import recordings
from tests.conftest import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown

recordings.MINIMUM = 3
"""

REPLAYING = """
import pytest
from tests import recordings

@pytest.mark.parametrize("row", recordings.load("a.*", "*.b"), ids=recordings.ids)
def test_replay(row):
    assert recordings.body(row) == b"\\x00ok"
    recordings.replayed(row)

@recordings.needs_recordings
def test_needs_them(): pass
"""

TOO_FEW = "too few: the whole suite replays at least 3"
BODIES = [
    {"response_body": "\x00ok", "response_encoding": "text"},
    {"response_body": "AG9r", "response_encoding": "base64"},
]


@pytest.fixture
def counted(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite that replays three of its four recordings, and must."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    folder = pytester.mkdir("recordings")
    monkeypatch.setenv("PILLION_RECORDINGS", str(folder))
    for stem, rows in {"a.a": BODIES, "a.b": BODIES[:1], "c.c": BODIES[:1]}.items():
        lines = [json.dumps({"id": f"{stem}.{n}", **row}) for n, row in enumerate(rows)]
        (folder / f"{stem}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    pytester.makeini("[pytest]\ntestpaths = .\n")
    pytester.makeconftest(COUNTING)
    pytester.makepyfile(REPLAYING)
    return pytester


@pytest.mark.parametrize("workers", ["0", "2"])
def test_distinct_recordings_are_counted_wherever_they_are_replayed(counted: pytest.Pytester, workers: str) -> None:
    result = counted.runpytest_subprocess("-n", workers)
    result.stdout.fnmatch_lines(["recordings replayed: 3 distinct of 4"])
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_whole_run_that_replays_too_few_fails(counted: pytest.Pytester, workers: str) -> None:
    (counted.path / "recordings" / "a.b.jsonl").unlink()
    result = counted.runpytest_subprocess("-n", workers)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["recordings replayed: 2 distinct of 3", TOO_FEW])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("chosen", [["-k", "needs"], ["."], ["-m", "skipif"]], ids=" ".join)
def test_a_run_of_some_tests_may_replay_few(counted: pytest.Pytester, chosen: list[str]) -> None:
    (counted.path / "recordings" / "a.b.jsonl").unlink()
    assert counted.runpytest_subprocess(*chosen).ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("said", "why", "code"),
    [
        ("none", "PILLION_RECORDINGS=none", pytest.ExitCode.OK),
        ("/nowhere", "/nowhere is no directory", pytest.ExitCode.TESTS_FAILED),
    ],
)
def test_a_machine_without_recordings_skips_and_is_green_only_where_it_says_so(
    counted: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, said: str, why: str, code: pytest.ExitCode
) -> None:
    monkeypatch.setenv("PILLION_RECORDINGS", said)
    result = counted.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=2)
    told = [] if said == "none" else [TOO_FEW, "(a machine that has none says so: PILLION_RECORDINGS=none)"]
    result.stdout.fnmatch_lines([f"recordings replayed: none, {why}", *told, f"SKIPPED * no recordings: {why}"])
    assert (TOO_FEW in result.stdout.str(), result.ret) == (bool(told), code)


def test_a_run_of_some_tests_needs_no_recordings(counted: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLION_RECORDINGS", "/nowhere")
    assert counted.runpytest_subprocess("-k", "needs").ret == pytest.ExitCode.OK
