"""How many sockets has whoever started us opened for us?

The protocol of systemd's socket activation: they are the descriptors from 3 on, so many as LISTEN_FDS says, where
LISTEN_PID says that they are meant for this process and not for one that started it. The variables are taken away, so
that nobody whom we start takes them for its own.
https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

import os
from collections.abc import MutableMapping

from proxy.errors import ConfigError

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def handed_over(environ: MutableMapping[str, str] = os.environ) -> int:
    """Raises ConfigError."""
    pid, count, *_ = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()):
        return 0
    if not count.isascii() or not count.isdigit():
        raise ConfigError(f"LISTEN_FDS must be a number of sockets, and is {count[:40]!r}")
    return int(count[:9])
