"""Who watches an answer go out, and who hears how it ended?

The taps and the endings of a reply, called as `ports.Reply` promises: an observer that fails disturbs nobody else.
"""

import logging

from proxy.ports import Reply

log = logging.getLogger("pillion")


def show(reply: Reply, chunk: bytes, request_id: str) -> None:
    """Let the taps see a chunk; one that raises is not asked again."""
    for tap in reply.taps:
        try:
            tap(chunk)
        except Exception:
            log.exception("a tap failed, and is not called again for this answer", extra={"id": request_id})
            reply.taps = [each for each in reply.taps if each is not tap]  # a new list: the loop is on the old one


def conclude(reply: Reply, error: BaseException | None, request_id: str) -> None:
    """Tell every ending what broke the answer, or None, even after another ending has raised."""
    for ending in reply.endings:
        try:
            ending(error)
        except Exception:
            log.exception("an ending failed", extra={"id": request_id})
