"""Where does the configuration stand, and has it changed?

What was typed and what is in the environment stay as they are for as long as a process lives; the file does not. A file
is taken for changed once it is another one than was read and has kept still from one look to the next: whoever writes
it may be in the middle. It is told by whatever it is that its name leads to, as Kubernetes has a new version of a
ConfigMap appear behind a symbolic link.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from proxy.config.checks import NoAdapter, any_kind
from proxy.config.effective import Config
from proxy.config.layers import Layers
from proxy.config.loading import layered, load, located


class _Stamp(NamedTuple):
    """What tells one version of a file from another."""

    path: str
    changed: int  # nanoseconds
    inode: int
    size: int


class Source:
    """`path`, `flags`, `no_adapter`: as `load` has them."""

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

    def __repr__(self) -> str:
        return f"<Source {self._path or 'without a file'}>"

    def load(self) -> Config:
        """As it is now. Raises ConfigError."""
        self._read = self._seen = self._stamp()  # before it is read: what is written meanwhile is a change
        return load(self._path, self._environ, self._flags, self._no_adapter)

    def layered(self) -> Layers:
        """What `load` would make its Config of. Raises ConfigError likewise."""
        return layered(self._path, self._environ, self._flags, self._no_adapter)

    def has_changed(self) -> bool:
        """Is there one to be read? Each is told of once, also where it then turns out to be wrong."""
        before, self._seen = self._seen, self._stamp()
        is_news = self._seen not in (None, self._read) and self._seen == before
        if is_news:
            self._read = self._seen
        return is_news

    def _stamp(self) -> _Stamp | None:
        """None where there is none, or where it is gone for the moment."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
            return _Stamp(os.path.realpath(self._path), found.st_mtime_ns, found.st_ino, found.st_size)
        except OSError:
            return None
