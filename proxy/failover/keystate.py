"""Which providers' keys were left out when pillion ended, and still should be?

A sidecar restarts with each deploy of its app, and the first request after that must not go to a key whose quota is
used up until Monday. So `keystate.json` in the state directory has, for each key, until when it is left out, and a name
that is a keyed hash of it, which tells nothing to anybody who cannot guess the key. This is best effort: a file that is
broken or cannot be written is logged once, and the keys begin anew, as their providers will say the same again.

The sidecars of a fleet also tell one another (keyshare.py).
"""

import asyncio
import hmac
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from proxy.adapters.keys import Keys
from proxy.config.secret import secret_text, why_unreadable
from proxy.failover.cooldown import Saved
from proxy.failover.keyshare import KeyShare, Rows
from proxy.files import replace_file
from proxy.fleet import Fleet
from proxy.folders import make_private

FILE = "keystate.json"
VERSION = 1
LARGEST = 16 * 1024 * 1024  # bytes
PAUSE = 1.0  # seconds between two times that it is written

log = logging.getLogger("pillion")


class _File(Struct):
    version: int
    salt: str
    providers: dict[str, list[Saved]]


class KeyStates:
    """Of all providers. `folder`: None where there is nowhere to keep anything. `fleet`: None where we are alone."""

    def __init__(self, folder: Path | None, fleet: Fleet | None = None) -> None:
        self._path = folder / FILE if folder is not None else None
        found = _read(self._path) if self._path is not None else None
        self._salt = found.salt if found is not None else secrets.token_hex(16)
        self._others: Rows = found.providers if found is not None else {}  # of providers that are not there now
        self._followed: Mapping[str, Keys] = {}
        self._is_stale = self._has_failed = False
        self._writing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._share = None if fleet is None else KeyShare(fleet, self.rows, self.merge)

    def __repr__(self) -> str:
        return f"<KeyStates of {', '.join(self._followed)}>"

    def become(self, followed: Mapping[str, Keys]) -> None:
        """These are the providers' keys from now on. Those that stay are as they were."""
        known, before = self.rows(), self._followed
        self._followed = followed
        self._others = {name: saved for name, saved in known.items() if name not in followed}
        for name, keys in followed.items():
            if keys is not before.get(name):
                keys.follow(self._name, partial(self._changed, name))
                keys.restore(known.get(name, ()))

    def rows(self) -> Rows:
        """All that are left out."""
        return {**self._others, **{name: keys.saved() for name, keys in self._followed.items()}}

    def merge(self, rows: Rows) -> None:
        """Hear from others which keys are left out, or back."""
        followed = self._followed
        heard = [followed[name].restore(saved) for name, saved in rows.items() if name in followed]
        if any(heard):
            self._keep()

    async def close(self) -> None:
        """Once all of it is written."""
        self._closed.set()
        if self._writing is not None:
            await self._writing

    def _name(self, key: str) -> str:
        name = hmac.digest(self._salt.encode(), key.encode("utf-8", "surrogateescape"), "sha256").hex()[:16]
        if self._share is not None:
            self._share.follow(name, key)
        return name

    def _changed(self, provider: str, news: Sequence[Saved]) -> None:
        self._keep()
        if self._share is not None:
            self._share.tell(provider, news)

    def _keep(self) -> None:
        self._is_stale = True
        if self._path is not None and self._writing is None and not self._closed.is_set():
            self._writing = asyncio.create_task(self._write(self._path), name="keys' state")

    async def _write(self, path: Path) -> None:
        """Until there is nothing new, with a pause after each time."""
        while self._is_stale:
            self._is_stale = False
            providers = {name: list(saved) for name, saved in self.rows().items() if saved}
            data = msgspec.json.encode(_File(VERSION, self._salt, providers))
            try:
                await asyncio.to_thread(_replace, path, data)
            except OSError as error:
                self._complain(path, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._closed.wait()
        self._writing = None

    def _complain(self, path: Path, error: OSError) -> None:
        if not self._has_failed:
            words = "%s: %s; which keys are out of use is forgotten when pillion stops"
            log.warning(words, path, why_unreadable(error), extra={"event": "keystate_failed"})
        self._has_failed = True


def _read(path: Path) -> _File | None:
    """None where there is none, or one that is not ours."""
    try:
        found = msgspec.json.decode(secret_text(path, LARGEST), type=_File)
        if found.version == VERSION:
            return found
        why = f"has version {found.version}"
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, RecursionError):
        why = "not a file of pillion's"
    except (OSError, ValueError) as error:
        why = why_unreadable(error)
    log.warning("%s: %s; starting with all keys in use", path, why, extra={"event": "keystate_unreadable"})
    return None


def _replace(path: Path, data: bytes) -> None:
    """Where a power cut leaves no file at all, that does no harm. Raises OSError."""
    make_private(path.parent)
    own = path.with_name(f"{path.name}.{os.getpid()}")  # several pillions may write here at once
    replace_file(path, data, own, is_durable=False)
