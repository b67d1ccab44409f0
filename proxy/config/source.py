"""Where does the configuration come from, and has it changed?

Flags and environment stay the same as long as the process lives; the file does not. It counts as changed once it
differs from what was read and has stayed the same from one look to the next, because it may be half written. Nor may
it be empty where it was not, nor its last line have lost its end: half a number is a number. Symbolic links are
followed: Kubernetes puts a new version of a ConfigMap behind one.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from proxy.config.checks import NoAdapter, any_kind
from proxy.config.effective import Config
from proxy.config.layers import Layers
from proxy.config.loading import layered, load, located
from proxy.config.reading import contents
from proxy.config.secret import why_unreadable
from proxy.errors import ConfigError


class _Stamp(NamedTuple):
    """What tells one version of a file from another."""

    path: str
    changed: int  # nanoseconds
    inode: int
    size: int


class Source:
    """`path`, `flags`, `no_adapter`: as in `load`."""

    def __init__(
        self,
        path: Path | None = None,
        flags: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
        no_adapter: NoAdapter = any_kind,
    ) -> None:
        self._path = located(path, environ)
        self._flags = flags or {}
        self._environ = environ
        self._no_adapter = no_adapter
        self._read: _Stamp | None = None
        self._seen: _Stamp | None = None
        self._is_loaded = False
        self._had_text = False  # what was loaded was not empty
        self._is_ended = False  # its last line had an end
        self._is_missing = False

    def __repr__(self) -> str:
        return f"<Source {self}>"

    def __str__(self) -> str:
        return str(self._path or "without a file")

    @property
    def has_file(self) -> bool:
        return self._path is not None

    def load(self) -> Config:
        """The configuration as it is now. Raises ConfigError."""
        if self._is_loaded and self._is_pipe():  # it is empty now, which would pass for a configuration
            raise ConfigError(f"{self._path}: is a pipe, which can be read only once: restart pillion, or use a file")
        self._is_loaded = True
        self._read = self._seen = self._stamp()  # before it is read: what is written meanwhile is a change
        text = "" if self._path is None else contents(self._path)
        is_empty, is_ended = not text.strip(), text.endswith("\n")
        if self._had_text and is_empty:
            raise ConfigError(f"{self._path}: half written? It is empty")
        if self._is_ended and not is_ended:
            raise ConfigError(f"{self._path}: half written? Its last line has no line end, as it had before: add one")
        config = load(self._path, self._environ, self._flags, self._no_adapter, text)
        self._had_text, self._is_ended = not is_empty, is_ended
        return config

    def layered(self) -> Layers:
        """What `load` would make its Config from. Raises ConfigError likewise."""
        return layered(self._path, self._environ, self._flags, self._no_adapter)

    def has_changed(self) -> bool:
        """Is there a new version to read? True once for each, even if that then turns out to be wrong."""
        before, self._seen = self._seen, self._stamp()
        is_news = self._seen not in (None, self._read) and self._seen == before
        if is_news:
            self._read = self._seen
        return is_news

    def lost(self) -> str:
        """Why there is no file any more; "" where there is one, or was at the last look: the next may be on its way."""
        before, why = self._is_missing, ""
        try:
            if self._path is not None:
                self._path.stat()
        except OSError as error:
            why = why_unreadable(error)
        self._is_missing = bool(why)
        return why if before else ""

    def _stamp(self) -> _Stamp | None:
        """None where there is no file that can be read again, or it is missing for the moment."""
        if self._path is None or self._is_pipe():
            return None
        try:
            found = self._path.stat()
            return _Stamp(os.path.realpath(self._path), found.st_mtime_ns, found.st_ino, found.st_size)
        except OSError:
            return None

    def _is_pipe(self) -> bool:
        """As a shell makes one of `<(...)`, and for standard input."""
        try:
            return self._path is not None and stat.S_ISFIFO(self._path.stat().st_mode)
        except OSError:  # whoever reads it says why
            return False
