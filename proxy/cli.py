"""Was a plain health question typed, or any other command?

A container asks whether pillion is alive every few seconds, so those questions load only what they need. Everything
else goes to `commands`.
"""

import os
import signal
import sys

from proxy import registry
from proxy.errors import ConfigError
from proxy.reports import probe

NO_LIBRARY = 2
CUT_OFF = 141  # what a shell reports for SIGPIPE: `pillion spend | head`
STOPPED = 143  # and for SIGTERM


def main(argv: list[str] | None = None) -> int:
    """The exit code.

    0; 1: the address is taken, or pillion is not up; 2: the configuration, a library or what is kept cannot be used;
    3: answers were cut off at the end; 141: the reader of our output closed it; 143: a container was stopped before
    pillion was up.
    """
    words = sys.argv[1:] if argv is None else argv
    if (question := probe.plain(words)) is not None:
        return probe.told(probe.ask(question))
    if not words or words[0] == "serve" or words[0].startswith("--"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it means "read the configuration again", which is yet to be read
    if os.getpid() == 1:  # the kernel drops signals that process 1 has no handler for, and we have none while we start
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(STOPPED))
    try:
        do = registry.command("any")
    except ConfigError as error:  # what all commands need is not there, as where another Python was typed
        print(f"pillion: {error}", file=sys.stderr)
        return NO_LIBRARY
    try:
        code: int = do(words)
        _flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return CUT_OFF
    return code


def _flush() -> None:
    """Before the exit code is decided. Raises BrokenPipeError; the interpreter itself reports a full disk."""
    try:
        if sys.stdout is not None:  # it is None where it was closed
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        pass
