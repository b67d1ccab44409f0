"""What did real providers answer, and how many of their recordings has this run replayed?

The recordings stand outside the tree and are read from there: `PILLION_RECORDINGS`, else `../shared/recordings` beside
the repository. `PILLION_RECORDINGS=none` says that this machine has none. A row is a dict, its keys as the README
beside the recordings has them.
"""

import base64
import os
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

Row = dict[str, Any]

# The fewest distinct recordings that a run of the whole suite must replay, where the recordings are present.
# `.ci/run` relies on it: a run that lost its recordings on the way must not look as green as one that replayed them.
MINIMUM = 850

_BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "recordings"
_SAID = os.environ.get("PILLION_RECORDINGS", "")
_NONE = _SAID == "none"

ROOT = Path(_SAID) if _SAID and not _NONE else _BESIDE

_replayed: set[str] = set()


def present() -> bool:
    return not _NONE and ROOT.is_dir()


def waived() -> bool:
    """Does this machine say that it has none?"""
    return _NONE


def why_absent() -> str:
    return "PILLION_RECORDINGS=none" if _NONE else f"{ROOT} is no directory"


needs_recordings = pytest.mark.skipif(not present(), reason=f"no recordings: {why_absent()}")


def load(*patterns: str) -> list[Row]:
    """The rows of every file whose stem matches one of the patterns, `fixture.*` files included; none where absent."""
    stems = [stem for stem in _stems() if any(fnmatchcase(stem, pattern) for pattern in patterns)]
    return [row for stem in stems for row in _rows(stem)]


def total() -> int:
    """How many recordings there are."""
    return sum((ROOT / f"{stem}.jsonl").read_bytes().count(b"\n") for stem in _stems())


def body(row: Row) -> bytes:
    """The bytes of the recorded answer."""
    text: str = row["response_body"]
    return base64.b64decode(text) if row["response_encoding"] == "base64" else text.encode()


def ids(row: Row) -> str:
    """For `parametrize(ids=...)`."""
    return str(row["id"])


def replayed(row: Row) -> None:
    """Note that this recording went through the code under test; the end of the run tells how many did."""
    _replayed.add(row["id"])


def count(seen: set[str] | None = None) -> set[str]:
    """The ids that were replayed, those that another worker has `seen` among them from now on."""
    _replayed.update(seen or ())
    return _replayed


@cache
def _stems() -> list[str]:
    return sorted(path.stem for path in ROOT.glob("*.jsonl")) if present() else []


@cache
def _rows(stem: str) -> list[Row]:
    lines = (ROOT / f"{stem}.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line) for line in lines if line]
