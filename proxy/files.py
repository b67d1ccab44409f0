"""How is a file replaced, so that whoever reads it finds the old one or the new one, whole?"""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, new: Path, is_durable: bool) -> None:
    """`new`: where it is written first, in the same folder. Nobody else may look into it. Raises OSError, and leaves
    nothing there then.

    `is_durable`: it outlives a power cut, which takes two waits for the disk; else there may be neither file then.
    """
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            give_to_owner(descriptor, new)
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(descriptor)
        new.rename(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
    if is_durable:
        sync_folder(path.parent)


def give_to_owner(descriptor: int, path: Path) -> None:
    """What root makes in another user's folder becomes that user's: pillion runs as that user, and root types commands.

    Not what is elsewhere, and only has a link there: its owner may have put that there for root to find.
    """
    if os.geteuid() != 0:
        return
    owner, made = path.parent.stat(), os.fstat(descriptor)
    if owner.st_uid and not made.st_uid and made.st_nlink == 1 and os.path.samestat(made, path.lstat()):
        with suppress(OSError):  # root without its rights, or an owner that is unknown here, as in some containers
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def sync_folder(folder: Path) -> None:
    """So that the new names of its files survive a power cut as well. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
