"""Does the memory that a long body took go back to the operating system?

glibc asks the kernel for each long stretch by itself, and gives it back when it is free. But the first one that is
freed teaches it to keep what is as long for itself (mallopt(3), M_MMAP_THRESHOLD), up to 32 MiB: a sidecar that has
forwarded a few pictures would be three to six times as large from then on. Where the limit is said, it stays.

What is shorter lies in glibc's own heap, whose free end goes back as well, at every 128 KiB: bodies as long as agents
send would have the kernel clear the same pages for each request. So a few MiB of it are kept.
"""

import ctypes

LONG = 1024 * 1024  # bytes of a stretch that is the kernel's own
SPARE = 4 * LONG  # bytes of the heap's end that are kept

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def give_back() -> None:
    """From now on. Whatever else allocates memory than glibc does as it does."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LONG)
        mallopt(_M_TRIM_THRESHOLD, SPARE)
