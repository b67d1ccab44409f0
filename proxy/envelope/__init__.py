"""What does the JSON body of a request say, and does it say each thing only once?

A body that passes through is scanned, one that is translated is read whole, and no two readers may see different things
in it.

    shallow   the keys of its first level, and where their values stand
    whole     every level of it
    values    does it hold more of them than anybody should build?
    texts     those that are megabytes long, which would keep everybody waiting
    refusals  what a client is told of a body that cannot be read
"""

from proxy.envelope.shallow import LONGEST_KEY, MEMBERS, Envelope, Lengths
from proxy.envelope.values import check_values
from proxy.envelope.whole import parse_object

__all__ = ["LONGEST_KEY", "MEMBERS", "Envelope", "Lengths", "check_values", "parse_object"]
