"""Is it a plain question to a pillion that runs, or anything else that was typed?

Such questions are asked every few seconds for as long as a container lives: nothing is loaded for them but what they
take. All else is for `commands`.
"""

import os
import signal
import sys

from proxy import registry
from proxy.reports import probe

CUT_OFF = 141  # what a shell makes of SIGPIPE: `pillion spend | head`
STOPPED = 143  # and of SIGTERM


def main(argv: list[str] | None = None) -> int:
    """The exit code.

    0; 1 where the address is taken, or pillion is not up; 2 where the configuration, or a library, cannot be used; 3
    where answers were cut at the end; 141 where whoever read what is printed has had enough of it; 143 where a
    container was told to stop before it had begun.
    """
    words = sys.argv[1:] if argv is None else argv
    if (question := probe.plain(words)) is not None:
        return probe.told(probe.ask(question))
    if os.getpid() == 1:  # from whom the kernel keeps a signal that nobody listens to, as while pillion starts
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(STOPPED))
    try:
        code: int = registry.command("any")(words)
        _flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end of all
        return CUT_OFF
    return code


def _flush() -> None:
    """Now, and not when the code is said. Raises BrokenPipeError; of a full disk the interpreter tells by itself."""
    try:
        if sys.stdout is not None:  # which it is where it was closed
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        pass
