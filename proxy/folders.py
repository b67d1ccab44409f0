"""How is a folder made that nobody else may look into?

Whatever the umask is. Parents that have to be made are private as well: who may rename a parent controls what is below.
"""

from pathlib import Path

_PRIVATE = 0o700


def make_private(folder: Path) -> None:
    """A folder that exists stays as it is. Raises OSError."""
    if folder.is_dir():
        return
    make_private(folder.parent)
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    folder.chmod(_PRIVATE)  # a umask may have taken some of it away from us too
