"""Does the memory of a long body go back to the operating system?

glibc maps each long block separately and unmaps it when it is freed. But the first one that is freed raises its
threshold (mallopt(3), M_MMAP_THRESHOLD) up to 32 MiB, and blocks below that are kept: a sidecar that has forwarded a
few pictures would stay three to six times as large. A threshold that is set by hand stays as it is.

Shorter blocks lie in glibc's own heap, whose free end is given back too, whenever it is 128 KiB long. Bodies as long as
agents send would then have the kernel clear the same pages for every request, so a few MiB of it are kept.
"""

import ctypes

LONG = 1024 * 1024  # bytes; a block as long as this is mapped by itself
SPARE = 4 * LONG  # bytes of the heap's free end that are kept

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def give_back() -> None:
    """From now on. An allocator other than glibc's is left alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LONG)
        mallopt(_M_TRIM_THRESHOLD, SPARE)
