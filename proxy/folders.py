"""How is a folder made that nobody else may look into?

Whatever the umask; and so its parents, where they are not there yet: who may rename one of those has all that is below.
"""

from pathlib import Path

_PRIVATE = 0o700


def make_private(folder: Path) -> None:
    """One that is there stays as it is. Raises OSError."""
    if folder.is_dir():
        return
    make_private(folder.parent)
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    folder.chmod(_PRIVATE)  # a umask may have taken from us what is ours
