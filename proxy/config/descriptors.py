"""How many sockets were opened for us before we started?

The protocol of systemd's socket activation: LISTEN_FDS is their number, from descriptor 3 on, and LISTEN_PID the
process that they are meant for. The variables are removed, so that no process that we start takes them for its own.
https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

import os
from collections.abc import MutableMapping

from proxy.errors import ConfigError, excerpt

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def handed_over(environ: MutableMapping[str, str] = os.environ) -> int:
    """The number of sockets; 0 where they are not meant for this process. Raises ConfigError."""
    pid, count, *_ = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()):
        return 0
    if not count.isascii() or not count.isdigit():
        raise ConfigError(f"LISTEN_FDS must be a number of sockets, but is {excerpt(count)!r}")
    return int(count[:9])
