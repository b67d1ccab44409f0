"""Is it a plain question to a pillion that runs, or anything else that was typed?

Such questions are asked every few seconds for as long as a container lives: nothing is loaded for them but what they
take. All else is for `commands`.
"""

import sys

from proxy import registry
from proxy.reports import probe


def main(argv: list[str] | None = None) -> int:
    """The exit code.

    0; 1 where the address is taken, or pillion is not up; 2 where the configuration, or a library, cannot be used; 3
    where answers were cut at the end.
    """
    words = sys.argv[1:] if argv is None else argv
    if (question := probe.plain(words)) is not None:
        return probe.told(probe.ask(question))
    code: int = registry.command("any")(words)
    return code
