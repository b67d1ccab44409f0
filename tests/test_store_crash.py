"""Is a row ever lost, or booked twice, because pillion was killed (figure L0) or its disk was full (L3)?"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.laws import SOAK, share

ROOT = Path(__file__).parent.parent
KILLS = share("L0: kills of a ledger at random moments", 1000, 50)
CRASH = [sys.executable, "-m", "tests.crash"]
SEED = int.from_bytes(os.urandom(4), "big") if SOAK else 1


def crash(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*CRASH, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_kill_at_a_random_moment_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    done = crash("kills", str(tmp_path), str(KILLS), str(SEED))
    assert (done.stdout, done.stderr) == (f"{KILLS} kills\n", ""), f"seed {SEED}"


def test_a_kill_at_a_named_point_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    done = crash("points", str(tmp_path))
    assert (done.stdout, done.stderr) == ("22 kills\n", "")


def test_a_full_disk_refuses_new_spend_keeps_what_was_told_and_is_well_once_there_is_room(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare is not here")
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', str(tmp_path)]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody here mount a tmpfs")
    done = subprocess.run(
        [*mount, *CRASH, "full", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "the disk is full" in said["failed"]
    assert said["pending"]
    assert (said["written"], said["lost"]) == (said["kept"], 0)
