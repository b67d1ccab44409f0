"""Where are the files that come with pillion beside its code?

importlib.resources knows that as well, but to do so it loads what reads archives and makes temporary files: 0.4 MiB.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def packaged(name: str) -> Path:
    return _PACKAGE / name
