"""What do we know already, because somebody has asked it before?

    answer    one answer, as it is replayed, and as it is written to a file
    shelf     the files
    memory    all answers that are kept, and their size
    sameness  do two requests ask the same?
    flights   one answer for several calls, while it comes
    tape      what has come of it
    seats     how far each of them has come

docs/decisions/0020-cache.md says why.
"""

from proxy.answers.answer import Answer, lasting, streamed
from proxy.answers.memory import Answers, Found, Gathering
from proxy.answers.shelf import Shelf, left_in

__all__ = ["Answer", "Answers", "Found", "Gathering", "Shelf", "lasting", "left_in", "streamed"]
