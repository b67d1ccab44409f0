"""How long may a frame be, and what if it is longer, or is none?"""

MAX_FRAME = 32 * 1024 * 1024  # bytes of an event that is read: a picture of 24 MiB
MAX_EVENT = 256 * 1024  # bytes of one that passes through, is handed on whole, and may tell what the answer cost
MAX_PASSED = 128 * 1024 * 1024  # bytes of any that passes through; a longer one is an attack or a fault
MAX_WHOLE = 64 * 1024 * 1024  # bytes of a whole answer
LONGEST_LINE = 64 * 1024  # bytes within which a stream of events must show the line of one


class FrameTooLong(ValueError):
    """A line, an event or a whole answer is longer than the limit."""


class Unframed(ValueError):
    """These bytes are not the beginning of any stream."""
