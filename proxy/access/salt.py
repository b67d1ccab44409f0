"""What keeps the names of apps' own keys from telling anything of the keys?

In transparent mode a client is called by a digest of its key, with a salt that nobody else has. The salt lies in the
state directory, so that a key goes by the same name after a restart: what it has spent of a budget, its rows in the
ledger and its cached answers stay its own.
"""

import logging
import os
import re
import secrets
from pathlib import Path

from proxy.config.secret import secret_text, why_unreadable
from proxy.files import replace_file
from proxy.folders import make_private

FILE = "salt"
BYTES = 32

_SALT = re.compile(rf"[0-9a-f]{{{2 * BYTES}}}")

log = logging.getLogger("pillion")


class Salt:
    """That of a folder. It is read, or made, when it is first asked for: nothing is written where nobody needs it."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder is not None else None
        self._value = b""

    def __repr__(self) -> str:
        return f"<Salt in {self._path}>"

    def value(self) -> bytes:
        if not self._value:
            self._value = bytes.fromhex(_kept(self._path) if self._path is not None else _fresh())
        return self._value


def _fresh() -> str:
    return secrets.token_hex(BYTES)


def _kept(path: Path) -> str:
    """In hex. A file that cannot be read stays as it is: it may be mended, and what apps have spent is known by it."""
    fresh = _fresh()
    try:
        return _read(path)
    except FileNotFoundError:
        try:
            make_private(path.parent)
            replace_file(path, fresh.encode(), path.with_name(f"{FILE}.{os.getpid()}"), is_durable=False)
        except OSError as error:
            _complain(path, why_unreadable(error))
    except OSError as error:
        _complain(path, why_unreadable(error))
    except ValueError:
        _complain(path, f"is not {2 * BYTES} hexadecimal digits")
    return fresh


def _read(path: Path) -> str:
    """Raises OSError, ValueError."""
    text = secret_text(path)
    if not _SALT.fullmatch(text):
        raise ValueError
    return text


def _complain(path: Path, why: str) -> None:
    words = "%s: %s; apps go by other names after a restart, and their budgets begin anew"
    log.warning(words, path, why, extra={"event": "salt_failed"})
